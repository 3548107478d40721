//! What a path below a mirror leads to, by the page that lists it.
//!
//! The page is found by the file's name. Must not know how a file is come by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pages;
use super::cache::freshness::{UpstreamVerdict, Use};
use super::cache::memory::CacheKey;
use super::error::PageError;
use super::fetch::Fetched;
use super::request::{Located, PageReply, PageRequest};
use super::rewrite::mirror_files::{MirrorFile, MirrorFiles};
use crate::access::Caller;
use crate::registry::{ListedFile, MirrorPath, PageRef};
use crate::simple::{
    CoreMetadata, Format, ProjectName, ProjectStatus, project_candidates, usual_project,
};
use crate::upstream::PassThrough;
use crate::values::correlation;

/// A page that a path was looked for on is asked for again if it is older than this and does not
/// list it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What is known of a path of a mirror's.
enum PathState {
    /// Listed by a page of this age, if upstream could not confirm it.
    Listed(MirrorFile, Option<Duration>),
    Unlisted,
    /// The page lists no such file, and says that nothing of its project may be had.
    Quarantined(Arc<ProjectStatus>),
    /// No page may be had, or it is too early to ask: in upstream's words.
    Refused(PassThrough),
    /// The page has to be asked for.
    Unknown,
}

impl PathState {
    /// What an answer that came in place of a page says of its files: none of them are there, or
    /// may be had.
    fn of_refusal(answer: PassThrough) -> Self {
        if matches!(answer.status.as_u16(), 404 | 410) {
            Self::Unlisted
        } else {
            Self::Refused(answer)
        }
    }

    /// What a page says that lists these files.
    fn of(path: &MirrorPath, files: &MirrorFiles, age: Option<Duration>) -> Self {
        if let Some(file) = files.find(path) {
            return Self::Listed(file, age);
        }
        match files.status() {
            Some(status) if status.is_quarantined() => Self::Quarantined(Arc::clone(status)),
            Some(_) | None => Self::Unlisted,
        }
    }
}

impl Pages {
    /// What a path below a mirror leads to, and how old the page that says so is if upstream could
    /// not confirm it. Old names can be read in several ways: what is here of their pages tells
    /// which is meant, and the one that is likeliest is asked for if it is not known yet.
    ///
    /// # Errors
    /// When no page lists it, when it must not be had, or when the page cannot be had.
    pub async fn locate(
        &self,
        path: &MirrorPath,
        now: Instant,
    ) -> Result<(Located, Option<Duration>), PageError> {
        let wheel = path.metadata_of();
        let listed = wheel.as_ref().unwrap_or(path);
        let names = project_candidates(listed.filename().as_str());
        if let Some(name) = names.first().filter(|name| self.is_private(name)) {
            return Err(PageError::PrivateName(name.clone()));
        }
        let (state, project) = self.state_of(listed, names, now).await?;
        let is_parents = self.fetcher.sources.parents_public_index() == Some(path.scope());
        match state {
            PathState::Listed(file, age) => {
                let spelled = file.spell(listed);
                let judged = file.judged(&spelled, project.as_ref());
                self.fetcher.judge(&judged)?;
                let located = self.lead(&spelled, wheel.is_some(), &file).await?;
                Ok((located, age))
            }
            PathState::Quarantined(status) => {
                let mut unlisted = MirrorFile::new(listed, None, None, None);
                unlisted.status = Some(status);
                let judged = unlisted.judged(listed, project.as_ref());
                self.fetcher.judge(&judged)?;
                Err(PageError::NotListed)
            }
            _ if is_parents => {
                // No page has told anything of it.
                let unknown = MirrorFile::new(listed, None, None, None);
                self.fetcher.judge(&unknown.judged(listed, None))?;
                Ok((self.by_the_parents_word(path).await?, None))
            }
            PathState::Refused(answer) => Ok((Located::PassThrough(answer), None)),
            PathState::Unlisted | PathState::Unknown => match &self.offline {
                Some(_) => Err(PageError::NotHeld(path.filename().clone())),
                None => Err(PageError::NotListed),
            },
        }
    }

