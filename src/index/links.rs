//! Which links on a page lead through larder, what they become, and what a page's files are.
//!
//! A link to a configured base that is one of our routes becomes a root-relative link with the path exactly as upstream
//! spelled it; every other link stays. Root-relative, so that no `Host` a client sends can ever be part of a page. From a
//! mirror's page are left out: files younger than the mirror's `min_age`, whatever bears a private name, and everything
//! if the project is quarantined (PEP 792: such an index "MUST NOT offer" files). On a page that was carried here the
//! links are routes already, and the same is left out of them. Offline everything is left out that is not held. A link
//! through larder must be one that is found again by its path alone ([`super::Pages::resolve`]); where that is not so, it
//! stays as it is and the log says why. Must not know formats.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use url::Url;

use super::ahead::Candidate;
use super::cooldown::{Withheld, withheld};
use super::mirror_files::{MirrorFile, Noted};
use crate::registry::{
    Bases, FileRef, Filename, LinkTarget, MirrorBase, MirrorPath, PageRef, PrivateNames, Route,
    Scope, Stranger, recognise_house,
};
use crate::simple::{Decision, Entry, LeftOut, ProjectName, Replacement, project_candidates};
use crate::store::{Holdings, WheelMark};
use crate::values::clock;

/// Things that were warned about, each once; more are not told.
const WARNED_MAX: usize = 64;

/// Of a file's name, as much as the log needs.
const TOLD_CHARS_MAX: usize = 100;

/// A path leads to a page of the project in the file's name, and to no other.
const OTHER_PROJECT: Stranger = Stranger::Unfit("a file name of another project than its page");

