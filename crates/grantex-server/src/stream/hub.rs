//! All tails and all open streams.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grantex_core::env::Clock;
use grantex_core::log::{Position, StoredEvent};
use grantex_types::{DeveloperId, ErrorCode, KeyId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::frame::Framer;
use super::places::{Limits, Places};
use super::slot::{Figures, Slot};
use super::tail::Tail;
use super::ticket::Held;
use crate::http::error::{ApiError, ApiResult};
use crate::net::connection::Connection;
use crate::net::limit_log::LimitLog;
use crate::net::signal::Signal;
use crate::settings::{StreamSettings, unless_off};

static STREAMS: LimitLog = LimitLog::new("streams");

/// How long a stream whose key was revoked has to end by itself before its socket is cut. Within
/// the second that is promised.
const REVOKED_GRACE: Duration = Duration::from_millis(500);
/// How often it is looked whether a ticket has expired that has streams open.
const TICKET_BEAT: Duration = Duration::from_millis(250);
/// After this many bytes over the budget are freed, another tenth goes too, so that not every
/// publication has to free.
const FREE_TO: (usize, usize) = (9, 10);

/// How a stream's events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// As Server-Sent Events.
    Sse,
    /// As WebSocket messages.
    WebSocket,
}

impl Transport {
    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "ws",
        }
    }
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The service shuts down.
    GoingAway,
    /// The API key that opened it was revoked.
    KeyRevoked,
    /// The ticket that opened it has expired.
    TicketExpired,
    /// The operator suspended its developer.
    Suspended,
    /// The next event, at this position, is damaged in the store: it is not sent, and passing over
    /// it would hide a gap.
    Damaged(Position),
    /// Retention removed events that it had not delivered yet: going on would hide a gap.
    Expired,
}

/// The tails of all developers that have subscribers, and the streams that are open.
pub(crate) struct Hub {
    limits: Limits,
    most: usize,
    tail_budget: usize,
    tick: AtomicU64,
    next_slot: AtomicU64,
    state: Mutex<State>,
    /// A ticket opened a stream.
    has_ticket: Notify,
    draining: CancellationToken,
    /// How many streams read the store.
    pub(super) replaying: AtomicUsize,
    /// From the first delivery on, when whoever records them is there.
    pub(super) figures: OnceLock<Figures>,
    revoked: mpsc::UnboundedSender<Arc<Connection>>,
    revoked_inbox: Mutex<Option<mpsc::UnboundedReceiver<Arc<Connection>>>>,
}

#[derive(Default)]
struct State {
    /// Developers with at least one open stream.
    developers: HashMap<DeveloperId, Developer>,
    /// Their streams.
    open: usize,
    /// Bytes that all tails hold: changed only together with them.
    tail_bytes: usize,
    /// When the streams that tickets opened end.
    ends: BTreeSet<(Timestamp, DeveloperId, u64)>,
}

struct Developer {
    tail: Arc<Tail>,
    places: Places,
    slots: HashMap<u64, Open>,
}

struct Open {
    key_id: KeyId,
    ticket: Option<Held>,
    /// How the stream is told to end.
    ends: Arc<Signal<End>>,
    connection: Option<Arc<Connection>>,
}

impl Developer {
    fn new() -> Self {
        Self { tail: Arc::new(Tail::new()), places: Places::default(), slots: HashMap::new() }
    }
}

impl State {
    /// A developer without a stream takes no memory.
    fn forget_if_empty(&mut self, developer: DeveloperId) {
        if self.developers.get(&developer).is_some_and(|entry| entry.slots.is_empty())
            && let Some(entry) = self.developers.remove(&developer)
        {
            self.tail_bytes = self.tail_bytes.saturating_sub(entry.tail.bytes());
        }
    }
}

