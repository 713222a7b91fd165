//! HTTP calls over many connections, from one thread that does little else: what it takes is not
//! the server's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll;

/// Longer than any call takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call as it goes onto the wire.
pub(crate) fn request(key: &str, what: &str, body: &str) -> Vec<u8> {
    format!(
        "{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

struct Client {
    socket: TcpStream,
    /// What it still has to do of its task, the next last.
    todo: Vec<Vec<u8>>,
    task: usize,
    answer: Vec<u8>,
}

/// Does all tasks, each a few calls one after the other, over so many connections at once; panics
/// unless each call succeeds. `answered` gets the number of the task and the body of each answer.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    tasks: impl IntoIterator<Item = Vec<Vec<u8>>>,
    mut answered: impl FnMut(usize, &[u8]),
) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let mut tasks = tasks.into_iter().enumerate();
    let mut clients = Vec::with_capacity(connections);
    for index in 0..connections {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        epoll::add(&epoll, &socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)
            .unwrap();
        clients.push(Client { socket, todo: Vec::new(), task: 0, answer: Vec::new() });
    }
    let mut busy = clients.iter_mut().filter_map(|client| client.go_on(&mut tasks)).count();
    let mut ready = Vec::with_capacity(1024);
    let mut last = Instant::now();
    while busy > 0 {
        let timeout = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
        ready.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout)).unwrap();
        assert!(!ready.is_empty() || last.elapsed() < PATIENCE, "{busy} calls are not answered");
        for event in &ready {
            last = Instant::now();
            let client = &mut clients[usize::try_from(event.data.u64()).unwrap()];
            if let Some(body) = client.read() {
                answered(client.task, &client.answer[body..]);
                client.answer.clear();
                if client.go_on(&mut tasks).is_none() {
                    busy -= 1;
                }
            }
        }
    }
}

impl Client {
    /// Sends the next call, if there is one.
    fn go_on(&mut self, tasks: &mut impl Iterator<Item = (usize, Vec<Vec<u8>>)>) -> Option<()> {
        while self.todo.is_empty() {
            (self.task, self.todo) = tasks.next()?;
            self.todo.reverse();
        }
        let request = self.todo.pop()?;
        // Far smaller than a socket's buffer.
        self.socket.write_all(&request).unwrap();
        Some(())
    }

    /// Reads; gives where the body begins once the answer is whole.
    fn read(&mut self) -> Option<usize> {
        let mut buffer = [0; 4096];
        let read = match self.socket.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        };
        self.answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&self.answer);
        assert!(read > 0 && (text.len() < 12 || text.starts_with("HTTP/1.1 2")), "{text}");
        let body = memchr::memmem::find(&self.answer, b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.answer[..body]).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        (self.answer.len() >= body + length.unwrap_or(0)).then_some(body)
    }
}
