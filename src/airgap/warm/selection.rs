//! What the filters make of one file, and which versions are taken where the input locks none.
//! Pure.
//!
//! Must not know lock files, nor where a page came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

use pep440_rs::Version;

use super::page::PageFile;
use super::tags::WheelTags;
use super::target::{Machine, TargetEnvironment};
use crate::airgap::wanted::WantedVersions;
use crate::simple::is_wheel;

/// Endings of source distributions that installers still read.
const SDISTS: [&str; 6] = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar"];

/// What is asked for beside the input itself.
#[derive(Clone, Debug, Default)]
pub struct SelectionRules {
    pub target: TargetEnvironment,
    pub sdists: Sdists,
    /// Yanked files too, when the input does not lock them by hash.
    pub yanked: bool,
    /// Only files that were uploaded before.
    pub before: Option<SystemTime>,
    pub prereleases: bool,
    /// How many of the newest versions of what the input does not pin; `None` is what the input
    /// says, or one.
    pub newest: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sdists {
    #[default]
    Also,
    Never,
    /// Only of versions that have no wheel for one of the machines asked for.
    IfNoWheel,
}

/// Why a file was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterReason {
    Tags,
    Sdist,
    HasWheel,
    Kind,
    RequiresPython(String),
    Marker,
    Yanked,
    Uploaded,
    UploadUnknown,
}

impl fmt::Display for FilterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tags => f.write_str("for other machines"),
            Self::Sdist => f.write_str("a source distribution"),
            Self::HasWheel => f.write_str("a source distribution, and there is a wheel"),
            Self::Kind => f.write_str("neither a wheel nor a source distribution"),
            Self::RequiresPython(text) => write!(f, "for Python {text}"),
            Self::Marker => f.write_str("its marker is false on each machine asked for"),
            Self::Yanked => f.write_str("yanked"),
            Self::Uploaded => f.write_str("uploaded later"),
            Self::UploadUnknown => f.write_str("the page does not say when it was uploaded"),
        }
    }
}

/// A machine by its place among those asked for.
pub type NumberedMachine<'a> = (usize, &'a Machine);

/// The places of those machines that are meant.
fn places(
    machines: &[NumberedMachine<'_>],
    is_meant: impl Fn(&Machine) -> bool,
) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    for (at, machine) in machines {
        if is_meant(machine) {
            places.insert(*at);
        }
    }
    places
}

