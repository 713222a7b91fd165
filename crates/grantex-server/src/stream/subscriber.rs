//! A subscriber: a cursor that follows the log, from any point of history into live events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use grantex_core::env::Clock;
use grantex_core::store::{self, Order, QueryKind, Scan, Store};
use grantex_core::usecase::events::Cursor;
use grantex_core::{Error, StoreError};
use grantex_types::{EventId, TypeSet};
use tokio::time::Instant;

use super::chunk::{Chunk, ChunkBuilder};
use super::end::EndReason;
use super::lanes::Lanes;
use super::registration::Registration;
use super::selection::Selection;
use super::tail::Lookup;
use super::transport::Transport;
use grantex_core::usecase::filter::EventFilter;

/// Bytes that one write carries, plus a chunk at most: a subscriber that is behind gets many events
/// in one write, and one that stops reading has no more than this waiting above its socket.
const MOST_AT_ONCE: usize = 128 << 10;
/// Memory of the chunks that these bytes lie in, plus a chunk at most. With a filter that shows
/// little of each chunk, a stalled reader would keep many of them alive.
const MOST_HELD: usize = 512 << 10;
/// How often, within the keep-alive time, a subscriber is checked for being quiet. A keep-alive may
/// be early by one of these periods.
const BEATS: u32 = 16;
/// The shortest time between two such checks.
const LEAST_BEAT: Duration = Duration::from_millis(1);
/// How long to wait when the store cannot be read.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// What comes next for a subscriber.
pub(super) enum Next {
    /// Events: as many as are due, within what one write should carry.
    Events(Vec<Selection>),
    /// No event for the keep-alive time; with the cursor where the client does not know it, because
    /// the log moved past events that the filter hides.
    KeepAlive(Option<EventId>),
    /// It has all events that there are.
    CaughtUp,
    /// The stream has to end.
    End(EndReason),
}

/// A subscriber. It holds a position and at most one page of the store, never a place in a tail.
pub(crate) struct Subscriber {
    registration: Registration,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    filter: EventFilter,
    /// Everything up to here was delivered or hidden.
    cursor: Cursor,
    /// The cursor that the client knows.
    sent: EventId,
    /// Chunks of a page of the store, oldest first.
    page: VecDeque<Arc<Chunk>>,
    /// It was at the head before: later events are new, and their age is their delay.
    is_live: bool,
    keep_alive: Duration,
    /// When the client was sent something last.
    quiet_since: Instant,
}

