//! What no path of ours contains, wherever it stands.
//!
//! Owns the first look at raw bytes, before a path is split (RFC 3986 §2.4): nothing that two
//! readers could take for two things. Must not know what the segments mean, nor where an empty one
//! may stand.

/// Longest path accepted, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// What a byte can do to a path.
const NOTHING: u8 = 0;
const SPOIL: u8 = 1;
const BEGIN_AN_ESCAPE: u8 = 2;
const BE_A_DOT: u8 = 4;

/// The same for each byte: each path is looked through once for all of it.
const POWERS: [u8; 256] = {
    let mut powers = [SPOIL; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        powers[byte as usize] = match byte {
            b'\\' | b';' | b'?' | b'#' => SPOIL,
            b'%' => BEGIN_AN_ESCAPE,
            b'.' => BE_A_DOT,
            _ => NOTHING,
        };
        byte += 1;
    }
    powers
};

/// # Errors
/// What is wrong with the path, in words for its author.
pub fn check(path: &str) -> Result<(), &'static str> {
    let mut found = NOTHING;
    for byte in path.bytes() {
        found |= POWERS[usize::from(byte)];
    }
    if path.len() > PATH_BYTES_MAX {
        Err("longer than 4096 bytes")
    } else if !path.starts_with('/') {
        Err("must begin with a slash")
    } else if found & SPOIL != 0 {
        Err("character that has no place in a path")
    } else if found & BE_A_DOT != 0 && has_dot_segment(path) {
        Err("dot segment")
    } else if found & BEGIN_AN_ESCAPE != 0 && has_bad_escape(path) {
        Err("escape that has no place in a path")
    } else {
        Ok(())
    }
}

fn has_dot_segment(path: &str) -> bool {
    // Most names have a dot, and few segments begin with one: they are not split.
    path.contains("/.")
        && path
            .split('/')
            .any(|segment| [".", ".."].contains(&segment))
}

fn has_bad_escape(path: &str) -> bool {
    path.split('%')
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
