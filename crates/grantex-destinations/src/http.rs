//! Shared by the destinations over HTTP: the client, its options, and the meaning of answers.

use std::path::PathBuf;
use std::time::Duration;

use grantex::internal::{Escaped, explained, redacted_url, retry_after};
use reqwest::{Client, Identity, Proxy, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use crate::destination::SendError;
use crate::error::ConfigError;
use crate::tls::{Trust, read};

/// How to reach a receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// A proxy (`http://`, `https://`) for every request; `HTTPS_PROXY` and its like unless given.
    pub proxy: Option<String>,
    /// PEM file with further certificates to trust: those of authorities, and self-signed ones of
    /// servers.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this client's certificate chain.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with this client's private key.
    pub client_key_file: Option<PathBuf>,
    /// How long one request may take, in milliseconds; 30,000 unless given.
    pub timeout_ms: Option<u64>,
}

impl HttpOptions {
    /// The names of the options.
    pub(crate) const KEYS: [&'static str; 5] =
        ["proxy", "ca_file", "client_cert_file", "client_key_file", "timeout_ms"];

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(Duration::from_secs(30), Duration::from_millis)
    }

    /// A client; fails where a file cannot be read or used.
    pub(crate) fn client(&self) -> Result<Client, ConfigError> {
        let mut builder = Client::builder()
            .user_agent(concat!("grantex-destinations/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(self.timeout().min(Duration::from_secs(10)))
            .timeout(self.timeout());
        if let Some(proxy) = &self.proxy {
            let proxy = Proxy::all(proxy)
                .map_err(|error| ConfigError::value("proxy", error.to_string()))?;
            builder = builder.proxy(proxy);
        }
        let identity = self.client_pem()?;
        if let Some(path) = &self.ca_file {
            let mut config = Trust::in_file(path)?.config(identity.as_deref())?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(config);
        } else if let Some(pem) = identity {
            let identity = Identity::from_pem(&pem)
                .map_err(|error| ConfigError::value("client_cert_file", error.to_string()))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| ConfigError::whole(format!("no HTTP client: {error}")))
    }

    fn client_pem(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let mut pem = read("client_cert_file", certificate)?;
                pem.push(b'\n');
                pem.extend(read("client_key_file", key)?);
                Ok(Some(pem))
            }
            (Some(_), None) => {
                Err(ConfigError::value("client_key_file", "a client certificate needs its key"))
            }
            (None, Some(_)) => {
                Err(ConfigError::value("client_cert_file", "a client key needs its certificate"))
            }
        }
    }
}

/// A base URL without its last slash; fails if it is not a URL.
pub(crate) fn base_url(key: &'static str, url: &str) -> Result<String, ConfigError> {
    let parsed = reqwest::Url::parse(url);
    if parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(ConfigError::value(key, format!("{:?} is not an http or https URL", redacted_url(url))))
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
    pub(crate) cookies: Vec<String>,
}

/// Bytes of an answer that are read: an error's text, an acknowledgement's ids.
const MOST_ANSWER_BYTES: usize = 1 << 20;

/// Characters of an answer that a message quotes.
const QUOTED: usize = 500;

/// Bytes of a meaningless body that are read so that the connection can be used again.
const MOST_IGNORED_BYTES: usize = 64 << 10;

/// How long such a body is waited for.
const IGNORED_BODY_LIMIT: Duration = Duration::from_millis(500);

/// Sends a request whose result is in the answer's body. The body of a success must be complete.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, SendError> {
    let mut response = request.send().await.map_err(|error| SendError::retry(reason(error)))?;
    let mut body = Vec::new();
    let read = read_body(&mut response, &mut body, MOST_ANSWER_BYTES).await;
    if response.status().is_success() {
        read.map_err(|error| {
            SendError::retry(format!("the answer is incomplete: {}", reason(error)))
        })?;
    }
    Ok(Answer::of(&response, &body))
}

/// Sends a request whose result is the answer's status alone: a success stands, even if the body is
/// broken, endless or compressed.
pub(crate) async fn send_for_status(request: RequestBuilder) -> Result<Answer, SendError> {
    let mut response = request.send().await.map_err(|error| SendError::retry(reason(error)))?;
    let mut body = Vec::new();
    // The part that arrived before it broke is quoted.
    let reading = read_body(&mut response, &mut body, MOST_IGNORED_BYTES);
    let _ = tokio::time::timeout(IGNORED_BODY_LIMIT, reading).await;
    Ok(Answer::of(&response, &body))
}

