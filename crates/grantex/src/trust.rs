//! `SSL_CERT_FILE`, where it is what makes TLS fail.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const VARIABLE: &str = "SSL_CERT_FILE";

/// What is wrong with the file that `SSL_CERT_FILE` names. The system's verifier passes over a file
/// that it cannot use, and then refuses every certificate. On Windows and Apple's systems it does
/// not read the variable.
pub(crate) fn file_error() -> Option<String> {
    if cfg!(any(windows, target_vendor = "apple", target_os = "android")) {
        return None;
    }
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
    unusable(Path::new(&path))
}

fn unusable(path: &Path) -> Option<String> {
    let reason = match CertificateDer::pem_file_iter(path).map(|mut found| found.next()) {
        Ok(Some(Ok(_))) => return None,
        Ok(None) => "holds no PEM certificate (-----BEGIN CERTIFICATE-----)".to_owned(),
        Ok(Some(Err(error))) | Err(error) => format!("cannot be read: {error}"),
    };
    Some(format!("{VARIABLE} names {}, which {reason}", path.display()))
}
