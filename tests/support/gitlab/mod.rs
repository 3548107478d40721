//! A stand-in for GitLab's package registry and its object store, in this process, on two ports of 127.0.0.1.
//!
//! It answers as GitLab's own source and specs have it, misbehaves as a test plans it ([`Act`]), and
//! records every request ([`RequestLog`]). It knows nothing of larder. It runs on a runtime of its own, so
//! that blocking and async tests can use it alike.

mod access;
mod answer;
mod answering;
mod object_store;
mod pages;
mod request;
mod settings;
mod state;
pub mod token;
mod universe;
mod upload;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::object_store::Signatures;
use self::state::State;
use super::http::fault::Faults;
use super::http::server::{self, Listening};
use super::http::{Act, Door, Fault, Gate, PlannedFault, RequestLog, Site, Tls};
use super::wheel::Artifact;

pub use self::answer::BASIC_CHALLENGE;
pub use self::settings::{Settings, Storage, UploadKeeping, UploadLimit};
pub use self::token::{Place, Role, Token, TokenKind, TokenState};
pub use self::universe::{
    Group, NewFile, Package, Project, Registry, StoredFile, Universe, Visibility,
};
pub use self::upload::Upload;

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub struct GitLab {
    state: Arc<State>,
    /// GitLab's, then the object store's.
    doors: [Listening; 2],
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("gitlab-stand-in")
            .enable_all()
            .build()
            .expect("a runtime for the stand-in");
        let handle = runtime.handle();
        let [door, store_door] =
            [(); 2].map(|()| server::listen(handle, ([127, 0, 0, 1], 0).into()));
        let origin = |door: &TcpListener, tls: &Option<Tls>| {
            let scheme = if tls.is_some() { "https" } else { "http" };
            format!(
                "{scheme}://{}",
                door.local_addr().expect("a listening socket")
            )
        };
        let state = Arc::new(State {
            own_url: format!("{}{}", origin(&door, &self.tls), self.root),
            store_url: origin(&store_door, &self.store_tls),
            root: self.root,
            settings: Mutex::new(self.settings),
            universe: Mutex::new(self.universe),
            uploads: Mutex::default(),
            signatures: Signatures::default(),
            faults: Faults::default(),
            log: RequestLog::default(),
        });
        let doors = [
            Listening::start(handle, &state, Door::GitLab, door, self.tls),
            Listening::start(handle, &state, Door::Store, store_door, self.store_tls),
        ];
        GitLab {
            state,
            doors,
            runtime: Some(runtime),
        }
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
        &self.state.own_url
    }

    pub fn address(&self) -> SocketAddr {
        self.doors[0].address()
    }

    /// The origin of the object store.
    pub fn store_url(&self) -> &str {
        &self.state.store_url
    }

    pub fn store_address(&self) -> SocketAddr {
        self.doors[1].address()
    }

    /// Turns switches, from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state.settings.lock().expect("no panic holds it"));
    }

    /// Changes what it holds: publishes and deletes files, grants and revokes tokens.
    pub fn change<T>(&self, change: impl FnOnce(&mut Universe) -> T) -> T {
        change(&mut self.state.universe())
    }

    pub fn publish(&self, project: u64, file: impl Into<NewFile>) {
        self.change(|universe| universe.publish(project, file));
    }

    pub fn revoke(&self, secret: &str) {
        self.change(|universe| universe.revoke(secret));
    }

    pub fn plan(&self, fault: Fault) -> PlannedFault {
        self.state.faults.plan(fault)
    }

    /// Holds matching answers at so many bytes of their body until the gate is opened.
    pub fn hold(&self, site: impl Into<Site>, after: u64) -> Gate {
        let gate = Gate::new();
        self.plan(
            Act::Gate {
                after,
                gate: gate.clone(),
            }
            .at(site),
        );
        gate
    }

    /// Takes back all faults; answers that wait at a gate go on waiting.
    pub fn behave(&self) {
        self.state.faults.clear();
    }

    pub fn log(&self) -> &RequestLog {
        &self.state.log
    }

    /// All upload requests so far, in the order in which they ended.
    pub fn uploads(&self) -> Vec<Upload> {
        self.state.uploads().clone()
    }

    /// Makes every signed URL given out so far an expired one.
    pub fn expire_signed_urls(&self) {
        self.state.signatures.expire_all();
    }

    /// Closes both ports and all connections: from now on connections are refused.
    pub fn stop(&self) {
        self.doors.iter().for_each(Listening::stop);
    }

    /// Opens both ports again.
    pub fn resume(&self) {
        let runtime = self.runtime.as_ref().expect("not being dropped");
        for door in &self.doors {
            door.resume(runtime.handle(), &self.state);
        }
    }
}

impl Drop for GitLab {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so that an async test may drop it.
            runtime.shutdown_background();
        }
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
