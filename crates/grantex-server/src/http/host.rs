//! The Host header. Nothing in the service depends on it. But where a proxy and the service read
//! different hosts from one request, an attacker can deceive one of them.

use http::{HeaderMap, HeaderValue, Version, header};

use super::error::ApiError;

/// Refuses what RFC 9112, section 3.2, requires: a request of HTTP/1.1 without a Host header, one
/// with two, and a value that cannot be a host.
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if can_be_host(host) => Ok(()),
        _ => Err(ApiError::bad_request("send one Host header, with the name of a host")),
    }
}

/// Whether the value is a name, an address, or an address in brackets, perhaps with a port, in the
/// characters of RFC 3986, section 3.2.2.
fn can_be_host(value: &HeaderValue) -> bool {
    // RFC 9112, section 3.2: the header is empty where the target has no authority.
    if value.is_empty() {
        return true;
    }
    let Ok(authority) = http::uri::Authority::try_from(value.as_bytes()) else { return false };
    let host = authority.host();
    let is_port_good = authority.port_u16().is_some() || authority.as_str() == host;
    let is_name_good =
        host.starts_with('[') || !host.trim_end_matches('.').split('.').any(str::is_empty);
    // Proxies read a user name or a list in different ways.
    is_port_good && is_name_good && !value.as_bytes().iter().any(|byte| b",@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host() {
        let check = |version, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            check(version, &headers).is_ok()
        };
        for host in [
            "a.example",
            "a.example:8080",
            "127.0.0.1:1",
            "[::1]:8080",
            "xn--bcher-kva.example",
            "",
        ] {
            assert!(check(Version::HTTP_11, &[host]), "{host}");
        }
        for host in [
            "a b",
            "a.example/",
            "user@a.example",
            "a.example, b.example",
            "a\\b",
            "[::1",
            "a:65536",
            "a:b",
            "a,b",
            "..",
        ] {
            assert!(!check(Version::HTTP_11, &[host]), "{host}");
        }
        assert!(!check(Version::HTTP_11, &[]) && check(Version::HTTP_10, &[]));
        assert!(!check(Version::HTTP_11, &["a", "a"]) && !check(Version::HTTP_10, &["a", "b"]));
    }
}
