//! A publisher of real events: grants with budgets that are made beforehand, then one debit that empties each.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::now_ns;
use crate::server::Server;

/// Events of one debit that empties a budget: 50 %, 80 %, exhausted.
pub(crate) const EVENTS_OF_A_DEBIT: usize = 3;

/// Grants with a budget each, to be emptied.
pub(crate) struct Grants {
    address: SocketAddr,
    key: String,
    ids: Vec<String>,
}

/// What publishing took.
pub(crate) struct Published {
    /// When each debit was sent, on the clock of [`now_ns`].
    pub(crate) begun: Vec<u64>,
    pub(crate) time: Duration,
}

/// Calls at once while the grants are made.
const AT_ONCE: usize = 32;

impl Grants {
    /// Makes so many.
    pub(crate) async fn make(server: &Arc<Server>, count: usize) -> Self {
        let agent: Arc<str> = server.agent().await.into();
        let mut ids = Vec::with_capacity(count);
        let mut makers = tokio::task::JoinSet::new();
        for begun in 0..count {
            if begun >= AT_ONCE {
                ids.push(makers.join_next().await.unwrap().unwrap());
            }
            let (server, agent) = (Arc::clone(server), Arc::clone(&agent));
            makers.spawn(async move {
                let grant = server.grant(&agent).await;
                let budget = json!({"grantId": grant, "initialBudget": 1});
                server.post("/v1/budget/allocate", &budget).await;
                grant
            });
        }
        ids.extend(makers.join_all().await);
        Self { address: server.address.parse().unwrap(), key: server.key.clone(), ids }
    }

    /// Empties all budgets over so many connections at once, each as fast as it can. Where they are also revoked,
    /// a fourth event follows each three.
    pub(crate) fn empty_at_full_speed(&self, connections: usize, revoked: bool) -> Published {
        let start = Instant::now();
        let begun = std::thread::scope(|scope| {
            let share = self.ids.len().div_ceil(connections);
            let parts = self.ids.chunks(share).map(|ids| scope.spawn(|| self.empty(ids, None, revoked)));
            let parts: Vec<_> = parts.collect();
            parts.into_iter().flat_map(|part| part.join().unwrap().begun).collect()
        });
        Published { begun, time: start.elapsed() }
    }

    /// Empties each budget, one after the other over one connection, one each `pace`.
    pub(crate) fn empty_one_each(&self, pace: Duration) -> Published {
        self.empty(&self.ids, Some(pace), false)
    }

    fn empty(&self, ids: &[String], pace: Option<Duration>, revoked: bool) -> Published {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        let start = Instant::now();
        let mut begun = Vec::with_capacity(ids.len());
        for (number, grant) in (0_u32..).zip(ids) {
            if let Some(pace) = pace {
                std::thread::sleep((pace * number).saturating_sub(start.elapsed()));
            }
            begun.push(now_ns());
            let debit = format!(r#"{{"grantId":"{grant}","amount":1}}"#);
            call(&mut socket, &self.key, "POST /v1/budget/debit", &debit);
            if revoked {
                call(&mut socket, &self.key, &format!("DELETE /v1/grants/{grant}"), "");
            }
        }
        Published { begun, time: start.elapsed() }
    }
}

/// One call over a connection that stays open; panics unless it succeeds.
fn call(socket: &mut TcpStream, key: &str, what: &str, body: &str) {
    let request = format!(
        "{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = socket.read(&mut buffer).unwrap();
        answer.extend_from_slice(&buffer[..read]);
        let text = std::str::from_utf8(&answer).unwrap();
        assert!(read > 0 && (answer.len() < 12 || text.starts_with("HTTP/1.1 2")), "{text}");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return;
        }
    }
}
