//! `uv.lock`: a graph, whose roots are the members of the workspace with their extras and groups.

use std::collections::{BTreeSet, HashMap};

use toml::{Table, Value};

use super::asked::{GroupChoice, OfferedGroups, normalised};
use super::lists::{keys, narrow_marker, retain, tables, text, texts};
use crate::airgap::lockfile::contents::{self, LockError};
use crate::airgap::lockfile::marker::{MarkerVariable, Narrowed};

const EXTRAS: &str = "optional-dependencies";
const GROUPS: &str = "dev-dependencies";

/// The parts of a forked resolution that a package belongs to.
const FORKS: &str = "resolution-markers";

/// What is reached: a package itself, or an extra of it.
type PackageExtra = (usize, Option<String>);

pub fn offered(lock: &Table) -> OfferedGroups {
    let mut groups = Vec::new();
    let mut extras = Vec::new();
    let members = members(lock);
    for package in tables(lock, packages_key(lock)) {
        if is_root(package, &members) {
            groups.extend(keys(package, GROUPS));
            extras.extend(keys(package, EXTRAS));
        }
    }
    if let Some(manifest) = manifest(lock) {
        groups.extend(keys(manifest, "dependency-groups"));
    }
    OfferedGroups::new(groups, extras)
}

pub fn narrow(lock: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let members = members(lock);
    let reached = Graph::new(lock, choice, place).reached(lock, &members)?;
    let key = packages_key(lock);
    let mut count = 0;
    retain(lock, key, |package| {
        let at = count;
        count += 1;
        if !reached.contains(&(at, None)) {
            return Ok(false);
        }
        let is_root = is_root(package, &members);
        if let Some(Value::Table(extras)) = package.get_mut(EXTRAS) {
            extras.retain(|extra, _| reached.contains(&(at, Some(normalised(extra)))));
        }
        if is_root && let Some(Value::Table(groups)) = package.get_mut(GROUPS) {
            groups.retain(|group, _| choice.takes_group(group));
        }
        narrow_edges(package, choice, place)?;
        Ok(true)
    })
}

/// Takes out of a package's dependencies those that are never needed.
fn narrow_edges(package: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let is_out = |variable, literal: &str| is_out(choice, variable, literal);
    let narrow_edge = |edge: &mut Table| narrow_marker(edge, "marker", &is_out, place);
    retain(package, "dependencies", narrow_edge)?;
    for key in [EXTRAS, GROUPS] {
        if let Some(Value::Table(table)) = package.get_mut(key) {
            let names: Vec<String> = table.keys().cloned().collect();
            for name in names {
                retain(table, &name, narrow_edge)?;
            }
        }
    }
    narrow_forks(package, &is_out, place)
}

/// The parts of a fork that are not chosen.
fn narrow_forks(
    package: &mut Table,
    is_out: &dyn Fn(MarkerVariable, &str) -> bool,
    place: &str,
) -> Result<(), LockError> {
    let mut left = Vec::new();
    let mut is_everywhere = false;
    for fork in texts(package, FORKS) {
        let narrowed = match contents::marker(Some(fork), place)? {
            Some(fork) => fork.narrowed(is_out),
            None => Narrowed::Always,
        };
        match narrowed {
            Narrowed::Always => {
                is_everywhere = true;
                break;
            }
            Narrowed::Never => {}
            Narrowed::Where(fork) => left.push(Value::String(fork.to_string())),
        }
    }
    if is_everywhere {
        package.remove(FORKS);
    } else if !left.is_empty() {
        package.insert(FORKS.to_owned(), Value::Array(left));
    }
    Ok(())
}

struct Graph<'l> {
    choice: &'l GroupChoice,
    place: &'l str,
    packages: Vec<&'l Table>,
    /// By name, with their places in the lock.
    named: HashMap<String, Vec<usize>>,
}

