//! Origins of web pages as browsers send them, and the path of the service's own URLs.

use url::Url;

/// Any page's origin.
const ANY: &str = "*";

/// An origin as browsers send it: scheme and host in lower case, no default port, nothing after
/// them. For one that no browser can send, the error says what to write instead.
pub fn allowed_origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    // Pages in a sandbox and pages from files have the origin `null`.
    if text == ANY || text == "null" {
        return Ok(text.to_owned());
    }
    let never = |why: &str| format!("no browser sends the origin {text:?}: {why}");
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() => (scheme.to_ascii_lowercase(), rest),
        _ => {
            return Err(never(&format!("it has no scheme; write {:?}", format!("https://{text}"))));
        }
    };
    if rest.contains('*') {
        return Err(never(
            "list each origin, such as \"https://app.example.com\", or allow every origin with \
             \"*\"",
        ));
    }
    let url = Url::parse(text).map_err(|error| {
        never(&format!(
            "{error}; an origin is a scheme, a host and optionally a port, such as \
             \"https://app.example.com\""
        ))
    })?;
    let origin = url.origin();
    let sent = if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        // An application's own scheme, or an extension's.
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}")
    };
    let has_more = !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    if has_more {
        Err(never(&format!("an origin has only scheme, host and port; write {sent:?}")))
    } else {
        Ok(sent)
    }
}

/// The path of a public base URL: empty, or `/auth` for example.
pub(crate) fn public_path(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for (text, sent) in [
            ("*", "*"),
            ("null", "null"),
            (" https://app.example.com ", "https://app.example.com"),
            ("HTTPS://App.Example.COM:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://localhost:80", "http://localhost"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("http://[::0001]:8080", "http://[::1]:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(allowed_origin(text).as_deref(), Ok(sent), "{text}");
        }
        for (text, instead) in [
            ("app.example.com", "https://app.example.com"),
            ("localhost:3000", "https://localhost:3000"),
            ("https://app.example.com/page", "\"https://app.example.com\""),
            ("https://app.example.com/?x", "\"https://app.example.com\""),
            ("https://user@app.example.com", "\"https://app.example.com\""),
            ("https://*.example.com", "https://app.example.com"),
            ("https://", "https://app.example.com"),
            ("", "https://"),
        ] {
            let error = allowed_origin(text).unwrap_err();
            assert!(error.contains(instead), "{text}: {error}");
        }
    }

    #[test]
    fn a_public_base_may_have_a_path() {
        assert_eq!(public_path("https://example.com/auth"), "/auth");
        assert_eq!(public_path("https://example.com:8443"), "");
    }
}
