//! A wheel's file name (binary distribution format, "File name convention").
//!
//! Owns how `NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM.whl` is read, and that `.whl` is lower case:
//! the format spells it so, and installers take no other. Must not know whether the wheel exists.

use super::name::ProjectName;

/// The ending of every wheel.
pub const ENDING: &str = ".whl";

/// The parts of a wheel's file name. The tags are sets because PEP 425 lets them be compressed:
/// `py2.py3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelFilename<'a> {
    pub project: ProjectName,
    /// As the name writes it: `_` may stand for `-`.
    pub version: &'a str,
    pub pythons: &'a str,
    pub abis: &'a str,
    pub platforms: &'a str,
}

impl<'a> WheelFilename<'a> {
    /// Reads a file name; `None` if it is not a wheel's.
    pub fn parse(filename: &'a str) -> Option<Self> {
        let stem = filename.strip_suffix(ENDING)?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (project, version, pythons, abis, platforms) = match parts[..] {
            [project, version, pythons, abis, platforms] => {
                (project, version, pythons, abis, platforms)
            }
            [project, version, build, pythons, abis, platforms]
                if build.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                (project, version, pythons, abis, platforms)
            }
            _ => return None,
        };
        if parts.contains(&"") {
            return None;
        }
        Some(Self {
            project: ProjectName::parse(project).ok()?,
            version,
            pythons,
            abis,
            platforms,
        })
    }
}

/// Whether a file is named as a wheel; whether the rest of its name is sound,
/// [`WheelFilename::parse`] tells.
pub fn is_wheel(filename: &str) -> bool {
    filename.ends_with(ENDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_or_six_parts_are_a_wheel() {
        for filename in [
            "a-1-py3-none-any.whl",
            "a_b-1.0+cu118-1build-cp311-cp311-linux_x86_64.whl",
            "A.B-1.0-py3-none-any.whl",
        ] {
            assert!(WheelFilename::parse(filename).is_some(), "{filename}");
        }
        for filename in [
            "a-1.whl",
            "a-1-py3-none-any.zip",
            "a-1-py3-none-any.WHL",
            "a-1-b-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "a-1--none-any.whl",
            "a-1-2-3-4-5-6.whl",
            "é-1-py3-none-any.whl",
            "",
        ] {
            assert_eq!(WheelFilename::parse(filename), None, "{filename}");
        }
    }

    #[test]
    fn each_part_is_told() {
        let name = "My.Pkg-1.0+cu1-1b-py2.py3-none-manylinux1_x86_64.linux_x86_64.whl";
        let wheel = WheelFilename::parse(name).expect("a wheel");
        assert_eq!(wheel.project.as_str(), "my-pkg");
        assert_eq!(
            [wheel.version, wheel.pythons, wheel.abis, wheel.platforms],
            [
                "1.0+cu1",
                "py2.py3",
                "none",
                "manylinux1_x86_64.linux_x86_64"
            ]
        );
    }

    #[test]
    fn only_the_ending_of_the_format_makes_a_wheel() {
        for (filename, expected) in [
            ("a-1-py3-none-any.whl", true),
            (".whl", true),
            ("a-1-py3-none-any.WHL", false),
            ("a-1-py3-none-any.whl.metadata", false),
        ] {
            assert_eq!(is_wheel(filename), expected, "{filename}");
        }
    }
}
