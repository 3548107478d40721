//! Which links on a page lead through larder, what they become, and what a page's files are.
//!
//! A link to a configured base that is one of our routes becomes a root-relative link with the path exactly as upstream
//! spelled it; every other link stays. Root-relative, so that no `Host` a client sends can ever be part of a page. From a
//! mirror's page are left out: files younger than the mirror's `min_age`, whatever bears a private name, and everything
//! if the project is quarantined (PEP 792: such an index "MUST NOT offer" files). On a page that was carried here the
//! links are routes already, and the same is left out of them. Offline everything is left out that is not held. Must not
//! know formats.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use url::Url;

use super::cooldown::{Withheld, withheld};
use super::mirror_files::MirrorFile;
use crate::clock;
use crate::registry::{
    Bases, FileRef, Filename, LinkTarget, MirrorBase, MirrorPath, PageRef, PrivateNames, Route, Scope,
    recognise_house,
};
use crate::simple::{Decision, Entry, ProjectName, Replacement, project_candidates};
use crate::store::{Holdings, WheelMark};

/// Bases that were warned about; more are only counted as seen.
const WARNED_MAX: usize = 64;

/// Files that are noted of a page too large to keep; some 100 bytes each.
const PASSING_MAX: usize = 65_536;

/// What the links of one upstream's pages are judged by.
#[derive(Clone)]
pub(super) struct Links {
    rules: Rules,
    path_prefix: Arc<str>,
    /// Offline: only what is in here is listed.
    held: Option<Holdings>,
    warned: Arc<Mutex<HashSet<String>>>,
}

#[derive(Clone)]
enum Rules {
    GitLab { bases: Bases, mirrors: Arc<[MirrorRules]> },
    Mirror(MirrorRules),
    House { mirrors: Arc<[MirrorRules]>, private: Arc<PrivateNames> },
}

/// What is a mirror's, and may come from it.
#[derive(Clone)]
pub(super) struct MirrorRules {
    pub base: Arc<MirrorBase>,
    pub min_age: Duration,
    pub private: Arc<PrivateNames>,
}

/// The files of one page, as they were met.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// The page passes by and is not kept: only what it says of a mirror's paths is.
    pub passing: bool,
    /// Those whose digest is known, under the addresses they are listed by.
    pub files: Vec<FileRef>,
    pub mirrored: Vec<MirrorFile>,
    /// The wheels that metadata may be added to, in the order of the marks.
    pub marked: Vec<WheelMark>,
    /// The same wheels by their addresses.
    pub wheels: Vec<FileRef>,
    pub withheld: usize,
    /// When the first of those that are withheld will be old enough.
    pub ripens: Option<SystemTime>,
}

impl Links {
    /// GitLab's pages may be another larder's, which has a mirror's files on them in GitLab's place: these lead through
    /// the mirror that they come from, and by its rules.
    pub(super) fn of_gitlab(bases: Bases, mirrors: Arc<[MirrorRules]>, path_prefix: &str) -> Self {
        Self::new(Rules::GitLab { bases, mirrors }, path_prefix)
    }

    pub(super) fn of_mirror(rules: MirrorRules, path_prefix: &str) -> Self {
        Self::new(Rules::Mirror(rules), path_prefix)
    }

    /// Of pages that were carried here. A mirror's files need no such mirror to be configured; if it is, its rules hold.
    pub(super) fn of_house(
        mirrors: Arc<[MirrorRules]>,
        private: Arc<PrivateNames>,
        path_prefix: &str,
    ) -> Self {
        Self::new(Rules::House { mirrors, private }, path_prefix)
    }

    fn new(rules: Rules, path_prefix: &str) -> Self {
        let path_prefix = path_prefix.trim_end_matches('/').into();
        Self { rules, path_prefix, held: None, warned: Arc::default() }
    }

    /// The same offline. To decide then blocks.
    pub(super) fn held(self, holdings: Holdings) -> Self {
        Self { held: Some(holdings), ..self }
    }

