//! Why a request failed, told twice: in full for the log, and for the status page, which any client
//! sees, in words that name no package, no path and no caller.
//!
//! Owns the causes: one word each, of a closed set, which the log line and the status page share
//! (docs/troubleshooting.md). Must not choose a status.

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::access::Credential;
use crate::store::Cause;
use crate::upstream::Peer;
use crate::values::error_chain;

/// Longest words of upstream's that are logged, in characters.
const WORDS_CHARS_MAX: usize = 200;

#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub cause: &'static str,
    /// For the log.
    pub said: String,
    /// For the status page.
    pub shown: String,
}

/// In the extensions of an answer that upstream gave and that goes on as it came: its own words, if
/// it said any.
#[derive(Clone, Debug)]
pub(super) struct UpstreamWords(Option<String>);

/// Whose refusal an answer is, and of what.
pub(super) struct Asked {
    /// None where no packages are asked for.
    upstream: Option<Peer>,
    /// Of a mirror's packages, which larder asks for in no caller's name, whether a parent has the
    /// mirror or it is this larder's own.
    is_mirrors: bool,
    is_upload: bool,
    /// No credential came with the request.
    is_anonymous: bool,
}

impl Asked {
    /// `of` says who was asked, and whether for a mirror's packages.
    pub(super) fn of(parts: &Parts, of: Option<(Peer, bool)>) -> Self {
        let shown = Credential::read(&parts.headers);
        let is_mirrors = matches!(of, Some((_, true)));
        Self {
            upstream: of.map(|(peer, _)| peer),
            is_mirrors,
            is_upload: parts.method == Method::POST,
            is_anonymous: shown.is_ok_and(|shown| shown.is_anonymous()),
        }
    }
}

impl UpstreamWords {
    /// Of a body of GitLab's: `{"message": …}` or `{"error": …, "error_description": …}`.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Self(None);
        };
        let keys = ["message", "error_description", "error"];
        let value = keys.into_iter().find_map(|key| members.get(key));
        Self(value.map(|value| {
            let words = match value {
                Value::String(words) => words.clone(),
                other => other.to_string(),
            };
            words.chars().take(WORDS_CHARS_MAX).collect()
        }))
    }
}

impl Failure {
    /// Of an answer that upstream gave; none if it is no refusal.
    pub(super) fn of_answer(
        words: UpstreamWords,
        status: StatusCode,
        asked: &Asked,
    ) -> Option<Self> {
        let UpstreamWords(words) = words;
        let upstream = asked.upstream.as_ref()?;
        let (cause, why) = meaning(status, asked)?;
        let shown = format!("{upstream} answered {}{why}", status.as_u16());
        Some(Self {
            cause,
            said: match words {
                Some(words) => format!("{shown} ({words})"),
                None => shown.clone(),
            },
            shown,
        })
    }

    /// Of an answer that broke off in its middle.
    pub(super) fn of_break(why: &(dyn std::error::Error + 'static)) -> Self {
        let words = match error_chain::find::<Cause>(why) {
            Some(cause) => format!(": {cause}"),
            None => String::new(),
        };
        Self {
            cause: "cut",
            said: format!("the answer was cut: {}", error_chain::in_full(why)),
            shown: format!("the answer was cut{words}"),
        }
    }

    pub(super) fn client_left() -> Self {
        let said = "client disconnected".to_owned();
        Self {
            cause: "client_disconnected",
            shown: said.clone(),
            said,
        }
    }
}

/// What a status of upstream's means: the cause, and how a sentence goes on.
fn meaning(status: StatusCode, asked: &Asked) -> Option<(&'static str, &'static str)> {
    Some(match status.as_u16() {
        401 if asked.is_mirrors => ("unauthorized", ": it wants another credential of larder's"),
        403 if asked.is_mirrors => ("forbidden", ": it does not give this to larder"),
        404 | 410 if asked.is_mirrors => ("not_found", ": it has no such package or file"),
        429 if asked.is_mirrors => ("throttled", ": larder has asked too often"),
        401 if asked.is_anonymous => (
            "no_credential",
            ": no credential came with the request, and it wants one",
        ),
        401 => (
            "unauthorized",
            ": the token that came is unknown, expired or revoked",
        ),
        403 if asked.is_upload => ("forbidden", ": the caller's token may not upload there"),
        403 => ("forbidden", ": the caller's token may not read this"),
        404 if asked.is_anonymous => (
            "not_found",
            ": no such project or package, or none that is shown without a credential",
        ),
        404 => (
            "not_found",
            ": no such project or package, or none that this caller may see",
        ),
        429 => ("throttled", ": the caller has asked too often"),
        400..500 => ("refused", ""),
        500.. => ("upstream_status", ""),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Scope;

    fn asked(is_anonymous: bool) -> Asked {
        Asked {
            upstream: Some(Peer::GitLab),
            is_mirrors: false,
            is_upload: false,
            is_anonymous,
        }
    }

    #[test]
    fn a_mirrors_refusal_is_of_no_callers_token_whoever_has_the_mirror() {
        for upstream in [
            Peer::Mirror(Scope::mirror("pypi").unwrap()),
            Peer::Parent("http://a".into()),
        ] {
            for status in [401, 403, 404, 410, 429] {
                let of_mirror = Asked {
                    upstream: Some(upstream.clone()),
                    is_mirrors: true,
                    ..asked(false)
                };
                let shown = of_answer(status, b"", &of_mirror).unwrap().shown;
                assert!(
                    !shown.contains("caller") && !shown.contains("token"),
                    "{shown}"
                );
            }
        }
    }

    fn of_answer(status: u16, body: &[u8], asked: &Asked) -> Option<Failure> {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::of_answer(UpstreamWords::read(body), status, asked)
    }

    #[test]
    fn upstreams_own_words_are_for_the_log_alone() {
        let asked = asked(false);
        let body = br#"{"message":"404 Kestrel Not Found"}"#;
        let failure = of_answer(404, body, &asked).unwrap();
        assert_eq!(failure.cause, "not_found");
        assert!(
            failure.said.ends_with(" (404 Kestrel Not Found)"),
            "{}",
            failure.said
        );
        assert!(!failure.shown.contains("Kestrel"), "{}", failure.shown);
        assert_eq!(of_answer(302, b"", &asked), None);
        let expired = br#"{"error":"invalid_token","error_description":"Token is expired."}"#;
        let failure = of_answer(401, expired, &asked).unwrap();
        assert!(
            failure.said.ends_with(" (Token is expired.)"),
            "{}",
            failure.said
        );
    }

    #[test]
    fn a_refusal_without_a_credential_says_so() {
        let cause = |anonymous| of_answer(401, b"", &asked(anonymous)).map(|failure| failure.cause);
        assert_eq!(cause(true), Some("no_credential"));
        assert_eq!(cause(false), Some("unauthorized"));
    }
}
