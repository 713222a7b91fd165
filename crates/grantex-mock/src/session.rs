//! One case being played.

use std::time::{Duration, Instant};

use http::request::Parts;
use parking_lot::Mutex;
use serde_json::Value;

use crate::cases::{Answer, Case};
use crate::check;

/// How long the verdict waits for what a client does after its call has returned.
const PATIENCE: Duration = Duration::from_secs(5);

/// A case, the variant of it, and what happened so far.
pub(crate) struct Session {
    pub(crate) case: Case,
    pub(crate) variant: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which exchange comes next, and how often it has happened.
    next: usize,
    repeats: usize,
    requests: usize,
    previous: Option<Parts>,
    answered: Option<Instant>,
    problems: Vec<String>,
    /// Streams that the client has to close.
    held: usize,
}

/// What to do about a request.
pub(crate) struct Turn {
    pub(crate) answer: Answer,
    /// How many requests came before this one.
    pub(crate) number: usize,
}

impl Session {
    pub(crate) fn new(case: Case, variant: usize) -> Self {
        Self { case, variant, state: Mutex::default() }
    }

    /// The exchange that `request` belongs to; `None` when the case has no more.
    pub(crate) fn turn(&self, request: Parts, path: &str, body: &[u8]) -> Option<Turn> {
        let mut state = self.state.lock();
        let number = state.requests;
        state.requests = number.saturating_add(1);
        let Some(exchange) = self.case.exchanges.get(state.next) else {
            state.problems.push(format!("one request too many: {} {path}", request.method));
            return None;
        };
        let since = state.answered.map_or(Duration::MAX, |answered| answered.elapsed());
        if since < Duration::from_millis(exchange.expect.not_before_ms) {
            state.problems.push(format!("request {number} came after {since:?} already"));
        }
        let found = check::request(&exchange.expect, &request, path, body, state.previous.as_ref());
        state
            .problems
            .extend(found.into_iter().map(|problem| format!("request {number}: {problem}")));
        state.previous = Some(request);
        state.repeats = state.repeats.saturating_add(1);
        if state.repeats >= exchange.times {
            state.next = state.next.saturating_add(1);
            state.repeats = 0;
        }
        state.answered = Some(Instant::now());
        Some(Turn { answer: exchange.answer.clone(), number })
    }

    pub(crate) fn problem(&self, problem: String) {
        self.state.lock().problems.push(problem);
    }

    /// Notes when an answer ended, for the delays after it.
    pub(crate) fn answered(&self) {
        self.state.lock().answered = Some(Instant::now());
    }

    pub(crate) fn hold(&self) {
        let mut state = self.state.lock();
        state.held = state.held.saturating_add(1);
    }

    pub(crate) fn released(&self) {
        let mut state = self.state.lock();
        state.held = state.held.saturating_sub(1);
    }

    /// What was wrong with the requests; waits for held streams to be closed.
    pub(crate) async fn verdict(&self) -> Value {
        let deadline = Instant::now().checked_add(PATIENCE);
        while self.state.lock().held > 0
            && deadline.is_some_and(|deadline| Instant::now() < deadline)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let state = self.state.lock();
        let mut problems = state.problems.clone();
        if state.held > 0 {
            problems.push("the client did not close its stream".into());
        }
        // A log that is cut at its very end needs no second connection.
        let is_log =
            self.case.exchanges.get(state.next).is_some_and(|due| due.answer.log.is_some());
        let has_happened = is_log && state.repeats > 0;
        if state.next < self.case.exchanges.len() && !has_happened {
            problems.push(format!("{} requests came, more were due", state.requests));
        }
        serde_json::json!({ "problems": problems })
    }
}
