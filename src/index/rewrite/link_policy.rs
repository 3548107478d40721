//! Which links on a page lead through larder, what they become, and what a page's files are.
//!
//! A link to a configured base that is one of our routes becomes a root-relative link with the path
//! exactly as upstream spelled it; every other link stays. Root-relative, so that no `Host` a
//! client sends can ever be part of a page. From every page are left out files that a policy
//! refuses ([`crate::registry::policy`]), from a mirror's page whatever bears a private name, and
//! everything if the project is quarantined (PEP 792: such an index "MUST NOT offer" files). On a
//! page that was carried here the links are routes already, and the same is left out of them.
//! Offline everything is left out that is not held. A link through larder must be one that is found again by its path alone
//! ([`crate::index::Pages::locate`]); where that is not so, it stays as it is and the log says why.
//! Must not know formats.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use url::Url;

use super::collected::Collected;
use super::likely_wheels::LikelyWheel;
use super::mirror_files::MirrorFile;
use crate::registry::policy::Policies;
use crate::registry::{
    Bases, FileRef, Filename, LinkTarget, MirrorBase, MirrorPath, PageRef, PrivateNames, Route,
    Scope, Stranger, recognise_portable,
};
use crate::simple::{
    CoreMetadata, Decision, Entry, ProjectName, ProjectStatus, Replacement, SkippedEntries,
    project_candidates,
};
use crate::store::{Holdings, PageDates, WheelMark};

/// Things that were warned about, each once; more are not logged.
const WARNED_MAX: usize = 64;

/// Of a file's name, as much as the log needs.
const LOGGED_CHARS_MAX: usize = 100;

/// A path leads to a page of the project in the file's name, and to no other.
const OTHER_PROJECT: Stranger = Stranger::Unfit("a file name of another project than its page");

/// An address has no query, so that it can stand for one of them only.
const OTHER_QUERY: Stranger =
    Stranger::Unfit("a path that is on its page with another query before");

/// There is nothing to check it by, and no operator said that its host is to be trusted.
const UNHASHED: Stranger = Stranger::Unfit("no sha256, at a host that no configuration names");

/// Files that are noted of a page too large to keep; some 100 bytes each.
const PASSING_MAX: usize = 65_536;

/// What the links of one upstream's pages are judged by.
#[derive(Clone)]
pub struct LinkPolicy {
    rules: LinkRules,
    private: Arc<PrivateNames>,
    pub(super) policies: Arc<Policies>,
    path_prefix: Arc<str>,
    /// Offline: only what is in here is listed.
    held: Option<Holdings>,
    warned: Arc<Mutex<HashSet<String>>>,
}

#[derive(Clone)]
pub enum LinkRules {
    /// GitLab's pages may be another larder's, which has a mirror's files on them in GitLab's
    /// place: these lead through the mirror that they come from, and by its rules.
    GitLab {
        bases: Bases,
        mirrors: Arc<[MirrorRules]>,
    },
    Mirror(MirrorRules),
    /// Of pages that were carried here. A mirror's files need no such mirror to be configured; if
    /// it is, its rules hold.
    Portable(Arc<[MirrorRules]>),
}

/// What is a mirror's, and may come from it.
#[derive(Clone)]
pub struct MirrorRules {
    pub base: Arc<MirrorBase>,
}

/// An entry, and what is known of it otherwise.
pub struct Listed<'a> {
    pub page: &'a PageRef,
    pub entry: &'a Entry<'a>,
    pub dates: &'a PageDates,
    /// What the page says of the project, where its files are left out for that.
    pub quarantine: Option<&'a ProjectStatus>,
}

impl MirrorRules {
    /// A file of this mirror's own page.
    fn judge(&self, page: &PageRef, entry: &Entry<'_>) -> Result<MirrorPath, Stranger> {
        let path = self.base.judge(entry.url)?;
        if !is_found_by_name(page, &path) {
            return Err(OTHER_PROJECT);
        }
        if entry.sha256.is_none() && !self.base.is_named_by_operator(&path) {
            return Err(UNHASHED);
        }
        Ok(path)
    }

    /// A file of a page of GitLab's, which every publisher can write: only at places that the
    /// configuration names.
    fn recognise_configured(&self, link: &Url) -> Option<MirrorPath> {
        let path = self.base.recognise(link)?;
        if self.base.is_at_taken_host(&path) {
            return None;
        }
        Some(path)
    }

    /// Whether a file would lead through larder if its host were taken.
    fn may_take_host(&self, entry: &Entry<'_>) -> bool {
        let Some(hosts) = self.base.hosts() else {
            return false;
        };
        // Another page may have had it taken since this link was judged.
        let is_open = hosts.is_new(entry.url) || hosts.has(entry.url);
        entry.sha256.is_some() && is_open
    }
}

