//! A stand-in for a public index (PEP 503, 691) in this process: its pages on one port of
//! 127.0.0.1, its files on another.
//!
//! It answers as a configured mirror would, misbehaves as a test plans it ([`Act`](super::Act)),
//! records every request to both ports ([`RequestLog`](super::RequestLog)), and reports what must
//! never reach it: a credential it was not given, a private name, a query. It knows nothing of
//! larder.

mod answering;
mod catalogue;
mod guard;
mod pages;
mod settings;
mod state;

use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;

use self::state::State;
use super::http::stand_in::{Shared, StandIn};
use super::http::{Door, Tls};

pub use self::catalogue::{Catalogue, CoreMetadata, Hashes, Offer, ProjectStatus, RawPage};
pub use self::settings::{Formats, Links, Settings, Validators};

/// A running stand-in: the door of the pages, then that of the files.
pub type PublicIndex = StandIn<State>;

/// A stand-in to be started.
#[derive(Debug)]
pub struct Builder {
    catalogue: Catalogue,
    settings: Settings,
    path: String,
    files_folder: String,
    tls: Option<Tls>,
    names: Option<[String; 2]>,
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

    /// Where the pages live, with both slashes: `/simple/` unless told, `/team/pypi/+simple/` at a
    /// devpi.
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

    /// It calls itself by these origins, of the pages and of the files: a proxy finds it there.
    pub fn called(mut self, origin: &str, files_origin: &str) -> Self {
        self.names = Some([origin, files_origin].map(ToOwned::to_owned));
        self
    }

    pub fn start(self) -> PublicIndex {
        let doors = [(Door::Index, self.tls.clone()), (Door::Files, self.tls)];
        let names = self.names;
        StandIn::serve("public-index", doors, |origins| {
            let [origin, files_origin] = names.unwrap_or(origins);
            State {
                origin,
                files_origin,
                path: self.path,
                files_folder: self.files_folder,
                shared: Shared::new(self.settings),
                catalogue: Mutex::new(self.catalogue),
            }
        })
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
            names: None,
        }
    }

    /// To be configured as a mirror's `url`: with a slash at the end.
    pub fn url(&self) -> String {
        format!("{}{}", self.host.origin, self.host.path)
    }

    /// Scheme and authority of the pages, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.host.origin
    }

    /// Scheme and authority of the files' own host.
    pub fn files_origin(&self) -> &str {
        &self.host.files_origin
    }

    pub fn files_address(&self) -> SocketAddr {
        self.second_address()
    }

    /// What its links begin with, to be configured as a mirror's `files`; with a slash at the end.
    pub fn files_prefix(&self) -> String {
        self.host.files_prefix()
    }

    /// The path of a project's page.
    pub fn page_path(&self, name: &str) -> String {
        format!("{}{name}/", self.host.path)
    }

    /// The path of a file below [`Self::files_prefix`], without a slash at the start.
    pub fn file_path(&self, filename: &str) -> String {
        let catalogue = self.host.catalogue();
        let offer = catalogue
            .find(filename)
            .unwrap_or_else(|| panic!("{filename} is not offered"));
        self.host.path_below_prefix(offer)
    }

    /// Changes what it offers.
    pub fn change<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(&mut self.host.catalogue())
    }

    pub fn publish(&self, offer: impl Into<Offer>) {
        self.change(|catalogue| catalogue.publish(offer));
    }

    /// Takes a file off its page; its address answers 404 from now on.
    pub fn withdraw(&self, filename: &str) {
        self.change(|catalogue| catalogue.withdraw(filename));
    }

    /// Answers for this project (by its normalised name; empty: the root page) with exactly these
    /// bytes.
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
}
