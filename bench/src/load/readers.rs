//! Subscribers: sockets on one epoll, whose events are counted and thrown away.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use rustix::event::epoll;

use super::now_ns;

/// How a stream frames its events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Sse,
    WebSocket,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sse => "SSE",
            Self::WebSocket => "WebSocket",
        }
    }

    /// Its name in the service's metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "ws",
        }
    }
}

/// What opens one stream.
pub(crate) struct Opening<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) key: &'a str,
    /// `?types=…`
    pub(crate) query: &'a str,
    pub(crate) transport: Transport,
}

/// Open streams.
pub(crate) struct Readers {
    epoll: OwnedFd,
    streams: Vec<Stream>,
    buffer: Vec<u8>,
    marker: Finder<'static>,
    /// Which event of its stream came when: kept if latencies are asked for.
    receipts: Option<Vec<(u32, u64)>>,
    bytes: u64,
}

struct Stream {
    socket: TcpStream,
    transport: Transport,
    events: u64,
    /// Those that came before receipts were kept.
    before_receipts: u64,
    /// The end of what was read before, where an event's mark may have begun.
    carry: Vec<u8>,
    frame: Frame,
}

/// The mark of an event in a stream of Server-Sent Events.
const MARK: &[u8] = b"\ndata: ";

impl Readers {
    pub(crate) fn new() -> Self {
        Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            streams: Vec::new(),
            buffer: vec![0; 256 << 10],
            marker: Finder::new(MARK),
            receipts: None,
            bytes: 0,
        }
    }

    /// Keeps when each event comes, from here on.
    pub(crate) fn keep_receipts(&mut self) {
        self.receipts = Some(Vec::new());
        for stream in &mut self.streams {
            stream.before_receipts = stream.events;
        }
    }

    /// Bytes of all streams, but for their answers' heads.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens so many more streams, one after the other; each is answered before the next.
    pub(crate) fn open(&mut self, count: usize, opening: &Opening<'_>) {
        for _ in 0..count {
            let (socket, early) = open(opening);
            socket.set_nonblocking(true).unwrap();
            let data = epoll::EventData::new_u64(self.streams.len() as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).unwrap();
            self.streams.push(Stream {
                socket,
                transport: opening.transport,
                events: 0,
                before_receipts: 0,
                carry: Vec::new(),
                frame: Frame::default(),
            });
            self.buffer[..early.len()].copy_from_slice(&early);
            self.take(self.streams.len() - 1, 0, early.len());
        }
    }

    /// Reads until each stream has had so many events in all. Panics when one gets more, ends, or
    /// when it takes longer than `patience`.
    pub(crate) fn read_until_each_has(&mut self, events: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut left = self.streams.iter().filter(|stream| stream.events < events).count();
        let mut ready = Vec::with_capacity(1024);
        while left > 0 {
            assert!(Instant::now() < deadline, "{left} streams lack events: {}", self.told(events));
            let timeout = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
            ready.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))
                .unwrap();
            for event in &ready {
                let index = usize::try_from(event.data.u64()).unwrap();
                let before = self.streams[index].events;
                self.read(index);
                let after = self.streams[index].events;
                assert!(after <= events, "stream {index} has {after} events of {events}");
                left -= usize::from(before < events && after == events);
            }
        }
    }

    /// Reads what comes for as long as is asked for. Panics when a stream ends.
    pub(crate) fn read_while(&mut self, goes_on: impl Fn() -> bool) {
        let mut ready = Vec::with_capacity(1024);
        while goes_on() {
            let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            ready.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))
                .unwrap();
            for event in &ready {
                self.read(usize::try_from(event.data.u64()).unwrap());
            }
        }
    }

    /// Panics when a stream gets more events than so many: what is doubled at the end comes after
    /// all were counted.
    pub(crate) fn expect_no_more_than(&mut self, events: u64) {
        let mut ready = Vec::with_capacity(1024);
        loop {
            let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            ready.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))
                .unwrap();
            if ready.is_empty() {
                return;
            }
            for event in &ready {
                let index = usize::try_from(event.data.u64()).unwrap();
                self.read(index);
                assert_eq!(self.streams[index].events, events, "stream {index}");
            }
        }
    }

    fn told(&self, events: u64) -> String {
        let lacking = self.streams.iter().filter(|stream| stream.events < events);
        let some: Vec<_> = lacking.take(5).map(|stream| stream.events).collect();
        format!("{some:?} of {events}")
    }

    fn read(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let kept = stream.carry.len();
        self.buffer[..kept].copy_from_slice(&stream.carry);
        let read = match stream.socket.read(&mut self.buffer[kept..]) {
            Ok(0) => panic!("stream {index} ended after {} events", stream.events),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("stream {index}: {error}"),
        };
        self.take(index, kept, read);
    }

    /// Counts what was read into the buffer behind what was kept.
    fn take(&mut self, index: usize, kept: usize, read: usize) {
        let stream = &mut self.streams[index];
        self.bytes += read as u64;
        let bytes = &self.buffer[..kept + read];
        let came = match stream.transport {
            Transport::Sse => {
                let came = self.marker.find_iter(bytes).count() as u64;
                let keep = bytes.len().min(MARK.len() - 1);
                stream.carry.clear();
                stream.carry.extend_from_slice(&bytes[bytes.len() - keep..]);
                came
            }
            Transport::WebSocket => stream.frame.count_texts(bytes),
        };
        if let Some(receipts) = &mut self.receipts {
            let now = now_ns();
            let first = u32::try_from(stream.events - stream.before_receipts).unwrap();
            let last = first + u32::try_from(came).unwrap();
            receipts.extend((first..last).map(|event| (event, now)));
        }
        stream.events += came;
    }

    /// Nanoseconds from when the commit of an event began to its receipt, sorted; `begun` has an
    /// entry for every `group` events.
    pub(crate) fn latencies(&self, begun: &[u64], group: usize) -> Vec<u64> {
        let receipts = self.receipts.as_deref().unwrap_or_default();
        let latency = |(event, at): &(u32, u64)| at.saturating_sub(begun[*event as usize / group]);
        let mut latencies: Vec<u64> = receipts.iter().map(latency).collect();
        latencies.sort_unstable();
        latencies
    }
}

