//! Which files an input means, now that the pages are known. Pure.
//!
//! Owns the judgement: to fetch, left out by a filter, or missing and why. A file that the input locks has to be on a page
//! under the same sha256. Must not know how pages and files are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pep440_rs::Version;

use super::listing::{Listed, Listing, Metadata};
use super::locked_file::{self, Unfound};
use super::need::Need;
use super::selection::{self, Filter, Machine, Rules, Sdists};
use super::target::Target;
use crate::airgap::wanted::{Files, NamedFile, Versions, Wanted};
use crate::registry::{Route, Scope};
use crate::simple::{ProjectName, is_wheel};
use crate::values::digest::Digest;

/// What came of asking one scope for a project's page.
#[derive(Clone, Debug)]
pub enum Looked {
    Page(Listing),
    NotThere(Scope),
    /// Refused, broken or silent; in words.
    Failed(Scope, String),
}

/// Each project's pages, in the order in which they count.
pub type Pages = BTreeMap<ProjectName, Vec<Looked>>;

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub files: Vec<Planned>,
    pub filtered: Vec<Filtered>,
    pub missing: Vec<Missing>,
    /// What each machine needs, whether anything of it was found or not.
    pub needs: Vec<Need>,
}

/// A file to be there in the end.
#[derive(Clone, Debug)]
pub struct Planned {
    pub project: ProjectName,
    pub version: Option<Version>,
    pub filename: String,
    pub route: Route,
    /// Of the page, else of the input.
    pub sha256: Option<Digest>,
    pub size: Option<u64>,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub project: ProjectName,
    /// A file's name, or the version that was wanted.
    pub item: String,
    pub why: Filter,
}

/// Something that the input wants and nobody gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub project: ProjectName,
    pub version: Option<Version>,
    /// A file's name, a sha256, or the versions that were wanted.
    pub item: String,
    pub why: Absence,
    /// The machine that lacks it; `None`: not of one machine.
    pub target: Option<String>,
    pub place: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    NoProject(Vec<Scope>),
    NoSuchHash,
    NoSuchFile,
    OtherHash(Digest),
    NoVersion,
    NothingFits,
    /// Of the files that an input locks, none; why each was left out, and how many for this cause.
    NoneFits(BTreeMap<String, usize>),
    Elsewhere,
    /// A scope that could not be asked.
    Unasked(Scope, String),
    /// What befell the fetching of the file itself.
    Fetch(String),
}

impl From<Unfound> for Absence {
    fn from(why: Unfound) -> Self {
        match why {
            Unfound::Name => Self::NoSuchFile,
            Unfound::Sha256(other) => Self::OtherHash(other),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProject(scopes) => {
                let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
                write!(f, "no such project in {}", scopes.join(", "))
            }
            Self::NoSuchHash => f.write_str("no file on the page has this sha256"),
            Self::NoSuchFile => f.write_str("no file on the page has this name"),
            Self::OtherHash(digest) => write!(f, "the page says another sha256: {digest}"),
            Self::NoVersion => f.write_str("no version matches"),
            Self::NothingFits => f.write_str("no file of a matching version passes the filters"),
            Self::NoneFits(reasons) => {
                let reasons: Vec<String> =
                    reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
                write!(f, "none of the locked files fits ({})", reasons.join(", "))
            }
            Self::Elsewhere => f.write_str(
                "the page's link leads to a place that larder does not serve: add it to the mirror's `files`",
            ),
            Self::Unasked(scope, why) => write!(f, "{scope}: {why}"),
            Self::Fetch(why) => f.write_str(why),
        }
    }
}

/// Decides about everything that is wanted; what is wanted twice is planned once.
pub fn plan(wanted: &[Wanted], pages: &Pages, rules: &Rules) -> Plan {
    let mut plan = Plan::default();
    let targets = rules.target.machines();
    let all: Vec<Machine<'_>> = targets.iter().enumerate().collect();
    for one in wanted {
        let looked = pages
            .get(&one.project)
            .map(Vec::as_slice)
            .unwrap_or_default();
        One {
            wanted: one,
            looked,
            rules,
            machines: Vec::new(),
        }
        .add_to(&mut plan, &all);
    }
    plan.merge();
    plan
}

/// One wanted project with its pages.
struct One<'a> {
    wanted: &'a Wanted,
    looked: &'a [Looked],
    rules: &'a Rules,
    /// Those that may need it.
    machines: Vec<Machine<'a>>,
}

