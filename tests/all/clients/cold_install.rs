//! What the first install through an empty larder costs GitLab, beside the same install without
//! larder: at most a tenth more bytes, and 2 KiB a project.

#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at what a client has installed"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::delivery::eventually;
use crate::support::installer::Installer;
use crate::support::wheel::real_wheels;
use crate::support::{Artifact, Distribution, Entry, GitLab, Larder, path, token};

/// As larder runs by itself: with metadata, and reading ahead.
const OWN_SETTINGS: &str = "[metadata]\n# read_ahead";

/// Longer than larder waits before it reads ahead.
const REST: Duration = Duration::from_millis(2500);

/// A GitLab is not on the same machine.
const DISTANCE: Duration = Duration::from_millis(20);

const BYTES_A_PROJECT: u64 = 2048;

const WANTED: [&str; 3] = ["requests", "python-dateutil", "needs-small-things"];

/// The modules of all that is installed, each of a project.
const INSTALLED: [&str; 10] = [
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "needs_small_things",
    "requests",
    "six.py",
    "small_one",
    "small_two",
    "urllib3",
];

/// The real wheels, older versions of each that nobody takes, and some that are hardly more than
/// their own metadata.
fn gitlab() -> GitLab {
    let gitlab = GitLab::builder()
        .set(|settings| settings.latency = DISTANCE)
        .start();
    for wheel in real_wheels() {
        for version in ["0.1", "0.2", "0.3"] {
            gitlab.publish(
                42,
                Distribution::new(&wheel.name, version)
                    .payload(100_000)
                    .wheel(),
            );
        }
        gitlab.publish(42, &wheel);
    }
    let needy = Distribution::new("needs-small-things", "1.0")
        .depends_on("small-one")
        .depends_on("small-two");
    gitlab.publish(42, needy.wheel());
    for version in ["1.0", "2.0", "3.0rc1"] {
        gitlab.publish(42, Distribution::new("small-one", version).wheel());
        gitlab.publish(
            42,
            Distribution::new("small-two", version)
                .payload(70_000)
                .wheel(),
        );
    }
    gitlab
}

#[derive(Clone, Copy, Debug)]
struct Cost {
    requests: usize,
    bytes: u64,
}

/// Waits until nobody asks GitLab for anything more, and adds up what was asked.
fn cost(gitlab: &GitLab) -> Cost {
    let mut asked = (gitlab.log().len(), Instant::now());
    while asked.1.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(50));
        if gitlab.log().len() != asked.0 {
            asked = (gitlab.log().len(), Instant::now());
        }
    }
    let entries = gitlab.log().answered();
    Cost {
        requests: entries.len(),
        bytes: entries.iter().map(|entry| entry.body_sent).sum(),
    }
}

fn costs_hardly_more_than_without(installer: Installer) {
    let gitlab = gitlab();
    let install =
        |server| installer.install(server, &path::project_index(42), token::READER, &WANTED);
    let done = install(gitlab.address());
    assert!(
        done.has(&INSTALLED),
        "{installer:?} without larder: {:#?}",
        done.outcome
    );
    let direct = cost(&gitlab);

    gitlab.log().clear();
    let larder = Larder::builder(&gitlab).sections(OWN_SETTINGS).start();
    let done = install(larder.address());
    assert!(
        done.has(&INSTALLED),
        "{installer:?}: {:#?}\n{}",
        done.outcome,
        larder.log()
    );
    eventually("nothing is read ahead", || {
        larder.metric("larder_prefetch_queue") == Some(0.0)
    });
    let through = cost(&gitlab);

    println!(
        "| {installer:?} | {} | {} | {} | {} |",
        direct.requests, direct.bytes, through.requests, through.bytes
    );
    let most = direct.bytes + direct.bytes / 10 + BYTES_A_PROJECT * INSTALLED.len() as u64;
    let sent: Vec<_> = gitlab.log().entries().iter().map(told).collect();
    assert!(
        through.bytes <= most,
        "{installer:?}: {through:?} for {direct:?}: {sent:#?}"
    );
    if installer == Installer::Pip {
        // Also of pages that are read ahead.
        assert!(
            through.requests <= direct.requests,
            "{through:?} for {direct:?}: {sent:#?}"
        );
        each_wheel_once(&gitlab);
    }
    gitlab.log().assert_nothing_unexpected();
}

fn told(entry: &Entry) -> String {
    let range = entry.head.header("Range").unwrap_or_default();
    format!(
        "{} {} {range}: {:?}, {} bytes",
        entry.head.method, entry.head.target, entry.status, entry.body_sent
    )
}

/// Of no wheel more bytes came than it has.
fn each_wheel_once(gitlab: &GitLab) {
    let mut came: BTreeMap<String, u64> = BTreeMap::new();
    for entry in gitlab
        .log()
        .entries()
        .iter()
        .filter(|entry| entry.is_file_body())
    {
        let name = entry
            .head
            .target
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        *came.entry(name).or_default() += entry.body_sent;
    }
    let of = |wheel: &Artifact| came.get(&wheel.filename).copied().unwrap_or_default();
    for wheel in real_wheels() {
        assert_eq!(
            of(&wheel),
            wheel.bytes.len() as u64,
            "{}: {came:#?}",
            wheel.filename
        );
    }
    assert_eq!(came.len(), INSTALLED.len(), "{came:#?}");
}

/// uv asks for the length, the end, the directory before it and the metadata, one after another.
#[test]
fn a_wheel_of_many_files_costs_uv_fewer_ways_to_gitlab_than_without() {
    let gitlab = GitLab::start();
    let needy = Distribution::new("needs-many", "1.0").depends_on("many");
    gitlab.publish(42, needy.payload(100_000).wheel());
    let many = Distribution::new("many", "1.0").modules(2_000).wheel();
    gitlab.publish(42, &many);
    let install = |server| {
        let index = path::project_index(42);
        let done = Installer::Uv.install(server, &index, token::READER, &["needs-many"]);
        assert!(done.has(&["needs_many", "many"]), "{:#?}", done.outcome);
        let ways = gitlab.log().entries();
        let ways = ways.iter().map(told);
        let name = format!("/{} ", many.filename);
        let ways: Vec<_> = ways.filter(|way| way.contains(&name)).collect();
        let cost = cost(&gitlab);
        gitlab.log().clear();
        (ways, cost)
    };
    let (direct, direct_cost) = install(gitlab.address());
    let larder = Larder::builder(&gitlab).sections(OWN_SETTINGS).start();
    let (through, cost) = install(larder.address());
    assert!(through.len() < direct.len(), "{direct:#?} {through:#?}");
    // The end, the directory before it, the metadata, and the rest.
    assert!(through.len() <= 4, "{through:#?}");
    assert!(
        cost.bytes <= direct_cost.bytes,
        "{cost:?} for {direct_cost:?}"
    );
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_cold_install_by_pip_costs_gitlab_hardly_more_than_without_larder() {
    costs_hardly_more_than_without(Installer::Pip);
}

#[test]
fn a_cold_install_by_uv_costs_gitlab_hardly_more_than_without_larder() {
    costs_hardly_more_than_without(Installer::Uv);
}

#[test]
fn a_cold_install_by_poetry_costs_gitlab_hardly_more_than_without_larder() {
    costs_hardly_more_than_without(Installer::Poetry);
}