impl Hub {
    pub(crate) fn new(settings: &StreamSettings) -> Self {
        let (revoked, inbox) = mpsc::unbounded_channel();
        Self {
            limits: settings.limits(),
            most: unless_off(settings.most),
            tail_budget: settings.tail_bytes,
            tick: AtomicU64::new(0),
            next_slot: AtomicU64::new(0),
            state: Mutex::default(),
            has_ticket: Notify::new(),
            draining: CancellationToken::new(),
            replaying: AtomicUsize::new(0),
            figures: OnceLock::new(),
            revoked,
            revoked_inbox: Mutex::new(Some(inbox)),
        }
    }

    /// Takes a place among the developer's streams, if there is one. From here on the stream
    /// misses no publication and no revocation of its key.
    pub(crate) fn open(
        self: &Arc<Self>,
        developer: DeveloperId,
        key_id: KeyId,
        ticket: Option<Held>,
        transport: Transport,
        connection: Option<Arc<Connection>>,
    ) -> ApiResult<Slot> {
        let ends = Arc::new(Signal::default());
        let number = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        // Under the lock: whoever gets a place is among those that the drain ends.
        if self.draining.is_cancelled() {
            return Err(ApiError::shutting_down());
        }
        let is_full = state.open >= self.most;
        let entry = state.developers.entry(developer).or_insert_with(Developer::new);
        if let Err(error) = entry.places.take(ticket.as_ref(), &self.limits) {
            state.forget_if_empty(developer);
            return Err(error);
        }
        if is_full {
            entry.places.free(ticket.as_ref());
            state.forget_if_empty(developer);
            drop(state);
            STREAMS.reached("streams are refused; `--max-streams-in-all` and the limit of open files set how many there may be");
            let message = "the service has as many streams open as it may; try again later";
            return Err(ApiError::new(ErrorCode::Unavailable, message).retry_after(5));
        }
        entry.slots.insert(number, Open { key_id, ticket, ends: Arc::clone(&ends), connection });
        let tail = Arc::clone(&entry.tail);
        state.open = state.open.saturating_add(1);
        if let Some(ticket) = ticket {
            state.ends.insert((ticket.until, developer, number));
        }
        drop(state);
        if ticket.is_some() {
            self.has_ticket.notify_one();
            metrics::gauge!("grantex_ticket_streams_open").increment(1.0);
        }
        metrics::gauge!("grantex_streams_open", "transport" => transport.label()).increment(1.0);
        Ok(Slot::new(Arc::clone(self), developer, number, transport, (ends, tail)))
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().open
    }

    /// How many streams of a developer are open.
    pub(crate) fn count_of(&self, developer: DeveloperId) -> usize {
        self.state.lock().developers.get(&developer).map_or(0, |entry| entry.slots.len())
    }

    /// Hands what a commit appended to the tails of developers that have subscribers: the new
    /// heads, and the events as far as they came along.
    pub(crate) fn publish(
        &self,
        heads: &[(DeveloperId, Position)],
        events: &[(DeveloperId, StoredEvent)],
    ) {
        if heads.is_empty() {
            return;
        }
        self.tick.fetch_add(1, Ordering::Relaxed);
        let mut logs: HashMap<DeveloperId, (Position, Vec<&StoredEvent>)> = HashMap::new();
        for (developer, head) in heads {
            let (known, _) = logs.entry(*developer).or_default();
            *known = (*known).max(*head);
        }
        for (developer, event) in events {
            if let Some((_, events)) = logs.get_mut(developer) {
                events.push(event);
            }
        }
        for (developer, (head, events)) in logs {
            if !self.state.lock().developers.contains_key(&developer) {
                continue;
            }
            // Framed outside the lock; whoever subscribes meanwhile reads these from the store.
            let mut framer = Framer::default();
            for event in events {
                framer.push(event.as_ref());
            }
            let chunks = framer.finish();
            let mut state = self.state.lock();
            if let Some(entry) = state.developers.get(&developer) {
                let (before, after) = entry.tail.push(chunks, head);
                state.tail_bytes = state.tail_bytes.saturating_add(after).saturating_sub(before);
                if state.tail_bytes > self.tail_budget {
                    self.shrink(&mut state);
                }
            }
        }
    }

