//! The files of the service's TLS: a certificate chain and its private key.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use grantex_server::Tls;
use grantex_types::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};

use crate::CommandError;
use crate::config::Options;

/// Loads the files that the options name. Returns `false` if they name none.
pub(crate) fn load(options: &Options, tls: &Tls) -> Result<bool, CommandError> {
    let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(false);
    };
    let chain = certificates(certificate)?;
    if chain.first().is_some_and(is_authority) {
        tracing::warn!(
            file = %certificate.display(),
            "the server's certificate is a CA certificate (CA:TRUE): some clients refuse it as a \
             server's; create it with \
             openssl req -x509 -addext basicConstraints=critical,CA:FALSE"
        );
    }
    if let Some(problem) = chain.first().and_then(outside_its_time) {
        tracing::warn!(
            file = %certificate.display(),
            "the server's certificate {problem}: clients refuse it; renew the file and send SIGHUP"
        );
    }
    let private = private_key(key)?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private)
            .map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            match error {
                rustls::Error::InconsistentKeys(_) => format!(
                    "the private key in {key} does not belong to the first certificate in {certificate}, which must be \
                     the server's own"
                ),
                other => format!("the certificate in {certificate} or the private key in {key} cannot be used: {other}"),
            }
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.set(config);
    Ok(true)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CommandError> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| named(path, error))?;
    match chain.first() {
        None => Err(named(path, "the file holds no PEM certificate (-----BEGIN CERTIFICATE-----)")),
        Some(own) if ParsedCertificate::try_from(own).is_err() => {
            Err(named(path, "the first certificate in the file is not an X.509 certificate"))
        }
        Some(_) => Ok(chain),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CommandError> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound
            if String::from_utf8_lossy(&pem).contains("ENCRYPTED PRIVATE KEY") =>
        {
            named(path, "the private key is encrypted; decrypt it with `openssl pkey -in … -out …`")
        }
        PemError::NoItemsFound => {
            named(path, "the file holds no PEM private key (-----BEGIN PRIVATE KEY-----)")
        }
        other => named(path, other),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| named(path, error))
}

fn named(path: &Path, reason: impl Display) -> CommandError {
    format!("{}: {reason}", path.display()).into()
}

/// Whether clients that follow the rules for certificates to the letter refuse this one as a
/// server's: verifiers say so when it is trusted and shown by a server.
fn is_authority(own: &CertificateDer<'_>) -> bool {
    refusal(own).is_some_and(|error| error.to_string().contains("CaUsedAsEndEntity"))
}

/// What is wrong with a certificate that has expired or is not valid yet.
fn outside_its_time(own: &CertificateDer<'_>) -> Option<String> {
    let date = |at: UnixTime| Timestamp::from_millis(at.as_secs().saturating_mul(1000));
    let rustls::Error::InvalidCertificate(error) = refusal(own)? else { return None };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("expired on {}", date(not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("is not valid before {}", date(not_before)))
        }
        _ => None,
    }
}

/// Why a verifier that trusts a certificate refuses it when a server shows it.
fn refusal(own: &CertificateDer<'_>) -> Option<rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(own.clone()).ok()?;
    let parsed = ParsedCertificate::try_from(own).ok()?;
    let provider = CryptoProvider::get_default().cloned();
    let provider =
        provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], UnixTime::now(), algorithms)
        .err()
}