/// What was found of one wanted project.
#[derive(Default)]
struct Found {
    /// Each file with the machines that take it.
    kept: Vec<(Planned, BTreeSet<usize>)>,
    /// Machines for which something that was not found may have been.
    excused: BTreeSet<usize>,
}

impl<'a> One<'a> {
    fn add_to(mut self, plan: &mut Plan, all: &[Machine<'a>]) {
        let item = versions(&self.wanted.versions);
        let requires = self.wanted.requires_python.as_ref();
        let released = all
            .iter()
            .filter(|(_, target)| requires.is_none_or(|text| target.may_be_among(text)));
        let released: Vec<Machine<'a>> = released.copied().collect();
        if let (Some(requires), true) = (requires, released.is_empty()) {
            plan.filtered
                .push(self.filtered(item, Filter::RequiresPython(requires.to_string())));
            return;
        }
        let marker = self.wanted.marker.as_ref();
        let rules_out = |target: &Target| marker.is_some_and(|marker| target.rules_out(marker));
        self.machines = released
            .into_iter()
            .filter(|(_, target)| !rules_out(target))
            .collect();
        if self.machines.is_empty() {
            plan.filtered.push(self.filtered(item, Filter::Marker));
            return;
        }
        let left_out_before = plan.filtered.len();
        let mut found = self.find_files(plan);
        if self.rules.sdists == Sdists::IfNoWheel {
            self.drop_built(plan, &mut found);
        }
        let left_out = plan.filtered.split_off(left_out_before);
        for (at, target) in &self.machines {
            if !rules_out(&target.with_implementation()) {
                self.add_need(plan, &found, &left_out, (*at, target));
            }
        }
        plan.filtered.extend(left_out);
        plan.files
            .extend(found.kept.into_iter().map(|(file, _)| file));
    }

    fn find_files(&self, plan: &mut Plan) -> Found {
        let mut found = Found::default();
        let every = || self.machines.iter().map(|(at, _)| *at).collect();
        match &self.wanted.files {
            Files::Hashed(digests) => {
                for digest in digests {
                    let file = self.listed().find(|file| file.sha256 == Some(*digest));
                    let file = file.ok_or(Absence::NoSuchHash);
                    self.locked(
                        file,
                        (format!("sha256:{digest}"), every()),
                        Some(*digest),
                        plan,
                        &mut found,
                    );
                }
            }
            Files::Named(files) => {
                for file in files {
                    let by_name = selection::by_name(&file.filename, self.rules, &self.machines);
                    match (locked_file::find(file, self.listed()), by_name) {
                        (Err(_), Err(why)) => plan
                            .filtered
                            .push(self.filtered(file.filename.clone(), why)),
                        (listed, by_name) => {
                            let item = (file.filename.clone(), by_name.unwrap_or_else(|_| every()));
                            let listed = listed.map_err(Absence::from);
                            self.locked(listed, item, file.sha256, plan, &mut found);
                        }
                    }
                }
            }
            Files::Any => self.choose(plan, &mut found),
        }
        found
    }

    /// What one machine needs; missing if there is no file for it, and nothing was said that explains it.
    fn add_need(
        &self,
        plan: &mut Plan,
        found: &Found,
        left_out: &[Filtered],
        (at, target): (usize, &Target),
    ) {
        let fitting = found.kept.iter().filter(|(_, fits)| fits.contains(&at));
        let files: BTreeSet<String> = fitting.map(|(file, _)| file.route.path()).collect();
        if files.is_empty() && !found.excused.contains(&at) {
            let why = match &self.wanted.files {
                Files::Any => Absence::NothingFits,
                Files::Hashed(_) | Files::Named(_) => {
                    Absence::NoneFits(reasons(left_out, &found.kept))
                }
            };
            let missing = self.missing(versions(&self.wanted.versions), why);
            plan.missing.push(Missing {
                target: Some(target.to_string()),
                ..missing
            });
        }
        let item = versions(&self.wanted.versions);
        plan.needs.push(Need {
            machine: at,
            project: self.wanted.project.clone(),
            item,
            files,
        });
    }

    fn listed(&self) -> impl Iterator<Item = &Listed> + Clone {
        self.listings().flat_map(|listing| &listing.files)
    }

    fn listings(&self) -> impl Iterator<Item = &Listing> + Clone {
        self.looked.iter().filter_map(|looked| match looked {
            Looked::Page(listing) => Some(listing),
            Looked::NotThere(_) | Looked::Failed(..) => None,
        })
    }

    fn locked(
        &self,
        file: Result<&Listed, Absence>,
        (item, may_fit): (String, BTreeSet<usize>),
        sha256: Option<Digest>,
        plan: &mut Plan,
        found: &mut Found,
    ) {
        let judged = file.map(|file| {
            (
                file,
                selection::judge(file, sha256.is_some(), self.rules, &self.machines),
            )
        });
        let why = match judged {
            Err(why) => self.absence(why),
            Ok((file, Err(why))) => {
                return plan
                    .filtered
                    .push(self.filtered(file.filename.clone(), why));
            }
            Ok((file, Ok(fits))) => match self.planned(file, sha256) {
                Some(planned) => return found.kept.push((planned, fits)),
                None => Absence::Elsewhere,
            },
        };
        plan.missing.push(self.missing(item, why));
        found.excused.extend(may_fit);
    }

    /// What was not found on any page may be on one that could not be read.
    fn absence(&self, otherwise: Absence) -> Absence {
        if let Absence::OtherHash(_) = otherwise {
            return otherwise;
        }
        let failed = self.looked.iter().find_map(|looked| match looked {
            Looked::Failed(scope, why) => Some(Absence::Unasked(scope.clone(), why.clone())),
            _ => None,
        });
        failed.unwrap_or_else(|| match self.listings().next() {
            Some(_) => otherwise,
            None => Absence::NoProject(self.scopes()),
        })
    }

    fn scopes(&self) -> Vec<Scope> {
        let scope = |looked: &Looked| match looked {
            Looked::Page(listing) => listing.scope.clone(),
            Looked::NotThere(scope) | Looked::Failed(scope, _) => scope.clone(),
        };
        self.looked.iter().map(scope).collect()
    }

    /// Files of the newest matching versions, for each machine those that it takes.
    fn choose(&self, plan: &mut Plan, found: &mut Found) {
        let Some(listing) = self.chosen_page() else {
            found
                .excused
                .extend(self.machines.iter().map(|(at, _)| *at));
            let item = versions(&self.wanted.versions);
            return plan
                .missing
                .push(self.missing(item, self.absence(Absence::NoVersion)));
        };
        let mut offered: BTreeMap<Version, Vec<(&Listed, BTreeSet<usize>)>> = BTreeMap::new();
        for (file, version) in self.matching(listing) {
            match selection::judge(file, false, self.rules, &self.machines) {
                Ok(fits) => offered
                    .entry(version.clone())
                    .or_default()
                    .push((file, fits)),
                Err(why) => plan
                    .filtered
                    .push(self.filtered(file.filename.clone(), why)),
            }
        }
        let mut taken: BTreeSet<&Version> = BTreeSet::new();
        for (at, _) in &self.machines {
            let for_it = offered
                .iter()
                .filter(|(_, files)| files.iter().any(|(_, fits)| fits.contains(at)));
            let for_it: BTreeMap<Version, &Version> = for_it
                .map(|(version, _)| (version.clone(), version))
                .collect();
            let Wanted {
                versions,
                prereleases,
                ..
            } = self.wanted;
            taken.extend(selection::taken(for_it, versions, *prereleases, self.rules));
        }
        if taken.is_empty() && !offered.is_empty() {
            // There are pre-releases alone, and the input wants none.
            found
                .excused
                .extend(self.machines.iter().map(|(at, _)| *at));
            let item = versions(&self.wanted.versions);
            return plan.missing.push(self.missing(item, Absence::NoVersion));
        }
        for (_, files) in offered
            .iter()
            .rev()
            .filter(|(version, _)| taken.contains(version))
        {
            for (file, fits) in files {
                match self.planned(file, None) {
                    Some(planned) => found.kept.push((planned, fits.clone())),
                    None => {
                        plan.missing
                            .push(self.missing(file.filename.clone(), Absence::Elsewhere));
                        found.excused.extend(fits);
                    }
                }
            }
        }
    }

    /// The page that a project without hashes is taken from, if it has a matching version. The first scope that has the
    /// project has all of it: what another one offers under its name may be somebody else's. A pin with a local version
    /// (PEP 440: no index for everybody takes one) names a build that one index alone may have, and is looked for in all.
    fn chosen_page(&self) -> Option<&Listing> {
        let is_local = matches!(&self.wanted.versions, Versions::Exactly(version) if !version.local().is_empty());
        let is_there = |listing: &&Listing| self.matching(listing).next().is_some();
        for looked in self.looked {
            match looked {
                Looked::NotThere(_) => {}
                Looked::Page(listing) if is_local && !is_there(&listing) => {}
                Looked::Page(listing) => return Some(listing).filter(is_there),
                // It may have it.
                Looked::Failed(..) => return None,
            }
        }
        None
    }

    fn matching<'l>(
        &self,
        listing: &'l Listing,
    ) -> impl Iterator<Item = (&'l Listed, &'l Version)> {
        let with_version = listing
            .files
            .iter()
            .filter_map(|file| Some((file, file.version.as_ref()?)));
        with_version.filter(|(_, version)| selection::is_among(version, &self.wanted.versions))
    }

