//! The contracts that a backend keeps. `grantex-store` holds the suite that checks each promise.
//!
//! | Module | What it holds |
//! |---|---|
//! | `rows` | what rules read and write within a transaction |
//! | `command` | work for a store: its scope, what it needs, and how it ends |
//! | `contract` | the store itself, and its health |
//! | `notice` | what a commit did, and who learns of it |
//! | `call` | running a closure as a command or a query |

mod call;
mod command;
mod contract;
mod notice;
mod rows;

pub use call::{read, write};
pub use command::{Batch, Command, Need, Needs, Query, Scope, Verdict};
pub use contract::{Health, MOST_QUEUED, MOST_RUNS, QueryKind, Store};
pub use notice::{Change, CommitNotice, Listener};
pub use rows::{Ended, GrantFilter, KeptAnswer, MOST_LOOKED_AT, Page, Reach, Read, Sifted, Tx};

pub use crate::error::StoreResult;
pub use crate::log::{Order, Scan};