    /// Our address of the file that a link leads to, if it leads through larder.
    pub(super) fn file_address(&self, link: &Url) -> Option<String> {
        let mirrored = |mirror: &MirrorRules| mirror.base.recognise(link).map(|path| path.to_string());
        match &self.rules {
            Rules::Mirror(rules) => mirrored(rules),
            Rules::GitLab { bases, mirrors } => match bases.recognise(link) {
                LinkTarget::Ours { route: route @ Route::File(_), .. } => Some(route.path()),
                LinkTarget::Ours { .. } | LinkTarget::UnknownBase { .. } => None,
                LinkTarget::Foreign => mirrors.iter().find_map(mirrored),
            },
            Rules::House { .. } => match recognise_house(link)? {
                route @ (Route::File(_) | Route::Mirrored(_)) => Some(route.path()),
                _ => None,
            },
        }
    }

    /// Decides about one entry, and notes what it is in `collected`; without that nothing is promised of metadata.
    pub(super) fn decide(
        &self,
        page: &PageRef,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        let decision = match &self.rules {
            Rules::GitLab { bases, mirrors } => self.on_gitlab(bases, mirrors, entry, collected),
            Rules::Mirror(rules) if page.name.is_some() => self.on_mirror(rules, entry, collected),
            Rules::Mirror(rules) => self.on_mirror_index(&rules.base, &rules.private, entry),
            Rules::House { mirrors, private } if page.name.is_some() => {
                self.on_house(page, mirrors, private, entry, collected)
            }
            Rules::House { private, .. } => self.on_house_index(&page.scope, private, entry),
        };
        match decision {
            // Offline it leads nowhere.
            Decision::Keep if self.held.is_some() => Decision::Drop,
            decision => decision,
        }
    }

    fn on_gitlab(
        &self,
        bases: &Bases,
        mirrors: &[MirrorRules],
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        match bases.recognise(entry.url) {
            LinkTarget::Ours { route, path } => {
                let file = match route {
                    Route::File(file) => Some(file),
                    _ => None,
                };
                self.lead(&path, file, entry, collected)
            }
            LinkTarget::UnknownBase { base } => {
                self.warn_once(&base, "gitlab.external_urls, if it is this GitLab's external URL");
                Decision::Keep
            }
            LinkTarget::Foreign => {
                let owner = mirrors.iter().find(|mirror| mirror.base.recognise(entry.url).is_some());
                owner.map_or(Decision::Keep, |mirror| self.on_mirror(mirror, entry, collected))
            }
        }
    }

    fn on_mirror(
        &self,
        rules: &MirrorRules,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        let MirrorRules { base, min_age, private } = rules;
        let path = base.recognise(entry.url);
        let unknown = || {
            self.warn_once(&origin(entry), &format!("mirrors.{base}.files"));
            Decision::Keep
        };
        self.mirrored(path, *min_age, private, entry, collected).unwrap_or_else(unknown)
    }

    /// About a file of a mirror's; nothing, if its address is none of the mirror's.
    fn mirrored(
        &self,
        path: Option<MirrorPath>,
        min_age: Duration,
        private: &PrivateNames,
        entry: &Entry<'_>,
        mut collected: Option<&mut Collected>,
    ) -> Option<Decision> {
        if bears_private_name(private, entry) {
            return Some(Decision::Drop);
        }
        if let (Some(path), Some(collected)) = (&path, collected.as_deref_mut()) {
            let file = MirrorFile::new(path, entry.sha256, entry.core_metadata, entry.upload_time);
            if !collected.passing || collected.mirrored.len() < PASSING_MAX {
                collected.mirrored.push(file);
            }
        }
        if let Some(why) = withheld(entry.upload_time, min_age, clock::wall()) {
            if let Some(collected) = collected {
                collected.withheld += 1;
                if let Withheld::Until(ripe) = why {
                    collected.ripens = Some(collected.ripens.map_or(ripe, |known| known.min(ripe)));
                }
            }
            return Some(Decision::Drop);
        }
        let path = path?;
        let file = match (entry.sha256, &self.held) {
            (Some(digest), _) => Some(FileRef::mirrored(&path, digest)),
            // What it turned out to have when it was kept.
            (None, Some(held)) => held.at(&path),
            (None, None) => None,
        };
        Some(self.lead(&path.to_string(), file, entry, collected))
    }

