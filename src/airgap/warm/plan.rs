//! Which files an input means, now that the pages are known. Pure.
//!
//! Owns the judgement: to fetch, left out by a filter, or missing and why. A file that the input locks has to be on a page
//! under the same sha256. Must not know how pages and files are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pep440_rs::Version;

use super::listing::{Listed, Listing, Metadata};
use super::locked_file::{self, Unfound};
use super::selection::{self, Filter, Rules, Sdists};
use crate::airgap::wanted::{Files, NamedFile, Versions, Wanted};
use crate::digest::Digest;
use crate::registry::{Route, Scope};
use crate::simple::ProjectName;

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
    for one in wanted {
        let looked = pages.get(&one.project).map(Vec::as_slice).unwrap_or_default();
        One { wanted: one, looked, rules }.add_to(&mut plan);
    }
    plan.merge();
    plan
}

/// One wanted project with its pages.
struct One<'a> {
    wanted: &'a Wanted,
    looked: &'a [Looked],
    rules: &'a Rules,
}

impl One<'_> {
    fn add_to(&self, plan: &mut Plan) {
        let requires = self.wanted.requires_python.as_ref();
        if let Some(requires) = requires.filter(|text| !self.rules.target.may_be_among(text)) {
            plan.filtered.push(
                self.filtered(versions(&self.wanted.versions), Filter::RequiresPython(requires.to_string())),
            );
            return;
        }
        if self.wanted.marker.as_ref().is_some_and(|marker| self.rules.target.rules_out(marker)) {
            plan.filtered.push(self.filtered(versions(&self.wanted.versions), Filter::Marker));
            return;
        }
        let mut kept: Vec<Planned> = Vec::new();
        match &self.wanted.files {
            Files::Hashed(digests) => {
                for digest in digests {
                    let found = self.listed().find(|file| file.sha256 == Some(*digest));
                    let item = || format!("sha256:{digest}");
                    self.locked(found.ok_or(Absence::NoSuchHash), item, Some(*digest), plan, &mut kept);
                }
            }
            Files::Named(files) => {
                for file in files {
                    let item = || file.filename.clone();
                    match (
                        locked_file::find(file, self.listed()),
                        selection::by_name(&file.filename, self.rules),
                    ) {
                        (Err(_), Err(why)) => plan.filtered.push(self.filtered(item(), why)),
                        (found, _) => {
                            let found = found.map_err(Absence::from);
                            self.locked(found, item, file.sha256, plan, &mut kept);
                        }
                    }
                }
            }
            Files::Any => self.choose(plan, &mut kept),
        }
        if self.rules.sdists == Sdists::IfNoWheel {
            self.drop_built(plan, &mut kept);
        }
        plan.files.append(&mut kept);
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
        found: Result<&Listed, Absence>,
        item: impl Fn() -> String,
        sha256: Option<Digest>,
        plan: &mut Plan,
        kept: &mut Vec<Planned>,
    ) {
        match found {
            Err(why) => plan.missing.push(self.missing(item(), self.absence(why))),
            Ok(file) => match selection::judge(file, sha256.is_some(), self.rules) {
                Err(why) => plan.filtered.push(self.filtered(file.filename.clone(), why)),
                Ok(()) => match self.planned(file, sha256) {
                    Some(planned) => kept.push(planned),
                    None => plan.missing.push(self.missing(item(), Absence::Elsewhere)),
                },
            },
        }
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

    /// Files of the newest matching versions. The first scope that has the project has all of it: what another one offers
    /// under its name may be somebody else's.
    fn choose(&self, plan: &mut Plan, kept: &mut Vec<Planned>) {
        let item = versions(&self.wanted.versions);
        let first = self.looked.iter().find(|looked| !matches!(looked, Looked::NotThere(_)));
        let listing = match first {
            Some(Looked::Page(listing)) => listing,
            _ => return plan.missing.push(self.missing(item, self.absence(Absence::NoVersion))),
        };
        let mut is_there = false;
        let mut offered: BTreeMap<Version, Vec<&Listed>> = BTreeMap::new();
        for file in &listing.files {
            let Some(version) = &file.version else { continue };
            if !selection::is_among(version, &self.wanted.versions) {
                continue;
            }
            is_there = true;
            match selection::judge(file, false, self.rules) {
                Ok(()) => offered.entry(version.clone()).or_default().push(file),
                Err(why) => plan.filtered.push(self.filtered(file.filename.clone(), why)),
            }
        }
        if offered.is_empty() {
            let why = if is_there { Absence::NothingFits } else { Absence::NoVersion };
            return plan.missing.push(self.missing(item, why));
        }
        let Wanted { versions, prereleases, .. } = self.wanted;
        let taken: Vec<&Listed> =
            selection::taken(offered, versions, *prereleases, self.rules).flatten().collect();
        if taken.is_empty() {
            // There are pre-releases alone, and the input wants none.
            return plan.missing.push(self.missing(item, Absence::NoVersion));
        }
        for file in taken {
            match self.planned(file, None) {
                Some(planned) => kept.push(planned),
                None => plan.missing.push(self.missing(file.filename.clone(), Absence::Elsewhere)),
            }
        }
    }

    /// Leaves out the sdists of versions that have a wheel.
    fn drop_built(&self, plan: &mut Plan, kept: &mut Vec<Planned>) {
        let wheels: BTreeSet<Option<Version>> =
            kept.iter().filter(|file| file.is_wheel()).map(|file| file.version.clone()).collect();
        kept.retain(|file| {
            let goes = !file.is_wheel() && wheels.contains(&file.version);
            if goes {
                plan.filtered.push(self.filtered(file.filename.clone(), Filter::HasWheel));
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
            metadata: if file.is_wheel() { file.metadata } else { Metadata::Absent },
        })
    }

    fn locked_size(&self, file: &Listed) -> Option<u64> {
        let Files::Named(files) = &self.wanted.files else { return None };
        let is_it = |named: &&NamedFile| locked_file::find(named, std::iter::once(file)).is_ok();
        files.iter().find(is_it)?.size
    }

    fn filtered(&self, item: String, why: Filter) -> Filtered {
        Filtered { project: self.wanted.project.clone(), item, why }
    }

    fn missing(&self, item: String, why: Absence) -> Missing {
        let version = match &self.wanted.versions {
            Versions::Exactly(version) => Some(version.clone()),
            _ => None,
        };
        Missing { project: self.wanted.project.clone(), version, item, why, place: self.wanted.place.clone() }
    }
}

impl Planned {
    pub fn is_wheel(&self) -> bool {
        self.filename.ends_with(".whl")
    }
}

impl Plan {
    /// The bytes of files whose size is known, and how many files have none.
    pub fn bytes(&self) -> (u64, usize) {
        let known = self.files.iter().filter_map(|file| file.size).sum();
        (known, self.files.iter().filter(|file| file.size.is_none()).count())
    }

    fn merge(&mut self) {
        let mut seen = BTreeSet::new();
        self.files.retain(|file| seen.insert(file.route.path()));
        let mut seen = BTreeSet::new();
        self.filtered.retain(|file| seen.insert((file.project.clone(), file.item.clone())));
        let mut seen = BTreeSet::new();
        self.missing.retain(|file| seen.insert((file.project.clone(), file.item.clone())));
    }
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
