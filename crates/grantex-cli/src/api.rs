//! Calls to a service's HTTP API.

use std::time::Duration;

use clap::Args;
use grantex_types::ErrorBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("grantex-cli/", env!("CARGO_PKG_VERSION"));

/// What stays as it is in a query's value.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b',').remove(b':');

/// Which service, and who asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The service's base URL
    #[arg(
        long,
        env = "GRANTEX_BASE_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        global = true
    )]
    url: String,
    /// The API key; better in the environment, where other users do not see it
    #[arg(long, env = "GRANTEX_API_KEY", hide_env_values = true, value_name = "KEY", global = true)]
    api_key: Option<String>,
}

/// A client of one service.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Api {
    pub(crate) fn new(base: &str, key: Option<String>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().user_agent(USER_AGENT).connect_timeout(CALL_TIMEOUT).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        Self::new(&target.url, target.api_key.clone())
    }

    /// Fails with what to do when there is no key.
    pub(crate) fn require_key(self) -> Result<Self, Failure> {
        if self.key.is_some() {
            return Ok(self);
        }
        Err("no API key: set GRANTEX_API_KEY, or give --api-key".into())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let request = self.request(Method::GET, &format!("{path}{}", query_text(query)));
        self.call(request).await?.json().await.map_err(Into::into)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self.request(Method::POST, path).json(body);
        self.call(request).await?.json().await.map_err(Into::into)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call(self.request(Method::DELETE, path)).await.map(drop)
    }

    async fn call(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response =
            request.timeout(CALL_TIMEOUT).send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    /// A sentence for a service that does not answer.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> String {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            reason = error.to_string();
            source = error.source();
        }
        format!("{} does not answer: {reason}; is the service running, and is --url right?", self.base)
    }
}

/// `?name=value&…`, percent-encoded; empty for no parameter.
pub(crate) fn query_text(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, QUERY_VALUE));
    }
    text
}

/// What the service said instead of a success.
pub(crate) async fn refusal(response: Response) -> Failure {
    let status = response.status();
    match response.json::<ErrorBody>().await {
        Ok(body) => {
            let oldest = body.oldest_event_id.map(|id| format!(" (the oldest event still there is {id})"));
            format!("{}{} [{status}, request {}]", body.message, oldest.unwrap_or_default(), body.request_id)
                .into()
        }
        Err(_) => format!("the service answered {status}").into(),
    }
}
