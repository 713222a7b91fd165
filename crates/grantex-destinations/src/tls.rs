//! Certificates to trust in addition to the system's authorities.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::error::ConfigError;

/// What TLS found wrong with such a certificate.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// TLS that trusts the certificates in `ca_file` (PEM) in addition to the system's authorities:
/// those of authorities, and self-signed ones of servers. For [`grantex::Builder::tls`].
pub fn trusting(ca_file: &Path) -> Result<ClientConfig, ConfigError> {
    let mut config = Trust::in_file(ca_file)?.config(None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts the system's authorities, those of a file, and servers that show one of the file's
/// certificates itself.
///
/// `openssl req -x509`, the usual way to create a self-signed certificate, marks it as an
/// authority. `webpki` refuses such a certificate for a server, even if it is trusted.
#[derive(Debug)]
pub(crate) struct Trust {
    usual: Verifier,
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(crate) fn in_file(path: &Path) -> Result<Arc<Self>, ConfigError> {
        let wrong = |why: String| ConfigError::value("ca_file", why);
        let pem = read("ca_file", path)?;
        let named: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        if named.is_empty() {
            return Err(wrong(format!("{} holds no certificate", path.display())));
        }
        let usual = Verifier::new_with_extra_roots(named.clone(), provider())
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(Self { usual, named }))
    }

    /// A client's configuration, which shows the certificate of `identity` where a server asks for
    /// one.
    pub(crate) fn config(
        self: Arc<Self>,
        identity: Option<&[u8]>,
    ) -> Result<ClientConfig, ConfigError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::whole(format!("no TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(self);
        let Some(pem) = identity else { return Ok(builder.with_no_client_auth()) };
        let wrong = |error: &dyn std::fmt::Display| {
            ConfigError::value("client_cert_file", error.to_string())
        };
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
        let chain = chain.map_err(|error| wrong(&error))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| wrong(&error))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| wrong(&error))
    }
}

/// The PEM file that the option `key` names.
pub(crate) fn read(key: &'static str, path: &std::path::Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path)
        .map_err(|error| ConfigError::value(key, format!("{}: {error}", path.display())))
}

fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(own, others, name, ocsp, now);
        // This error comes after the check of the certificate's validity, and before that of its
        // name.
        let is_authority = |error: &Error| error.to_string().contains(AUTHORITY_AS_SERVER);
        match usual {
            Err(error) if is_authority(&error) && self.named.iter().any(|named| named == own) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, own, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, own, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// As `openssl req -x509` makes it.
    fn self_signed() -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_named_certificate_is_taken_for_its_names_and_its_time() {
        const MARCH_2026: u64 = 1_772_323_200;
        const YEAR: u64 = 365 * 24 * 3600;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        let (own, other) = (self_signed(), self_signed());
        std::fs::write(&file, own.pem()).unwrap();
        let trust = Trust::in_file(&file).unwrap();
        let verify = |certificate: &rcgen::Certificate, name: &str, at: u64| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
            trust.verify_server_cert(certificate.der(), &[], &name, &[], now).map(|_| ())
        };
        assert_eq!(verify(&own, "localhost", MARCH_2026), Ok(()));
        assert!(verify(&own, "other.example", MARCH_2026).is_err(), "it is another's name");
        assert!(verify(&own, "localhost", MARCH_2026 + YEAR).is_err(), "its time is over");
        assert!(verify(&own, "localhost", MARCH_2026 - YEAR).is_err(), "its time has not come");
        assert!(verify(&other, "localhost", MARCH_2026).is_err(), "it was not named");
    }
}
