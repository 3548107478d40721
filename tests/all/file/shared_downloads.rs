//! Many readers of one download: one transfer, whoever leaves, however slow.

use std::io::Read;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::common::delivery::{MODES, eventually, right, spooled};
use crate::support::{
    Act, Artifact, Client, Ended, Entry, Exchange, GitLab, Kind, Larder, Place, RequestLog, Role,
    Site, Storage, StoreListing, Token, path, token,
};

fn publish(gitlab: &GitLab, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(42, &file);
    file
}

/// Sends a request and reads the answer without keeping it: the status, the bytes of the body, and
/// their digest.
fn drained(client: &Client, address: &str) -> (u16, u64, String) {
    let mut wire = client.connect();
    wire.send(
        client
            .head_text("GET", address, &[("Connection", "close")])
            .as_bytes(),
    );
    let mut stream = wire.stream();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return (0, 0, String::new());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let (mut bytes, mut hasher, mut piece) = (0, Sha256::new(), vec![0; 256 * 1024]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
    let digest = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (status, bytes, digest)
}

/// Forty clients, each with this credential; the transfers and the questions that they caused.
fn forty(storage: Storage, bytes: usize, credential: impl Fn(usize) -> String) -> (usize, usize) {
    let gitlab = GitLab::builder().storage(storage).start();
    let secrets: Vec<String> = (0..40).map(credential).collect();
    gitlab.change(|universe| {
        for secret in &secrets {
            if universe.tokens.iter().all(|known| known.secret != *secret) {
                universe
                    .tokens
                    .push(Token::personal(secret).member(Place::Project(42), Role::Reporter));
            }
        }
    });
    let larder = Larder::start(&gitlab);
    let file = publish(&gitlab, "herd", bytes);
    let address = path::project_file(42, &file);
    // Held until everybody has asked: a transfer that is over could not be shared any more.
    let gate = gitlab.hold(Site::FileBody, bytes as u64 / 20);
    std::thread::scope(|scope| {
        let readers: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let client = larder
                    .client()
                    .token(secret)
                    .patience(Duration::from_secs(60));
                let address = address.as_str();
                scope.spawn(move || drained(&client, address))
            })
            .collect();
        gate.wait_for(1);
        gate.open();
        for reader in readers {
            let got = reader.join().expect("no panic");
            assert_eq!(got, (200, bytes as u64, file.sha256.clone()), "{storage:?}");
        }
    });
    gitlab.log().assert_nothing_unexpected();
    let bodies = gitlab.log().file_bodies();
    assert!(
        bodies.bytes <= bytes as u64 + 40_000,
        "{storage:?}: {bodies:?}"
    );
    (bodies.transfers, gitlab.log().count(Kind::File) - 1)
}

#[test]
fn r13_forty_clients_of_one_cold_file_cause_one_transfer() {
    for storage in MODES {
        let (transfers, questions) = forty(storage, 20_000_000, |_| token::READER.to_owned());
        assert_eq!(
            (transfers, questions),
            (1, 0),
            "{storage:?}: the first answer is the proof for this credential"
        );
    }
}

#[test]
fn r13_forty_credentials_on_one_cold_file_cause_one_transfer_and_a_small_question_each() {
    for storage in MODES {
        let (transfers, questions) = forty(storage, 2_000_000, |number| format!("member-{number}"));
        assert_eq!((transfers, questions), (1, 39), "{storage:?}");
    }
}

#[test]
fn r13_a_late_joiner_reads_while_upstream_still_sends() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let file = publish(&gitlab, "late", 2_000_000);
        let address = path::project_file(42, &file);
        let gate = gitlab.hold(Site::FileBody, 1_500_000);
        let mut leader = client.start("GET", &address, &[]);
        assert_eq!(
            leader.read_body(1_500_000),
            1_500_000,
            "{storage:?}: all that has come goes on"
        );
        let mut joiner = client.start("GET", &address, &[]);
        assert_eq!(
            joiner.read_body(1_500_000),
            1_500_000,
            "{storage:?}: the joiner gets it at once as well"
        );
        let mut resumed = client.start("GET", &address, &[("Range", "bytes=1000000-")]);
        assert_eq!(
            resumed.read_body(500_000),
            500_000,
            "{storage:?}: and so does a resume"
        );
        assert_eq!(
            gitlab.log().file_bodies().bytes,
            1_500_000,
            "{storage:?}: upstream is not through"
        );
        gate.open();
        for reader in [leader, joiner] {
            assert!(
                right(&reader.finish(), &file, "after the gate"),
                "{storage:?}"
            );
        }
        assert_eq!(resumed.finish().expect(206), &file.bytes[1_000_000..]);
        assert_eq!(gitlab.log().file_bodies().transfers, 1, "{storage:?}");
    }
}

