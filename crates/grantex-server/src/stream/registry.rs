//! The open streams, by developer, with the tails and lanes of their logs. The hub keeps it behind
//! its lock: nothing here waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use grantex_core::log::Position;
use grantex_types::{DeveloperId, KeyId, Timestamp};

use super::chunk::Chunk;
use super::counts::StreamCounts;
use super::end::EndReason;
use super::lanes::Lanes;
use super::tail::Tail;
use super::ticket::TicketRef;
use crate::http::error::ApiResult;
use crate::net::connection::Connection;
use crate::net::signal::Signal;
use crate::settings::StreamSettings;

/// When the tails exceed their budget they are trimmed to this part of it, so that not every
/// publication has to trim.
const TRIM_TO: (usize, usize) = (9, 10);

#[derive(Default)]
pub(super) struct Registry {
    /// Developers with at least one open stream.
    developers: HashMap<DeveloperId, DeveloperStreams>,
    /// Their streams.
    open: usize,
    /// Bytes that all tails hold.
    tail_bytes: usize,
    /// When the streams that tickets opened have to end.
    expiries: BTreeSet<(Timestamp, DeveloperId, u64)>,
}

/// The streams of one developer.
pub(super) struct DeveloperStreams {
    pub(super) tail: Arc<Tail>,
    pub(super) lanes: Arc<Lanes>,
    counts: StreamCounts,
    streams: HashMap<u64, OpenStream>,
}

/// A stream, as far as others can end it.
pub(super) struct OpenStream {
    pub(super) key_id: KeyId,
    pub(super) ticket: Option<TicketRef>,
    /// Set when the stream has to end.
    pub(super) end: Arc<Signal<EndReason>>,
    pub(super) connection: Option<Arc<Connection>>,
}

impl DeveloperStreams {
    fn new() -> Self {
        Self {
            tail: Arc::new(Tail::new()),
            lanes: Lanes::new(),
            counts: StreamCounts::default(),
            streams: HashMap::new(),
        }
    }
}

impl Registry {
    /// Adds a stream under its number, unless that exceeds a limit of its developer or ticket.
    /// Returns the tail and the lanes of its log.
    pub(super) fn add(
        &mut self,
        developer: DeveloperId,
        number: u64,
        stream: OpenStream,
        limits: &StreamSettings,
    ) -> ApiResult<(Arc<Tail>, Arc<Lanes>)> {
        let own = self.developers.entry(developer).or_insert_with(DeveloperStreams::new);
        if let Err(error) = own.counts.add(stream.ticket.as_ref(), limits) {
            self.forget_if_empty(developer);
            return Err(error);
        }
        if let Some(ticket) = stream.ticket {
            self.expiries.insert((ticket.expires_at, developer, number));
        }
        self.open = self.open.saturating_add(1);
        own.streams.insert(number, stream);
        Ok((Arc::clone(&own.tail), Arc::clone(&own.lanes)))
    }

    /// Removes a stream.
    pub(super) fn remove(&mut self, developer: DeveloperId, number: u64) -> Option<OpenStream> {
        let own = self.developers.get_mut(&developer)?;
        let stream = own.streams.remove(&number)?;
        own.counts.remove(stream.ticket.as_ref());
        self.open = self.open.saturating_sub(1);
        if let Some(ticket) = stream.ticket {
            self.expiries.remove(&(ticket.expires_at, developer, number));
        }
        self.forget_if_empty(developer);
        Some(stream)
    }

    /// A developer without a stream takes no memory.
    fn forget_if_empty(&mut self, developer: DeveloperId) {
        if self.developers.get(&developer).is_some_and(|own| own.streams.is_empty())
            && let Some(own) = self.developers.remove(&developer)
        {
            self.tail_bytes = self.tail_bytes.saturating_sub(own.tail.bytes());
        }
    }

    /// How many streams are open.
    pub(super) fn count(&self) -> usize {
        self.open
    }

    /// The developers that have streams.
    pub(super) fn developers(&self) -> impl Iterator<Item = DeveloperId> {
        self.developers.keys().copied()
    }

    /// What a developer has, if it has streams.
    pub(super) fn get(&self, developer: DeveloperId) -> Option<&DeveloperStreams> {
        self.developers.get(&developer)
    }

    /// The streams of a developer.
    pub(super) fn of(&self, developer: DeveloperId) -> impl Iterator<Item = &OpenStream> {
        self.get(developer).into_iter().flat_map(|own| own.streams.values())
    }

    /// The streams of all developers.
    pub(super) fn all(&self) -> impl Iterator<Item = &OpenStream> {
        self.developers.values().flat_map(|own| own.streams.values())
    }

    /// The streams whose ticket has expired by now, each once, and whether there are others that a
    /// ticket opened.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> (Vec<&OpenStream>, bool) {
        let mut expired = Vec::new();
        while let Some(first) = self.expiries.first().copied().filter(|(at, ..)| *at <= now) {
            self.expiries.remove(&first);
            expired.push(first);
        }
        let has_others = !self.expiries.is_empty();
        let stream = |(_, developer, number)| self.get(developer)?.streams.get(&number);
        (expired.into_iter().filter_map(stream).collect(), has_others)
    }

    /// Adds chunks to a developer's tail, whose log reaches up to `head`, and wakes its lanes.
    /// Trims the tails where they exceed the budget then.
    pub(super) fn publish(
        &mut self,
        developer: DeveloperId,
        chunks: Vec<Arc<Chunk>>,
        head: Position,
        budget: usize,
    ) {
        let Some(own) = self.developers.get(&developer) else { return };
        let (before, after) = own.tail.push(chunks, head);
        own.lanes.wake();
        self.tail_bytes = self.tail_bytes.saturating_add(after).saturating_sub(before);
        if self.tail_bytes > budget {
            self.trim_tails(budget);
        }
    }

    /// Drops the oldest chunks of the least recently used tails.
    fn trim_tails(&mut self, budget: usize) {
        let goal = budget.saturating_mul(TRIM_TO.0).checked_div(TRIM_TO.1).unwrap_or(0);
        let mut tails: Vec<&Tail> = self.developers.values().map(|own| own.tail.as_ref()).collect();
        tails.sort_by_key(|tail| tail.used());
        let mut left = self.tail_bytes;
        for tail in tails {
            while left > goal {
                let freed = tail.drop_oldest();
                if freed == 0 {
                    break;
                }
                left = left.saturating_sub(freed);
            }
        }
        self.tail_bytes = left;
    }

    /// Bytes that all tails hold: as counted, and in fact.
    #[cfg(test)]
    pub(super) fn tail_bytes(&self) -> (usize, usize) {
        (self.tail_bytes, self.developers.values().map(|own| own.tail.bytes()).sum())
    }
}
