//! Who does the service's own work: cascades, retention.

/// The right to do a job, of which one process at a time has it. Two that do the same job at once
/// break nothing, since each slice of it is a transaction; they only do it twice.
pub trait Leases: Send + Sync + 'static {
    /// Takes the lease of a job. `None` while another holder has it, or where that is not known.
    /// Returns at once.
    fn acquire(&self, job: &'static str) -> Option<Box<dyn Lease>>;
}

/// The lease of a job; dropping it gives it back.
pub trait Lease: Send + Sync {
    /// Extends it, and returns whether it is still held. Called before each slice of the job, which
    /// takes some milliseconds. Returns at once.
    fn renew(&mut self) -> bool;
    /// Whether another process may have it now. It does not come back: acquire another.
    fn lost(&self) -> bool;
}
