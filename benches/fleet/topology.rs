//! Where the larders stand, and what a world's jobs cost through them.

use std::collections::HashMap;

use crate::larder::{CallerId, Larder, Rules};
use crate::world::{FileId, Job, Millis, PackageId, SECOND, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// No larder at all.
    Direct,
    /// One on each agent.
    Agents,
    /// One for all of them.
    Central,
    /// One on each agent, under this many parents.
    Parents(usize),
    /// One on each agent, and a shared store.
    Shared,
    /// One on each agent under two parents, which have a shared store.
    SharedParents,
}

impl Topology {
    pub const ALL: [Self; 7] = [
        Self::Direct,
        Self::Agents,
        Self::Central,
        Self::Parents(1),
        Self::Parents(2),
        Self::Shared,
        Self::SharedParents,
    ];

    pub fn name(self) -> String {
        match self {
            Self::Direct => "without larder".to_owned(),
            Self::Agents => "a larder on each agent".to_owned(),
            Self::Central => "one larder for all".to_owned(),
            Self::Parents(1) => "on each agent, under one parent".to_owned(),
            Self::Parents(count) => format!("on each agent, under {count} parents"),
            Self::Shared => "on each agent, with a shared store".to_owned(),
            Self::SharedParents => "under 2 parents, with a shared store".to_owned(),
        }
    }

    pub fn parents(self) -> usize {
        match self {
            Self::Direct | Self::Agents | Self::Shared => 0,
            Self::Central => 1,
            Self::Parents(count) => count,
            Self::SharedParents => 2,
        }
    }

    fn on_agents(self) -> bool {
        !matches!(self, Self::Direct | Self::Central)
    }

    fn shares(self) -> bool {
        matches!(self, Self::Shared | Self::SharedParents)
    }
}

/// What went over which wire. Bytes are those of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub gitlab_requests: u64,
    pub index_requests: u64,
    pub upstream_files: u64,
    pub upstream_bytes: u64,
    /// From a parent, or a central larder, to the agents.
    pub site_bytes: u64,
    pub shared_reads: u64,
    pub shared_bytes_read: u64,
    pub shared_bytes_written: u64,
    pub files: u64,
    pub bytes: u64,
    /// Files that the agent's own larder held, or the central one.
    pub hits: u64,
}

impl Tally {
    pub fn since(self, earlier: Self) -> Self {
        Self {
            gitlab_requests: self.gitlab_requests - earlier.gitlab_requests,
            index_requests: self.index_requests - earlier.index_requests,
            upstream_files: self.upstream_files - earlier.upstream_files,
            upstream_bytes: self.upstream_bytes - earlier.upstream_bytes,
            site_bytes: self.site_bytes - earlier.site_bytes,
            shared_reads: self.shared_reads - earlier.shared_reads,
            shared_bytes_read: self.shared_bytes_read - earlier.shared_bytes_read,
            shared_bytes_written: self.shared_bytes_written - earlier.shared_bytes_written,
            files: self.files - earlier.files,
            bytes: self.bytes - earlier.bytes,
            hits: self.hits - earlier.hits,
        }
    }
}

/// Between a file's last byte and its being in the shared store.
const UPLOAD: Millis = SECOND / 5;

#[derive(Debug)]
pub struct Site<'a> {
    pub topology: Topology,
    pub world: &'a World,
    agents: Vec<Larder>,
    parents: Vec<Larder>,
    shared: HashMap<FileId, Millis>,
    page: Millis,
    mirror_page: Millis,
    pub tally: Tally,
}

impl<'a> Site<'a> {
    pub fn new(topology: Topology, world: &'a World, agent: Rules, parent: Rules) -> Self {
        let agents = if topology.on_agents() {
            world.scale.agents
        } else {
            0
        };
        Self {
            topology,
            world,
            agents: (0..agents).map(|_| Larder::new(agent)).collect(),
            parents: (0..topology.parents())
                .map(|_| Larder::new(parent))
                .collect(),
            shared: HashMap::new(),
            page: agent.page,
            mirror_page: agent.mirror_page,
            tally: Tally::default(),
        }
    }

    /// A job's requests, one after another, in the moment when it starts.
    pub fn run(&mut self, job: &Job, caller: CallerId) {
        for file in &job.files {
            if !job.locked {
                self.page(job, caller, file.package);
            }
            self.file(job, caller, *file);
        }
    }

    fn page(&mut self, job: &Job, caller: CallerId, package: PackageId) {
        // A parent's agents see no difference between GitLab's pages and those given in GitLab's place.
        if self.topology.parents() > 0
            && let Some(agent) = self.agents.get_mut(job.agent as usize)
            && !agent.asks_page(caller, package, job.at)
        {
            return;
        }
        let private = self.world.package(package).private;
        let Some(larder) = self.outermost(job, package) else {
            self.tally.gitlab_requests += 1;
            self.tally.index_requests += u64::from(!private);
            return;
        };
        if private {
            let asked = larder.asks_page(caller, package, job.at);
            self.tally.gitlab_requests += u64::from(asked);
        } else {
            // GitLab says to each caller anew that it does not have the package.
            self.tally.gitlab_requests += 1;
            self.mirror_page(job, package);
        }
    }

