//! The address of a file on a mirror: the mirror, and the path below it in the mirror's own
//! spelling.
//!
//! Owns what such a path may contain. It is kept as it was written, escapes and all, because it
//! goes upstream by a swap of prefixes and nothing else. A query that a page has behind it is told
//! to upstream alone: it may be a signature, so it is no part of the address, and two paths that
//! differ in it are the same. Must not know where the mirror is, or what the file's digest is: only
//! a page tells.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::raw_path::check;
use super::scope::spelled;
use super::{Filename, Scope};
use crate::simple::is_wheel;
use crate::values::secret::Secret;

const METADATA: &str = ".metadata";

/// What may stand in a path beside letters and digits: RFC 3986 pchar without what `check` refuses
/// anywhere, and what the URL standard leaves bare in a path.
const MARKS: &[u8] = b"-._~%!$&'()*+,=:@/[]|^";

/// What stays bare in the canonical spelling: RFC 3986 pchar and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// A path below a mirror that ends in a file's name.
#[derive(Clone, Debug)]
pub struct MirrorPath {
    scope: Scope,
    /// Without a slash at either end.
    rest: Arc<str>,
    filename: Filename,
    /// What upstream is told behind the path.
    query: Option<Arc<Secret>>,
}

impl PartialEq for MirrorPath {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope && self.rest == other.rest
    }
}

impl Eq for MirrorPath {}

impl Hash for MirrorPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scope.hash(state);
        self.rest.hash(state);
    }
}

impl MirrorPath {
    /// Reads what follows the mirror's name and a slash. `simple/NAME` is a page, never a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(scope: Scope, rest: &str) -> Result<Self, &'static str> {
        let mut segments = rest.split('/');
        let is_below_simple = segments.next() == Some("simple");
        if !scope.is_mirror() || (is_below_simple && segments.count() < 2) {
            return Err("the address of a page");
        }
        let filename = Filename::parse(rest.rsplit('/').next().unwrap_or_default())?;
        if rest.contains("%2F") || rest.contains("%2f") {
            return Err("an escaped slash, which would make two paths of one");
        }
        if !rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || MARKS.contains(&b))
        {
            return Err("character that has no place in a path");
        }
        let path = Self {
            scope,
            rest: rest.into(),
            filename,
            query: None,
        };
        let whole = path.path();
        if whole.contains("//") {
            return Err("empty path segment");
        }
        check(&whole)?;
        Ok(path)
    }

    /// The same path, with what upstream is told behind it.
    pub fn asked_with(self, query: Option<Arc<Secret>>) -> Self {
        Self { query, ..self }
    }

    pub fn query(&self) -> Option<&Arc<Secret>> {
        self.query.as_ref()
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn filename(&self) -> &Filename {
        &self.filename
    }

    /// The path below the mirror, as it was written.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The same path in the one spelling that all its spellings have in common: clients escape and
    /// unescape what they are given (RFC 3986 §6.2.2), while upstream is asked in its own.
    pub fn canonical(&self) -> Self {
        let decoded: Vec<u8> = percent_decode_str(&self.rest).collect();
        let rest = percent_encode(&decoded, PATH).to_string();
        Self {
            rest: rest.into(),
            ..self.clone()
        }
    }

    /// Another spelling of this path.
    pub fn spelled(&self, rest: &str) -> Option<Self> {
        let other = Self::parse(self.scope.clone(), rest).ok()?;
        if other.canonical() == self.canonical() {
            Some(other)
        } else {
            None
        }
    }

    /// The wheel whose PEP 658 metadata this is, if it is a wheel's.
    pub fn metadata_of(&self) -> Option<Self> {
        let wheel = self.rest.strip_suffix(METADATA)?;
        if !is_wheel(wheel) {
            return None;
        }
        Self::parse(self.scope.clone(), wheel).ok()
    }

    /// Where the PEP 658 metadata of this file is, if it has any. The ending belongs to the path,
    /// wherever a query follows.
    pub fn metadata(&self) -> Option<Self> {
        let rest = format!("{}{METADATA}", self.rest);
        let path = Self::parse(self.scope.clone(), &rest).ok()?;
        Some(path.asked_with(self.query.clone()))
    }

    /// With the mirror's name, as it was written.
    pub fn path(&self) -> String {
        spelled(|path| self.push_path(path))
    }

    pub(super) fn push_path(&self, text: &mut String) {
        self.scope.push_path(text);
        text.push('/');
        text.push_str(&self.rest);
    }
}

