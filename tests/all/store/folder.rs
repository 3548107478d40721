//! The folder: damage, restarts, crashes, a budget, and what happens when it cannot be used.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::delivery::{MODES, eventually, kept, right, spooled};
use crate::support::{
    Act, Artifact, Client, Exchange, Gate, GitLab, Kind, Larder, Site, Storage, StoreListing,
    larder, path, token,
};

fn publish(gitlab: &GitLab, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(42, &file);
    file
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn transfers(gitlab: &GitLab) -> usize {
    gitlab.log().file_bodies().transfers
}

/// What happens to bytes that lie on a disk.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(u64),
    CutTo(u64),
    Longer,
}

fn damages(size: u64) -> Vec<Damage> {
    vec![
        Damage::Flip(0),
        Damage::Flip(size / 2),
        Damage::Flip(size - 1),
        Damage::CutTo(size - 1),
        Damage::CutTo(size / 2),
        Damage::CutTo(0),
        Damage::Longer,
    ]
}

fn damage(larder: &Larder, file: &Artifact, how: Damage) {
    kept(larder, file);
    let listing = StoreListing::of(&larder.cache_dir());
    let path = &listing.blob(&file.sha256).expect("it is stored").path;
    let mut blob = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there");
    let before = blob
        .metadata()
        .and_then(|meta| meta.modified())
        .expect("a time");
    match how {
        Damage::Flip(at) => {
            let mut byte = [0];
            blob.seek(SeekFrom::Start(at))
                .and_then(|_| blob.read_exact(&mut byte))
                .expect("a byte");
            byte[0] ^= 1;
            blob.seek(SeekFrom::Start(at))
                .and_then(|_| blob.write_all(&byte))
                .expect("a byte");
        }
        Damage::CutTo(bytes) => blob.set_len(bytes).expect("a shorter file"),
        Damage::Longer => {
            blob.seek(SeekFrom::End(0))
                .and_then(|_| blob.write_all(b"+"))
                .expect("a longer file");
        }
    }
    // The clock of a file system is coarse; the rule under test looks at the time of the change.
    blob.set_modified(before + Duration::from_secs(1))
        .expect("a later time");
}

#[test]
fn r5_a_damaged_blob_is_never_delivered_whole_and_is_fetched_again() {
    for restarted in [false, true] {
        for size in [3_000, 300_000] {
            let gitlab = GitLab::start();
            let mut larder = Larder::start(&gitlab);
            let mut files = Vec::new();
            for (number, how) in damages(size as u64).into_iter().enumerate() {
                for (asked, range) in [
                    ("whole", None),
                    ("range", Some("bytes=100-2000")),
                    ("rest", Some("bytes=9-")),
                ] {
                    let file = publish(&gitlab, &format!("d{number}{asked}"), size);
                    reader(&larder)
                        .get(&path::project_file(42, &file))
                        .expect(200);
                    files.push((how, range, file));
                }
            }
            for (how, _, file) in &files {
                damage(&larder, file, *how);
            }
            if restarted {
                larder = larder.restart();
            }
            let client = reader(&larder);
            for (how, range, file) in &files {
                let case = format!("{size} bytes, {how:?}, {range:?}, restarted: {restarted}");
                let address = path::project_file(42, file);
                let before = transfers(&gitlab);
                let reply = match range {
                    None => {
                        let reply = client.get(&address);
                        right(&reply, file, &case);
                        reply
                    }
                    Some(range) => client.get_range(&address, range),
                };
                if reply.status == 206 && reply.is_complete() {
                    let (from, to) = if *range == Some("bytes=9-") {
                        (9, size)
                    } else {
                        (100, 2001)
                    };
                    assert!(reply.body == file.bytes[from..to], "{case}: wrong bytes");
                }
                let next = client.get(&address);
                assert!(right(&next, file, &case), "{case}: {next:?}");
                let fetched = transfers(&gitlab) - before;
                assert!((1..=2).contains(&fetched), "{case}: {fetched} transfers");
                let hot = client.get(&address);
                assert!(right(&hot, file, &case), "{case}: {hot:?}");
                assert_eq!(transfers(&gitlab) - before, fetched, "{case}: held again");
            }
            StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
            let set_aside = std::fs::read_dir(larder.cache_dir().join("quarantine"))
                .expect("a folder")
                .count();
            assert!((1..=16).contains(&set_aside), "{set_aside} in quarantine");
            larder.wait_for_log("damaged");
        }
    }
}

