use std::fs;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver, sample_event};
use grantex_destinations::{
    EventDestination as _, EventId, GrantexEvent, HttpOptions, S3Compression, S3Destination,
    S3Options, SendError,
};

use crate::support::{Process, quick, source, start, until};

struct Bucket {
    server: Process,
    name: &'static str,
    compression: S3Compression,
}

impl Bucket {
    fn start(name: &'static str, compression: S3Compression) -> Self {
        let mut server = Process::start(&["s3"]);
        server.command(&format!("bucket {name}"));
        Self { server, name, compression }
    }

    fn options(&self) -> S3Options {
        S3Options {
            prefix: Some("audit/events/".into()),
            region: Some("us-east-1".into()),
            endpoint: Some(self.server.address("endpoint")),
            access_key_id: Some(self.server.address("access_key_id")),
            secret_access_key: Some(self.server.address("secret_access_key").into()),
            compression: self.compression,
            ..S3Options::new(self.name)
        }
    }

    /// The objects, by key: the server keeps them as files.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(&self.server.address("data")).join(self.name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let is_own =
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
                if path.is_dir() && !is_own {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending != "tmp") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn lines(&self, path: &Path) -> String {
        let bytes = fs::read(path).unwrap();
        match self.compression {
            S3Compression::None => String::from_utf8(bytes).unwrap(),
            S3Compression::Gzip => {
                std::io::read_to_string(GzDecoder::new(bytes.as_slice())).unwrap()
            }
            S3Compression::Zstd => {
                String::from_utf8(zstd::stream::decode_all(bytes.as_slice()).unwrap()).unwrap()
            }
        }
    }
}

fn made(options: S3Options) -> S3Destination {
    S3Destination::new("s3", options, &HttpOptions::default()).unwrap()
}

impl Receiver for Bucket {
    type Destination = S3Destination;

    async fn destination(&self) -> S3Destination {
        made(self.options())
    }

    async fn received(&self) -> Vec<EventId> {
        let lines: String = self.objects().iter().map(|path| self.lines(path)).collect();
        lines.lines().map(|line| GrantexEvent::from_json(line).unwrap().id).collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::Total, is_exactly_once: true }
    }
}

#[test]
fn conforms() {
    conformance::check(&Bucket::start("gzipped", S3Compression::Gzip)).unwrap();
}

#[test]
fn conforms_with_zstd() {
    conformance::check(&Bucket::start("zstandard", S3Compression::Zstd)).unwrap();
}

#[tokio::test]
async fn keys_are_partitions_by_the_hour_of_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start("partitions", S3Compression::None);
    let log = MemoryLog::default();
    log.append(3);
    let source = source(&log, folder.path());
    source.add_destination_with(bucket.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("they arrive", || source.stats()[0].delivered == 3).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    let (first, last) = (log.ids()[0], log.ids()[2]);
    let key = format!("audit/events/date=2026-03-01/hour=12/{first}-{last}.ndjson");
    let root = Path::new(&bucket.server.address("data")).join(bucket.name);
    assert_eq!(bucket.objects(), [root.join(key)]);

    let (before, after) = (sample_event(3_599_999), sample_event(3_600_000));
    let destination = bucket.destination().await;
    assert!(!destination.joins(&before, &after), "13:00 begins another object");
    assert!(destination.joins(&sample_event(0), &sample_event(1)));
}

#[tokio::test]
async fn an_object_that_is_there_with_other_content_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start("taken", S3Compression::Gzip);
    let log = MemoryLog::default();
    log.append(2);
    let deliver =
        async |state: &str, is_done: &dyn Fn(&grantex_destinations::DestinationStats) -> bool| {
            let source = source(&log, &folder.path().join(state));
            source.add_destination_with(bucket.destination().await, &quick()).unwrap();
            let running = start(&source);
            until("it is done", || is_done(&source.stats()[0])).await;
            let stats = source.stop().await;
            running.await.unwrap().unwrap();
            stats[0].clone()
        };
    deliver("one", &|stats| stats.delivered == 2).await;
    // The same batch from another state folder: it is there, and that is fine.
    deliver("two", &|stats| stats.delivered == 2).await;
    assert_eq!(bucket.received().await, log.ids());

    fs::write(&bucket.objects()[0], "something else").unwrap();
    let stats = deliver("three", &|stats| stats.retries > 0).await;
    assert!(stats.last_error.unwrap().contains("exists with other content"));
    assert_eq!(
        fs::read(&bucket.objects()[0]).unwrap(),
        b"something else",
        "nothing is overwritten"
    );
}

/// Object Lock with a default retention: this server refuses to write what is there (403) before it
/// looks at the condition, so a batch that is sent again has to be found. It compares the checksum
/// that an upload carries, but also takes uploads without one, which Amazon's refuses (400); that
/// ours carry one is tested in `answers.rs`.
#[tokio::test]
async fn a_bucket_that_retains_its_objects_takes_each_batch_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&["s3"]);
    server.command("locked retained");
    let bucket = Bucket { server, name: "retained", compression: S3Compression::Gzip };
    let log = MemoryLog::default();
    log.append(2);
    for state in ["one", "two"] {
        let source = source(&log, &folder.path().join(state));
        source.add_destination_with(bucket.destination().await, &quick()).unwrap();
        let running = start(&source);
        until("it arrives", || source.stats()[0].delivered == 2 || source.stats()[0].is_failing)
            .await;
        let stats = source.stop().await;
        running.await.unwrap().unwrap();
        assert_eq!((stats[0].delivered, stats[0].retries), (2, 0), "{stats:?}");
    }
    assert_eq!(bucket.received().await, log.ids());
}

#[tokio::test]
async fn the_probe_reports_what_is_wrong() {
    let bucket = Bucket::start("probed", S3Compression::Gzip);
    assert!(bucket.destination().await.probe().await.is_ok());
    let no_bucket = made(S3Options { bucket: "nowhere".into(), ..bucket.options() });
    let told = no_bucket.probe().await.unwrap_err();
    assert!(
        matches!(&told, SendError::Refused(told) if told.contains("check that the bucket nowhere exists")),
        "{told}"
    );
    let wrong = S3Options { secret_access_key: Some("wrong".into()), ..bucket.options() };
    let told = made(wrong).probe().await.unwrap_err();
    assert!(
        matches!(&told, SendError::Refused(told) if told.contains("are the credentials right")),
        "{told}"
    );
}
