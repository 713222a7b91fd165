//! HTTP webhooks, signed as Standard Webhooks 1.0 specifies:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantex::internal::redacted_url;
use reqwest::Client;
use serde::Deserialize;

use crate::batch::Batch;
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::format::FormatKind;
use crate::http::{self, HttpOptions};
use crate::secret::Secret;
use crate::stats::now_ms;

/// Where to post, and how to sign.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// The endpoint.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64; unsigned without it.
    pub secret: Option<Secret>,
    /// While the secret is rotated: the one before, which signs too.
    pub previous_secret: Option<Secret>,
    /// Headers to add.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

/// Posts events to an endpoint. A batch of one event (the default) is that event's JSON object,
/// with the event's id as `webhook-id`; a larger one is an array.
///
/// 2xx acknowledges, whatever its body is. 408, 409, 425, 429 and 5xx are retried; 410 and other
/// refusals are retried at long intervals, with a logged error; any other 4xx rejects the event.
#[derive(Debug)]
pub struct WebhookDestination {
    name: String,
    client: Client,
    url: String,
    keys: Vec<hmac::Key>,
    headers: BTreeMap<String, Secret>,
}

impl WebhookDestination {
    /// A destination of this name.
    pub fn new(
        name: impl Into<String>,
        options: &WebhookOptions,
        http: &HttpOptions,
    ) -> Result<Self, ConfigError> {
        let secrets = [("secret", &options.secret), ("previous_secret", &options.previous_secret)];
        let keys =
            secrets.into_iter().filter_map(|(name, secret)| Some(key(name, secret.as_ref()?)));
        for name in options.headers.keys() {
            let known = reqwest::header::HeaderName::from_bytes(name.as_bytes());
            known.map_err(|_| {
                ConfigError::value("headers", format!("{name:?} is no header's name"))
            })?;
        }
        http::base_url("url", &options.url)?;
        Ok(Self {
            name: name.into(),
            client: http.client()?,
            url: options.url.clone(),
            keys: keys.collect::<Result<_, _>>()?,
            headers: options.headers.clone(),
        })
    }

    fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let request = self.client.request(method, &self.url);
        self.headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value.expose()))
    }
}

fn key(name: &'static str, secret: &Secret) -> Result<hmac::Key, ConfigError> {
    let wrong = || ConfigError::value(name, "must be whsec_ and 24 to 64 bytes in base64");
    let text = secret.expose().strip_prefix("whsec_").ok_or_else(wrong)?;
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(wrong());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// `v1,…` for each key, separated by spaces.
fn signatures(keys: &[hmac::Key], id: &str, timestamp: u64, body: &[u8]) -> String {
    let sign = |key: &hmac::Key| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

impl EventDestination for WebhookDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn refusals_need_proof(&self) -> bool {
        true
    }

    fn defaults(&self) -> BatchLimits {
        BatchLimits { events: 1, ..BatchLimits::default() }
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let mut body = Vec::new();
        let is_single = batch.len() == 1;
        for (index, event) in batch.events().iter().enumerate() {
            if !is_single {
                body.push(if index == 0 { b'[' } else { b',' });
            }
            batch.encode(event, &mut body);
        }
        if !is_single {
            body.push(b']');
        }
        let kind = match (batch.format().kind, is_single) {
            (FormatKind::CloudEvents, true) => "application/cloudevents+json",
            (FormatKind::CloudEvents, false) => "application/cloudevents-batch+json",
            _ => "application/json",
        };
        // A repeated batch has the same id, so that the receiver can recognise it.
        let id = if is_single {
            batch.first().to_string()
        } else {
            format!("{}-{}", batch.first(), batch.last())
        };
        let timestamp = now_ms() / 1000;
        let mut request = self.request(reqwest::Method::POST).header("Content-Type", kind);
        request = request.header("webhook-id", &id).header("webhook-timestamp", timestamp);
        if !self.keys.is_empty() {
            request =
                request.header("webhook-signature", signatures(&self.keys, &id, timestamp, &body));
        }
        let answer = http::send_for_status(request.body(body)).await?;
        if answer.status == reqwest::StatusCode::GONE {
            return Err(SendError::refused(format!("the endpoint is gone ({})", answer.quote())));
        }
        answer.check()
    }

    async fn probe(&self) -> Result<String, SendError> {
        // The answer to HEAD only shows that the endpoint exists: the first event shows the rest.
        let answer = http::send_for_status(self.request(reqwest::Method::HEAD)).await?;
        // 501 says that it does not know HEAD, which it need not.
        if answer.status.is_server_error() && answer.status != reqwest::StatusCode::NOT_IMPLEMENTED
        {
            return Err(answer.retry());
        }
        // So does a port that wants TLS, whatever is asked.
        if answer.status == reqwest::StatusCode::BAD_REQUEST {
            return Err(SendError::refused(format!(
                "{} answers {} to a HEAD: check the scheme and the port",
                redacted_url(&self.url),
                answer.quote()
            )));
        }
        Ok(format!("{} answers", redacted_url(&self.url)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_verifies() {
        // From the Standard Webhooks reference implementation's tests.
        let key = key("secret", &"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signatures(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_of_another_kind_is_refused() {
        for wrong in ["plain", "whsec_", "whsec_c2hvcnQ=", "whsec_!!"] {
            assert!(key("secret", &wrong.into()).is_err(), "{wrong}");
        }
    }
}
