//! The databases that Grantex stands on. The only crate that names one.
//!
//! [`sqlite`] is the embedded store: one file in a data directory, one writer, many readers.
//! `suite` (a feature, for tests) checks every promise that `grantex_core::store` makes; each
//! backend passes it.

pub mod data_dir;
mod fair_queue;
mod folder_leases;
pub mod sqlite;
#[cfg(feature = "suite")]
pub mod suite;

pub use data_dir::{DataDir, DataDirError};
pub use sqlite::{OpenError, SqliteStore};