    /// A link that is one of our routes already.
    fn on_house(
        &self,
        page: &PageRef,
        mirrors: &[MirrorRules],
        private: &PrivateNames,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        match recognise_house(entry.url) {
            Some(Route::File(file)) if !page.scope.is_mirror() => {
                self.lead(entry.url.path(), Some(file), entry, collected)
            }
            Some(Route::Mirrored(path)) if !page.scope.is_mirror() || *path.scope() == page.scope => {
                let configured = mirrors.iter().find(|mirror| mirror.base.scope() == path.scope());
                let min_age = configured.map(|mirror| mirror.min_age).unwrap_or_default();
                self.mirrored(Some(path), min_age, private, entry, collected).unwrap_or(Decision::Drop)
            }
            _ => Decision::Drop,
        }
    }

    fn on_house_index(&self, scope: &Scope, private: &PrivateNames, entry: &Entry<'_>) -> Decision {
        let Ok(name) = ProjectName::parse(&entry.name) else { return Decision::Drop };
        if scope.is_mirror() && private.hold(&name) {
            return Decision::Drop;
        }
        let page = Route::Page(PageRef { scope: scope.clone(), name: Some(name) });
        let address = format!("{}{page}", self.path_prefix);
        Decision::Replace(Replacement { address, markable: false })
    }

    fn on_mirror_index(&self, base: &MirrorBase, private: &PrivateNames, entry: &Entry<'_>) -> Decision {
        let name = ProjectName::parse(&entry.name);
        if name.is_ok_and(|name| private.hold(&name)) {
            return Decision::Drop;
        }
        base.recognise_page(entry.url).map_or(Decision::Keep, |page| {
            let address = format!("{}{}", self.path_prefix, Route::Page(page));
            Decision::Replace(Replacement { address, markable: false })
        })
    }

    /// The link becomes ours.
    fn lead(
        &self,
        path: &str,
        file: Option<FileRef>,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        let mut markable = false;
        if self.held.as_ref().is_some_and(|held| !file.as_ref().is_some_and(|file| held.holds(file))) {
            return Decision::Drop;
        }
        if let (Some(file), Some(collected)) = (file, collected.filter(|collected| !collected.passing)) {
            markable = entry.core_metadata.is_none() && file.filename.as_str().ends_with(".whl");
            if markable {
                collected.marked.push(WheelMark::of(&file));
                collected.wheels.push(file.clone());
            }
            collected.files.push(file);
        }
        Decision::Replace(Replacement { address: format!("{}{path}", self.path_prefix), markable })
    }

    fn warn_once(&self, base: &str, key: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < WARNED_MAX && !warned.contains(base) {
            tracing::warn!(
                %base,
                "pages link to a base that is not configured, so these links go past larder; the line to add it to is {key}"
            );
            warned.insert(base.to_owned());
        }
    }
}

/// Whether a file's most likely project is none of a mirror's business. A page may call a file otherwise than its address
/// does, and a client may go by either.
fn bears_private_name(private: &PrivateNames, entry: &Entry<'_>) -> bool {
    let segment = entry.url.path_segments().and_then(|mut segments| segments.next_back());
    let address = segment.and_then(Filename::parse);
    let filenames = [Some(&*entry.name), address.as_ref().map(Filename::as_str)];
    filenames
        .into_iter()
        .flatten()
        .any(|filename| project_candidates(filename).first().is_some_and(|name| private.hold(name)))
}

fn origin(entry: &Entry<'_>) -> String {
    entry.url.origin().ascii_serialization()
}
