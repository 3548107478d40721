//! Which groups and extras are meant, and which a lock has. Pure.
//!
//! Must not know any format.

use std::collections::BTreeSet;

use crate::airgap::lockfile::marker::MarkerVariable;
use crate::simple::ProjectName;

/// What formats call the project's own dependencies, which no `--group` leaves out.
const OWN_GROUPS: [&str; 2] = ["main", "default"];

/// What `--no-dev` means.
const DEV_GROUPS: [&str; 2] = ["dev", "develop"];

/// What was asked for; the default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChoice {
    groups: BTreeSet<String>,
    no_groups: BTreeSet<String>,
    extras: BTreeSet<String>,
    no_extras: BTreeSet<String>,
    no_dev: bool,
}

/// The groups and extras that a lock has beside the project's own dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferedGroups {
    pub groups: BTreeSet<String>,
    pub extras: BTreeSet<String>,
}

impl GroupChoice {
    pub fn new(
        groups: &[String],
        no_groups: &[String],
        extras: &[String],
        no_extras: &[String],
        no_dev: bool,
    ) -> Self {
        let names = |texts: &[String]| texts.iter().map(|text| normalised(text)).collect();
        Self {
            groups: names(groups),
            no_groups: names(no_groups),
            extras: names(extras),
            no_extras: names(no_extras),
            no_dev,
        }
    }

    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Of several groups only those that are named, and never those that are named by the opposite.
    pub fn takes_group(&self, name: &str) -> bool {
        let name = normalised(name);
        let is_named = self.groups.is_empty() || self.groups.contains(&name);
        let is_dev = self.no_dev && DEV_GROUPS.contains(&name.as_str());
        let is_out = self.no_groups.contains(&name) || is_dev;
        !is_out && (is_named || OWN_GROUPS.contains(&name.as_str()))
    }

    pub fn takes_extra(&self, name: &str) -> bool {
        let name = normalised(name);
        !self.no_extras.contains(&name) && (self.extras.is_empty() || self.extras.contains(&name))
    }

    /// The names that no lock has: each with the option that gave it.
    pub fn unknown(&self, offered: &OfferedGroups) -> Vec<String> {
        let mut groups = offered.groups.clone();
        groups.extend(OWN_GROUPS.map(str::to_owned));
        let mut unknown = Vec::new();
        for (option, named, known) in [
            ("--group", &self.groups, &groups),
            ("--no-group", &self.no_groups, &groups),
            ("--extra", &self.extras, &offered.extras),
            ("--no-extra", &self.no_extras, &offered.extras),
        ] {
            for name in named.difference(known) {
                unknown.push(format!("{option} {name}"));
            }
        }
        unknown
    }

    /// Whether a marker's extra or group is certainly not installed; `literal` as the format writes
    /// it.
    pub(super) fn is_out(&self, variable: MarkerVariable, literal: &str) -> bool {
        match variable {
            MarkerVariable::DependencyGroups => !self.takes_group(literal),
            MarkerVariable::Extra | MarkerVariable::Extras => !self.takes_extra(literal),
            _ => false,
        }
    }
}

impl OfferedGroups {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.extras.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.extras.extend(other.extras);
    }

    pub(super) fn new<'n>(
        groups: impl IntoIterator<Item = &'n str>,
        extras: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let mut groups: BTreeSet<String> = groups.into_iter().map(normalised).collect();
        groups.retain(|name| !OWN_GROUPS.contains(&name.as_str()));
        Self {
            groups,
            extras: extras.into_iter().map(normalised).collect(),
        }
    }
}

/// Names of groups and extras are compared like those of projects (PEP 685, 735).
pub fn normalised(name: &str) -> String {
    match ProjectName::parse(name) {
        Ok(name) => name.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    }
}
