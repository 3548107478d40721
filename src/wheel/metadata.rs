//! The header of `METADATA` (core metadata, RFC 822 fields): whose metadata it is.
//!
//! Read strictly, because readers differ in what they make of odd lines. Must not know where the
//! text was found.

use super::identity;
use super::unreadable::UnreadableWheel;
use crate::simple::WheelFilename;

/// Checks that a text is the metadata of this wheel.
pub fn check(metadata: &[u8], wheel: &WheelFilename<'_>) -> Result<(), UnreadableWheel> {
    let Ok(text) = std::str::from_utf8(metadata) else {
        return Err(UnreadableWheel::Fields);
    };
    let mut name = None;
    let mut version = None;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.contains(['\r', '\0']) {
            return Err(UnreadableWheel::Fields);
        }
        if line.starts_with([' ', '\t']) {
            // The rest of the field above.
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            return Err(UnreadableWheel::Fields);
        };
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UnreadableWheel::Fields);
        }
        let known = match field {
            field if field.eq_ignore_ascii_case("name") => &mut name,
            field if field.eq_ignore_ascii_case("version") => &mut version,
            _ => continue,
        };
        if known.replace(value.trim()).is_some() {
            return Err(UnreadableWheel::Fields);
        }
    }
    let (Some(name), Some(version)) = (name, version) else {
        return Err(UnreadableWheel::Fields);
    };
    if identity::is_release(wheel, name, version) {
        Ok(())
    } else {
        Err(UnreadableWheel::OtherProject)
    }
}
