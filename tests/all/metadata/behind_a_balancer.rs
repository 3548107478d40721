//! Two larders of one name: a balancer in front gives each request to the other one, so that what
//! one has advertised is asked of the other.

use crate::support::balancer::Balancer;
use crate::support::installer::Installer;
use crate::support::wheel::real_wheels;
use crate::support::{GitLab, Larder, path, token};

/// What an install of `requests` and `python-dateutil` brings.
const INSTALLED: [&str; 7] = [
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "requests",
    "six.py",
    "urllib3",
];

const PACKAGES: [&str; 2] = ["requests", "python-dateutil"];

/// As larder runs by itself: with metadata, and reading ahead.
const OWN_SETTINGS: &str = "[metadata]";

struct Pair {
    gitlab: GitLab,
    larders: [Larder; 2],
    balancer: Balancer,
}

impl Pair {
    fn start() -> Self {
        let gitlab = GitLab::start();
        for wheel in real_wheels() {
            gitlab.publish(42, &wheel);
        }
        let larders = [0, 1].map(|_| Larder::builder(&gitlab).sections(OWN_SETTINGS).start());
        let balancer = Balancer::start(&[larders[0].address(), larders[1].address()]);
        Self {
            gitlab,
            larders,
            balancer,
        }
    }

    #[track_caller]
    fn install(&self, installer: Installer, round: &str) -> Vec<(String, usize)> {
        let index = path::project_index(42);
        let done = installer.install(self.balancer.address(), &index, token::READER, &PACKAGES);
        let passed = self.balancer.take();
        let logs = self.larders.each_ref().map(Larder::log);
        assert!(
            done.has(&INSTALLED),
            "{installer:?}, {round}: {:#?}\n{passed:#?}\n{}\n{}",
            done.outcome,
            logs[0],
            logs[1]
        );
        let by_both = (0..2).all(|number| passed.iter().any(|(_, server)| *server == number));
        assert!(by_both, "{installer:?}, {round}: {passed:?}");
        passed
    }

    /// Makes one larder know all wheels, so that its pages advertise their metadata; the other
    /// knows nothing.
    fn teach(&self, number: usize) {
        let client = self.larders[number].client().token(token::READER);
        for wheel in real_wheels() {
            client.get(&path::project_file(42, &wheel)).expect(200);
            crate::common::delivery::kept(&self.larders[number], &wheel);
        }
    }
}

fn is_metadata((target, _): &&(String, usize)) -> bool {
    target.ends_with(".metadata")
}

/// Cold, warm, and with one larder that knows all beside one that knows nothing.
fn installs(installer: Installer) {
    let pair = Pair::start();
    pair.install(installer, "cold");
    pair.install(installer, "warm");

    let pair = Pair::start();
    pair.teach(0);
    let passed = pair.install(installer, "one knows");
    let of_the_other = passed
        .iter()
        .filter(is_metadata)
        .any(|(_, number)| *number == 1);
    assert!(
        of_the_other,
        "{installer:?}: no metadata was asked of who never saw the wheel: {passed:#?}"
    );
    pair.gitlab.log().assert_nothing_unexpected();
}

/// Emptied when the client has read what its pages advertise.
fn installs_although_one_is_purged(installer: Installer) {
    let pair = Pair::start();
    pair.teach(0);
    let mut command = pair.larders[0].start_command(&["purge", "--all"]);
    pair.balancer.before(".metadata", move || {
        let done = command.output().expect("the binary runs");
        assert!(done.status.success(), "{done:?}");
    });
    let passed = pair.install(installer, "purged");
    assert!(
        pair.balancer.has_done(),
        "{installer:?}: no metadata was asked for: {passed:#?}"
    );
    pair.gitlab.log().assert_nothing_unexpected();
}

#[test]
fn pip_installs_by_two_larders_in_turn() {
    installs(Installer::Pip);
}

#[test]
fn uv_installs_by_two_larders_in_turn() {
    installs(Installer::Uv);
}

#[test]
fn poetry_installs_by_two_larders_in_turn() {
    installs(Installer::Poetry);
}

#[test]
fn pip_installs_by_two_larders_of_which_one_is_purged_between_page_and_metadata() {
    installs_although_one_is_purged(Installer::Pip);
}

#[test]
fn uv_installs_by_two_larders_of_which_one_is_purged_between_page_and_metadata() {
    installs_although_one_is_purged(Installer::Uv);
}

#[test]
fn poetry_installs_by_two_larders_of_which_one_is_purged_between_page_and_metadata() {
    installs_although_one_is_purged(Installer::Poetry);
}
