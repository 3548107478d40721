//! Which files an input means, now that the pages are known. Pure.
//!
//! Owns the judgement: to fetch, left out by a filter, or missing and why. A file that the input
//! locks has to be on a page under the same sha256. Must not know how pages and files are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pep440_rs::Version;

use super::locked_file::{self, Unfound};
use super::need::Need;
use super::page::{MetadataOffer, PageFile, ServedPage};
use super::selection::{self, FilterReason, NumberedMachine, Sdists, SelectionRules};
use super::target::Machine;
use crate::airgap::wanted::{NamedFile, WantedFiles, WantedProject, WantedVersions};
use crate::registry::{Route, Scope};
use crate::simple::{ProjectName, is_wheel};
use crate::values::digest::Digest;

/// What came of asking one scope for a project's page.
#[derive(Clone, Debug)]
pub enum PageLookup {
    Page(ServedPage),
    NotThere(Scope),
    /// Refused, broken or silent; in words.
    Failed(Scope, String),
}

/// Each project's pages, in the order in which they count.
pub type ProjectPages = BTreeMap<ProjectName, Vec<PageLookup>>;

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct WarmPlan {
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
    pub metadata: MetadataOffer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub project: ProjectName,
    /// A file's name, or the version that was wanted.
    pub item: String,
    pub why: FilterReason,
}

/// Something that the input wants and no index gives.
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
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|(why, count)| format!("{count} {why}"))
                    .collect();
                write!(f, "none of the locked files fits ({})", reasons.join(", "))
            }
            Self::Elsewhere => f.write_str(
                "the page's link leads to a place that larder does not serve: \
                 add it to the mirror's `files`",
            ),
            Self::Unasked(scope, why) => write!(f, "{scope}: {why}"),
            Self::Fetch(why) => f.write_str(why),
        }
    }
}

/// Decides about everything that is wanted; what is wanted twice is planned once.
pub fn plan(wanted: &[WantedProject], pages: &ProjectPages, rules: &SelectionRules) -> WarmPlan {
    let mut plan = WarmPlan::default();
    for one in wanted {
        let planner = ProjectPlanner {
            wanted: one,
            looked: pages.get(&one.project).map_or(&[], Vec::as_slice),
            rules,
            machines: rules.target.machines().iter().enumerate().collect(),
            kept: Vec::new(),
            excused: BTreeSet::new(),
            filtered_before: plan.filtered.len(),
            plan: &mut plan,
        };
        planner.add_to_plan();
    }
    plan.merge();
    plan
}

/// One wanted project with its pages, and what was found of it.
struct ProjectPlanner<'a> {
    wanted: &'a WantedProject,
    looked: &'a [PageLookup],
    rules: &'a SelectionRules,
    /// Those that may need it.
    machines: Vec<NumberedMachine<'a>>,
    /// Each file with the machines that take it.
    kept: Vec<(Planned, BTreeSet<usize>)>,
    /// Machines for which something that was not found may have been.
    excused: BTreeSet<usize>,
    /// How many the plan had left out of other projects.
    filtered_before: usize,
    plan: &'a mut WarmPlan,
}

/// A file that the input locks.
struct LockedItem {
    /// Its name or digest, for reports.
    item: String,
    /// The machines that it may be for.
    may_fit: BTreeSet<usize>,
    sha256: Option<Digest>,
}

impl<'a> ProjectPlanner<'a> {
    fn add_to_plan(mut self) {
        let item = versions(&self.wanted.versions);
        if let Some(requires) = &self.wanted.requires_python {
            self.machines.retain(|(_, one)| one.may_be_among(requires));
            if self.machines.is_empty() {
                let why = FilterReason::RequiresPython(requires.to_string());
                return self.filter_out(&item, why);
            }
        }
        if let Some(marker) = &self.wanted.marker {
            self.machines.retain(|(_, one)| !one.rules_out(marker));
            if self.machines.is_empty() {
                return self.filter_out(&item, FilterReason::Marker);
            }
        }
        self.find_files();
        if self.rules.sdists == Sdists::IfNoWheel {
            self.drop_built();
        }
        for (at, machine) in std::mem::take(&mut self.machines) {
            if let Some(marker) = &self.wanted.marker
                && machine.with_implementation().rules_out(marker)
            {
                continue;
            }
            self.add_need(at, machine);
        }
        for (file, _) in self.kept {
            self.plan.files.push(file);
        }
    }

    fn find_files(&mut self) {
        match &self.wanted.files {
            WantedFiles::Hashed(digests) => {
                for digest in digests {
                    let mut listed = listed(self.looked);
                    let file = listed.find(|file| file.sha256 == Some(*digest));
                    let locked = LockedItem {
                        item: format!("sha256:{digest}"),
                        may_fit: self.every_machine(),
                        sha256: Some(*digest),
                    };
                    self.locked(file.ok_or(Absence::NoSuchHash), locked);
                }
            }
            WantedFiles::Named(files) => {
                for file in files {
                    self.find_named(file);
                }
            }
            WantedFiles::Any => self.choose(),
        }
    }