impl fmt::Display for MirrorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{FileRef, Route};
    use crate::values::digest::{Digest, Hasher};

    fn parse(rest: &str) -> Option<MirrorPath> {
        MirrorPath::parse(Scope::mirror("pypi")?, rest).ok()
    }

    #[test]
    fn a_wheels_metadata_knows_its_wheel() {
        let wheel = parse("packages/aa/a-1-py3-none-any.whl");
        let metadata = parse("packages/aa/a-1-py3-none-any.whl.metadata");
        assert!(wheel.is_some());
        assert_eq!(metadata.as_ref().and_then(MirrorPath::metadata_of), wheel);
        assert_eq!(wheel.as_ref().and_then(MirrorPath::metadata), metadata);
        assert_eq!(wheel.as_ref().and_then(MirrorPath::metadata_of), None);
        assert_eq!(
            parse("a-1.tar.gz.metadata").and_then(|path| path.metadata_of()),
            None
        );
    }

    #[test]
    fn all_spellings_of_a_path_have_one_in_common() {
        let plain = parse("~b.example~81/R&D/torch-1.0+cu118.whl").map(|path| path.canonical());
        for rest in [
            "~b.example~81/R&D/torch-1.0+cu118.whl",
            "%7Eb.example%7e81/R%26D/torch-1.0%2Bcu118.whl",
            "~b.example~81/R&D/torch%2d1.0%2bcu118%5F.whl",
        ] {
            let canonical = parse(rest).map(|path| path.canonical());
            assert_eq!(canonical == plain, !rest.ends_with("%5F.whl"), "{rest}");
            assert_eq!(
                canonical.as_ref().map(MirrorPath::canonical),
                canonical,
                "{rest}"
            );
        }
        let file = parse("a/torch-1.0+cu118.whl");
        let spelled = |rest| {
            file.as_ref()
                .and_then(|file| file.spelled(rest))
                .map(|path| path.to_string())
        };
        assert_eq!(
            spelled("a/torch-1.0%2Bcu118.whl").as_deref(),
            Some("/pypi/a/torch-1.0%2Bcu118.whl")
        );
        assert_eq!(spelled("b/torch-1.0%2Bcu118.whl"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_path() {
        for rest in [
            "",
            "/",
            "simple/a-1.whl",
            "a/../b-1.whl",
            "a//b-1.whl",
            "/a-1.whl",
            "a%2Fb-1.whl",
            "a%2fb.whl",
        ] {
            assert_eq!(parse(rest), None, "{rest}");
        }
        for rest in [
            "a/%2e%2e/b-1.whl",
            "a/b-1.whl?x",
            "a/b-1.whl#x",
            "a;x/b-1.whl",
            "a/b-1.whl/",
            "a/b",
            "a/é.whl",
        ] {
            assert_eq!(parse(rest), None, "{rest}");
        }
    }

    #[test]
    fn a_query_is_no_part_of_the_address() {
        let plain = parse("a/b-1-py3-none-any.whl");
        let query = Arc::new(Secret::new("sig=s3cret"));
        let asked = plain.clone().map(|path| path.asked_with(Some(query)));
        assert_eq!(asked, plain);
        let metadata = asked.as_ref().and_then(MirrorPath::metadata);
        for path in [
            &asked,
            &metadata,
            &asked.as_ref().map(MirrorPath::canonical),
        ] {
            let told = path
                .as_ref()
                .and_then(|path| path.query())
                .map(|query| query.expose().to_vec());
            assert_eq!(told.as_deref(), Some(&b"sig=s3cret"[..]));
            assert!(!format!("{path:?}").contains("s3cret"));
            assert!(
                path.as_ref()
                    .is_some_and(|path| !path.to_string().contains('?'))
            );
        }
    }

    #[test]
    fn a_file_on_a_mirror_is_its_path_and_its_digest() -> Result<(), &'static str> {
        let path = parse("packages/aa/torch-1.0%2Bcu118.whl").ok_or("no path")?;
        let digest: Digest = Hasher::new().finish();
        let file = FileRef::mirrored(&path, digest);
        assert_eq!(file.filename.as_str(), "torch-1.0+cu118.whl");
        assert_eq!(file.mirror_path(), Some(&path));
        assert_eq!(
            Route::File(file.clone()).path(),
            "/pypi/packages/aa/torch-1.0%2Bcu118.whl"
        );
        let mut hasher = Hasher::new();
        hasher.update(b"other");
        assert_ne!(file, FileRef::mirrored(&path, hasher.finish()));
        Ok(())
    }
}