    /// The developers that have streams.
    pub(crate) fn developers(&self) -> Vec<DeveloperId> {
        self.state.lock().developers.keys().copied().collect()
    }

    /// The keys that a developer's streams were opened with, each once.
    pub(crate) fn keys_of(&self, developer: DeveloperId) -> HashSet<KeyId> {
        let state = self.state.lock();
        let slots = state.developers.get(&developer).map(|entry| entry.slots.values());
        slots.into_iter().flatten().map(|open| open.key_id).collect()
    }

    /// The store has a developer's log up to here.
    pub(crate) fn reaches(&self, developer: DeveloperId, head: Position) {
        if let Some(entry) = self.state.lock().developers.get(&developer) {
            entry.tail.reaches(head);
        }
    }

    /// Frees the oldest chunks of the least recently used tails.
    fn shrink(&self, state: &mut State) {
        let goal = self.tail_budget.saturating_mul(FREE_TO.0).checked_div(FREE_TO.1).unwrap_or(0);
        let mut tails: Vec<&Tail> =
            state.developers.values().map(|entry| entry.tail.as_ref()).collect();
        tails.sort_by_key(|tail| tail.used());
        let mut left = state.tail_bytes;
        for tail in tails {
            while left > goal {
                let freed = tail.drop_oldest();
                if freed == 0 {
                    break;
                }
                left = left.saturating_sub(freed);
            }
        }
        state.tail_bytes = left;
    }

    /// Ends the streams of a key: politely at once, and by cutting the socket shortly after.
    pub(crate) fn revoke_key(&self, developer: DeveloperId, key_id: KeyId) {
        self.end(developer, End::KeyRevoked, |open| open.key_id == key_id);
    }

    /// Ends all streams of a developer, in the same way.
    pub(crate) fn suspend(&self, developer: DeveloperId) {
        self.end(developer, End::Suspended, |_| true);
    }

    fn end(&self, developer: DeveloperId, why: End, is_meant: impl Fn(&Open) -> bool) {
        let state = self.state.lock();
        let Some(entry) = state.developers.get(&developer) else { return };
        for open in entry.slots.values().filter(|open| is_meant(open)) {
            self.end_one(open, why);
        }
    }

    fn end_one(&self, open: &Open, why: End) {
        open.ends.set(why);
        if let Some(connection) = &open.connection {
            // The receiver lives as long as the service serves.
            let _ = self.revoked.send(Arc::clone(connection));
        }
    }

    /// Ends the streams of tickets when these have expired. Runs as long as the service.
    pub(crate) async fn end_with_tickets(&self, clock: &dyn Clock) {
        loop {
            if self.end_expired(clock.now()) {
                tokio::time::sleep(TICKET_BEAT).await;
            } else {
                self.has_ticket.notified().await;
            }
        }
    }

    /// Returns whether there are others.
    fn end_expired(&self, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        while let Some(first) = state.ends.first().copied().filter(|(until, ..)| *until <= now) {
            state.ends.remove(&first);
            let (_, developer, number) = first;
            let open = state.developers.get(&developer).and_then(|entry| entry.slots.get(&number));
            if let Some(open) = open {
                self.end_one(open, End::TicketExpired);
                metrics::counter!("grantex_ticket_streams_expired_total").increment(1);
            }
        }
        !state.ends.is_empty()
    }

    /// Cuts the sockets of revoked streams that are still there after their grace. Runs as long
    /// as the service; the second call returns at once.
    pub(crate) async fn cut_revoked(&self) {
        let inbox = self.revoked_inbox.lock().take();
        let Some(mut inbox) = inbox else { return };
        while let Some(connection) = inbox.recv().await {
            // Each waits from when it is taken, so one after the other would be late: all that
            // are there wait together.
            let mut due = vec![connection];
            while let Ok(connection) = inbox.try_recv() {
                due.push(connection);
            }
            tokio::spawn(async move {
                tokio::time::sleep(REVOKED_GRACE).await;
                for connection in due {
                    connection.cut.set(());
                }
            });
        }
    }

