//! What a distribution's file name says about its project.
//!
//! Owns the readings of `NAME-VERSION…`: exact for wheels (the binary distribution format, where a
//! name has no dash), a guess for source distributions older than PEP 625, where name and version
//! may both hold dashes. A space stands for a dash, as build tools write it (setuptools'
//! `safe_name`), and endings are read in any case: a guess is a hint, never a proof. What is a
//! wheel is told by [`super::WheelFilename`] alone. Must not know whether a file exists.

use super::name::{NAME_BYTES_MAX, ProjectName};
use super::wheel_filename;

/// So many readings of one file name at most; a longer list is of no help.
const CANDIDATES_MAX: usize = 8;

/// Endings of the other distribution formats that indexes have served; a longer ending comes before
/// one that it ends with.
const ARCHIVES: [&str; 11] = [
    ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.z", ".tgz", ".tar", ".zip", ".egg", ".exe",
    ".msi",
];

/// The projects that a file of this name may belong to, the most likely first.
pub fn project_candidates(filename: &str) -> Vec<ProjectName> {
    if let Some(stem) = without_ending(filename, wheel_filename::ENDING) {
        let name = match stem.split_once('-') {
            Some((name, _)) => name,
            None => stem,
        };
        return project(name).into_iter().collect();
    }
    let stem = archive_stem(filename).unwrap_or(filename);
    let mut candidates = Vec::new();
    // What looks like a version comes first.
    for versioned in [true, false] {
        for (dash, _) in stem.rmatch_indices('-') {
            if candidates.len() == CANDIDATES_MAX {
                return candidates;
            }
            let version = &stem[dash + 1..];
            if version.is_empty() || is_like_a_version(version) != versioned {
                continue;
            }
            candidates.extend(project(&stem[..dash]));
        }
    }
    candidates
}

fn archive_stem(filename: &str) -> Option<&str> {
    ARCHIVES
        .iter()
        .find_map(|ending| without_ending(filename, ending))
}

fn project(name: &str) -> Option<ProjectName> {
    // Before it is copied: a page may hold texts far longer than any name.
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    ProjectName::parse(&name.replace(' ', "-")).ok()
}

/// Of [`project_candidates`] the one to ask for if only one may be: no project is named after a
/// version with a dot, so that `foo-1.0-1` is version `1.0-1` of `foo`, though its last dash might
/// be that of `foo-1.0` and `1`.
pub fn usual_project(filename: &str) -> Option<ProjectName> {
    let stem = archive_stem(filename).unwrap_or(filename);
    let candidates = project_candidates(filename);
    for name in &candidates {
        if !ends_in_version(stem, name) {
            return Some(name.clone());
        }
    }
    candidates.first().cloned()
}

/// Whether the project's name, as it is written in front of a dash, ends in a version with a dot.
fn ends_in_version(stem: &str, project: &ProjectName) -> bool {
    for (dash, _) in stem.rmatch_indices('-') {
        let written = &stem[..dash];
        if !is_spelling(written, project) {
            continue;
        }
        return match written.rsplit_once('-') {
            Some((_, last)) => is_like_a_version(last) && last.contains('.'),
            None => false,
        };
    }
    false
}

fn is_spelling(written: &str, project: &ProjectName) -> bool {
    ProjectName::parse(written).as_ref() == Ok(project)
}

/// Whether a file of this name is a wheel, a source distribution or one of their forerunners.
pub fn is_distribution(filename: &str) -> bool {
    let wheel_stem = without_ending(filename, wheel_filename::ENDING);
    match wheel_stem.or_else(|| archive_stem(filename)) {
        Some(stem) => stem.contains('-'),
        None => false,
    }
}

/// The version that a file of this project has in its name, as written there.
pub fn version<'a>(filename: &'a str, project: &ProjectName) -> Option<&'a str> {
    if let Some(stem) = without_ending(filename, wheel_filename::ENDING) {
        let (name, rest) = stem.split_once('-')?;
        let version = rest.split('-').next()?;
        if is_spelling(name, project) && is_like_a_version(version) {
            return Some(version);
        }
        return None;
    }
    let stem = archive_stem(filename)?;
    for (dash, _) in stem.match_indices('-') {
        let version = &stem[dash + 1..];
        if is_like_a_version(version) && is_spelling(&stem[..dash], project) {
            return Some(version);
        }
    }
    None
}

