//! All connections of a listener: how many there may be, and which one goes when there are too
//! many.
//!
//! Who has not shown an API key is a stranger, and costs a descriptor like everybody else. Where
//! the descriptors run out the connection goes that has waited longest without a request, strangers
//! first: so whoever comes and asks at once is served, however many sit there in silence. Where
//! none is idle there are a few spare places, for health checks and for saying why not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::ClientAddress;
use super::connection::Connection;
use super::reached::Reached;
use crate::settings::{ConnectionSettings, unless_off};

/// Places beyond the limit: as many health checks and refusals at a time.
pub(crate) const SPARE: usize = 16;
/// Connections that were asked to go and have not gone yet, at most, before the next is accepted.
const LEAVING: usize = 16;
/// How long to wait for them. They go as soon as their task runs.
const LEAVING_PATIENCE: Duration = Duration::from_millis(100);
/// How many connections are looked at for an idle one: where so many in a row are busy, most are.
const LOOKED_AT: usize = 64;

static CONNECTIONS: Reached = Reached::new("connections");
static OF_ADDRESS: Reached = Reached::new("connections_of_address");

/// The connections of a listener.
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    state: Mutex<State>,
    left: Notify,
}

/// What was found for a new connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Place,
    /// One beyond the limit.
    Spare,
}

/// By the order in which they came, or were last found busy.
type Line = BTreeMap<u64, Arc<Connection>>;

#[derive(Default)]
struct State {
    next: u64,
    strangers: Line,
    by_address: HashMap<ClientAddress, BTreeSet<u64>>,
    /// Those that had a request with an API key.
    known: Line,
    /// Those in spare places.
    spare: Line,
    /// Those that were asked to go.
    leaving: Line,
    /// Those that became streams: they have a limit of their own.
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

    /// A place for a new connection, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, is_secure: bool) -> Option<Place> {
        let client = ClientAddress::from(peer);
        let mut state = self.state.lock();
        let address_is_full = state
            .by_address
            .get(&client)
            .is_some_and(|places| places.len() >= self.most_per_address);
        let is_full = !address_is_full && state.count() >= self.most;
        let found = if address_is_full {
            state.replace_in(client)
        } else if is_full {
            state.replace()
        } else {
            Some(Found::Place)
        };
        let connection = found.map(|found| {
            let is_spare = found == Found::Spare;
            let connection = Arc::new(Connection::new(peer, is_secure, is_spare, Arc::clone(self)));
            if is_spare {
                state.add_spare(&connection);
            } else {
                state.add_stranger(&connection);
            }
            connection
        });
        drop(state);
        if address_is_full {
            OF_ADDRESS.note("many connections without an API key come from one address; `--max-connections-per-address` sets how many may");
        }
        if is_full {
            CONNECTIONS.note("idle connections are closed for new ones; `--max-connections` and the limit of open files set how many there may be");
        }
        metrics::gauge!("grantex_connections_open").increment(if connection.is_some() {
            1.0
        } else {
            0.0
        });
        connection.map(Place)
    }

    /// Waits until those that were asked to go are gone, but for a few: their descriptors are
    /// theirs until then.
    pub(crate) async fn settle(&self) {
        let settled = async {
            while self.state.lock().leaving.len() > LEAVING {
                self.left.notified().await;
            }
        };
        // Whoever got busy meanwhile stays; then there is nothing to wait for.
        let _ = tokio::time::timeout(LEAVING_PATIENCE, settled).await;
    }

    /// It had a request with an API key.
    pub(super) fn knows(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        if state.remove_stranger(connection) {
            state.add_known(connection);
        }
    }

    /// It was asked to go, but is busy.
    pub(super) fn stays(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        if state.leaving.remove(&connection.number()).is_none() {
            return;
        }
        if connection.is_known() {
            state.add_known(connection);
        } else {
            state.add_stranger(connection);
        }
        self.left.notify_one();
    }

    /// It has become a stream.
    pub(super) fn streams(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        state.remove(connection);
        state.streams = state.streams.saturating_add(1);
    }

    fn leave(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        if !state.remove(connection) {
            state.streams = state.streams.saturating_sub(1);
        }
        drop(state);
        self.left.notify_one();
        metrics::gauge!("grantex_connections_open").decrement(1.0);
    }
}

/// Puts a connection behind all others.
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

    fn remove(&mut self, connection: &Arc<Connection>) -> bool {
        let number = connection.number();
        self.remove_stranger(connection)
            || self.known.remove(&number).is_some()
            || self.leaving.remove(&number).is_some()
            || self.spare.remove(&number).is_some()
    }

    fn remove_stranger(&mut self, connection: &Arc<Connection>) -> bool {
        let number = connection.number();
        if self.strangers.remove(&number).is_none() {
            return false;
        }
        let client = connection.peer.into();
        if let Some(places) = self.by_address.get_mut(&client) {
            places.remove(&number);
            if places.is_empty() {
                self.by_address.remove(&client);
            }
        }
        true
    }

    fn count(&self) -> usize {
        self.strangers.len().saturating_add(self.known.len()).saturating_add(self.streams)
    }

    /// Makes one of this address go that is idle.
    fn replace_in(&mut self, client: ClientAddress) -> Option<Found> {
        let idle = self.idle_of(client)?;
        self.ask_to_go(idle);
        Some(Found::Place)
    }

    /// Makes one go that is idle; where none is, there may be a spare place.
    fn replace(&mut self) -> Option<Found> {
        match self.idle() {
            Some(idle) => {
                self.ask_to_go(idle);
                Some(Found::Place)
            }
            None => (self.spare.len() < SPARE).then_some(Found::Spare),
        }
    }

    /// The stranger from this address that has waited longest without a request.
    fn idle_of(&self, client: ClientAddress) -> Option<Arc<Connection>> {
        let places = self.by_address.get(&client)?.iter();
        places
            .filter_map(|place| self.strangers.get(place))
            .find(|connection| connection.is_idle())
            .cloned()
    }

    /// The one that has waited longest without a request, strangers first.
    fn idle(&mut self) -> Option<Arc<Connection>> {
        for _ in 0..LOOKED_AT.min(self.strangers.len()) {
            let oldest = Arc::clone(self.strangers.first_key_value()?.1);
            if oldest.is_idle() {
                return Some(oldest);
            }
            // Behind the others, so that it is not looked at again and again.
            self.remove_stranger(&oldest);
            self.add_stranger(&oldest);
        }
        for _ in 0..LOOKED_AT.min(self.known.len()) {
            let (_, oldest) = self.known.pop_first()?;
            self.add_known(&oldest);
            if oldest.is_idle() {
                return Some(oldest);
            }
        }
        None
    }

    fn ask_to_go(&mut self, connection: Arc<Connection>) {
        self.remove(&connection);
        connection.leave.say(());
        self.leaving.insert(number(&mut self.next, &connection), connection);
    }
}

/// A connection's place among the others; dropping it gives it up.
pub(crate) struct Place(Arc<Connection>);

impl Place {
    /// The connection that has it.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.among().leave(&self.0);
    }
}
