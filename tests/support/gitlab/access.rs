//! Who is calling, and what the caller may read or upload.

use super::super::basic::unpack;
use super::super::http::{Answer, Head};
use super::settings::Settings;
use super::token::{Place, Role, Token, TokenKind, TokenState};
use super::universe::{Group, Project, Registry, Universe, Visibility, lies_in};

/// Someone whose credential was not refused outright.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Without a credential, or with a Basic one that nobody knows.
    Anonymous,
    Known(Token),
}

/// What a request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Upload,
}

/// Finds the token of a request in any of the accepted places.
pub(super) fn identify(
    universe: &Universe,
    request: &Head,
    intent: Intent,
) -> Result<Caller, Answer> {
    let lookup = |secret: &str| universe.tokens.iter().find(|token| token.secret == secret);
    let personal = |secret: &str| lookup(secret).filter(|token| token.kind == TokenKind::Personal);
    let working = |secret: &str, kind: TokenKind| {
        lookup(secret).filter(|token| token.kind == kind && token.state == TokenState::Active)
    };

    if let Some(caller) = by_header(universe, request, intent) {
        return caller;
    }
    if let Some(secret) = request.header("Deploy-Token") {
        return Ok(working(secret, TokenKind::Deploy)
            .map_or(Caller::Anonymous, |token| Caller::Known(token.clone())));
    }
    let authorization = authorization_of(request);
    let basic = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let Some((user, password)) = basic.and_then(|(_, text)| read_basic(text.trim())) else {
        return Ok(Caller::Anonymous);
    };
    if let Some(token) = working(&password, TokenKind::Deploy) {
        return Ok(Caller::Known(token.clone()));
    }
    if user == "gitlab-ci-token" {
        let token = working(&password, TokenKind::Job).ok_or_else(Answer::challenged)?;
        return Ok(Caller::Known(token.clone()));
    }
    match personal(&password) {
        Some(token) => admit(token, intent),
        None => Ok(Caller::Anonymous),
    }
}

/// The caller as the rest of the API knows it, which takes neither Basic nor deploy tokens.
pub(super) fn identify_by_header(universe: &Universe, request: &Head) -> Result<Caller, Answer> {
    by_header(universe, request, Intent::Read).unwrap_or(Ok(Caller::Anonymous))
}

fn authorization_of(request: &Head) -> Option<(&str, &str)> {
    request
        .header("Authorization")
        .and_then(|value| value.split_once(' '))
}

/// By a token in a field or a parameter of its own, or as a Bearer token.
fn by_header(
    universe: &Universe,
    request: &Head,
    intent: Intent,
) -> Option<Result<Caller, Answer>> {
    let lookup = |secret: &str| universe.tokens.iter().find(|token| token.secret == secret);
    let personal = |secret: &str| lookup(secret).filter(|token| token.kind == TokenKind::Personal);
    if let Some(secret) = request
        .header("PRIVATE-TOKEN")
        .map(str::to_owned)
        .or_else(|| request.query("private_token"))
    {
        let token = personal(&secret).ok_or_else(Answer::unauthorized);
        return Some(token.and_then(|token| admit(token, intent)));
    }
    let bearer = match authorization_of(request) {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(secret.trim().to_owned())
        }
        _ => request
            .query("access_token")
            .or_else(|| request.query("bearer_token")),
    };
    let token = lookup(&bearer?).ok_or_else(Answer::unauthorized);
    Some(token.and_then(|token| admit(token, intent)))
}

fn read_basic(text: &str) -> Option<(String, String)> {
    let plain = String::from_utf8(unpack(text)?).ok()?;
    let (user, password) = plain.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Checks a token that is known: its state and its scope.
fn admit(token: &Token, intent: Intent) -> Result<Caller, Answer> {
    let scoped = matches!(token.kind, TokenKind::Personal | TokenKind::OAuth);
    match token.state {
        TokenState::Expired if scoped => return Err(Answer::expired_token()),
        TokenState::Revoked if scoped => return Err(Answer::revoked_token()),
        TokenState::Active => {}
        _ => return Err(Answer::unauthorized()),
    }
    let (enough, wanted): (&[&str], _) = match intent {
        Intent::Read => (&["api", "read_api"], "api read_api"),
        Intent::Upload => (&["api"], "api"),
    };
    if scoped && !token.scopes.iter().any(|scope| enough.contains(scope)) {
        return Err(Answer::insufficient_scope(wanted));
    }
    Ok(Caller::Known(token.clone()))
}

/// Decides one request; borrows what it decides by.
pub(super) struct Rights<'a> {
    pub universe: &'a Universe,
    pub settings: &'a Settings,
    pub caller: &'a Caller,
}