#[test]
fn r13_a_stranger_who_asks_first_spoils_nothing_for_a_member() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    for number in 0..30 {
        let file = publish(&gitlab, &format!("mixed{number}"), 100_000);
        let address = path::project_file(42, &file);
        gitlab.set(|settings| settings.latency = Duration::from_millis(5));
        let strangers: Vec<Exchange> = (0..10)
            .map(|_| {
                larder
                    .client()
                    .token(token::STRANGER)
                    .start("GET", &address, &[])
            })
            .collect();
        let members: Vec<Exchange> = (0..5)
            .map(|_| {
                larder
                    .client()
                    .token(token::READER)
                    .start("GET", &address, &[])
            })
            .collect();
        for stranger in strangers {
            assert_eq!(stranger.finish().status, 404);
        }
        for member in members {
            let reply = member.finish();
            assert!(right(&reply, &file, "among strangers"), "{reply:?}");
        }
    }
}

#[test]
fn r14_a_leader_who_vanishes_takes_nobody_along() {
    const BYTES: usize = 2_000_000;
    for storage in MODES {
        for percent in [0, 50, 99] {
            let case = format!("{storage:?}, at {percent} %");
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::start(&gitlab);
            let client = larder.client().token(token::READER);
            let file = publish(&gitlab, "led", BYTES);
            let address = path::project_file(42, &file);
            let held = BYTES / 100 * percent;
            let gate = gitlab.hold(Site::FileBody, held as u64);
            let mut leader = client.start("GET", &address, &[]);
            gate.wait_for(1);
            if held > 0 {
                leader.read_body(held.min(BYTES - 70_000));
            }
            let joiners: Vec<Exchange> =
                (0..3).map(|_| client.start("GET", &address, &[])).collect();
            drop(leader);
            let late = client.start("GET", &address, &[]);
            gate.open();
            for joiner in joiners.into_iter().chain([late]) {
                assert!(right(&joiner.finish(), &file, &case), "{case}");
            }
            assert_eq!(gitlab.log().file_bodies().transfers, 1, "{case}");
            eventually("nothing is left behind", || spooled(&larder).is_empty());
        }
    }
}

#[test]
fn r14_a_leader_may_vanish_before_upstream_has_said_a_word() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let file = publish(&gitlab, "silent", 300_000);
    let address = path::project_file(42, &file);
    gitlab.plan(
        Act::StallBeforeHead(Duration::from_millis(300))
            .at(Site::FileBody)
            .once(),
    );
    let leader = client.start("GET", &address, &[]);
    gitlab
        .log()
        .wait_until("the question has come", |log| log.count(Kind::File) == 1);
    let joiner = client.start("GET", &address, &[]);
    drop(leader);
    assert!(right(&joiner.finish(), &file, "the leader is gone"));
    assert_eq!(gitlab.log().file_bodies().transfers, 1);
}

#[test]
fn r14_what_everybody_left_is_finished_if_it_is_worth_it_and_else_stopped() {
    const BYTES: usize = 16_000_000;
    // Smaller than the limit; larger, but more than half there; larger, and less than half there.
    for (finish_after_abort_max, held, finished) in [
        ("32MB", 1_000_000, true),
        ("1MB", 9_000_000, true),
        ("1MB", 1_000_000, false),
    ] {
        let case = format!("finish_after_abort_max = {finish_after_abort_max}, {held} bytes there");
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .sections(&format!(
                "[files]\nfinish_after_abort_max = \"{finish_after_abort_max}\""
            ))
            .start();
        let client = larder.client().token(token::READER);
        let file = publish(&gitlab, "left", BYTES);
        let address = path::project_file(42, &file);
        let descriptors = larder.open_files();
        let gate = gitlab.hold(Site::FileBody, held as u64);
        // So that it is larder that takes the rest or not, and no socket's buffer.
        gitlab.plan(
            Act::Trickle {
                bytes: 100_000,
                every: Duration::from_millis(1),
            }
            .at(Site::FileBody)
            .once(),
        );
        let mut readers: Vec<Exchange> =
            (0..3).map(|_| client.start("GET", &address, &[])).collect();
        for reader in &mut readers {
            assert_eq!(reader.read_body(held), held, "{case}");
        }
        assert_eq!(spooled(&larder).len(), 1, "{case}");
        drop(readers);
        larder_has_noticed(&larder, 3);
        gate.open();
        let log = gitlab.log();
        log.wait_until("the transfer ends", |log| {
            transfer(log).ended != Ended::NotYet
        });
        eventually("the half-written file goes", || spooled(&larder).is_empty());
        let ended = if finished {
            Ended::Whole
        } else {
            Ended::PeerLeft
        };
        assert_eq!(transfer(log).ended, ended, "{case}");
        let stored = || StoreListing::of(&larder.cache_dir()).holds(&file.sha256);
        if finished {
            eventually("the file is stored", stored);
        } else {
            assert!(!stored(), "{case}");
        }
        // The connection to GitLab may stay open for reuse.
        eventually("no descriptor leaks", || {
            larder.open_files() <= descriptors + 3
        });
        assert!(right(&client.get(&address), &file, &case), "{case}");
        assert_eq!(
            log.file_bodies().transfers,
            if finished { 1 } else { 2 },
            "{case}"
        );
    }
}