    /// Refuses new streams and ends the open ones, spread evenly over `time`.
    pub(crate) async fn drain(&self, time: Duration) {
        self.draining.cancel();
        let open: Vec<Arc<Signal<End>>> = {
            let state = self.state.lock();
            state
                .developers
                .values()
                .flat_map(|entry| entry.slots.values().map(|open| Arc::clone(&open.ends)))
                .collect()
        };
        let Ok(count) = u32::try_from(open.len()) else { return };
        let start = tokio::time::Instant::now();
        for (number, ends) in (0_u32..).zip(open) {
            let share = time.checked_div(count).unwrap_or_default();
            let due = share.saturating_mul(number).saturating_sub(start.elapsed());
            tokio::time::sleep(due).await;
            ends.set_first(End::GoingAway);
        }
    }

    /// Closes the sockets of all streams, whatever is unsent.
    pub(crate) fn cut_all(&self) {
        let state = self.state.lock();
        for open in state.developers.values().flat_map(|entry| entry.slots.values()) {
            if let Some(connection) = &open.connection {
                connection.cut.set(());
            }
        }
    }

    pub(super) fn close(&self, developer: DeveloperId, number: u64) {
        let mut state = self.state.lock();
        state.open = state.open.saturating_sub(1);
        let Some(entry) = state.developers.get_mut(&developer) else { return };
        if let Some(open) = entry.slots.remove(&number) {
            entry.places.free(open.ticket.as_ref());
            if let Some(ticket) = open.ticket {
                state.ends.remove(&(ticket.until, developer, number));
                metrics::gauge!("grantex_ticket_streams_open").decrement(1.0);
            }
        }
        state.forget_if_empty(developer);
    }

    /// How many publications there were: the measure of how long ago a tail was read.
    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::log::Subject;
    use grantex_types::{AgentId, EventId, EventType, GrantId, Timestamp};

    use super::*;

    fn event(position: u64) -> StoredEvent {
        let subject = Subject {
            grant_id: GrantId::from_parts(0, 1),
            agent_id: AgentId::from_parts(0, 1),
            principal_id: "user".into(),
        };
        StoredEvent {
            position,
            id: EventId::from_parts(position, 0),
            created_at: Timestamp::from_millis(position),
            kind: EventType::GrantCreated,
            subject,
            envelope: vec![b'x'; 1000],
        }
    }

    #[test]
    fn tails_stay_within_their_budget_and_go_with_their_last_subscriber() {
        let settings = StreamSettings {
            most_per_developer: 2,
            most: 3,
            tail_bytes: 20_000,
            ..StreamSettings::default()
        };
        let hub = Arc::new(Hub::new(&settings));
        let (one, two) = (DeveloperId::from_parts(0, 1), DeveloperId::from_parts(0, 2));
        let open =
            |developer| hub.open(developer, KeyId::from_parts(0, 1), None, Transport::Sse, None);
        hub.publish(&[(one, 1)], &[(one, event(1))]);
        assert_eq!(hub.state.lock().tail_bytes, 0, "nobody subscribes, nothing is kept");
        let slots = [open(one).ok().unwrap(), open(one).ok().unwrap(), open(two).ok().unwrap()];
        assert!(matches!(open(one), Err(error) if error.code == ErrorCode::TooManyConnections));
        let three = DeveloperId::from_parts(0, 3);
        assert!(matches!(open(three), Err(error) if error.code == ErrorCode::Unavailable));
        for position in 1..100 {
            let heads = [(one, position), (two, position)];
            hub.publish(&heads, &heads.map(|(developer, _)| (developer, event(position))));
            let state = hub.state.lock();
            let held: usize = state.developers.values().map(|entry| entry.tail.bytes()).sum();
            assert_eq!(state.tail_bytes, held);
            assert!(held <= 20_000);
        }
        assert_eq!(hub.count(), 3);
        drop(slots);
        let state = hub.state.lock();
        assert_eq!((state.tail_bytes, state.developers.len()), (0, 0));
    }
}
