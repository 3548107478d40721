//! Tokens, which live in files of their own.
//!
//! Must not know whose they are.

use std::path::Path;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::error::StartError;
use crate::values::secret_file::SecretFile;

/// The token in a section's `token_file`, if it has one.
pub(super) fn token(section: &str, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StartError> {
    if path.is_empty() {
        return Ok(None);
    }
    read_token(&format!("{section}.token_file"), Path::new(path)).map(Some)
}

/// The token in a file; `key` is where the file was named.
pub(super) fn read_token(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, StartError> {
    let fault = |why: &str| StartError::Setting(format!("{key}: {}: {why}", path.display()));
    let text = SecretFile::read(path)
        .map_err(|why| fault(&why.to_string()))?
        .text;
    let token = text.trim_ascii();
    if token.is_empty() || HeaderValue::from_bytes(token).is_err() {
        return Err(fault("is not a token"));
    }
    Ok(Zeroizing::new(token.to_vec()))
}
