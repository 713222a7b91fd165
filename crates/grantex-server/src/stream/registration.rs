//! A subscriber's registration among the open streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use grantex_types::{DeveloperId, KeyId};

use super::end::EndReason;
use super::hub::Hub;
use super::lanes::Lanes;
use super::registry::OpenStream;
use super::tail::Tail;
use super::ticket::TicketRef;
use super::transport::Transport;
use crate::http::error::ApiResult;
use crate::net::connection::Connection;
use crate::net::signal::Signal;

/// Memory that all streams which read the store share for what they have read, as long as each gets
/// the smallest page: enough for two thousand streams. More streams get the smallest page each.
const REPLAY_BUDGET: usize = 128 << 20;
/// The smallest and the largest page, in bytes, that a stream reads from the store at once. Above
/// the larger, the cost of a query no longer matters; below the smaller, it would be most of the
/// work.
const PAGE: (usize, usize) = (64 << 10, 512 << 10);

/// A registration. Dropping it removes the stream from the hub.
pub(crate) struct Registration {
    hub: Arc<Hub>,
    pub(super) developer: DeveloperId,
    number: u64,
    end: Arc<Signal<EndReason>>,
    pub(super) tail: Arc<Tail>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) transport: Transport,
    /// It counts among the streams that read the store.
    is_replaying: bool,
}

impl Registration {
    /// Registers a stream, unless a limit is reached. From here on it misses no publication and no
    /// revocation of its key.
    pub(crate) fn open(
        hub: &Arc<Hub>,
        developer: DeveloperId,
        key_id: KeyId,
        ticket: Option<TicketRef>,
        transport: Transport,
        connection: Option<Arc<Connection>>,
    ) -> ApiResult<Self> {
        let end = Arc::new(Signal::default());
        let stream = OpenStream { key_id, ticket, end: Arc::clone(&end), connection };
        let (number, tail, lanes) = hub.add(developer, stream)?;
        metrics::gauge!("grantex_streams_open", "transport" => transport.label()).increment(1.0);
        let hub = Arc::clone(hub);
        Ok(Self { hub, developer, number, end, tail, lanes, transport, is_replaying: false })
    }

    /// How many bytes to read from the store at once. The stream counts among those that read the
    /// store from here on.
    pub(super) fn page_bytes(&mut self) -> usize {
        if !std::mem::replace(&mut self.is_replaying, true) {
            self.hub.replaying.fetch_add(1, Ordering::Relaxed);
        }
        let streams = self.hub.replaying.load(Ordering::Relaxed);
        REPLAY_BUDGET.checked_div(streams).unwrap_or(REPLAY_BUDGET).clamp(PAGE.0, PAGE.1)
    }

    /// The stream does not need the store any more.
    pub(super) fn has_caught_up(&mut self) {
        if std::mem::take(&mut self.is_replaying) {
            self.hub.replaying.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ready when the stream has to end.
    pub(super) fn poll_end(&self, context: &mut Context<'_>) -> Poll<EndReason> {
        self.end.poll_wait(context)
    }

    /// Why the stream has to end, if it has to.
    pub(super) fn end(&self) -> Option<EndReason> {
        self.end.get()
    }

    pub(super) fn tick(&self) -> u64 {
        self.hub.tick()
    }

    /// Counts events that were delivered.
    pub(super) fn delivered(&self, events: u64) {
        self.hub.delivery_metrics().delivered(self.transport, events);
    }

    /// Records how long ago, in seconds, an event was created that was delivered live.
    pub(super) fn lagged(&self, seconds: f64) {
        self.hub.delivery_metrics().lagged(seconds);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.has_caught_up();
        self.hub.remove(self.developer, self.number);
        metrics::gauge!("grantex_streams_open", "transport" => self.transport.label())
            .decrement(1.0);
    }
}
