//! How an event reaches its subscribers: one loop for live events and replay, one framing for all
//! subscribers.
//!
//! Who wakes whom:
//!
//! ```text
//!  committer ── CommitNotice ──► Hub::publish            on the committer's thread
//!                                  │ frames the events once, into chunks
//!                                  ├──► Tail             keeps the newest chunks of the log
//!                                  └──► Lanes::wake      wakes the tasks of the log's lanes
//!                                         │
//!                      ┌──────────────────┘
//!                      ▼
//!                    Lane                                one task for up to 128 members
//!                      │ Member::serve, one after the other
//!                      ▼
//!   stream's task ◄── Pipe ──► Subscriber                takes what is due after its cursor
//!     ▲    │           │          ├── from the Tail
//!     │    │           │          └── from the store, in the stream's task only
//!     │    │           ▼
//!     │    └───────► Outlet ──► socket                   never waits in a lane
//!     │
//!     └── woken when the socket accepts bytes again, the client sends something, the next event is
//!         in the store only, or the stream has to end
//! ```
//!
//! A stream belongs to its task or to its lane: the task parks the pipe in its `Membership` once
//! the subscriber has caught up, and takes it back when it is woken.
//!
//! A stream ends
//!
//! | because | how the client sees it |
//! |---|---|
//! | the client closes it, or the connection breaks | – |
//! | the client accepts no bytes for the stall timeout | close code 1013, then the connection is cut |
//! | its API key is revoked | end of the answer; close code 1008 |
//! | its ticket expires | a comment and the end of the answer; close code 4401 |
//! | its developer is suspended | end of the answer; close code 4403 |
//! | its next event is damaged | a comment and the end of the answer; close code 4500 |
//! | retention removed its next event | end of the answer; close code 4410 |
//! | the service shuts down | end of the answer; close code 1001 |
//! | a WebSocket client sends what it may not | close code 1002, 1003, 1007 or 1009 |
//! | delivering to it panicked | the connection is cut |
//!
//! After a revocation, an expiry or a suspension the connection is cut if it is still open 500 ms
//! later; after a shutdown, once the drain time is nearly over.
//!
//! | Module | What it holds |
//! |---|---|
//! | `chunk`, `selection` | events as ready-to-send bytes, and what a subscriber gets of them |
//! | `tail` | the newest chunks of one log, while it has subscribers |
//! | `lanes`, `membership` | the tasks that deliver new events, and a subscriber's place in one |
//! | `registry`, `counts` | the open streams by developer, and how many there may be |
//! | `hub` | publication to all streams, and their ends (`end`) |
//! | `registration` | one subscriber's entry in the hub |
//! | `subscriber` | a cursor that follows the log |
//! | `outlet` | a socket and the bytes that wait for it |
//! | `pipe` | a subscriber and its outlet: events become bytes |
//! | `sse`, `ws` | the two kinds of stream (`ws_frame`: the WebSocket protocol, `transport`: which one) |
//! | `takeover` | an answer that takes its socket from HTTP |
//! | `ticket` | opening a stream without an API key in a header |

mod chunk;
mod counts;
mod end;
pub(crate) mod hub;
mod lanes;
mod membership;
mod outlet;
mod pipe;
pub(crate) mod registration;
mod registry;
mod selection;
mod sse;
pub(crate) mod subscriber;
mod tail;
pub(crate) mod takeover;
#[cfg(test)]
mod testing;
pub(crate) mod ticket;
pub(crate) mod transport;
pub(crate) mod ws;
mod ws_frame;
