//! The questions about one page: the versions of its project, newest first, and the files of those
//! that have a file without a date.
//!
//! Newest first, because a resolver that wants nothing younger than some day takes the newest file
//! that is older: a page that has its newer half is of use already. Must not choose whom to ask.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use pep440_rs::Version;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::rate::RequestRate;
use super::token::AskingToken;
use crate::access::Access;
use crate::registry::{FileRef, PackagesAddress, PageRef, Scope, ScopeKind};
use crate::simple::{FileFacts, ProjectName, file_version};
use crate::store::DatedFile;
use crate::upstream::{ListPage, ListedPackage, PackageFile, PackagesError, Upstream};
use crate::values::clock;
use crate::values::digest::Digest;

/// After a failure GitLab is asked for no dates for so long.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Why a run ended early.
pub enum RunError {
    /// GitLab does not tell this credential.
    Refused(StatusCode),
    /// GitLab told it the list, and then took it no more.
    Died(StatusCode),
    /// So many requests are sent for one page in one go.
    Enough,
    /// The token is not to be used any more: it was given too long ago, or its rights were revoked.
    Lapsed,
    /// No more is asked at all: these settings are not in force any more.
    Closed,
    /// Nothing is to be asked for so long.
    Pause(Duration, PackagesError),
}

impl From<PackagesError> for RunError {
    fn from(why: PackagesError) -> Self {
        match why {
            PackagesError::Refused(status) => Self::Refused(status),
            PackagesError::Later(wait) => Self::Pause(wait, why),
            PackagesError::Failed(_) | PackagesError::Unreadable(_) => {
                Self::Pause(PAUSE_AFTER_FAILURE, why)
            }
        }
    }
}

/// A file that lacked a date when the run began.
struct WantedFile {
    /// As its name has it, if that can be read.
    version: Option<Version>,
    is_found: bool,
}

/// What a run asks with.
pub struct RunTools<'a> {
    pub upstream: &'a Upstream,
    pub access: &'a Access,
    pub rate: &'a RequestRate,
    /// Closed when no more is to be asked.
    pub turns: &'a Semaphore,
}

pub struct DatesRun<'a> {
    tools: RunTools<'a>,
    requests_left: u32,
    page: &'a PageRef,
    name: &'a ProjectName,
    wanted: HashMap<(Digest, String), WantedFile>,
    missing: usize,
    found: Vec<DatedFile>,
    is_partial: bool,
}

impl<'a> DatesRun<'a> {
    /// About these files; none for a list of projects.
    pub fn new(
        tools: RunTools<'a>,
        requests_max: u32,
        page: &'a PageRef,
        undated: impl Iterator<Item = &'a FileRef>,
    ) -> Option<Self> {
        let name = page.name.as_ref()?;
        let mut wanted = HashMap::new();
        for file in undated {
            let filename = file.filename.as_str();
            let version = file_version(filename, name).and_then(|text| text.parse().ok());
            let file_wanted = WantedFile {
                version,
                is_found: false,
            };
            wanted.insert((file.digest, filename.to_owned()), file_wanted);
        }
        Some(Self {
            tools,
            requests_left: requests_max,
            page,
            name,
            missing: wanted.len(),
            wanted,
            found: Vec::new(),
            is_partial: false,
        })
    }

    /// Requests that may yet be sent.
    pub fn requests_left(&self) -> u32 {
        self.requests_left
    }

    /// What was learned since this was last taken.
    pub fn take_found(&mut self) -> Vec<DatedFile> {
        std::mem::take(&mut self.found)
    }

    /// Files that still lack a date.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Those files, by digest and name.
    pub fn missing_files(&self) -> impl Iterator<Item = (Digest, &str)> {
        let wanted = self.wanted.iter().filter(|(_, file)| !file.is_found);
        wanted.map(|((digest, filename), _)| (*digest, filename.as_str()))
    }

    /// Whether the files of a version were refused since this was last taken.
    pub fn take_is_partial(&mut self) -> bool {
        std::mem::take(&mut self.is_partial)
    }

