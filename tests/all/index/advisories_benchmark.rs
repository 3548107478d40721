//! What 100,000 records cost: to read, to keep, to go by, and to read anew. Run by hand, with the
//! release binary in `LARDER_BINARY`:
//!
//! `cargo test --test all advisories_benchmark -- --ignored --nocapture`

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::advisories::section;
use crate::common::mirror::{JSON, get_as, names, page};
use crate::support::{Artifact, Distribution, GitLab, Larder, PublicIndex};

const RECORDS: usize = 100_000;
const FILES: usize = 5_000;
const PAGES: usize = 20;

/// Like what is published: most of malware with all its versions, some of vulnerabilities with
/// ranges, dozens of versions and a text; a hundred of them about the project `heavy`.
fn records(malware: usize) -> String {
    let text = "A sentence about what this release does and how it was found. ".repeat(12);
    let mut lines = String::new();
    for number in 0..RECORDS {
        if number < malware {
            let _ = writeln!(
                lines,
                r#"{{"id":"MAL-2026-{number}","modified":"2026-11-01T10:00:00Z","aliases":[],"summary":"Malicious code in p{number}","details":"{text}","affected":[{{"package":{{"ecosystem":"PyPI","name":"malicious-{number}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}]}}],"versions":["1.0.0","1.0.1"]}}]}}"#
            );
            continue;
        }
        let name = match number % 200 {
            0 => "heavy".to_owned(),
            _ => format!("vulnerable-{}", number % 3_000),
        };
        let mut versions = String::new();
        for minor in 0..40 {
            let _ = write!(versions, "\"{}.{minor}\",", number % 7);
        }
        let versions = versions.trim_end_matches(',');
        let _ = writeln!(
            lines,
            r#"{{"id":"PYSEC-2026-{number}","modified":"2026-11-01T10:00:00Z","summary":"x","details":"{text}","severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],"affected":[{{"package":{{"ecosystem":"PyPI","name":"{name}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{}.40"}}]}}],"versions":[{versions}]}}]}}"#,
            number % 7
        );
    }
    lines
}

fn artifact(name: &str, number: usize) -> Artifact {
    Distribution::new(name, &format!("9.{}.{}", number / 10, number % 10)).wheel()
}

/// A page of 5,000 files of each of these projects, of 500 versions.
fn index(projects: &[&str]) -> PublicIndex {
    let mut builder = PublicIndex::builder();
    for name in projects {
        for number in 0..FILES {
            builder = builder.offering(artifact(name, number));
        }
    }
    builder.start()
}

/// Processor time of a page that is fetched and rendered anew. Each time it is another one, by the
/// number of the round.
fn render(
    gitlab: &GitLab,
    index: &PublicIndex,
    project: &str,
    policy: &str,
    round: usize,
) -> Duration {
    let larder = Larder::builder(gitlab)
        .mirror_with("pypi", index, "ttl = \"0s\"")
        .sections(policy)
        .start();
    let client = larder.client().patience(Duration::from_secs(60));
    assert_eq!(names(&get_as(&client, &page(project), JSON)).len(), FILES);
    let before = larder.cpu_time();
    for number in 0..PAGES {
        let changed = artifact(project, number);
        index.change(|catalogue| {
            catalogue.offer_mut(&changed.filename).upload_time =
                Some(format!("2026-01-01T00:{round:02}:{number:02}Z"));
        });
        get_as(&client, &page(project), JSON).expect(200);
    }
    (larder.cpu_time() - before) / u32::try_from(PAGES).expect("a few")
}

#[test]
#[ignore = "takes minutes with a debug binary"]
fn a_hundred_thousand_records_are_read_kept_and_gone_by() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("records.jsonl");
    let text = records(80_000);
    std::fs::write(&path, &text).expect("a writable folder");
    println!("{RECORDS} records, {} MB", text.len() / 1_000_000);
    let gitlab = GitLab::start();

    let begun = Instant::now();
    let without = Larder::start(&gitlab);
    let alone = begun.elapsed();
    let begun = Instant::now();
    let with = Larder::builder(&gitlab)
        .sections(&section(&path, ""))
        .start();
    println!(
        "read at the start: {:?} (start without them {alone:?})",
        begun.elapsed()
    );
    println!(
        "memory: {} MiB resident with, {} MiB without, {} MiB at most while reading",
        with.resident_bytes() >> 20,
        without.resident_bytes() >> 20,
        with.peak_resident_bytes() >> 20,
    );
    reload(&with, &path);

    let projects = ["kestrel", "heavy"];
    let index = index(&projects);
    let cases = [
        ("none", String::new()),
        ("log", section(&path, "")),
        ("refuse", section(&path, "vulnerable = \"refuse\"")),
    ];
    for (round, (case, policy)) in cases.iter().enumerate() {
        for project in projects {
            let took = render(&gitlab, &index, project, policy, round);
            println!("a page of {FILES} files of {project}, {case}: {took:?}");
        }
    }
}

/// Requests go on while the records are read anew.
fn reload(larder: &Larder, path: &std::path::Path) {
    let client = larder.client();
    let done = AtomicBool::new(false);
    let slowest = std::thread::scope(|threads| {
        let asking = threads.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.get("/-/health/live").expect(200);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        let new = path.with_extension("new");
        std::fs::write(&new, records(80_001)).expect("a writable folder");
        std::fs::rename(&new, path).expect("a writable folder");
        crate::common::advisories::wait_for_malware(larder, 80_001);
        done.store(true, Ordering::Relaxed);
        asking.join().expect("no panic")
    });
    println!("read anew; the slowest answer meanwhile took {slowest:?}");
}