/// Every version of PEP 440 starts with a digit once it is normalised.
fn is_like_a_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn without_ending<'a>(filename: &'a str, ending: &str) -> Option<&'a str> {
    let (stem, tail) = filename.split_at_checked(filename.len().checked_sub(ending.len())?)?;
    if tail.eq_ignore_ascii_case(ending) {
        Some(stem)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_likely_project_comes_first() {
        let table: [(&str, &[&str]); 15] = [
            ("my_pkg-1.0.0-py3-none-any.whl", &["my-pkg"]),
            ("torch-1.0+cu118-cp311-cp311-linux_x86_64.whl", &["torch"]),
            ("My.Pkg-1.0-py3-none-any.WHL", &["my-pkg"]),
            ("my_pkg-1.0.0.tar.gz", &["my-pkg"]),
            ("my-pkg-1.0.0.zip", &["my-pkg", "my"]),
            ("My Pkg-1.0.zip", &["my-pkg"]),
            ("foo-2-1.0.tar.gz", &["foo-2", "foo"]),
            ("foo-1.0-1.tar.gz", &["foo-1-0", "foo"]),
            ("foo-1.0-beta.tar.bz2", &["foo", "foo-1-0"]),
            ("foo-1.0-py2.7.egg", &["foo", "foo-1-0"]),
            ("foo-1.0-variants.json", &["foo", "foo-1-0"]),
            ("foo-v1.tgz", &["foo"]),
            ("foo.tar.gz", &[]),
            ("-1.0.tar.gz", &[]),
            ("", &[]),
        ];
        for (filename, expected) in table {
            let found = project_candidates(filename);
            let found: Vec<_> = found.iter().map(ProjectName::as_str).collect();
            assert_eq!(found, expected, "{filename}");
        }
    }

    #[test]
    fn of_several_readings_one_is_usual() {
        for (filename, expected) in [
            ("my_pkg-1.0.0-py3-none-any.whl", Some("my-pkg")),
            ("foo-2-1.0.tar.gz", Some("foo-2")),
            ("foo-1.0-1.tar.gz", Some("foo")),
            ("old-dashed-2-1.0-1.tar.gz", Some("old-dashed-2")),
            ("zope.interface-3.6.0.zip", Some("zope-interface")),
            ("foo-1.0-beta.tar.bz2", Some("foo")),
            ("foo.tar.gz", None),
        ] {
            assert_eq!(
                usual_project(filename).as_ref().map(ProjectName::as_str),
                expected,
                "{filename}"
            );
        }
    }

    #[test]
    fn readings_are_bounded() {
        assert_eq!(project_candidates(&"a-1-".repeat(40)).len(), CANDIDATES_MAX);
        assert_eq!(
            project_candidates(&"a-1-".repeat(100_000)).len(),
            CANDIDATES_MAX
        );
    }

    #[test]
    fn distributions_are_told_from_other_files() {
        for filename in ["a-1-py3-none-any.whl", "a-1.tar.gz", "A-1.ZIP", "a-1.tgz"] {
            assert!(is_distribution(filename), "{filename}");
        }
        for filename in ["", "a", "a.zip", "a-1.html", "a-1.tar.gz.asc", ".whl", "é"] {
            assert!(!is_distribution(filename), "{filename}");
        }
    }

    #[test]
    fn the_version_is_told_by_the_name() -> Result<(), Box<dyn std::error::Error>> {
        let table = [
            ("my_pkg-1.0-py3-none-any.whl", Some("1.0")),
            ("My.Pkg-1.0+cu1-1-py3-none-any.whl", Some("1.0+cu1")),
            ("my-pkg-1.0-1.tar.gz", Some("1.0-1")),
            ("my_pkg-2.zip", Some("2")),
            ("my-pkg-x.zip", None),
            ("other-1.0.tar.gz", None),
            ("other-1.0-py3-none-any.whl", None),
            ("my_pkg-1.0-variants.json", None),
            ("my_pkg.whl", None),
            ("", None),
        ];
        let project = ProjectName::parse("my-pkg")?;
        for (filename, expected) in table {
            assert_eq!(version(filename, &project), expected, "{filename}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_true_project_is_among_the_readings(
            name in "[a-z]([a-z0-9._-]{0,12}[a-z0-9])?",
            version in "[0-9]{1,2}\\.[0-9]{1,2}(\\.post1|-1|rc2)?",
        ) {
            let project = ProjectName::parse(&name)?;
            prop_assume!(name.matches('-').count() < 4);
            let filename = format!("{name}-{version}.tar.gz");
            prop_assert!(project_candidates(&filename).contains(&project));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            prop_assert!(project_candidates(&text).len() <= CANDIDATES_MAX);
        }
    }
}