/// Connects, asks, and reads the answer's head; gives what came behind it.
fn open(opening: &Opening<'_>) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(opening.address).unwrap();
    let (path, headers) = match opening.transport {
        Transport::Sse => ("stream", ""),
        Transport::WebSocket => (
            "ws",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
    };
    let request = format!(
        "GET /v1/events/{path}{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        opening.query, opening.key
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            assert!(
                head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 101"),
                "{}",
                String::from_utf8_lossy(&head)
            );
            return (socket, head.split_off(end + 4));
        }
    }
}

/// Where a stream of WebSocket frames is.
#[derive(Default)]
struct Frame {
    head: [u8; 10],
    known: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
}

impl Frame {
    /// How many text frames begin in these bytes.
    fn count_texts(&mut self, mut bytes: &[u8]) -> u64 {
        let mut texts = 0;
        loop {
            let passed = self.payload.min(bytes.len());
            self.payload -= passed;
            bytes = &bytes[passed..];
            let Some((first, rest)) = bytes.split_first() else { return texts };
            self.head[self.known] = *first;
            self.known += 1;
            bytes = rest;
            let length = match self.head[1] & 0x7f {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            if self.known < 2 || self.known < length {
                continue;
            }
            self.payload = match length {
                4 => usize::from(u16::from_be_bytes([self.head[2], self.head[3]])),
                10 => usize::try_from(u64::from_be_bytes(self.head[2..10].try_into().unwrap()))
                    .unwrap(),
                _ => usize::from(self.head[1] & 0x7f),
            };
            texts += u64::from(self.head[0] & 0x0f == 1);
            self.known = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_frames_are_counted_wherever_they_are_cut() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x89, 0];
        bytes.extend([0x81, 126, 1, 0]);
        bytes.extend([b'x'; 256]);
        bytes.extend([0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![b'y'; 65536]);
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut frame = Frame::default();
            let texts: u64 = bytes.chunks(step).map(|part| frame.count_texts(part)).sum();
            assert_eq!(texts, 3, "in steps of {step}");
        }
    }
}