#[test]
fn r5_a_blob_that_is_cut_while_it_is_read_is_not_completed() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = reader(&larder);
    let file = publish(&gitlab, "cut", 20_000_000);
    let address = path::project_file(42, &file);
    client.get(&address).expect(200);
    let mut reading = client.start("GET", &address, &[]);
    reading.read_body(1_000);
    damage(&larder, &file, Damage::CutTo(19_000_000));
    let reply = reading.finish();
    assert!(!right(&reply, &file, "cut while it is read"), "{reply:?}");
    // It is found out while the next client reads, and right from then on.
    right(&client.get(&address), &file, "damaged");
    assert!(right(&client.get(&address), &file, "afterwards"));
}

#[test]
fn what_is_stored_outlives_the_process() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let mut larder = Larder::start(&gitlab);
        let files: Vec<Artifact> = [10, 3_000, 300_000]
            .map(|size| publish(&gitlab, &format!("kept{size}"), size))
            .into();
        for file in &files {
            reader(&larder)
                .get(&path::project_file(42, file))
                .expect(200);
        }
        // Once after a proper end, once after a crash as soon as the disk has it.
        for crash in [false, true] {
            if crash {
                let late = publish(&gitlab, "late", 100_000);
                reader(&larder)
                    .get(&path::project_file(42, &late))
                    .expect(200);
                kept(&larder, &late);
                larder.kill();
            }
            larder = larder.restart();
            gitlab.log().clear();
            for file in &files {
                let reply = reader(&larder).get(&path::project_file(42, file));
                assert!(right(&reply, file, "kept"), "{storage:?}: {reply:?}");
            }
            if crash {
                let late = Artifact::noise("late", "1.0", 100_000);
                assert!(right(
                    &reader(&larder).get(&path::project_file(42, &late)),
                    &late,
                    "late"
                ));
            }
            assert_eq!(
                transfers(&gitlab),
                0,
                "{storage:?}, crash: {crash}: {:#?}",
                gitlab.log().entries()
            );
            assert!(
                gitlab.log().count(Kind::File) > 0,
                "a right that was proven before is proven anew"
            );
            larder.wait_for_log("cache=revalidated");
        }
    }
}

#[test]
fn leftovers_are_swept_at_the_start() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let file = publish(&gitlab, "half", 2_000_000);
    let address = path::project_file(42, &file);
    let _gate = gitlab.hold(Site::FileBody, 1_000_000);
    let mut reading = reader(&larder).start("GET", &address, &[]);
    reading.read_body(900_000);
    assert_eq!(spooled(&larder).len(), 1);
    larder.kill();
    assert_eq!(spooled(&larder).len(), 1, "a crash leaves it");
    let foreign = larder.cache_dir().join("tmp");
    std::fs::create_dir_all(&foreign).expect("a folder");
    std::fs::write(foreign.join("half-written"), "x").expect("a file");
    gitlab.behave();
    let larder = larder.restart();
    assert_eq!(spooled(&larder), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(&foreign).expect("a folder").count(), 0);
    assert!(!right(&reading.finish(), &file, "crashed"));
    assert!(right(
        &reader(&larder).get(&address),
        &file,
        "after the crash"
    ));
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
}

#[test]
fn a_crash_at_any_byte_leaves_a_folder_that_opens_and_tells_no_lies() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let mut files = Vec::new();
    for round in 0..10 {
        let client = reader(&larder);
        let new: Vec<Artifact> = (0..4)
            .map(|n| publish(&gitlab, &format!("k{round}{n}"), 400_000))
            .collect();
        let mut readers: Vec<Exchange> = new
            .iter()
            .map(|file| client.start("GET", &path::project_file(42, file), &[]))
            .collect();
        // A different point in each round, over all that happens to four files.
        for reader in &mut readers[..round % 5 % 4] {
            reader.read_body(round * 40_000);
        }
        larder.kill();
        drop(readers);
        files.extend(new);
        let start = Instant::now();
        larder = larder.restart();
        assert!(start.elapsed() < Duration::from_secs(5));
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        assert_eq!(spooled(&larder), Vec::<String>::new(), "round {round}");
    }
    for file in &files {
        let reply = reader(&larder).get(&path::project_file(42, file));
        assert!(right(&reply, file, "after all those crashes"), "{reply:?}");
    }
}

