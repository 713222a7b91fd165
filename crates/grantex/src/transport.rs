//! One call: the request, its retries, its answer.

use std::fmt::Display;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backoff::{delay, random, retry_after};
use crate::key::KeySource;
use crate::{ApiError, Error};

/// The longest delay between two tries of a call.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(8);
/// A longer `Retry-After` is reported to the caller, not waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The characters that are not escaped in a path's segment and in a query's value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The settings of all calls.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: KeySource,
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) retry_delay: Duration,
}

/// Text as one segment of a path, whatever characters it has.
pub(crate) fn segment(text: impl Display) -> String {
    utf8_percent_encode(&text.to_string(), PLAIN).to_string()
}

impl Transport {
    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    pub(crate) fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call {
            transport: self,
            method,
            path: path.into(),
            query: String::new(),
            body: None,
            idempotency_key: None,
            public: false,
            repeatable: true,
        }
    }
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    transport: &'a Transport,
    method: Method,
    path: String,
    query: String,
    body: Option<Vec<u8>>,
    idempotency_key: Option<String>,
    public: bool,
    repeatable: bool,
}

impl Call<'_> {
    /// Adds a parameter, if there is a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.query.push(if self.query.is_empty() { '?' } else { '&' });
            self.query.push_str(name);
            self.query.push('=');
            self.query.extend(utf8_percent_encode(&value.to_string(), PLAIN));
        }
        self
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_vec(body).map_err(|error| {
            Error::Configuration(format!("the request cannot be encoded as JSON: {error}"))
        })?;
        self.body = Some(json);
        Ok(self)
    }

    /// Sends no key.
    pub(crate) fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Not safe to repeat: retried only where the service says that it had no effect.
    pub(crate) fn unsafe_to_repeat(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Makes a creating call safe to repeat: all tries have the same key, the caller's or a random
    /// one.
    pub(crate) fn idempotent(mut self, key: Option<String>) -> Self {
        self.idempotency_key = key.or_else(|| {
            let bits =
                u128::from(getrandom::u64().ok()?) << 64 | u128::from(getrandom::u64().ok()?);
            Some(format!("{bits:032x}"))
        });
        self.repeatable = self.idempotency_key.is_some();
        self
    }

    /// The request of an event stream.
    pub(crate) fn stream(
        self,
        key: &HeaderValue,
        last_event_id: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}{}{}", self.transport.base, self.path, self.query);
        let request = self
            .transport
            .http
            .get(url)
            .header("authorization", key)
            .header("accept", "text/event-stream");
        match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        }
    }

    /// The answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (transport, path) = (self.transport, self.path.clone());
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::Protocol(format!("the answer of {}{path}: {error}", transport.base))
        })
    }

    /// Only the success.
    pub(crate) async fn done(self) -> Result<(), Error> {
        self.bytes().await.map(drop)
    }

    async fn bytes(self) -> Result<bytes::Bytes, Error> {
        let mut attempt = 0;
        let mut renewed = false;
        // Whether an earlier try may have taken effect although its answer was lost.
        let mut in_doubt = false;
        loop {
            let key = if self.public { None } else { Some(self.transport.key.get().await?) };
            let error =
                match tokio::time::timeout(self.transport.timeout, self.once(key.as_ref())).await {
                    Ok(Ok(bytes)) => return Ok(bytes),
                    Ok(Err(error)) => error,
                    Err(_) => Error::Timeout(self.transport.timeout),
                };
            if let (Error::Api(api), Some(key)) = (&error, &key)
                && api.status == 401
                && !renewed
                && self.transport.key.renew(key).await
            {
                renewed = true;
                continue;
            }
            if in_doubt
                && self.method == Method::DELETE
                && error.api().is_some_and(|api| api.status == 404)
            {
                return Ok(bytes::Bytes::new());
            }
            let (may_pass, did_nothing, asked) = match &error {
                Error::Api(api) => (api.may_pass(), api.did_nothing(), api.retry_after),
                Error::Connection(_) | Error::Timeout(_) => (true, false, None),
                _ => (false, false, None),
            };
            let again = may_pass
                && (self.repeatable || did_nothing)
                && asked.is_none_or(|asked| asked <= MAX_RETRY_AFTER);
            if !again || attempt >= self.transport.max_retries {
                return Err(error);
            }
            in_doubt |= !did_nothing;
            let pause = delay(attempt, self.transport.retry_delay, MAX_RETRY_DELAY, random());
            tokio::time::sleep(pause.max(asked.unwrap_or_default())).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn once(&self, key: Option<&HeaderValue>) -> Result<bytes::Bytes, Error> {
        let url = format!("{}{}{}", self.transport.base, self.path, self.query);
        let mut request = self.transport.http.request(self.method.clone(), url);
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &self.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let response =
            request.send().await.map_err(|error| Error::connection(&self.transport.base, error))?;
        if !response.status().is_success() {
            return Err(refusal(response).await.into());
        }
        response.bytes().await.map_err(|error| Error::connection(&self.transport.base, error))
    }
}

/// The error of an answer that is not a success.
pub(crate) async fn refusal(response: Response) -> ApiError {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let header =
        response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let message = text("message").unwrap_or_else(|| without_message(status));
    ApiError {
        status: status.as_u16(),
        code: text("code"),
        message,
        request_id: text("requestId").or(header),
        retry_after,
        oldest_event_id: text("oldestEventId"),
        resume_after: text("resumeAfter"),
        resume_before: text("resumeBefore"),
        hint: None,
    }
}

/// The message for an answer without one, which is not the service's.
fn without_message(status: StatusCode) -> String {
    match status.as_u16() {
        code @ ..400 => {
            format!(
                "the service answered with the redirect {code}, which is not followed: is the base URL right?"
            )
        }
        code @ 400..500 => {
            format!("the service answered {code} without a message: is the base URL right?")
        }
        code => format!("the service answered {code} without a message"),
    }
}
