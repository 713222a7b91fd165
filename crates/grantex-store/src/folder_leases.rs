//! Leases of a folder that one process has to itself: the holder of the lock has all of them.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use grantex_core::lease::{Lease, Leases};
use grantex_folder::{LOCK_FILE, Lock};
use parking_lot::Mutex;

/// The leases of a folder. They end with its lock, and do not keep it.
pub(crate) struct FolderLeases {
    folder: Arc<Folder>,
    /// The jobs that have a holder in this process.
    held: Arc<Mutex<HashSet<&'static str>>>,
}

struct Folder {
    lock_file: PathBuf,
    lock: Weak<Lock>,
}

impl Folder {
    /// Whether this process has the lock, and the file that it has locked is the one that others
    /// would lock: a file that was removed keeps nobody out.
    fn is_ours(&self) -> bool {
        let Some(lock) = self.lock.upgrade() else { return false };
        match (lock.file().metadata(), fs::metadata(&self.lock_file)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

impl FolderLeases {
    pub(crate) fn new(path: &Path, lock: &Arc<Lock>) -> Self {
        let folder = Folder { lock_file: path.join(LOCK_FILE), lock: Arc::downgrade(lock) };
        Self { folder: Arc::new(folder), held: Arc::default() }
    }
}

impl Leases for FolderLeases {
    fn acquire(&self, job: &'static str) -> Option<Box<dyn Lease>> {
        if !self.folder.is_ours() || !self.held.lock().insert(job) {
            return None;
        }
        let (folder, held) = (Arc::clone(&self.folder), Arc::clone(&self.held));
        Some(Box::new(FolderLease { job, folder, held, is_lost: false }))
    }
}

struct FolderLease {
    job: &'static str,
    folder: Arc<Folder>,
    held: Arc<Mutex<HashSet<&'static str>>>,
    is_lost: bool,
}

impl Lease for FolderLease {
    fn renew(&mut self) -> bool {
        self.is_lost = self.lost();
        !self.is_lost
    }

    fn lost(&self) -> bool {
        self.is_lost || !self.folder.is_ours()
    }
}

impl Drop for FolderLease {
    fn drop(&mut self) {
        self.held.lock().remove(self.job);
    }
}

#[cfg(test)]
mod tests {
    use crate::DataDir;

    #[test]
    fn a_job_has_one_holder_for_as_long_as_the_folder_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::lock(folder.path()).unwrap();
        let leases = dir.leases();
        let mut lease = leases.acquire("job").unwrap();
        assert!(leases.acquire("job").is_none() && leases.acquire("another").is_some());
        assert!(lease.renew() && !lease.lost());
        drop(lease);
        let mut lease = leases.acquire("job").unwrap();
        drop(dir);
        assert!(lease.lost() && !lease.renew());
        let next = DataDir::lock(folder.path()).expect("leases do not keep the lock");
        assert!(lease.lost(), "what is lost does not come back");
        drop(lease);
        assert!(leases.acquire("job").is_none());
        assert!(next.leases().acquire("job").is_some());
    }

    #[test]
    fn a_lock_file_that_was_replaced_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::lock(folder.path()).unwrap();
        let mut lease = dir.leases().acquire("job").unwrap();
        std::fs::remove_file(folder.path().join("lock")).unwrap();
        let second = DataDir::lock(folder.path()).unwrap();
        assert!(!lease.renew() && second.leases().acquire("job").is_some());
    }
}
