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
use super::rewrite::mirror_files::MirrorFile;
use crate::access::Caller;
use crate::registry::{ListedFile, MirrorPath, PageRef};
use crate::simple::{CoreMetadata, Format, ProjectName, project_candidates, usual_project};
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

    fn of(file: Option<MirrorFile>, age: Option<Duration>) -> Self {
        match file {
            Some(file) => Self::Listed(file, age),
            None => Self::Unlisted,
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
        let mut unknown = Vec::new();
        let mut refused = None;
        let mut found = None;
        for name in names.into_iter().filter(|name| !self.is_private(name)) {
            let page = PageRef {
                scope: path.scope().clone(),
                name: Some(name),
            };
            match self.known(listed, &page, now).await? {
                PathState::Listed(file, age) => {
                    found = Some((file, age, page.name));
                    break;
                }
                PathState::Unlisted => {}
                PathState::Refused(answer) => refused = Some(answer),
                PathState::Unknown => unknown.push(page),
            }
        }
        if found.is_none()
            && let Some(page) = self.likeliest(listed, unknown).await
        {
            let project = page.name.clone();
            match self.fetched(listed, page, now).await? {
                PathState::Listed(file, age) => found = Some((file, age, project)),
                PathState::Refused(answer) => refused = Some(answer),
                PathState::Unlisted | PathState::Unknown => {}
            }
        }
        if found.is_none() && self.fetcher.sources.parents_public_index() == Some(path.scope()) {
            // No page has told anything of it.
            let unknown = MirrorFile::new(listed, None, None, None);
            self.fetcher.judge(&unknown.judged(listed, None))?;
            return Ok((self.by_the_parents_word(path).await?, None));
        }
        if let Some((file, age, project)) = found {
            let spelled = file.spell(listed);
            self.fetcher
                .judge(&file.judged(&spelled, project.as_ref()))?;
            let located = self.lead(&spelled, wheel.is_some(), &file).await?;
            return Ok((located, age));
        }
        match (refused, &self.offline) {
            (Some(answer), _) => Ok((Located::PassThrough(answer), None)),
            (None, Some(_)) => Err(PageError::NotHeld(path.filename().clone())),
            (None, None) => Err(PageError::NotListed),
        }
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
            return Ok(PathState::of(offline.listed(path, page).await?, None));
        }
        let fetcher = &self.fetcher;
        if fetcher.sources.parents_public_index() == Some(&page.scope) {
            let files = fetcher.large.recall(page);
            let file = files.and_then(|(files, _)| files.find(path));
            return Ok(PathState::of(file, None));
        }
        if let Some(refusal) = fetcher.refused_lately(page, now) {
            return Ok(PathState::of_refusal(refusal));
        }
        let key = CacheKey::new(page.clone(), Format::Json, &Caller::anonymous());
        let unasked = UpstreamVerdict::Unasked;
        let (file, asked, decided) = if let Some((entry, page)) = fetcher.memory.entry(&key) {
            let decided = fetcher.decide(&key, &entry, unasked, now);
            (page.mirrored(path), entry.asked, decided)
        } else if let Some((files, asked)) = fetcher.large.recall(page) {
            let decided = fetcher.decide_as_of(page, Some(asked), 0.0, unasked, now);
            (files.find(path), asked, decided)
        } else {
            return Ok(PathState::Unknown);
        };
        if !decided.is_shown_unasked() {
            return Ok(PathState::Unknown);
        }
        let Some(file) = file else {
            let is_new = now.saturating_duration_since(asked) < LOOK_AGAIN_AFTER;
            return Ok(if is_new {
                PathState::Unlisted
            } else {
                PathState::Unknown
            });
        };
        if decided == Use::ShowAndAsk {
            let request = asking_for(page);
            let standing = fetcher.standing(&request, now);
            self.renew_behind(&request, &key, asked, standing);
        }
        Ok(PathState::Listed(file, None))
    }

    /// What the page says about a path when it is asked for.
    async fn fetched(
        &self,
        path: &MirrorPath,
        page: PageRef,
        now: Instant,
    ) -> Result<PathState, PageError> {
        match self.own(&asking_for(&page), now).await {
            Ok(PageReply::Page { page, age, .. }) => Ok(PathState::of(page.mirrored(path), age)),
            Ok(PageReply::PassThrough(answer)) => Ok(PathState::of_refusal(answer)),
            Ok(PageReply::Stream(stream)) => {
                let files = Arc::new(stream.into_files().await?);
                let found = files.find(path);
                self.fetcher.large.remember(page, files, now);
                Ok(PathState::of(found, None))
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
