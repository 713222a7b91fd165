//! Where to listen: an address, or a name and all that it resolves to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::CommandError;

/// How often a free port is looked for that all addresses of a name have.
const TRIES: usize = 16;

/// An address or a name, with a port; port 0 is any free one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    Address(SocketAddr),
    Name { host: String, port: u16 },
}

/// What listens.
pub(crate) struct Listening {
    /// At least one; where it is a name, one for each of its addresses.
    pub(crate) listeners: Vec<TcpListener>,
    /// The first one's address.
    pub(crate) address: SocketAddr,
    /// As it stands in a URL: the name, if there is one.
    pub(crate) authority: String,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let is_name = |host: &str| {
            let known =
                |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
            !host.is_empty() && host.chars().all(known)
        };
        text.rsplit_once(':')
            .filter(|(host, _)| is_name(host))
            .and_then(|(host, port)| Some(Self::Name { host: host.to_owned(),
                port: port.parse().ok()? }))
            .ok_or_else(|| {
                "expected an address or a name with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
                    .to_owned()
            })
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|expected| format!("{text:?}: {expected}"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Connections that the kernel keeps until they are accepted; it lowers the figure to its own limit
/// (`net.core.somaxconn`). When there is no room, a client's next attempt follows after a second,
/// so a burst of one developer's connections must not fill it.
const BACKLOG: u32 = 4096;

impl Listen {
    /// Listens; `option` is what to change where that fails.
    pub(crate) async fn bind(&self, option: &str) -> Result<Listening, CommandError> {
        let bound = self.open().await;
        Ok(bound.map_err(|error| {
            format!("cannot listen on {self}: {error}; choose another with {option}")
        })?)
    }

    /// As [`bind`](Self::bind), with the error as it is.
    pub(crate) async fn open(&self) -> io::Result<Listening> {
        let (host, port) = match self {
            Self::Address(address) => {
                let listener = bind(*address)?;
                let address = listener.local_addr()?;
                return Ok(Listening {
                    listeners: vec![listener],
                    address,
                    authority: address.to_string(),
                });
            }
            Self::Name { host, port } => (host, *port),
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in lookup_host((host.as_str(), port)).await? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let mut tries = 0_usize;
        let listeners = loop {
            tries = tries.saturating_add(1);
            match bind_all(&addresses) {
                // The port that was free for one address was not for another.
                Err(error)
                    if port == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
                bound => break bound?,
            }
        };
        let first = listeners.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let address = first.local_addr()?;
        Ok(Listening { authority: format!("{host}:{}", address.port()), address, listeners })
    }
}

/// Listens on an address.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A service that is started again takes the port although old connections still fade away.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens on all of them that this machine has, on one port.
fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    for address in addresses {
        let mut address = *address;
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr()?.port());
        }
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            // A name may have an address of a family that is switched off here.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                tracing::debug!(%error, %address, "this address of the name is not listened on");
                missing = Some(error);
            }
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_with_a_port() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:8080", "my-host.example:1"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080",
            ":8080",
            "localhost",
            "localhost:99999",
            "http://localhost:80",
            "::1:80",
            "a b:1",
        ] {
            let told = text.parse::<Listen>().unwrap_err();
            assert!(told.contains("127.0.0.1:8080"), "{text}: {told}");
        }
    }

    #[tokio::test]
    async fn a_name_is_all_its_addresses_on_one_port() {
        let listening = "localhost:0".parse::<Listen>().unwrap().bind("--listen").await.unwrap();
        let port = listening.address.port();
        assert_eq!(listening.authority, format!("localhost:{port}"));
        for listener in &listening.listeners {
            let address = listener.local_addr().unwrap();
            assert!(address.ip().is_loopback() && address.port() == port, "{address}");
        }
        let taken = listening.authority.parse::<Listen>().unwrap().bind("--listen").await;
        assert!(taken.err().unwrap().to_string().contains("--listen"));
        let unknown = "no-such-host.invalid:1".parse::<Listen>().unwrap().bind("--listen").await;
        assert!(unknown.err().unwrap().to_string().contains("no-such-host.invalid:1"));
    }
}