impl Rights<'_> {
    pub(super) fn read_project(&self, project: &Project) -> Result<(), Answer> {
        let role = self.role_in_project(project);
        match (project.registry, project.visibility) {
            (Registry::Public, _) => Ok(()),
            (registry, Visibility::Public) => {
                let job_outside = role.is_none() && self.caller_kind() == Some(TokenKind::Job);
                let closed = registry == Registry::Off
                    || (registry == Registry::MembersOnly && role.is_none());
                if closed || job_outside {
                    Err(Answer::forbidden())
                } else {
                    Ok(())
                }
            }
            (registry, Visibility::Private) => {
                self.read_private(role)?;
                if registry == Registry::Off {
                    Err(Answer::forbidden())
                } else {
                    Ok(())
                }
            }
        }
    }

    pub(super) fn read_group(&self, group: &Group) -> Result<(), Answer> {
        match group.visibility {
            Visibility::Public => Ok(()),
            Visibility::Private => self.read_private(self.role_in_group(group)),
        }
    }

    pub(super) fn upload(&self, project: &Project) -> Result<(), Answer> {
        let Caller::Known(token) = self.caller else {
            return Err(Answer::challenged());
        };
        match self.role_in_project(project) {
            None if project.visibility == Visibility::Private => Err(Answer::not_found()),
            Some(Role::Developer) if token.kind != TokenKind::Deploy => Ok(()),
            Some(_)
                if token.kind == TokenKind::Deploy
                    && token.scopes.contains(&"write_package_registry") =>
            {
                Ok(())
            }
            _ => Err(Answer::forbidden()),
        }
    }

    fn read_private(&self, role: Option<Role>) -> Result<(), Answer> {
        match (self.caller, role) {
            (Caller::Anonymous, _) => Err(Answer::challenged()),
            (Caller::Known(_), None) => Err(Answer::not_found()),
            (Caller::Known(_), Some(Role::Guest)) if !self.settings.guest_pull => {
                Err(Answer::forbidden())
            }
            (Caller::Known(token), Some(_)) if lacks_read(token) => Err(Answer::not_found()),
            _ => Ok(()),
        }
    }

    fn caller_kind(&self) -> Option<TokenKind> {
        match self.caller {
            Caller::Known(token) => Some(token.kind),
            Caller::Anonymous => None,
        }
    }

    fn role_in_project(&self, project: &Project) -> Option<Role> {
        self.best_role(|place| match place {
            Place::Project(id) => id == project.id,
            Place::Group(id) => self
                .group_path(id)
                .is_some_and(|path| lies_in(&project.path, path)),
        })
    }

    /// Membership in the group, above it, or in anything below it lets one see the group.
    fn role_in_group(&self, group: &Group) -> Option<Role> {
        self.best_role(|place| match place {
            Place::Project(id) => {
                let project = self
                    .universe
                    .projects
                    .iter()
                    .find(|project| project.id == id);
                project.is_some_and(|project| lies_in(&project.path, &group.path))
            }
            Place::Group(id) => self
                .group_path(id)
                .is_some_and(|path| lies_in(&group.path, path) || lies_in(path, &group.path)),
        })
    }

    fn best_role(&self, counts: impl Fn(Place) -> bool) -> Option<Role> {
        let Caller::Known(token) = self.caller else {
            return None;
        };
        token
            .memberships
            .iter()
            .filter(|(place, _)| counts(*place))
            .map(|(_, role)| *role)
            .max()
    }

    fn group_path(&self, id: u64) -> Option<&str> {
        self.universe
            .groups
            .iter()
            .find(|group| group.id == id)
            .map(|group| group.path.as_str())
    }
}

fn lacks_read(token: &Token) -> bool {
    token.kind == TokenKind::Deploy && !token.scopes.contains(&"read_package_registry")
}
