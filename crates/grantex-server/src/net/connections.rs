//! All connections of a listener: how many there may be, and which one is closed when there are too
//! many.
//!
//! A connection is a stranger until a request on it has an API key; it takes a file descriptor all
//! the same. When the limit is reached, the connection that has been idle longest is closed for the
//! new one, strangers first. So a client that sends its request at once is served, however many
//! silent connections there are. Where no connection is idle there are a few spare places, for
//! health checks and for the answer that refuses the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::ClientAddress;
use super::connection::Connection;
use super::limit_log::LimitLog;
use crate::settings::{ConnectionSettings, unless_off};

/// Places beyond the limit: as many health checks and refusals at a time.
pub(crate) const SPARE: usize = 16;
/// Connections that are being closed, at most, before the next one is accepted.
const LEAVING: usize = 16;
/// How long accepting waits for them. Each closes as soon as its task runs.
const LEAVING_PATIENCE: Duration = Duration::from_millis(100);
/// How many connections are searched for an idle one: where so many in a row are busy, most are.
const SEARCHED: usize = 64;

static CONNECTIONS: LimitLog = LimitLog::new("connections");
static OF_ADDRESS: LimitLog = LimitLog::new("connections_of_address");

/// The connections of a listener.
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    state: Mutex<State>,
    left: Notify,
}

/// By number: in the order in which they arrived, or were last found busy.
type Ordered = BTreeMap<u64, Arc<Connection>>;

#[derive(Default)]
struct State {
    next: u64,
    strangers: Ordered,
    by_address: HashMap<ClientAddress, BTreeSet<u64>>,
    /// They had a request with an API key.
    known: Ordered,
    /// They are beyond the limit.
    spare: Ordered,
    /// They are being closed.
    leaving: Ordered,
    /// They became streams, which have a limit of their own.
    streams: usize,
}

impl Connections {
    pub(crate) fn new(settings: &ConnectionSettings, per_address: bool) -> Arc<Self> {
        Arc::new(Self {
            most: unless_off(settings.most),
            most_per_address: if per_address {
                unless_off(settings.most_per_address)
            } else {
                usize::MAX
            },
            state: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Admits a new connection, if there is room or an idle connection can be closed for it.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, is_secure: bool) -> Option<Admission> {
        let client = ClientAddress::from(peer);
        let mut state = self.state.lock();
        let address_is_full = state
            .by_address
            .get(&client)
            .is_some_and(|numbers| numbers.len() >= self.most_per_address);
        let is_full = !address_is_full && state.count() >= self.most;
        let (is_admitted, is_spare) = if address_is_full {
            (state.close_idle_of(client), false)
        } else if is_full && !state.close_idle() {
            (state.spare.len() < SPARE, true)
        } else {
            (true, false)
        };
        let connection = is_admitted.then(|| {
            let connection = Arc::new(Connection::new(peer, is_secure, is_spare));
            if is_spare {
                state.add_spare(&connection);
            } else {
                state.add_stranger(&connection);
            }
            connection
        });
        drop(state);
        if address_is_full {
            OF_ADDRESS.reached(
                "many connections without an API key come from one address; \
                 `--max-connections-per-address` sets how many may",
            );
        }
        if is_full {
            CONNECTIONS.reached(
                "idle connections are closed for new ones; `--max-connections` and the limit of \
                 open files set how many there may be",
            );
        }
        let connection = connection?;
        metrics::gauge!("grantex_connections_open").increment(1.0);
        Some(Admission(Admitted { connection, among: Arc::clone(self) }))
    }

    /// Waits until the connections that are being closed are gone, except a few: each holds its
    /// file descriptor until then.
    pub(crate) async fn settle(&self) {
        let settled = async {
            while self.state.lock().leaving.len() > LEAVING {
                self.left.notified().await;
            }
        };
        // A connection that became busy meanwhile stays; then there is nothing to wait for.
        let _ = tokio::time::timeout(LEAVING_PATIENCE, settled).await;
    }

    fn leave(&self, connection: &Connection) {
        let mut state = self.state.lock();
        if !state.remove(connection) {
            state.streams = state.streams.saturating_sub(1);
        }
        drop(state);
        self.left.notify_one();
        metrics::gauge!("grantex_connections_open").decrement(1.0);
    }
}

/// A connection that was admitted, and the connections that it counts among.
#[derive(Clone)]
pub(crate) struct Admitted {
    connection: Arc<Connection>,
    among: Arc<Connections>,
}

impl Admitted {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// A request on it had a working API key.
    pub(crate) fn set_known(&self) {
        if self.connection.set_known() {
            let mut state = self.among.state.lock();
            if state.remove_stranger(&self.connection) {
                state.add_known(&self.connection);
            }
        }
    }

    /// It was asked to close, but a request is being handled.
    pub(crate) fn stay(&self) {
        let mut state = self.among.state.lock();
        if state.leaving.remove(&self.connection.number()).is_none() {
            return;
        }
        if self.connection.is_known() {
            state.add_known(&self.connection);
        } else {
            state.add_stranger(&self.connection);
        }
        self.among.left.notify_one();
    }

    /// It has become a stream.
    pub(crate) fn become_stream(&self) {
        let mut state = self.among.state.lock();
        state.remove(&self.connection);
        state.streams = state.streams.saturating_add(1);
    }
}

/// The admission of a connection. Dropping it makes room for another one.
pub(crate) struct Admission(Admitted);

impl Admission {
    /// What its requests get.
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.0
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.among.leave(&self.0.connection);
    }
}

/// Gives a connection a number behind all others.
fn number(next: &mut u64, connection: &Connection) -> u64 {
    let number = *next;
    *next = number.saturating_add(1);
    connection.set_number(number);
    number
}

impl State {
    fn add_stranger(&mut self, connection: &Arc<Connection>) {
        let number = number(&mut self.next, connection);
        self.strangers.insert(number, Arc::clone(connection));
        self.by_address.entry(connection.peer.into()).or_default().insert(number);
    }