    /// Leaves out the sdists of versions that have a wheel for each machine that would build it.
    fn drop_built(&self, plan: &mut Plan, found: &mut Found) {
        let mut built: BTreeMap<Option<Version>, BTreeSet<usize>> = BTreeMap::new();
        for (wheel, fits) in found.kept.iter().filter(|(file, _)| file.is_wheel()) {
            built.entry(wheel.version.clone()).or_default().extend(fits);
        }
        found.kept.retain(|(file, fits)| {
            let goes = !file.is_wheel()
                && built
                    .get(&file.version)
                    .is_some_and(|built| fits.is_subset(built));
            if goes {
                plan.filtered
                    .push(self.filtered(file.filename.clone(), Filter::HasWheel));
            }
            !goes
        });
    }

    fn planned(&self, file: &Listed, sha256: Option<Digest>) -> Option<Planned> {
        Some(Planned {
            project: self.wanted.project.clone(),
            version: file.version.clone(),
            filename: file.filename.clone(),
            route: file.route.clone()?,
            sha256: file.sha256.or(sha256),
            size: file.size.or_else(|| self.locked_size(file)),
            metadata: if file.is_wheel() {
                file.metadata
            } else {
                Metadata::Absent
            },
        })
    }

    fn locked_size(&self, file: &Listed) -> Option<u64> {
        let Files::Named(files) = &self.wanted.files else {
            return None;
        };
        let is_it = |named: &&NamedFile| locked_file::find(named, std::iter::once(file)).is_ok();
        files.iter().find(is_it)?.size
    }

