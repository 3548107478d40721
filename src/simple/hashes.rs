//! The hashes that a page gives of a file, by algorithm.
//!
//! Owns their spellings: `#sha256=…` in a fragment (PEP 503), `sha256=…` in an attribute (PEP 658),
//! a table in JSON (PEP 691). Must not know which file they are of. A value that is no hexadecimal
//! number is no hash: uv refuses a whole page for one.

use crate::values::digest::Digest;

/// Algorithms that a fragment may name, the first choice first: those of Python's `hashlib`. Any
/// other `name=value` there may be something else (`egg=…`, `subdirectory=…`).
const ALGORITHMS: [&str; 13] = [
    "sha256", "sha512", "sha384", "sha224", "blake2b", "blake2s", "blake3", "sha3_512", "sha3_384",
    "sha3_256", "sha3_224", "sha1", "md5",
];

const SHA256: &str = "sha256";

/// Algorithm and hexadecimal value, in the page's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes(Vec<(String, String)>);

impl Hashes {
    /// From a fragment without its `#`.
    pub fn of_fragment(fragment: &str) -> Self {
        // Space around an address is none of it (HTML, "strip leading and trailing ASCII
        // whitespace").
        for part in fragment.trim_ascii().split('&') {
            if let Some((name, value)) = part.split_once('=')
                && ALGORITHMS.contains(&name)
                && is_hex(value)
            {
                return Self::one(name, value);
            }
        }
        Self::default()
    }

    /// From an attribute's value, `name=value`.
    pub fn of_attribute(value: &str) -> Self {
        match value.split_once('=') {
            Some((name, value)) if is_hex(value) => Self::one(name, value),
            _ => Self::default(),
        }
    }

    fn one(name: &str, value: &str) -> Self {
        Self(vec![(name.to_owned(), value.to_owned())])
    }

    /// From a table.
    pub fn of_table(table: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut hashes: Vec<_> = table.into_iter().collect();
        hashes.retain(|(_, value)| is_hex(value));
        Self(hashes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The one to give where there is room for one: sha256, which every client checks, else the
    /// strongest.
    pub fn best(&self) -> Option<(&str, &str)> {
        let mut known = ALGORITHMS.iter();
        match known.find_map(|algorithm| self.find(algorithm)) {
            Some(value) => Some(value),
            None => self.iter().next(),
        }
    }

    fn find(&self, algorithm: &str) -> Option<(&str, &str)> {
        self.iter().find(|(name, _)| *name == algorithm)
    }

    pub fn sha256(&self) -> Option<Digest> {
        let (_, value) = self.find(SHA256)?;
        Digest::parse(value)
    }
}

fn is_hex(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_read() {
        let table = [
            ("sha256=abCD", Some(("sha256", "abCD"))),
            ("md5=00", Some(("md5", "00"))),
            ("md5=00 \n", Some(("md5", "00"))),
            ("egg=x&sha1=12&subdirectory=ab", Some(("sha1", "12"))),
            ("sha256=", None),
            ("sha256=xyz", None),
            ("egg=ab", None),
            ("sha256", None),
            ("", None),
        ];
        for (fragment, expected) in table {
            assert_eq!(Hashes::of_fragment(fragment).best(), expected, "{fragment}");
        }
    }

    #[test]
    fn sha256_is_preferred() {
        let sha = "ab".repeat(32);
        let table = [("md5", "11"), ("sha256", sha.as_str()), ("sha512", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let hashes = Hashes::of_table(table);
        assert_eq!(hashes.best(), Some(("sha256", sha.as_str())));
        assert_eq!(hashes.sha256(), Digest::parse(&sha));
        assert_eq!(hashes.iter().count(), 2);
        assert_eq!(
            Hashes::of_attribute("sha512=ab").best(),
            Some(("sha512", "ab"))
        );
        assert!(Hashes::of_attribute("true").is_empty());
    }
}