#[test]
fn a_second_daemon_on_the_folder_says_so_and_ends() {
    let gitlab = GitLab::start();
    let first = Larder::start(&gitlab);
    let mut second = Command::new(larder::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(first.config_file())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let until = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = second.try_wait().expect("a child of ours") {
            break Some(status);
        }
        if Instant::now() > until {
            let _ = second.kill();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    second
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("text");
    let status = status.unwrap_or_else(|| panic!("it runs on: {said}"));
    assert!(!status.success(), "{status}");
    let folder = first.cache_dir().display().to_string();
    assert!(
        said.contains(&folder) && said.contains("in use by another larder"),
        "{said}"
    );
    let file = publish(&gitlab, "first", 3_000);
    assert!(right(
        &reader(&first).get(&path::project_file(42, &file)),
        &file,
        "the first runs on"
    ));
}

/// Bytes of stored and half-written files.
fn on_disk(larder: &Larder) -> u64 {
    let listing = StoreListing::of(&larder.cache_dir());
    let below = |path: &Path, folder: &str| path.starts_with(larder.cache_dir().join(folder));
    let counted = listing
        .files
        .iter()
        .filter(|path| below(path, "content-v2") || below(path, "spool"));
    counted
        .filter_map(|path| path.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

#[test]
fn as_much_is_evicted_as_is_needed_and_the_longest_unused_first() {
    const FIT: usize = 4;
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .setting("cache_size = \"4MiB\"")
        .start();
    let client = reader(&larder);
    let mut files = Vec::new();
    for number in 0..FIT + 3 {
        let file = publish(&gitlab, &format!("file{number}"), 1_000_000);
        client.get(&path::project_file(42, &file)).expect(200);
        eventually("the newest is kept", || {
            StoreListing::of(&larder.cache_dir()).holds(&file.sha256)
        });
        files.push(file);
        let listing = StoreListing::of(&larder.cache_dir());
        for (other, file) in files.iter().enumerate() {
            let is_to_be_here = other + FIT > number;
            assert_eq!(
                listing.holds(&file.sha256),
                is_to_be_here,
                "{other} after {number}"
            );
        }
    }
}

#[test]
fn the_budget_holds_and_eviction_breaks_no_download() {
    const BUDGET: u64 = 4 << 20;
    for act in [None, Some(Act::Chunked)] {
        let gitlab = GitLab::start();
        if let Some(act) = &act {
            gitlab.plan(act.clone().at(Site::FileBody));
        }
        let larder = Larder::builder(&gitlab)
            .setting("cache_size = \"4MiB\"")
            .start();
        let client = reader(&larder);
        let first = publish(&gitlab, "first", 1_000_000);
        client.get(&path::project_file(42, &first)).expect(200);
        let mut slow = client.start("GET", &path::project_file(42, &first), &[]);
        slow.read_body(1);
        for number in 0..12 {
            let case = format!("{act:?} {number}");
            let file = publish(&gitlab, &format!("next{number}"), 1_000_000);
            let address = path::project_file(42, &file);
            let gate = Gate::new();
            let held = Act::Gate {
                after: 500_000,
                gate: gate.clone(),
            };
            gitlab.plan(held.at(Site::FileBody).containing(&file.filename));
            let reading = client.start("GET", &address, &[]);
            gate.wait_for(1);
            let other = publish(&gitlab, &format!("other{number}"), 400_000);
            let meanwhile = client.get(&path::project_file(42, &other));
            assert!(right(&meanwhile, &other, &case), "{case}: {meanwhile:?}");
            assert!(
                on_disk(&larder) <= BUDGET,
                "{case}: {} bytes",
                on_disk(&larder)
            );
            gate.open();
            let reply = reading.finish();
            assert!(right(&reply, &file, &case), "{case}: {reply:?}");
            assert!(
                on_disk(&larder) <= BUDGET,
                "{case}: {} bytes",
                on_disk(&larder)
            );
            // A reader is told of its end before the disk is asked to keep the file.
            eventually(&format!("{case}: the newest is kept"), || {
                StoreListing::of(&larder.cache_dir()).holds(&file.sha256)
            });
        }
        let listing = StoreListing::of(&larder.cache_dir());
        listing.assert_every_blob_is_right();
        assert!(
            !listing.holds(&first.sha256),
            "{act:?}: the oldest has made way"
        );
        assert!(
            right(&slow.finish(), &first, "evicted while it was read"),
            "{act:?}"
        );
        assert!(
            right(
                &client.get(&path::project_file(42, &first)),
                &first,
                "fetched again"
            ),
            "{act:?}"
        );
    }
}

#[test]
fn r1_what_does_not_fit_passes_through_uncached_and_verified() {
    const SIZE: usize = 3_000_000;
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::builder(&gitlab)
            .setting("cache_size = \"1MiB\"")
            .start();
        let client = reader(&larder);
        let file = publish(&gitlab, "large", SIZE);
        let address = path::project_file(42, &file);
        let gate = gitlab.hold(Site::FileBody, 1_000_000);
        let readers: Vec<Exchange> = (0..3).map(|_| client.start("GET", &address, &[])).collect();
        gate.wait_for(3);
        gate.open();
        for reader in readers {
            let reply = reader.finish();
            assert!(right(&reply, &file, "too large"), "{storage:?}: {reply:?}");
        }
        assert!(
            !StoreListing::of(&larder.cache_dir()).holds(&file.sha256),
            "{storage:?}"
        );
        let range = client.get_range(&address, "bytes=2000000-2000999");
        assert_eq!(
            range.expect(206),
            &file.bytes[2_000_000..2_001_000],
            "{storage:?}"
        );
        gitlab.behave();

        let acts = [
            Act::Flip { at: 0 },
            Act::Flip {
                at: SIZE as u64 - 1,
            },
            Act::Close {
                after: SIZE as u64 - 1,
            },
            Act::Reset { after: 2_000_000 },
        ];
        for (number, act) in acts.into_iter().enumerate() {
            let case = format!("{storage:?}, too large, {act:?}");
            let file = publish(&gitlab, &format!("large{number}"), SIZE);
            let address = path::project_file(42, &file);
            let flip = matches!(act, Act::Flip { .. });
            gitlab.plan(act.at(Site::FileBody).containing(&file.filename));
            assert!(!right(&client.get(&address), &file, &case), "{case}");
            let rest = client.get_with(
                &address,
                &[
                    ("Range", "bytes=1500000-"),
                    ("If-Range", &format!("\"{}\"", file.sha256)),
                ],
            );
            assert!(
                !(rest.is_complete() && rest.status < 300),
                "{case}: the rest was given: {rest:?}"
            );
            let rest = client.get_range(&address, "bytes=1500000-");
            assert!(
                !(flip && rest.is_complete() && rest.status < 300),
                "{case}: the rest was given: {rest:?}"
            );
            gitlab.behave();
            let after = client.get(&address);
            assert!(
                right(&after, &file, &case) || flip && after.status == 502,
                "{case}: {after:?}"
            );
        }
        assert_eq!(spooled(&larder), Vec::<String>::new());
    }
}

/// Puts a file where a folder was: nothing below it can be read or written any more, not even by
/// root.
fn ruin(folder: &Path) -> PathBuf {
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside).expect("it is there");
    File::create(folder).expect("a file in its place");
    aside
}

#[test]
fn r10_a_folder_that_cannot_be_used_fails_no_request() {
    for storage in MODES {
        for what in [
            "spool",
            "content-v2",
            "index-v5",
            "quarantine",
            "everything",
        ] {
            let case = format!("{storage:?}, without {what}");
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::start(&gitlab);
            let client = reader(&larder);
            let known = publish(&gitlab, "known", 300_000);
            client.get(&path::project_file(42, &known)).expect(200);
            let damaged = publish(&gitlab, "damaged", 300_000);
            client.get(&path::project_file(42, &damaged)).expect(200);
            if what == "quarantine" {
                damage(&larder, &damaged, Damage::Flip(299_999));
            }
            let folder = larder.cache_dir();
            kept(&larder, &known);
            ruin(&if what == "everything" {
                folder
            } else {
                folder.join(what)
            });
            for size in [3_000, 300_000] {
                let file = publish(&gitlab, &format!("new{size}"), size);
                let address = path::project_file(42, &file);
                for _ in 0..2 {
                    let reply = client.get(&address);
                    assert!(right(&reply, &file, &case), "{case}: {reply:?}");
                }
                assert_eq!(
                    client.get_range(&address, "bytes=10-19").expect(206),
                    &file.bytes[10..20],
                    "{case}"
                );
                let length = size.to_string();
                assert_eq!(
                    client.head(&address).header("Content-Length"),
                    Some(length.as_str()),
                    "{case}"
                );
                let wrong = publish(&gitlab, &format!("wrong{size}"), size);
                gitlab.plan(
                    Act::Flip { at: 5 }
                        .at(Site::FileBody)
                        .containing(&wrong.filename),
                );
                assert!(
                    !right(&client.get(&path::project_file(42, &wrong)), &wrong, &case),
                    "{case}"
                );
            }
            for _ in 0..2 {
                let reply = client.get(&path::project_file(42, &known));
                assert!(right(&reply, &known, &case), "{case}: {reply:?}");
                assert_eq!(
                    client.get(&path::project_page(42, "known")).status,
                    200,
                    "{case}"
                );
            }
            if what == "quarantine" {
                // What is found damaged cannot be set aside: it may be cut once, but is never
                // delivered.
                let reply = client.get(&path::project_file(42, &damaged));
                right(&reply, &damaged, &case);
            }
        }
    }
}

#[test]
fn r10_a_folder_that_is_removed_under_the_daemon_fails_no_request() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::start(&gitlab);
    let client = reader(&larder);
    let known = publish(&gitlab, "known", 300_000);
    client.get(&path::project_file(42, &known)).expect(200);
    kept(&larder, &known);
    std::fs::remove_dir_all(larder.cache_dir()).expect("it is there");
    let new = publish(&gitlab, "new", 300_000);
    for file in [&known, &new, &known, &new] {
        let reply = client.get(&path::project_file(42, file));
        assert!(right(&reply, file, "the folder is gone"), "{reply:?}");
    }
    eventually("no download is left over", || larder.open_files() < 64);
}