impl<'l> Graph<'l> {
    fn new(lock: &'l Table, choice: &'l GroupChoice, place: &'l str) -> Self {
        let packages: Vec<&Table> = tables(lock, packages_key(lock)).collect();
        let mut named: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, package) in packages.iter().enumerate() {
            named.entry(name(package)).or_default().push(at);
        }
        Self {
            choice,
            place,
            packages,
            named,
        }
    }

    /// Everything that the roots need, with the extras and groups that were chosen of them.
    fn reached(
        &self,
        lock: &Table,
        members: &BTreeSet<String>,
    ) -> Result<BTreeSet<PackageExtra>, LockError> {
        let mut open = Vec::new();
        for (at, package) in self.packages.iter().enumerate() {
            if !is_root(package, members) {
                continue;
            }
            open.push((at, None));
            for extra in keys(package, EXTRAS) {
                if self.choice.takes_extra(extra) {
                    open.push((at, Some(normalised(extra))));
                }
            }
        }
        let takes_group = |group: &str| self.choice.takes_group(group);
        // The requirements of a script, and of a workspace that is no project.
        if let Some(manifest) = manifest(lock) {
            self.follow(tables(manifest, "requirements"), &mut open)?;
            self.follow_lists(manifest, "dependency-groups", &takes_group, &mut open)?;
        }
        let mut reached = BTreeSet::new();
        while let Some((at, extra)) = open.pop() {
            if !reached.insert((at, extra.clone())) {
                continue;
            }
            let Some(package) = self.packages.get(at) else {
                continue;
            };
            if let Some(extra) = extra {
                open.push((at, None));
                let is_it = |name: &str| normalised(name) == extra;
                self.follow_lists(package, EXTRAS, &is_it, &mut open)?;
            } else {
                self.follow(tables(package, "dependencies"), &mut open)?;
                self.follow_lists(package, GROUPS, &takes_group, &mut open)?;
            }
        }
        Ok(reached)
    }

    /// Follows the edges of those extras or groups of a table that are meant.
    fn follow_lists(
        &self,
        table: &Table,
        key: &str,
        is_meant: &dyn Fn(&str) -> bool,
        open: &mut Vec<PackageExtra>,
    ) -> Result<(), LockError> {
        if let Some(Value::Table(lists)) = table.get(key) {
            for name in lists.keys() {
                if is_meant(name) {
                    self.follow(tables(lists, name), open)?;
                }
            }
        }
        Ok(())
    }

    /// Adds where edges lead; one that is never taken leads nowhere.
    fn follow<'t>(
        &self,
        edges: impl Iterator<Item = &'t Table>,
        open: &mut Vec<PackageExtra>,
    ) -> Result<(), LockError> {
        let is_out = |variable, literal: &str| is_out(self.choice, variable, literal);
        for edge in edges {
            let marker = contents::marker(text(edge, "marker"), self.place)?;
            if let Some(marker) = marker
                && marker.narrowed(&is_out) == Narrowed::Never
            {
                continue;
            }
            let version = text(edge, "version");
            for &at in self.named.get(&name(edge)).into_iter().flatten() {
                let own = self.packages.get(at).and_then(|own| text(own, "version"));
                if version.is_some() && version != own {
                    continue;
                }
                open.push((at, None));
                for extra in texts(edge, "extra") {
                    open.push((at, Some(normalised(extra))));
                }
            }
        }
        Ok(())
    }
}

/// With extras or groups that exclude each other uv writes which of them an edge belongs to:
/// `extra-5-forge-cpu`, `group-5-forge-dev`, with the length of the member's name.
fn is_out(choice: &GroupChoice, variable: MarkerVariable, literal: &str) -> bool {
    if variable != MarkerVariable::Extra {
        return false;
    }
    let named = |kind: &str| {
        let (length, rest) = literal.strip_prefix(kind)?.split_once('-')?;
        rest.get(length.parse::<usize>().ok()?..)?.strip_prefix('-')
    };
    if let Some(extra) = named("extra-") {
        return !choice.takes_extra(extra);
    }
    match named("group-") {
        Some(group) => !choice.takes_group(group),
        None => false,
    }
}

fn manifest(lock: &Table) -> Option<&Table> {
    lock.get("manifest")?.as_table()
}

/// Members of the workspace by name; none are named where it has only one.
fn members(lock: &Table) -> BTreeSet<String> {
    let manifest = manifest(lock).into_iter();
    let members = manifest.flat_map(|manifest| texts(manifest, "members"));
    members.map(normalised).collect()
}

fn is_root(package: &Table, members: &BTreeSet<String>) -> bool {
    let Some(Value::Table(source)) = package.get("source") else {
        return false;
    };
    let mut trees = ["editable", "virtual", "directory"].into_iter();
    let tree = trees.find_map(|key| text(source, key));
    tree == Some(".") || (tree.is_some() && members.contains(&name(package)))
}

/// The name of the list of packages, which had another one in the first locks.
fn packages_key(lock: &Table) -> &'static str {
    if lock.contains_key("package") {
        "package"
    } else {
        "distribution"
    }
}

fn name(table: &Table) -> String {
    normalised(text(table, "name").unwrap_or_default())
}