impl LinkPolicy {
    pub fn new(
        rules: LinkRules,
        private: Arc<PrivateNames>,
        policies: Arc<Policies>,
        path_prefix: &str,
    ) -> Self {
        Self {
            rules,
            private,
            policies,
            path_prefix: path_prefix.trim_end_matches('/').into(),
            held: None,
            warned: Arc::default(),
        }
    }

    /// The same offline. To decide then blocks.
    pub fn held(self, holdings: Holdings) -> Self {
        Self {
            held: Some(holdings),
            ..self
        }
    }

    /// The same for a list of names whose sources were judged already: a view's, which has private
    /// names of GitLab's.
    #[must_use]
    pub fn with_judged_names(self) -> Self {
        Self {
            private: Arc::default(),
            ..self
        }
    }

    /// Our address of the file that an entry of this page leads to, if it leads through larder.
    pub fn file_address(&self, page: &PageRef, entry: &Entry<'_>) -> Option<String> {
        match &self.rules {
            LinkRules::Mirror(rules) => Some(rules.judge(page, entry).ok()?.to_string()),
            LinkRules::GitLab { bases, mirrors } => match bases.recognise(entry.url) {
                LinkTarget::Ours {
                    route: route @ Route::File(_),
                    ..
                } => Some(route.path()),
                LinkTarget::Ours { .. } | LinkTarget::UnknownBase { .. } => None,
                LinkTarget::Foreign => {
                    let mut found = mirrors
                        .iter()
                        .filter(|mirror| mirror.recognise_configured(entry.url).is_some());
                    Some(found.next()?.judge(page, entry).ok()?.to_string())
                }
            },
            LinkRules::Portable(_) => match recognise_portable(entry.url)? {
                route @ (Route::File(_) | Route::Mirrored(_)) => Some(route.path()),
                _ => None,
            },
        }
    }

    /// What the policies are at: what was judged before it moved has to be judged again.
    pub fn generation(&self) -> u64 {
        self.policies.generation()
    }

    /// Decides about one entry, and notes what it is in `collected`.
    pub fn decide(&self, listed: &Listed<'_>, collected: &mut Collected) -> Decision {
        let Listed { page, entry, .. } = *listed;
        let decision = match &self.rules {
            LinkRules::GitLab { bases, mirrors } => {
                self.on_gitlab(listed, bases, mirrors, collected)
            }
            LinkRules::Mirror(rules) if page.name.is_some() => {
                self.on_mirror(listed, rules, collected)
            }
            LinkRules::Mirror(rules) => self.on_mirror_index(&rules.base, entry),
            LinkRules::Portable(mirrors) if page.name.is_some() => {
                self.on_portable(listed, mirrors, collected)
            }
            LinkRules::Portable(_) => self.on_portable_index(&page.scope, entry),
        };
        match decision {
            // Whatever else it leads to: nothing of a quarantined project is offered.
            _ if listed.quarantine.is_some() => Decision::Drop,
            // Offline it leads nowhere.
            Decision::Keep if self.held.is_some() => Decision::Drop,
            decision => decision,
        }
    }

    fn on_gitlab(
        &self,
        listed: &Listed<'_>,
        bases: &Bases,
        mirrors: &[MirrorRules],
        collected: &mut Collected,
    ) -> Decision {
        let Listed { page, entry, .. } = *listed;
        match bases.recognise(entry.url) {
            LinkTarget::Ours {
                route: Route::File(file),
                path,
            } => self.on_gitlabs_file(listed, file, &path, collected),
            LinkTarget::Ours { path, .. } => self.lead(&path, None, entry, collected),
            LinkTarget::UnknownBase { base } => {
                let key = "gitlab.external_urls, if it is this GitLab's external URL";
                self.warn_unknown(&base, key);
                collected.past += 1;
                self.past_larder(listed, collected)
            }
            LinkTarget::Foreign => {
                for mirror in mirrors {
                    if mirror.recognise_configured(entry.url).is_some() {
                        return self.on_mirror(listed, mirror, collected);
                    }
                }
                if page.name.is_some() && entry.url.has_host() {
                    collected.past += 1;
                }
                self.past_larder(listed, collected)
            }
        }
    }

