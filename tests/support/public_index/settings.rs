//! The switches of the stand-in. Each may be turned at any time and counts from the next request
//! on.

use std::time::Duration;

/// The formats in which pages are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    Html,
    Json,
    /// By `Accept` with its weights (PEP 691), `text/html` where nothing is said.
    Both,
}

/// How pages name their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// `http://FILES/packages/AA/BB/REST/NAME`, on the files' own host.
    Absolute,
    /// `../../packages/AA/BB/REST/NAME`, on the host of the pages.
    Relative,
    /// `/packages/AA/BB/REST/NAME`, on the host of the pages.
    RootRelative,
    /// `NAME`: the file lies beside its page, as in a directory.
    Beside,
}

/// What a page may be asked for again by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validators {
    Strong,
    Weak,
    /// `Last-Modified` alone.
    Date,
    None,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub formats: Formats,
    /// 1.0 has neither `size` nor `upload-time` nor `versions`, 1.1 and 1.2 no `provenance`, 1.3 no
    /// project status (PEPs 691, 700, 708, 740, 792). HTML has every attribute of a file in any
    /// version.
    pub api_version: &'static str,
    pub links: Links,
    pub validators: Validators,
    /// Of pages, as `max-age=600, public`; empty: none.
    pub cache_control: String,
    /// Ranges of files are answered with 206.
    pub ranges: bool,
    /// Pages are compressed with gzip for those who accept it.
    pub gzip: bool,
    /// Passes before each answer, on both ports.
    pub latency: Duration,
    /// Everything is answered 429 with this `Retry-After`, in seconds.
    pub throttle: Option<u64>,
    /// A name that is not normalised, and a page without its slash, lead to the right address by
    /// 301; off: the former is not found, the latter is answered in place.
    pub redirects: bool,
    /// User and password without which pages and files on the pages' own host are refused.
    pub credential: Option<(String, String)>,
    /// The root page lists so many made-up projects in place of the catalogue's, generated while it
    /// is sent.
    pub generated_projects: Option<u64>,
    /// What stands behind each file's address on its page, and without which no file is given;
    /// empty: nothing.
    pub query: String,
    /// Names that must never be asked for here.
    pub private: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            formats: Formats::Both,
            api_version: "1.4",
            links: Links::Absolute,
            validators: Validators::Strong,
            cache_control: "max-age=600, public".to_owned(),
            ranges: true,
            gzip: false,
            latency: Duration::ZERO,
            throttle: None,
            redirects: true,
            credential: None,
            generated_projects: None,
            query: String::new(),
            private: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether JSON of this minor version of the API, or a later one, is spoken.
    pub(super) fn speaks(&self, minor: u32) -> bool {
        let own = self
            .api_version
            .split_once('.')
            .and_then(|(_, minor)| minor.parse::<u32>().ok());
        own.is_some_and(|own| own >= minor)
    }
}
