//! What is yet to be uploaded survives whatever happens to larder, and nothing half is ever readable.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::delivery::{eventually, kept, patiently};
use crate::support::wheel::sha256_hex;
use crate::support::{
    Artifact, Distribution, ENGINES, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, Site,
    path, token,
};

fn completed(larder: &Larder) -> f64 {
    let name = "larder_shared_store_uploads_total{result=\"completed\"}";
    larder.metric(name).unwrap_or_default()
}

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
        patiently("it is uploaded", || completed(&first) == 1.0);
        assert!(
            fleet.bucket.blob(&file.sha256).body == file.bytes,
            "{engine:?}"
        );
        let second = member();
        let reply = second.client().token(token::READER).get(&address);
        assert!(reply.expect(200) == &file.bytes[..], "{engine:?}");
        kept(&second, &file);
        patiently("it came from there", || {
            second.metric("larder_shared_store_lookups_total{result=\"hit\"}") == Some(1.0)
        });
    }
}

/// The files that `larder stats` says are noted.
fn queued(larder: &Larder) -> usize {
    let stats = larder.command(&["stats", "--json"]);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    let noted = stats["shared_store_queue"].as_u64().expect("a number");
    usize::try_from(noted).expect("a few")
}

#[test]
fn what_waits_is_uploaded_after_a_restart_and_after_a_kill() {
    let gitlab = GitLab::start();
    let wheels: Vec<_> = (0..6)
        .map(|n| {
            Distribution::new(&format!("demo{n}"), "1.0")
                .payload(20_000)
                .wheel()
        })
        .collect();
    for wheel in &wheels {
        gitlab.publish(42, wheel);
    }
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
        patiently("it is noted", || queued(&larder) == at + 1);
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
            && larder.metric("larder_shared_store_queue") == Some(0.0)
    });
    patiently("no note is left", || queued(&larder) == 0);
}

#[test]
fn a_larder_that_is_killed_in_the_middle_of_uploads_leaves_nothing_half_and_loses_none() {
    let gitlab = GitLab::start();
    let files: Vec<_> = (0..10)
        .map(|n| Artifact::noise(&format!("large{n}"), "1.0", 6 << 20))
        .collect();
    for file in &files {
        gitlab.publish(42, file);
    }
    let fleet = Fleet::new(Engine::SeaweedFs);
    let lines = "part_size = \"5MiB\"\nconcurrent_writes = 4\nwrite_timeout = \"120s\"";
    let mut larder = fleet
        .member_with(Larder::builder(&gitlab), None, lines)
        .start();
    let half = |when: &str| {
        for key in fleet.bucket.keys() {
            if let Some(sha256) = key.strip_prefix("blobs/") {
                let reply = fleet.bucket.blob(sha256);
                assert_eq!(sha256_hex(&reply.body), sha256, "{when}: half an object");
            }
        }
    };
    for file in &files {
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, file)).expect(200);
        kept(&larder, file);
    }
    for round in 0..5 {
        std::thread::sleep(Duration::from_millis(30 * round));
        larder.kill();
        half("after a kill");
        larder = larder.restart();
    }
    patiently("all are there", || {
        larder.metric("larder_shared_store_queue") == Some(0.0)
    });
    half("at the end");
    for file in &files {
        assert!(fleet.bucket.has_blob(&file.sha256));
    }
}

#[test]
fn a_queue_that_is_full_says_so_and_holds_no_client_up() {
    let gitlab = GitLab::start();
    let wheels: Vec<_> = (0..4)
        .map(|n| {
            Distribution::new(&format!("demo{n}"), "1.0")
                .payload(20_000)
                .wheel()
        })
        .collect();
    for wheel in &wheels {
        gitlab.publish(42, wheel);
    }
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
            let queued = larder
                .metric("larder_shared_store_queue")
                .unwrap_or_default();
            let dropped = larder.metric("larder_shared_store_uploads_total{result=\"dropped\"}");
            queued + dropped.unwrap_or_default() == at as f64 + 1.0
        });
    }
    assert_eq!(
        larder.metric("larder_shared_store_uploads_total{result=\"dropped\"}"),
        Some(2.0)
    );
    larder.wait_for_log("shared_store.queue");
}

#[test]
fn files_that_the_store_refuses_keep_none_from_it_and_are_given_up_while_it_takes_others() {
    let gitlab = GitLab::start();
    let wheel = |name: &str, size| {
        let wheel = Distribution::new(name, "1.0").payload(size).wheel();
        gitlab.publish(42, &wheel);
        wheel
    };
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    let than = 100_000;
    let status = "500 Internal Server Error";
    relay.fails(RelayFault::RefusesLonger { than, status });
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
    patiently("both wait", || {
        larder.metric("larder_shared_store_queue") == Some(2.0)
    });
    let lost = || larder.metric("larder_shared_store_uploads_total{result=\"lost\"}");
    let mut others = 0;
    while lost() != Some(2.0) {
        assert!(others < 20, "{}", larder.metrics());
        let other = wheel(&format!("other{others}"), 20_000);
        download(&other);
        others += 1;
        patiently("it is uploaded", || completed(&larder) == f64::from(others));
        assert!(fleet.bucket.has_blob(&other.sha256));
    }
    for wheel in &refused {
        larder.wait_for_log(&wheel.filename);
        assert!(!fleet.bucket.has_blob(&wheel.sha256));
    }
    patiently("no note is left", || queued(&larder) == 0);
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
    patiently("it is uploaded", || completed(&larder) == 1.0);
    assert!(fleet.bucket.has_blob(&wheel.sha256));
    patiently("no note is left", || queued(&larder) == 0);
}
