//! Stream tickets: for browsers, whose `EventSource` cannot send a header.
//!
//! A ticket is signed, not stored: it survives restarts. It can only read, is bound to a filter and
//! to the API key that made it, and is checked whenever a stream is opened with it. Its streams end
//! when it expires. It has a limit of streams and a rate limit of its own, so that its holder takes
//! nothing from the developer's other streams.

use grantex_types::{DeveloperId, KeyId, Lifetime, Timestamp};
use serde::{Deserialize, Serialize};

use crate::crypto::{Secrets, sha256};
use grantex_core::usecase::filter::EventFilter;

/// The prefix, which also names the purpose of the signature.
const PREFIX: &str = "gxt_";

/// How long a ticket opens streams unless the request says otherwise.
pub(crate) const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(15 * 60);
/// The longest that a ticket opens streams.
pub(crate) const LONGEST_LIFETIME: Lifetime = Lifetime::from_seconds(24 * 3600);

/// What a ticket carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    #[serde(rename = "d")]
    pub(crate) developer_id: DeveloperId,
    #[serde(rename = "k")]
    pub(crate) key_id: KeyId,
    #[serde(rename = "f")]
    pub(crate) filter: EventFilter,
}

/// The SHA-256 of a ticket: what its streams and its rate are counted by.
pub(crate) type TicketHash = [u8; 32];

/// What a stream keeps of the ticket that opened it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TicketRef {
    pub(crate) hash: TicketHash,
    pub(crate) expires_at: Timestamp,
}

impl Ticket {
    pub(crate) fn sign(&self, secrets: &Secrets, expires_at: Timestamp) -> String {
        secrets.sign(PREFIX, self, expires_at)
    }

    /// The ticket, if its signature is valid and it has not expired. The caller has to check its
    /// key.
    pub(crate) fn read(secrets: &Secrets, text: &str, now: Timestamp) -> Option<(Self, TicketRef)> {
        let (ticket, expires_at) = secrets.read_signed_until(PREFIX, text, now)?;
        Some((ticket, TicketRef { hash: sha256(text.as_bytes()), expires_at }))
    }
}
