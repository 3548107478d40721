//! What is yet to be uploaded survives whatever happens to larder, and nothing half is ever readable.

use std::fs::{File, FileTimes};
use std::os::unix::fs::FileExt;

use rustix::process::Signal;

use crate::common::delivery::{eventually, kept, patiently};
use crate::common::fleet::{lookups, published, queue, uploads};
use crate::support::{
    Artifact, Distribution, ENGINES, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, Site,
    StoreListing, path, token,
};

#[test]
fn a_large_file_is_uploaded_in_parts_and_read_back_right() {
    for engine in ENGINES {
        let gitlab = GitLab::start();
        // Two whole parts and a bit.
        let file = Artifact::noise("large", "1.0", (10 << 20) + 12_345);
        gitlab.publish(42, &file);
        let fleet = Fleet::new(engine);
        let lines = "part_size = \"5MiB\"\nwrite_timeout = \"120s\"\nread_timeout = \"30s\"";
        let member = || {
            fleet
                .member_with(Larder::builder(&gitlab), None, lines)
                .start()
        };
        let first = member();
        let address = path::project_file(42, &file);
        first
            .client()
            .token(token::READER)
            .get(&address)
            .expect(200);
        patiently("it is uploaded", || uploads(&first, "completed") == 1.0);
        assert!(
            fleet.bucket.blob(&file.sha256).body == file.bytes,
            "{engine:?}"
        );
        let second = member();
        let reply = second.client().token(token::READER).get(&address);
        assert!(reply.expect(200) == &file.bytes[..], "{engine:?}");
        kept(&second, &file);
        patiently("it came from there", || lookups(&second, "hit") == 1.0);
    }
}

/// The files that `larder stats` says are noted.
fn noted(larder: &Larder) -> usize {
    let stats = larder.command(&["stats", "--json"]);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    let noted = stats["shared_store_queue"].as_u64().expect("a number");
    usize::try_from(noted).expect("a few")
}

#[test]
fn what_waits_is_uploaded_after_a_restart_and_after_a_kill() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 6);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let lines = "breaker_open_for = \"1s\"";
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
    let mut larder = member.start();
    for (at, wheel) in wheels.iter().enumerate() {
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, wheel)).expect(200);
        kept(&larder, wheel);
        patiently("it is noted", || noted(&larder) == at + 1);
        if at == 2 {
            larder.kill();
        }
        if at % 2 == 0 {
            larder = larder.restart();
        }
    }
    relay.fails(RelayFault::None);
    patiently("all are uploaded", || {
        wheels
            .iter()
            .all(|wheel| fleet.bucket.has_blob(&wheel.sha256))
            && queue(&larder) == 0.0
    });
    patiently("no note is left", || noted(&larder) == 0);
}

#[test]
fn a_queue_that_is_full_says_so_and_holds_no_client_up() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 4);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), "queue = 2");
    let larder = member.start();
    for (at, wheel) in wheels.iter().enumerate() {
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, wheel)).expect(200);
        kept(&larder, wheel);
        eventually("it is queued or left out", || {
            queue(&larder) + uploads(&larder, "dropped") == at as f64 + 1.0
        });
    }
    assert_eq!(uploads(&larder, "dropped"), 2.0);
    larder.wait_for_log("shared_store.queue");
}

#[test]
fn files_that_the_store_refuses_keep_none_from_it_and_are_given_up_while_it_takes_others() {
    let status = "500 Internal Server Error";
    given_up_while_others_are_taken(RelayFault::RefusesLonger {
        than: 100_000,
        status,
    });
}

#[test]
fn files_that_never_come_through_are_given_up_while_it_takes_others() {
    given_up_while_others_are_taken(RelayFault::ClosesLonger { than: 100_000 });
}

/// The fault is that of files longer than 100 kB.
#[track_caller]
fn given_up_while_others_are_taken(fault: RelayFault) {
    let gitlab = GitLab::start();
    let wheel = |name: &str, size| {
        let wheel = Distribution::new(name, "1.0").payload(size).wheel();
        gitlab.publish(42, &wheel);
        wheel
    };
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(fault);
    let lines = "breaker_failures = 0";
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
    let larder = member.start();
    let download = |wheel: &Artifact| {
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, wheel)).expect(200);
    };
    // As many as are uploaded at one time.
    let refused = [wheel("refused0", 400_000), wheel("refused1", 400_000)];
    for wheel in &refused {
        download(wheel);
    }
    patiently("both wait", || queue(&larder) == 2.0);
    let mut others = 0;
    while uploads(&larder, "lost") != 2.0 {
        assert!(others < 20, "{}", larder.metrics());
        let other = wheel(&format!("other{others}"), 20_000);
        download(&other);
        others += 1;
        patiently("it is uploaded", || {
            uploads(&larder, "completed") == f64::from(others)
        });
        assert!(fleet.bucket.has_blob(&other.sha256));
    }
    for wheel in &refused {
        larder.wait_for_log(&wheel.filename);
        assert!(!fleet.bucket.has_blob(&wheel.sha256));
    }
    patiently("no note is left", || noted(&larder) == 0);
}

