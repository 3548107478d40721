//! `Accept-Encoding`: which compressed form of a page the client would take (RFC 9110 §12.5.3).
//!
//! Pure. Must not know what would be compressed.

use std::cmp::Reverse;

use crate::index::Coding;
use crate::values::quality_list::{Quality, members};

/// The codings the client takes, the one it wants most first; between equals the one that is
/// smaller and faster.
pub(super) fn wanted<'f>(accept: impl Iterator<Item = &'f str>) -> impl Iterator<Item = Coding> {
    let listed: Vec<(&str, Quality)> = members(accept).collect();
    let mut wanted = [Coding::Zstd, Coding::Gzip].map(|coding| (coding, weight(&listed, coding)));
    // Stable: equals keep their order.
    wanted.sort_by_key(|(_, weight)| Reverse(*weight));
    let taken = wanted.into_iter().filter(|(_, weight)| *weight > 0);
    taken.map(|(coding, _)| coding)
}

/// The weight of a coding that is named, else that of `*`, else nothing.
fn weight(listed: &[(&str, Quality)], coding: Coding) -> Quality {
    let names: &[&str] = match coding {
        Coding::Gzip => &["gzip", "x-gzip"],
        Coding::Zstd => &["zstd"],
    };
    let mut any = 0;
    for (name, weight) in listed {
        if names.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return *weight;
        }
        if *name == "*" {
            any = *weight;
        }
    }
    any
}

#[cfg(test)]
mod tests {
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
            let wanted = wanted([list].into_iter());
            assert_eq!(wanted.collect::<Vec<_>>(), expected, "{list}");
        }
        assert_eq!(wanted([].into_iter()).count(), 0);
    }
}
