//! The newest events of one log, ready to send, while the log has subscribers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grantex_core::log::Position;
use parking_lot::Mutex;

use super::chunk::Chunk;

/// Chunks in log order. The tail may begin anywhere and have gaps; what it lacks is in the store.
pub(super) struct Tail {
    ring: Mutex<Ring>,
    /// One more than the log's head as far as it is known; 0 as long as it is not.
    head: AtomicU64,
    /// When it was last read, in the hub's ticks: the least recently used tail is trimmed first.
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
}

impl Ring {
    /// Puts a chunk behind the others. It is joined to the last ones as long as they are small, so
    /// that the events of many small commits soon lie in few large chunks. A chunk that is late or
    /// repeated is dropped: the store has its events.
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
        // Most subscribers lack only the newest.
        let last = self.chunks.back()?;
        if last.first() <= position {
            return (position <= last.last()).then_some(last);
        }
        self.chunks.get(self.chunks.partition_point(|chunk| chunk.last() < position))
    }
}

/// What a tail has after a position.
pub(super) enum Lookup {
    /// The chunk that holds the next event.
    Chunk(Arc<Chunk>),
    /// The next event, if there is one, is in the store only.
    InStore,
    /// There is no next event yet.
    AtHead,
}

impl Tail {
    pub(super) fn new() -> Self {
        Self { ring: Mutex::default(), head: AtomicU64::new(0), used: AtomicU64::new(0) }
    }

    /// Whether the log is known to have something after a position.
    pub(super) fn has_after(&self, position: Position) -> bool {
        self.head.load(Ordering::Acquire) > position.saturating_add(1)
    }

    /// The log reaches up to this position. Returns whether that was not known.
    ///
    /// A reader of the store may call this with the position after which the store had nothing, if
    /// it read while this tail existed: events after that position are published here.
    pub(super) fn reaches(&self, head: Position) -> bool {
        let above = head.saturating_add(1);
        self.head.fetch_max(above, Ordering::AcqRel) < above
    }

    /// Adds chunks of a log that reaches up to `head`. Where chunks are missing, subscribers read
    /// the store. Returns the bytes held before and after.
    pub(super) fn push(&self, chunks: Vec<Arc<Chunk>>, head: Position) -> (usize, usize) {
        let mut ring = self.ring.lock();
        let before = ring.bytes;
        for chunk in chunks {
            ring.add(chunk);
        }
        let after = ring.bytes;
        drop(ring);
        self.reaches(head);
        (before, after)
    }

    /// What follows a position.
    pub(super) fn read(&self, after: Position, tick: u64) -> Lookup {
        self.used.store(tick, Ordering::Relaxed);
        let wanted = after.saturating_add(1);
        let ring = self.ring.lock();
        match ring.with(wanted) {
            Some(chunk) if chunk.first() <= wanted => Lookup::Chunk(Arc::clone(chunk)),
            Some(_) => Lookup::InStore,
            None => {
                // Equal, mostly: a cursor is never beyond the head.
                let head = self.head.load(Ordering::Acquire);
                if head > 0 && head <= wanted { Lookup::AtHead } else { Lookup::InStore }
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
