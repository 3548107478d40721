//! Real installers behind a fresh larder of a fleet that has all they want: no file comes from GitLab.

use crate::common::delivery::patiently;
use crate::support::installer::Installer;
use crate::support::wheel::real_wheels;
use crate::support::{Engine, Fleet, GitLab, Larder, path, token};

const WANTED: [&str; 2] = ["requests", "python-dateutil"];

const INSTALLED: [&str; 7] = [
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "requests",
    "six.py",
    "urllib3",
];

/// Bytes of files that GitLab, or its object store, sent.
fn file_bytes(gitlab: &GitLab) -> u64 {
    let entries = gitlab.log().entries();
    let of_files = entries.iter().filter(|entry| entry.is_file_body());
    of_files.map(|entry| entry.body_sent).sum()
}

fn costs_gitlab_no_file(installer: Installer) {
    let gitlab = GitLab::start();
    for wheel in real_wheels() {
        gitlab.publish(42, &wheel);
    }
    let fleet = Fleet::new(Engine::SeaweedFs);
    let install = |larder: &Larder| {
        let index = path::project_index(42);
        let done = installer.install(larder.address(), &index, token::READER, &WANTED);
        let log = larder.log();
        assert!(
            done.has(&INSTALLED),
            "{installer:?}: {:#?}\n{log}",
            done.outcome
        );
    };
    // As larder runs by itself: with metadata, and reading ahead.
    let member = || {
        fleet
            .member(Larder::builder(&gitlab).sections("[metadata]"))
            .start()
    };
    let first = member();
    install(&first);
    patiently("it is uploaded", || {
        first.metric("larder_shared_store_queue") == Some(0.0)
            && first.metric("larder_downloads") == Some(0.0)
    });
    assert!(file_bytes(&gitlab) > 100_000);

    gitlab.log().clear();
    let second = member();
    install(&second);
    // The question about a right may be one for the first byte.
    let files = real_wheels().len() as u64;
    let bytes = file_bytes(&gitlab);
    assert!(
        bytes <= files,
        "{installer:?}: {bytes} bytes\n{}",
        second.log()
    );
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn pip_installs_from_what_another_larder_fetched() {
    costs_gitlab_no_file(Installer::Pip);
}

#[test]
fn uv_installs_from_what_another_larder_fetched() {
    costs_gitlab_no_file(Installer::Uv);
}
