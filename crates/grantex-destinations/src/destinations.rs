//! The destinations that come with the package. Those with large clients are behind features.

#[cfg(feature = "bigquery")]
mod bigquery;
mod datadog;
mod file;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "s3")]
mod s3;
mod splunk;
mod webhook;

#[cfg(feature = "bigquery")]
pub use bigquery::{BigQueryDestination, BigQueryMethod, BigQueryOptions};
pub use datadog::{DatadogDestination, DatadogOptions};
pub use file::{FileDestination, FileOptions};
#[cfg(feature = "kafka")]
pub use kafka::{CloudEventsMode, KafkaDestination, KafkaKey, KafkaOptions};
#[cfg(feature = "s3")]
pub use s3::{S3Checksum, S3Compression, S3Destination, S3Options, S3Provider};
pub use splunk::{SplunkDestination, SplunkOptions};
pub use webhook::{WebhookDestination, WebhookOptions};
