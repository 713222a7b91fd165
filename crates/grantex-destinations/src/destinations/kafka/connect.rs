//! Connections: brokers, TLS, SASL.

use krafka::auth::{AuthConfig, TlsConfig};
use krafka::{Compression, Kafka, ProxyConfig};

use super::KafkaOptions;
use crate::destination::SendError;
use crate::error::ConfigError;

pub(super) async fn kafka(options: &KafkaOptions) -> Result<Kafka, SendError> {
    let security = security(options).map_err(|error| SendError::refused(error.to_string()))?;
    let mut builder = Kafka::builder(options.brokers.clone())
        .client_id(options.client_id.clone().unwrap_or_else(|| "grantex".into()))
        .security(security)
        // A record gets one more try within its time.
        .request_timeout(options.timeout().mul_f64(0.45))
        .connect_timeout(options.timeout().min(std::time::Duration::from_secs(10)));
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(ProxyConfig::new(proxy));
    }
    builder.connect().await.map_err(|error| match error {
        krafka::KrafkaError::Auth { .. } | krafka::KrafkaError::Config { .. } => {
            SendError::refused(error.to_string())
        }
        other => SendError::retry(other.to_string()),
    })
}

pub(super) fn security(options: &KafkaOptions) -> Result<AuthConfig, ConfigError> {
    let missing = |key: &'static str| ConfigError::value(key, "sasl_mechanism needs it");
    let login = || {
        let username = options.username.as_deref().ok_or_else(|| missing("username"))?;
        let password = options.password.as_ref().ok_or_else(|| missing("password"))?;
        Ok((username, password.expose()))
    };
    let config = match options.sasl_mechanism.as_deref() {
        None => {
            let without = [
                ("username", options.username.is_some()),
                ("password", options.password.is_some()),
            ];
            if let Some((key, _)) = without.into_iter().find(|(_, is_given)| *is_given) {
                return Err(ConfigError::value(key, "has no effect without sasl_mechanism"));
            }
            AuthConfig::plaintext()
        }
        Some("plain") => {
            login().map(|(username, password)| AuthConfig::sasl_plain(username, password))?
        }
        Some("scram-sha-256") => {
            login().map(|(name, password)| AuthConfig::sasl_scram_sha256(name, password))?
        }
        Some("scram-sha-512") => {
            login().map(|(name, password)| AuthConfig::sasl_scram_sha512(name, password))?
        }
        Some("oauthbearer") => {
            let token = options.token.as_ref().ok_or_else(|| missing("token"))?;
            AuthConfig::sasl_oauthbearer(token.expose())
        }
        Some(other) => {
            return Err(ConfigError::value(
                "sasl_mechanism",
                format!("{other:?} is not one of plain, scram-sha-256, scram-sha-512, oauthbearer"),
            ));
        }
    };
    if !options.tls {
        let files = [
            ("ca_file", &options.ca_file),
            ("client_cert_file", &options.client_cert_file),
            ("client_key_file", &options.client_key_file),
        ];
        return match files.into_iter().find(|(_, file)| file.is_some()) {
            Some((key, _)) => Err(ConfigError::value(key, "has no effect without tls = true")),
            None => Ok(config),
        };
    }
    let mut tls = match &options.ca_file {
        Some(file) => TlsConfig::new().with_ca_cert(file),
        None => TlsConfig::new().with_native_roots(),
    };
    tls = match (&options.client_cert_file, &options.client_key_file) {
        (Some(certificate), Some(key)) => tls.with_client_cert(certificate, key),
        (None, None) => tls,
        _ => {
            return Err(ConfigError::value(
                "client_cert_file",
                "certificate and key belong together",
            ));
        }
    };
    Ok(if options.sasl_mechanism.is_some() { config.with_tls(tls) } else { AuthConfig::ssl(tls) })
}

pub(super) fn compression(options: &KafkaOptions) -> Result<Compression, ConfigError> {
    match options.compression.as_deref() {
        None | Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip),
        Some("snappy") => Ok(Compression::Snappy),
        Some("lz4") => Ok(Compression::Lz4),
        Some("zstd") => Ok(Compression::Zstd),
        Some(other) => Err(ConfigError::value(
            "compression",
            format!("{other:?} is not one of none, gzip, snappy, lz4, zstd"),
        )),
    }
}
