//! Query parameters.

use axum::extract::{FromRequestParts, Query};
use grantex_types::nearest::nearest;
use http::Uri;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::error::{ApiError, ApiResult};

/// Characters of an unknown name that an error repeats.
const SHOWN_CHARS: usize = 40;

/// Parameters that a query is read into.
pub(crate) trait Known: DeserializeOwned {
    /// The names of the parameters.
    const NAMES: &'static [&'static str];
}

/// Query parameters that ignore unknown names: browsers and proxies add their own to the URLs of
/// streams and pages.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: Known, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read(&parts.uri).map(Self)
    }
}

/// Query parameters of a list. Unknown names are refused: a misspelt filter would show everything.
pub(crate) struct ListParams<T>(pub(crate) T);

impl<T: QueryParts, S: Send + Sync> FromRequestParts<S> for ListParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let names = T::names();
        for (name, _) in pairs(&parts.uri) {
            let name = decoded(name);
            if !name.as_deref().is_some_and(|name| names.contains(&name)) {
                return Err(unknown(&name.unwrap_or_default(), &names));
            }
        }
        T::read(&parts.uri).map(Self)
    }
}

/// The parameters of a list: one struct, or two.
pub(crate) trait QueryParts: Sized {
    fn names() -> Vec<&'static str>;

    fn read(uri: &Uri) -> ApiResult<Self>;
}

impl<T: Known> QueryParts for T {
    fn names() -> Vec<&'static str> {
        Self::NAMES.to_vec()
    }

    fn read(uri: &Uri) -> ApiResult<Self> {
        read(uri)
    }
}

impl<A: Known, B: Known> QueryParts for (A, B) {
    fn names() -> Vec<&'static str> {
        [A::NAMES, B::NAMES].concat()
    }

    fn read(uri: &Uri) -> ApiResult<Self> {
        Ok((read(uri)?, read(uri)?))
    }
}

fn read<T: Known>(uri: &Uri) -> ApiResult<T> {
    for (name, value) in pairs(uri) {
        let known = decoded(name).and_then(|name| T::NAMES.iter().find(|known| **known == name));
        // Lossy decoding would replace the invalid bytes, and the filter would match nothing.
        if let Some(known) = known
            && decoded(value).is_none()
        {
            return Err(ApiError::bad_request(format!(
                "{known}: the value is not UTF-8; percent-encode its UTF-8 bytes"
            )));
        }
    }
    let Query(value) =
        Query::try_from_uri(uri).map_err(|error| ApiError::bad_request(error.body_text()))?;
    Ok(value)
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The text that a percent-encoded part stands for; `None` if it is not UTF-8.
fn decoded(part: &str) -> Option<String> {
    let part = part.replace('+', " ");
    percent_decode_str(&part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let shown: String = name.chars().take(SHOWN_CHARS).collect();
    let meant = nearest(&shown, known.iter().copied());
    let meant = meant.map_or(String::new(), |name| format!("; did you mean {name}?"));
    ApiError::bad_request(format!(
        "unknown query parameter {shown:?}{meant} (known: {})",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = unknown("pagesize", &["limit", "after", "page", "pageSize"]);
        assert!(error.message.contains("did you mean pageSize?"), "{}", error.message);
    }
}
