//! The stand-ins, tested by themselves: they must answer as GitLab and public indexes do, and
//! misbehave exactly as planned.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may fail loudly and look at the clock"
)]

#[path = "../support/mod.rs"]
mod support;

mod bookkeeping;
mod faults;
mod files;
mod isolated;
mod packages;
mod packages_api;
mod pages;
mod public_index;
mod rights;
mod uploads;

use std::time::{Duration, Instant};

use support::wheel::{normalise, sha256_hex};
use support::{
    Act, Answer, Artifact, BASIC_CHALLENGE, Client, Distribution, Ended, Ending, GitLab, Kind,
    NewFile, Place, Registry, Reply, Role, Site, Storage, Token, TokenKind, UploadKeeping,
    UploadLimit, Visibility, path, token,
};

const PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/my-pkg";
const INDEX: &str = "/api/v4/projects/42/packages/pypi/simple";
const GROUP_INDEX: &str = "/api/v4/groups/7/-/packages/pypi/simple/";
const OPEN_PAGE: &str = "/api/v4/projects/43/packages/pypi/simple/open-thing";
const LAST_MODIFIED: &str = "Tue, 02 Jan 2024 03:04:05 GMT";
const MODES: [Storage; 3] = [Storage::Disk, Storage::Redirect, Storage::Proxied];

fn anonymous(gitlab: &GitLab) -> Client {
    Client::new(gitlab.address())
}

fn reader(gitlab: &GitLab) -> Client {
    anonymous(gitlab).token(token::READER)
}

/// The example's two files.
fn my_pkg() -> (Artifact, Artifact) {
    let my_pkg = Distribution::new("My.Pkg", "1.0.0").requires_python(">=3.8");
    (my_pkg.wheel(), my_pkg.sdist())
}

/// A file of 300,000 bytes in project 42.
fn big(gitlab: &GitLab) -> Artifact {
    let big = Artifact::noise("big", "1.0", 300_000);
    gitlab.publish(42, &big);
    big
}

/// Gets a file as larder has to: with the signed URL's own request in mode B.
fn fetch(gitlab: &GitLab, file: &Artifact, headers: &[(&str, &str)]) -> Reply {
    let reply = reader(gitlab).get_with(&path::project_file(42, file), headers);
    match reply.status {
        302 => {
            let location = reply
                .header("Location")
                .expect("a redirect has one")
                .to_owned();
            let target = location
                .strip_prefix(gitlab.store_url())
                .expect("it leads to the store");
            Client::new(gitlab.store_address())
                .patience(Duration::from_secs(1))
                .get_with(target, headers)
        }
        _ => reply,
    }
}
