//! A stand-in for a public index (PEP 503, 691) in this process: its pages on one port of 127.0.0.1, its files
//! on another.
//!
//! It answers as a configured mirror would, misbehaves as a test plans it ([`Act`]), records every request to
//! both ports ([`RequestLog`]), and reports what must never reach it: a credential it was not given, a private
//! name, a query. It knows nothing of larder.

mod answering;
mod catalogue;
mod guard;
mod pages;
mod settings;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::runtime::Runtime;

use self::state::State;
use super::http::fault::Faults;
use super::http::server::{self, Listening};
use super::http::{Act, Door, Fault, Gate, PlannedFault, RequestLog, Site, Tls};

pub use self::catalogue::{Catalogue, Hashes, Offer, ProjectStatus, RawPage, Sidecar};
pub use self::settings::{Formats, Links, Settings, Validators};

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub struct PublicIndex {
    state: Arc<State>,
    /// That of the pages, then that of the files.
    doors: [Listening; 2],
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// A stand-in to be started.
#[derive(Debug)]
pub struct Builder {
    catalogue: Catalogue,
    settings: Settings,
    path: String,
    files_folder: String,
    tls: Option<Tls>,
}

impl Builder {
    pub fn offering(mut self, offer: impl Into<Offer>) -> Self {
        self.catalogue.publish(offer);
        self
    }

    pub fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Where the pages live, with both slashes: `/simple/` unless told, `/team/pypi/+simple/` at a devpi.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The folder of the files beside that of the pages: `packages` unless told, `+f` at a devpi.
    pub fn files_in(mut self, folder: &str) -> Self {
        folder.clone_into(&mut self.files_folder);
        self
    }

    /// Both ports are spoken to over https.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub fn start(self) -> PublicIndex {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("public-index")
            .enable_all()
            .build()
            .expect("a runtime for the stand-in");
        let handle = runtime.handle();
        let listeners = [(); 2].map(|()| server::listen(handle, ([127, 0, 0, 1], 0).into()));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let [origin, files_origin] = [0, 1].map(|door: usize| {
            format!(
                "{scheme}://{}",
                listeners[door].local_addr().expect("a listening socket")
            )
        });
        let state = Arc::new(State {
            origin,
            files_origin,
            path: self.path,
            files_folder: self.files_folder,
            settings: Mutex::new(self.settings),
            catalogue: Mutex::new(self.catalogue),
            faults: Faults::default(),
            log: RequestLog::default(),
        });
        let [door, files_door] = listeners;
        let doors = [
            Listening::start(handle, &state, Door::Index, door, self.tls.clone()),
            Listening::start(handle, &state, Door::Files, files_door, self.tls),
        ];
        PublicIndex {
            state,
            doors,
            runtime: Some(runtime),
        }
    }
}

impl PublicIndex {
    /// Empty, speaking both formats.
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder {
            catalogue: Catalogue::default(),
            settings: Settings::default(),
            path: "/simple/".to_owned(),
            files_folder: "packages".to_owned(),
            tls: None,
        }
    }

    /// To be configured as a mirror's `url`: with a slash at the end.
    pub fn url(&self) -> String {
        format!("{}{}", self.state.origin, self.state.path)
    }

    /// Scheme and authority of the pages, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.state.origin
    }

    pub fn address(&self) -> SocketAddr {
        self.doors[0].address()
    }

    /// Scheme and authority of the files' own host.
    pub fn files_origin(&self) -> &str {
        &self.state.files_origin
    }

    pub fn files_address(&self) -> SocketAddr {
        self.doors[1].address()
    }

    /// What its links begin with, to be configured as a mirror's `files`; with a slash at the end.
    pub fn files_prefix(&self) -> String {
        self.state.files_prefix()
    }

    /// The path of a project's page.
    pub fn page_path(&self, name: &str) -> String {
        format!("{}{name}/", self.state.path)
    }

    /// The path of a file below [`Self::files_prefix`], without a slash at the start.
    pub fn file_path(&self, filename: &str) -> String {
        let catalogue = self.state.catalogue();
        let offer = catalogue
            .find(filename)
            .unwrap_or_else(|| panic!("{filename} is not offered"));
        self.state.path_below_prefix(offer)
    }

    /// Turns switches, from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state.settings.lock().expect("no panic holds it"));
    }

    /// Changes what it offers.
    pub fn change<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(&mut self.state.catalogue())
    }

    pub fn publish(&self, offer: impl Into<Offer>) {
        self.change(|catalogue| catalogue.publish(offer));
    }

    /// Takes a file off its page; its address answers 404 from now on.
    pub fn withdraw(&self, filename: &str) {
        self.change(|catalogue| catalogue.withdraw(filename));
    }

    /// Answers for this project (by its normalised name; empty: the root page) with exactly these bytes.
    pub fn serve_verbatim(&self, project: &str, content_type: &str, body: impl Into<Bytes>) {
        let page = RawPage {
            content_type: content_type.to_owned(),
            body: body.into(),
        };
        self.change(|catalogue| catalogue.raw.insert(project.to_owned(), page));
    }

    /// From now on reports whoever asks for a name that fits; `*` stands for anything.
    pub fn declare_private(&self, names: &[&str]) {
        self.set(|settings| {
            settings
                .private
                .extend(names.iter().map(|name| (*name).to_owned()))
        });
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

    /// Panics if one of these texts came here in any request, plainly or within a Basic credential.
    #[track_caller]
    pub fn assert_never_told(&self, secrets: &[&str]) {
        for entry in self.log().entries() {
            let told = guard::everything_said(&entry.head);
            for secret in secrets {
                assert!(
                    !told.contains(secret),
                    "the public index was told {secret:?}: {:?}",
                    entry.head
                );
            }
        }
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

impl Drop for PublicIndex {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so that an async test may drop it.
            runtime.shutdown_background();
        }
    }
}