impl Subscriber {
    pub(crate) fn new(
        registration: Registration,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        filter: EventFilter,
        cursor: Cursor,
        keep_alive: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            filter,
            cursor,
            sent: cursor.id,
            page: VecDeque::new(),
            is_live: false,
            keep_alive,
            quiet_since: Instant::now(),
            registration,
        }
    }

    /// How its events are sent.
    pub(super) fn transport(&self) -> Transport {
        self.registration.transport
    }

    /// Where the subscriber is.
    pub(super) fn cursor(&self) -> EventId {
        self.cursor.id
    }

    /// Shows these types from here on.
    pub(super) fn set_types(&mut self, types: TypeSet) {
        self.filter.types = types;
    }

    /// The lanes of its log.
    pub(super) fn lanes(&self) -> &Arc<Lanes> {
        &self.registration.lanes
    }

    /// How often to check whether a keep-alive is [`due`](Self::due).
    pub(super) fn beat(&self) -> Duration {
        self.margin().max(LEAST_BEAT)
    }

    /// How much too early a keep-alive may be, so that it is not too late.
    fn margin(&self) -> Duration {
        self.keep_alive.checked_div(BEATS).unwrap_or_default()
    }

    /// Whether the log is known to go on after the cursor.
    pub(super) fn is_behind(&self) -> bool {
        self.registration.tail.has_after(self.cursor.position)
    }

    /// Ready when the stream has to end.
    pub(super) fn poll_end(&self, context: &mut Context<'_>) -> Poll<EndReason> {
        self.registration.poll_end(context)
    }

    /// What comes next; reads the store where memory lacks it. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.due() {
                return next;
            }
            // On the heap: an idle stream would keep the room for it in its task.
            if let Err(reason) = Box::pin(self.load()).await {
                return Next::End(reason);
            }
        }
    }

    /// What comes next, as far as it is in memory; `None` if only the store knows.
    pub(super) fn due(&mut self) -> Option<Next> {
        if let Some(reason) = self.registration.end() {
            return Some(Next::End(reason));
        }
        // Also in the middle of a long stretch of hidden history.
        if let Some(keep_alive) = self.keep_alive() {
            return Some(keep_alive);
        }
        loop {
            let chunk = match self.find() {
                Lookup::Chunk(chunk) => chunk,
                Lookup::InStore => return None,
                Lookup::AtHead => {
                    self.is_live = true;
                    self.registration.has_caught_up();
                    return Some(Next::CaughtUp);
                }
            };
            if let Some(selection) = self.take(&chunk) {
                return Some(Next::Events(self.all_due(selection)));
            }
        }
    }

    /// Where the next event lies.
    fn find(&self) -> Lookup {
        let Registration { tail, .. } = &self.registration;
        match self.page.front() {
            Some(chunk) => Lookup::Chunk(Arc::clone(chunk)),
            None => tail.read(self.cursor.position, self.registration.tick()),
        }
    }

    /// The selection and what follows it, as far as it is in memory.
    fn all_due(&mut self, first: Selection) -> Vec<Selection> {
        let (mut bytes, mut held) = (first.bytes(), first.held());
        let mut all = vec![first];
        while bytes < MOST_AT_ONCE && held < MOST_HELD {
            let Lookup::Chunk(chunk) = self.find() else { break };
            if let Some(selection) = self.take(&chunk) {
                bytes = bytes.saturating_add(selection.bytes());
                held = held.saturating_add(selection.held());
                all.push(selection);
            }
        }
        self.account(&all);
        all
    }

    /// Counts what is delivered, and how late it is.
    fn account(&mut self, selections: &[Selection]) {
        let Some(last) = selections.last() else { return };
        self.sent = last.last_id();
        self.quiet_since = Instant::now();
        let events: usize = selections.iter().map(Selection::events).sum();
        self.registration.delivered(events as u64);
        if self.is_live {
            let age = self.clock.now().millis_since(last.last_created_at());
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            self.registration.lagged(age as f64 / 1000.0);
        }
    }

    /// A keep-alive, if it would be late at the next beat.
    fn keep_alive(&mut self) -> Option<Next> {
        let now = Instant::now();
        let quiet = now.saturating_duration_since(self.quiet_since);
        if quiet < self.keep_alive.saturating_sub(self.margin()) {
            return None;
        }
        self.quiet_since = now;
        let is_known = std::mem::replace(&mut self.sent, self.cursor.id) == self.cursor.id;
        Some(Next::KeepAlive((!is_known).then_some(self.cursor.id)))
    }

    /// What the filter shows of a chunk. The cursor moves to the chunk's end.
    fn take(&mut self, chunk: &Arc<Chunk>) -> Option<Selection> {
        let selection = Selection::of(chunk, self.cursor.position, &self.filter);
        self.cursor = Cursor { position: chunk.last(), id: chunk.last_id() };
        // Where there is a page, the chunk is its first.
        self.page.pop_front();
        selection
    }

    /// Reads the next page of the store. Fails if the stream cannot go on; waits where the store
    /// cannot be read.
    async fn load(&mut self) -> Result<(), EndReason> {
        let is_behind = self.is_behind();
        let (developer, after) = (self.registration.developer, self.cursor.position);
        let max_bytes = self.registration.page_bytes();
        let with_subjects = self.filter.asks_for_subject();
        let scan =
            Scan { order: Order::OldestFirst, after, limit: u32::MAX, max_bytes, with_subjects };
        let page = store::read(self.store.as_ref(), developer, QueryKind::Long, move |snapshot| {
            let mut builder = ChunkBuilder::default();
            snapshot.scan_events(developer, scan, &mut |event| builder.push(event))?;
            Ok(builder.finish())
        });
        match page.await {
            Err(Error::Store(StoreError::Damaged(damage))) => {
                return Err(EndReason::Damaged(damage.first));
            }
            Err(error) => {
                tracing::warn!(%error, "a stream cannot read the log; it retries");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Ok(chunks) => match chunks.first() {
                // The snapshot is older than the head that is known: a later one has the event.
                None if is_behind => tokio::time::sleep(STORE_PAUSE).await,
                None => _ = self.registration.tail.reaches(after),
                Some(first) if first.first() > after.saturating_add(1) => {
                    return Err(EndReason::Trimmed);
                }
                Some(_) => self.page = chunks.into(),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::log::Position;

    use super::*;
    use crate::stream::testing::{LONG, Log};

    #[tokio::test]
    async fn a_stream_that_retention_overtook_ends_instead_of_hiding_a_gap() {
        let log = Log::with(10, 4).await;
        assert!(matches!(log.subscriber("", 2, LONG).next().await, Next::End(EndReason::Trimmed)));
        // The last trimmed event is a good place.
        assert!(
            matches!(log.subscriber("", 4, LONG).next().await, Next::Events(all) if all[0].events() == 6)
        );
    }

    /// A notice says how far the log reaches and brings none, some or all of the events, some of
    /// them late or twice.
    #[tokio::test]
    async fn a_notice_may_lack_events_and_nothing_is_lost_or_doubled() {
        let log = Log::without_notices();
        let mut subscriber = log.subscriber("", 0, LONG);
        assert!(matches!(subscriber.next().await, Next::CaughtUp), "the log is empty");
        let events = log.append(12).await;
        let notices: [(Position, &[Position]); 6] =
            [(2, &[]), (5, &[4, 5]), (6, &[4, 5, 6]), (6, &[5]), (10, &[7, 10]), (12, &[11, 12])];
        let mut seen = 0;
        for (head, brought) in notices {
            let brought: Vec<_> = brought
                .iter()
                .map(|at| events.iter().find(|event| event.position == *at).unwrap())
                .map(|event| (log.developer, event.clone()))
                .collect();
            log.hub.publish(&[(log.developer, head)], &brought);
            while let Next::Events(all) = subscriber.next().await {
                seen += all.iter().map(Selection::events).sum::<usize>() as u64;
                assert_eq!(subscriber.cursor.position, seen, "in order, without a gap");
            }
            assert!(seen >= head, "as far as the notice says, or as the store had it");
        }
        assert_eq!(seen, 12);
    }

    #[tokio::test]
    async fn what_is_given_at_once_is_bounded_and_complete() {
        const EVENTS: usize = 5000;
        let log = Log::with(EVENTS, 0).await;
        let mut subscriber = log.subscriber("", 0, LONG);
        let mut seen = 0;
        while seen < EVENTS {
            let Next::Events(all) = subscriber.next().await else { panic!("there are more") };
            let bytes: usize = all.iter().map(Selection::bytes).sum();
            assert!(bytes < MOST_AT_ONCE + (64 << 10));
            seen += all.iter().map(Selection::events).sum::<usize>();
            assert_eq!(subscriber.cursor.position, seen as u64, "in order, without a gap");
        }
    }

    #[tokio::test]
    async fn a_long_stretch_of_hidden_history_is_not_silent() {
        const EVENTS: usize = 40_000;
        let log = Log::with(EVENTS, 0).await;
        let mut subscriber = log.subscriber("token.issued", 0, Duration::from_millis(1));
        while !matches!(subscriber.next().await, Next::KeepAlive(Some(_))) {}
        assert!(
            subscriber.cursor.position < EVENTS as u64,
            "a keep-alive was sent before the end was reached"
        );
    }
}
