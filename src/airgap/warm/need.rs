//! What each machine needs, and for how much of it there is a file. Pure.
//!
//! Must not know how files are found, nor how they are fetched.

use std::collections::{BTreeMap, BTreeSet};

use super::target::TargetEnvironment;
use crate::simple::ProjectName;

/// A package that one machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its place among [`TargetEnvironment::machines`].
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
    targets: &[TargetEnvironment],
    needs: &[Need],
    is_there: &dyn Fn(&str) -> bool,
) -> Vec<Supply> {
    let supply = |(at, target): (usize, &TargetEnvironment)| {
        let mut packages: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        for need in needs.iter().filter(|need| need.machine == at) {
            let has_file = packages
                .entry((need.project.as_str(), &need.item))
                .or_default();
            *has_file |= need.files.iter().any(|file| is_there(file));
        }
        let without = packages.iter().filter(|(_, has_file)| !**has_file);
        let without = without
            .map(|((project, item), _)| format!("{project} {item}"))
            .collect();
        Supply {
            target: target.to_string(),
            packages: packages.len(),
            without,
        }
    };
    targets.iter().enumerate().map(supply).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let supplies = supplies(&target.machines(), &needs, &|file| file == "y");
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
