//! Text that must not be printed: tokens and whatever carries them.
//!
//! Owns the type that cannot be shown by accident and wipes itself. Must not know what the secret
//! opens.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

/// Bytes that `Debug` does not show and that are wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Each caller of this is a place where a secret can leave: keep them
    /// few.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Text from outside, for a message: its URLs without user, password and query.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let (url, tail) = after.split_at(after.find(ends_url).unwrap_or(after.len()));
        out.push_str(before);
        out.push_str("://");
        let shown = url.get(behind_the_user(url)..).unwrap_or_default();
        match shown.split_once('?') {
            Some((path, _)) => out.extend([path, "?…"]),
            None => out.push_str(shown),
        }
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// Where the host begins in what follows `://`. A password may hold a slash that should have been
/// escaped.
fn behind_the_user(url: &str) -> usize {
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some(at) = authority.rfind('@') {
        return at + 1;
    }
    let Some((_, port)) = authority.rsplit_once(':') else {
        return 0;
    };
    if port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    match url.rfind('@') {
        Some(at) => at + 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_a_message_has_neither_user_nor_query() {
        for (text, shown) in [
            (
                "https://user:word@host.example/r.txt is not fetched",
                "https://host.example/r.txt is not fetched",
            ),
            (
                "`git+https://token@h/x` and 'http://a:b@[::1]:80/y'",
                "`git+https://h/x` and 'http://[::1]:80/y'",
            ),
            ("https://user:wo/rd@h/x", "https://h/x"),
            ("https://user:wo#r@d@h/x", "https://h/x"),
            (
                "https://h:8080/a@b?token=word#c d",
                "https://h:8080/a@b?… d",
            ),
            ("x@y.z: no URL?", "x@y.z: no URL?"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
