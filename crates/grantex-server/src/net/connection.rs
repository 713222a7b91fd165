//! The state of one client connection: where it comes from, whether it is idle, and the signals
//! that close it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::signal::Signal;

/// A connection. Its own task, its requests and its stream share it.
pub(crate) struct Connection {
    /// The address of the other end.
    pub(crate) peer: IpAddr,
    /// It uses TLS.
    pub(crate) is_secure: bool,
    /// It was accepted beyond the limit: it may ask for the health, and any other request is
    /// refused.
    pub(crate) is_spare: bool,
    /// Closes the socket at once, whatever is unsent.
    pub(crate) cut: Signal<()>,
    /// Closes the socket unless a request is being handled: a new connection needs its place.
    pub(crate) leave: Signal<()>,
    /// Bytes wait for the socket to accept more.
    is_blocked: AtomicBool,
    /// The other end is to see an error when the socket closes.
    is_reset: AtomicBool,
    /// A request is being handled.
    is_busy: AtomicBool,
    /// There was a request.
    has_asked: AtomicBool,
    /// There was a request with an API key.
    is_known: AtomicBool,
    /// The last request's body was not read to its end.
    has_unread_body: AtomicBool,
    /// The next answer is the last: what follows it was not read.
    ends_after_answer: AtomicBool,
    /// Its number in the order of the connections; only [`super::connections`] changes it.
    number: AtomicU64,
}

impl Connection {
    pub(super) fn new(peer: IpAddr, is_secure: bool, is_spare: bool) -> Self {
        Self {
            peer,
            is_secure,
            is_spare,
            cut: Signal::default(),
            leave: Signal::default(),
            is_blocked: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            ends_after_answer: AtomicBool::new(is_spare),
            number: AtomicU64::new(0),
        }
    }

    /// Closes the socket instead of answering. A stream's client treats every answer but a stream
    /// as final, and reconnects after a network error.
    pub(crate) async fn reset<T>(&self) -> T {
        self.is_reset.store(true, Ordering::Relaxed);
        self.cut.set(());
        // The connection's task drops this future.
        std::future::pending().await
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Relaxed)
    }

    /// Notes that a request had an API key. Returns whether it is the first one.
    pub(super) fn set_known(&self) -> bool {
        !self.is_known() && !self.is_known.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// A request has arrived; its body, if it has one, has not.
    pub(crate) fn begin_request(&self, has_body: bool) {
        self.is_busy.store(true, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        self.has_unread_body.store(has_body, Ordering::Relaxed);
    }

    /// The request is answered.
    pub(crate) fn end_request(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.is_busy.load(Ordering::Relaxed) && !self.is_blocked()
    }

    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// The request's body was read to its end.
    pub(crate) fn has_read_body(&self) {
        self.has_unread_body.store(false, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
    }

    /// The answer to this request is the last one.
    pub(crate) fn end_after_answer(&self) {
        self.ends_after_answer.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ends_after_answer(&self) -> bool {
        self.ends_after_answer.load(Ordering::Relaxed)
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }
}
