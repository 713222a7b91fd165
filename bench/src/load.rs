//! The load: subscribers as cheap as can be, a publisher of real events, and the raw writers that
//! bound them.

pub(crate) mod bare_store;
pub(crate) mod caller;
pub(crate) mod calls;
pub(crate) mod limit;
pub(crate) mod publisher;
pub(crate) mod readers;

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
