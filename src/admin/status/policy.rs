//! What a browser may do with a page of larder's: the Content-Security-Policy, and the one style
//! and one script.
//!
//! Both are in the page itself and allowed by the hash of their very text; nothing is fetched from
//! anywhere but here. Must not know what a page shows.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::values::digest::Digest;

pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// The value of the field. If it could not be written, nothing at all would be allowed.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let text = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
        source(STYLE),
        source(SCRIPT)
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub fn content_security_policy() -> HeaderValue {
    POLICY.clone()
}

/// A text as a source expression (CSP 3, `hash-source`).
fn source(text: &str) -> String {
    format!(
        "'sha256-{}'",
        STANDARD.encode(Digest::of(text.as_bytes()).as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_and_script_can_stand_in_a_page_as_they_are() {
        for (text, end) in [(STYLE, "</style"), (SCRIPT, "</script")] {
            assert!(
                !text.to_ascii_lowercase().contains(end)
                    && !text.contains("<!--")
                    && !text.contains('\r')
            );
        }
        let policy = content_security_policy();
        let policy = policy.to_str().unwrap_or_default();
        assert!(
            policy.contains("'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
        // The hash of the empty text, from the standard's own example of how it is written.
        assert_eq!(
            source(""),
            "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
        );
    }
}
