//! `uv.lock`: a graph, whose roots are the members of the workspace with their extras and groups.

use std::collections::{BTreeSet, HashMap};

use toml::{Table, Value};

use super::asked::{GroupChoice, OfferedGroups, normalised};
use super::lists::{narrow_marker, retain, text, texts};
use crate::airgap::lockfile::contents::{self, LockError};
use crate::airgap::lockfile::marker::{MarkerVariable, Narrowed};

/// The name of the list of packages, today and in the first locks.
const PACKAGES: [&str; 2] = ["package", "distribution"];

const EXTRAS: &str = "optional-dependencies";
const GROUPS: &str = "dev-dependencies";

/// What is reached: a package itself, or an extra of it.
type PackageExtra = (usize, Option<String>);

pub(super) fn offered(lock: &Table) -> OfferedGroups {
    let members = members(lock);
    let roots: Vec<&Table> = packages(lock)
        .filter(|package| is_root(package, &members))
        .collect();
    let names = |key: &'static str| {
        let tables = roots
            .iter()
            .filter_map(move |package| package.get(key)?.as_table());
        tables.flat_map(|table| table.keys().map(String::as_str))
    };
    let groups = names(GROUPS).chain(
        manifest_groups(lock)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str()),
    );
    OfferedGroups::new(groups, names(EXTRAS))
}

pub(super) fn narrow(lock: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let members = members(lock);
    let reached = Graph {
        lock,
        choice,
        place,
        members: &members,
    }
    .reached()?;
    let key = PACKAGES
        .into_iter()
        .find(|key| lock.contains_key(*key))
        .unwrap_or("package");
    let mut at = 0;
    retain(lock, key, |package| {
        let own = at;
        at += 1;
        if !reached.contains(&(own, None)) {
            return Ok(false);
        }
        let is_root = is_root(package, &members);
        let is_taken = |extra: &str| reached.contains(&(own, Some(normalised(extra))));
        retain_keys(package, EXTRAS, &is_taken);
        retain_keys(package, GROUPS, &|group| {
            !is_root || choice.takes_group(group)
        });
        narrow_edges(package, choice, place)?;
        Ok(true)
    })
}

fn retain_keys(package: &mut Table, key: &str, keep: &dyn Fn(&str) -> bool) {
    if let Some(table) = package.get_mut(key).and_then(Value::as_table_mut) {
        table.retain(|name, _| keep(name));
    }
}