    fn find_named(&mut self, file: &NamedFile) {
        let listed = locked_file::find(file, listed(self.looked));
        let may_fit = match selection::by_name(&file.filename, self.rules, &self.machines) {
            Ok(may_fit) => may_fit,
            Err(why) if listed.is_err() => return self.filter_out(&file.filename, why),
            Err(_) => self.every_machine(),
        };
        let locked = LockedItem {
            item: file.filename.clone(),
            may_fit,
            sha256: file.sha256,
        };
        self.locked(listed.map_err(Absence::from), locked);
    }

    /// What one machine needs; missing if there is no file for it, and nothing was said that
    /// explains it.
    fn add_need(&mut self, at: usize, machine: &Machine) {
        let item = versions(&self.wanted.versions);
        let mut files = BTreeSet::new();
        for (file, fits) in &self.kept {
            if fits.contains(&at) {
                files.insert(file.route.path());
            }
        }
        if files.is_empty() && !self.excused.contains(&at) {
            let why = match &self.wanted.files {
                WantedFiles::Any => Absence::NothingFits,
                WantedFiles::Hashed(_) | WantedFiles::Named(_) => Absence::NoneFits(self.reasons()),
            };
            let missing = self.missing(item.clone(), why);
            self.plan.missing.push(Missing {
                target: Some(machine.to_string()),
                ..missing
            });
        }
        self.plan.needs.push(Need {
            machine: at,
            project: self.wanted.project.clone(),
            item,
            files,
        });
    }

