//! `Accept-Encoding`: which compressed form of a page the client would take (RFC 9110 §12.5.3).
//!
//! Pure. Must not know what would be compressed.

use crate::index::Coding;
use crate::values::quality_list::{Quality, members};

/// The codings the client takes, the one it wants most first; between equals the one that is
/// smaller and faster. One that is not named weighs what `*` does, else nothing.
pub(super) fn wanted<'f>(accept: impl Iterator<Item = &'f str>) -> impl Iterator<Item = Coding> {
    let mut zstd = None;
    let mut gzip = None;
    let mut any = 0;
    for (name, weight) in members(accept) {
        if name.eq_ignore_ascii_case("zstd") {
            zstd.get_or_insert(weight);
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip.get_or_insert(weight);
        } else if name == "*" {
            any = weight;
        }
    }
    let mut wanted = [(Coding::Zstd, zstd), (Coding::Gzip, gzip)];
    if gzip.unwrap_or(any) > zstd.unwrap_or(any) {
        wanted.reverse();
    }
    let taken = move |(_, weight): &(Coding, Option<Quality>)| weight.unwrap_or(any) > 0;
    wanted.into_iter().filter(taken).map(|(coding, _)| coding)
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