    fn add_spare(&mut self, connection: &Arc<Connection>) {
        self.spare.insert(number(&mut self.next, connection), Arc::clone(connection));
    }

    fn add_known(&mut self, connection: &Arc<Connection>) {
        self.known.insert(number(&mut self.next, connection), Arc::clone(connection));
    }

    fn remove(&mut self, connection: &Connection) -> bool {
        let number = connection.number();
        self.remove_stranger(connection)
            || self.known.remove(&number).is_some()
            || self.leaving.remove(&number).is_some()
            || self.spare.remove(&number).is_some()
    }

    fn remove_stranger(&mut self, connection: &Connection) -> bool {
        let number = connection.number();
        if self.strangers.remove(&number).is_none() {
            return false;
        }
        let client = connection.peer.into();
        if let Some(numbers) = self.by_address.get_mut(&client) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_address.remove(&client);
            }
        }
        true
    }

    fn count(&self) -> usize {
        self.strangers.len().saturating_add(self.known.len()).saturating_add(self.streams)
    }

    /// Closes the stranger from this address that has been idle longest. Returns whether there is
    /// one.
    fn close_idle_of(&mut self, client: ClientAddress) -> bool {
        let numbers = self.by_address.get(&client).into_iter().flatten();
        let idle = numbers
            .filter_map(|number| self.strangers.get(number))
            .find(|connection| connection.is_idle())
            .cloned();
        idle.map(|idle| self.close(idle)).is_some()
    }

    /// Closes the connection that has been idle longest, strangers first. Returns whether there is
    /// one.
    fn close_idle(&mut self) -> bool {
        self.idle().map(|idle| self.close(idle)).is_some()
    }

    /// The connection that has been idle longest, strangers first.
    fn idle(&mut self) -> Option<Arc<Connection>> {
        for _ in 0..SEARCHED.min(self.strangers.len()) {
            let oldest = Arc::clone(self.strangers.first_key_value()?.1);
            if oldest.is_idle() {
                return Some(oldest);
            }
            // Behind the others, so that the next search does not find it first.
            self.remove_stranger(&oldest);
            self.add_stranger(&oldest);
        }
        for _ in 0..SEARCHED.min(self.known.len()) {
            let (_, oldest) = self.known.pop_first()?;
            self.add_known(&oldest);
            if oldest.is_idle() {
                return Some(oldest);
            }
        }
        None
    }

    fn close(&mut self, connection: Arc<Connection>) {
        self.remove(&connection);
        connection.leave.set(());
        self.leaving.insert(number(&mut self.next, &connection), connection);
    }
}
