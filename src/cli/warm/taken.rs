//! Which groups and extras of the locks are taken, in words. Pure.
//!
//! Must not know any lock format.

use std::collections::BTreeSet;

use crate::airgap::lockfile::{GroupChoice, OfferedGroups};

/// A lock with what it offers.
pub(super) struct OfferedLock<'n> {
    pub name: &'n str,
    pub offered: OfferedGroups,
}

/// That each name which was asked for is one of some lock's.
pub(super) fn check(choice: &GroupChoice, locks: &[OfferedLock<'_>]) -> Result<(), String> {
    let mut all = OfferedGroups::default();
    for lock in locks {
        all.extend(lock.offered.clone());
    }
    let unknown = choice.unknown(&all);
    if unknown.is_empty() {
        return Ok(());
    }
    let has = |what: &str, names: &BTreeSet<String>| {
        if names.is_empty() {
            format!("no {what}s")
        } else {
            format!("the {what}s {}", listed(names.iter()))
        }
    };
    let of = |lock: &OfferedLock<'_>| {
        format!(
            "{} has {} and {}",
            lock.name,
            has("group", &lock.offered.groups),
            has("extra", &lock.offered.extras)
        )
    };
    let there: Vec<String> = locks.iter().map(of).collect();
    let there = if there.is_empty() {
        "no lock file was given".to_owned()
    } else {
        there.join("; ")
    };
    Err(format!(
        "{}: no input has one of this name: {there}",
        unknown.join(", ")
    ))
}

/// For each lock that has groups or extras what is taken of them.
pub(super) fn sentences(choice: &GroupChoice, locks: &[OfferedLock<'_>]) -> Vec<String> {
    locks
        .iter()
        .filter(|lock| !lock.offered.is_empty())
        .map(|lock| sentence(choice, lock))
        .collect()
}

fn sentence(choice: &GroupChoice, OfferedLock { name, offered }: &OfferedLock<'_>) -> String {
    let (groups, no_groups) = offered
        .groups
        .iter()
        .partition(|group| choice.takes_group(group));
    let (extras, no_extras) = offered
        .extras
        .iter()
        .partition(|extra| choice.takes_extra(extra));
    let taken = both(&groups, &extras);
    if choice.is_all() {
        return format!(
            "{name}: all {taken} are taken (--group, --no-group, --no-dev, --extra, --no-extra choose)"
        );
    }
    let left: (Vec<&String>, Vec<&String>) = (no_groups, no_extras);
    match (taken.is_empty(), left.0.is_empty() && left.1.is_empty()) {
        (true, _) => format!("{name}: without {}", both(&left.0, &left.1)),
        (false, true) => format!("{name}: {taken} are taken"),
        (false, false) => format!(
            "{name}: {taken} are taken, without {}",
            both(&left.0, &left.1)
        ),
    }
}

/// `groups (dev, docs) and extras (cpu)`.
fn both(groups: &Vec<&String>, extras: &Vec<&String>) -> String {
    let of = |what: &str, names: &Vec<&String>| {
        (!names.is_empty()).then(|| format!("{what} ({})", listed(names.iter().copied())))
    };
    match (of("groups", groups), of("extras", extras)) {
        (Some(groups), Some(extras)) => format!("{groups} and {extras}"),
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
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