    /// Why files were left out, and how many for each cause; those that are kept are so for other
    /// machines.
    fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for one in self.plan.filtered.iter().skip(self.filtered_before) {
            *reasons.entry(one.why.to_string()).or_default() += 1;
        }
        if !self.kept.is_empty() {
            let of_others = reasons.entry(FilterReason::Tags.to_string());
            *of_others.or_default() += self.kept.len();
        }
        reasons
    }

    fn locked(&mut self, file: Result<&PageFile, Absence>, locked: LockedItem) {
        let why = match file {
            Err(why) => self.absence(why),
            Ok(file) => {
                let is_hashed = locked.sha256.is_some();
                let fits = match selection::judge(file, is_hashed, self.rules, &self.machines) {
                    Ok(fits) => fits,
                    Err(why) => return self.filter_out(&file.filename, why),
                };
                match self.planned(file, locked.sha256) {
                    Some(planned) => return self.kept.push((planned, fits)),
                    None => Absence::Elsewhere,
                }
            }
        };
        self.lacks(locked.item, why, locked.may_fit);
    }

    /// What was not found on any page may be on one that could not be read.
    fn absence(&self, otherwise: Absence) -> Absence {
        if let Absence::OtherHash(_) = otherwise {
            return otherwise;
        }
        let mut absent_from = Vec::new();
        for looked in self.looked {
            match looked {
                PageLookup::Page(_) => {}
                PageLookup::NotThere(scope) => absent_from.push(scope.clone()),
                PageLookup::Failed(scope, why) => {
                    return Absence::Unasked(scope.clone(), why.clone());
                }
            }
        }
        if absent_from.len() < self.looked.len() {
            otherwise
        } else {
            Absence::NoProject(absent_from)
        }
    }

    /// Files of the newest matching versions, for each machine those that it takes.
    fn choose(&mut self) {
        let wanted = self.wanted;
        let item = versions(&wanted.versions);
        let Some(page) = self.chosen_page() else {
            let why = self.absence(Absence::NoVersion);
            return self.lacks(item, why, self.every_machine());
        };
        let mut offered: BTreeMap<&Version, Vec<(&PageFile, BTreeSet<usize>)>> = BTreeMap::new();
        for (file, version) in matching(page, &wanted.versions) {
            match selection::judge(file, false, self.rules, &self.machines) {
                Ok(fits) => offered.entry(version).or_default().push((file, fits)),
                Err(why) => self.filter_out(&file.filename, why),
            }
        }
        let mut taken: BTreeSet<&Version> = BTreeSet::new();
        for (at, _) in &self.machines {
            let mut for_it = BTreeMap::new();
            for (version, files) in &offered {
                if files.iter().any(|(_, fits)| fits.contains(at)) {
                    for_it.insert((*version).clone(), *version);
                }
            }
            let prereleases = wanted.prereleases;
            let newest = selection::taken(for_it, &wanted.versions, prereleases, self.rules);
            taken.extend(newest);
        }
        if taken.is_empty() && !offered.is_empty() {
            // There are pre-releases alone, and the input wants none.
            return self.lacks(item, Absence::NoVersion, self.every_machine());
        }
        for (version, files) in offered.into_iter().rev() {
            if !taken.contains(version) {
                continue;
            }
            for (file, fits) in files {
                match self.planned(file, None) {
                    Some(planned) => self.kept.push((planned, fits)),
                    None => self.lacks(file.filename.clone(), Absence::Elsewhere, fits),
                }
            }
        }
    }

    /// Notes that something was not found, for whichever of these machines.
    fn lacks(&mut self, item: String, why: Absence, may_fit: BTreeSet<usize>) {
        let missing = self.missing(item, why);
        self.plan.missing.push(missing);
        self.excused.extend(may_fit);
    }

    fn every_machine(&self) -> BTreeSet<usize> {
        self.machines.iter().map(|(at, _)| *at).collect()
    }

    /// The page that a project without hashes is taken from, if it has a matching version. The
    /// first scope that has the project has all of it: what another one offers under its name may
    /// be another project. A pin with a local version (PEP 440: no public index takes one) names a
    /// build that one index alone may have, and is looked for in all.
    fn chosen_page(&self) -> Option<&'a ServedPage> {
        let versions = &self.wanted.versions;
        let is_local = match versions {
            WantedVersions::Exactly(version) => !version.local().is_empty(),
            _ => false,
        };
        for looked in self.looked {
            match looked {
                PageLookup::NotThere(_) => {}
                PageLookup::Page(page) if matching(page, versions).next().is_some() => {
                    return Some(page);
                }
                PageLookup::Page(_) if is_local => {}
                // Another scope is not asked; one that failed may have it.
                PageLookup::Page(_) | PageLookup::Failed(..) => return None,
            }
        }
        None
    }

    /// Leaves out the sdists of versions that have a wheel for each machine that would build it.
    fn drop_built(&mut self) {
        let mut built: BTreeMap<Option<Version>, BTreeSet<usize>> = BTreeMap::new();
        for (file, fits) in &self.kept {
            if file.is_wheel() {
                built.entry(file.version.clone()).or_default().extend(fits);
            }
        }
        for (file, fits) in std::mem::take(&mut self.kept) {
            if let Some(built) = built.get(&file.version)
                && fits.is_subset(built)
                && !file.is_wheel()
            {
                self.filter_out(&file.filename, FilterReason::HasWheel);
            } else {
                self.kept.push((file, fits));
            }
        }
    }

    fn planned(&self, file: &PageFile, sha256: Option<Digest>) -> Option<Planned> {
        Some(Planned {
            project: self.wanted.project.clone(),
            version: file.version.clone(),
            filename: file.filename.clone(),
            route: file.route.clone()?,
            sha256: file.sha256.or(sha256),
            size: file.size.or_else(|| self.locked_size(file)),
            metadata: if is_wheel(&file.filename) {
                file.metadata
            } else {
                MetadataOffer::Absent
            },
        })
    }

    fn locked_size(&self, file: &PageFile) -> Option<u64> {
        let WantedFiles::Named(files) = &self.wanted.files else {
            return None;
        };
        for named in files {
            if locked_file::find(named, std::iter::once(file)).is_ok() {
                return named.size;
            }
        }
        None
    }

    fn filter_out(&mut self, item: &str, why: FilterReason) {
        self.plan.filtered.push(Filtered {
            project: self.wanted.project.clone(),
            item: item.to_owned(),
            why,
        });
    }

    fn missing(&self, item: String, why: Absence) -> Missing {
        let version = match &self.wanted.versions {
            WantedVersions::Exactly(version) => Some(version.clone()),
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

/// The files of all pages.
fn listed(looked: &[PageLookup]) -> impl Iterator<Item = &PageFile> + Clone {
    looked.iter().flat_map(|looked| match looked {
        PageLookup::Page(page) => page.files.as_slice(),
        PageLookup::NotThere(_) | PageLookup::Failed(..) => &[],
    })
}

/// The files of a page that are of one of these versions.
fn matching<'l>(
    page: &'l ServedPage,
    versions: &WantedVersions,
) -> impl Iterator<Item = (&'l PageFile, &'l Version)> {
    page.files.iter().filter_map(|file| {
        let version = file.version.as_ref()?;
        selection::is_among(version, versions).then_some((file, version))
    })
}

impl Planned {
    pub fn is_wheel(&self) -> bool {
        is_wheel(&self.filename)
    }
}

impl WarmPlan {
    /// The bytes of files whose size is known, and how many files have none.
    pub fn bytes(&self) -> (u64, usize) {
        let mut bytes = 0;
        let mut unknown = 0;
        for file in &self.files {
            match file.size {
                Some(size) => bytes += size,
                None => unknown += 1,
            }
        }
        (bytes, unknown)
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

/// In the words of a requirement.
fn versions(versions: &WantedVersions) -> String {
    match versions {
        WantedVersions::Exactly(version) => format!("=={version}"),
        WantedVersions::Matching(specifiers) if specifiers.is_empty() => "any version".to_owned(),
        WantedVersions::Matching(specifiers) => specifiers.to_string(),
        WantedVersions::Latest(1) => "the newest version".to_owned(),
        WantedVersions::Latest(count) => format!("the newest {count} versions"),
        WantedVersions::All => "all versions".to_owned(),
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
