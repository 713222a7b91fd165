//! What HTTP and streams both stand on: sockets, the connections of a listener, and where they come
//! from. Nothing here knows HTTP.
//!
//! | Module | What it holds |
//! |---|---|
//! | `socket` | a TCP socket, with TLS or without, and how it is accepted |
//! | `connection` | the state of one connection |
//! | `connections` | all connections of a listener, and which one is closed for a new one |
//! | `stall` | the time limit for a client that accepts no bytes |
//! | `address` | which addresses count as one client |
//! | `signal` | a value that is set once and waited for by one task |
//! | `limit_log` | counts how often a limit of the service is reached, and logs it |

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod limit_log;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stall;
