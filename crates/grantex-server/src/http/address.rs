//! Clients' addresses: where a request comes from, and what counts as one client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use super::connection::Connection;
use crate::App;

/// The bits of an IPv6 address that name a network: every customer has at least a /64 (RFC 6177),
/// and all the addresses in it.
const IPV6_NETWORK: u128 = !0 << 64;

/// What limits by address count as one client: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl ClientAddress {
    /// Whom a request comes from.
    pub(super) fn of(parts: &Parts, app: &App) -> Self {
        let forwarded =
            if app.settings.trust_forwarded_for { forwarded(&parts.headers) } else { None };
        let peer = || parts.extensions.get::<Arc<Connection>>().map(|connection| connection.peer);
        forwarded.or_else(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into()
    }
}

/// The last address of `X-Forwarded-For`: the one that the nearest proxy saw.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    parse(value.rsplit(',').next()?.trim())
}

/// An address as proxies write it: bare, with a port, in brackets, or both.
fn parse(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_proxies_write_them() {
        for (text, address) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:443", "203.0.113.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(parse(text), Some(address.parse().unwrap()), "{text}");
        }
        for text in
            ["", "unknown", "203.0.113.7:", "203.0.113.7:x", "[203.0.113.7]", "[2001:db8::1"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let client = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(client("203.0.113.7"), client("203.0.113.8"));
        assert_eq!(client("::ffff:203.0.113.7"), client("203.0.113.7"));
    }
}
