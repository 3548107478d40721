//! One larder as the plan sees it: which pages are fresh, which callers' rights hold, and what lies on the disk.
//!
//! The rules are those of docs/promises.md and docs/operations.md, "GitLab's load". What is left out, because it
//! costs no file: metadata, pages that are renewed before they lapse, and GitLab's packages API.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use crate::world::{FileId, Millis, PackageId, SECOND};

/// A job's token. Each job has its own, and its requests come one after another.
pub type CallerId = u32;

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `index.ttl`
    pub page: Millis,
    /// `mirrors.NAME.ttl`
    pub mirror_page: Millis,
    /// `auth.cache_ttl`
    pub right: Millis,
    /// `cache_size`
    pub disk: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            page: 30 * SECOND,
            mirror_page: 600 * SECOND,
            right: 60 * SECOND,
            disk: 20 << 30,
        }
    }
}

#[derive(Debug)]
pub struct Larder {
    rules: Rules,
    /// GitLab's pages, or those that a parent gives in GitLab's place.
    pages: Lifetimes<PackageId>,
    mirror_pages: Lifetimes<PackageId>,
    /// To the project that all private packages lie in.
    rights: Lifetimes<CallerId>,
    /// That a file belongs to the project: its page listed it, or GitLab gave it, to some caller.
    listed: Lifetimes<PackageId>,
    given: Lifetimes<FileId>,
    /// The pages that the latest job was shown here.
    reader: CallerId,
    shown: HashSet<PackageId>,
    disk: Disk,
}

impl Larder {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            pages: Lifetimes::default(),
            mirror_pages: Lifetimes::default(),
            rights: Lifetimes::default(),
            listed: Lifetimes::default(),
            given: Lifetimes::default(),
            reader: CallerId::MAX,
            shown: HashSet::new(),
            disk: Disk::default(),
        }
    }

    /// Shows a caller a page of GitLab's, and says whether upstream had to be asked for it.
    pub fn asks_page(&mut self, caller: CallerId, package: PackageId, now: Millis) -> bool {
        if self.reader != caller {
            self.reader = caller;
            self.shown.clear();
        }
        self.shown.insert(package);
        if self.rights.hold(caller, now) && self.pages.hold(package, now) {
            return false;
        }
        self.rights.begin(caller, now, self.rules.right);
        self.listed.begin(package, now, self.rules.right);
        self.pages.begin(package, now, self.rules.page);
        true
    }

    /// The same of a mirror's page, which all may read; a file's address is good while its page is fresh.
    pub fn asks_mirror_page(&mut self, package: PackageId, now: Millis, ttl: Millis) -> bool {
        if self.mirror_pages.hold(package, now) {
            return false;
        }
        self.mirror_pages.begin(package, now, ttl);
        true
    }

    /// Whether this caller may have a file of GitLab's without a question; from now on it may.
    pub fn asks_right(&mut self, caller: CallerId, file: FileId, now: Millis) -> bool {
        if self.reader == caller && self.shown.contains(&file.package) {
            return false;
        }
        let witnessed = self.given.hold(file, now) || self.listed.hold(file.package, now);
        if witnessed && self.rights.hold(caller, now) {
            return false;
        }
        self.rights.begin(caller, now, self.rules.right);
        self.given.begin(file, now, self.rules.right);
        true
    }

    /// A file that is here has been used now.
    pub fn has_file(&mut self, file: FileId) -> bool {
        self.disk.uses(file)
    }

    pub fn keep_file(&mut self, file: FileId, bytes: u64) {
        self.disk.keep(file, bytes, self.rules.disk);
    }

    pub fn stored(&self) -> u64 {
        self.disk.bytes
    }
}

/// Until when what larder knows of each thing counts.
#[derive(Debug)]
struct Lifetimes<Key>(HashMap<Key, Millis>);

impl<Key> Default for Lifetimes<Key> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Key: Hash + Eq> Lifetimes<Key> {
    fn hold(&self, key: Key, now: Millis) -> bool {
        self.0.get(&key).is_some_and(|until| now < *until)
    }

    fn begin(&mut self, key: Key, now: Millis, lifetime: Millis) {
        if self.0.len() > 10_000 {
            self.0.retain(|_, until| now < *until);
        }
        self.0.insert(key, now + lifetime);
    }
}

/// Files in the order of their last use.
#[derive(Debug, Default)]
struct Disk {
    files: HashMap<FileId, (u64, u64)>,
    by_use: BTreeMap<u64, FileId>,
    bytes: u64,
    uses: u64,
}

impl Disk {
    fn uses(&mut self, file: FileId) -> bool {
        let Some((_, used)) = self.files.get_mut(&file) else {
            return false;
        };
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, file);
        true
    }

    /// A file that does not fit at all passes through; what was used longest ago makes room, and a
    /// sixty-fourth of the budget more.
    fn keep(&mut self, file: FileId, bytes: u64, budget: u64) {
        if bytes > budget || self.files.contains_key(&file) {
            return;
        }
        if self.bytes + bytes > budget {
            let wanted = budget - budget / 64;
            while self.bytes + bytes > wanted {
                let Some((_, oldest)) = self.by_use.pop_first() else {
                    break;
                };
                let (length, _) = self.files.remove(&oldest).unwrap_or_default();
                self.bytes -= length;
            }
        }
        self.uses += 1;
        self.files.insert(file, (bytes, self.uses));
        self.by_use.insert(self.uses, file);
        self.bytes += bytes;
    }
}
