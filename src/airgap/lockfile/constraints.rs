//! What constraints make of a requirement: they restrict it where their markers hold, and may say where it comes from.
//!
//! An input is read for several machines at once, so a requirement becomes one for each set of markers that may hold
//! together. Pure.

use pep440_rs::VersionSpecifiers;
use url::Url;

use super::marker::{Marker, Truth, Variable};
use super::reading::{LockError, Origin};

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
pub(super) struct Constraint {
    pub specifiers: VersionSpecifiers,
    pub marker: Option<Marker>,
    pub hashes: Vec<String>,
    /// Where the project comes from instead of an index.
    pub elsewhere: Option<(Origin, Option<Url>)>,
}

/// What holds together somewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Held<'c> {
    /// Where; `None`: everywhere.
    pub marker: Option<Marker>,
    pub constraints: Vec<&'c Constraint>,
}

/// Every set of constraints that may hold together, on a requirement with this marker.
pub(super) fn sets<'c>(
    marker: Option<&Marker>,
    constraints: &'c [Constraint],
    place: &str,
) -> Result<Vec<Held<'c>>, LockError> {
    let always = constraints
        .iter()
        .filter(|constraint| constraint.marker.is_none());
    let mut sets = vec![Held {
        marker: marker.cloned(),
        constraints: always.collect(),
    }];
    let mut known: Vec<&Marker> = Vec::new();
    for condition in constraints
        .iter()
        .filter_map(|constraint| constraint.marker.as_ref())
    {
        if known.contains(&condition) {
            continue;
        }
        known.push(condition);
        let under = || {
            constraints
                .iter()
                .filter(|constraint| constraint.marker.as_ref() == Some(condition))
        };
        let mut split = Vec::new();
        for held in sets {
            let both = |other: Marker| Marker::all([held.marker.clone(), Some(other)]);
            let with = Held {
                marker: both(condition.clone()),
                constraints: held.constraints.iter().copied().chain(under()).collect(),
            };
            let without = Held {
                marker: both(condition.clone().negated()),
                constraints: held.constraints,
            };
            split.extend([with, without].into_iter().filter(Held::is_possible));
        }
        sets = split;
        if sets.len() > SETS_MAX {
            let why = format!("more than {SETS_MAX} sets of constraints may hold for it");
            return Err(LockError::new(place, why));
        }
    }
    Ok(sets)
}

impl Held<'_> {
    /// Whether there may be a machine on which the marker holds: two that exclude each other would ask for what is nowhere.
    fn is_possible(&self) -> bool {
        let Some(marker) = &self.marker else {
            return true;
        };
        let pythons = std::iter::once((2, 7)).chain((0..=LAST_MINOR).map(|minor| (3, minor)));
        let pythons: Vec<String> = pythons
            .map(|(major, minor)| format!("{major}.{minor}"))
            .collect();
        SYSTEMS.iter().any(|system| {
            MACHINES.iter().any(|machine| {
                IMPLEMENTATIONS.iter().any(|implementation| {
                    pythons.iter().any(|python| {
                        let value = |variable| {
                            Some(vec![value(
                                variable,
                                system,
                                machine,
                                implementation,
                                python,
                            )?])
                        };
                        marker.truth(&value) != Truth::No
                    })
                })
            })
        })
    }
}

fn value(
    variable: Variable,
    [sys_platform, os_name, platform_system]: &[&str; 3],
    machine: &str,
    [name, title]: &[&str; 2],
    python: &str,
) -> Option<String> {
    let text = match variable {
        Variable::SysPlatform => sys_platform,
        Variable::OsName => os_name,
        Variable::PlatformSystem => platform_system,
        Variable::PlatformMachine => machine,
        Variable::ImplementationName => name,
        Variable::PlatformPythonImplementation => title,
        Variable::PythonVersion => python,
        _ => return None,
    };
    Some(text.to_owned())
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
            elsewhere: None,
        }
    }

    fn described(constraints: &[Constraint]) -> Vec<String> {
        let sets = sets(None, constraints, "c.txt:1").unwrap();
        let of = |held: &Held<'_>| {
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