    pub fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// One part of the list of versions, and the files of those that are wanted; gives the number of
    /// the next part. What was learned is there to be taken, however it ends.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn ask_for_part(
        &mut self,
        page: u32,
        token: &AskingToken,
    ) -> Result<Option<u32>, RunError> {
        let address = PackagesAddress::Packages {
            scope: &self.page.scope,
            name: self.name,
            page,
        };
        let list: ListPage<ListedPackage> = self.ask(address, token).await?;
        for package in &list.entries {
            if self.is_wanted(package)
                && let Some(project) = self.project(package)
            {
                self.ask_for_files(&project, package.id, token).await?;
            }
        }
        Ok(list.next)
    }

    async fn ask_for_files(
        &mut self,
        project: &Scope,
        package: u64,
        token: &AskingToken,
    ) -> Result<(), RunError> {
        let mut next = Some(1);
        while let Some(page) = next {
            let address = PackagesAddress::PackageFiles {
                project,
                package,
                page,
            };
            let list = match self.ask::<PackageFile>(address, token).await {
                Ok(list) => list,
                // A project of the group that this credential may not see, or a version that was
                // deleted meanwhile.
                Err(RunError::Refused(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)) => {
                    self.is_partial = true;
                    return Ok(());
                }
                Err(RunError::Refused(status)) => return Err(RunError::Died(status)),
                Err(why) => return Err(why),
            };
            for file in &list.entries {
                self.note(file);
            }
            next = list.next;
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        address: PackagesAddress<'_>,
        token: &AskingToken,
    ) -> Result<ListPage<T>, RunError> {
        let Some(left) = self.requests_left.checked_sub(1) else {
            return Err(RunError::Enough);
        };
        self.check(token)?;
        self.tools.rate.turn().await;
        // The wait for the turn may have been long.
        self.check(token)?;
        self.requests_left = left;
        let credential = &token.credential;
        Ok(self.tools.upstream.packages(address, credential).await?)
    }

    fn check(&self, token: &AskingToken) -> Result<(), RunError> {
        if self.tools.turns.is_closed() {
            return Err(RunError::Closed);
        }
        if token.has_lapsed(self.tools.access, clock::now()) {
            return Err(RunError::Lapsed);
        }
        Ok(())
    }

    /// Whether a version of the list, which is by parts of the name, has a file that lacks a date.
    /// A group may have the file in another project too: the later of its dates counts.
    fn is_wanted(&self, package: &ListedPackage) -> bool {
        if ProjectName::parse(&package.name).as_ref() != Ok(self.name) {
            return false;
        }
        let written = package.version.as_deref().unwrap_or_default();
        let Ok(version) = written.parse::<Version>() else {
            return true;
        };
        let is_group = self.page.scope.kind() == ScopeKind::Group;
        for wanted in self.wanted.values() {
            let is_of_it = wanted.version.as_ref().is_none_or(|of| *of == version);
            if is_of_it && (is_group || !wanted.is_found) {
                return true;
            }
        }
        false
    }

    fn project(&self, package: &ListedPackage) -> Option<Scope> {
        match self.page.scope.kind() {
            ScopeKind::Project => Some(self.page.scope.clone()),
            ScopeKind::Group => Scope::project(package.project_id?),
            ScopeKind::Mirror => None,
        }
    }

    /// A file counts by digest and name, and only if its date can be read.
    fn note(&mut self, file: &PackageFile) {
        let Some(digest) = file.file_sha256.as_deref().and_then(Digest::parse) else {
            return;
        };
        let Some(uploaded) = file.uploaded() else {
            return;
        };
        let Some(wanted) = self.wanted.get_mut(&(digest, file.file_name.clone())) else {
            return;
        };
        if !wanted.is_found {
            wanted.is_found = true;
            self.missing -= 1;
        }
        self.found.push(DatedFile {
            digest,
            filename: file.file_name.clone(),
            facts: FileFacts {
                size: file.size,
                upload_time: Some(uploaded),
            },
        });
    }
}
