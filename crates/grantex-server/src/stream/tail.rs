//! The newest events of one log, framed, while somebody subscribes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grantex_core::log::Position;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::frame::Chunk;
use super::lane::Lanes;

/// Streams of one log that write much at the same time: as many as the smallest machines have
/// cores.
const WRITING_AT_ONCE: usize = 2;

/// A ring of chunks in log order. It may begin anywhere and have gaps; what it lacks is in the
/// store.
pub(super) struct Tail {
    ring: Mutex<Ring>,
    /// One more than the log's head as far as it is known; 0 as long as it is not.
    head: AtomicU64,
    /// Who delivers it.
    pub(super) lanes: Lanes,
    /// Permits to write much to a stream of this log at a time
    /// ([`Pipe::flush`](super::pipe::Pipe::flush)).
    pub(super) turns: Semaphore,
    /// When it was last read, in the hub's ticks: the least recently used tail is cut first.
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
}

impl Ring {
    /// Puts a chunk behind the others, joined to the last ones as long as they are small: what
    /// comes in many small commits lies in few large chunks a little later. One that comes too
    /// late or a second time is dropped: the store has it.
    fn add(&mut self, mut chunk: Arc<Chunk>) {
        if self.chunks.back().is_some_and(|last| chunk.first() <= last.last()) {
            return;
        }
        while let Some(last) = self.chunks.back().filter(|last| last.should_join(&chunk)) {
            self.bytes = self.bytes.saturating_sub(last.size());
            chunk = Arc::new(last.join(&chunk));
            self.chunks.pop_back();
        }
        self.bytes = self.bytes.saturating_add(chunk.size());
        self.chunks.push_back(chunk);
    }

    /// The first chunk that does not end before a position.
    fn with(&self, position: Position) -> Option<&Arc<Chunk>> {
        // Most have seen all but the newest.
        let last = self.chunks.back()?;
        if last.first() <= position {
            return (position <= last.last()).then_some(last);
        }
        self.chunks.get(self.chunks.partition_point(|chunk| chunk.last() < position))
    }
}

/// What a tail has after a position.
pub(super) enum Found {
    /// The chunk that holds the next event.
    Chunk(Arc<Chunk>),
    /// The next event, if there is one, is in the store only.
    Missing,
    /// There is no next event yet.
    Nothing,
}

impl Tail {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::default(),
            head: AtomicU64::new(0),
            lanes: Lanes::default(),
            turns: Semaphore::new(WRITING_AT_ONCE),
            used: AtomicU64::new(0),
        }
    }

    /// Whether the log is known to have something after a position.
    pub(super) fn has_after(&self, position: Position) -> bool {
        self.head.load(Ordering::Acquire) > position.saturating_add(1)
    }

    /// The store had nothing after a position, read while this tail was there: what comes after it
    /// is published here.
    pub(super) fn ends_at(&self, position: Position) {
        self.head.fetch_max(position.saturating_add(1), Ordering::AcqRel);
    }

    /// Adds chunks of a log that reaches to `head`, and wakes the lanes. Where there are none, or
    /// not all, sessions read the store. Returns the bytes held before and after.
    pub(super) fn push(&self, chunks: Vec<Arc<Chunk>>, head: Position) -> (usize, usize) {
        let mut ring = self.ring.lock();
        let before = ring.bytes;
        for chunk in chunks {
            ring.add(chunk);
        }
        let after = ring.bytes;
        drop(ring);
        self.ends_at(head);
        self.lanes.wake();
        (before, after)
    }

    /// The store has the log up to here. Wakes the lanes if that is news.
    pub(super) fn reaches(&self, head: Position) {
        let above = head.saturating_add(1);
        if self.head.fetch_max(above, Ordering::AcqRel) < above {
            self.lanes.wake();
        }
    }

    pub(super) fn read(&self, after: Position, tick: u64) -> Found {
        self.used.store(tick, Ordering::Relaxed);
        let wanted = after.saturating_add(1);
        let ring = self.ring.lock();
        match ring.with(wanted) {
            Some(chunk) if chunk.first() <= wanted => Found::Chunk(Arc::clone(chunk)),
            Some(_) => Found::Missing,
            None => {
                // Equal, mostly: a cursor is never beyond the head.
                let head = self.head.load(Ordering::Acquire);
                if head > 0 && head <= wanted { Found::Nothing } else { Found::Missing }
            }
        }
    }

    /// Drops the oldest chunk. Returns the bytes freed; 0 when it is empty.
    pub(super) fn drop_oldest(&self) -> usize {
        let mut ring = self.ring.lock();
        let freed = ring.chunks.pop_front().map_or(0, |chunk| chunk.size());
        ring.bytes = ring.bytes.saturating_sub(freed);
        freed
    }

    pub(super) fn bytes(&self) -> usize {
        self.ring.lock().bytes
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
