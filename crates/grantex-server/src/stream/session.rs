//! A subscriber: a cursor that follows the log, from any point of history into live.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use grantex_core::env::Clock;
use grantex_core::log::Position;
use grantex_core::store::{self, Order, QueryKind, Scan, Store};
use grantex_core::usecase::events::Cursor;
use grantex_core::{Error, StoreError};
use grantex_types::{EventId, TypeSet};
use tokio::time::Instant;

use super::frame::{Chunk, Framer, Selection};
use super::tail::{Found, Tail};
use super::{End, Filter, Slot};

/// Bytes that are given at once, and a chunk at most besides: a subscriber that is behind gets many
/// events in one write, and one that stops reading has no more than this waiting above its socket.
const MOST_AT_ONCE: usize = 128 << 10;
/// Memory of the chunks that they lie in, and a chunk at most besides: a filter that shows little
/// of each would have a stalled reader keep all of them alive.
const MOST_HELD: usize = 512 << 10;
/// How often it is looked, within the keep-alive time, whether a sign of life is due: it may come
/// early by as much.
const BEATS: u32 = 16;
/// The shortest time between two such looks.
const LEAST_BEAT: Duration = Duration::from_millis(1);
/// How long to wait when the store cannot be read.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// What a subscriber gets.
pub(super) enum Item {
    /// Events: as many as are due, within what one write should carry.
    Events(Vec<Selection>),
    /// No event for the keep-alive time, but the log moved past hidden ones: the cursor is here.
    Cursor(EventId),
    /// No event for the keep-alive time.
    Idle,
}

/// What comes next.
pub(super) enum Next {
    Item(Item),
    /// It has all there is.
    Nothing,
    /// The stream has to end.
    End(End),
}

/// What came of reading the store.
enum Loaded {
    /// There is a page.
    Page,
    /// There is no event after the cursor.
    Nothing,
    /// The next event was removed before it was delivered.
    Gap,
    /// The next event, at this position, is damaged.
    Damaged(Position),
    /// The store could not be read.
    Failed,
}

/// A subscriber. It holds a position and at most one page of the store, never a place in a tail.
pub(crate) struct Session {
    slot: Slot,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    filter: Filter,
    /// Everything up to here was delivered or hidden.
    cursor: Cursor,
    /// The cursor that the client knows.
    told: EventId,
    /// Chunks of a page of the store, oldest first.
    page: VecDeque<Arc<Chunk>>,
    /// It was at the head before: what comes now is new, and its age is how late it is.
    live: bool,
    keep_alive: Duration,
    /// Since when the client has heard nothing.
    quiet_since: Instant,
}

