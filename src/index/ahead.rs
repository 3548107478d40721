//! Which wheels of a page are most likely to be asked for their metadata next.
//!
//! Pure. A resolver tries the newest release first, leaves pre-releases for when there is nothing else (PEP 440,
//! "Handling of pre-releases"), and reads the metadata of one wheel of a version: a pure one, or one for its platform.
//! Must not know what is known of a wheel already.

use std::cmp::Reverse;

use pep440_rs::Version;

use crate::registry::FileRef;

/// The first `most` of these wheels, in the order in which they are worth a look.
pub(super) fn newest(wheels: Vec<FileRef>, most: usize) -> Vec<FileRef> {
    if most == 0 {
        return Vec::new();
    }
    let mut ranked: Vec<_> =
        wheels.into_iter().filter_map(|file| Some((rank(file.filename.as_str())?, file))).collect();
    // Stable: of equals, the page's order.
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    ranked.truncate(most);
    ranked.into_iter().map(|(_, file)| file).collect()
}

type Rank = (bool, Reverse<Version>, u8);

/// Smaller is more likely.
fn rank(filename: &str) -> Option<Rank> {
    let mut parts = filename.strip_suffix(".whl")?.split('-');
    let version: Version = parts.nth(1)?.replace('_', "-").parse().ok()?;
    let platform = match parts.next_back()? {
        "any" => 0,
        platform if platform.contains("linux") && platform.ends_with("x86_64") => 1,
        _ => 2,
    };
    Some((version.any_prerelease(), Reverse(version), platform))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;

    fn wheel(name: &str) -> Option<FileRef> {
        let path = format!("/api/v4/projects/42/packages/pypi/files/{}/{name}", "0".repeat(64));
        match Route::from_path(&path) {
            Ok(Route::File(file)) => Some(file),
            _ => None,
        }
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
        let found = newest(wheels.iter().filter_map(|name| wheel(name)).collect(), 6);
        let names: Vec<_> = found.iter().map(|file| file.filename.as_str()).collect();
        assert_eq!(names, [wheels[6], wheels[3], wheels[2], wheels[1], wheels[0], wheels[4]]);
        assert_eq!(newest(wheels.iter().filter_map(|name| wheel(name)).collect(), 1).len(), 1);
        assert!(newest(wheels.iter().filter_map(|name| wheel(name)).collect(), 0).is_empty());
    }
}
