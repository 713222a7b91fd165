//! The HTTP service: routes, authentication, consent page, streams, metrics. The only crate that
//! names an HTTP library.
//!
//! `serve` accepts a connection and speaks HTTP on it. A request passes `request` (id, log, limits,
//! extractors), a handler in `routes` (extract, call a use case, respond), and the use case's
//! transaction in the store. Committed events come back through [`Memory`], which passes them to
//! `stream`. `http` holds what answers have in common, and `net` the sockets and connections below
//! both HTTP and streams.

mod app;
mod bootstrap;
mod cache;
mod clock;
mod crypto;
mod http;
mod jobs;
mod memory;
mod net;
pub mod operator;
mod refresh;
mod request;
mod routes;
mod serve;
mod settings;
mod stream;
mod telemetry;

pub use app::{App, Parts};
pub use bootstrap::bootstrap;
pub use clock::SystemClock;
pub use crypto::{
    KeyError, KeyFileError, KeyFolder, KeyRing, MASTER_KEY_FILE, MasterKey, NewKeys,
    SIGNING_KEYS_FOLDER, Secrets, SigningKeys, SystemRng, load_keys, rotate as rotate_signing_key,
    wrong_keys,
};
pub use grantex_core::usecase::quotas::Quotas;
pub use http::origin::allowed_origin;
pub use jobs::Jobs;
pub use memory::Memory;
pub use net::socket::Tls;
pub use operator::OperatorSocket;
pub use routes::openapi::document as openapi_document;
pub use routes::router;
pub use serve::{serve, serve_metrics};
pub use settings::{ConnectionSettings, Rate, Rates, RequestSettings, Settings, StreamSettings};
pub use telemetry::{TelemetryError, install_metrics};
