//! What a caller sent to prove who it is, carried to GitLab exactly as it came; to its packages API,
//! which takes no Basic, in a field of its own.
//!
//! Owns which header fields are credentials (`Authorization`, Basic or Bearer, `PRIVATE-TOKEN`,
//! `Deploy-Token`) and their passage upstream. Must not know which of them GitLab will take: that
//! is GitLab's to say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::values::secret::Secret;

const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");
const DEPLOY_TOKEN: HeaderName = HeaderName::from_static("deploy-token");
const JOB_TOKEN: HeaderName = HeaderName::from_static("job-token");

/// The user name that goes with a CI job token.
const JOB_TOKEN_USER: &str = "gitlab-ci-token";

/// How the user name of a deploy token begins, unless its maker chose another, and the token itself
/// since GitLab 16.
const DEPLOY_TOKEN_USER: &str = "gitlab+deploy-token";
const DEPLOY_TOKEN_PREFIX: &[u8] = b"gldt-";

/// The header fields that carry credentials, in the order they are fingerprinted.
const FIELDS: [HeaderName; 3] = [AUTHORIZATION, PRIVATE_TOKEN, DEPLOY_TOKEN];

/// Longest credential field accepted, in bytes. Job tokens that are JWTs run to a few thousand.
const FIELD_BYTES_MAX: usize = 16 * 1024;

/// The credential of one request; none at all is a credential too.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    fields: Vec<(HeaderName, Secret)>,
}

/// What a field of a credential shows, whatever its form.
pub(super) struct ShownSecret {
    /// Of a Basic pair.
    pub user: Option<String>,
    pub secret: Zeroizing<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("more than one `{0}` header: which one is meant?")]
    Repeated(HeaderName),
    #[error("the `{0}` header is longer than 16 KiB")]
    TooLong(HeaderName),
}

impl Credential {
    pub fn read(headers: &HeaderMap) -> Result<Self, CredentialError> {
        // Three look-ups for what most requests have one of, or none.
        if !headers.keys().any(|name| FIELDS.contains(name)) {
            return Ok(Self::anonymous());
        }
        let mut fields = Vec::new();
        for name in FIELDS {
            let mut values = headers.get_all(&name).iter();
            let Some(value) = values.next() else { continue };
            if values.next().is_some() {
                return Err(CredentialError::Repeated(name));
            }
            if value.len() > FIELD_BYTES_MAX {
                return Err(CredentialError::TooLong(name));
            }
            fields.push((name, Secret::new(value.as_bytes())));
        }
        Ok(Self { fields })
    }

    /// The operator's own credential, from `gitlab.token_file`.
    pub fn service(token: &[u8]) -> Self {
        Self {
            fields: vec![(PRIVATE_TOKEN, Secret::new(token))],
        }
    }

    /// A mirror's own credential, from its `username` and `token_file`: Basic (RFC 7617), or Bearer
    /// (RFC 6750) for a token that goes without a name.
    pub fn mirror(username: Option<&str>, token: &[u8]) -> Self {
        match username {
            Some(name) => Self::basic(name, token),
            None => Self {
                fields: vec![(AUTHORIZATION, Secret::new([b"Bearer ", token].concat()))],
            },
        }
    }

    /// A token as the password of a user (RFC 7617).
    pub fn basic(user: &str, token: &[u8]) -> Self {
        let pair = Zeroizing::new([user.as_bytes(), b":", token].concat());
        let value = [b"Basic ", Zeroizing::new(STANDARD.encode(&pair)).as_bytes()].concat();
        Self {
            fields: vec![(AUTHORIZATION, Secret::new(value))],
        }
    }

    /// The credential of a caller that shows none.
    pub fn anonymous() -> Self {
        Self::default()
    }

