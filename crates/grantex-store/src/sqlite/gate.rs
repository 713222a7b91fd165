//! The gate before the readers: it closes for a moment when the write-ahead log has to restart.
//!
//! SQLite restarts its write-ahead log only when no reader uses it. Readers that overlap leave no
//! such moment, and the log would grow without bound; so the writer creates one.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rusqlite::InterruptHandle;

/// How long the writer waits for running queries. Few take longer; one that does is interrupted,
/// and its caller is asked to retry.
const PATIENCE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Default)]
pub(super) struct Gate {
    readers: RwLock<()>,
    /// What interrupts each of them.
    handles: Mutex<BTreeMap<usize, InterruptHandle>>,
}

impl Gate {
    /// A reader has a new connection.
    pub(super) fn introduce(&self, reader: usize, handle: InterruptHandle) {
        self.handles.lock().insert(reader, handle);
    }

    /// To be held as long as a query runs. Waits while the gate is closed.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.readers.read()
    }

    /// Waits until no query runs, and lets none in as long as what it returns lives.
    pub(super) fn close(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.close_within(PATIENCE)
    }

    pub(super) fn close_within(&self, patience: Duration) -> Option<RwLockWriteGuard<'_, ()>> {
        self.readers.try_write_for(patience).or_else(|| {
            for handle in self.handles.lock().values() {
                handle.interrupt();
            }
            self.readers.try_write_for(PATIENCE)
        })
    }
}
