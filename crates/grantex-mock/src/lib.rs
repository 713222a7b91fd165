//! Plays the conformance cases in `vectors/` to an SDK over real HTTP.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`cases`] | the cases' format, and reading them |
//! | `session` | one case being played: what was asked so far, and what was wrong with it |
//! | `check` | comparing a request with what the case expects |
//! | `play` | answers, streams among them |
//! | [`server`] | the HTTP front |
//!
//! A runner lists the cases (`GET /cases`), opens a session for each (`POST /sessions`), points its
//! SDK at the session's base URL, compares what the SDK made of it with the case's outcome, and
//! asks for the verdict on what the SDK had sent (`GET /sessions/{n}`). The format is in
//! `vectors/README.md`.

pub mod cases;
mod check;
mod play;
pub mod server;
mod session;
