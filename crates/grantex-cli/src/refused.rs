//! Answers of the service in the words of the command line: its options, not the headers of HTTP.

use grantex::{ApiError, Error};

use crate::CommandError;

/// The sentence for the error that ended a command.
pub(crate) fn in_words(failure: &CommandError) -> String {
    match failure.downcast_ref::<Error>().and_then(Error::api) {
        Some(answer) if answer.code.as_deref() == Some("UNAUTHORIZED") => with_request(
            "the service refused the API key: it is wrong or was revoked; check GRANTEX_API_KEY or \
             --api-key",
            answer,
        ),
        _ => failure.to_string(),
    }
}

/// Adds what identifies the answer in the service's log.
pub(crate) fn with_request(text: &str, answer: &ApiError) -> String {
    let code = answer.code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
    let request = answer.request_id.as_deref().map(|id| format!(", request {id}"));
    format!("{text} [{}{code}{}]", answer.status, request.unwrap_or_default())
}
