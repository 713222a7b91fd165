//! Amazon S3, what speaks its protocol, Google Cloud Storage and Azure Blob Storage.

mod store;

use std::io::{self, Read as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use grantex::GrantexEvent;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload,
};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Place};
use crate::compress::gzip;
use crate::destination::{BatchLimits, EventDestination, SendError};
use crate::error::ConfigError;
use crate::http::HttpOptions;
use crate::secret::Secret;

/// Bytes that an object which is there already may have when it is compared.
const MOST_COMPARED: u64 = 1 << 30;

/// Characters of an answer that a message quotes.
const QUOTED: usize = 500;

/// Where the objects go, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Options {
    /// The bucket, or Azure's container.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: Option<String>,
    /// The region; `AWS_REGION` unless given.
    pub region: Option<String>,
    /// Another server than Amazon's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`; on where there is an `endpoint`,
    /// unless given.
    pub path_style: Option<bool>,
    /// `gzip` unless given.
    #[serde(default)]
    pub compression: S3Compression,
    /// Credentials; otherwise the environment, a profile, a web identity or the instance's role.
    pub access_key_id: Option<String>,
    /// Credentials.
    pub secret_access_key: Option<Secret>,
    /// Credentials.
    pub session_token: Option<Secret>,
    /// The section of `~/.aws/credentials`; `AWS_PROFILE` unless given.
    pub profile: Option<String>,
    /// The KMS key that objects are encrypted with.
    pub kms_key_id: Option<String>,
    /// What uploads carry, so that the server can tell that they came whole; `sha256` unless given.
    #[serde(default)]
    pub checksum: S3Checksum,
    /// Whose API it is; `s3` unless given.
    #[serde(default)]
    pub provider: S3Provider,
}

impl S3Options {
    /// A bucket, all else by default.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: None,
            region: None,
            endpoint: None,
            path_style: None,
            compression: S3Compression::default(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            kms_key_id: None,
            checksum: S3Checksum::default(),
            provider: S3Provider::default(),
        }
    }
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum S3Compression {
    /// `.ndjson`
    None,
    /// `.ndjson.gz`
    #[default]
    Gzip,
    /// `.ndjson.zst`
    Zstd,
}

/// The checksum that uploads to S3 carry. Buckets with Object Lock and a retention demand one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum S3Checksum {
    /// `x-amz-checksum-sha256`; `AWS_CHECKSUM_ALGORITHM` wins where it is set.
    #[default]
    Sha256,
    /// None, for servers that take none.
    None,
}

/// Whose API an object store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum S3Provider {
    /// Amazon's, and what speaks it.
    #[default]
    S3,
    /// Google Cloud Storage, with credentials from the environment.
    Gcs,
    /// Azure Blob Storage, with account and credentials from the environment.
    Azure,
}

/// Writes each batch as one NDJSON object,
/// `<prefix>/date=2026-03-01/hour=12/<first event>-<last event>.ndjson.gz`, never an empty one.
///
/// Exactly once: a batch never crosses an hour, its key and its bytes are the same whenever it is
/// sent, and an object that is there already is not written again.
#[derive(Debug)]
pub struct S3Destination {
    name: String,
    bucket: String,
    prefix: String,
    compression: S3Compression,
    store: Box<dyn ObjectStore>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Object {
    key: String,
    compression: S3Compression,
}

impl S3Destination {
    /// A destination of this name.
    pub fn new(
        name: impl Into<String>,
        options: S3Options,
        http: &HttpOptions,
    ) -> Result<Self, ConfigError> {
        if options.bucket.is_empty() {
            return Err(ConfigError::value("bucket", "is empty"));
        }
        let store = store::build(&options, http)?;
        let prefix = options.prefix.as_deref().unwrap_or_default().trim_matches('/');
        Ok(Self {
            name: name.into(),
            bucket: options.bucket,
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            compression: options.compression,
            store,
        })
    }

