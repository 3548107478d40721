//! Basic credentials (RFC 7617).

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Reads what GitLab reads: padding may be missing, and the last bits may be set.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The value of `Authorization` or `Proxy-Authorization`.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", pack(user, password))
}

/// The same without its scheme.
pub fn pack(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// What stands behind the scheme, in plain; `None` for anything but base64.
pub fn unpack(packed: &str) -> Option<Vec<u8>> {
    LENIENT.decode(packed).ok()
}
