//! The figures and the status of a pipeline.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use grantex::EventId;
use parking_lot::Mutex;

use crate::state::{RejectedEvent, Report};

const DELIVERED: &str = "grantex_forward_events_delivered_total";
const BATCHES: &str = "grantex_forward_batches_total";
const RETRIES: &str = "grantex_forward_retries_total";
const DEAD_LETTERS: &str = "grantex_forward_dead_letters_total";
const REFUSED_AGAIN: &str = "grantex_forward_dead_letters_refused_again_total";
const GAPS: &str = "grantex_forward_gaps_total";
const UP: &str = "grantex_forward_up";
const RETRYING: &str = "grantex_forward_retrying";
const FAILING: &str = "grantex_forward_failing";
const PENDING: &str = "grantex_forward_pending_events";
const POSITION: &str = "grantex_forward_position_seconds";
/// Has no label: a stream knows its log, not its destination.
pub(crate) const CLOSED_FULL: &str = "grantex_forward_streams_closed_full_total";

/// Says what each metric of a pipeline means, for a process that shows them. Call it once, after
/// the recorder is installed.
pub fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge};
    describe_counter!(DELIVERED, "Events that the destination acknowledged");
    describe_counter!(BATCHES, "Batches that it acknowledged");
    describe_counter!(RETRIES, "Failed attempts that are retried");
    describe_counter!(DEAD_LETTERS, "Events that it rejected and that became dead letters");
    describe_counter!(REFUSED_AGAIN, "Dead letters that were retried and rejected again");
    describe_counter!(
        GAPS,
        "Times that delivery continued although the log no longer had the position"
    );
    describe_gauge!(UP, "1 while the destination runs; 0 when it has ended or was removed");
    describe_gauge!(RETRYING, "1 while a failed batch is retried");
    describe_gauge!(FAILING, "1 while the failure needs manual action");
    describe_gauge!(PENDING, "Events that were read and are neither acknowledged nor dead letters");
    describe_gauge!(
        POSITION,
        "The time of the event up to which everything is settled, in Unix seconds"
    );
    describe_counter!(CLOSED_FULL, "Streams that were closed because a destination was behind");
}

/// Figures of one destination, live.
#[derive(Debug)]
pub(crate) struct Stats {
    name: String,
    read: AtomicU64,
    settled: AtomicU64,
    delivered: AtomicU64,
    batches: AtomicU64,
    retries: AtomicU64,
    dead_letters: AtomicU64,
    refused_again: AtomicU64,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    phase: Phase,
    last_error: Option<(String, u64)>,
    /// The last error is the rejection of an event.
    is_rejection: bool,
    /// When the last of the troubles was over.
    recovered_at: Option<u64>,
    /// The current failures, by number; whether each needs manual action.
    troubles: BTreeMap<u64, bool>,
    cursor: Option<EventId>,
    measured: (Instant, u64),
    rate: f64,
}

impl Changing {
    fn is_retrying(&self) -> bool {
        !self.troubles.is_empty()
    }

    fn is_failing(&self) -> bool {
        self.troubles.values().any(|needs_action| *needs_action)
    }
}

/// What a destination's pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It reads and delivers.
    Running,
    /// It has ended in order.
    Stopped,
    /// It has ended and needs manual action.
    Failed,
}

/// A destination's figures since the source started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DestinationStats {
    /// The destination.
    pub name: String,
    /// Whether its pipeline runs.
    pub phase: Phase,
    /// Something failed and is tried again.
    pub is_retrying: bool,
    /// What failed will not pass by itself: a credential, a permission, the configuration, the
    /// state folder.
    pub is_failing: bool,
    /// Events that were delivered.
    pub delivered: u64,
    /// Batches that were delivered.
    pub batches: u64,
    /// Tries that failed.
    pub retries: u64,
    /// Events that became dead letters.
    pub dead_letters: u64,
    /// Dead letters that were retried and refused again.
    pub refused_again: u64,
    /// Events that were read and are neither delivered nor rejected. After
    /// [`stop`](crate::EventSource::stop): what is left, and is delivered at the next start if the
    /// state is kept.
    pub pending: u64,
    /// Delivered events a second, lately.
    pub rate: f64,
    /// The checkpoint.
    pub cursor: Option<EventId>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Since when nothing is wrong any more, in milliseconds since 1970; `None` while it is.
    pub recovered_at_ms: Option<u64>,
}

