//! The destinations that come with the package, each behind a feature of its name.

#[cfg(feature = "bigquery")]
mod bigquery;
#[cfg(feature = "datadog")]
mod datadog;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "splunk")]
mod splunk;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "bigquery")]
pub use bigquery::{BigQueryDestination, BigQueryMethod, BigQueryOptions};
#[cfg(feature = "datadog")]
pub use datadog::{DatadogDestination, DatadogOptions};
#[cfg(feature = "file")]
pub use file::{FileDestination, FileOptions};
#[cfg(feature = "kafka")]
pub use kafka::{CloudEventsMode, KafkaDestination, KafkaKey, KafkaOptions};
#[cfg(feature = "s3")]
pub use s3::{S3Checksum, S3Compression, S3Destination, S3Options, S3Provider};
#[cfg(feature = "splunk")]
pub use splunk::{SplunkDestination, SplunkOptions};
#[cfg(feature = "webhook")]
pub use webhook::{WebhookDestination, WebhookOptions};
