//! What no path of ours contains, wherever it stands.
//!
//! Owns the first look at raw bytes, before a path is split (RFC 3986 §2.4): nothing that two
//! readers could take for two things. Must not know what the segments mean, nor where an empty one
//! may stand.

/// Longest path accepted, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// For each byte, whether it may stand in a path: each path is looked through for others.
const HAS_A_PLACE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'\\' | b';' | b'?' | b'#');
        byte += 1;
    }
    table
};

/// # Errors
/// What is wrong with the path, in words for its author.
pub fn check(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        Err("longer than 4096 bytes")
    } else if !path.starts_with('/') {
        Err("must begin with a slash")
    } else if !path.bytes().all(|b| HAS_A_PLACE[usize::from(b)]) {
        Err("character that has no place in a path")
    } else if has_dot_segment(path) {
        Err("dot segment")
    } else if has_bad_escape(path) {
        Err("escape that has no place in a path")
    } else {
        Ok(())
    }
}

fn has_dot_segment(path: &str) -> bool {
    // Most paths have no segment that begins so, and are not split.
    path.contains("/.")
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
