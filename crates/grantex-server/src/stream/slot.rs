//! A stream's place among the open streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use grantex_types::DeveloperId;

use super::hub::{End, Hub, Transport};
use super::tail::Tail;
use crate::net::signal::Signal;

/// Memory that all streams which read the store share for what they have read, as long as each gets
/// the smallest page: that is two thousand of them. More take the smallest page each.
const REPLAY_BUDGET: usize = 128 << 20;
/// Bytes that one of them reads at once: beyond the larger, asking for them costs nothing any more;
/// below the smaller, it would be most of the work.
const PAGE: (usize, usize) = (64 << 10, 512 << 10);

/// A stream's place; dropping it closes the stream's books at once.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    pub(super) developer: DeveloperId,
    number: u64,
    ends: Arc<Signal<End>>,
    pub(super) tail: Arc<Tail>,
    transport: Transport,
    /// It counts among those that read the store.
    is_replaying: bool,
}

impl Slot {
    /// The place with this number, how it is told to end, and its developer's tail.
    pub(super) fn new(
        hub: Arc<Hub>,
        developer: DeveloperId,
        number: u64,
        transport: Transport,
        (ends, tail): (Arc<Signal<End>>, Arc<Tail>),
    ) -> Self {
        Self { hub, developer, number, ends, tail, transport, is_replaying: false }
    }

    /// How many bytes to read from the store at once: the stream counts among those that do, from
    /// here on.
    pub(super) fn page_bytes(&mut self) -> usize {
        if !std::mem::replace(&mut self.is_replaying, true) {
            self.hub.replaying.fetch_add(1, Ordering::Relaxed);
        }
        let streams = self.hub.replaying.load(Ordering::Relaxed);
        REPLAY_BUDGET.checked_div(streams).unwrap_or(REPLAY_BUDGET).clamp(PAGE.0, PAGE.1)
    }

    /// The stream has no need of the store any more.
    pub(super) fn has_caught_up(&mut self) {
        if std::mem::take(&mut self.is_replaying) {
            self.hub.replaying.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ready when the stream has to end.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<End> {
        self.ends.poll_wait(context)
    }

    /// Whether and why the stream has to end.
    pub(super) fn has_ended(&self) -> Option<End> {
        self.ends.get()
    }

    pub(super) fn tick(&self) -> u64 {
        self.hub.tick()
    }

    /// Counts events that were delivered.
    pub(super) fn delivered(&self, events: u64) {
        let counters = self.hub.figures.get_or_init(Figures::find);
        match self.transport {
            Transport::Sse => counters.sse.increment(events),
            Transport::WebSocket => counters.ws.increment(events),
        }
    }

    /// How late, in seconds, an event was that was delivered live.
    pub(super) fn lagged(&self, seconds: f64) {
        self.hub.figures.get_or_init(Figures::find).lag.record(seconds);
    }
}

/// What every delivery counts; found by name once, not each time.
pub(super) struct Figures {
    sse: metrics::Counter,
    ws: metrics::Counter,
    lag: metrics::Histogram,
}

impl Figures {
    fn find() -> Self {
        let delivered = |transport: Transport| metrics::counter!("grantex_events_delivered_total", "transport" => transport.label());
        Self {
            sse: delivered(Transport::Sse),
            ws: delivered(Transport::WebSocket),
            lag: metrics::histogram!("grantex_delivery_lag_seconds"),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.has_caught_up();
        self.hub.close(self.developer, self.number);
        metrics::gauge!("grantex_streams_open", "transport" => self.transport.label())
            .decrement(1.0);
    }
}
