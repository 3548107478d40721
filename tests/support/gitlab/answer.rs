//! Answers as GitLab words them. Nothing here decides who gets which.

use super::super::http::Answer;
use super::super::wheel::sha256_hex;

/// The challenge of the package registry.
pub const BASIC_CHALLENGE: &str = "Basic realm=\"GitLab Packages Registry\"";

impl Answer {
    /// The headers of every answer that comes out of Rails.
    pub(super) fn by_rails(self) -> Self {
        self.header("X-Content-Type-Options", "nosniff")
            .header("X-Frame-Options", "SAMEORIGIN")
    }

    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status)
            .header("Content-Type", "application/json")
            .header("Cache-Control", "no-cache")
            .by_rails()
            .body(body.to_owned())
    }

    /// `{"message":"..."}`
    pub fn message(status: u16, text: &str) -> Self {
        Self::json(
            status,
            &format!("{{\"message\":{}}}", serde_json::Value::from(text)),
        )
    }

    /// `{"error":"..."}`
    pub fn error(status: u16, text: &str) -> Self {
        Self::json(
            status,
            &format!("{{\"error\":{}}}", serde_json::Value::from(text)),
        )
    }

    pub fn not_found() -> Self {
        Self::message(404, "404 Not Found")
    }

    pub fn package_not_found() -> Self {
        Self::message(404, "404 Package Not Found")
    }

    pub fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    /// 401 as the package registry says it.
    pub fn challenged() -> Self {
        Self::message(401, "401 Unauthorized").header("WWW-Authenticate", BASIC_CHALLENGE)
    }

    /// 401 to a token that came in a header of its own.
    pub fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    pub fn expired_token() -> Self {
        Self::invalid_token(
            "Token is expired. You can either do re-authorization or token refresh.",
        )
    }

    pub fn revoked_token() -> Self {
        Self::invalid_token("Token was revoked. You have to re-authorize from the user.")
    }

    fn invalid_token(description: &str) -> Self {
        let challenge = format!(
            "Bearer realm=\"Protected by OAuth 2.0\", error=\"invalid_token\", error_description=\"{description}\""
        );
        Self::json(
            401,
            &format!("{{\"error\":\"invalid_token\",\"error_description\":\"{description}\"}}"),
        )
        .header("WWW-Authenticate", challenge)
    }

    pub fn insufficient_scope(wanted: &str) -> Self {
        Self::json(
            403,
            &format!(
                "{{\"error\":\"insufficient_scope\",\"error_description\":\"The request requires higher privileges than \
                 provided by the access token.\",\"scope\":\"{wanted}\"}}"
            ),
        )
    }

    /// 429 of the packages throttle.
    pub fn throttled(retry_after_seconds: u64) -> Self {
        Self::new(429)
            .header("Content-Type", "text/plain")
            .header("RateLimit-Limit", "3200")
            .header("RateLimit-Name", "throttle_unauthenticated_packages_api")
            .header("RateLimit-Observed", "801")
            .header("RateLimit-Remaining", "0")
            .header("RateLimit-Reset", "1704164645")
            .header("RateLimit-ResetTime", "Tue, 02 Jan 2024 03:04:05 GMT")
            .header("Retry-After", retry_after_seconds.to_string())
            .body("Retry later")
    }

    pub(super) fn redirect(location: &str, head: bool) -> Self {
        let answer = Self::new(if head { 303 } else { 302 })
            .header("Location", location)
            .header("Content-Type", "text/plain")
            .header("Cache-Control", "no-cache")
            .by_rails();
        if head {
            answer
        } else {
            answer.body(format!(
                "This resource has been moved temporarily to {location}."
            ))
        }
    }

    /// A page with the weak digest `ETag` of Rack; 304 if the caller sent exactly that, and for
    /// HEAD neither `ETag` nor length.
    pub(super) fn page(
        content_type: &str,
        body: String,
        if_none_match: Option<&str>,
        head: bool,
    ) -> Self {
        let etag = format!("W/\"{}\"", &sha256_hex(body.as_bytes())[..32]);
        let caching = "max-age=0, private, must-revalidate";
        if head {
            let mut answer = Self::new(200)
                .header("Content-Type", content_type)
                .header("Cache-Control", caching)
                .by_rails();
            answer.length_unsaid = true;
            answer
        } else if if_none_match == Some(etag.as_str()) {
            Self::new(304)
                .header("Cache-Control", caching)
                .header("ETag", etag)
                .by_rails()
        } else {
            Self::new(200)
                .header("Content-Type", content_type)
                .header("Cache-Control", caching)
                .header("ETag", etag)
                .by_rails()
                .body(body)
        }
    }
}
