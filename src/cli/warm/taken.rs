//! Which groups and extras of the locks are taken, in words. Pure.
//!
//! Must not know any lock format.

use std::collections::BTreeSet;

use crate::airgap::lockfile::{GroupChoice, OfferedGroups};

/// A lock with what it offers.
pub struct OfferedLock<'n> {
    pub name: &'n str,
    pub offered: OfferedGroups,
}

/// That each name which was asked for is one of some lock's.
pub fn check(choice: &GroupChoice, locks: &[OfferedLock<'_>]) -> Result<(), String> {
    let mut all = OfferedGroups::default();
    let mut there = Vec::new();
    for OfferedLock { name, offered } in locks {
        all.extend(offered.clone());
        let groups = has("group", &offered.groups);
        let extras = has("extra", &offered.extras);
        there.push(format!("{name} has {groups} and {extras}"));
    }
    let unknown = choice.unknown(&all);
    if unknown.is_empty() {
        return Ok(());
    }
    if there.is_empty() {
        there.push("no lock file was given".to_owned());
    }
    let unknown = unknown.join(", ");
    let there = there.join("; ");
    Err(format!("{unknown}: no input has one of this name: {there}"))
}

fn has(what: &str, names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return format!("no {what}s");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("the {what}s {}", names.join(", "))
}

/// For each lock that has groups or extras what is taken of them.
pub fn sentences(choice: &GroupChoice, locks: &[OfferedLock<'_>]) -> Vec<String> {
    let mut sentences = Vec::new();
    for lock in locks {
        if !lock.offered.is_empty() {
            sentences.push(sentence(choice, lock));
        }
    }
    sentences
}

fn sentence(choice: &GroupChoice, OfferedLock { name, offered }: &OfferedLock<'_>) -> String {
    let mut taken = Choice::default();
    let mut left = Choice::default();
    for group in &offered.groups {
        let side = if choice.takes_group(group) {
            &mut taken
        } else {
            &mut left
        };
        side.groups.push(group);
    }
    for extra in &offered.extras {
        let side = if choice.takes_extra(extra) {
            &mut taken
        } else {
            &mut left
        };
        side.extras.push(extra);
    }
    let taken = taken.in_words();
    let left = left.in_words();
    if choice.is_all() {
        format!(
            "{name}: all {taken} are taken (--group, --no-group, --no-dev, --extra, --no-extra \
             choose)"
        )
    } else if taken.is_empty() {
        format!("{name}: without {left}")
    } else if left.is_empty() {
        format!("{name}: {taken} are taken")
    } else {
        format!("{name}: {taken} are taken, without {left}")
    }
}

/// Of one lock.
#[derive(Default)]
struct Choice<'n> {
    groups: Vec<&'n str>,
    extras: Vec<&'n str>,
}

impl Choice<'_> {
    /// `groups (dev, docs) and extras (cpu)`.
    fn in_words(&self) -> String {
        let groups = self.groups.join(", ");
        let extras = self.extras.join(", ");
        match (groups.as_str(), extras.as_str()) {
            ("", "") => String::new(),
            (_, "") => format!("groups ({groups})"),
            ("", _) => format!("extras ({extras})"),
            _ => format!("groups ({groups}) and extras ({extras})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(groups: &[&str], extras: &[&str]) -> OfferedLock<'static> {
        let names = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        OfferedLock {
            name: "uv.lock",
            offered: OfferedGroups {
                groups: names(groups),
                extras: names(extras),
            },
        }
    }

    fn choice(groups: &[&str], extras: &[&str], no_dev: bool) -> GroupChoice {
        let names = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        GroupChoice::new(&names(groups), &[], &names(extras), &[], no_dev)
    }

    #[test]
    fn what_is_taken_is_said() {
        let locks = [lock(&["dev", "docs"], &["cpu", "cuda"])];
        for (choice, said) in [
            (
                GroupChoice::default(),
                "uv.lock: all groups (dev, docs) and extras (cpu, cuda) are taken (--group, --no-group, --no-dev, --extra, \
                 --no-extra choose)",
            ),
            (
                choice(&["docs"], &["cpu"], false),
                "uv.lock: groups (docs) and extras (cpu) are taken, without groups (dev) and extras (cuda)",
            ),
            (
                choice(&[], &[], true),
                "uv.lock: groups (docs) and extras (cpu, cuda) are taken, without groups (dev)",
            ),
        ] {
            assert_eq!(sentences(&choice, &locks), [said]);
        }
        assert_eq!(
            sentences(&choice(&[], &[], true), &[lock(&["dev"], &[])]),
            ["uv.lock: without groups (dev)"]
        );
        assert!(sentences(&GroupChoice::default(), &[lock(&[], &[])]).is_empty());
    }

    #[test]
    fn a_name_that_no_lock_has_is_answered_with_those_that_exist() {
        let locks = [lock(&["dev"], &[]), lock(&[], &[])];
        let told = check(&choice(&["docs", "dev", "main"], &["gpu"], false), &locks);
        assert_eq!(
            told.unwrap_err(),
            "--group docs, --extra gpu: no input has one of this name: uv.lock has the groups dev and no extras; uv.lock has \
             no groups and no extras"
        );
        assert!(check(&choice(&["dev"], &[], true), &locks).is_ok());
        assert!(
            check(&choice(&[], &["x"], false), &[])
                .unwrap_err()
                .ends_with("no lock file was given")
        );
    }
}
