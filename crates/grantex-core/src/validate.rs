//! Checks of request fields that more than one use case needs.

use grantex_types::{Lifetime, Scopes, text as readable};

use crate::{Error, Result};

const LONGEST_PRINCIPAL: usize = 256;

/// What RFC 7636 §4.1 allows.
const CODE_VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// `value`, if it has `least` to `most` characters and none that is a control character.
pub fn text(field: &str, value: &str, least: usize, most: usize) -> Result<String> {
    let length = value.chars().count();
    if length < least || value.trim().is_empty() && least > 0 {
        return Err(Error::bad_request(format!("{field} must not be empty or blank")));
    }
    if length > most {
        return Err(Error::bad_request(format!("{field} must be at most {most} characters long")));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::bad_request(format!("{field} must not contain control characters")));
    }
    Ok(value.to_owned())
}

/// A [`text`] that people read: with a visible character, and without invisible or
/// direction-changing ones.
fn shown(field: &str, value: &str, most: usize) -> Result<String> {
    let value = text(field, value, 1, most)?;
    readable::check(&value).map_err(|error| Error::bad_request(format!("{field} {error}")))?;
    Ok(value)
}

/// Several lines that people read, or none: line feeds and tabs are allowed.
pub fn lines(field: &str, value: &str, most: usize) -> Result<String> {
    if value.chars().count() > most {
        return Err(Error::bad_request(format!("{field} must be at most {most} characters long")));
    }
    readable::check_lines(value).map_err(|error| Error::bad_request(format!("{field} {error}")))?;
    Ok(value.to_owned())
}

/// A name: trimmed, 1 to 200 characters.
pub fn name(value: &str) -> Result<String> {
    shown("name", value.trim(), 200)
}

/// A name of something smaller than an agent: trimmed, 1 to `most` characters.
pub fn short_name(value: &str, most: usize) -> Result<String> {
    shown("name", value.trim(), most)
}

/// A principal who is to be asked: 1 to 256 characters.
pub fn principal_id(value: &str) -> Result<String> {
    shown("principalId", value, LONGEST_PRINCIPAL)
}

/// A principal to look for. Older grants may have one that [`principal_id`] refuses today.
pub fn known_principal_id(value: &str) -> Result<String> {
    text("principalId", value, 1, LONGEST_PRINCIPAL)
}

/// A list of scopes with at least `least` in it.
pub fn scopes(list: Vec<String>, least: usize) -> Result<Scopes> {
    let scopes =
        Scopes::new(list).map_err(|error| Error::bad_request(format!("scopes: {error}")))?;
    if scopes.as_slice().len() < least {
        return Err(Error::bad_request("scopes must name at least one scope"));
    }
    Ok(scopes)
}

/// `expiresIn`, or the default if it was not given.
pub fn expires_in(value: Option<&str>, default: Lifetime) -> Result<Lifetime> {
    value.map_or(Ok(default), |text| {
        text.parse().map_err(|error| Error::bad_request(format!("expiresIn: {error}")))
    })
}

/// A PKCE verifier as RFC 7636 §4.1 defines it: too long to be guessed from its hash.
pub fn code_verifier(value: &str) -> Result<&str> {
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if CODE_VERIFIER_CHARS.contains(&value.len()) && value.bytes().all(is_unreserved) {
        return Ok(value);
    }
    Err(Error::bad_request(
        "codeVerifier must be 43 to 128 characters out of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`",
    ))
}

/// An address that mail could reach: one `@` with something on both sides and no space. Only a mail
/// can show whether it works.
pub fn email(value: &str) -> Result<String> {
    let value = text("email", value, 3, 320)?;
    match value.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !value.contains(char::is_whitespace) =>
        {
            Ok(value.to_lowercase())
        }
        _ => Err(Error::bad_request("email must be an address such as dev@example.com")),
    }
}

/// An absolute http or https URL of at most 2048 characters, without credentials or fragment.
pub fn redirect_uri(value: &str) -> Result<String> {
    let value = text("redirectUri", value, 1, 2048)?;
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let clean = value.bytes().all(|b| {
        b.is_ascii_graphic()
            && !matches!(
                b,
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | b';' | b'\''
            )
    });
    // The redirect adds these: with two of one name a client could read the wrong one.
    let query = value.split_once('?').map_or("", |(_, query)| query);
    let is_doubled = query.split('&').any(|pair| {
        ["code", "error", "iss"].contains(&pair.split_once('=').map_or(pair, |(name, _)| name))
    });
    if is_doubled {
        return Err(Error::bad_request(
            "redirectUri must not have code, error or iss in its query: the redirect adds them",
        ));
    }
    if !clean || !is_authority(host) {
        return Err(Error::bad_request(
            "redirectUri must be an absolute http or https URL, percent-encoded, without credentials or fragment",
        ));
    }
    Ok(value)
}

/// A host with or without a port, as a browser goes to it: a name of letters, digits, dots, hyphens
/// and underscores, an IPv4 address, or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, port),
            _ => return false,
        },
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            (Some(host), port)
        }
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_host = host.is_none_or(|host| host.trim_end_matches('.').split('.').all(is_label));
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    is_host && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("  Ada ").unwrap(), "Ada");
        assert!(name(" ").is_err());
        assert!(name(&"é".repeat(200)).is_ok());
        assert!(name(&"é".repeat(201)).is_err());
        assert!(name("a\0b").is_err());
    }

    #[test]
    fn what_people_read_hides_nothing() {
        for hidden in ["\u{200B}", "\u{3164}", "a\u{202E}b", "a\u{2066}b", "a\u{E0061}b"] {
            assert!(name(hidden).is_err() && principal_id(hidden).is_err(), "{hidden:?}");
            assert!(
                lines("description", hidden, 100).is_err()
                    && scopes(vec![hidden.into()], 1).is_err()
            );
            assert!(known_principal_id(hidden).is_ok(), "what is stored can be looked for");
        }
        assert!(lines("description", "", 100).is_ok());
        assert!(lines("description", "One\n\ttwo", 100).is_ok());
    }

    #[test]
    fn verifiers_are_as_the_standard_has_them() {
        for good in ["a".repeat(43), "Z-._~9".repeat(21)] {
            assert!(code_verifier(&good).is_ok(), "{good}");
        }
        for bad in
            [String::new(), "a".repeat(42), "a".repeat(129), "a".repeat(43) + "+", "é".repeat(43)]
        {
            assert!(code_verifier(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_go_to_the_web_only() {
        for good in [
            "https://a.example",
            "http://127.0.0.1:3000/cb?x=1",
            "https://a.example/%20",
            "http://[::1]:3000/cb",
            "http://my_host:1",
            "https://a.example./?codes=1",
        ] {
            assert!(redirect_uri(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "//a.example",
            "https://",
            "https:///x",
            "https://user@a.example",
            "https://a.example/#f",
            "https://a.example/ x",
            "https://a.example/\"",
            "ftp://a.example",
            "https://é.example",
            "https://[::1",
            "https://[::1]x",
            "https://*.example/",
            "https://a.example%00/",
            "https://a.example:99999/",
            "https://a.example:0/",
            "https://a..example/",
            "https://a.example/?x=1&code=fake",
            "https://a.example/?iss=https://b.example",
        ] {
            assert!(redirect_uri(bad).is_err(), "{bad}");
        }
    }
}
