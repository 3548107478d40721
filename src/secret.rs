//! Text that must not be printed: tokens and whatever carries them.
//!
//! Owns the type that cannot be shown by accident and wipes itself. Must not know what the secret opens.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that `Debug` does not show and that are wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Each caller of this is a place where a secret can leave: keep them few.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
