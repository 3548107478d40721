//! Whether a name and a version in an archive are those of the wheel's file name (PEP 503, PEP
//! 440).
//!
//! Must not know where in the archive they were found.

use super::version;
use crate::simple::{ProjectName, WheelFilename};

/// Whether these are another spelling of this wheel's project and version.
pub fn is_release(wheel: &WheelFilename<'_>, project: &str, version: &str) -> bool {
    match ProjectName::parse(project) {
        Ok(project) => project == wheel.project && version::equal(version, wheel.version),
        Err(_) => false,
    }
}

/// Whether `NAME-VERSION` of a `.dist-info` folder means this wheel. Old tools left dashes in both.
pub fn owns_folder(wheel: &WheelFilename<'_>, stem: &str) -> bool {
    for (dash, _) in stem.match_indices('-') {
        if is_release(wheel, &stem[..dash], &stem[dash + 1..]) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_the_same_wheel() {
        let wheel = WheelFilename::parse("my_pkg-1.0.0+local.1-py3-none-any.whl").expect("a wheel");
        for stem in [
            "my_pkg-1.0.0+local.1",
            "My.Pkg-1.0+local_1",
            "my-pkg-1+local-1",
        ] {
            assert!(owns_folder(&wheel, stem), "{stem}");
        }
        for stem in [
            "my_pkg-1.0.0",
            "pkg-1.0.0+local.1",
            "my_pkg",
            "my_pkg-1.0.0+local.1-",
            "my_pkg-1.0.1+local.1",
        ] {
            assert!(!owns_folder(&wheel, stem), "{stem}");
        }
    }
}