    fn key(&self, batch: &Batch) -> String {
        let hour = batch.events().first().map(partition).unwrap_or_default();
        let ending = match self.compression {
            S3Compression::None => "",
            S3Compression::Gzip => ".gz",
            S3Compression::Zstd => ".zst",
        };
        format!("{}{hour}/{}-{}.ndjson{ending}", self.prefix, batch.first(), batch.last())
    }

    /// The key is taken: by this very batch, unless something is wrong.
    async fn is_there(
        &self,
        path: &Path,
        compression: S3Compression,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let there = match self.store.get(path).await {
            Ok(there) if there.meta.size > MOST_COMPARED => None,
            Ok(there) => Some(read(there).await.map_err(|error| self.error(&error))?),
            // A conflict with another writer also says that it exists.
            Err(Error::NotFound { .. }) => {
                return Err(SendError::retry(format!(
                    "{path}: another writer was at the same key; trying again"
                )));
            }
            Err(error) => return Err(self.error(&error)),
        };
        // A later version may compress another way: what counts is what is in it.
        let is_same =
            there.is_some_and(|there| there == bytes || holds_the_same(compression, &there, bytes));
        if is_same {
            return Ok(());
        }
        Err(SendError::refused(format!(
            "{path} exists with other content; give each destination a prefix of its own, and remove the object if it is not needed"
        )))
    }

    fn no_bucket(&self, message: &str) -> SendError {
        SendError::refused(format!("check that the bucket {} exists: {message}", self.bucket))
    }

    fn error(&self, error: &Error) -> SendError {
        // The debug forms of these errors hold whole requests; their messages do not.
        let message: String = error.to_string().chars().take(QUOTED).collect();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        match error {
            // What a listing is refused with has no kind of its own in the library.
            Error::Generic { .. } if says(&["NoSuchBucket", "404 Not Found"]) => {
                self.no_bucket(&message)
            }
            Error::Generic { .. } if says(&["403 Forbidden", "401 Unauthorized"]) => {
                not_allowed(&message)
            }
            Error::NotFound { .. } => self.no_bucket(&message),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => not_allowed(&message),
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. } => SendError::refused(message),
            _ => SendError::retry(message),
        }
    }
}

fn not_allowed(message: &str) -> SendError {
    SendError::refused(format!("are the credentials right, and may they do this here? {message}"))
}

async fn read(there: GetResult) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut chunks = there.into_stream();
    while let Some(chunk) = chunks.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `date=2026-03-01/hour=12`, by the event's own time.
fn partition(event: &GrantexEvent) -> String {
    let time = event.timestamp.to_string();
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap_or_default();
    format!("date={}/hour={}", part(0..10), part(11..13))
}

fn pack(compression: S3Compression, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match compression {
        S3Compression::None => Ok(bytes),
        S3Compression::Gzip => gzip(&bytes),
        S3Compression::Zstd => zstd::bulk::compress(&bytes, zstd::DEFAULT_COMPRESSION_LEVEL),
    }
}

/// Whether an object that is there has the content of our own.
fn holds_the_same(compression: S3Compression, there: &[u8], ours: &[u8]) -> bool {
    let Ok(ours) = unpack(compression, ours, MOST_COMPARED) else { return false };
    // A few bytes can unpack to any size: one more than ours has says that it is another.
    let enough = u64::try_from(ours.len()).unwrap_or(MOST_COMPARED).saturating_add(1);
    unpack(compression, there, enough).is_ok_and(|there| there == ours)
}

/// The first bytes, at most so many, of what was packed.
fn unpack(compression: S3Compression, bytes: &[u8], most: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match compression {
        S3Compression::None => bytes.take(most).read_to_end(&mut out)?,
        S3Compression::Gzip => {
            flate2::read::GzDecoder::new(bytes).take(most).read_to_end(&mut out)?
        }
        S3Compression::Zstd => {
            zstd::stream::read::Decoder::new(bytes)?.take(most).read_to_end(&mut out)?
        }
    };
    Ok(out)
}

