use std::fs;
use std::path::PathBuf;

use grantex_destinations::conformance::{self, MemoryLog, Order, Promises, Receiver};
use grantex_destinations::{
    Batch, EventDestination, EventId, FileDestination, FileOptions, GrantexEvent, Place, SendError,
};

use crate::support::{quick, source, start, until};

struct Lines(PathBuf);

impl Receiver for Lines {
    type Destination = FileDestination;

    async fn destination(&self) -> FileDestination {
        FileDestination::new("file", FileOptions::at(&self.0)).unwrap()
    }

    async fn received(&self) -> Vec<EventId> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| GrantexEvent::from_json(line).expect("no torn line").id).collect()
    }

    fn promises(&self) -> Promises {
        // But for a lost state folder, which nothing but the events themselves can tell.
        Promises { order: Order::Total, is_exactly_once: true }
    }
}

#[test]
fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(&Lines(folder.path().join("events.ndjson"))).unwrap();
}

#[tokio::test]
async fn a_line_that_was_there_without_an_end_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let log = MemoryLog::default();
    log.append(10);
    fs::write(&path, "not of ours, and without an end").unwrap();
    let sent = |count: usize| {
        let path = path.clone();
        move || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == count)
    };

    let first = source(&log, &folder.path().join("state"));
    first.add_destination_with(Lines(path.clone()).destination().await, &quick()).unwrap();
    let running = start(&first);
    until("all arrive", sent(11)).await;
    first.stop().await;
    running.await.unwrap().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("not of ours, and without an end\n{"),
        "the line before is ended, not eaten"
    );
}

#[tokio::test]
async fn a_file_that_is_rotated_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("events.ndjson"), folder.path().join("events.ndjson.1"));
    let log = MemoryLog::default();
    log.append(10);
    let receiver = Lines(path.clone());
    let source = source(&log, &folder.path().join("state"));
    source.add_destination_with(receiver.destination().await, &quick()).unwrap();
    let running = start(&source);
    until("all arrive", || source.stats()[0].delivered == 10).await;
    fs::rename(&path, &old).unwrap();
    log.append(10);
    until("the rest arrives", || source.stats()[0].delivered == 20).await;
    source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(Lines(old).received().await, log.ids()[..10]);
    assert_eq!(receiver.received().await, log.ids()[10..]);
}

/// Writes only a part of its first batch, as a full disk does.
struct Tears {
    inner: FileDestination,
    path: PathBuf,
    is_torn: std::sync::atomic::AtomicBool,
}

impl EventDestination for Tears {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn place(&self, batch: &Batch) -> Result<Place, SendError> {
        self.inner.place(batch).await
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        if self.is_torn.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return self.inner.send(batch).await;
        }
        let lines = batch.to_ndjson();
        fs::write(&self.path, &lines[..lines.len() / 2]).unwrap();
        Err(SendError::retry("the disk is full"))
    }
}

#[tokio::test]
async fn a_torn_batch_is_cut_back_before_it_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Lines(folder.path().join("events.ndjson"));
    let inner = receiver.destination().await;
    let log = MemoryLog::default();
    log.append(10);
    let source = source(&log, &folder.path().join("state"));
    let torn = Tears { inner, path: receiver.0.clone(), is_torn: false.into() };
    source.add_destination_with(torn, &quick()).unwrap();
    let running = start(&source);
    until("all arrive", || source.stats()[0].delivered == 10).await;
    let stats = source.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!((receiver.received().await, stats[0].retries), (log.ids(), 1));
}

#[cfg(unix)]
#[tokio::test]
async fn what_cannot_be_synced_is_not_and_each_event_comes_once() {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let log = MemoryLog::default();
    log.append(30);
    let source = source(&log, &folder.path().join("state"));
    let destination = Lines(pipe.clone()).destination().await;
    assert!(destination.probe().await.unwrap().contains("no file"), "a probe opens no pipe");
    source.add_destination_with(destination, &quick()).unwrap();
    let null = FileDestination::new("null", FileOptions::at("/dev/null")).unwrap();
    source.add_destination_with(null, &quick()).unwrap();
    let file = folder.path().join("file");
    let private = FileDestination::new("private", FileOptions::at(&file)).unwrap();
    source.add_destination_with(private, &quick()).unwrap();
    let running = start(&source);
    // Nobody reads from the pipe yet: it waits.
    let retries =
        |name: &str| source.stats().iter().find(|stats| stats.name == name).unwrap().retries;
    until("it tries again", || retries("file") > 0).await;
    let reader = tokio::task::spawn_blocking(move || {
        let (mut opened, mut text) = (fs::File::open(pipe).unwrap(), String::new());
        let mut part = [0; 1024];
        while text.lines().count() < 30 || !text.ends_with('\n') {
            let n = opened.read(&mut part).unwrap();
            text.push_str(std::str::from_utf8(&part[..n]).unwrap());
        }
        (opened, text)
    });
    let (opened, text) = reader.await.unwrap();
    let read: Vec<EventId> =
        text.lines().map(|line| GrantexEvent::from_json(line).unwrap().id).collect();
    assert_eq!(read, log.ids());
    until("all is delivered", || source.stats().iter().all(|stats| stats.delivered == 30)).await;
    assert_eq!((retries("null"), retries("private")), (0, 0));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // A pipe whose reader is gone does not heal: that destination ends, the others go on.
    drop(opened);
    log.append(1);
    let ended = |name: &str| source.stats().iter().find(|stats| stats.name == name).unwrap().phase;
    until("it ends", || ended("file") == grantex_destinations::Phase::Failed).await;
    until("the others go on", || {
        source.stats().iter().filter(|stats| stats.delivered == 31).count() == 2
    })
    .await;
    let told = source
        .stats()
        .iter()
        .find(|stats| stats.name == "file")
        .unwrap()
        .last_error
        .clone()
        .unwrap();
    assert!(told.contains("this pipe has no reader"), "{told}");
    source.stop().await;
    running.await.unwrap().unwrap();
}
