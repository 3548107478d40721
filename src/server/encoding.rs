//! `Accept-Encoding`: which compressed form of a page the client would take (RFC 9110 §12.5.3).
//!
//! Pure. Must not know what would be compressed.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::index::Coding;

/// The codings the client takes, the one it wants most first; between equals the one that is smaller and faster.
pub(super) fn wanted(headers: &HeaderMap) -> impl Iterator<Item = Coding> {
    let mut wanted = [Coding::Zstd, Coding::Gzip].map(|coding| (coding, weight(headers, coding)));
    // Stable: equals keep their order.
    wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    wanted
        .into_iter()
        .filter(|(_, weight)| *weight > 0.0)
        .map(|(coding, _)| coding)
}

/// The weight of a coding that is named, else that of `*`, else nothing.
fn weight(headers: &HeaderMap, coding: Coding) -> f32 {
    let names: &[&str] = match coding {
        Coding::Gzip => &["gzip", "x-gzip"],
        Coding::Zstd => &["zstd"],
    };
    let lists = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|list| list.to_str().ok());
    let mut any = 0.0;
    for item in lists.flat_map(|list| list.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // A weight that is no number is none (the field is a hint, not a contract).
        let weight = weight
            .and_then(|weight| weight.trim().parse().ok())
            .unwrap_or(1.0);
        if names.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return weight;
        }
        if name == "*" {
            any = weight;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_clients_send() {
        use Coding::{Gzip, Zstd};
        let table: [(&'static str, &[Coding]); 14] = [
            ("gzip, deflate", &[Gzip]),
            ("gzip, deflate, zstd", &[Zstd, Gzip]),
            ("zstd,gzip;q=0.5", &[Zstd, Gzip]),
            ("zstd;q=0.5,gzip;q=0.9", &[Gzip, Zstd]),
            ("*", &[Zstd, Gzip]),
            ("GZIP", &[Gzip]),
            ("br;q=1.0, *;q=0.1", &[Zstd, Gzip]),
            ("gzip; q=0.000, *", &[Zstd]),
            ("identity", &[]),
            ("Identity", &[]),
            ("", &[]),
            ("gzip;q=0", &[]),
            ("*;q=0", &[]),
            ("br", &[]),
        ];
        for (list, expected) in table {
            let headers = [(ACCEPT_ENCODING, HeaderValue::from_static(list))]
                .into_iter()
                .collect();
            assert_eq!(wanted(&headers).collect::<Vec<_>>(), expected, "{list}");
        }
        assert_eq!(wanted(&HeaderMap::new()).count(), 0);
    }
}
