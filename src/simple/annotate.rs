//! Tells the metadata of files on a page that is ready (PEP 658, PEP 714).
//!
//! Owns what is written at an insertion point. Must not know which file a point belongs to, nor
//! whether its metadata can be had.

use bytes::{Bytes, BytesMut};

use super::format::Format;
use crate::values::digest::Digest;

/// The page with the sha256 of the metadata told at each of these insertion points of it, given in
/// their order.
///
/// A point that is none of this page's is passed over rather than harm it.
pub fn annotate(format: Format, body: &[u8], known: &[(u64, Digest)]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + known.len() * ADDED_BYTES);
    let mut done = 0;
    for (point, digest) in known {
        let Ok(point) = usize::try_from(*point) else {
            continue;
        };
        if !(done..=body.len()).contains(&point) {
            continue;
        }
        let Some((told, replaced)) = told(format, &body[point..], digest) else {
            continue;
        };
        out.extend_from_slice(&body[done..point]);
        out.extend_from_slice(told.as_bytes());
        done = point + replaced;
    }
    out.extend_from_slice(&body[done..]);
    out.freeze()
}

/// Roughly what one point adds; the larger of the formats.
const ADDED_BYTES: usize = 200;

/// What to write before what follows, and how much of that it replaces.
fn told(format: Format, follows: &[u8], digest: &Digest) -> Option<(String, usize)> {
    match format {
        Format::Html => {
            let told = format!(
                " data-core-metadata=\"sha256={digest}\" data-dist-info-metadata=\"sha256={digest}\""
            );
            Some((told, 0))
        }
        Format::Json => {
            let table = format!("{{\"sha256\":\"{digest}\"}}");
            for word in ["false", "null"] {
                if follows.starts_with(word.as_bytes()) {
                    return Some((table, word.len()));
                }
            }
            match follows.first()? {
                b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r' => {
                    Some((format!(",\"core-metadata\":{table}"), 0))
                }
                _ => None,
            }
        }
    }
}