impl Session {
    pub(crate) fn new(
        slot: Slot,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        filter: Filter,
        cursor: Cursor,
        keep_alive: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            filter,
            cursor,
            told: cursor.id,
            page: VecDeque::new(),
            live: false,
            keep_alive,
            quiet_since: Instant::now(),
            slot,
        }
    }

    /// Where the subscriber is.
    pub(crate) fn cursor(&self) -> EventId {
        self.cursor.id
    }

    /// Shows these types from here on.
    pub(crate) fn set_types(&mut self, types: TypeSet) {
        self.filter.types = types;
    }

    /// The log's newest events.
    pub(super) fn tail(&self) -> &Arc<Tail> {
        &self.slot.tail
    }

    /// How often to ask whether a sign of life is [`due`](Self::due).
    pub(super) fn beat(&self) -> Duration {
        self.margin().max(LEAST_BEAT)
    }

    /// How much too early a sign of life may come, so that it does not come too late.
    fn margin(&self) -> Duration {
        self.keep_alive.checked_div(BEATS).unwrap_or_default()
    }

    /// Whether the log is known to go on after the cursor.
    pub(super) fn is_behind(&self) -> bool {
        self.slot.tail.has_after(self.cursor.position)
    }

    /// Ready when the stream has to end.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<End> {
        self.slot.poll_ended(context)
    }

    /// What comes next; waits for the store, where only that knows. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.due() {
                return next;
            }
            let is_behind = self.is_behind();
            // On the heap, both: an idle stream would keep the room for them in its task.
            match Box::pin(self.load()).await {
                Loaded::Page => {}
                // What is read is older than what is known of it: it gets there.
                Loaded::Nothing if is_behind => Box::pin(tokio::time::sleep(STORE_PAUSE)).await,
                Loaded::Nothing => self.slot.tail.ends_at(self.cursor.position),
                Loaded::Gap => return Next::End(End::Expired),
                Loaded::Damaged(position) => return Next::End(End::Damaged(position)),
                Loaded::Failed => Box::pin(tokio::time::sleep(STORE_PAUSE)).await,
            }
        }
    }

    /// What comes next, as far as it is in memory; `None` if only the store knows.
    pub(super) fn due(&mut self) -> Option<Next> {
        if let Some(end) = self.slot.has_ended() {
            return Some(Next::End(end));
        }
        // Also in the middle of a long stretch of hidden history.
        if let Some(idle) = self.idle() {
            return Some(Next::Item(idle));
        }
        loop {
            let chunk = match self.find() {
                Found::Chunk(chunk) => chunk,
                Found::Missing => return None,
                Found::Nothing => {
                    self.live = true;
                    self.slot.has_caught_up();
                    return Some(Next::Nothing);
                }
            };
            if let Some(selection) = self.take(&chunk) {
                return Some(Next::Item(Item::Events(self.all_due(selection))));
            }
        }
    }

    /// Where the next event lies.
    fn find(&self) -> Found {
        match self.page.front() {
            Some(chunk) => Found::Chunk(Arc::clone(chunk)),
            None => self.slot.tail.read(self.cursor.position, self.slot.tick()),
        }
    }

    /// The selection and what follows it, as far as it is in memory.
    fn all_due(&mut self, first: Selection) -> Vec<Selection> {
        let (mut bytes, mut held) = (first.bytes(), first.held());
        let mut all = vec![first];
        while bytes < MOST_AT_ONCE && held < MOST_HELD {
            let Found::Chunk(chunk) = self.find() else { break };
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
        self.told = last.last_id();
        self.quiet_since = Instant::now();
        let events: usize = selections.iter().map(Selection::events).sum();
        self.slot.delivered(events as u64);
        if self.live {
            let age = self.clock.now().millis_since(last.last_created_at());
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            self.slot.lagged(age as f64 / 1000.0);
        }
    }

    /// A sign of life, if it would be late at the next beat, with the cursor if the client does not
    /// know it.
    fn idle(&mut self) -> Option<Item> {
        let now = Instant::now();
        let quiet = now.saturating_duration_since(self.quiet_since);
        if quiet < self.keep_alive.saturating_sub(self.margin()) {
            return None;
        }
        self.quiet_since = now;
        if self.told == self.cursor.id {
            return Some(Item::Idle);
        }
        self.told = self.cursor.id;
        Some(Item::Cursor(self.cursor.id))
    }

    /// What is shown of a chunk; the cursor moves to its end.
    fn take(&mut self, chunk: &Arc<Chunk>) -> Option<Selection> {
        let selection = chunk.select(self.cursor.position, &self.filter);
        self.cursor = Cursor { position: chunk.last(), id: chunk.last_id() };
        // Where there is a page, the chunk is its first.
        self.page.pop_front();
        selection
    }

    /// Reads the next page of the store.
    async fn load(&mut self) -> Loaded {
        let (developer, after) = (self.slot.developer, self.cursor.position);
        let (max_bytes, with_subjects) = (self.slot.page_bytes(), self.filter.asks_for_subject());
        let scan =
            Scan { order: Order::OldestFirst, after, limit: u32::MAX, max_bytes, with_subjects };
        let page = store::read(self.store.as_ref(), developer, QueryKind::Long, move |snapshot| {
            let mut framer = Framer::default();
            snapshot.scan_events(developer, scan, &mut |event| framer.push(event))?;
            Ok(framer.finish())
        });
        match page.await {
            Err(Error::Store(StoreError::Damaged(damage))) => Loaded::Damaged(damage.first),
            Err(error) => {
                tracing::warn!(%error, "a stream could not read the log; it tries again");
                Loaded::Failed
            }
            Ok(chunks) => match chunks.first() {
                None => Loaded::Nothing,
                Some(first) if first.first() > after.saturating_add(1) => Loaded::Gap,
                Some(_) => {
                    self.page = chunks.into();
                    Loaded::Page
                }
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use grantex_core::env::Rng as _;
    use grantex_core::log::{StoredEvent, Subject};
    use grantex_core::store::{Listener, Needs, write};
    use grantex_store::sqlite::{Environment, SqliteStore};
    use grantex_types::event::{EventData, RevokedBy};
    use grantex_types::{AgentId, DeveloperId, GrantId, KeyId};

    use super::*;
    use crate::stream::Transport;
    use crate::{Memory, Settings, SystemClock, SystemRng};

    /// A developer's log with events of one type, and what opens sessions on it.
    pub(in super::super) struct Log {
        _folder: tempfile::TempDir,
        memory: Arc<Memory>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        developer: DeveloperId,
    }

    impl Log {
        pub(in super::super) async fn with(count: usize, trimmed: Position) -> Self {
            let memory = Memory::new(&Settings::default());
            let log = Self::heard_by(memory.clone(), memory);
            log.append(count).await;
            let developer = log.developer;
            write(log.store.as_ref(), developer, Needs::NONE, "trim", move |tx| {
                Ok(tx.trim(developer, trimmed, u32::MAX)?)
            })
            .await
            .unwrap();
            log
        }

        fn heard_by(listener: Arc<dyn Listener>, memory: Arc<Memory>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let environment =
                Environment { clock: Arc::clone(&clock), rng: Arc::new(SystemRng), listener };
            let store: Arc<dyn Store> =
                Arc::new(SqliteStore::open(folder.path(), &environment).unwrap());
            let developer = DeveloperId::from_parts(1, SystemRng.bits());
            Self { _folder: folder, memory, clock, store, developer }
        }

        async fn append(&self, count: usize) -> Vec<StoredEvent> {
            let developer = self.developer;
            write(self.store.as_ref(), developer, Needs::NONE, "append", move |tx| {
                let grant_id = GrantId::from_parts(1, 1);
                let subject = Subject {
                    grant_id,
                    agent_id: AgentId::from_parts(1, 1),
                    principal_id: "u".into(),
                };
                let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
                (0..count).map(|_| Ok(tx.append(developer, &subject, data.clone())?)).collect()
            })
            .await
            .unwrap()
        }

        pub(in super::super) fn session(
            &self,
            types: &str,
            position: Position,
            keep_alive: Duration,
        ) -> Session {
            let slot = self.memory.streams.open(
                self.developer,
                KeyId::from_parts(1, 1),
                None,
                Transport::Sse,
                None,
            );
            let filter = Filter::new(types.parse().unwrap(), None, None, None).unwrap();
            let cursor = Cursor { position, id: EventId::ZERO };
            let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
            Session::new(slot.ok().unwrap(), store, clock, filter, cursor, keep_alive)
        }
    }

    pub(in super::super) const LONG: Duration = Duration::from_secs(4);

    #[tokio::test]
    async fn a_stream_that_retention_overtook_ends_instead_of_hiding_a_gap() {
        let log = Log::with(10, 4).await;
        assert!(matches!(log.session("", 2, LONG).next().await, Next::End(End::Expired)));
        // The last trimmed event is a good place.
        assert!(
            matches!(log.session("", 4, LONG).next().await, Next::Item(Item::Events(all)) if all[0].events() == 6)
        );
    }

    /// A notice says how far the log reaches and brings none, some or all of the events, some of
    /// them late or twice.
    #[tokio::test]
    async fn a_notice_may_lack_events_and_nothing_is_lost_or_doubled() {
        let log = Log::heard_by(Arc::new(()), Memory::new(&Settings::default()));
        let mut session = log.session("", 0, LONG);
        assert!(matches!(session.next().await, Next::Nothing), "the log is empty");
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
            log.memory.streams.publish(&[(log.developer, head)], &brought);
            while let Next::Item(Item::Events(all)) = session.next().await {
                seen += all.iter().map(Selection::events).sum::<usize>() as u64;
                assert_eq!(session.cursor.position, seen, "in order, without a gap");
            }
            assert!(seen >= head, "as far as the notice says, or as the store had it");
        }
        assert_eq!(seen, 12);
    }

    #[tokio::test]
    async fn what_is_given_at_once_is_bounded_and_complete() {
        const EVENTS: usize = 5000;
        let log = Log::with(EVENTS, 0).await;
        let mut session = log.session("", 0, LONG);
        let mut seen = 0;
        while seen < EVENTS {
            let Next::Item(Item::Events(all)) = session.next().await else {
                panic!("there are more")
            };
            let bytes: usize = all.iter().map(Selection::bytes).sum();
            assert!(bytes < MOST_AT_ONCE + (64 << 10));
            seen += all.iter().map(Selection::events).sum::<usize>();
            assert_eq!(session.cursor.position, seen as u64, "in order, without a gap");
        }
    }

    #[tokio::test]
    async fn a_long_stretch_of_hidden_history_is_not_silent() {
        const EVENTS: usize = 40_000;
        let log = Log::with(EVENTS, 0).await;
        let mut session = log.session("token.issued", 0, Duration::from_millis(1));
        while !matches!(session.next().await, Next::Item(Item::Cursor(_))) {}
        assert!(
            session.cursor.position < EVENTS as u64,
            "a sign of life came before the end was reached"
        );
    }
}
