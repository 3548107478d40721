//! `[[views]]`: several sources under one URL.
//!
//! Owns the section, and what its texts mean. Must not know which mirrors there are.

use serde::{Deserialize, Serialize};

use crate::registry::{PrivateNames, Scope};
use crate::simple::ProjectName;

/// May stand before a source of GitLab's, to say whose it is.
const GITLAB: &str = "gitlab:";

/// One entry of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewConfig {
    /// The first part of its path.
    pub name: String,
    /// `groups/ID`, `projects/ID` and mirrors by their names, in the order in which they are asked.
    pub sources: Vec<String>,
    /// GitLab's sources answer for names in `private_packages` alone, and mirrors for all others.
    pub private_only: bool,
}

/// A view as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where its pages are, spelled as a mirror's are.
    pub scope: Scope,
    pub sources: Vec<Scope>,
    private_only: bool,
}

impl ViewConfig {
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn view(&self) -> Result<View, String> {
        let Some(scope) = Scope::mirror(&self.name) else {
            return Err(format!(
                "\"{}\" is no name: it is made of a to z, 0 to 9 and -, and is not api",
                self.name
            ));
        };
        if self.sources.is_empty() {
            return Err(format!("the view {scope} has no sources"));
        }
        let mut sources = Vec::new();
        for text in &self.sources {
            let Some(source) = source(text) else {
                return Err(format!(
                    "the view {scope}: \"{text}\" is none of groups/ID, projects/ID and a mirror's name"
                ));
            };
            if sources.contains(&source) {
                return Err(format!("the view {scope} names {source} twice"));
            }
            sources.push(source);
        }
        Ok(View {
            scope,
            sources,
            private_only: self.private_only,
        })
    }
}

fn source(text: &str) -> Option<Scope> {
    match text.strip_prefix(GITLAB) {
        Some(own) => Scope::named(own).filter(|scope| !scope.is_mirror()),
        None => Scope::named(text),
    }
}

impl View {
    /// The sources that may answer for a name, in their order. No mirror is ever asked for a
    /// private name.
    pub fn sources_of<'v>(&'v self, name: &ProjectName, private: &PrivateNames) -> Vec<&'v Scope> {
        let is_private = private.hold(name);
        let mut sources = Vec::new();
        for source in &self.sources {
            let is_shut = match source.is_mirror() {
                true => is_private,
                false => self.private_only && !is_private,
            };
            if !is_shut {
                sources.push(source);
            }
        }
        sources
    }

    /// The sources that may answer for a name, or all of them for the list of names.
    pub fn sources_for<'v>(
        &'v self,
        name: Option<&ProjectName>,
        private: &PrivateNames,
    ) -> Vec<&'v Scope> {
        match name {
            Some(name) => self.sources_of(name, private),
            None => self.sources.iter().collect(),
        }
    }

    pub fn is_private_only(&self) -> bool {
        self.private_only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sources: &[&str], private_only: bool) -> Result<View, String> {
        let config = ViewConfig {
            name: "all".to_owned(),
            sources: sources.iter().map(ToString::to_string).collect(),
            private_only,
        };
        config.view()
    }

    fn of(view: &View, name: &str) -> Vec<String> {
        let private = PrivateNames::parse(&["acme-*".to_owned()]).unwrap_or_default();
        let Ok(name) = ProjectName::parse(name) else {
            return Vec::new();
        };
        let sources = view.sources_of(&name, &private);
        sources.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_source_is_a_group_a_project_or_a_mirror_once() {
        let all = view(&["groups/acme/tools", "gitlab:projects/42", "pypi"], false);
        let names: Vec<_> = all
            .iter()
            .flat_map(|view| view.sources.iter().map(ToString::to_string))
            .collect();
        assert_eq!(names, ["groups/acme%2Ftools", "projects/42", "pypi"]);
        for wrong in [
            &[][..],
            &["Pypi"],
            &["gitlab:pypi"],
            &["users/1"],
            &["groups/"],
            &["groups/7", "gitlab:groups/7"],
        ] {
            assert!(view(wrong, false).is_err(), "{wrong:?}");
        }
    }

    /// name × rule: who may answer.
    #[test]
    fn no_mirror_answers_for_a_private_name_and_gitlab_for_no_other_if_so_configured() {
        let sources = ["groups/7", "pypi", "projects/42", "other"];
        for (private_only, name, expected) in [
            (false, "requests", &sources[..]),
            (false, "Acme_Tool", &["groups/7", "projects/42"]),
            (true, "requests", &["pypi", "other"]),
            (true, "acme.tool", &["groups/7", "projects/42"]),
        ] {
            let view = view(&sources, private_only);
            let found = view.as_ref().map(|view| of(view, name));
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(found, Ok(expected), "{private_only} {name}");
        }
    }
}
