//! The embedded store: SQLite in WAL mode with `synchronous=FULL`.
//!
//! | File | What it holds |
//! |---|---|
//! | `schema` | the tables, as numbered migrations |
//! | `counting` | counters that a migration added, made up from the rows before anything else runs |
//! | `store`, `common` | the store, and what its threads share |
//! | `values` | SQLite's values and errors as the contract's |
//! | `open` | opening a connection, and what is wrong with a file that does not open |
//! | `committer` | the writer's thread: savepoints, group commit, recovery from failed writes |
//! | `inbox` | what waits for the writer: a turn for each developer |
//! | `readers` | the readers' threads: one snapshot per query |
//! | `desk` | what waits for the readers of a kind: a turn for each developer |
//! | `wal`, `gate` | checkpoints, and room in the write-ahead log |
//! | `mark` | what remembers how far the database was |
//! | `unit_of_work` | a connection in a transaction: the type that implements `Read` and `Tx` |
//! | `read`, `write`, `log`, `keys`, `audit`, `sessions`, `cascade`, `ended` | the row primitives |
//! | `places` | finding ids and times in a log |
//! | `checksum`, `backfill`, `damages` | what an event's row has to be, and which are not |
//! | `plan` | in daily builds: the check that no statement of a transaction goes through a table |
//! | `bounded` | the test that what has ended costs nothing |
//! | `usage` | what a developer has, counted where it is written |
//! | `rows` | rows as the rules' types |
//! | `backup` | a consistent copy while the service runs |
//! | `check` | looking at everything, while the service runs or not |

mod audit;
mod backfill;
mod backup;
#[cfg(test)]
mod bounded;
mod cascade;
mod check;
mod checksum;
mod committer;
mod common;
mod counting;
mod damages;
mod desk;
mod ended;
mod gate;
mod grant_list;
mod inbox;
mod keys;
mod log;
mod mark;
mod open;
mod places;
#[cfg(debug_assertions)]
mod plan;
mod read;
mod readers;
mod rows;
mod schema;
mod scope_names;
mod sessions;
mod store;
mod unit_of_work;
mod usage;
mod values;
mod wal;
mod write;

pub use backup::{BackupError, backup};
pub use check::{CheckError, Found, Problem, check};
pub use common::Environment;
pub use mark::MARK_FILE;
pub use open::{FILE_NAME, Loss, OpenError};
pub use store::SqliteStore;