    fn on_gitlabs_file(
        &self,
        listed: &Listed<'_>,
        file: FileRef,
        path: &str,
        collected: &mut Collected,
    ) -> Decision {
        let judged = self.judged(
            listed,
            &listed.page.scope,
            file.filename.as_str(),
            collected,
        );
        if judged.uploaded.is_none() && !collected.passing {
            collected.undated.push(file.clone());
        }
        if collected.written.is_none() {
            collected.written = Some(file.scope.clone());
        }
        self.note_date(listed, &file, collected);
        if self.is_refused(listed, &judged, collected) {
            if !collected.passing {
                collected.hidden.push(file);
            }
            return Decision::Drop;
        }
        self.lead(path, Some(file), listed.entry, collected)
    }

    /// A link of GitLab's that stays as it is: what it leads to comes from elsewhere.
    fn past_larder(&self, listed: &Listed<'_>, collected: &mut Collected) -> Decision {
        if listed.page.name.is_none() {
            return Decision::Keep;
        }
        let name = &listed.entry.name;
        let judged = self.judged(listed, &listed.page.scope, name, collected);
        if self.is_refused(listed, &judged, collected) {
            return Decision::Drop;
        }
        Decision::Keep
    }

    fn on_mirror(
        &self,
        listed: &Listed<'_>,
        rules: &MirrorRules,
        collected: &mut Collected,
    ) -> Decision {
        let Listed { page, entry, .. } = *listed;
        let path = rules.judge(page, entry);
        match self.mirrored(listed, path, Some(rules), collected) {
            Ok(decision) => decision,
            Err(why) => {
                // The index itself or another page of it, which a whole address would give away,
                // with whatever its path holds.
                if entry.url.path().ends_with('/')
                    && let Some(page) = rules.base.recognise_page(entry.url)
                {
                    return self.lead_to_page(page);
                }
                if why == Stranger::Elsewhere && rules.may_take_host(entry) {
                    collected.note_new_host(entry.url);
                } else {
                    self.warn_past(&rules.base, entry, why);
                }
                if entry.url.has_host() {
                    collected.past += 1;
                }
                Decision::Keep
            }
        }
    }

