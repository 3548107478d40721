//! Which pre-releases a requirements file lets count: `--pre`, `--all-releases`, `--only-final`, as
//! pip 26 reads them.

use std::collections::BTreeSet;

use super::contents::{self, LockError};
use super::requirements_line::{EVERY, NONE, Releases};
use crate::simple::ProjectName;

#[derive(Debug, Default)]
pub struct ReleaseControl {
    all_releases: Chosen,
    only_final: Chosen,
}

/// Projects, or all but those that the other option names.
#[derive(Debug, Default)]
struct Chosen {
    every: bool,
    named: BTreeSet<ProjectName>,
}

impl ReleaseControl {
    /// One option with its names, separated by commas; what is named later counts.
    pub fn add(&mut self, option: Releases, names: &str, place: &str) -> Result<(), LockError> {
        let (chosen, other) = match option {
            Releases::All => (&mut self.all_releases, &mut self.only_final),
            Releases::OnlyFinal => (&mut self.only_final, &mut self.all_releases),
        };
        for name in names.split(',').map(str::trim) {
            match name {
                EVERY => {
                    *other = Chosen::default();
                    *chosen = Chosen {
                        every: true,
                        named: BTreeSet::new(),
                    };
                }
                NONE => *chosen = Chosen::default(),
                name => {
                    let project = contents::project(name, place)?;
                    other.named.remove(&project);
                    chosen.named.insert(project);
                }
            }
        }
        Ok(())
    }

    /// Whether they count for this project; `None`: nothing is said.
    pub fn prereleases(&self, project: &ProjectName) -> Option<bool> {
        let all = &self.all_releases;
        let finals = &self.only_final;
        if all.named.contains(project) {
            Some(true)
        } else if finals.named.contains(project) {
            Some(false)
        } else if all.every {
            Some(true)
        } else if finals.every {
            Some(false)
        } else {
            None
        }
    }
}