    /// What is known of a path by the pages of these projects, and whose page says so. One that
    /// lists it counts before one that says why it gives nothing, and a quarantine before any other
    /// refusal.
    async fn state_of(
        &self,
        listed: &MirrorPath,
        names: Vec<ProjectName>,
        now: Instant,
    ) -> Result<(PathState, Option<ProjectName>), PageError> {
        let mut unknown = Vec::new();
        let mut told = Vec::new();
        for name in names.into_iter().filter(|name| !self.is_private(name)) {
            let page = PageRef {
                scope: listed.scope().clone(),
                name: Some(name),
            };
            match self.known(listed, &page, now).await? {
                PathState::Unknown => unknown.push(page),
                state @ PathState::Listed(..) => return Ok((state, page.name)),
                state => told.push((state, page.name)),
            }
        }
        if let Some(page) = self.likeliest(listed, unknown).await {
            let project = page.name.clone();
            match self.fetched(listed, page, now).await? {
                state @ PathState::Listed(..) => return Ok((state, project)),
                state => told.push((state, project)),
            }
        }
        let mut refused = (PathState::Unlisted, None);
        for (state, project) in told {
            match state {
                PathState::Quarantined(_) => return Ok((state, project)),
                PathState::Refused(_) => refused = (state, project),
                _ => {}
            }
        }
        Ok(refused)
    }

    /// A file of the parent's public index that no page has told here: the parent finds out whether
    /// one lists it, and verifies it.
    async fn by_the_parents_word(&self, path: &MirrorPath) -> Result<Located, PageError> {
        let Some(held) = &self.fetcher.dependencies.held else {
            return Ok(Located::File(ListedFile::Unhashed(path.clone())));
        };
        let held = held.clone();
        let wanted = path.clone();
        let found = correlation::spawn_blocking(move || held.at(&wanted)).await;
        match found.map_err(|_| PageError::Internal)? {
            Some(file) => Ok(Located::File(ListedFile::Hashed(file))),
            None => Err(PageError::NotHeld(path.filename().clone())),
        }
    }

    /// Of pages that may list a path the one to ask for: which did when it was last seen, whose
    /// name stands in the path, or which is the most usual reading of the file's name. One, because
    /// a client that makes up paths must not have upstream asked for page after page.
    async fn likeliest(&self, path: &MirrorPath, pages: Vec<PageRef>) -> Option<PageRef> {
        if pages.len() > 1 {
            for page in &pages {
                if let Some(known) = self.last_known(page, &Caller::anonymous()).await
                    && known.mirrored(path).is_some()
                {
                    return Some(page.clone());
                }
            }
        }
        let mut folders = Vec::new();
        for part in path.rest().split('/') {
            folders.extend(ProjectName::parse(part).ok());
        }
        for page in &pages {
            if page
                .name
                .as_ref()
                .is_some_and(|name| folders.contains(name))
            {
                return Some(page.clone());
            }
        }
        let usual = usual_project(path.filename().as_str());
        let is_usual = |page: &&PageRef| page.name == usual;
        pages.iter().find(is_usual).or(pages.first()).cloned()
    }