    pub fn is_anonymous(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether GitLab answers 401 if it does not know it. Of others that it does not know (Basic,
    /// `Deploy-Token`) it makes a caller without a credential; of Basic it does so unless it is a
    /// job token.
    pub fn is_refused_if_unknown(&self) -> bool {
        if self.fields.iter().any(|(name, _)| *name == PRIVATE_TOKEN) {
            return true;
        }
        if !self.fields.iter().any(|(name, _)| *name == AUTHORIZATION) {
            return false;
        }
        match self.shown().first() {
            Some(shown) => match shown.user.as_deref() {
                Some(user) => user == JOB_TOKEN_USER,
                None => true,
            },
            None => false,
        }
    }

    /// The same credential in the form in which GitLab's packages API takes it, which knows no
    /// Basic: a job token or an access token in a field of its own. None for a deploy token, which
    /// that API does not take, and for what cannot be read.
    pub fn for_packages_api(&self) -> Option<Self> {
        if self.is_anonymous() {
            return Some(Self::default());
        }
        let named = |wanted: &HeaderName| self.fields.iter().find(|(name, _)| name == wanted);
        if let Some((_, secret)) = named(&PRIVATE_TOKEN) {
            return Self::of_field(PRIVATE_TOKEN, secret.expose());
        }
        let (_, authorization) = named(&AUTHORIZATION)?;
        let shown = self.shown().into_iter().next()?;
        match shown.user.as_deref() {
            None => Self::of_field(AUTHORIZATION, authorization.expose()),
            Some(JOB_TOKEN_USER) => Self::of_field(JOB_TOKEN, &shown.secret),
            Some(user) if user.starts_with(DEPLOY_TOKEN_USER) => None,
            Some(_) => Self::of_field(PRIVATE_TOKEN, &shown.secret),
        }
    }

    /// Whether it is a job token in a field of its own.
    pub fn is_job_token(&self) -> bool {
        self.fields.iter().any(|(name, _)| *name == JOB_TOKEN)
    }

    /// A field with a token, unless it is a deploy token, or no field's value.
    fn of_field(name: HeaderName, token: &[u8]) -> Option<Self> {
        let is_value = HeaderValue::from_bytes(token).is_ok() && !token.is_empty();
        if !is_value || token.starts_with(DEPLOY_TOKEN_PREFIX) {
            return None;
        }
        Some(Self {
            fields: vec![(name, Secret::new(token))],
        })
    }

    /// Puts the fields on a request to the upstream they were meant for.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, secret) in &self.fields {
            // The bytes came from a HeaderValue, or from a token file that was checked when it was
            // read.
            if let Ok(mut value) = HeaderValue::from_bytes(secret.expose()) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }

    /// The secrets in it, to be judged here instead of at GitLab. A field that cannot be read shows
    /// none.
    pub(super) fn shown(&self) -> Vec<ShownSecret> {
        let bare = |secret: &[u8]| {
            Some(ShownSecret {
                user: None,
                secret: Zeroizing::new(secret.to_vec()),
            })
        };
        let read = |(name, secret): &(HeaderName, Secret)| {
            if *name != AUTHORIZATION {
                return bare(secret.expose());
            }
            let at = secret.expose().iter().position(|byte| *byte == b' ')?;
            let (scheme, rest) = secret.expose().split_at(at);
            let rest = rest.trim_ascii();
            if scheme.eq_ignore_ascii_case(b"bearer") {
                return bare(rest);
            }
            if !scheme.eq_ignore_ascii_case(b"basic") {
                return None;
            }
            let pair = Zeroizing::new(STANDARD.decode(rest).ok()?);
            let colon = pair.iter().position(|byte| *byte == b':')?;
            let user = String::from_utf8(pair[..colon].to_vec()).ok()?;
            Some(ShownSecret {
                user: Some(user),
                secret: Zeroizing::new(pair[colon + 1..].to_vec()),
            })
        };
        self.fields.iter().filter_map(read).collect()
    }

    /// The fields in a fixed order, for the fingerprint.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &Secret)> {
        self.fields.iter().map(|(name, secret)| (name, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_goes_on_as_it_came_and_nothing_else_does() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bAsIc Og=="));
        headers.insert(DEPLOY_TOKEN, HeaderValue::from_static("gldt-1"));
        headers.insert("job-token", HeaderValue::from_static("x"));
        headers.insert("cookie", HeaderValue::from_static("y"));
        let mut sent = HeaderMap::new();
        assert!(Credential::read(&headers).is_ok_and(|credential| {
            credential.apply(&mut sent);
            !credential.is_anonymous() && !format!("{credential:?}").contains("gldt")
        }));
        headers.remove("job-token");
        headers.remove("cookie");
        assert_eq!(sent, headers);
    }

    #[test]
    fn a_mirrors_credential_is_basic_with_a_name_and_bearer_without() {
        let sent = |credential: Credential| {
            let mut headers = HeaderMap::new();
            credential.apply(&mut headers);
            headers
                .get(AUTHORIZATION)
                .map(|value| value.as_bytes().to_owned())
        };
        let basic = Credential::mirror(Some("Aladdin"), b"open sesame");
        assert_eq!(
            sent(basic).as_deref(),
            Some(&b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="[..])
        );
        assert_eq!(
            sent(Credential::mirror(None, b"t0ken")).as_deref(),
            Some(&b"Bearer t0ken"[..])
        );
        assert_eq!(sent(Credential::anonymous()), None);
    }

    #[test]
    fn the_packages_api_gets_each_token_in_a_form_that_it_takes() {
        let sent = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::try_from(value).ok()?);
            let mut sent = HeaderMap::new();
            let credential = Credential::read(&headers).ok()?;
            credential.for_packages_api()?.apply(&mut sent);
            let (name, value) = sent.iter().next()?;
            Some(format!("{name}: {}", value.to_str().ok()?))
        };
        let basic = |user: &str, token: &str| {
            let pair = STANDARD.encode(format!("{user}:{token}"));
            sent(AUTHORIZATION, &format!("Basic {pair}"))
        };
        let table = [
            (basic("gitlab-ci-token", "j"), Some("job-token: j")),
            (
                basic("__token__", "glpat-1"),
                Some("private-token: glpat-1"),
            ),
            (basic("__token__", "gldt-1"), None),
            (basic("gitlab+deploy-token-5", "x"), None),
            (basic("__token__", ""), None),
            (
                sent(PRIVATE_TOKEN, "glpat-1"),
                Some("private-token: glpat-1"),
            ),
            (
                sent(AUTHORIZATION, "Bearer o"),
                Some("authorization: Bearer o"),
            ),
            (sent(AUTHORIZATION, "Digest o"), None),
            (sent(DEPLOY_TOKEN, "x"), None),
        ];
        for (number, (found, expected)) in table.iter().enumerate() {
            assert_eq!(found.as_deref(), *expected, "{number}");
        }
        let anonymous = Credential::anonymous().for_packages_api();
        assert!(anonymous.is_some_and(|credential| credential.is_anonymous()));
    }

    #[test]
    fn two_authorizations_are_ambiguous() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(matches!(
            Credential::read(&headers),
            Err(CredentialError::Repeated(_))
        ));
    }
}
