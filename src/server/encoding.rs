//! `Accept-Encoding`: whether the client takes gzip (RFC 9110 §12.5.3).
//!
//! Pure. Must not know what would be compressed.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Gzip is named, or `*` is, with a weight above nothing.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut any = None;
    for coding in lists.flat_map(|list| list.split(',')) {
        let mut parts = coding.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let refused = parts.any(|part| {
            let weight = part.trim().strip_prefix("q=").or_else(|| part.trim().strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0))
        });
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return !refused;
        }
        if name == "*" {
            any = Some(!refused);
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_clients_send() {
        let takes = |list: &'static str| {
            takes_gzip(&[(ACCEPT_ENCODING, HeaderValue::from_static(list))].into_iter().collect())
        };
        for list in
            ["gzip, deflate", "gzip, deflate, zstd", "zstd,gzip;q=0.5", "*", "GZIP", "br;q=1.0, *;q=0.1"]
        {
            assert!(takes(list), "{list}");
        }
        for list in ["identity", "Identity", "", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "br"] {
            assert!(!takes(list), "{list}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
