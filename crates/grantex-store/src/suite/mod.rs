//! The contract of a store as cases: every promise of [`grantex_core::store`], checked through
//! that interface alone.
//!
//! A backend's tests implement [`Database`] and call [`run`]:
//!
//! ```ignore
//! #[test]
//! fn it_keeps_the_contract() {
//!     grantex_store::suite::run(&[], || Box::new(EmptyDatabase::new()));
//! }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::needless_pass_by_value,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "a case fails by a panic, and its name says what it is about"
)]

mod budgets;
mod cascade;
mod conflicts;
mod endings;
mod harness;
mod history;
mod log;
mod state;
mod tenants;
mod turns;
mod twice;
mod watched;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

pub use harness::{
    Case, CountingRng, Database, Harness, Recorder, START, Step, StillClock, Surroundings, append,
    grant, grant_for,
};
pub use twice::Twice;
use watched::Calls;

/// Cases that run at the same time: they wait for commits more than they compute.
const AT_ONCE: usize = 4;

/// Every case, by name.
pub fn cases() -> impl Iterator<Item = Case> {
    [
        state::CASES,
        budgets::CASES,
        tenants::CASES,
        log::CASES,
        history::CASES,
        cascade::CASES,
        turns::CASES,
        conflicts::CASES,
        endings::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs every case, each on an empty database that `fresh` makes, but for the `exceptions`: names
/// of cases, and why this backend does not keep them.
///
/// # Panics
/// If a case fails, if no case calls a method of the contract, or if an exception names no case.
pub fn run(exceptions: &[(&str, &str)], fresh: impl Fn() -> Box<dyn Database> + Sync) {
    for (name, reason) in exceptions {
        assert!(cases().any(|(case, _)| case == *name), "an exception names no case: {name}");
        println!("left out: {name}, since {reason}");
    }
    let is_meant = |(case, _): &Case| exceptions.iter().all(|(name, _)| name != case);
    let (waiting, failed) = (Mutex::new(cases().filter(is_meant)), Mutex::new(Vec::new()));
    let calls = Arc::<Calls>::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().next();
                    let Some((name, case)) = next else { break };
                    println!("{name}");
                    let run = || case(Harness::watched(fresh(), Arc::clone(&calls)));
                    if catch_unwind(AssertUnwindSafe(run)).is_err() {
                        failed.lock().push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "these cases failed: {failed:#?}");
    let missing = calls.missing();
    assert!(
        missing.is_empty() || !exceptions.is_empty(),
        "no case calls these methods of the contract: {missing:#?}"
    );
}