impl Stats {
    pub(crate) fn new(name: String) -> Self {
        let stats = Self {
            name,
            read: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            refused_again: AtomicU64::new(0),
            changing: Mutex::new(Changing {
                phase: Phase::Running,
                last_error: None,
                is_rejection: false,
                recovered_at: None,
                troubles: BTreeMap::new(),
                cursor: None,
                measured: (Instant::now(), 0),
                rate: 0.0,
            }),
        };
        stats.register();
        stats
    }

    /// Shows every metric from the start: an alert needs a zero before the first count. Adding
    /// nothing keeps what an earlier pipeline of the same name has counted. The position comes with
    /// the first one.
    fn register(&self) {
        for counter in [DELIVERED, BATCHES, RETRIES, DEAD_LETTERS, REFUSED_AGAIN, GAPS] {
            self.count(counter, 0);
        }
        for gauge in [UP, RETRYING, FAILING, PENDING] {
            metrics::gauge!(gauge, "destination" => self.name.clone()).increment(0.0);
        }
        metrics::counter!(CLOSED_FULL).increment(0);
    }

    /// Events that are on their way from now on.
    pub(crate) fn read(&self, events: usize) {
        self.read.fetch_add(events as u64, Relaxed);
    }

    pub(crate) fn delivered(&self, events: usize) {
        self.settled.fetch_add(events as u64, Relaxed);
        self.delivered.fetch_add(events as u64, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.count(DELIVERED, events);
        self.count(BATCHES, 1);
    }

    /// Something failed and is tried again; for the first time, or as the trouble of this number.
    /// Gives the number.
    pub(crate) fn in_trouble(&self, number: Option<u64>, error: &str, needs_action: bool) -> u64 {
        let tries = self.retries.fetch_add(1, Relaxed);
        self.count(RETRIES, 1);
        let number = number.unwrap_or(tries);
        let mut changing = self.changing.lock();
        changing.troubles.insert(number, needs_action);
        changing.last_error = Some((error.to_owned(), now_ms()));
        changing.is_rejection = false;
        changing.recovered_at = None;
        self.report_troubles(&changing);
        number
    }

    /// The trouble of this number is over.
    pub(crate) fn recovered(&self, number: u64) {
        let mut changing = self.changing.lock();
        changing.troubles.remove(&number);
        if changing.troubles.is_empty() {
            changing.recovered_at = Some(now_ms());
        }
        self.report_troubles(&changing);
    }

    fn report_troubles(&self, changing: &Changing) {
        self.gauge(RETRYING, f64::from(changing.is_retrying()));
        self.gauge(FAILING, f64::from(changing.is_failing()));
    }

    pub(crate) fn rejected(&self, letters: &[RejectedEvent]) {
        let Some(last) = letters.last() else { return };
        self.settled.fetch_add(letters.len() as u64, Relaxed);
        self.dead_letters.fetch_add(letters.len() as u64, Relaxed);
        self.note_rejection(&last.reason);
        self.count(DEAD_LETTERS, letters.len());
    }

    /// A dead letter that was retried is one still.
    pub(crate) fn refused_again(&self, letter: &RejectedEvent) {
        self.settled.fetch_add(1, Relaxed);
        self.refused_again.fetch_add(1, Relaxed);
        self.note_rejection(&letter.reason);
        self.count(REFUSED_AGAIN, 1);
    }

    /// A part of the log was gone, or the log is another one: a gap was recorded.
    pub(crate) fn gap(&self, reason: &str) {
        self.note(reason);
        self.count(GAPS, 1);
    }

    /// Something went wrong that is not tried again.
    pub(crate) fn note(&self, error: &str) {
        self.note_as(error, false);
    }

    /// An event was rejected.
    fn note_rejection(&self, reason: &str) {
        self.note_as(reason, true);
    }

    fn note_as(&self, error: &str, is_rejection: bool) {
        let mut changing = self.changing.lock();
        let now = now_ms();
        changing.last_error = Some((error.to_owned(), now));
        changing.is_rejection = is_rejection;
        changing.recovered_at = changing.troubles.is_empty().then_some(now);
    }

    pub(crate) fn at(&self, cursor: EventId) {
        self.changing.lock().cursor = Some(cursor);
        // The beginning of an empty log is no time: it would look like decades of lag.
        if cursor.millis() == 0 {
            return;
        }
        // Milliseconds of this century have no more than 53 bits.
        #[allow(clippy::cast_precision_loss)]
        self.gauge(POSITION, cursor.millis() as f64 / 1000.0);
    }

    /// A pipeline that has ended tries nothing again.
    pub(crate) fn phase(&self, phase: Phase) {
        let mut changing = self.changing.lock();
        changing.phase = phase;
        if phase != Phase::Running {
            changing.troubles.clear();
        }
        if phase == Phase::Failed {
            changing.recovered_at = None;
        }
        self.report_troubles(&changing);
        self.gauge(UP, f64::from(phase == Phase::Running));
    }

    fn count(&self, name: &'static str, by: usize) {
        metrics::counter!(name, "destination" => self.name.clone()).increment(by as u64);
    }

    fn gauge(&self, name: &'static str, value: f64) {
        metrics::gauge!(name, "destination" => self.name.clone()).set(value);
    }

    /// Measures the rate since the last time.
    #[allow(clippy::cast_precision_loss, reason = "a rate is for people")]
    pub(crate) fn measure(&self) {
        let (now, delivered) = (Instant::now(), self.delivered.load(Relaxed));
        let mut changing = self.changing.lock();
        let (then, before) = changing.measured;
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds > 0.0 {
            changing.rate = delivered.saturating_sub(before) as f64 / seconds;
        }
        changing.measured = (now, delivered);
        self.gauge(PENDING, self.pending() as f64);
    }

    fn pending(&self) -> u64 {
        // In this order, so that what settles meanwhile is not missing among what was read.
        let settled = self.settled.load(Relaxed);
        self.read.load(Relaxed).saturating_sub(settled)
    }

    pub(crate) fn snapshot(&self) -> DestinationStats {
        let changing = self.changing.lock();
        DestinationStats {
            name: self.name.clone(),
            phase: changing.phase,
            is_retrying: changing.is_retrying(),
            is_failing: changing.is_failing(),
            delivered: self.delivered.load(Relaxed),
            batches: self.batches.load(Relaxed),
            retries: self.retries.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            refused_again: self.refused_again.load(Relaxed),
            pending: self.pending(),
            rate: changing.rate,
            cursor: changing.cursor,
            last_error: changing.last_error.as_ref().map(|(error, _)| error.clone()),
            recovered_at_ms: changing.recovered_at,
        }
    }

    pub(crate) fn report(&self) -> Report {
        let now = self.snapshot();
        let (at, last_error_is_rejection) = {
            let changing = self.changing.lock();
            (changing.last_error.as_ref().map(|(_, at)| *at), changing.is_rejection)
        };
        let state = match now.phase {
            Phase::Running if now.is_failing => "failing",
            Phase::Running if now.is_retrying => "retrying",
            Phase::Running => "running",
            Phase::Stopped => "stopped",
            Phase::Failed => "failed",
        };
        Report {
            state: state.to_owned(),
            at_ms: now_ms(),
            delivered: now.delivered,
            rate: now.rate,
            retries: now.retries,
            last_error: now.last_error,
            last_error_at_ms: at,
            last_error_is_rejection,
            recovered_at_ms: now.recovered_at_ms,
        }
    }
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the state and the reports hold times; no rule depends on them"
)]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
