//! Reading a request's body: one way for every extractor, with its limits on size, time and memory.

use std::time::Instant;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use futures_util::StreamExt as _;
use grantex_types::ErrorCode;
use http::request::Parts;

use crate::app::App;
use crate::http::account::Account;
use crate::http::error::ApiError;
use crate::http::shares::Room;
use crate::net::connections::Admitted;

/// The largest body of the API.
pub(crate) const LARGEST: usize = 1 << 20;
/// The largest form of a page: a session token and an id, where the token's principal may have 256
/// characters.
pub(crate) const LARGEST_FORM: usize = 4 << 10;
/// The largest body of a signup: a name of 200 characters and an e-mail address, each perhaps
/// escaped.
pub(crate) const LARGEST_SIGNUP: usize = 8 << 10;

/// How many bytes of a body count as a request: the first so many are part of the request itself,
/// and each further ones cost a token more. The smallest request takes 0.05 ms of a core and one of
/// 1 MB takes 2 ms, as much as 40; but nobody has to send more than some 30 KB (a hundred scopes),
/// so the price is six times that: at a thousand tokens a second, one developer's bodies take less
/// than a hundredth of a core.
const BYTES_A_TOKEN: u64 = 4 << 10;
/// Room that is set aside at first where it is not known how long a body will be.
const FIRST_ROOM: usize = 4 << 10;

/// Reads a body of at most so many bytes. The memory counts until the request is answered.
pub(crate) async fn read(
    parts: &Parts,
    body: Body,
    app: &App,
    most: usize,
) -> Result<Bytes, ApiError> {
    let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
    let room = account.room(&app.memory.shares);
    let mut reading = Reading { app, room, account, most, charged: 1 };
    let read = tokio::time::timeout(app.settings.requests.body_timeout, reading.read(body));
    let read = match read.await {
        Ok(read) => read,
        Err(_) => Err(ApiError::bad_request("the body did not arrive in time")),
    };
    if let Some(admitted) = parts.extensions.get::<Admitted>() {
        match &read {
            Ok(_) => admitted.connection().has_read_body(),
            Err(_) => admitted.connection().end_after_answer(),
        }
    }
    reading.account.keep(reading.room);
    read
}

struct Reading<'a> {
    app: &'a App,
    account: Account,
    room: Room,
    most: usize,
    /// Tokens that were taken for it.
    charged: u64,
}

impl Reading<'_> {
    async fn read(&mut self, body: Body) -> Result<Bytes, ApiError> {
        // Before anything is read: a client that waits for `100 Continue` has sent nothing then.
        let declared = body.size_hint().exact();
        if let Some(declared) = declared {
            self.check(usize::try_from(declared).unwrap_or(usize::MAX))?;
        }
        let declared = declared.and_then(|declared| usize::try_from(declared).ok());
        let mut chunks = body.into_data_stream();
        let Some(first) = next(&mut chunks).await? else { return Ok(Bytes::new()) };
        self.check(first.len())?;
        if declared == Some(first.len()) {
            self.room.grow(first.len())?;
            return Ok(first);
        }
        let mut bytes = Vec::new();
        let mut chunk = Some(first);
        while let Some(more) = chunk {
            let length = bytes.len().saturating_add(more.len());
            self.check(length)?;
            self.make_room(&mut bytes, length, declared.unwrap_or(self.most))?;
            bytes.extend_from_slice(&more);
            chunk = next(&mut chunks).await?;
        }
        Ok(bytes.into())
    }

    /// Whether a body may be so long: it is not too large, and its bytes are paid for.
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

    /// Doubles the memory when it is used up, as far as the body can need it.
    fn make_room(
        &mut self,
        bytes: &mut Vec<u8>,
        length: usize,
        longest: usize,
    ) -> Result<(), ApiError> {
        if length <= bytes.capacity() {
            return Ok(());
        }
        let doubled = bytes.capacity().saturating_mul(2).max(FIRST_ROOM).min(longest);
        let capacity = doubled.max(length);
        self.room.grow(capacity.saturating_sub(bytes.capacity()))?;
        bytes.reserve_exact(capacity.saturating_sub(bytes.len()));
        Ok(())
    }
}

async fn next(chunks: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let chunk = chunks.next().await.transpose();
    chunk.map_err(|_| ApiError::bad_request("the body could not be read"))
}

fn readable(bytes: usize) -> String {
    match (bytes >> 20, bytes >> 10) {
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    }
}
