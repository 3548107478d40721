//! What a status from GitLab says about the caller who asked.
//!
//! Pure. The table of answers is GitLab's (401: show credentials; 403: known to you, not allowed;
//! 404: unknown, or you may not know). Must not know routes or bodies.

use http::StatusCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthVerdict {
    /// The caller was let in.
    Admitted,
    /// The caller was turned away; what was known in its favour no longer holds.
    TurnedAway,
    /// Not there, for this caller. Says nothing about other rights.
    NotThere,
    /// GitLab did not say: throttled, broken, or moved.
    NoWord,
}

/// Reads a status. `moved_to_store` tells a file's redirect into the object store from any other.
pub fn verdict(status: StatusCode, moved_to_store: bool) -> AuthVerdict {
    match status.as_u16() {
        200 | 206 | 304 | 416 => AuthVerdict::Admitted,
        302 | 303 | 307 if moved_to_store => AuthVerdict::Admitted,
        401 | 403 => AuthVerdict::TurnedAway,
        404 | 410 | 451 => AuthVerdict::NotThere,
        _ => AuthVerdict::NoWord,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_lets_in_admits() {
        for code in 100..600 {
            let Ok(status) = StatusCode::from_u16(code) else {
                continue;
            };
            let admitted = verdict(status, false) == AuthVerdict::Admitted;
            assert_eq!(admitted, matches!(code, 200 | 206 | 304 | 416), "{code}");
        }
        assert_eq!(verdict(StatusCode::FOUND, true), AuthVerdict::Admitted);
        assert_eq!(verdict(StatusCode::FOUND, false), AuthVerdict::NoWord);
    }
}