    /// About a file of a mirror's; why there is nothing to decide, if it has no address here.
    fn mirrored(
        &self,
        listed: &Listed<'_>,
        mut path: Result<MirrorPath, Stranger>,
        rules: Option<&MirrorRules>,
        collected: &mut Collected,
    ) -> Result<Decision, Stranger> {
        let entry = listed.entry;
        if self.bears_private_name(entry) {
            return Ok(Decision::Drop);
        }
        let judged = match (&path, rules) {
            (Ok(path), _) => {
                let name = path.filename().as_str();
                self.judged(listed, path.scope(), name, collected)
            }
            (Err(_), Some(rules)) => {
                self.judged(listed, rules.base.scope(), &entry.name, collected)
            }
            (Err(why), None) => return Err(*why),
        };
        let first_seen = judged.first_seen;
        let is_refused = self.is_refused(listed, &judged, collected);
        if let Ok(known) = &path {
            let mut file = mirror_file(known, entry, rules);
            file.first_seen = first_seen;
            let max = if collected.passing {
                PASSING_MAX
            } else {
                usize::MAX
            };
            if !collected.mirrored.add(file, max) {
                path = Err(OTHER_QUERY);
            }
        }
        if is_refused {
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
    fn on_portable(
        &self,
        listed: &Listed<'_>,
        mirrors: &[MirrorRules],
        collected: &mut Collected,
    ) -> Decision {
        let page = listed.page;
        let link = listed.entry.url;
        match recognise_portable(link) {
            Some(Route::File(file)) if !page.scope.is_mirror() => {
                self.on_gitlabs_file(listed, file, link.path(), collected)
            }
            Some(Route::Mirrored(path))
                if !page.scope.is_mirror() || *path.scope() == page.scope =>
            {
                let is_its = |mirror: &&MirrorRules| mirror.base.scope() == path.scope();
                let rules = mirrors.iter().find(is_its);
                let decided = self.mirrored(listed, Ok(path), rules, collected);
                decided.unwrap_or(Decision::Drop)
            }
            _ => Decision::Drop,
        }
    }

    fn on_portable_index(&self, scope: &Scope, entry: &Entry<'_>) -> Decision {
        match ProjectName::parse(&entry.name) {
            Ok(name) if !(scope.is_mirror() && self.private.hold(&name)) => {
                self.lead_to_page(PageRef {
                    scope: scope.clone(),
                    name: Some(name),
                })
            }
            Ok(_) | Err(_) => Decision::Drop,
        }
    }

    fn on_mirror_index(&self, base: &MirrorBase, entry: &Entry<'_>) -> Decision {
        let name = ProjectName::parse(&entry.name);
        if name.is_ok_and(|name| self.private.hold(&name)) {
            return Decision::Drop;
        }
        match base.recognise_page(entry.url) {
            Some(page) => self.lead_to_page(page),
            None => Decision::Keep,
        }
    }

    fn lead_to_page(&self, page: PageRef) -> Decision {
        Decision::Replace(Replacement {
            address: format!("{}{}", self.path_prefix, Route::Page(page)),
            ..Replacement::default()
        })
    }

    /// The link becomes ours.
    fn lead(
        &self,
        path: &str,
        file: Option<FileRef>,
        entry: &Entry<'_>,
        collected: &mut Collected,
    ) -> Decision {
        if let Some(held) = &self.held {
            match &file {
                Some(file) if held.holds(file) => {}
                Some(_) | None => return Decision::Drop,
            }
        }
        let mut markable = false;
        if let Some(file) = file
            && !collected.passing
        {
            markable = entry.core_metadata.is_none() && file.filename.is_wheel();
            if markable {
                collected.marked.push(WheelMark::of(&file));
                collected.wheels.push(LikelyWheel::new(file.clone(), entry));
            }
            collected.files.push(file);
        }
        Decision::Replace(Replacement {
            address: format!("{}{path}", self.path_prefix),
            markable,
            ..Replacement::default()
        })
    }

    /// Whether a file's most likely project is none of a mirror's business. A page may call a file
    /// otherwise than its address does, and a client may go by either.
    fn bears_private_name(&self, entry: &Entry<'_>) -> bool {
        let is_private = |filename: &str| match project_candidates(filename).first() {
            Some(name) => self.private.hold(name),
            None => false,
        };
        if is_private(&entry.name) {
            return true;
        }
        let segment = entry
            .url
            .path_segments()
            .and_then(|mut all| all.next_back());
        match segment.and_then(|segment| Filename::parse(segment).ok()) {
            Some(filename) => is_private(filename.as_str()),
            None => false,
        }
    }

    /// Why a file's link goes past larder. Neither path nor query is logged, which may hold a
    /// secret.
    fn warn_past(&self, base: &MirrorBase, entry: &Entry<'_>, why: Stranger) {
        let origin = entry.url.origin().ascii_serialization();
        match why {
            Stranger::Elsewhere if entry.url.has_host() => {
                let whose = if base.is_parents() {
                    "the parent's "
                } else {
                    ""
                };
                self.warn_unknown(&origin, &format!("{whose}mirrors.{base}.file_urls"));
            }
            Stranger::Elsewhere => {}
            Stranger::Unfit(why) => {
                if self.is_first(format!("{origin} {why}")) {
                    let file: String = entry.name.chars().take(LOGGED_CHARS_MAX).collect();
                    tracing::warn!(
                        %origin, file, error = %why,
                        "a page links to a file that can have no address here, so this link goes past larder, as do others of the kind"
                    );
                }
            }
        }
    }

    fn warn_unknown(&self, base: &str, key: &str) {
        if self.is_first(base.to_owned()) {
            tracing::warn!(
                %base,
                "pages link to a base that is not configured, so these links go past larder; the line to add it to is {key}"
            );
        }
    }

    /// Says what a page is served without.
    pub fn warn_left_out(&self, page: &PageRef, left_out: &SkippedEntries) {
        let Some(first) = &left_out.first else { return };
        let page = Route::Page(page.clone());
        if self.is_first(page.path()) {
            tracing::warn!(
                %page, entries = left_out.entries, %first,
                "a page has entries that cannot be used, and is served without them"
            );
        }
    }

    /// Whether this was not logged before, and may be.
    fn is_first(&self, warning: String) -> bool {
        let mut warned = self.warned.lock();
        warned.len() < WARNED_MAX && warned.insert(warning)
    }
}

/// Whether the page that lists a path is found by the path alone, which is done by the file's name.
fn is_found_by_name(page: &PageRef, path: &MirrorPath) -> bool {
    let is_its = |name: &ProjectName| project_candidates(path.filename().as_str()).contains(name);
    page.name.as_ref().is_none_or(is_its)
}

/// What a page says of a file of a mirror's.
fn mirror_file(path: &MirrorPath, entry: &Entry<'_>, rules: Option<&MirrorRules>) -> MirrorFile {
    // Metadata of a host that no operator named has to have a digest, as a file there: it is
    // made of the wheel otherwise.
    let metadata = match (entry.core_metadata, rules) {
        (Some(CoreMetadata::Present), Some(rules)) if !rules.base.is_named_by_operator(path) => {
            None
        }
        (offered, _) => offered,
    };
    MirrorFile::new(path, entry.sha256, metadata, entry.upload_time)
}
