//! Which links on a page lead through larder, what they become, and what a page's files are.
//!
//! A link to a configured base that is one of our routes becomes a root-relative link with the path exactly as upstream
//! spelled it; every other link stays. Root-relative, so that no `Host` a client sends can ever be part of a page. From a
//! mirror's page are left out: files younger than the mirror's `min_age`, whatever bears a private name, and everything
//! if the project is quarantined (PEP 792: such an index "MUST NOT offer" files). Must not know formats.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::cooldown::{Withheld, withheld};
use super::mirror_files::MirrorFile;
use crate::clock;
use crate::registry::{Bases, FileRef, Filename, LinkTarget, MirrorBase, PageRef, PrivateNames, Route};
use crate::simple::{Decision, Entry, ProjectName, Replacement, project_candidates};
use crate::store::WheelMark;

/// Bases that were warned about; more are only counted as seen.
const WARNED_MAX: usize = 64;

/// Files that are noted of a page too large to keep; some 100 bytes each.
const PASSING_MAX: usize = 65_536;

/// What the links of one upstream's pages are judged by.
#[derive(Clone)]
pub(super) struct Links {
    rules: Rules,
    path_prefix: Arc<str>,
    warned: Arc<Mutex<HashSet<String>>>,
}

#[derive(Clone)]
enum Rules {
    GitLab { bases: Bases, mirrors: Arc<[MirrorRules]> },
    Mirror(MirrorRules),
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

    fn new(rules: Rules, path_prefix: &str) -> Self {
        Self { rules, path_prefix: path_prefix.trim_end_matches('/').into(), warned: Arc::default() }
    }

    /// Decides about one entry, and notes what it is in `collected`; without that nothing is promised of metadata.
    pub(super) fn decide(
        &self,
        page: &PageRef,
        entry: &Entry<'_>,
        collected: Option<&mut Collected>,
    ) -> Decision {
        match &self.rules {
            Rules::GitLab { bases, mirrors } => self.on_gitlab(bases, mirrors, entry, collected),
            Rules::Mirror(rules) if page.name.is_some() => self.on_mirror(rules, entry, collected),
            Rules::Mirror(rules) => self.on_mirror_index(&rules.base, &rules.private, entry),
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
        mut collected: Option<&mut Collected>,
    ) -> Decision {
        let MirrorRules { base, min_age, private } = rules;
        if bears_private_name(private, entry) {
            return Decision::Drop;
        }
        let path = base.recognise(entry.url);
        if let (Some(path), Some(collected)) = (&path, collected.as_deref_mut()) {
            let file = MirrorFile::new(path, entry.sha256, entry.core_metadata, entry.upload_time);
            if !collected.passing || collected.mirrored.len() < PASSING_MAX {
                collected.mirrored.push(file);
            }
        }
        if let Some(why) = withheld(entry.upload_time, *min_age, clock::wall()) {
            if let Some(collected) = collected {
                collected.withheld += 1;
                if let Withheld::Until(ripe) = why {
                    collected.ripens = Some(collected.ripens.map_or(ripe, |known| known.min(ripe)));
                }
            }
            return Decision::Drop;
        }
        let Some(path) = path else {
            self.warn_once(&origin(entry), &format!("mirrors.{base}.files"));
            return Decision::Keep;
        };
        let file = entry.sha256.map(|digest| FileRef::mirrored(&path, digest));
        self.lead(&path.to_string(), file, entry, collected)
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
