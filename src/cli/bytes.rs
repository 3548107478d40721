//! Counts as people read them.
//!
//! Must not know what they are of.

/// `1 file`, `2 files`.
pub fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
