//! Where clients reach this larder, as the lines to copy say it.
//!
//! What the operator configured (`public_url`), else what the reader's own browser called, if it is
//! a plain host and port, else the address that is listened on. A `Host` field is what any client may
//! send, so that only the one who sent it is ever shown it: the page is never stored. Must not know
//! HTTP beyond that one field.

/// Longest host and port that is repeated, in bytes: a DNS name of 253 and a port.
const AUTHORITY_BYTES_MAX: usize = 260;

/// A base such as `https://larder.example:8443/prefix`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(String);

impl Origin {
    /// `secure`: the reader came over TLS.
    pub(super) fn find(
        public_url: &str,
        host: Option<&str>,
        secure: bool,
        listen: Option<&str>,
    ) -> Self {
        let scheme = if secure { "https" } else { "http" };
        if !public_url.is_empty() {
            return Self(public_url.trim_end_matches('/').to_owned());
        }
        let listen = listen.filter(|listen| is_authority(listen) && !is_everywhere(listen));
        let authority = host
            .filter(|host| is_authority(host))
            .or(listen)
            .unwrap_or("127.0.0.1:3141");
        Self(format!("{scheme}://{authority}"))
    }

    /// This base and a path below it.
    pub(super) fn with(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The same with a user and a password, as some tools want it; both are placeholders or shell
    /// variables.
    pub(super) fn with_login(&self, login: &str, path: &str) -> String {
        match self.0.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{login}@{rest}{path}"),
            None => self.with(path),
        }
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        let rest = self
            .0
            .split_once("://")
            .map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// The host alone, as a netrc file names it.
    pub(super) fn host(&self) -> &str {
        let authority = self.authority();
        if let Some(end) = authority.strip_prefix('[').and_then(|rest| rest.find(']')) {
            return authority.get(1..=end).unwrap_or(authority);
        }
        authority.split(':').next().unwrap_or(authority)
    }

    /// Whether it is this machine, for its own users.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host == "::1" || host.starts_with("127.")
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

/// Whether text is a host and perhaps a port, of letters that mean nothing to HTML, URLs or a
/// shell.
fn is_authority(text: &str) -> bool {
    if text.is_empty() || text.len() > AUTHORITY_BYTES_MAX {
        return false;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port))
                if host
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) =>
            {
                (host, port)
            }
            _ => return false,
        },
        None => {
            let (host, port) = text
                .find(':')
                .map_or((text, ""), |colon| text.split_at(colon));
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            if !host.bytes().all(known) || host.starts_with(['-', '.']) {
                return false;
            }
            (host, port)
        }
    };
    let port_is_sound = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
    !host.is_empty() && port_is_sound
}

/// Whether it stands for every address of the machine, which no client can call.
fn is_everywhere(listen: &str) -> bool {
    listen.starts_with("0.0.0.0:") || listen.starts_with("[::]:")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(public_url: &str, host: Option<&str>, listen: &str) -> String {
        Origin::find(public_url, host, false, Some(listen)).with("/x")
    }

    #[test]
    fn the_operators_word_counts_before_the_readers_and_that_before_the_socket() {
        assert_eq!(
            found("https://p.example/pypi/", Some("h.example"), "127.0.0.1:1"),
            "https://p.example/pypi/x"
        );
        assert_eq!(
            found("", Some("h.example:8080"), "127.0.0.1:1"),
            "http://h.example:8080/x"
        );
        assert_eq!(found("", None, "127.0.0.1:1"), "http://127.0.0.1:1/x");
        assert_eq!(found("", None, "0.0.0.0:1"), "http://127.0.0.1:3141/x");
        let secure = Origin::find("", Some("[::1]:443"), true, None);
        assert_eq!(
            (secure.with(""), secure.host(), secure.is_loopback()),
            ("https://[::1]:443".to_owned(), "::1", true)
        );
        assert_eq!(secure.with_login("a:b", "/x"), "https://a:b@[::1]:443/x");
    }

    #[test]
    fn a_host_that_is_more_than_a_host_is_not_repeated() {
        for host in [
            "evil.example/path",
            "user@evil.example",
            "a\"b",
            "a<b",
            "a'b",
            "a b",
            "",
            ":80",
            "a:99999",
            "a:b",
            "a:1:2",
            "[::1",
            "[x]",
            "-a",
            "a$(id)",
            "a`b`",
            "a;b",
            "a\\b",
            "é.example",
        ] {
            assert_eq!(
                found("", Some(host), "127.0.0.1:1"),
                "http://127.0.0.1:1/x",
                "{host}"
            );
        }
        assert_eq!(
            found("", Some(&"a".repeat(300)), "127.0.0.1:1"),
            "http://127.0.0.1:1/x"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_address_is_harmless(host in "\\PC{0,40}") {
            let origin = Origin::find("", Some(&host), false, None).with("");
            let rest = origin.strip_prefix("http://").unwrap_or_default();
            let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
            prop_assert!(!rest.is_empty() && rest.chars().all(harmless), "{}", origin);
        }
    }
}
