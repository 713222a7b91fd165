use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use grantex::{EventId, GrantId, GrantexEvent, Progress, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::log::{EventLog, Filter, LogError, Start};

/// A log in memory, to test with. Clones are the same log.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: Mutex<Vec<GrantexEvent>>,
    /// Everything up to here is gone, as after the retention time.
    trimmed: Mutex<EventId>,
    length: watch::Sender<usize>,
    failures: watch::Sender<usize>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        let inner = Inner {
            events: Mutex::default(),
            trimmed: Mutex::new(EventId::ZERO),
            length: watch::Sender::new(0),
            failures: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }
}

/// The time of the first sample event: the log's clock, one millisecond an event.
const FIRST_MS: u64 = 1_772_366_400_000;

/// Grants that the samples are about, in turn.
const GRANTS: u64 = 5;

/// The `n`th event of a log of samples: a token was issued for one of five grants.
#[allow(clippy::expect_used, clippy::missing_panics_doc, reason = "the text below is an envelope")]
pub fn sample_event(n: u64) -> GrantexEvent {
    let at = FIRST_MS.saturating_add(n);
    let id = EventId::from_parts(at, u128::from(n));
    let grant =
        GrantId::from_parts(FIRST_MS, u128::from(n.checked_rem(GRANTS).unwrap_or_default()));
    let token = grantex::TokenId::from_parts(at, u128::from(n));
    let time = Timestamp::from_millis(at);
    let json = format!(
        r#"{{"id":"{id}","type":"token.issued","createdAt":"{time}","data":{{"grantId":"{grant}","tokenId":"{token}","method":"exchange"}}}}"#
    );
    GrantexEvent::from_json(json).expect("a sample is an event")
}

impl MemoryLog {
    /// Appends samples.
    pub fn append(&self, count: usize) {
        let mut events = self.inner.events.lock();
        for _ in 0..count {
            let event = sample_event(events.len() as u64);
            events.push(event);
        }
        self.inner.length.send_replace(events.len());
    }

    /// Appends one event whose payload holds `text` as well.
    #[allow(
        clippy::missing_panics_doc,
        clippy::expect_used,
        reason = "a payload more in a sample is an event"
    )]
    pub fn append_with(&self, text: &str) {
        let mut events = self.inner.events.lock();
        let sample = sample_event(events.len() as u64);
        let note = format!(r#""data":{{"note":{},"#, serde_json::Value::from(text));
        let json = sample.json().replacen(r#""data":{"#, &note, 1);
        events.push(GrantexEvent::from_json(json).expect("an event"));
        self.inner.length.send_replace(events.len());
    }

    /// The ids of all events, also of those that are gone.
    pub fn ids(&self) -> Vec<EventId> {
        self.inner.events.lock().iter().map(|event| event.id).collect()
    }

    /// Forgets all events up to this one.
    pub fn trim(&self, up_to: EventId) {
        *self.inner.trimmed.lock() = up_to;
    }

    /// Forgets all events after this one, as a log that was restored from an older copy.
    pub fn restore(&self, up_to: EventId) {
        let mut events = self.inner.events.lock();
        events.retain(|event| event.id <= up_to);
        self.inner.length.send_replace(events.len());
    }

    /// Ends every stream that is open, as a service that restarts does.
    pub fn fail(&self) {
        self.inner.failures.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Waits until the log has no reader.
    pub async fn all_readers_gone(&self) {
        self.inner.length.closed().await;
    }

    /// Whether a stream can begin after this place: the beginning, where it was trimmed, or an
    /// event.
    fn knows(&self, place: EventId, trimmed: EventId) -> bool {
        place == EventId::ZERO || place == trimmed || self.ids().contains(&place)
    }

    fn next(&self, after: EventId) -> Option<GrantexEvent> {
        let events = self.inner.events.lock();
        let index = events.partition_point(|event| event.id <= after);
        events.get(index).cloned()
    }
}

impl EventLog for MemoryLog {
    fn open(
        &self,
        filter: &Filter,
        start: &Start,
    ) -> BoxStream<'static, Result<Progress, LogError>> {
        let trimmed = *self.inner.trimmed.lock();
        let after = match start {
            Start::Now => self.inner.events.lock().last().map_or(EventId::ZERO, |event| event.id),
            Start::Since(time) => {
                let since = time.parse::<Timestamp>().map_or(0, Timestamp::millis);
                let events = self.inner.events.lock();
                let before = events.iter().take_while(|event| event.timestamp.millis() < since);
                before.last().map_or(EventId::ZERO, |event| event.id).max(trimmed)
            }
            Start::After(id) if *id < trimmed => {
                let lost = LogError::Lost(format!("the log does not reach back to {id}"));
                return stream::once(async { Err(lost) }).boxed();
            }
            Start::After(id) if !self.knows(*id, trimmed) => {
                let unknown = LogError::Unknown(format!("the log never had {id}"));
                return stream::once(async { Err(unknown) }).boxed();
            }
            Start::After(id) => *id,
        };
        let types = filter.types.clone();
        let (log, length) = (self.clone(), self.inner.length.subscribe());
        let mut failures = self.inner.failures.subscribe();
        failures.mark_unchanged();
        let failed = async move {
            failures.changed().await.ok();
        };
        let follow = stream::unfold((log, length, after), move |(log, mut length, after)| {
            let types = types.clone();
            async move {
                loop {
                    if let Some(event) = log.next(after) {
                        let (id, kind) = (event.id, event.r#type.clone());
                        let is_hidden =
                            !types.is_empty() && !types.iter().any(|wanted| *wanted == kind);
                        let step =
                            if is_hidden { Progress::Cursor(id) } else { Progress::Event(event) };
                        return Some((Ok(step), (log, length, id)));
                    }
                    if length.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        let broken =
            stream::once(async { Err(LogError::Broken("the log was set to fail".into())) });
        let follow = follow.take_until(failed).chain(broken);
        stream::once(async move { Ok(Progress::Cursor(after)) }).chain(follow).boxed()
    }

    fn source(&self) -> &'static str {
        "https://auth.example.com"
    }
}
