//! The way of an event out: one loop for live and replay, one framing for all subscribers.
//!
//! | Module | What it holds |
//! |---|---|
//! | `frame` | events as ready-to-send bytes |
//! | `tail` | the newest of them, by developer, while somebody subscribes |
//! | `hub` | all tails and all open streams: publishing, limits, revocation, drain |
//! | `slot` | one stream's place in the hub, and what its deliveries count |
//! | `places` | how many streams a developer, and a ticket, may have open |
//! | `filter` | what a subscriber wants to see |
//! | `session` | a subscriber: a cursor that follows the log |
//! | `sse`, `ws` | a session as Server-Sent Events, and as a WebSocket (`ws_frame`: its protocol) |
//! | `outlet` | the socket that they write to |
//! | `pipe` | a session and its outlet: items become bytes |
//! | `lane` | what delivers new events: one task for many streams |
//! | `taken` | a stream that has taken its socket from HTTP |
//! | `takeover` | an answer that takes its socket from HTTP |
//! | `ticket` | opening a stream without an API key in a header |

mod filter;
mod frame;
mod hub;
mod lane;
mod outlet;
mod pipe;
mod places;
mod session;
mod slot;
pub(crate) mod sse;
mod tail;
mod taken;
pub(crate) mod takeover;
pub(crate) mod ticket;
pub(crate) mod ws;
mod ws_frame;

pub(crate) use filter::{Filter, FilterQuery};
pub(crate) use hub::{End, Hub, Transport};
pub(crate) use places::Limits;
pub(crate) use session::Session;
pub(crate) use slot::Slot;
pub(crate) use taken::Stream;
