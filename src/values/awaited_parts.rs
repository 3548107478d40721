//! Parts of a split bundle that have not come yet: its pages wait for them.
//!
//! A value. Must not know what a bundle is made of, nor where this is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedParts {
    /// The bundle's id, a sha256.
    pub bundle: String,
    /// How many parts it has.
    pub of: u32,
    /// Those that have not come, in order.
    pub parts: Vec<u32>,
    /// When the last part came, in seconds of Unix time.
    pub since: u64,
}

/// `parts 2, 4-6 of 9 of bundle 3f2a…`.
impl fmt::Display for AwaitedParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.parts[..] {
            [_] => "part",
            _ => "parts",
        };
        let parts = drawn_together(&self.parts);
        let bundle = &self.bundle;
        write!(f, "{word} {parts} of {} of bundle {bundle}", self.of)
    }
}

/// Numbers in order, neighbours drawn together: `2, 4-6`.
pub fn drawn_together(numbers: &[u32]) -> String {
    let mut texts = Vec::new();
    for run in numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        match run {
            [first, _, .., last] => texts.push(format!("{first}-{last}")),
            run => texts.extend(run.iter().map(u32::to_string)),
        }
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        for (numbers, expected) in [
            (&[][..], ""),
            (&[7], "7"),
            (&[1, 2], "1, 2"),
            (&[1, 2, 3, 5, 7, 8], "1-3, 5, 7, 8"),
        ] {
            assert_eq!(drawn_together(numbers), expected);
        }
    }
}