#[test]
fn a_download_that_a_reload_finds_under_way_is_uploaded_without_a_restart() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(1_500_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let larder = fleet.member(Larder::builder(&gitlab)).start();
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let reader = larder.client().token(token::READER);
    let mut reading = reader.start("GET", &path::project_file(42, &wheel), &[]);
    let read = reading.read_body(900_000);
    assert_eq!((reading.status(), read), (200, 900_000));
    // Most of it is here, so that it is carried to its end without a client.
    drop(reading);
    larder.signal(Signal::HUP);
    larder.wait_for_log("the configuration was read again");
    gate.open();
    kept(&larder, &wheel);
    patiently("it is uploaded", || uploads(&larder, "completed") == 1.0);
    assert!(fleet.bucket.has_blob(&wheel.sha256));
    patiently("no note is left", || noted(&larder) == 0);
}

#[test]
fn the_bucket_gets_nothing_of_a_file_that_the_disk_damaged_meanwhile() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("large", "1.0", 12 << 20);
    gitlab.publish(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let lines = "part_size = \"5MiB\"\nwrite_timeout = \"120s\"\nbreaker_failures = 0";
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &file)).expect(200);
    kept(&larder, &file);
    // In the last of three parts, and as a disk does it: no time tells of it.
    let listing = StoreListing::of(&larder.cache_dir());
    let path = &listing.blob(&file.sha256).expect("it is kept").path;
    let stored = File::options().write(true).open(path).expect("our own");
    let modified = stored.metadata().and_then(|told| told.modified());
    stored.write_all_at(b"other", 11 << 20).expect("our own");
    let times = FileTimes::new().set_modified(modified.expect("a time"));
    stored.set_times(times).expect("our own");

    relay.fails(RelayFault::None);
    patiently("it is given up", || uploads(&larder, "lost") == 1.0);
    larder.wait_for_log("was damaged");
    let blobs = fleet.bucket.keys();
    assert!(blobs.is_empty(), "{blobs:?}");
    patiently("no note is left", || noted(&larder) == 0);
}

#[test]
fn a_file_that_left_the_cache_while_it_waited_is_named() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("gone", "1.0", 20_000);
    gitlab.publish(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let lines = "breaker_failures = 0";
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &file)).expect(200);
    kept(&larder, &file);
    let purged = larder.command(&["purge", "projects/42/gone"]);
    assert!(purged.status.success(), "{purged:?}");
    relay.fails(RelayFault::None);
    patiently("it is given up", || uploads(&larder, "lost") == 1.0);
    larder.wait_for_log("it is no longer here");
    let log = larder.log();
    let line = log
        .lines()
        .find(|line| line.contains("it is no longer here"));
    assert!(line.is_some_and(|line| line.contains(&file.filename)));
    patiently("no note is left", || noted(&larder) == 0);
}

#[test]
fn what_is_purged_while_it_is_uploaded_is_not_published() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("gone", "1.0", 400_000);
    gitlab.publish(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::HoldsLonger { than: 100_000 });
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), "");
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &file)).expect(200);
    patiently("its bytes are on their way", || relay.held() == 1);
    let purged = larder.command(&["purge", "--shared", "projects/42/gone"]);
    assert!(purged.status.success(), "{purged:?}");
    relay.lets_through();
    patiently("it is given up", || uploads(&larder, "lost") == 1.0);
    let keys = fleet.bucket.keys();
    assert_eq!(keys, [format!("blobs/{}", file.sha256)]);
    let late = fleet.member(Larder::builder(&gitlab)).start();
    let reader = late.client().token(token::READER);
    reader.get(&path::project_file(42, &file)).expect(200);
    assert_eq!(lookups(&late, "miss"), 1.0);
}

#[test]
fn notes_that_no_queue_takes_are_left_out_once_and_told_apart() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 4);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let member = |queue: usize| {
        let lines = format!("queue = {queue}");
        fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), &lines)
    };
    let mut first = member(4).start();
    for wheel in &wheels {
        let reader = first.client().token(token::READER);
        reader.get(&path::project_file(42, wheel)).expect(200);
        kept(&first, wheel);
    }
    patiently("all are noted", || noted(&first) == 4);
    first.terminate();

    let mut alone = Larder::builder(&gitlab).at_home_of(&first).start();
    let said = alone.command(&["stats"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("4 files are noted"), "{said}");
    assert!(said.contains("none that this larder writes to"), "{said}");
    alone.terminate();

    let mut second = member(2).at_home_of(&first).start();
    patiently("two are left out", || uploads(&second, "dropped") == 2.0);
    patiently("their notes are gone", || noted(&second) == 2);
    let said = second.command(&["stats"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("2 files are yet to be uploaded"), "{said}");
    second.terminate();
    let third = member(2).at_home_of(&first).start();
    patiently("the others wait", || queue(&third) == 2.0);
    assert_eq!(uploads(&third, "dropped"), 0.0);
}