/// Takes out of a package's dependencies those that are never needed.
fn narrow_edges(package: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let is_out = |variable: MarkerVariable, literal: &str| is_out(choice, variable, literal);
    let narrow_edge = |edge: &mut Table| narrow_marker(edge, "marker", &is_out, place);
    retain(package, "dependencies", narrow_edge)?;
    for key in [EXTRAS, GROUPS] {
        let Some(table) = package.get_mut(key).and_then(Value::as_table_mut) else {
            continue;
        };
        let names: Vec<String> = table.keys().cloned().collect();
        for name in names {
            retain(table, &name, narrow_edge)?;
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
    let forks: Vec<String> = texts(package, "resolution-markers")
        .map(str::to_owned)
        .collect();
    let mut left = Vec::new();
    for fork in forks {
        match contents::marker(Some(&fork), place)?.map(|fork| fork.narrowed(is_out)) {
            None | Some(Narrowed::Always) => {
                package.remove("resolution-markers");
                return Ok(());
            }
            Some(Narrowed::Never) => {}
            Some(Narrowed::Where(fork)) => left.push(Value::String(fork.to_string())),
        }
    }
    if !left.is_empty()
        && let Some(forks) = package.get_mut("resolution-markers")
    {
        *forks = Value::Array(left);
    }
    Ok(())
}

struct Graph<'l> {
    lock: &'l Table,
    choice: &'l GroupChoice,
    place: &'l str,
    members: &'l BTreeSet<String>,
}

impl<'l> Graph<'l> {
    /// Everything that the roots need, with the extras and groups that were chosen of them.
    fn reached(&self) -> Result<BTreeSet<PackageExtra>, LockError> {
        let packages: Vec<&Table> = packages(self.lock).collect();
        let mut named: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, package) in packages.iter().enumerate() {
            named
                .entry(normalised(text(package, "name").unwrap_or_default()))
                .or_default()
                .push(at);
        }
        let mut open: Vec<PackageExtra> = Vec::new();
        for (at, package) in packages
            .iter()
            .enumerate()
            .filter(|(_, package)| is_root(package, self.members))
        {
            open.push((at, None));
            let extras = package
                .get(EXTRAS)
                .and_then(Value::as_table)
                .into_iter()
                .flatten();
            let extras = extras.filter(|(extra, _)| self.choice.takes_extra(extra));
            open.extend(extras.map(|(extra, _)| (at, Some(normalised(extra)))));
        }
        for edge in self.manifest() {
            open.extend(self.pieces(edge, &packages, &named)?);
        }
        let mut reached = BTreeSet::new();
        while let Some(piece) = open.pop() {
            if reached.contains(&piece) {
                continue;
            }
            for edge in packages
                .get(piece.0)
                .map(|package| self.edges(package, piece.1.as_deref()))
                .into_iter()
                .flatten()
            {
                open.extend(self.pieces(edge, &packages, &named)?);
            }
            open.push((piece.0, None));
            reached.insert(piece);
        }
        Ok(reached)
    }

    /// What a piece depends on.
    fn edges(&self, package: &'l Table, extra: Option<&str>) -> Vec<&'l Table> {
        let Some(extra) = extra else {
            let groups = package
                .get(GROUPS)
                .and_then(Value::as_table)
                .into_iter()
                .flatten();
            let groups = groups
                .filter(|(group, _)| self.choice.takes_group(group))
                .map(|(_, edges)| edges);
            return package
                .get("dependencies")
                .into_iter()
                .chain(groups)
                .flat_map(tables)
                .collect();
        };
        let extras = package
            .get(EXTRAS)
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        extras
            .filter(|(name, _)| normalised(name) == extra)
            .flat_map(|(_, edges)| tables(edges))
            .collect()
    }

    /// Where an edge leads; nowhere, if it is never taken.
    fn pieces(
        &self,
        edge: &Table,
        packages: &[&Table],
        named: &HashMap<String, Vec<usize>>,
    ) -> Result<Vec<PackageExtra>, LockError> {
        let is_out =
            |variable: MarkerVariable, literal: &str| is_out(self.choice, variable, literal);
        let marker = contents::marker(text(edge, "marker"), self.place)?;
        if marker.is_some_and(|marker| marker.narrowed(&is_out) == Narrowed::Never) {
            return Ok(Vec::new());
        }
        let version = text(edge, "version");
        let to = named
            .get(&normalised(text(edge, "name").unwrap_or_default()))
            .into_iter()
            .flatten();
        let meant = to.filter(|at| {
            version.is_none()
                || packages
                    .get(**at)
                    .is_some_and(|package| text(package, "version") == version)
        });
        let of = |at: &usize| {
            let extras = texts(edge, "extra").map(|extra| (*at, Some(normalised(extra))));
            std::iter::once((*at, None))
                .chain(extras)
                .collect::<Vec<PackageExtra>>()
        };
        Ok(meant.flat_map(of).collect())
    }

    /// The requirements of a script, and of a workspace that is no project.
    fn manifest(&self) -> Vec<&'l Table> {
        let manifest = self.lock.get("manifest").and_then(Value::as_table);
        let own = manifest.and_then(|manifest| manifest.get("requirements"));
        let groups = manifest_groups(self.lock).into_iter().flatten();
        let groups = groups
            .filter(|(group, _)| self.choice.takes_group(group))
            .map(|(_, edges)| edges);
        own.into_iter().chain(groups).flat_map(tables).collect()
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
    let extra = named("extra-").is_some_and(|extra| !choice.takes_extra(extra));
    extra || named("group-").is_some_and(|group| !choice.takes_group(group))
}

/// Members of the workspace by name; none are named where it has only one.
fn members(lock: &Table) -> BTreeSet<String> {
    let manifest = lock.get("manifest").and_then(Value::as_table);
    manifest
        .into_iter()
        .flat_map(|manifest| texts(manifest, "members"))
        .map(normalised)
        .collect()
}

fn is_root(package: &Table, members: &BTreeSet<String>) -> bool {
    let source = package.get("source").and_then(Value::as_table);
    let tree = source.and_then(|source| {
        ["editable", "virtual", "directory"]
            .iter()
            .find_map(|key| text(source, key))
    });
    let is_member =
        || text(package, "name").is_some_and(|name| members.contains(&normalised(name)));
    tree.is_some_and(|tree| tree == "." || is_member())
}

fn manifest_groups(lock: &Table) -> Option<&Table> {
    lock.get("manifest")?
        .as_table()?
        .get("dependency-groups")?
        .as_table()
}

fn packages(lock: &Table) -> impl Iterator<Item = &Table> {
    PACKAGES
        .into_iter()
        .filter_map(|key| lock.get(key))
        .flat_map(tables)
}

fn tables(list: &Value) -> impl Iterator<Item = &Table> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
}