/// The first transfer of a file's bytes.
fn transfer(log: &RequestLog) -> Entry {
    let entries = log.of(Kind::File).into_iter();
    entries
        .into_iter()
        .find(Entry::is_file_body)
        .expect("a transfer")
}

/// Waits until larder has logged so many broken deliveries of files: it knows then that their
/// readers have left.
fn larder_has_noticed(larder: &Larder, left: usize) {
    eventually("larder notices that its clients left", || {
        larder
            .log()
            .lines()
            .filter(|line| line.contains("larder::request") && line.contains("/files/"))
            .count()
            >= left
    });
}

#[test]
fn r14_a_reader_who_comes_when_all_others_leave_gets_the_file() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[files]\nfinish_after_abort_max = \"1kB\"")
        .start();
    let client = larder.client().token(token::READER);
    for number in 0..40 {
        let file = publish(&gitlab, &format!("relay{number}"), 500_000);
        let address = path::project_file(42, &file);
        let mut first = client.start("GET", &address, &[]);
        first.read_body(number * 5_000);
        let second = client.start("GET", &address, &[]);
        drop(first);
        let reply = second.finish();
        assert!(
            right(&reply, &file, "taken over"),
            "round {number}: {reply:?}"
        );
        let third = client.start("GET", &address, &[]);
        assert!(
            right(&third.finish(), &file, "afterwards"),
            "round {number}"
        );
    }
}

#[test]
fn r15_a_hundred_slow_readers_slow_nobody_and_cost_less_than_a_mebibyte_each() {
    const BYTES: usize = 20_000_000;
    const SLOW: usize = 100;
    for cold in [true, false] {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let file = publish(&gitlab, "slow", BYTES);
        let address = path::project_file(42, &file);
        let warm_up = publish(&gitlab, "first", BYTES);
        assert_eq!(
            drained(&client, &path::project_file(42, &warm_up)).2,
            warm_up.sha256
        );
        if !cold {
            assert_eq!(drained(&client, &address).2, file.sha256);
        }
        gitlab.log().clear();
        let before = larder.resident_bytes();
        let mut slow: Vec<Exchange> = (0..SLOW)
            .map(|_| client.start("GET", &address, &[]))
            .collect();
        for reader in &mut slow {
            assert!(
                reader.read_body(1) >= 1,
                "a slow reader gets its first byte"
            );
        }
        let fast = drained(&client, &address);
        assert_eq!(
            fast,
            (200, BYTES as u64, file.sha256.clone()),
            "cold: {cold}"
        );
        let entries = gitlab.log().of(Kind::File);
        let transfers: Vec<_> = entries
            .iter()
            .filter(|entry| entry.is_file_body())
            .collect();
        assert_eq!(transfers.len(), usize::from(cold));
        assert!(
            transfers.iter().all(|entry| entry.ended == Ended::Whole),
            "cold: {cold}: upstream waits for the slow: {transfers:?}"
        );
        assert!(
            slow.iter().all(|reader| reader.ended().is_none()),
            "they are slow"
        );
        let grown = larder.resident_bytes().saturating_sub(before);
        println!(
            "cold: {cold}: {SLOW} slow readers cost {grown} bytes, {} each",
            grown / SLOW as u64
        );
        assert!(
            grown < (SLOW as u64) << 20,
            "cold: {cold}: {} bytes for a slow reader",
            grown / SLOW as u64
        );
        let reply = slow.pop().expect("a hundred").finish();
        assert!(right(&reply, &file, "slow"), "cold: {cold}");
    }
}

/// Where a body breaks off, and how.
fn breaks(size: u64) -> Vec<Act> {
    [1, 1000, size / 2, size - 1]
        .into_iter()
        .flat_map(|after| [Act::Reset { after }, Act::Close { after }])
        .collect()
}

