//! Events of Grantex, delivered: to Datadog, Splunk, S3, BigQuery, Kafka, webhooks and files, or to
//! a destination of your own.
//!
//! An [`EventSource`] reads a service's event log and delivers it to any number of destinations.
//! Each has its own cursor, batches, retries and durable checkpoint: one that is down does not
//! affect the others, and catches up from the log. Every event arrives at least once and in order,
//! and exactly once where the destination can recognise a repeated batch. An event that a
//! destination rejects for good is kept as a dead letter with the answer that rejected it.
//!
//! | Module | Holds |
//! |---|---|
//! | [`EventDestination`] | the contract of a destination |
//! | [`conformance`] | a kit that checks any destination against it (feature `conformance`) |
//! | [`Definition`] | destinations from a configuration file |
//! | [`State`] | checkpoints and dead letters |
//! | [`Observer`] | is notified of failures and dead letters |

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]
mod batch;
mod compress;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod destination;
mod destinations;
mod error;
mod feed;
mod format;
mod gather;
mod held;
mod http;
mod log;
mod observer;
mod options;
mod pipeline;
mod retry;
mod secret;
mod source;
mod state;
mod stats;
mod tls;
mod tries;

pub use batch::{Batch, Place};
pub use config::Definition;
pub use destination::{BatchLimits, EventDestination, MAX_CONCURRENCY, SendError};
pub use destinations::*;
pub use error::{ConfigError, PipelineError, SourceError};
pub use format::{Format, FormatKind, grant_id};
pub use grantex::{EventId, GrantexEvent};
pub use http::HttpOptions;
pub use log::{EventLog, Filter, LogError, Start};
pub use observer::{DeliveryFailure, Observer};
pub use options::{DeliveryOptions, OnLostPosition};

pub use retry::RetryPolicy;
pub use secret::Secret;
pub use source::{Builder, EventSource};
pub use state::{
    Checkpoint, DeadLetter, DeadLetters, Gap, Redelivery, RejectedEvent, Report, State, StateError,
};
pub use stats::{DestinationStats, Phase, describe_metrics};
pub use tls::trusting;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
