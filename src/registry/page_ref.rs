//! A page's address: a scope's index, or one project's page in it.
//!
//! Must not know whether the page exists, or who may see it.

use super::Scope;
use super::scope::spelled;
use crate::simple::ProjectName;

/// One page in one scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageRef {
    pub scope: Scope,
    /// None is the scope's index, its list of projects.
    pub name: Option<ProjectName>,
}

impl PageRef {
    pub fn index(scope: Scope) -> Self {
        Self { scope, name: None }
    }

    /// The page of the project of this name.
    pub fn parse(scope: Scope, name: &str) -> Option<Self> {
        let name = Some(ProjectName::parse(name).ok()?);
        Some(Self { scope, name })
    }

    /// Below GitLab's root as below ours.
    pub fn path(&self) -> String {
        spelled(|path| self.push_path(path))
    }

    pub(super) fn push_path(&self, text: &mut String) {
        self.scope.push_path(text);
        text.push_str("/simple/");
        if let Some(name) = &self.name {
            text.push_str(name.as_str());
            text.push('/');
        }
    }
}
