//! A project's name, checked and normalised.
//!
//! Owns the two rules of names: which are valid (PEP 508) and which are equal (PEP 503: runs of
//! `-`, `_` and `.` are one `-`, letters are lower case). Must not know where a name came from or
//! where it is sent.

use std::fmt;
use std::sync::Arc;

/// The longest name accepted; registries and file systems stop here too.
pub const NAME_BYTES_MAX: usize = 255;

/// The normalised name of a project. Cheap to clone; two spellings of one name are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(Arc<str>);

/// Why a text is not the name of a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a project name must not be empty")]
    Empty,
    #[error("a project name has at most {NAME_BYTES_MAX} characters, this one has {0} bytes")]
    TooLong(usize),
    #[error("a project name is made of ASCII letters, digits, '-', '_' and '.', not of {0:?}")]
    Character(char),
    #[error("a project name starts and ends with a letter or a digit, not with {0:?}")]
    Edge(char),
}

impl ProjectName {
    /// Reads a name in any spelling.
    ///
    /// # Errors
    /// [`NameError`] when the text is no name by PEP 508.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_normalised(text) {
            return Ok(Self(text.into()));
        }
        check(text)?;
        Ok(Self(normalise(text).into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !is_separator(c) {
            return Err(NameError::Character(c));
        }
    }
    for edge in [text.chars().next(), text.chars().next_back()] {
        match edge {
            None => return Err(NameError::Empty),
            Some(edge) if is_separator(edge) => return Err(NameError::Edge(edge)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether it is a name, and spelled as clients send it.
fn is_normalised(text: &str) -> bool {
    let mut before = b'-';
    for byte in text.bytes() {
        let is_own = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !is_own && (byte != b'-' || before == b'-') {
            return false;
        }
        before = byte;
    }
    before != b'-' && text.len() <= NAME_BYTES_MAX
}

fn normalise(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_separator(c) {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name
}

const fn is_separator(c: char) -> bool {
    matches!(c, '-' | '_' | '.')
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for spelling in ["My.Pkg", "my-pkg", "MY__PKG", "my-._pkg", "my_pkg"] {
            assert_eq!(
                ProjectName::parse(spelling).map(|n| n.to_string()),
                Ok("my-pkg".to_owned()),
                "{spelling}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let table = [
            ("", NameError::Empty),
            ("-a", NameError::Edge('-')),
            ("a.", NameError::Edge('.')),
            ("..", NameError::Edge('.')),
            ("a/b", NameError::Character('/')),
            ("a b", NameError::Character(' ')),
            ("a%2Fb", NameError::Character('%')),
            ("é", NameError::Character('é')),
            (&long, NameError::TooLong(NAME_BYTES_MAX + 1)),
        ];
        for (text, reason) in table {
            assert_eq!(ProjectName::parse(text), Err(reason), "{text}");
        }
        assert!(ProjectName::parse(&"a".repeat(NAME_BYTES_MAX)).is_ok());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?") {
            let once = ProjectName::parse(&text)?;
            let twice = ProjectName::parse(once.as_str())?;
            prop_assert_eq!(&once, &twice);
            prop_assert!(!once.as_str().contains("--"));
            prop_assert!(once.as_str().chars().all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_lowercase()));
        }
    }
}
