//! What is known of whether `gitlab.url` leads to a GitLab.
//!
//! Must not ask.

use parking_lot::Mutex;

/// What came of the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GitLabState {
    #[default]
    Unknown,
    Well,
    Fault(String),
}

#[derive(Debug, Default)]
pub struct GitLabCheck(Mutex<GitLabState>);

impl GitLabCheck {
    pub fn present(&self) -> GitLabState {
        self.0.lock().clone()
    }

    /// What was known before.
    pub fn note(&self, now: GitLabState) -> GitLabState {
        std::mem::replace(&mut *self.0.lock(), now)
    }
}