#[test]
fn a_break_in_mid_body_is_mended_once_unseen_by_the_client() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let door = if storage == Storage::Redirect {
            Kind::Object
        } else {
            Kind::File
        };
        for size in [3_000, 300_000] {
            for (number, act) in breaks(size as u64).into_iter().enumerate() {
                for expired in [false, true] {
                    let case = format!("{storage:?} {size} {act:?}, expired: {expired}");
                    let file = publish(&gitlab, &format!("b{size}x{number}x{expired}"), size);
                    gitlab.log().clear();
                    let gate = gitlab.hold(Site::FileBody, 1);
                    gitlab.plan(
                        act.clone()
                            .at(Site::FileBody)
                            .containing(&file.filename)
                            .once(),
                    );
                    let reader = client.start("GET", &path::project_file(42, &file), &[]);
                    gate.wait_for(1);
                    if expired {
                        gitlab.expire_signed_urls();
                    }
                    gate.open();
                    let reply = reader.finish();
                    assert!(right(&reply, &file, &case), "{case}: {reply:?}");
                    let asked = gitlab.log().of(door);
                    assert_eq!(asked.len(), 2, "{case}: {asked:#?}");
                    assert_eq!(
                        gitlab.log().count(Kind::File),
                        2,
                        "{case}: GitLab signs anew"
                    );
                    if let Some(range) = asked[1].head.header("Range") {
                        assert!(
                            asked[1].head.header("If-Range").is_some(),
                            "{case}: a range without a validator"
                        );
                        assert_eq!(asked[1].status, Some(206), "{case}: {range}");
                    } else {
                        assert_eq!(
                            asked[1].status,
                            Some(200),
                            "{case}: nothing had come, all is asked for"
                        );
                    }
                    if let Act::Close { after } = act {
                        let range = format!("bytes={after}-");
                        assert_eq!(
                            asked[1].head.header("Range"),
                            Some(range.as_str()),
                            "{case}"
                        );
                    }
                    gitlab.behave();
                }
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_resume_that_is_answered_with_the_whole_is_still_right() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        for (number, act) in breaks(300_000).into_iter().enumerate() {
            let case = format!("{storage:?} {act:?}");
            let file = publish(&gitlab, &format!("w{number}"), 300_000);
            gitlab.plan(act.at(Site::FileBody).containing(&file.filename).once());
            let reply = client.get(&path::project_file(42, &file));
            assert!(right(&reply, &file, &case), "{case}: {reply:?}");
        }
    }
}

#[test]
fn r3_a_resume_that_brings_other_bytes_is_cut() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        for joiners in [0, 3] {
            for changed in [false, true] {
                let case = format!("{storage:?}, {joiners} joiners, told of the change: {changed}");
                let file = publish(&gitlab, &format!("other{joiners}{changed}"), 300_000);
                let address = path::project_file(42, &file);
                let gate = gitlab.hold(Site::FileBody, 150_000);
                gitlab.plan(
                    Act::Close { after: 150_000 }
                        .at(Site::FileBody)
                        .containing(&file.filename)
                        .once(),
                );
                let mut readers: Vec<Exchange> = (0..=joiners)
                    .map(|_| client.start("GET", &address, &[]))
                    .collect();
                readers
                    .iter_mut()
                    .for_each(|reader| assert!(reader.read_body(1) > 0, "{case}"));
                gate.wait_for(1);
                let other = Artifact::noise(&format!("another{joiners}{changed}"), "1.0", 300_000);
                gitlab.change(|universe| {
                    for stored in universe.files_mut(42, &file.filename) {
                        stored.bytes = other.bytes.clone();
                        if changed {
                            stored.modified += Duration::from_secs(60);
                        }
                    }
                });
                gate.open();
                for reader in readers {
                    let reply = reader.finish();
                    assert!(
                        !right(&reply, &file, &case) && reply.status == 200,
                        "{case}: {reply:?}"
                    );
                }
                eventually("the half-written file goes", || spooled(&larder).is_empty());
                let listing = StoreListing::of(&larder.cache_dir());
                assert!(
                    !listing.holds(&file.sha256) && !listing.holds(&other.sha256),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn a_second_break_is_the_clients_to_see() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::start(&gitlab);
        let client = larder.client().token(token::READER);
        let file = publish(&gitlab, "twice", 300_000);
        let address = path::project_file(42, &file);
        gitlab.plan(Act::Close { after: 100_000 }.at(Site::FileBody).times(2));
        let reply = client.get(&address);
        assert!(
            !right(&reply, &file, "broken twice") && reply.status == 200,
            "{storage:?}: {reply:?}"
        );
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            2,
            "{storage:?}: one resume, not more"
        );
        assert!(
            right(&client.get(&address), &file, "well again"),
            "{storage:?}"
        );
    }
}
