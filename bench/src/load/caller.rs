//! One caller who waits for each answer, and times it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any call takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A connection that is kept, and opened again if the service closed it.
pub(crate) struct Caller {
    address: SocketAddr,
    socket: Option<TcpStream>,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, socket: None }
    }

    /// Sends a request and reads its answer; `None` where the service ended the connection instead.
    pub(crate) fn call(&mut self, request: &[u8]) -> Option<Answer> {
        let socket = self.socket.get_or_insert_with(|| connect(self.address));
        // A service that refuses a body answers before it has it all.
        let sent = socket.write_all(request);
        let answer = read_answer(socket);
        if sent.is_err() || answer.is_none() {
            self.socket = None;
        }
        answer
    }

    /// Like [`call`](Self::call), where it has to succeed.
    pub(crate) fn expect(&mut self, request: &[u8]) -> Vec<u8> {
        let answer = self.call(request).expect("an answer");
        let text = || String::from_utf8_lossy(&answer.body).into_owned();
        assert!((200..300).contains(&answer.status), "{}: {}", answer.status, text());
        answer.body
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Opens a stream and waits for its first block; then it is closed.
pub(crate) fn open_stream(address: SocketAddr, request: &[u8]) {
    let mut socket = connect(address);
    socket.write_all(request).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while memchr::memmem::find(&seen, b"\nid: ").is_none() {
        let read = socket.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&seen);
        assert!(read > 0 && text.starts_with("HTTP/1.1 200"), "{text}");
    }
}

fn read_answer(socket: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    let mut whole = usize::MAX;
    let mut body = 0;
    while bytes.len() < whole {
        let read = match socket.read(&mut buffer) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer within {PATIENCE:?}")
            }
            Err(_) => return None,
        };
        bytes.extend_from_slice(&buffer[..read]);
        if whole == usize::MAX
            && let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n")
        {
            body = end + 4;
            let head = String::from_utf8_lossy(&bytes[..body]);
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            whole = body + length.unwrap_or(0);
        }
    }
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    Some(Answer { status, body: bytes.split_off(body) })
}