    /// The index's page, at the larder that asks the index itself.
    fn mirror_page(&mut self, job: &Job, package: PackageId) {
        let ttl = self.mirror_page;
        let now = job.at;
        if let Some(larder) = self.outermost(job, package) {
            let asked = larder.asks_mirror_page(package, now, ttl);
            self.tally.index_requests += u64::from(asked);
        }
    }

    /// The larder that asks GitLab and the index itself, if there is any.
    fn outermost(&mut self, job: &Job, package: PackageId) -> Option<&mut Larder> {
        let home = self.home(package);
        match self.parents.get_mut(home) {
            Some(parent) => Some(parent),
            None => self.agents.get_mut(job.agent as usize),
        }
    }

    fn file(&mut self, job: &Job, caller: CallerId, file: FileId) {
        let package = self.world.package(file.package);
        let bytes = package.bytes;
        let private = package.private;
        self.tally.files += 1;
        self.tally.bytes += bytes;
        let nobody_here = self.agents.is_empty() && self.parents.is_empty();
        if !private && !nobody_here {
            self.file_listed(job, file);
        }
        let mut asks_right = private;
        if let Some(agent) = self.agents.get_mut(job.agent as usize) {
            asks_right = private && agent.asks_right(caller, file, job.at);
            if agent.has_file(file) {
                self.tally.hits += 1;
                if asks_right {
                    self.ask_right(job, caller, file);
                }
                return;
            }
        }
        self.fetch(job, caller, file, asks_right);
        if let Some(agent) = self.agents.get_mut(job.agent as usize) {
            agent.keep_file(file, bytes);
        }
    }

    /// The page of the index must list the file still.
    fn file_listed(&mut self, job: &Job, file: FileId) {
        let page = self.page;
        if self.topology.parents() > 0
            && let Some(agent) = self.agents.get_mut(job.agent as usize)
            && !agent.asks_mirror_page(file.package, job.at, page)
        {
            return;
        }
        self.mirror_page(job, file.package);
    }

    /// The agent holds the file, and not GitLab's word about this caller.
    fn ask_right(&mut self, job: &Job, caller: CallerId, file: FileId) {
        let home = self.home(file.package);
        let asked = match self.parents.get_mut(home) {
            Some(parent) => parent.asks_right(caller, file, job.at),
            None => true,
        };
        self.tally.gitlab_requests += u64::from(asked);
    }

    /// What the agent lacks: from its parent, the shared store or upstream.
    fn fetch(&mut self, job: &Job, caller: CallerId, file: FileId, asks_right: bool) {
        let private = self.world.package(file.package).private;
        let bytes = self.world.package(file.package).bytes;
        let home = self.home(file.package);
        let mut asks_right = asks_right;
        if let Some(parent) = self.parents.get_mut(home) {
            self.tally.site_bytes += bytes;
            asks_right = private && parent.asks_right(caller, file, job.at);
            if parent.has_file(file) {
                self.tally.hits += u64::from(self.agents.is_empty());
                self.tally.gitlab_requests += u64::from(asks_right);
                return;
            }
        }
        if self.is_shared(file, job.at) {
            self.tally.shared_reads += 1;
            self.tally.shared_bytes_read += bytes;
            self.tally.gitlab_requests += u64::from(asks_right);
        } else {
            // A download in the caller's name is the question about its right as well.
            self.tally.upstream_files += 1;
            self.tally.upstream_bytes += bytes;
            self.tally.gitlab_requests += u64::from(private);
            self.tally.index_requests += u64::from(!private);
        }
        if let Some(parent) = self.parents.get_mut(home) {
            parent.keep_file(file, bytes);
        }
        if self.topology.shares() && !self.shared.contains_key(&file) {
            self.tally.shared_bytes_written += bytes;
            self.shared.insert(file, job.at + UPLOAD);
        }
    }

    fn is_shared(&self, file: FileId, now: Millis) -> bool {
        let written = self.shared.get(&file);
        written.is_some_and(|written| *written <= now)
    }

    /// Rendezvous hashing gives each parent its share of the projects; any even hash does for a plan.
    fn home(&self, package: PackageId) -> usize {
        let mixed = u64::from(package.0).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        usize::try_from(mixed).unwrap_or(0) % self.parents.len().max(1)
    }

    pub fn stored(&self) -> u64 {
        let larders = self.parents.iter().chain(&self.agents);
        larders.map(Larder::stored).max().unwrap_or(0)
    }
}
