//! Access tokens: what kind they are, what state they are in, and where their owners are members.

/// Personal token of a developer of group 7: reads and uploads.
pub const DEVELOPER: &str = "test-developer";
/// Personal token (`read_api`) of a reporter of group 7.
pub const READER: &str = "test-reader";
/// Personal token of a member of project 42 alone: sees less of group 7 than `READER`.
pub const WIDGETS_READER: &str = "test-widgets-reader";
/// Personal token of a guest of group 7.
pub const GUEST: &str = "test-guest";
/// Valid personal token, member of nothing.
pub const STRANGER: &str = "test-stranger";
pub const EXPIRED: &str = "test-expired";
pub const REVOKED: &str = "test-revoked";
/// Personal token of a member, without a scope that reads the API.
pub const NARROW: &str = "test-narrow";
/// Deploy token of project 42 with `read_package_registry`.
pub const DEPLOY: &str = "test-deploy";
/// Job token of a running job of project 42.
pub const JOB: &str = "test-job";
/// OAuth token of a reporter of group 7: for `Authorization: Bearer`.
pub const OAUTH: &str = "test-oauth";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Personal, project and group access tokens.
    Personal,
    Deploy,
    /// CI job token, with the user name `gitlab-ci-token`.
    Job,
    OAuth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Active,
    Expired,
    Revoked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Guest,
    Reporter,
    Developer,
}

/// Where someone is a member; a group's members belong to all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Group(u64),
    Project(u64),
}

#[derive(Clone, Debug)]
pub struct Token {
    pub secret: String,
    pub kind: TokenKind,
    pub state: TokenState,
    pub scopes: Vec<&'static str>,
    pub memberships: Vec<(Place, Role)>,
}

impl Token {
    /// Active, with the widest scope of its kind, member of nothing.
    pub fn new(kind: TokenKind, secret: &str) -> Self {
        let scopes = match kind {
            TokenKind::Personal | TokenKind::OAuth => vec!["api"],
            TokenKind::Deploy => vec!["read_package_registry", "write_package_registry"],
            TokenKind::Job => Vec::new(),
        };
        Self {
            secret: secret.to_owned(),
            kind,
            state: TokenState::Active,
            scopes,
            memberships: Vec::new(),
        }
    }

    pub fn personal(secret: &str) -> Self {
        Self::new(TokenKind::Personal, secret)
    }

    pub fn is_active(&self) -> bool {
        self.state == TokenState::Active
    }

    pub fn member(mut self, place: Place, role: Role) -> Self {
        self.memberships.push((place, role));
        self
    }

    pub fn scopes(mut self, scopes: &[&'static str]) -> Self {
        self.scopes = scopes.to_vec();
        self
    }

    pub fn state(mut self, state: TokenState) -> Self {
        self.state = state;
        self
    }
}

/// The tokens named above.
pub(super) fn examples() -> Vec<Token> {
    use Place::{Group, Project};
    vec![
        Token::personal(DEVELOPER).member(Group(7), Role::Developer),
        Token::personal(READER)
            .scopes(&["read_api"])
            .member(Group(7), Role::Reporter),
        Token::personal(WIDGETS_READER)
            .scopes(&["read_api"])
            .member(Project(42), Role::Reporter),
        Token::personal(GUEST).member(Group(7), Role::Guest),
        Token::personal(STRANGER),
        Token::personal(EXPIRED)
            .state(TokenState::Expired)
            .member(Group(7), Role::Developer),
        Token::personal(REVOKED)
            .state(TokenState::Revoked)
            .member(Group(7), Role::Developer),
        Token::personal(NARROW)
            .scopes(&["read_user"])
            .member(Group(7), Role::Developer),
        Token::new(TokenKind::Deploy, DEPLOY)
            .scopes(&["read_package_registry"])
            .member(Project(42), Role::Developer),
        Token::new(TokenKind::Job, JOB).member(Project(42), Role::Developer),
        Token::new(TokenKind::OAuth, OAUTH).member(Group(7), Role::Reporter),
    ]
}
