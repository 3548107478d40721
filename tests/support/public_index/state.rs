//! What all connections of the stand-in share, its addresses, and how it answers them.

use std::sync::{Mutex, MutexGuard};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::http::server::Host;
use super::super::http::stand_in::Shared;
use super::super::http::{Answer, Door, Head, Kind};
use super::super::wheel::normalise;
use super::catalogue::{Catalogue, Offer};
use super::settings::{Links, Settings};
use super::{answering, guard};

/// What the path of a file keeps as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'+')
    .remove(b'!')
    .remove(b'/');

#[derive(Debug)]
pub struct State {
    /// Of the pages: scheme and authority.
    pub(super) origin: String,
    /// Of the files' own host.
    pub(super) files_origin: String,
    /// Of the root page, with both slashes.
    pub(super) path: String,
    pub(super) files_folder: String,
    pub(super) shared: Shared<Settings>,
    pub(super) catalogue: Mutex<Catalogue>,
}

/// An address that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Root,
    /// The name as it was asked for, and whether the slash was there.
    Page(String, bool),
    /// The encoded path of a file, below the folder of files or beside a page.
    File(String),
    /// The same of its wheel.
    Metadata(String),
}

impl State {
    pub(super) fn settings(&self) -> Settings {
        self.shared.settings()
    }

    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().expect("no panic holds it")
    }

    /// The folder that holds the folder of the pages, with both slashes.
    fn parent(&self) -> &str {
        let inner = self.path.trim_end_matches('/');
        &self.path[..inner.rfind('/').map_or(0, |slash| slash + 1)]
    }

    pub(super) fn files_prefix(&self) -> String {
        match self.settings().links {
            Links::Absolute => format!("{}/", self.files_origin),
            _ => format!("{}/", self.origin),
        }
    }

    /// The path of a file below [`Self::files_prefix`].
    pub(super) fn path_below_prefix(&self, offer: &Offer) -> String {
        let path = match self.settings().links {
            Links::Absolute => format!("/{}/{}", self.files_folder, offer.place()),
            Links::Relative | Links::RootRelative => {
                format!("{}{}/{}", self.parent(), self.files_folder, offer.place())
            }
            Links::Beside => format!(
                "{}{}/{}",
                self.path,
                normalise(&offer.project),
                offer.filename
            ),
        };
        encoded(&path).trim_start_matches('/').to_owned()
    }

    /// How a page refers to a file, without a fragment.
    pub(super) fn link(&self, links: Links, offer: &Offer) -> String {
        let (folder, place) = (&self.files_folder, encoded(&offer.place()));
        match links {
            Links::Absolute => format!("{}/{folder}/{place}", self.files_origin),
            Links::Relative => format!("../../{folder}/{place}"),
            Links::RootRelative => format!("{}{folder}/{place}", self.parent()),
            Links::Beside => encoded(&offer.filename),
        }
    }

    pub(super) fn address(&self, door: Door, path: &str) -> Option<Address> {
        let folder = match door {
            Door::Files => format!("/{}/", self.files_folder),
            _ => format!("{}{}/", self.parent(), self.files_folder),
        };
        if let Some(place) = path.strip_prefix(&folder) {
            return Some(file(place));
        }
        let path = path
            .strip_prefix(self.path.trim_end_matches('/'))
            .filter(|_| door == Door::Index)?;
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            [""] | ["", ""] => Some(Address::Root),
            ["", name] => Some(Address::Page((*name).to_owned(), false)),
            ["", name, ""] => Some(Address::Page((*name).to_owned(), true)),
            ["", name, beside] => Some(file(&format!("{name}/{beside}"))),
            _ => None,
        }
    }
}

fn file(place: &str) -> Address {
    match place.strip_suffix(".metadata") {
        Some(wheel) => Address::Metadata(wheel.to_owned()),
        None => Address::File(place.to_owned()),
    }
}

pub(super) fn encoded(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

impl Host for State {
    type Settings = Settings;

    fn shared(&self) -> &Shared<Settings> {
        &self.shared
    }

    fn kind(&self, door: Door, head: &Head) -> Kind {
        match self.address(door, head.path()) {
            _ if !matches!(head.method.as_str(), "GET" | "HEAD") => Kind::Unknown,
            None => Kind::Unknown,
            Some(Address::Root) => Kind::Index,
            Some(Address::Page(..)) => Kind::Page,
            Some(Address::File(_)) => Kind::File,
            Some(Address::Metadata(_)) => Kind::Metadata,
        }
    }

    fn carries_file(&self, kind: Kind) -> bool {
        kind == Kind::File
    }

    fn oddity(&self, door: Door, head: &Head) -> Option<String> {
        guard::oddity(&self.settings(), door, head)
    }

    async fn answer(&self, door: Door, head: &Head) -> Answer {
        tokio::time::sleep(self.settings().latency).await;
        answering::answer(self, door, head)
    }
}
