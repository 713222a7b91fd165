//! The HTTP service: routes, authentication, consent page, streams, metrics. The only crate that
//! names an HTTP library.
//!
//! A request goes through `http` (limits, ids, log), a handler in `routes` (extract,
//! call a use case, respond), and the use case's transaction in the store. Committed events come
//! back through [`Memory`], which hands them to `stream`.

mod app;
mod bootstrap;
mod cache;
mod crypto;
mod http;
mod jobs;
mod openapi;
pub mod operator;
mod refresh;
mod routes;
mod settings;
mod stream;
mod telemetry;

pub use app::{App, Memory, Parts, SystemClock};
pub use bootstrap::bootstrap;
pub use crypto::{
    KeyError, KeyFileError, NewKeys, Secrets, SigningKeys, SystemRng, load_keys,
    rotate as rotate_signing_key, wrong_keys,
};
pub use grantex_core::usecase::quotas::Quotas;
pub use http::origin::allowed_origin;
pub use http::serve::{Tls, serve, serve_metrics};
pub use jobs::Jobs;
pub use openapi::document as openapi_document;
pub use operator::OperatorSocket;
pub use routes::router;
pub use settings::{ConnectionSettings, Rate, Rates, RequestSettings, Settings, StreamSettings};
pub use telemetry::{TelemetryError, install_metrics};
