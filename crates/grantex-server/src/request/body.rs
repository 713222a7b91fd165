//! Reading a request's body. Every extractor uses it, with its limits on size, time and memory.

use std::time::Instant;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use futures_util::StreamExt as _;
use grantex_types::ErrorCode;
use http::request::Parts;

use crate::app::App;
use crate::http::account::Account;
use crate::http::error::ApiError;
use crate::http::shares::BodyMemory;
use crate::net::connections::Admitted;

/// The largest body of the API.
pub(crate) const LARGEST: usize = 1 << 20;
/// The largest form of a page: a session token and an id, where the token's principal may have 256
/// characters.
pub(crate) const LARGEST_FORM: usize = 4 << 10;
/// The largest body of a signup: a name of 200 characters and an e-mail address, each perhaps
/// escaped.
pub(crate) const LARGEST_SIGNUP: usize = 8 << 10;

/// How many bytes of a body cost one token of the rate limit; the first so many are part of the
/// request's own token. The smallest request takes 0.05 ms of a core and one of 1 MB takes 2 ms, as
/// much as 40 small ones. Real requests have at most 30 KB (a hundred scopes), so the price is six
/// times that: at 1,000 tokens a second, one developer's bodies take less than 1 % of a core.
const BYTES_A_TOKEN: u64 = 4 << 10;
/// Bytes that are reserved first for a body of unknown length.
const FIRST_MEMORY: usize = 4 << 10;

/// Reads a body of at most `most` bytes. Its memory counts until the request is answered.
pub(crate) async fn read(
    parts: &Parts,
    body: Body,
    app: &App,
    most: usize,
) -> Result<Bytes, ApiError> {
    let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
    let memory = account.body_memory(&app.memory.shares);
    let mut reading = Reading { app, memory, account, most, charged: 1 };
    let read = tokio::time::timeout(app.settings.requests.body_timeout, reading.read(body));
    let read = match read.await {
        Ok(read) => read,
        Err(_) => Err(ApiError::bad_request(
            "the body did not arrive within the time limit; send it again",
        )),
    };
    if let Some(admitted) = parts.extensions.get::<Admitted>() {
        match &read {
            Ok(_) => admitted.connection().has_read_body(),
            Err(_) => admitted.connection().end_after_answer(),
        }
    }
    reading.account.keep(reading.memory);
    read
}

struct Reading<'a> {
    app: &'a App,
    account: Account,
    memory: BodyMemory,
    most: usize,
    /// Tokens that were taken for the request.
    charged: u64,
}

impl Reading<'_> {
    async fn read(&mut self, body: Body) -> Result<Bytes, ApiError> {
        // Before anything is read: a client that waits for `100 Continue` has sent nothing yet.
        let declared = body.size_hint().exact();
        if let Some(declared) = declared {
            self.check(usize::try_from(declared).unwrap_or(usize::MAX))?;
        }
        let declared = declared.and_then(|declared| usize::try_from(declared).ok());
        let mut chunks = body.into_data_stream();
        let Some(first) = next(&mut chunks).await? else { return Ok(Bytes::new()) };
        self.check(first.len())?;
        if declared == Some(first.len()) {
            self.memory.grow(first.len())?;
            return Ok(first);
        }
        let mut bytes = Vec::new();
        let mut chunk = Some(first);
        while let Some(more) = chunk {
            let length = bytes.len().saturating_add(more.len());
            self.check(length)?;
            self.reserve(&mut bytes, length, declared.unwrap_or(self.most))?;
            bytes.extend_from_slice(&more);
            chunk = next(&mut chunks).await?;
        }
        Ok(bytes.into())
    }

    /// Checks that a body may be so long, and takes the tokens for its bytes.
    fn check(&mut self, length: usize) -> Result<(), ApiError> {
        if length > self.most {
            let message = format!("the body must be at most {}", readable(self.most));
            return Err(ApiError::new(ErrorCode::PayloadTooLarge, message));
        }
        let cost = u64::try_from(length).unwrap_or(u64::MAX).div_ceil(BYTES_A_TOKEN);
        let more = cost.saturating_sub(self.charged);
        if more > 0 {
            self.charged = cost;
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.account.charge(&self.app.memory.rates, more, Instant::now())?;
        }
        Ok(())
    }

    /// Doubles the memory when it is used up, but not beyond the longest that the body can be.
    fn reserve(
        &mut self,
        bytes: &mut Vec<u8>,
        length: usize,
        longest: usize,
    ) -> Result<(), ApiError> {
        if length <= bytes.capacity() {
            return Ok(());
        }
        let doubled = bytes.capacity().saturating_mul(2).max(FIRST_MEMORY).min(longest);
        let capacity = doubled.max(length);
        self.memory.grow(capacity.saturating_sub(bytes.capacity()))?;
        bytes.reserve_exact(capacity.saturating_sub(bytes.len()));
        Ok(())
    }
}

async fn next(chunks: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let chunk = chunks.next().await.transpose();
    chunk.map_err(|_| ApiError::bad_request("reading the body failed; send it again"))
}

fn readable(bytes: usize) -> String {
    match (bytes >> 20, bytes >> 10) {
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    }
}
