//! What each machine needs, and for how much of it there is a file. Pure.
//!
//! Must not know how files are found, nor how they are fetched.

use std::collections::{BTreeMap, BTreeSet};

use super::target::Machine;
use crate::simple::ProjectName;

/// A package that one machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its place among [`super::target::TargetEnvironment::machines`].
    pub machine: usize,
    pub project: ProjectName,
    /// Its versions, in the words of a requirement.
    pub item: String,
    /// Addresses of the files of which any will do.
    pub files: BTreeSet<String>,
}

/// How one machine fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// `3.12 win_amd64`.
    pub target: String,
    pub packages: usize,
    /// Those without any file, as `numpy ==1.26.4`.
    pub without: Vec<String>,
}

impl Supply {
    pub fn with_file(&self) -> usize {
        self.packages - self.without.len()
    }
}

/// A line for each machine. `is_there`: whether there is a file at this address, or will be.
pub fn supplies(
    machines: &[Machine],
    needs: &[Need],
    is_there: &dyn Fn(&str) -> bool,
) -> Vec<Supply> {
    let mut supplies = Vec::new();
    for (at, machine) in machines.iter().enumerate() {
        let mut packages: BTreeMap<(&ProjectName, &str), bool> = BTreeMap::new();
        for need in needs {
            if need.machine == at {
                let key = (&need.project, need.item.as_str());
                let has_file = packages.entry(key).or_default();
                *has_file |= need.files.iter().any(|file| is_there(file));
            }
        }
        let mut without = Vec::new();
        for ((project, item), has_file) in &packages {
            if !has_file {
                without.push(format!("{project} {item}"));
            }
        }
        supplies.push(Supply {
            target: machine.to_string(),
            packages: packages.len(),
            without,
        });
    }
    supplies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::airgap::warm::target::TargetEnvironment;

    #[test]
    fn a_package_counts_once_and_has_a_file_if_any_of_its_files_is_there() {
        let need = |machine: usize, project: &str, files: &[&str]| Need {
            machine,
            project: ProjectName::parse(project).unwrap(),
            item: "==1".to_owned(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
        };
        let needs = [
            need(0, "a", &["x", "y"]),
            need(0, "a", &[]),
            need(0, "b", &["z"]),
            need(1, "b", &["w", "y"]),
        ];
        let words = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let target =
            TargetEnvironment::parse(&words(&["3.11", "3.12", "3.13"]), &[], None, &[]).unwrap();
        let supplies = supplies(target.machines(), &needs, &|file| file == "y");
        let told: Vec<(usize, usize, &[String])> = supplies
            .iter()
            .map(|one| (one.packages, one.with_file(), one.without.as_slice()))
            .collect();
        assert_eq!(
            told,
            [(2, 1, &["b ==1".to_owned()][..]), (1, 1, &[]), (0, 0, &[])]
        );
        assert_eq!(supplies[2].target, "3.13");
    }
}
