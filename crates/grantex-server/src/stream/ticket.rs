//! Stream tickets: for browsers, whose `EventSource` cannot send a header.
//!
//! A ticket is signed, not stored: it survives restarts. It is read-only, bound to a filter and to
//! the API key that made it, and checked whenever a stream is opened with it. Its streams end when
//! it does, and it has a cap of streams and a rate of its own: who got it from the developer takes
//! nothing from the developer's other readers.

use grantex_types::{DeveloperId, KeyId, Lifetime, Timestamp};
use serde::{Deserialize, Serialize};

use super::Filter;
use super::filter::StoredFilter;
use crate::crypto::{Secrets, sha256};

/// The prefix, which also names the purpose of the signature.
const PREFIX: &str = "gxt_";

/// How long a ticket opens streams unless asked otherwise.
pub(crate) const DEFAULT_LIFETIME: Lifetime = Lifetime::from_seconds(15 * 60);
/// The longest that a ticket opens streams.
pub(crate) const LONGEST_LIFETIME: Lifetime = Lifetime::from_seconds(24 * 3600);

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "d")]
    developer_id: DeveloperId,
    #[serde(rename = "k")]
    key_id: KeyId,
    #[serde(rename = "f")]
    filter: StoredFilter,
}

/// The SHA-256 of a ticket: what its streams and its rate are counted by.
pub(crate) type TicketHash = [u8; 32];

/// A ticket as what opened a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) hash: TicketHash,
    /// When its streams end.
    pub(crate) until: Timestamp,
}

/// A ticket that was read.
pub(crate) struct Ticket {
    pub(crate) developer_id: DeveloperId,
    pub(crate) key_id: KeyId,
    pub(crate) filter: Filter,
}

impl Ticket {
    pub(crate) fn sign(&self, secrets: &Secrets, expires_at: Timestamp) -> String {
        let content = Content {
            developer_id: self.developer_id,
            key_id: self.key_id,
            filter: self.filter.store(),
        };
        secrets.sign(PREFIX, content, expires_at)
    }

    /// The ticket, if it is one of ours and its time is not over. Whether its key still works is
    /// for the caller to check.
    pub(crate) fn read(secrets: &Secrets, text: &str, now: Timestamp) -> Option<(Self, Held)> {
        let (content, until): (Content, _) = secrets.read_signed_until(PREFIX, text, now)?;
        let ticket = Self {
            developer_id: content.developer_id,
            key_id: content.key_id,
            filter: content.filter.into(),
        };
        Some((ticket, Held { hash: sha256(text.as_bytes()), until }))
    }
}