    fn filtered(&self, item: String, why: Filter) -> Filtered {
        Filtered {
            project: self.wanted.project.clone(),
            item,
            why,
        }
    }

    fn missing(&self, item: String, why: Absence) -> Missing {
        let version = match &self.wanted.versions {
            Versions::Exactly(version) => Some(version.clone()),
            _ => None,
        };
        Missing {
            project: self.wanted.project.clone(),
            version,
            item,
            why,
            target: None,
            place: self.wanted.place.clone(),
        }
    }
}

impl Planned {
    pub fn is_wheel(&self) -> bool {
        is_wheel(&self.filename)
    }
}

impl Plan {
    /// The bytes of files whose size is known, and how many files have none.
    pub fn bytes(&self) -> (u64, usize) {
        let known = self.files.iter().filter_map(|file| file.size).sum();
        (
            known,
            self.files.iter().filter(|file| file.size.is_none()).count(),
        )
    }

    fn merge(&mut self) {
        let mut seen = BTreeSet::new();
        self.files.retain(|file| seen.insert(file.route.path()));
        let mut seen = BTreeSet::new();
        self.filtered
            .retain(|file| seen.insert((file.project.clone(), file.item.clone())));
        let mut seen = BTreeSet::new();
        self.missing.retain(|file| {
            seen.insert((file.project.clone(), file.item.clone(), file.target.clone()))
        });
    }
}

/// Why files were left out, and how many for each cause; those that are kept are so for other machines.
fn reasons(left_out: &[Filtered], kept: &[(Planned, BTreeSet<usize>)]) -> BTreeMap<String, usize> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let of_others = kept.iter().map(|_| &Filter::Tags);
    for why in left_out.iter().map(|one| &one.why).chain(of_others) {
        *reasons.entry(why.to_string()).or_default() += 1;
    }
    reasons
}

/// In the words of a requirement.
fn versions(versions: &Versions) -> String {
    match versions {
        Versions::Exactly(version) => format!("=={version}"),
        Versions::Matching(specifiers) if specifiers.is_empty() => "any version".to_owned(),
        Versions::Matching(specifiers) => specifiers.to_string(),
        Versions::Latest(1) => "the newest version".to_owned(),
        Versions::Latest(count) => format!("the newest {count} versions"),
        Versions::All => "all versions".to_owned(),
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
