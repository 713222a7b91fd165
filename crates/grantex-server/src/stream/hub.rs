//! All open streams: publication to them, limits on them, and their ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grantex_core::env::Clock;
use grantex_core::log::{Position, StoredEvent};
use grantex_types::{DeveloperId, ErrorCode, KeyId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::chunk::ChunkBuilder;
use super::end::EndReason;
use super::lanes::Lanes;
use super::registry::{OpenStream, Registry};
use super::tail::Tail;
use super::transport::DeliveryMetrics;
use crate::http::error::{ApiError, ApiResult};
use crate::net::connection::Connection;
use crate::net::limit_log::LimitLog;
use crate::net::signal::Signal;
use crate::settings::StreamSettings;

static STREAMS: LimitLog = LimitLog::new("streams");

/// How long a stream that was ended by a revocation, a suspension or an expiry has to close before
/// its socket is cut. Within the second that is promised.
const GRACE: Duration = Duration::from_millis(500);
/// How often the expiry of tickets is checked while they have streams open.
const EXPIRY_BEAT: Duration = Duration::from_millis(250);

/// The open streams of all developers.
pub(crate) struct Hub {
    settings: StreamSettings,
    /// Counts publications: the measure of how long ago a tail was read.
    tick: AtomicU64,
    next_number: AtomicU64,
    registry: Mutex<Registry>,
    /// A ticket opened a stream.
    has_ticket: Notify,
    draining: CancellationToken,
    /// How many streams read the store.
    pub(super) replaying: AtomicUsize,
    /// Found at the first delivery: the recorder is installed by then.
    delivery_metrics: OnceLock<DeliveryMetrics>,
    /// Connections of streams that were ended, to be cut after [`GRACE`]. A stream is sent once for
    /// each reason, so that the limit of open streams bounds the queue.
    ended: mpsc::UnboundedSender<Arc<Connection>>,
    ended_inbox: Mutex<Option<mpsc::UnboundedReceiver<Arc<Connection>>>>,
}

impl Hub {
    pub(crate) fn new(settings: &StreamSettings) -> Self {
        let (ended, inbox) = mpsc::unbounded_channel();
        Self {
            settings: settings.clone(),
            tick: AtomicU64::new(0),
            next_number: AtomicU64::new(0),
            registry: Mutex::default(),
            has_ticket: Notify::new(),
            draining: CancellationToken::new(),
            replaying: AtomicUsize::new(0),
            delivery_metrics: OnceLock::new(),
            ended,
            ended_inbox: Mutex::new(Some(inbox)),
        }
    }

    /// Adds a stream, unless a limit is reached. From here on it misses no publication and no
    /// revocation of its key. Returns its number, and the tail and the lanes of its log.
    pub(super) fn add(
        &self,
        developer: DeveloperId,
        stream: OpenStream,
    ) -> ApiResult<(u64, Arc<Tail>, Arc<Lanes>)> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let has_ticket = stream.ticket.is_some();
        let mut registry = self.registry.lock();
        // Under the lock: a stream that is added here is among those that the drain ends.
        if self.draining.is_cancelled() {
            return Err(ApiError::shutting_down());
        }
        let is_full = self.settings.most > 0 && registry.count() >= self.settings.most;
        let (tail, lanes) = registry.add(developer, number, stream, &self.settings)?;
        if is_full {
            registry.remove(developer, number);
            drop(registry);
            STREAMS.reached(
                "streams are refused; `--max-streams-in-all` and the limit of open files set how \
                 many there may be",
            );
            let message = "the service has its maximum of open streams; try again later";
            return Err(ApiError::new(ErrorCode::Unavailable, message).retry_after(5));
        }
        drop(registry);
        if has_ticket {
            self.has_ticket.notify_one();
            metrics::gauge!("grantex_ticket_streams_open").increment(1.0);
        }
        Ok((number, tail, lanes))
    }

    /// Removes a stream that has closed.
    pub(super) fn remove(&self, developer: DeveloperId, number: u64) {
        let removed = self.registry.lock().remove(developer, number);
        if removed.is_some_and(|stream| stream.ticket.is_some()) {
            metrics::gauge!("grantex_ticket_streams_open").decrement(1.0);
        }
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.registry.lock().count()
    }

    /// How many streams of a developer are open.
    pub(crate) fn count_of(&self, developer: DeveloperId) -> usize {
        self.registry.lock().of(developer).count()
    }

    /// The developers that have streams.
    pub(crate) fn developers(&self) -> Vec<DeveloperId> {
        self.registry.lock().developers().collect()
    }

    /// The keys that a developer's streams were opened with, each once.
    pub(crate) fn keys_of(&self, developer: DeveloperId) -> Vec<KeyId> {
        // Sorted outside the lock, for which publications wait.
        let mut keys: Vec<KeyId> =
            self.registry.lock().of(developer).map(|stream| stream.key_id).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Publishes what a commit appended to the developers that have subscribers: the new heads, and
    /// the events as far as the notice has them.
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
            if self.registry.lock().get(developer).is_none() {
                continue;
            }
            // Framed outside the lock. A stream that opens meanwhile reads these from the store.
            let mut builder = ChunkBuilder::default();
            for event in events {
                builder.push(event.as_ref());
            }
            let (chunks, budget) = (builder.finish(), self.settings.tail_bytes);
            self.registry.lock().publish(developer, chunks, head, budget);
        }
    }

    /// The store has a developer's log up to here. Wakes the log's lanes if that was not known.
    pub(crate) fn reaches(&self, developer: DeveloperId, head: Position) {
        if let Some(own) = self.registry.lock().get(developer)
            && own.tail.reaches(head)
        {
            own.lanes.wake();
        }
    }

    /// How many publications there were.
    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(super) fn delivery_metrics(&self) -> &DeliveryMetrics {
        self.delivery_metrics.get_or_init(DeliveryMetrics::find)
    }

    /// Ends the streams of a key at once; those that do not close are cut after [`GRACE`].
    pub(crate) fn revoke_key(&self, developer: DeveloperId, key_id: KeyId) {
        let registry = self.registry.lock();
        for stream in registry.of(developer).filter(|stream| stream.key_id == key_id) {
            self.end(stream, EndReason::KeyRevoked);
        }
    }

    /// Ends all streams of a developer, in the same way.
    pub(crate) fn suspend(&self, developer: DeveloperId) {
        let registry = self.registry.lock();
        for stream in registry.of(developer) {
            self.end(stream, EndReason::Suspended);
        }
    }

    fn end(&self, stream: &OpenStream, reason: EndReason) {
        if stream.end.get() == Some(reason) {
            return;
        }
        stream.end.set(reason);
        if let Some(connection) = &stream.connection {
            // The receiver lives as long as the service.
            let _ = self.ended.send(Arc::clone(connection));
        }
    }

    /// Ends the streams of tickets that expire. Runs as long as the service.
    pub(crate) async fn end_with_tickets(&self, clock: &dyn Clock) {
        loop {
            if self.end_expired(clock.now()) {
                tokio::time::sleep(EXPIRY_BEAT).await;
            } else {
                self.has_ticket.notified().await;
            }
        }
    }

    /// Returns whether other streams will expire.
    fn end_expired(&self, now: Timestamp) -> bool {
        let mut registry = self.registry.lock();
        let (expired, has_others) = registry.take_expired(now);
        for stream in expired {
            self.end(stream, EndReason::TicketExpired);
            metrics::counter!("grantex_ticket_streams_expired_total").increment(1);
        }
        has_others
    }

    /// Cuts the sockets of ended streams that are still open after [`GRACE`]. Runs as long as the
    /// service; the second call returns at once.
    pub(crate) async fn cut_ended(&self) {
        let inbox = self.ended_inbox.lock().take();
        let Some(mut inbox) = inbox else { return };
        while let Some(connection) = inbox.recv().await {
            // All that are there wait together: one after the other would be late.
            let mut due = vec![connection];
            while let Ok(connection) = inbox.try_recv() {
                due.push(connection);
            }
            tokio::spawn(async move {
                tokio::time::sleep(GRACE).await;
                for connection in due {
                    connection.cut.set(());
                }
            });
        }
    }

    /// Refuses new streams and ends the open ones, spread evenly over `time`.
    pub(crate) async fn drain(&self, time: Duration) {
        self.draining.cancel();
        let open: Vec<Arc<Signal<EndReason>>> =
            self.registry.lock().all().map(|stream| Arc::clone(&stream.end)).collect();
        let Ok(count) = u32::try_from(open.len()) else { return };
        let start = tokio::time::Instant::now();
        for (number, end) in (0_u32..).zip(open) {
            let share = time.checked_div(count).unwrap_or_default();
            let due = share.saturating_mul(number).saturating_sub(start.elapsed());
            tokio::time::sleep(due).await;
            end.set_first(EndReason::GoingAway);
        }
    }

    /// Closes the sockets of all streams, whatever is unsent.
    pub(crate) fn cut_all(&self) {
        let registry = self.registry.lock();
        for connection in registry.all().filter_map(|stream| stream.connection.as_ref()) {
            connection.cut.set(());
        }
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
        let hub = Hub::new(&settings);
        let (one, two) = (DeveloperId::from_parts(0, 1), DeveloperId::from_parts(0, 2));
        let open = |developer| {
            let key_id = KeyId::from_parts(0, 1);
            let end = Arc::default();
            hub.add(developer, OpenStream { key_id, ticket: None, end, connection: None })
        };
        hub.publish(&[(one, 1)], &[(one, event(1))]);
        assert_eq!(hub.registry.lock().tail_bytes(), (0, 0), "without subscribers nothing is kept");
        let numbers = [(one, open(one)), (one, open(one)), (two, open(two))]
            .map(|(developer, added)| (developer, added.ok().unwrap().0));
        assert!(matches!(open(one), Err(error) if error.code == ErrorCode::TooManyConnections));
        let three = DeveloperId::from_parts(0, 3);
        assert!(matches!(open(three), Err(error) if error.code == ErrorCode::Unavailable));
        for position in 1..100 {
            let heads = [(one, position), (two, position)];
            hub.publish(&heads, &heads.map(|(developer, _)| (developer, event(position))));
            let (counted, held) = hub.registry.lock().tail_bytes();
            assert_eq!(counted, held);
            assert!(held <= 20_000);
        }
        assert_eq!(hub.count(), 3);
        for (developer, number) in numbers {
            hub.remove(developer, number);
        }
        assert_eq!(hub.registry.lock().tail_bytes(), (0, 0));
        assert!(hub.developers().is_empty());
    }
}
