//! Which project names are never a mirror's business.
//!
//! Owns the globs of `private_packages`: `*` for any run of characters, `?` for one, over names as
//! PEP 503 normalises them; a glob is normalised like a name, so that `Acme.*` and `acme_*` say the
//! same. Must not know who asks.

use crate::simple::ProjectName;

/// The names that are never asked at, nor accepted from, a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateNames(Vec<Box<[u8]>>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateNamesError {
    #[error("an empty glob is no name")]
    Empty,
    #[error("\"{0}\": a glob is made of letters, digits, '-', '_', '.', '*' and '?'")]
    Character(String),
}

impl PrivateNames {
    /// # Errors
    /// The first glob that could not be part of any name.
    pub fn parse(globs: &[String]) -> Result<Self, PrivateNamesError> {
        let mut normal = Vec::new();
        for glob in globs {
            normal.push(normalise(glob)?);
        }
        Ok(Self(normal))
    }

    pub fn hold(&self, name: &ProjectName) -> bool {
        self.0
            .iter()
            .any(|glob| matches(glob, name.as_str().as_bytes()))
    }
}

fn normalise(glob: &str) -> Result<Box<[u8]>, PrivateNamesError> {
    let mut normal = Vec::with_capacity(glob.len());
    for byte in glob.trim().bytes() {
        match byte {
            b'-' | b'_' | b'.' if normal.last() == Some(&b'-') => {}
            b'-' | b'_' | b'.' => normal.push(b'-'),
            b'*' if normal.last() == Some(&b'*') => {}
            b'*' | b'?' => normal.push(byte),
            _ if byte.is_ascii_alphanumeric() => normal.push(byte.to_ascii_lowercase()),
            _ => return Err(PrivateNamesError::Character(glob.to_owned())),
        }
    }
    if normal.is_empty() {
        Err(PrivateNamesError::Empty)
    } else {
        Ok(normal.into())
    }
}

/// Walks both texts once, and on a mismatch lets the last `*` take one byte more.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let mut at = 0;
    let mut in_name = 0;
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match (glob.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, in_name));
                at += 1;
            }
            (Some(&byte), _) if byte == b'?' || byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            (_, Some((after, taken))) => {
                star = Some((after, taken + 1));
                at = after;
                in_name = taken + 1;
            }
            (_, None) => return false,
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hold(glob: &str, name: &str) -> Option<bool> {
        let names = PrivateNames::parse(&[glob.to_owned()]).ok()?;
        Some(names.hold(&ProjectName::parse(name).ok()?))
    }

    #[test]
    fn globs_and_names_are_compared_as_normalised() {
        for (glob, name) in [
            ("acme-*", "acme-tools"),
            ("Acme.*", "ACME_tools"),
            ("acme_-*", "acme-tools"),
            ("acme", "Acme"),
            ("acme-?", "acme-1"),
            ("*-internal", "a-b-internal"),
            ("*", "anything"),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert_eq!(hold(glob, name), Some(true), "{glob} {name}");
        }
        for (glob, name) in [
            ("acme-*", "acme"),
            ("acme-*", "my-acme-x"),
            ("acme-?", "acme-10"),
            ("a*b", "a-b-c"),
            ("acme", "acme2"),
        ] {
            assert_eq!(hold(glob, name), Some(false), "{glob} {name}");
        }
    }

    #[test]
    fn a_glob_that_could_match_nothing_is_refused() {
        assert_eq!(
            PrivateNames::parse(&[" ".to_owned()]),
            Err(PrivateNamesError::Empty)
        );
        for glob in ["acme/x", "acm\u{e9}", "[ab]c", "{a,b}"] {
            assert_eq!(
                PrivateNames::parse(&[glob.to_owned()]),
                Err(PrivateNamesError::Character(glob.to_owned()))
            );
        }
    }

    /// The definition, by recursion.
    fn plainly(glob: &[u8], name: &[u8]) -> bool {
        match (glob, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            ([b'?', rest @ ..], [_, name @ ..]) => plainly(rest, name),
            ([byte, rest @ ..], [first, name @ ..]) => byte == first && plainly(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(glob in "[ab*?-]{0,8}", name in "[ab-]{0,10}") {
            prop_assert_eq!(matches(glob.as_bytes(), name.as_bytes()), plainly(glob.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn a_name_without_wildcards_holds_itself_in_any_spelling(name in "[A-Za-z0-9]([A-Za-z0-9._-]{0,12}[A-Za-z0-9])?") {
            prop_assert_eq!(hold(&name, &name), Some(true));
        }
    }
}
