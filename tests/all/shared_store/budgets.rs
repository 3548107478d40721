//! What a shared store may cost: memory, with many large files on their way to it and from it.
//!
//! For an optimised build: `LARDER_BINARY=target/dist/larder cargo test --test all budgets:: -- --ignored --nocapture`.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::fleet::{assert_reads, queue, wholes};
use crate::support::{Artifact, Engine, Fleet, GitLab, Larder, path, token};

const FILES: usize = 50;
const RESIDENT_MAX: u64 = 64_000_000;

fn files(gitlab: &GitLab, bytes: usize) -> Vec<Artifact> {
    let first = Artifact::noise("large", "1.0", bytes);
    (0..FILES)
        .map(|number| {
            let mut bytes = first.bytes.to_vec();
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let name = format!("large{number}");
            let filename = format!("{name}-1.0-py3-none-any.whl");
            let file = Artifact::opaque(&name, "1.0", &filename, bytes);
            gitlab.publish(42, &file);
            file
        })
        .collect()
}

/// All files at once, and the most memory that larder had until it came to rest.
fn peak(larder: &Larder, files: &[Artifact]) -> u64 {
    larder.forget_peak();
    let begun = Instant::now();
    thread::scope(|threads| {
        for file in files {
            threads.spawn(move || {
                let reader = larder.client().token(token::READER);
                assert_reads(&reader, &path::project_file(42, file), file);
            });
        }
    });
    let given = begun.elapsed();
    let while_given = larder.peak_resident_bytes();
    while queue(larder) > 0.0 || larder.metric("larder_downloads") != Some(0.0) {
        thread::sleep(Duration::from_millis(200));
    }
    let peak = larder.peak_resident_bytes();
    println!(
        "| {} MB | {:.1} s | {} MB | {:.1} s |",
        while_given / 1_000_000,
        given.as_secs_f64(),
        peak / 1_000_000,
        begun.elapsed().as_secs_f64()
    );
    peak
}

fn go_and_come(bytes: usize) {
    let gitlab = GitLab::start();
    let files = files(&gitlab, bytes);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let lines = "write_timeout = \"300s\"\nread_timeout = \"60s\"";
    let member = || {
        let builder = Larder::builder(&gitlab).setting("cache_size = \"20GiB\"");
        fleet.member_with(builder, None, lines).start()
    };
    println!("| highest, given | after | highest, at rest | after |");
    let first = member();
    let written = peak(&first, &files);
    drop(first);
    gitlab.log().clear();
    let read = peak(&member(), &files);
    println!("{} files came from GitLab, of {FILES}", wholes(&gitlab));
    assert!(written <= RESIDENT_MAX, "uploading: {written}");
    assert!(read <= RESIDENT_MAX, "reading: {read}");
}

#[test]
#[ignore = "5 GB, and for an optimised build; run by hand"]
fn fifty_files_of_100_mb_go_to_the_bucket_and_come_from_it_within_64_mb() {
    go_and_come(100_000_000);
}

/// What is in memory depends on how many there are, more than on how long they are.
#[test]
#[ignore = "1 GB, and for an optimised build; run by hand"]
fn fifty_files_of_20_mb_go_to_the_bucket_and_come_from_it_within_64_mb() {
    go_and_come(20_000_000);
}
