//! What no path of ours contains, wherever it stands.
//!
//! Owns the first look at raw bytes, before a path is split (RFC 3986 §2.4): nothing that two
//! readers could take for two things. Must not know what the segments mean, nor where an empty one
//! may stand.

/// Longest path accepted, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// # Errors
/// What is wrong with the path, in words for its author.
pub fn check(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        Err("longer than 4096 bytes")
    } else if !path.starts_with('/') {
        Err("must begin with a slash")
    } else if !path.bytes().fold(true, |all, b| all & has_a_place(b)) {
        Err("character that has no place in a path")
    } else if has_dot_segment(path) {
        Err("dot segment")
    } else if has_bad_escape(path) {
        Err("escape that has no place in a path")
    } else {
        Ok(())
    }
}

/// Of all bytes, as for `has_dot_segment`: many at a time are looked at in less time than one after
/// the other up to the first.
fn has_a_place(byte: u8) -> bool {
    byte.is_ascii_graphic() & !matches!(byte, b'\\' | b';' | b'?' | b'#')
}

fn has_dot_segment(path: &str) -> bool {
    // Most paths have no segment that begins so, and are not split.
    let pairs = path.bytes().zip(path.bytes().skip(1));
    let may_have = pairs.fold(false, |any, (slash, dot)| {
        any | ((slash == b'/') & (dot == b'.'))
    });
    may_have
        && path
            .split('/')
            .any(|segment| [".", ".."].contains(&segment))
}

fn has_bad_escape(path: &str) -> bool {
    let may_have = path.as_bytes().contains(&b'%');
    may_have
        && path
            .split('%')
            .skip(1)
            .any(|after| !is_decent_escape(after))
}

/// Whether what follows a `%` is an escape of a character that could not as well hide a separator,
/// a dot segment, an end, or another escape.
fn is_decent_escape(after: &str) -> bool {
    let Some(digits) = after.get(..2) else {
        return false;
    };
    match u8::from_str_radix(digits, 16) {
        Ok(0..b' ' | 0x7f | b'.' | b'%' | b'\\' | b';') | Err(_) => false,
        Ok(_) => true,
    }
}
