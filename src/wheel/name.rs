//! A wheel's file name (binary distribution format): whose it is and of which version.
//!
//! Must not know whether the wheel exists.

use super::unreadable::Unreadable;
use super::version;
use crate::simple::ProjectName;

/// The parts of `NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM.whl` that a wheel's content has to agree with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    project: ProjectName,
    version: String,
}

impl WheelName {
    /// Reads a file name.
    ///
    /// # Errors
    /// [`Unreadable::FileName`] when it is not a wheel's.
    pub fn parse(filename: &str) -> Result<Self, Unreadable> {
        let stem = filename.strip_suffix(".whl").ok_or(Unreadable::FileName)?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (project, version) = match parts.as_slice() {
            [project, version, _, _, _] => (project, version),
            [project, version, build, _, _, _]
                if build.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                (project, version)
            }
            _ => return Err(Unreadable::FileName),
        };
        let sound = parts.iter().all(|part| !part.is_empty());
        let project = ProjectName::parse(project)
            .ok()
            .filter(|_| sound)
            .ok_or(Unreadable::FileName)?;
        Ok(Self {
            project,
            version: (*version).to_owned(),
        })
    }

    /// Whether these are another spelling of this wheel's project and version (PEP 503, PEP 440).
    pub(super) fn is(&self, project: &str, version: &str) -> bool {
        ProjectName::parse(project).is_ok_and(|project| project == self.project)
            && version::equal(version, &self.version)
    }

    /// Whether `NAME-VERSION` of a `.dist-info` folder means this wheel. Old tools left dashes in both.
    pub(super) fn owns(&self, stem: &str) -> bool {
        stem.match_indices('-')
            .any(|(dash, _)| self.is(&stem[..dash], &stem[dash + 1..]))
    }
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
            assert!(WheelName::parse(filename).is_ok(), "{filename}");
        }
        for filename in [
            "a-1.whl",
            "a-1-py3-none-any.zip",
            "a-1-b-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "a-1-2-3-4-5-6.whl",
        ] {
            assert_eq!(
                WheelName::parse(filename),
                Err(Unreadable::FileName),
                "{filename}"
            );
        }
    }

    #[test]
    fn other_spellings_are_the_same_wheel() {
        let wheel = WheelName::parse("my_pkg-1.0.0+local.1-py3-none-any.whl");
        let owns = |stem: &str| wheel.as_ref().is_ok_and(|wheel| wheel.owns(stem));
        for stem in [
            "my_pkg-1.0.0+local.1",
            "My.Pkg-1.0+local_1",
            "my-pkg-1+local-1",
        ] {
            assert!(owns(stem), "{stem}");
        }
        for stem in [
            "my_pkg-1.0.0",
            "pkg-1.0.0+local.1",
            "my_pkg",
            "my_pkg-1.0.0+local.1-",
            "my_pkg-1.0.1+local.1",
        ] {
            assert!(!owns(stem), "{stem}");
        }
    }
}
