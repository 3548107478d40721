//! A stand-in for GitLab's package registry and its object store, in this process, on two ports of
//! 127.0.0.1.
//!
//! It answers as GitLab's own source and specs have it, misbehaves as a test plans it
//! ([`Act`](super::Act)), and records every request ([`RequestLog`](super::RequestLog)). It knows
//! nothing of larder.

mod access;
mod answer;
mod answering;
mod object_store;
mod packages;
mod pages;
mod request;
mod settings;
mod state;
pub mod token;
mod universe;
mod upload;

use std::net::SocketAddr;
use std::sync::Mutex;

use self::object_store::Signatures;
use self::state::State;
use super::http::stand_in::{Shared, StandIn};
use super::http::{Door, Tls};
use super::wheel::Artifact;

pub use self::answer::BASIC_CHALLENGE;
pub use self::settings::{Settings, Storage, UploadKeeping, UploadLimit};
pub use self::token::{Place, Role, Token, TokenKind, TokenState};
pub use self::universe::{
    Group, NewFile, Package, Project, Registry, StoredFile, Universe, Visibility,
};
pub use self::upload::Upload;

/// A running stand-in: GitLab's door, then the object store's.
pub type GitLab = StandIn<State>;

/// A stand-in to be started.
#[derive(Debug)]
pub struct Builder {
    universe: Universe,
    settings: Settings,
    root: String,
    tls: Option<Tls>,
    store_tls: Option<Tls>,
}

impl Builder {
    /// In place of [`Universe::example`].
    pub fn universe(mut self, universe: Universe) -> Self {
        self.universe = universe;
        self
    }

    /// Changes the universe it starts with.
    pub fn holding(mut self, change: impl FnOnce(&mut Universe)) -> Self {
        change(&mut self.universe);
        self
    }

    pub fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn storage(self, storage: Storage) -> Self {
        self.set(|settings| settings.storage = storage)
    }

    /// Where GitLab lives below its host, as `/gitlab`.
    pub fn relative_root(mut self, root: &str) -> Self {
        root.clone_into(&mut self.root);
        self
    }

    /// Spoken to over https; the object store is another matter.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub fn store_tls(mut self, tls: Tls) -> Self {
        self.store_tls = Some(tls);
        self
    }

    pub fn start(self) -> GitLab {
        let doors = [(Door::GitLab, self.tls), (Door::Store, self.store_tls)];
        StandIn::serve("gitlab-stand-in", doors, |[origin, store_url]| State {
            own_url: format!("{origin}{}", self.root),
            store_url,
            root: self.root,
            shared: Shared::new(self.settings),
            universe: Mutex::new(self.universe),
            uploads: Mutex::default(),
            signatures: Signatures::default(),
        })
    }
}

impl GitLab {
    /// Holding [`Universe::example`], with files on its own disk.
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder {
            universe: Universe::example(),
            settings: Settings::default(),
            root: String::new(),
            tls: None,
            store_tls: None,
        }
    }

    /// The base to be configured as `gitlab.url`: relative root included, no slash at the end.
    pub fn url(&self) -> &str {
        &self.host.own_url
    }

    /// The origin of the object store.
    pub fn store_url(&self) -> &str {
        &self.host.store_url
    }

    pub fn store_address(&self) -> SocketAddr {
        self.second_address()
    }

    /// Changes what it holds: publishes and deletes files, grants and revokes tokens.
    pub fn change<T>(&self, change: impl FnOnce(&mut Universe) -> T) -> T {
        change(&mut self.host.universe())
    }

    pub fn publish(&self, project: u64, file: impl Into<NewFile>) {
        self.change(|universe| universe.publish(project, file));
    }

    pub fn revoke(&self, secret: &str) {
        self.change(|universe| universe.revoke(secret));
    }

    /// All upload requests so far, in the order in which they ended.
    pub fn uploads(&self) -> Vec<Upload> {
        self.host.uploads().clone()
    }

    /// Makes every signed URL given out so far an expired one.
    pub fn expire_signed_urls(&self) {
        self.host.signatures.expire_all();
    }
}

/// Paths as larder and GitLab share them, without the relative root.
pub mod path {
    use super::Artifact;

    pub fn project_index(project: u64) -> String {
        format!("/api/v4/projects/{project}/packages/pypi/simple/")
    }

    pub fn project_page(project: u64, name: &str) -> String {
        format!("/api/v4/projects/{project}/packages/pypi/simple/{name}/")
    }

    pub fn project_file(project: u64, artifact: &Artifact) -> String {
        format!(
            "/api/v4/projects/{project}/packages/pypi/files/{}/{}",
            artifact.sha256, artifact.filename
        )
    }

    pub fn group_index(group: u64) -> String {
        format!("/api/v4/groups/{group}/-/packages/pypi/simple/")
    }

    pub fn group_page(group: u64, name: &str) -> String {
        format!("/api/v4/groups/{group}/-/packages/pypi/simple/{name}/")
    }

    pub fn group_file(group: u64, artifact: &Artifact) -> String {
        format!(
            "/api/v4/groups/{group}/-/packages/pypi/files/{}/{}",
            artifact.sha256, artifact.filename
        )
    }

    pub fn upload(project: u64) -> String {
        format!("/api/v4/projects/{project}/packages/pypi")
    }
}