/// An address has no query, so that it can stand for one of them only.
const OTHER_QUERY: Stranger =
    Stranger::Unfit("a path that is on its page with another query before");

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
    GitLab {
        bases: Bases,
        mirrors: Arc<[MirrorRules]>,
    },
    Mirror(MirrorRules),
    House {
        mirrors: Arc<[MirrorRules]>,
        private: Arc<PrivateNames>,
    },
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
    pub mirrored: Noted,
    /// The wheels that metadata may be added to, in the order of the marks.
    pub marked: Vec<WheelMark>,
    /// The same wheels, as they are listed.
    pub wheels: Vec<Candidate>,
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
        Self {
            rules,
            path_prefix,
            held: None,
            warned: Arc::default(),
        }
    }

    /// The same offline. To decide then blocks.
    pub(super) fn held(self, holdings: Holdings) -> Self {
        Self {
            held: Some(holdings),
            ..self
        }
    }

    /// Our address of the file that a link on this page leads to, if it leads through larder.
    pub(super) fn file_address(&self, page: &PageRef, link: &Url) -> Option<String> {
        let mirrored = |mirror: &MirrorRules| {
            let path = mirror.base.recognise(link)?;
            is_found_by_name(page, &path).then(|| path.to_string())
        };
        match &self.rules {
            Rules::Mirror(rules) => mirrored(rules),
            Rules::GitLab { bases, mirrors } => match bases.recognise(link) {
                LinkTarget::Ours {
                    route: route @ Route::File(_),
                    ..
                } => Some(route.path()),
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
            Rules::GitLab { bases, mirrors } => {
                self.on_gitlab(page, bases, mirrors, entry, collected)
            }
            Rules::Mirror(rules) if page.name.is_some() => {
                self.on_mirror(page, rules, entry, collected)
            }
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
        page: &PageRef,
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
                self.tell_unknown(
                    &base,
                    "gitlab.external_urls, if it is this GitLab's external URL",
                );
                Decision::Keep
            }
            LinkTarget::Foreign => {
                let owner = mirrors
                    .iter()
                    .find(|mirror| mirror.base.recognise(entry.url).is_some());
                owner.map_or(Decision::Keep, |mirror| {
                    self.on_mirror(page, mirror, entry, collected)
                })
            }
        }
    }

    fn on_mirror(
        &self,
        page: &PageRef,
        rules: &MirrorRules,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        let MirrorRules {
            base,
            min_age,
            private,
        } = rules;
        let path = base.judge(entry.url).and_then(|path| {
            if is_found_by_name(page, &path) {
                Ok(path)
            } else {
                Err(OTHER_PROJECT)
            }
        });
        self.mirrored(path, *min_age, private, entry, collected)
            .unwrap_or_else(|why| {
                // The index itself or another page of it, which a whole address would give away, with whatever its path holds.
                if let Some(page) = base
                    .recognise_page(entry.url)
                    .filter(|_| entry.url.path().ends_with('/'))
                {
                    let address = format!("{}{}", self.path_prefix, Route::Page(page));
                    return Decision::Replace(Replacement {
                        address,
                        markable: false,
                    });
                }
                self.tell_past(base, entry, why);
                Decision::Keep
            })
    }

    /// About a file of a mirror's; why there is nothing to decide, if it has no address here.
    fn mirrored(
        &self,
        mut path: Result<MirrorPath, Stranger>,
        min_age: Duration,
        private: &PrivateNames,
        entry: &Entry<'_>,
        mut collected: Option<&mut Collected>,
    ) -> Result<Decision, Stranger> {
        if bears_private_name(private, entry) {
            return Ok(Decision::Drop);
        }
        if let (Ok(known), Some(collected)) = (&path, collected.as_deref_mut()) {
            let file = MirrorFile::new(known, entry.sha256, entry.core_metadata, entry.upload_time);
            let max = if collected.passing {
                PASSING_MAX
            } else {
                usize::MAX
            };
            if !collected.mirrored.add(file, max) {
                path = Err(OTHER_QUERY);
            }
        }
        if let Some(why) = withheld(entry.upload_time, min_age, clock::wall()) {
            if let Some(collected) = collected {
                collected.withheld += 1;
                if let Withheld::Until(ripe) = why {
                    collected.ripens = Some(collected.ripens.map_or(ripe, |known| known.min(ripe)));
                }
            }
            return Ok(Decision::Drop);
        }
        let path = path?;
        let file = match (entry.sha256, &self.held) {
            (Some(digest), _) => Some(FileRef::mirrored(&path, digest)),
            // What it turned out to have when it was kept.
            (None, Some(held)) => held.at(&path),
            (None, None) => None,
        };
        Ok(self.lead(&path.to_string(), file, entry, collected))
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
            Some(Route::Mirrored(path))
                if !page.scope.is_mirror() || *path.scope() == page.scope =>
            {
                let configured = mirrors
                    .iter()
                    .find(|mirror| mirror.base.scope() == path.scope());
                let min_age = configured.map(|mirror| mirror.min_age).unwrap_or_default();
                self.mirrored(Ok(path), min_age, private, entry, collected)
                    .unwrap_or(Decision::Drop)
            }
            _ => Decision::Drop,
        }
    }

    fn on_house_index(&self, scope: &Scope, private: &PrivateNames, entry: &Entry<'_>) -> Decision {
        let Ok(name) = ProjectName::parse(&entry.name) else {
            return Decision::Drop;
        };
        if scope.is_mirror() && private.hold(&name) {
            return Decision::Drop;
        }
        let page = Route::Page(PageRef {
            scope: scope.clone(),
            name: Some(name),
        });
        let address = format!("{}{page}", self.path_prefix);
        Decision::Replace(Replacement {
            address,
            markable: false,
        })
    }

    fn on_mirror_index(
        &self,
        base: &MirrorBase,
        private: &PrivateNames,
        entry: &Entry<'_>,
    ) -> Decision {
        let name = ProjectName::parse(&entry.name);
        if name.is_ok_and(|name| private.hold(&name)) {
            return Decision::Drop;
        }
        base.recognise_page(entry.url)
            .map_or(Decision::Keep, |page| {
                let address = format!("{}{}", self.path_prefix, Route::Page(page));
                Decision::Replace(Replacement {
                    address,
                    markable: false,
                })
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
        if self
            .held
            .as_ref()
            .is_some_and(|held| !file.as_ref().is_some_and(|file| held.holds(file)))
        {
            return Decision::Drop;
        }
        if let (Some(file), Some(collected)) =
            (file, collected.filter(|collected| !collected.passing))
        {
            markable = entry.core_metadata.is_none() && file.filename.is_wheel();
            if markable {
                collected.marked.push(WheelMark::of(&file));
                collected.wheels.push(Candidate::new(file.clone(), entry));
            }
            collected.files.push(file);
        }
        Decision::Replace(Replacement {
            address: format!("{}{path}", self.path_prefix),
            markable,
        })
    }

    /// Why a file's link goes past larder. Neither path nor query is told, which may hold a secret.
    fn tell_past(&self, base: &MirrorBase, entry: &Entry<'_>, why: Stranger) {
        let origin = entry.url.origin().ascii_serialization();
        match why {
            Stranger::Elsewhere if entry.url.has_host() => {
                self.tell_unknown(&origin, &format!("mirrors.{base}.file_urls"));
            }
            Stranger::Elsewhere => {}
            Stranger::Unfit(why) => {
                if self.is_first(format!("{origin} {why}")) {
                    let file: String = entry.name.chars().take(TOLD_CHARS_MAX).collect();
                    tracing::warn!(
                        %origin, file, error = %why,
                        "a page links to a file that can have no address here, so this link goes past larder, as do others of the kind"
                    );
                }
            }
        }
    }

    fn tell_unknown(&self, base: &str, key: &str) {
        if self.is_first(base.to_owned()) {
            tracing::warn!(
                %base,
                "pages link to a base that is not configured, so these links go past larder; the line to add it to is {key}"
            );
        }
    }

    /// Says what a page is served without.
    pub(super) fn tell_left_out(&self, page: &PageRef, left_out: &LeftOut) {
        let Some(first) = &left_out.first else { return };
        let page = Route::Page(page.clone());
        if self.is_first(page.path()) {
            tracing::warn!(
                %page, entries = left_out.entries, %first,
                "a page has entries that cannot be used, and is served without them"
            );
        }
    }

    /// Whether this was not told before, and may be.
    fn is_first(&self, told: String) -> bool {
        let mut warned = self.warned.lock();
        warned.len() < WARNED_MAX && warned.insert(told)
    }
}

/// Whether who has a path alone finds the page that lists it, which is done by the file's name.
fn is_found_by_name(page: &PageRef, path: &MirrorPath) -> bool {
    let is_its = |name: &ProjectName| project_candidates(path.filename().as_str()).contains(name);
    page.name.as_ref().is_none_or(is_its)
}

/// Whether a file's most likely project is none of a mirror's business. A page may call a file otherwise than its address
/// does, and a client may go by either.
fn bears_private_name(private: &PrivateNames, entry: &Entry<'_>) -> bool {
    let segment = entry
        .url
        .path_segments()
        .and_then(|mut segments| segments.next_back());
    let address = segment.and_then(Filename::parse);
    let filenames = [Some(&*entry.name), address.as_ref().map(Filename::as_str)];
    filenames.into_iter().flatten().any(|filename| {
        project_candidates(filename)
            .first()
            .is_some_and(|name| private.hold(name))
    })
}
