//! Which callers may have GitLab's packages offline: the files that `[auth]` names.
//!
//! Pure: their text becomes users and tokens, or a sentence about the line that is wrong. Must not
//! know callers, or how a password is verified.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::values::secret::Secret;

/// `auth.offline`: what becomes of GitLab's packages when GitLab cannot be asked who may have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfflineRule {
    /// Only a caller that shows a user or a token of the files gets them; without files, none.
    #[default]
    Deny,
    /// Every client that can connect gets them.
    Open,
}

/// What opens GitLab's packages offline.
#[derive(Debug, Default)]
pub struct OfflineKeys {
    pub(super) open: bool,
    /// Whether either file was named, empty or not.
    pub(super) named: bool,
    /// bcrypt hashes by user.
    pub(super) users: HashMap<String, String>,
    pub(super) tokens: Vec<Secret>,
}

/// What is wrong with a file, without a word of what may be secret in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfflineKeysError {
    #[error("line {0} is not USER:HASH")]
    NotALine(usize),
    #[error(
        "line {0} is not a bcrypt hash, the only kind that is known here: make it with `htpasswd -B`"
    )]
    NotBcrypt(usize),
    #[error("line {0} has a user that an earlier line has")]
    Twice(usize),
    #[error("line {0} is not a token: printable characters without a space")]
    NotAToken(usize),
    #[error("is not text")]
    NotText,
}

impl OfflineKeys {
    /// What the rule alone says, without any file.
    pub fn new(rule: OfflineRule) -> Self {
        Self {
            open: rule == OfflineRule::Open,
            ..Self::default()
        }
    }

    /// Adds the users of an htpasswd file: `USER:HASH` a line, bcrypt alone; empty lines and `#`
    /// comments are skipped.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn with_users(mut self, text: &[u8]) -> Result<Self, OfflineKeysError> {
        self.named = true;
        for (number, line) in lines(text)? {
            let (user, hash) = line
                .split_once(':')
                .ok_or(OfflineKeysError::NotALine(number))?;
            let known = ["$2a$", "$2b$", "$2y$"]
                .iter()
                .any(|scheme| hash.starts_with(scheme));
            if !known || hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(OfflineKeysError::NotBcrypt(number));
            }
            if user.is_empty() {
                return Err(OfflineKeysError::NotALine(number));
            }
            if self
                .users
                .insert(user.to_owned(), hash.to_owned())
                .is_some()
            {
                return Err(OfflineKeysError::Twice(number));
            }
        }
        Ok(self)
    }

    /// Adds tokens, one a line; empty lines and `#` comments are skipped.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn with_tokens(mut self, text: &[u8]) -> Result<Self, OfflineKeysError> {
        self.named = true;
        for (number, line) in lines(text)? {
            if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(OfflineKeysError::NotAToken(number));
            }
            self.tokens.push(Secret::new(line));
        }
        Ok(self)
    }
}

/// The lines that say something, by their numbers.
fn lines(text: &[u8]) -> Result<impl Iterator<Item = (usize, &str)>, OfflineKeysError> {
    let text = std::str::from_utf8(text).map_err(|_| OfflineKeysError::NotText)?;
    let lines = text
        .lines()
        .map(str::trim)
        .enumerate()
        .map(|(at, line)| (at + 1, line));
    Ok(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuOr/PbWLwRyNrpm0rM7DCmBoGEfyPVYi";

    fn users(text: &str) -> Result<usize, OfflineKeysError> {
        OfflineKeys::default()
            .with_users(text.as_bytes())
            .map(|keys| keys.users.len())
    }

    #[test]
    fn a_file_of_users_is_read_or_its_line_is_named() {
        assert_eq!(users(&format!("# CI\n\nann:{HASH}\n bob:{HASH} \n")), Ok(2));
        assert_eq!(users(""), Ok(0));
        assert_eq!(
            users(&format!("ann:{HASH}\nann:{HASH}")),
            Err(OfflineKeysError::Twice(2))
        );
        assert_eq!(users("\nann"), Err(OfflineKeysError::NotALine(2)));
        assert_eq!(
            users(&format!(":{HASH}")),
            Err(OfflineKeysError::NotALine(1))
        );
        for other in [
            "$apr1$x$y",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "rqXexS6ZhobKA",
            "$2y$04$short",
            "$1$x$y",
            "",
        ] {
            assert_eq!(
                users(&format!("ann:{other}")),
                Err(OfflineKeysError::NotBcrypt(1)),
                "{other}"
            );
        }
        assert!(
            OfflineKeysError::NotBcrypt(1)
                .to_string()
                .contains("htpasswd -B")
        );
    }

    #[test]
    fn a_file_of_tokens_is_read_or_its_line_is_named() {
        let tokens = |text: &[u8]| {
            OfflineKeys::default()
                .with_tokens(text)
                .map(|keys| keys.tokens.len())
        };
        assert_eq!(tokens(b"# agents\n\nglpat-1\r\nglpat-2"), Ok(2));
        assert_eq!(
            tokens(b"glpat-1\ntwo words"),
            Err(OfflineKeysError::NotAToken(2))
        );
        assert_eq!(tokens(b"\xff"), Err(OfflineKeysError::NotText));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let told = [OfflineKeys::default().with_users(&text).err(), OfflineKeys::default().with_tokens(&text).err()];
            // A sentence about a file repeats nothing of it.
            let secret = String::from_utf8_lossy(&text).split_whitespace().find(|word| word.len() > 12).map(str::to_owned);
            for why in told.into_iter().flatten() {
                prop_assert!(secret.as_ref().is_none_or(|secret| !why.to_string().contains(secret)));
            }
        }
    }
}
