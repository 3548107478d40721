//! What constraints make of a requirement: they restrict it where their markers hold, and may say
//! where it comes from.
//!
//! An input is read for several machines at once, so a requirement becomes one for each set of
//! markers that may hold together. Pure.

use pep440_rs::VersionSpecifiers;

use super::contents::LockError;
use super::marker::{Marker, MarkerVariable, Truth};
use super::requirement::DirectReference;

/// Sets of markers that may hold together, of the constraints of one project.
const SETS_MAX: usize = 64;

/// The newest Python 3 of which it is asked whether markers may hold together.
const LAST_MINOR: u64 = 30;

/// `sys_platform`, `os_name` and `platform_system` of the machines of which that is asked.
const SYSTEMS: [[&str; 3]; 6] = [
    ["linux", "posix", "Linux"],
    ["darwin", "posix", "Darwin"],
    ["win32", "nt", "Windows"],
    ["cygwin", "posix", "CYGWIN_NT-10.0"],
    ["freebsd14", "posix", "FreeBSD"],
    ["emscripten", "posix", "Emscripten"],
];

const MACHINES: [&str; 8] = [
    "x86_64", "aarch64", "arm64", "AMD64", "ARM64", "i686", "ppc64le", "s390x",
];

const IMPLEMENTATIONS: [[&str; 2]; 2] = [["cpython", "CPython"], ["pypy", "PyPy"]];

/// A line of a constraints file.
#[derive(Clone, Debug)]
pub struct Constraint {
    pub specifiers: VersionSpecifiers,
    pub marker: Option<Marker>,
    pub hashes: Vec<String>,
    /// Where the project comes from instead of an index.
    pub direct: Option<DirectReference>,
}

/// What holds together somewhere.
#[derive(Clone, Debug, Default)]
pub struct ConstraintSet<'c> {
    /// Where; `None`: everywhere.
    pub marker: Option<Marker>,
    pub constraints: Vec<&'c Constraint>,
}

/// Every set of constraints that may hold together, on a requirement with this marker.
pub fn sets<'c>(
    marker: Option<&Marker>,
    constraints: &'c [Constraint],
    place: &str,
) -> Result<Vec<ConstraintSet<'c>>, LockError> {
    let mut sets = vec![ConstraintSet {
        marker: marker.cloned(),
        constraints: under(constraints, None).collect(),
    }];
    let mut known: Vec<&Marker> = Vec::new();
    for constraint in constraints {
        let Some(condition) = &constraint.marker else {
            continue;
        };
        if known.contains(&condition) {
            continue;
        }
        known.push(condition);
        let mut split = Vec::new();
        for set in sets {
            let mut with = set.clone().and(condition.clone());
            with.constraints.extend(under(constraints, Some(condition)));
            let without = set.and(condition.clone().negated());
            split.extend([with, without]);
        }
        split.retain(ConstraintSet::is_possible);
        sets = split;
        if sets.len() > SETS_MAX {
            let why = format!("more than {SETS_MAX} sets of constraints may hold for it");
            return Err(LockError::new(place, why));
        }
    }
    Ok(sets)
}

/// Those with this marker.
fn under<'c>(
    constraints: &'c [Constraint],
    condition: Option<&'c Marker>,
) -> impl Iterator<Item = &'c Constraint> {
    let has_it = move |constraint: &&Constraint| constraint.marker.as_ref() == condition;
    constraints.iter().filter(has_it)
}

impl ConstraintSet<'_> {
    fn and(mut self, condition: Marker) -> Self {
        self.marker = Marker::all([self.marker, Some(condition)]);
        self
    }

    /// Whether there may be a machine on which the marker holds: two that exclude each other would
    /// ask for what is nowhere.
    fn is_possible(&self) -> bool {
        let Some(marker) = &self.marker else {
            return true;
        };
        let mut pythons = vec!["2.7".to_owned()];
        for minor in 0..=LAST_MINOR {
            pythons.push(format!("3.{minor}"));
        }
        for system in &SYSTEMS {
            for machine in MACHINES {
                for implementation in &IMPLEMENTATIONS {
                    for python in &pythons {
                        let value = |variable| {
                            let value = value(variable, system, machine, implementation, python)?;
                            Some(vec![value.to_owned()])
                        };
                        if marker.truth(&value) != Truth::No {
                            return true;
                        }
                    }
                }
            }
        }
        false
    }
}

fn value<'v>(
    variable: MarkerVariable,
    [sys_platform, os_name, platform_system]: &[&'v str; 3],
    machine: &'v str,
    [name, title]: &[&'v str; 2],
    python: &'v str,
) -> Option<&'v str> {
    match variable {
        MarkerVariable::SysPlatform => Some(sys_platform),
        MarkerVariable::OsName => Some(os_name),
        MarkerVariable::PlatformSystem => Some(platform_system),
        MarkerVariable::PlatformMachine => Some(machine),
        MarkerVariable::ImplementationName => Some(name),
        MarkerVariable::PlatformPythonImplementation => Some(title),
        MarkerVariable::PythonVersion => Some(python),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(text: &str, marker: &str) -> Constraint {
        let marker = (!marker.is_empty()).then(|| Marker::parse(marker).unwrap());
        Constraint {
            specifiers: text.parse().unwrap(),
            marker,
            hashes: Vec::new(),
            direct: None,
        }
    }

    fn described(constraints: &[Constraint]) -> Vec<String> {
        let sets = sets(None, constraints, "c.txt:1").unwrap();
        let of = |held: &ConstraintSet<'_>| {
            let specifiers: Vec<String> = held
                .constraints
                .iter()
                .map(|constraint| constraint.specifiers.to_string())
                .collect();
            format!(
                "{} where {}",
                specifiers.join(" "),
                held.marker
                    .as_ref()
                    .map_or("all".to_owned(), Marker::to_string)
            )
        };
        sets.iter().map(of).collect()
    }

    #[test]
    fn what_cannot_hold_together_is_no_set() {
        let old = constraint("==1", "python_version < '3.8'");
        let new = constraint("==2", "python_version >= '3.8'");
        assert_eq!(
            described(&[old.clone(), new, constraint("!=7", "")]),
            [
                "!=7 ==1 where python_version < '3.8' and not (python_version >= '3.8')",
                "!=7 ==2 where not (python_version < '3.8') and python_version >= '3.8'"
            ]
        );
        let nt = constraint("==3", "sys_platform == 'win32'");
        assert_eq!(
            described(&[old.clone(), nt]).len(),
            4,
            "they are about different things"
        );
        assert_eq!(
            described(&[old.clone(), old]).len(),
            2,
            "the same marker twice"
        );
        let machine = |name: &str| constraint("==1", &format!("platform_machine == '{name}'"));
        assert_eq!(
            described(&[machine("x86_64"), machine("aarch64"), machine("s390x")]).len(),
            4
        );
        let extra = |number: usize| constraint("==1", &format!("extra == '{number}'"));
        assert!(sets(None, &(0..9).map(extra).collect::<Vec<_>>(), "c.txt:1").is_err());
    }
}
