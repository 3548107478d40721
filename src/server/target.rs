//! Whom a request calls, and for what: brought into the one form that the walk knows, a path, and
//! the authority in `Host`.
//!
//! A URL in place of a path is taken as one would take it apart oneself (RFC 9112 §3.2.2); HTTP/2
//! always sends its parts (RFC 9113 §8.3.1). No authority is ever asked: whose name is larder's own
//! is for `browser` to say. Pure. Must not know routes.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Uri, Version};

/// Why it cannot be told which host a request calls. The client is to blame for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("HTTP/1.1 wants a Host field")]
    NoHost,
    #[error("more than one Host field")]
    SeveralHosts,
    #[error("the Host field, or the host of the URL, is not a host with or without a port")]
    NoName,
    #[error("the Host field names another host than :authority")]
    Contradiction,
}

/// Leaves what is no URL of HTTP as it is, to be refused as no address of ours.
pub(super) fn settle(parts: &mut Parts) -> Result<(), TargetError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(TargetError::SeveralHosts),
        (None, None) if parts.version == Version::HTTP_11 => return Err(TargetError::NoHost),
        (host, None) => host,
    };
    if host.is_some_and(|host| !is_name(host.as_bytes())) {
        return Err(TargetError::NoName);
    }
    let scheme = parts
        .uri
        .scheme()
        .filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    let Some(scheme) = scheme else {
        return Ok(());
    };
    let Some(authority) = parts.uri.authority() else {
        return Ok(());
    };
    if parts.method == Method::CONNECT {
        return Ok(());
    }
    if !is_name(authority.as_str().as_bytes()) {
        return Err(TargetError::NoName);
    }
    // Over HTTP/1 the URL has the last word, as every client that sends one knows.
    let contradicts = |host: &HeaderValue| !is_same(host.as_bytes(), authority, scheme);
    if parts.version == Version::HTTP_2 && host.is_some_and(contradicts) {
        return Err(TargetError::Contradiction);
    }
    let named = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::NoName)?;
    if let Some(path) = parts.uri.path_and_query().cloned() {
        parts.uri = Uri::from(path);
        parts.headers.insert(HOST, named);
    }
    Ok(())
}

/// Whether this is `uri-host [":" port]` (RFC 9110 §7.2); the host of an `http` URL is never empty
/// (§4.2.1).
fn is_name(text: &[u8]) -> bool {
    let colon = text.iter().rposition(|b| *b == b':');
    let (host, port) = match colon {
        Some(at) if !text.ends_with(b"]") => (&text[..at], &text[at + 1..]),
        _ => (text, &[][..]),
    };
    is_port(port) && is_host(host)
}

/// Whether this is a number that a port can have, or nothing.
fn is_port(text: &[u8]) -> bool {
    let port = text.iter().try_fold(0_u16, |port, b| match b {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(b - b'0')),
        _ => None,
    });
    port.is_some()
}

fn is_host(text: &[u8]) -> bool {
    let bare = text.strip_prefix(b"[");
    match bare.and_then(|text| text.strip_suffix(b"]")) {
        Some(address) => {
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        // All bytes are looked at: to stop at the first other one costs more.
        None => {
            !text.is_empty()
                && text
                    .iter()
                    .fold(true, |all, b| all & IS_OF_A_NAME[usize::from(*b)])
        }
    }
}

/// The same for each byte: every request has such a name.
const IS_OF_A_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte <= 0x7f {
        table[byte as usize] = is_of_a_name(byte);
        byte += 1;
    }
    table
};

/// Of a registered name or an IPv4 address (RFC 3986 §3.2.2).
const fn is_of_a_name(b: u8) -> bool {
    match b {
        b'-' | b'.' | b'_' | b'~' => true,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'%' => true,
        _ => b.is_ascii_alphanumeric(),
    }
}

/// Whether both name the same host and port (RFC 9110 §4.2.3).
fn is_same(host: &[u8], authority: &Authority, scheme: &Scheme) -> bool {
    let usual: &[u8] = if *scheme == Scheme::HTTP {
        b":80"
    } else {
        b":443"
    };
    let plain = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(usual)
            .or_else(|| name.strip_suffix(b":"))
            .map(<[u8]>::to_vec)
            .unwrap_or(name)
    };
    plain(host) == plain(authority.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn settled(
        version: Version,
        target: &str,
        hosts: &[&str],
    ) -> Result<(String, Option<String>), TargetError> {
        let request = hosts.iter().fold(
            Request::builder().version(version).uri(target),
            |request, host| request.header(HOST, *host),
        );
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        settle(&mut parts)?;
        let host = parts
            .headers
            .get(HOST)
            .map(|host| host.to_str().unwrap().to_owned());
        Ok((parts.uri.to_string(), host))
    }

    #[test]
    fn a_url_stands_for_its_path_and_its_host() {
        let called = |target: &str, host: &str| settled(Version::HTTP_11, target, &[host]);
        let larder = |path: &str| Ok((path.to_owned(), Some("larder:3141".to_owned())));
        assert_eq!(called("/a?b", "larder:3141"), larder("/a?b"));
        assert_eq!(called("http://larder:3141/a?b", "other"), larder("/a?b"));
        assert_eq!(called("https://larder:3141", "larder:3141"), larder("/"));
        assert_eq!(
            called("http://u:p@larder:3141/a", "larder"),
            Err(TargetError::NoName)
        );
        for left in ["ftp://larder/a", "larder:3141", "*"] {
            assert_eq!(
                called(left, "larder:3141")
                    .map(|(target, _)| target)
                    .as_deref(),
                Ok(left)
            );
        }
    }

    #[test]
    fn a_request_calls_one_host() {
        use Version as V;
        for (version, hosts, settles) in [
            (V::HTTP_11, &[][..], Err(TargetError::NoHost)),
            (V::HTTP_10, &[], Ok(())),
            (V::HTTP_2, &[], Ok(())),
            (V::HTTP_11, &["a", "a"], Err(TargetError::SeveralHosts)),
            (V::HTTP_10, &["a", "b"], Err(TargetError::SeveralHosts)),
            (V::HTTP_10, &["a b"], Err(TargetError::NoName)),
        ] {
            assert_eq!(
                settled(version, "/", hosts).map(|_| ()),
                settles,
                "{version:?} {hosts:?}"
            );
        }
        for good in [
            "a",
            "a:",
            "A.b-c_d:80",
            "127.0.0.1:65535",
            "[::1]",
            "[2001:db8::1]:443",
            "xn--bcher-kva",
        ] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:b",
            "a:65536",
            "u@a",
            "a/b",
            "a b",
            "a,b c",
            "[::1",
            "::1",
            "[a]",
            "a?b",
            "b\u{fc}cher",
        ] {
            assert!(!is_name(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn over_http2_both_names_are_one() {
        let called = |host: &str| settled(Version::HTTP_2, "https://Larder/", &[host]).map(|_| ());
        for same in ["larder", "LARDER:443", "larder:"] {
            assert_eq!(called(same), Ok(()), "{same}");
        }
        for other in ["other", "larder:80", "larder.example"] {
            assert_eq!(called(other), Err(TargetError::Contradiction), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(host in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = is_name(&host);
        }
    }
}
