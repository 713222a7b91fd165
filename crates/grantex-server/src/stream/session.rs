//! A subscriber: a cursor that follows the log, from any point of history into live.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::env::Clock;
use grantex_core::log::Position;
use grantex_core::store::{self, Store};
use grantex_core::usecase::events::Cursor;
use grantex_types::{EventId, TypeSet};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::frame::Chunk;
pub(crate) use super::frame::Run;
use super::tail::Found;
use super::{End, Filter, Slot};

/// Events and bytes read from the store at once: large enough to be cheap per event, small enough
/// that a thousand replaying subscribers stay within some hundred megabytes.
const PAGE_EVENTS: u32 = 512;
const PAGE_BYTES: usize = 128 << 10;
/// Bytes that are given at once, and a chunk at most besides: a subscriber that is behind gets many events in
/// one write, and one that stops reading has no more than this waiting above its socket.
const MOST_AT_ONCE: usize = 128 << 10;
/// Memory of the chunks that they lie in, and a chunk at most besides: a filter that shows little of each would
/// have a stalled reader keep all of them alive.
const MOST_HELD: usize = 512 << 10;
/// Pieces that are given at once, as a filter cuts them: what one call of the system takes in one go.
const MOST_PIECES: usize = 64;
/// How long to wait when the store cannot be read.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// What a subscriber gets next.
pub(crate) enum Next {
    /// Events: as many as are due, within what one write should carry.
    Events(Vec<Run>),
    /// No event for the keep-alive time, but the log moved past hidden ones: the cursor is here.
    Cursor(EventId),
    /// No event for the keep-alive time.
    Idle,
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
    head: watch::Receiver<Position>,
    /// Chunks of a page of the store, oldest first.
    page: VecDeque<Arc<Chunk>>,
    /// It was at the head before: what comes now is new, and its age is how late it is.
    live: bool,
    keep_alive: Duration,
    /// Since when the client has heard nothing.
    quiet_since: Instant,
    /// Looks whether it has been quiet for too long. It is not moved with every event, but when it is due: that
    /// is once in a while, and moving a timer costs as much as finding an event.
    idle_at: Pin<Box<Sleep>>,
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
        let head = slot.tail.head();
        Self {
            store,
            clock,
            filter,
            cursor,
            told: cursor.id,
            head,
            page: VecDeque::new(),
            live: false,
            keep_alive,
            quiet_since: Instant::now(),
            idle_at: Box::pin(tokio::time::sleep(keep_alive)),
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

    /// What comes next; waits for it. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            if let Some(end) = self.slot.has_ended() {
                return Next::End(end);
            }
            // Also in the middle of a long stretch of hidden history.
            if Instant::now() >= self.idle_at.deadline()
                && let Some(idle) = self.idle()
            {
                return idle;
            }
            // Seen before looking: a publication after this wakes the wait below.
            self.head.borrow_and_update();
            let chunk = match self.page.front() {
                Some(chunk) => Some(Arc::clone(chunk)),
                None => match self.slot.tail.read(self.cursor.position, self.slot.tick()) {
                    Found::Chunk(chunk) => Some(chunk),
                    Found::Nothing => None,
                    // On the heap, both: an idle stream would keep the room for them in its task.
                    Found::Missing => match Box::pin(self.load()).await {
                        Loaded::Page => continue,
                        Loaded::Nothing => None,
                        Loaded::Gap => return Next::End(End::Expired),
                        Loaded::Failed => {
                            Box::pin(tokio::time::sleep(STORE_PAUSE)).await;
                            continue;
                        }
                    },
                },
            };
            if let Some(chunk) = chunk {
                if let Some(run) = self.take(&chunk) {
                    return Next::Events(self.all_due(run));
                }
                continue;
            }
            self.live = true;
            tokio::select! {
                biased;
                end = self.slot.ended() => return Next::End(end),
                // The tail lives as long as the slot, so its sender does too.
                _ = self.head.changed() => {}
                () = self.idle_at.as_mut() => if let Some(idle) = self.idle() {
                    return idle;
                },
            }
        }
    }

    /// The run and what follows it, as far as it is in memory.
    fn all_due(&mut self, first: Run) -> Vec<Run> {
        let (mut bytes, mut held) = (first.bytes(), first.held());
        let mut runs = vec![first];
        while bytes < MOST_AT_ONCE && held < MOST_HELD && runs.len() < MOST_PIECES {
            let chunk = match self.page.front() {
                Some(chunk) => Arc::clone(chunk),
                None => match self.slot.tail.read(self.cursor.position, self.slot.tick()) {
                    Found::Chunk(chunk) => chunk,
                    Found::Missing | Found::Nothing => break,
                },
            };
            if let Some(run) = self.take(&chunk) {
                bytes = bytes.saturating_add(run.bytes());
                if !runs.last().is_some_and(|last| last.shares_memory_with(&run)) {
                    held = held.saturating_add(run.held());
                }
                runs.push(run);
            }
        }
        self.account(&runs);
        runs
    }

    /// Counts what is delivered, and how late it is.
    fn account(&mut self, runs: &[Run]) {
        self.told = self.cursor.id;
        self.quiet_since = Instant::now();
        let events: usize = runs.iter().map(Run::len).sum();
        self.slot.delivered(events as u64);
        if let (true, Some(last)) = (self.live, runs.last()) {
            let age = self.clock.now().millis_since(last.last_created_at());
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            self.slot.lagged(age as f64 / 1000.0);
        }
    }

    /// A sign of life, if it is time for one, with the cursor if the client does not know it.
    fn idle(&mut self) -> Option<Next> {
        let now = Instant::now();
        let due = |since: Instant| since.checked_add(self.keep_alive).unwrap_or(since);
        if due(self.quiet_since) > now {
            let due = due(self.quiet_since);
            self.idle_at.as_mut().reset(due);
            return None;
        }
        self.quiet_since = now;
        let due = due(now);
        self.idle_at.as_mut().reset(due);
        if self.told == self.cursor.id {
            return Some(Next::Idle);
        }
        self.told = self.cursor.id;
        Some(Next::Cursor(self.cursor.id))
    }

    /// The next shown events of a chunk; the cursor moves past what is hidden.
    fn take(&mut self, chunk: &Arc<Chunk>) -> Option<Run> {
        let taken = chunk.next_run(self.cursor.position, &self.filter);
        self.cursor = match &taken {
            Ok(run) => Cursor { position: run.last_position(), id: run.last_id() },
            Err(passed) => Cursor { position: passed.position, id: passed.id },
        };
        if self.cursor.position >= chunk.last() {
            self.page.pop_front();
        }
        taken.ok()
    }

    /// Reads the next page of the store.
    async fn load(&mut self) -> Loaded {
        let (developer, after) = (self.slot.developer, self.cursor.position);
        let events = store::read(self.store.as_ref(), move |snapshot| {
            Ok(snapshot.events(developer, after, PAGE_EVENTS, PAGE_BYTES)?)
        });
        match events.await {
            Err(error) => {
                tracing::warn!(%error, "a stream could not read the log; it tries again");
                Loaded::Failed
            }
            Ok(events) => match events.first() {
                None => Loaded::Nothing,
                Some(first) if first.position > after.saturating_add(1) => Loaded::Gap,
                Some(_) => {
                    self.page = Chunk::encode(events).into();
                    Loaded::Page
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::env::Rng as _;
    use grantex_core::log::Subject;
    use grantex_core::store::write;
    use grantex_store::sqlite::{Environment, SqliteStore};
    use grantex_types::event::{EventData, RevokedBy};
    use grantex_types::{AgentId, DeveloperId, GrantId, KeyId};

    use super::*;
    use crate::stream::Transport;
    use crate::{Memory, Settings, SystemClock, SystemRng};

    /// A developer's log with events of one type, and what opens sessions on it.
    struct Log {
        _folder: tempfile::TempDir,
        memory: Arc<Memory>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        developer: DeveloperId,
    }

    impl Log {
        async fn with(count: usize, trimmed: Position) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let memory = Memory::new(&Settings::default());
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let environment =
                Environment { clock: Arc::clone(&clock), rng: Arc::new(SystemRng), listener: memory.clone() };
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path(), &environment).unwrap());
            let developer = DeveloperId::from_parts(1, SystemRng.bits());
            let fill = write(store.as_ref(), move |tx| {
                let grant_id = GrantId::from_parts(1, 1);
                let subject =
                    Subject { grant_id, agent_id: AgentId::from_parts(1, 1), principal_id: "u".into() };
                for _ in 0..count {
                    let data = EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System };
                    tx.append(developer, &subject, data)?;
                }
                Ok(tx.trim(developer, trimmed, u32::MAX)?)
            });
            fill.await.unwrap();
            Self { _folder: folder, memory, clock, store, developer }
        }

        fn session(&self, types: &str, position: Position, keep_alive: Duration) -> Session {
            let slot =
                self.memory.streams.open(self.developer, KeyId::from_parts(1, 1), Transport::Sse, None);
            let filter = Filter::new(types.parse().unwrap(), None, None, None).unwrap();
            let cursor = Cursor { position, id: EventId::ZERO };
            let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
            Session::new(slot.ok().unwrap(), store, clock, filter, cursor, keep_alive)
        }
    }

    const LONG: Duration = Duration::from_secs(4);

    #[tokio::test]
    async fn a_stream_that_retention_overtook_ends_instead_of_hiding_a_gap() {
        let log = Log::with(10, 4).await;
        assert!(matches!(log.session("", 2, LONG).next().await, Next::End(End::Expired)));
        // The last trimmed event is a good place.
        assert!(matches!(log.session("", 4, LONG).next().await, Next::Events(runs) if runs[0].len() == 6));
    }

    #[tokio::test]
    async fn what_is_given_at_once_is_bounded_and_complete() {
        const EVENTS: usize = 5000;
        let log = Log::with(EVENTS, 0).await;
        let mut session = log.session("", 0, LONG);
        let mut seen = 0;
        while seen < EVENTS {
            let Next::Events(runs) = session.next().await else { panic!("there are more") };
            let bytes: usize = runs.iter().map(Run::bytes).sum();
            assert!(bytes < MOST_AT_ONCE + (64 << 10) && runs.len() <= MOST_PIECES);
            for run in &runs {
                seen += run.len();
                assert_eq!(run.last_position(), seen as u64, "in order, without a gap");
            }
        }
    }

    #[tokio::test]
    async fn a_long_stretch_of_hidden_history_is_not_silent() {
        const EVENTS: usize = 40_000;
        let log = Log::with(EVENTS, 0).await;
        let mut session = log.session("token.issued", 0, Duration::from_millis(1));
        while !matches!(session.next().await, Next::Cursor(_)) {}
        assert!(session.cursor.position < EVENTS as u64, "a sign of life came before the end was reached");
    }
}
