//! What a page in a person's browser must not make larder do.
//!
//! A browser sends what a foreign page tells it to, and adds the user's name and token if it knows
//! them; where larder adds a credential of its own, not even that is needed. Two rules: a page
//! never uploads (only browsers send `Origin` or `Sec-Fetch-Site`; Fetch §3.1, Fetch Metadata
//! §2.4), and where every client that can connect has rights, larder goes by names that no stranger
//! can make lead here (DNS rebinding). Pure. Must not know routes.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a page in a browser had this sent, of whatever site. What a user types or opens says
/// `none`.
pub(super) fn is_sent_by_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
        || headers
            .get(SEC_FETCH_SITE)
            .is_some_and(|site| site != "none")
}

/// The names that larder goes by where every client that can connect has rights: addresses,
/// `localhost`, and one more.
#[derive(Clone, Debug)]
pub struct OwnNames(Option<String>);

impl OwnNames {
    /// `host` is one by which others know it, without a port.
    pub fn new(host: Option<&str>) -> Self {
        Self(host.map(str::to_ascii_lowercase))
    }

    /// The name that a request calls larder by, if it is not one of its own.
    pub(super) fn unknown(&self, headers: &HeaderMap) -> Option<String> {
        let called = headers
            .get_all(HOST)
            .iter()
            .map(|host| String::from_utf8_lossy(host.as_bytes()));
        called
            .map(|called| host(&called).to_ascii_lowercase())
            .find(|host| !self.hold(host))
    }

    fn hold(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.ends_with(".localhost");
        here || address.parse::<IpAddr>().is_ok() || self.0.as_deref() == Some(host)
    }
}

/// Without the port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_a_page_says_where_it_comes_from() {
        for (sent, page) in [
            (vec![], false),
            (vec![(SEC_FETCH_SITE, "none")], false),
            (vec![(SEC_FETCH_SITE, "cross-site")], true),
            (vec![(SEC_FETCH_SITE, "same-site")], true),
            (vec![(SEC_FETCH_SITE, "same-origin")], true),
            (vec![(ORIGIN, "https://evil.example")], true),
            (vec![(ORIGIN, "null")], true),
        ] {
            assert_eq!(is_sent_by_a_page(&fields(&sent)), page, "{sent:?}");
        }
    }

    #[test]
    fn names_that_nobody_else_can_lead_here_are_known() {
        let names = OwnNames::new(Some("Larder.corp"));
        for known in [
            "127.0.0.1",
            "127.0.0.1:3141",
            "10.1.2.3:80",
            "[::1]:3141",
            "[::1]",
            "localhost",
            "LOCALHOST:3141",
            "a.localhost:1",
            "larder.corp",
            "larder.CORP:3141",
        ] {
            assert_eq!(names.unknown(&fields(&[(HOST, known)])), None, "{known}");
        }
        for (foreign, name) in [
            ("evil.example", "evil.example"),
            ("evil.example:3141", "evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("localhost.evil.example:1", "localhost.evil.example"),
            ("", ""),
        ] {
            assert_eq!(
                names.unknown(&fields(&[(HOST, foreign)])).as_deref(),
                Some(name),
                "{foreign}"
            );
        }
        assert_eq!(
            names.unknown(&HeaderMap::new()),
            None,
            "browsers always call a name"
        );
    }
}