async fn read_body(
    response: &mut Response,
    body: &mut Vec<u8>,
    most: usize,
) -> Result<(), reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = most.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if body.len() >= most {
            break;
        }
    }
    Ok(())
}

/// A failure below HTTP in one sentence, without the URL, which may hold secrets.
pub(crate) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    let hint = hint(&reason);
    format!("the connection failed: {}{hint}", explained(&reason))
}

/// A hint for when one side uses TLS and the other does not.
fn hint(reason: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["InvalidContentType", "corrupt message"]) {
        return "; this port does not use TLS: check the scheme (https) and the port";
    }
    if says(&["invalid HTTP version", "invalid HTTP status"]) {
        return "; the answer is not HTTP: check the scheme (http) and the port";
    }
    ""
}

impl Answer {
    fn of(response: &Response, body: &[u8]) -> Self {
        Self {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            cookies: cookies(response),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }

    /// A success that is not in the receiver's own form: something else answers there.
    pub(crate) fn not_of(&self, receiver: &str) -> SendError {
        SendError::refused(format!(
            "this answer is not from {receiver}: {}; check whether a proxy or a sign-in page answers there",
            self.quote()
        ))
    }

    /// The body, where it is a JSON object.
    pub(crate) fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(&self.body).ok()
    }

    /// The status and the beginning of the body, on one line.
    pub(crate) fn quote(&self) -> String {
        match first_line(&self.body) {
            text if text.is_empty() => self.status.to_string(),
            text => format!("{}: {text}", self.status),
        }
    }

    /// A temporary failure: sent again after the delay that the receiver asks for.
    pub(crate) fn retry(&self) -> SendError {
        SendError::Retry { message: self.quote(), after: self.retry_after }
    }

    /// The meaning of an answer by HTTP alone; a destination applies its own rules first.
    pub(crate) fn check(&self) -> Result<(), SendError> {
        match self.status.as_u16() {
            200..=299 => Ok(()),
            408 | 409 | 425 | 429 | 500..=599 => Err(self.retry()),
            413 => Err(SendError::TooLarge(self.quote())),
            // A redirect, a wrong path or a wrong credential rejects no event.
            300..=399 | 401 | 402 | 403 | 404 | 405 | 407 => Err(SendError::Refused(self.quote())),
            _ => Err(SendError::Rejected(self.quote())),
        }
    }
}

/// The part of an external text that a message quotes: JSON without its line ends, otherwise the
/// first line with content.
pub(crate) fn first_line(body: &str) -> String {
    let body = body.trim();
    let json = serde_json::from_str::<serde_json::Value>(body).ok();
    let line = json.map_or_else(
        || {
            let says_nothing =
                |line: &&str| line.is_empty() || line.starts_with("<?") || line.starts_with("<!");
            let mut lines = body.lines().map(str::trim);
            lines.find(|line| !says_nothing(line)).unwrap_or_default().to_owned()
        },
        |json| json.to_string(),
    );
    Escaped(line.chars().take(QUOTED).collect::<String>()).to_string()
}

fn cookies(response: &Response) -> Vec<String> {
    let all = response.headers().get_all(reqwest::header::SET_COOKIE).iter();
    let pair = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
    all.filter_map(|value| value.to_str().ok())
        .map(pair)
        .filter(|pair| pair.contains('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_one_line_is_quoted_and_nothing_in_it_moves_a_terminal() {
        for (body, line) in [
            ("", ""),
            ("  \n\n no room \n at all", "no room"),
            ("{\n  \"error\": {\n    \"code\": 403\n  }\n}\n", r#"{"error":{"code":403}}"#),
            (
                "<?xml version=\"1.0\"?>\n<Error><Code>Denied</Code></Error>",
                "<Error><Code>Denied</Code></Error>",
            ),
            ("<!DOCTYPE html>\n<h1>Sign in</h1>", "<h1>Sign in</h1>"),
            ("a\u{1b}[2Kb\u{202e}", r"a\u001b[2Kb\u202e"),
        ] {
            assert_eq!(first_line(body), line);
        }
        assert_eq!(first_line(&"x".repeat(QUOTED + 1)).len(), QUOTED);
    }
}
