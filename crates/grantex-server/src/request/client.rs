//! Which client a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderMap;
use http::request::Parts;

use crate::net::address::ClientAddress;
use crate::net::connections::Admitted;

/// The client of a request: the connection's other end or, behind a proxy, the address that the
/// proxy forwarded.
pub(crate) fn address(parts: &Parts, trust_forwarded_for: bool) -> ClientAddress {
    let forwarded = if trust_forwarded_for { forwarded(&parts.headers) } else { None };
    let peer = || parts.extensions.get::<Admitted>().map(|admitted| admitted.connection().peer);
    forwarded.or_else(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into()
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
}