impl EventDestination for S3Destination {
    fn name(&self) -> &str {
        &self.name
    }

    fn defaults(&self) -> BatchLimits {
        // Many small objects are slow to query: size and age rather than haste.
        BatchLimits { events: 10_000, bytes: 16 << 20, age: Duration::from_secs(60) }
    }

    fn joins(&self, previous: &GrantexEvent, next: &GrantexEvent) -> bool {
        partition(previous) == partition(next)
    }

    async fn place(&self, batch: &Batch) -> Result<Place, SendError> {
        let object = Object { key: self.key(batch), compression: self.compression };
        serde_json::to_value(object).map_err(|error| SendError::retry(error.to_string()))
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let object: Object = serde_json::from_value(batch.place().clone()).map_err(|error| {
            SendError::Misplaced(format!("the batch's place cannot be read: {error}"))
        })?;
        let lines = batch.to_ndjson();
        let packed = tokio::task::spawn_blocking(move || pack(object.compression, lines)).await;
        let bytes = packed
            .map_err(io::Error::from)
            .flatten()
            .map_err(|error| SendError::retry(error.to_string()))?;
        let bytes = Bytes::from(bytes);
        let kind = match object.compression {
            S3Compression::None => "application/x-ndjson",
            S3Compression::Gzip => "application/gzip",
            S3Compression::Zstd => "application/zstd",
        };
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: Attributes::from_iter([(Attribute::ContentType, kind)]),
            ..PutOptions::default()
        };
        let path = Path::from(object.key);
        match self.store.put_opts(&path, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.is_there(&path, object.compression, &bytes).await
            }
            // A server may look at a retention before it looks at the condition: what is there
            // cannot be written.
            Err(error @ Error::PermissionDenied { .. }) => match self.store.head(&path).await {
                Ok(_) => self.is_there(&path, object.compression, &bytes).await,
                Err(_) => Err(self.error(&error)),
            },
            Err(error) => Err(self.error(&error)),
        }
    }

    async fn probe(&self) -> Result<String, SendError> {
        // Listing tells a wrong bucket from wrong credentials. Only a write tells whether writing
        // is allowed.
        let prefix = Path::from(self.prefix.trim_end_matches('/'));
        let mut listed = self.store.list(Some(&prefix));
        listed.try_next().await.map_err(|error| self.error(&error))?;
        Ok(format!(
            "bucket {} can be listed under {:?}; writing is not tried",
            self.bucket, self.prefix
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_the_same_each_time_and_unpacks() {
        for compression in [S3Compression::None, S3Compression::Gzip, S3Compression::Zstd] {
            let packed = pack(compression, b"{}\n".repeat(1000)).unwrap();
            assert_eq!(packed, pack(compression, b"{}\n".repeat(1000)).unwrap());
            assert_eq!(unpack(compression, &packed, MOST_COMPARED).unwrap(), b"{}\n".repeat(1000));
        }
    }

    #[test]
    fn what_unpacks_to_more_is_unpacked_no_further_than_it_takes_to_know() {
        for compression in [S3Compression::None, S3Compression::Gzip, S3Compression::Zstd] {
            let packed = |text: &[u8]| pack(compression, text.to_vec()).unwrap();
            let ours = packed(b"{}\n");
            assert!(holds_the_same(compression, &packed(b"{}\n"), &ours), "{compression:?}");
            assert!(!holds_the_same(compression, &packed(b"{}"), &ours), "{compression:?}");
            let much = packed(&vec![b'x'; 64 << 20]);
            assert!(!holds_the_same(compression, &much, &ours), "{compression:?}");
            let read = unpack(compression, &much, 4).unwrap();
            assert_eq!(
                (read.as_slice(), read.capacity() < 1 << 20),
                (&b"xxxx"[..], true),
                "{compression:?}"
            );
        }
    }
}
