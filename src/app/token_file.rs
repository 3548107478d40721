//! Tokens, which live in files of their own, and the credentials of commands.
//!
//! Must not know who they are shown to.

use std::path::Path;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::error::StartError;
use crate::access::Credential;
use crate::values::secret_file::SecretFile;

/// The token in a section's `token_file`, if it has one.
pub fn token(section: &str, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StartError> {
    if path.is_empty() {
        return Ok(None);
    }
    read_token(&format!("{section}.token_file"), Path::new(path)).map(Some)
}

/// The token in a file; `key` is where the file was named.
pub fn read_token(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, StartError> {
    let shown = path.display();
    let file = SecretFile::read(path)
        .map_err(|why| StartError::Setting(format!("{key}: {shown}: {why}")))?;
    let token = file.text.trim_ascii();
    if token.is_empty() || HeaderValue::from_bytes(token).is_err() {
        let fault = format!("{key}: {shown}: is not a token");
        return Err(StartError::Setting(fault));
    }
    Ok(Zeroizing::new(token.to_vec()))
}

/// The credential with which a command asks the daemon.
///
/// # Errors
/// What is wrong with the token's file.
pub fn command_credential(
    user: Option<&str>,
    token_file: Option<&Path>,
) -> Result<Credential, StartError> {
    let Some(path) = token_file else {
        return Ok(Credential::anonymous());
    };
    let token = read_token("--token-file", path)?;
    Ok(match user {
        Some(user) => Credential::basic(user, &token),
        None => Credential::service(&token),
    })
}
