//! Which wheels of a page are most likely to be asked for their metadata next.
//!
//! Pure. A resolver passes over yanked files (PEP 592) and what its Python or its platform cannot
//! run, tries the newest release first, leaves pre-releases for when there is nothing else (PEP
//! 440, "Handling of pre-releases"), and reads the metadata of one wheel of a version: a pure one,
//! or one for its platform. Nothing tells which Python and platform the next one has, so they are
//! guessed. Must not know what is known of a wheel already.

use std::cmp::Reverse;

use pep440_rs::{Version, VersionSpecifiers};

use crate::registry::FileRef;
use crate::simple::{Entry, WheelFilename};

/// The minor version of Python 3 that most of the readers are taken to have.
const USUAL_MINOR: u64 = 12;

/// A wheel as a page lists it.
#[derive(Debug)]
pub struct LikelyWheel {
    pub file: FileRef,
    yanked: bool,
    /// The page allows the Python that is guessed.
    fits_python: bool,
}

impl LikelyWheel {
    pub fn new(file: FileRef, entry: &Entry<'_>) -> Self {
        let usual = Version::new([3, USUAL_MINOR]);
        let allows = |text: &str| match text.parse::<VersionSpecifiers>() {
            Ok(wanted) => wanted.contains(&usual),
            Err(_) => true,
        };
        let fits_python = entry.requires_python.as_deref().is_none_or(allows);
        Self {
            file,
            yanked: entry.yanked.is_some(),
            fits_python,
        }
    }
}

/// The first `most` of these wheels, in the order in which they are worth a look.
pub fn likeliest(wheels: Vec<LikelyWheel>, most: usize) -> Vec<FileRef> {
    if most == 0 {
        return Vec::new();
    }
    let mut ranked: Vec<_> = wheels
        .into_iter()
        .filter_map(|wheel| Some((rank(&wheel)?, wheel.file)))
        .collect();
    // Stable: of equals, the page's order.
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    ranked.truncate(most);
    ranked.into_iter().map(|(_, file)| file).collect()
}

/// Yanked; a pre-release; unfit; older; for how few platforms.
type Rank = (bool, bool, bool, Reverse<Version>, u8);

/// Smaller is more likely.
fn rank(wheel: &LikelyWheel) -> Option<Rank> {
    let name = WheelFilename::parse(wheel.file.filename.as_str())?;
    let version: Version = name.version.replace('_', "-").parse().ok()?;
    let rarity = name.platforms.split('.').map(rarity).min()?;
    let mut pythons = name.pythons.split('.');
    let fits = wheel.fits_python && rarity < FOREIGN && pythons.any(|tag| runs(tag, name.abis));
    Some((
        wheel.yanked,
        version.any_prerelease(),
        !fits,
        Reverse(version),
        rarity,
    ))
}

/// Of platforms that are not guessed.
const FOREIGN: u8 = 3;

fn rarity(platform: &str) -> u8 {
    match platform {
        "any" => 0,
        platform if !platform.ends_with("x86_64") => FOREIGN,
        platform if platform.starts_with("manylinux") || platform.starts_with("linux") => 1,
        platform if platform.starts_with("musllinux") => 2,
        _ => FOREIGN,
    }
}

/// Whether the Python that is guessed runs what has this tag.
fn runs(python: &str, abi: &str) -> bool {
    let minor = |prefix: &str| python.strip_prefix(prefix)?.parse::<u64>().ok();
    match (minor("py3"), minor("cp3")) {
        (Some(minor), _) => minor <= USUAL_MINOR,
        (None, Some(minor)) => minor == USUAL_MINOR || (abi == "abi3" && minor < USUAL_MINOR),
        (None, None) => python == "py3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;

    fn wheel(name: &str) -> Option<LikelyWheel> {
        let path = format!(
            "/api/v4/projects/42/packages/pypi/files/{}/{name}",
            "0".repeat(64)
        );
        match Route::from_path(&path) {
            Ok(Route::File(file)) => Some(LikelyWheel {
                file,
                yanked: false,
                fits_python: true,
            }),
            _ => None,
        }
    }

    fn names(wheels: Vec<LikelyWheel>, most: usize) -> Vec<String> {
        likeliest(wheels, most)
            .iter()
            .map(|file| file.filename.as_str().to_owned())
            .collect()
    }

    #[test]
    fn new_releases_come_before_old_ones_and_these_before_pre_releases() {
        let wheels = [
            "a-1.9-py3-none-any.whl",
            "a-1.10-cp312-cp312-win_amd64.whl",
            "a-1.10-cp312-cp312-manylinux_2_28_x86_64.whl",
            "a-1.10-py3-none-any.whl",
            "a-2.0rc1-py3-none-any.whl",
            "a-unknown-py3-none-any.whl",
            "a-1.10.post1-1-py3-none-any.whl",
        ];
        let all = || wheels.iter().filter_map(|name| wheel(name)).collect();
        // The one that few can run after all that most can.
        assert_eq!(
            names(all(), 6),
            [
                wheels[6], wheels[3], wheels[2], wheels[0], wheels[1], wheels[4]
            ]
        );
        assert_eq!(names(all(), 1).len(), 1);
        assert!(names(all(), 0).is_empty());
    }

    #[test]
    fn what_a_resolver_passes_over_comes_last() {
        for other in [
            "a-3.0-cp27-cp27m-manylinux1_x86_64.whl",
            "a-3.0-py2-none-any.whl",
            "a-3.0-cp313-cp313-manylinux_2_28_x86_64.whl",
            "a-3.0-cp313-abi3-manylinux_2_28_x86_64.whl",
            "a-3.0-cp312-cp312-manylinux_2_28_aarch64.whl",
            "a-3.0-cp312-cp312-macosx_10_9_x86_64.whl",
            "a-3.0-py3-none-win_amd64.whl",
            "a-3.0.dev1-py3-none-any.whl",
        ] {
            let wheels = [other, "a-2.0-py3-none-any.whl"]
                .iter()
                .filter_map(|name| wheel(name))
                .collect();
            assert_eq!(names(wheels, 1), ["a-2.0-py3-none-any.whl"], "{other}");
            assert_eq!(
                names(wheel(other).into_iter().collect(), 1),
                [other],
                "there is nothing else"
            );
        }
        for newest in [
            "a-3.0-py2.py3-none-any.whl",
            "a-3.0-py38-none-any.whl",
            "a-3.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-3.0-cp312-cp312-musllinux_1_2_x86_64.whl",
            "a-3.0-7-cp312-cp312-linux_x86_64.whl",
        ] {
            let wheels = ["a-2.0-py3-none-any.whl", newest]
                .iter()
                .filter_map(|name| wheel(name))
                .collect();
            assert_eq!(names(wheels, 1), [newest]);
        }
        let two = |change: fn(&mut LikelyWheel)| {
            let mut wheels: Vec<_> = ["a-3.0-py3-none-any.whl", "a-2.0-py3-none-any.whl"]
                .iter()
                .filter_map(|name| wheel(name))
                .collect();
            change(&mut wheels[0]);
            names(wheels, 1)
        };
        assert_eq!(
            two(|newest| newest.yanked = true),
            ["a-2.0-py3-none-any.whl"]
        );
        assert_eq!(
            two(|newest| newest.fits_python = false),
            ["a-2.0-py3-none-any.whl"]
        );
        assert_eq!(two(|_| {}), ["a-3.0-py3-none-any.whl"]);
    }
}