/// What the file's name alone tells: which of the machines could take it.
pub fn by_name(
    filename: &str,
    rules: &SelectionRules,
    machines: &[NumberedMachine<'_>],
) -> Result<BTreeSet<usize>, FilterReason> {
    if is_wheel(filename) {
        let Some(tags) = WheelTags::of(filename) else {
            return Err(FilterReason::Tags);
        };
        let fits = places(machines, |machine| machine.accepts(&tags));
        if fits.is_empty() {
            return Err(FilterReason::Tags);
        }
        return Ok(fits);
    }
    let lower = filename.to_ascii_lowercase();
    if !SDISTS.iter().any(|ending| lower.ends_with(ending)) {
        return Err(FilterReason::Kind);
    }
    if rules.sdists == Sdists::Never {
        return Err(FilterReason::Sdist);
    }
    Ok(places(machines, |_| true))
}

/// The whole judgement: which of the machines take it. `is_locked`: the input names this very file
/// by its hash.
pub fn judge(
    file: &PageFile,
    is_locked: bool,
    rules: &SelectionRules,
    machines: &[NumberedMachine<'_>],
) -> Result<BTreeSet<usize>, FilterReason> {
    let mut fits = by_name(&file.filename, rules, machines)?;
    if let Some(text) = &file.requires_python {
        let may_be = places(machines, |machine| machine.may_be(text));
        fits.retain(|at| may_be.contains(at));
        if fits.is_empty() {
            return Err(FilterReason::RequiresPython(text.clone()));
        }
    }
    if file.is_yanked && !is_locked && !rules.yanked {
        return Err(FilterReason::Yanked);
    }
    match (rules.before, file.uploaded) {
        (Some(_), None) => Err(FilterReason::UploadUnknown),
        (Some(before), Some(uploaded)) if uploaded >= before => Err(FilterReason::Uploaded),
        _ => Ok(fits),
    }
}

/// Whether a version is one of these (PEP 440: a pin without a local part means every local part).
pub fn is_among(version: &Version, versions: &WantedVersions) -> bool {
    match versions {
        WantedVersions::Exactly(exact) if exact.local().is_empty() => {
            version.clone().without_local() == *exact
        }
        WantedVersions::Exactly(exact) => version == exact,
        WantedVersions::Matching(specifiers) => specifiers.contains(version),
        WantedVersions::Latest(_) | WantedVersions::All => true,
    }
}

/// Those of the versions on offer that are taken, given that they are among the wanted ones.
///
/// Pre-releases count when they were asked for, or the input says nothing of them and there is
/// nothing else.
pub fn taken<T>(
    offered: BTreeMap<Version, T>,
    versions: &WantedVersions,
    prereleases: Option<bool>,
    rules: &SelectionRules,
) -> Vec<T> {
    let mut count = rules.newest;
    let mut is_pinned = false;
    let mut names_prerelease = false;
    match versions {
        WantedVersions::Exactly(_) => {
            count = None;
            is_pinned = true;
        }
        WantedVersions::Matching(all) => {
            count = count.or(Some(1));
            names_prerelease = all.iter().any(|one| one.version().any_prerelease());
        }
        WantedVersions::Latest(own) => count = count.or(Some(*own)),
        WantedVersions::All => {}
    }
    let may_be_prerelease = match prereleases {
        _ if is_pinned || rules.prereleases => true,
        Some(said) => said,
        None => names_prerelease || offered.keys().all(Version::any_prerelease),
    };
    let mut taken = Vec::new();
    for (version, of) in offered.into_iter().rev() {
        if may_be_prerelease || !version.any_prerelease() {
            taken.push(of);
        }
    }
    taken.truncate(count.unwrap_or(usize::MAX));
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn versions(texts: &[&str]) -> BTreeMap<Version, String> {
        texts
            .iter()
            .map(|text| (text.parse().unwrap(), (*text).to_owned()))
            .collect()
    }

    fn take(texts: &[&str], wanted: &WantedVersions, rules: &SelectionRules) -> Vec<String> {
        let mut offered = versions(texts);
        offered.retain(|version, _| is_among(version, wanted));
        taken(offered, wanted, None, rules)
    }

    #[test]
    fn the_newest_matching_version_is_taken() {
        let rules = SelectionRules::default();
        let matching = |text: &str| WantedVersions::Matching(text.parse().unwrap());
        let offered = ["1.9", "1.10", "2.0rc1", "0.5"];
        assert_eq!(take(&offered, &WantedVersions::Latest(1), &rules), ["1.10"]);
        assert_eq!(
            take(&offered, &WantedVersions::Latest(2), &rules),
            ["1.10", "1.9"]
        );
        assert_eq!(
            take(&offered, &WantedVersions::All, &rules),
            ["1.10", "1.9", "0.5"]
        );
        assert_eq!(take(&offered, &matching("<1.10"), &rules), ["1.9"]);
        assert_eq!(take(&offered, &matching(">=2.0rc1"), &rules), ["2.0rc1"]);
        assert_eq!(
            take(&["2.0rc1"], &WantedVersions::Latest(1), &rules),
            ["2.0rc1"],
            "nothing else"
        );
        let all = SelectionRules {
            prereleases: true,
            newest: Some(usize::MAX),
            ..SelectionRules::default()
        };
        assert_eq!(
            take(&offered, &matching(">1"), &all),
            ["2.0rc1", "1.10", "1.9"]
        );
        let pin = WantedVersions::Exactly("1.0".parse().unwrap());
        assert_eq!(
            take(&["1.0+cpu", "1.0.0", "1.1"], &pin, &rules),
            ["1.0+cpu", "1.0.0"]
        );
        let local = WantedVersions::Exactly("1.0+cpu".parse().unwrap());
        assert_eq!(
            take(&["1.0+cpu", "1.0.0", "1.1"], &local, &rules),
            ["1.0+cpu"]
        );
    }

    proptest! {
        #[test]
        fn no_more_than_so_many_and_the_newest(numbers in proptest::collection::btree_set(0..40u64, 1..12), count in 1..5usize) {
            let offered: BTreeMap<Version, u64> = numbers.iter().map(|n| (Version::new([1, *n]), *n)).collect();
            let found: Vec<u64> = taken(offered, &WantedVersions::Latest(count), None, &SelectionRules::default());
            let expected: Vec<u64> = numbers.iter().rev().take(count).copied().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
