//! Which store, and whose credentials.

use std::path::PathBuf;

use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, RetryConfig};

use super::{S3Checksum, S3Options, S3Provider};
use crate::error::ConfigError;
use crate::http::{self, HttpOptions};

pub(super) fn build(
    options: &S3Options,
    http: &HttpOptions,
) -> Result<Box<dyn ObjectStore>, ConfigError> {
    let client = client_options(options, http)?;
    // The pipeline repeats, with its own waits and for as long as it takes.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let wrong = |error: object_store::Error| ConfigError::whole(error.to_string());
    let own = http.ca_file.is_some().then(|| http.client().map(OwnClient)).transpose()?;
    Ok(match options.provider {
        S3Provider::S3 => {
            let mut builder = s3(options)?.with_client_options(client).with_retry(retry);
            if let Some(own) = own {
                builder = builder.with_http_connector(own);
            }
            Box::new(builder.build().map_err(wrong)?)
        }
        S3Provider::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&options.bucket)
                .with_client_options(client)
                .with_retry(retry);
            if let Some(own) = own {
                builder = builder.with_http_connector(own);
            }
            Box::new(builder.build().map_err(wrong)?)
        }
        S3Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(&options.bucket)
                .with_client_options(client)
                .with_retry(retry);
            if let Some(endpoint) = &options.endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            if let Some(own) = own {
                builder = builder.with_http_connector(own);
            }
            Box::new(builder.build().map_err(wrong)?)
        }
    })
}

/// The client of all destinations behind HTTP, where certificates are named: it trusts them as the
/// others do.
#[derive(Debug)]
struct OwnClient(reqwest::Client);

impl HttpConnector for OwnClient {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn client_options(options: &S3Options, http: &HttpOptions) -> Result<ClientOptions, ConfigError> {
    if http.client_cert_file.is_some() || http.client_key_file.is_some() {
        return Err(ConfigError::value(
            "client_cert_file",
            "object stores take no client certificates",
        ));
    }
    let is_plain =
        options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut client = ClientOptions::new().with_timeout(http.timeout()).with_allow_http(is_plain);
    if let Some(proxy) = &http.proxy {
        client = client.with_proxy_url(proxy);
    }
    Ok(client)
}

fn s3(options: &S3Options) -> Result<AmazonS3Builder, ConfigError> {
    // What is not given comes from the environment: keys, a web identity, a container's or an
    // instance's role.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&options.bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(http::base_url("endpoint", endpoint)?);
    }
    let path_style = options.path_style.unwrap_or(options.endpoint.is_some());
    builder = builder.with_virtual_hosted_style_request(!path_style);
    builder = match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => {
            builder.with_access_key_id(id).with_secret_access_key(secret.expose())
        }
        (None, None) => match profile(options)? {
            Some(profile) => profile.apply(builder),
            None => builder,
        },
        (Some(_), None) => {
            return Err(ConfigError::value("secret_access_key", "is missing beside access_key_id"));
        }
        (None, Some(_)) => {
            return Err(ConfigError::value("access_key_id", "is missing beside secret_access_key"));
        }
    };
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.expose());
    }
    // A bucket with a retention takes no upload without one.
    if options.checksum == S3Checksum::Sha256
        && std::env::var_os("AWS_CHECKSUM_ALGORITHM").is_none()
    {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    if let Some(key) = &options.kms_key_id {
        builder = builder.with_sse_kms_encryption(key);
    }
    Ok(builder)
}

/// The keys of a profile.
#[derive(Debug, Default, PartialEq, Eq)]
struct Profile {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Profile {
    fn apply(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        let builder = builder.with_access_key_id(self.id).with_secret_access_key(self.secret);
        match self.token {
            Some(token) => builder.with_token(token),
            None => builder,
        }
    }
}

/// A profile of `~/.aws/credentials`: one that is asked for must be there; the default one may be,
/// and counts only where the environment has no keys.
fn profile(options: &S3Options) -> Result<Option<Profile>, ConfigError> {
    let asked = options.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    if asked.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        return Ok(None);
    }
    let name = asked.clone().unwrap_or_else(|| "default".into());
    let file = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let file =
        file.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws/credentials")));
    let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let found = text.and_then(|text| parse_profile(&text, &name));
    match (found, asked) {
        (None, Some(name)) => Err(ConfigError::value(
            "profile",
            format!("there are no keys of a profile {name:?} in the AWS credentials file"),
        )),
        (found, _) => Ok(found),
    }
}

fn parse_profile(text: &str, name: &str) -> Option<Profile> {
    let mut is_in = false;
    let mut profile = Profile::default();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_in = section.trim() == name;
        } else if let (true, Some((key, value))) = (is_in, line.split_once('=')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => profile.id = value,
                "aws_secret_access_key" => profile.secret = value,
                "aws_session_token" => profile.token = Some(value),
                _ => {}
            }
        }
    }
    (!profile.id.is_empty() && !profile.secret.is_empty()).then_some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key = b=\n# no\n[other]\naws_access_key_id=c\naws_secret_access_key=d\naws_session_token=e\n[half]\naws_access_key_id=f\n";
        let profile = |id: &str, secret: &str, token: Option<&str>| {
            Some(Profile { id: id.into(), secret: secret.into(), token: token.map(Into::into) })
        };
        assert_eq!(parse_profile(text, "default"), profile("a", "b=", None));
        assert_eq!(parse_profile(text, "other"), profile("c", "d", Some("e")));
        assert_eq!(parse_profile(text, "half"), None);
        assert_eq!(parse_profile(text, "none"), None);
    }
}
