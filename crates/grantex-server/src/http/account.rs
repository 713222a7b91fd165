//! What one request takes of the limits, from its arrival to its answer.

use std::sync::Arc;
use std::time::Instant;

use grantex_types::DeveloperId;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::error::ApiError;
use super::rate::{Allowance, RateLimits, Taken};
use super::shares::{BodyMemory, Entered, Queue, Shares};
use crate::net::address::ClientAddress;

/// What one request takes of the limits. The layers and extractors of the request share it.
#[derive(Clone, Default)]
pub(crate) struct Account(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The allowance of the rate limit that applied last, for the answer's headers.
    allowance: Option<Allowance>,
    from: Option<(Payer, Entered)>,
    body: Option<BodyMemory>,
}

/// Whose tokens a request takes.
#[derive(Clone, Copy)]
pub(crate) enum Payer {
    Developer(DeveloperId),
    Address(ClientAddress),
}

impl Account {
    /// Notes the outcome of a rate limit.
    pub(crate) fn note(&self, taken: Taken) -> Result<(), ApiError> {
        match taken {
            None => Ok(()),
            Some(Ok(allowance)) => {
                self.0.lock().allowance = Some(allowance);
                Ok(())
            }
            Some(Err((allowance, error))) => {
                self.0.lock().allowance = Some(allowance);
                Err(error)
            }
        }
    }

    /// Notes who pays for the request, and counts it until it is answered.
    pub(crate) fn enter(&self, payer: Payer, entered: Entered) {
        self.0.lock().from = Some((payer, entered));
    }

    /// Takes more tokens of the payer.
    pub(crate) fn charge(
        &self,
        rates: &RateLimits,
        tokens: u32,
        now: Instant,
    ) -> Result<(), ApiError> {
        let payer = self.0.lock().from.as_ref().map(|(payer, _)| *payer);
        match payer {
            Some(Payer::Developer(id)) => self.note(rates.developer.take_many(id, tokens, now)),
            Some(Payer::Address(address)) => {
                self.note(rates.address.take_many(address, tokens, now))
            }
            None => Ok(()),
        }
    }

    /// Memory for the request's body.
    pub(crate) fn body_memory(&self, shares: &Arc<Shares>) -> BodyMemory {
        self.entered(shares, Entered::body_memory)
    }

    /// The payer's queue for heavy work.
    pub(crate) fn queue(&self, shares: &Arc<Shares>) -> Queue {
        self.entered(shares, Entered::queue)
    }

    fn entered<T>(&self, shares: &Arc<Shares>, of: impl FnOnce(&Entered) -> T) -> T {
        match &self.0.lock().from {
            Some((_, entered)) => of(entered),
            None => of(&shares.stranger()),
        }
    }

    /// Keeps the body's memory counted until the request is answered.
    pub(crate) fn keep(&self, body: BodyMemory) {
        self.0.lock().body = Some(body);
    }

    /// Writes the allowance into the answer's headers.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let Some(allowance) = self.0.lock().allowance else { return };
        for (name, value) in [
            ("x-ratelimit-limit", allowance.limit),
            ("x-ratelimit-remaining", allowance.remaining),
            ("x-ratelimit-reset", allowance.reset),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}
