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

use super::rate::RequestRate;
use crate::access::Credential;
use crate::registry::{FileRef, PackagesAddress, PageRef, Scope, ScopeKind};
use crate::simple::{FileFacts, ProjectName, file_version};
use crate::store::DatedFile;
use crate::upstream::{ListPage, ListedPackage, PackageFile, PackagesError, Upstream};
use crate::values::digest::Digest;

/// After a failure GitLab is asked for no dates for so long.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Why a run ended early.
pub enum RunError {
    /// GitLab does not tell this credential.
    Refused(StatusCode),
    /// So many requests are sent for one page in one go.
    Enough,
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

/// The files that lack a date, with the version that each has in its name, if that can be read.
type WantedFiles = HashMap<(Digest, String), Option<Version>>;

pub struct DatesRun<'a> {
    upstream: &'a Upstream,
    rate: &'a RequestRate,
    requests_left: u32,
    page: &'a PageRef,
    name: &'a ProjectName,
    wanted: WantedFiles,
    found: Vec<DatedFile>,
}

impl<'a> DatesRun<'a> {
    /// About these files; none for a list of projects.
    pub fn new(
        (upstream, rate): (&'a Upstream, &'a RequestRate),
        requests_max: u32,
        page: &'a PageRef,
        undated: impl Iterator<Item = &'a FileRef>,
    ) -> Option<Self> {
        let name = page.name.as_ref()?;
        let mut wanted = WantedFiles::new();
        for file in undated {
            let filename = file.filename.as_str();
            let version = file_version(filename, name).and_then(|text| text.parse().ok());
            wanted.insert((file.digest, filename.to_owned()), version);
        }
        Some(Self {
            upstream,
            rate,
            requests_left: requests_max,
            page,
            name,
            wanted,
            found: Vec::new(),
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
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    pub fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// One part of the list of versions, and the files of those that are wanted; gives the number of
    /// the next part. What was learned is there to be taken, however it ends.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn ask_for_part(
        &mut self,
        page: u32,
        credential: &Credential,
    ) -> Result<Option<u32>, RunError> {
        let address = PackagesAddress::Packages {
            scope: &self.page.scope,
            name: self.name,
            page,
        };
        let list: ListPage<ListedPackage> = self.ask(address, credential).await?;
        for package in &list.entries {
            if self.is_wanted(package)
                && let Some(project) = self.project(package)
            {
                self.ask_for_files(&project, package.id, credential).await?;
            }
        }
        Ok(list.next)
    }

    async fn ask_for_files(
        &mut self,
        project: &Scope,
        package: u64,
        credential: &Credential,
    ) -> Result<(), RunError> {
        let mut next = Some(1);
        while let Some(page) = next {
            let address = PackagesAddress::PackageFiles {
                project,
                package,
                page,
            };
            let list = match self.ask::<PackageFile>(address, credential).await {
                Ok(list) => list,
                // A project of the group that this credential may not see, or a version that was
                // deleted meanwhile.
                Err(RunError::Refused(_)) => return Ok(()),
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
        credential: &Credential,
    ) -> Result<ListPage<T>, RunError> {
        let Some(left) = self.requests_left.checked_sub(1) else {
            return Err(RunError::Enough);
        };
        self.requests_left = left;
        self.rate.turn().await;
        Ok(self.upstream.packages(address, credential).await?)
    }

    /// Whether a version of the list, which is by parts of the name, has a file that lacks a date.
    fn is_wanted(&self, package: &ListedPackage) -> bool {
        if ProjectName::parse(&package.name).as_ref() != Ok(self.name) {
            return false;
        }
        let written = package.version.as_deref().unwrap_or_default();
        let Ok(version) = written.parse::<Version>() else {
            return true;
        };
        let mut wanted = self.wanted.values();
        wanted.any(|wanted| wanted.as_ref().is_none_or(|wanted| *wanted == version))
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
        if self
            .wanted
            .remove(&(digest, file.file_name.clone()))
            .is_none()
        {
            return;
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