    /// What is known about a path without asking; of a page that does not list it, and is not quite
    /// new, nothing.
    async fn known(
        &self,
        path: &MirrorPath,
        page: &PageRef,
        now: Instant,
    ) -> Result<PathState, PageError> {
        if let Some(offline) = &self.offline {
            if let Some(file) = offline.listed(path, page).await? {
                return Ok(PathState::Listed(file, None));
            }
            return Ok(match offline.quarantine(page).await? {
                Some(status) => PathState::Quarantined(status),
                None => PathState::Unlisted,
            });
        }
        let fetcher = &self.fetcher;
        if fetcher.sources.parents_public_index() == Some(&page.scope) {
            return Ok(match fetcher.large.recall(page) {
                Some((files, _)) => PathState::of(path, &files, None),
                None => PathState::Unlisted,
            });
        }
        if let Some(refusal) = fetcher.refused_lately(page, now) {
            return Ok(PathState::of_refusal(refusal));
        }
        let key = CacheKey::new(page.clone(), Format::Json, &Caller::anonymous());
        let unasked = UpstreamVerdict::Unasked;
        let (files, asked, decided) = if let Some((entry, page)) = fetcher.memory.entry(&key) {
            let decided = fetcher.decide(&key, &entry, unasked, now);
            (Arc::clone(page.mirror_files()), entry.asked, decided)
        } else if let Some((files, asked)) = fetcher.large.recall(page) {
            let decided = fetcher.decide_as_of(page, Some(asked), 0.0, unasked, now);
            (files, asked, decided)
        } else {
            return Ok(PathState::Unknown);
        };
        if !decided.is_shown_unasked() {
            return Ok(PathState::Unknown);
        }
        let state = PathState::of(path, &files, None);
        if matches!(state, PathState::Unlisted) {
            let is_new = now.saturating_duration_since(asked) < LOOK_AGAIN_AFTER;
            return Ok(if is_new { state } else { PathState::Unknown });
        }
        if decided == Use::ShowAndAsk {
            let request = asking_for(page);
            let standing = fetcher.standing(&request, now);
            self.renew_behind(&request, &key, asked, standing);
        }
        Ok(state)
    }

    /// What the page says about a path when it is asked for.
    async fn fetched(
        &self,
        path: &MirrorPath,
        page: PageRef,
        now: Instant,
    ) -> Result<PathState, PageError> {
        match self.own(&asking_for(&page), now).await {
            Ok(PageReply::Page { page, age, .. }) => {
                Ok(PathState::of(path, page.mirror_files(), age))
            }
            Ok(PageReply::PassThrough(answer)) => Ok(PathState::of_refusal(answer)),
            Ok(PageReply::Stream(stream)) => {
                let files = Arc::new(stream.into_files().await?);
                let state = PathState::of(path, &files, None);
                self.fetcher.large.remember(page, files, now);
                Ok(state)
            }
            Err(Fetched::Forward { .. }) => Ok(PathState::Unlisted),
            Err(other) => Err(other.into()),
        }
    }

    /// Where a listed path leads, or, if that is asked for, the metadata of the wheel there.
    async fn lead(
        &self,
        path: &MirrorPath,
        metadata: bool,
        file: &MirrorFile,
    ) -> Result<Located, PageError> {
        let listed = ListedFile::new(path.clone(), file.sha256);
        if !metadata {
            return Ok(Located::File(listed));
        }
        let wheel = match listed {
            ListedFile::Hashed(wheel) => Some(wheel),
            ListedFile::Unhashed(_) => None,
        };
        let stated = match file.metadata {
            Some(CoreMetadata::Sha256(digest)) => Some(digest),
            Some(CoreMetadata::Present) => None,
            None => {
                let wheel = wheel.ok_or(PageError::NotListed)?;
                return Ok(Located::Metadata {
                    wheel,
                    offered: None,
                });
            }
        };
        let path = path.metadata().ok_or(PageError::NotListed)?;
        let offered = ListedFile::new(path, stated);
        let Some(wheel) = wheel else {
            return Ok(Located::File(offered));
        };
        let Some(offline) = &self.offline else {
            return Ok(Located::Metadata {
                wheel,
                offered: Some(offered),
            });
        };
        // It is advertised, and the wheel that it was taken from may be all there is.
        if let ListedFile::Hashed(own) = &offered
            && offline.holds(own.clone()).await
        {
            return Ok(Located::File(offered));
        }
        Ok(Located::Metadata {
            wheel,
            offered: None,
        })
    }
}

/// Without a credential, and for upstream's own answer.
fn asking_for(page: &PageRef) -> PageRequest {
    PageRequest {
        caller: Caller::anonymous(),
        page: page.clone(),
        format: Format::Json,
        insists: true,
        ahead: false,
    }
}
