//! A shared store that is away, slow, forbidden or lying costs a limited wait, and never an answer.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::delivery::{kept, patiently, right};
use crate::common::fleet::{lookups, published, queue, uploaded, wholes};
use crate::common::pace::Pace;
use crate::support::wheel::sha256_hex;
use crate::support::{
    Act, Artifact, Distribution, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, Site,
    Storage, StoreListing, path, token,
};

/// Each wait of `LIMITS`, twice.
const WAIT_MAX: Duration = Duration::from_secs(6);

const LIMITS: &str = "connect_timeout = \"500ms\"\nread_timeout = \"1s\"\nwrite_timeout = \"2s\"";

const SLOW_DOWN: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>";
const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>";
const SKEWED: &str = "<?xml version=\"1.0\"?><Error><Code>RequestTimeTooSkewed</Code></Error>";
const NO_BUCKET: &str = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code></Error>";

/// Each fault, and the words of lookups of which one is counted.
const FAULTS: &[(RelayFault, &[&str])] = &[
    (RelayFault::Closed, &["error"]),
    (RelayFault::Stalls { after: 0 }, &["error"]),
    (RelayFault::Stalls { after: 100_000 }, &["broken"]),
    (RelayFault::Cuts { after: 0 }, &["error"]),
    (RelayFault::Cuts { after: 100_000 }, &["broken"]),
    (
        RelayFault::Slow {
            after: 50_000,
            bytes_per_second: 40_000,
        },
        &["broken"],
    ),
    (
        RelayFault::Answers {
            status: "503 Slow Down",
            body: SLOW_DOWN,
        },
        &["error"],
    ),
    (
        RelayFault::Answers {
            status: "500 Internal Server Error",
            body: "",
        },
        &["error"],
    ),
    (
        RelayFault::Answers {
            status: "403 Forbidden",
            body: DENIED,
        },
        &["error"],
    ),
    (
        RelayFault::Answers {
            status: "403 Forbidden",
            body: SKEWED,
        },
        &["error"],
    ),
    (
        RelayFault::Answers {
            status: "404 Not Found",
            body: NO_BUCKET,
        },
        &["error"],
    ),
    (
        RelayFault::Answers {
            status: "200 OK",
            body: "not what was asked for",
        },
        &["wrong", "error"],
    ),
    (
        RelayFault::Withholds {
            status: "404 Not Found",
        },
        &["error"],
    ),
    (
        RelayFault::Withholds {
            status: "503 Slow Down",
        },
        &["error"],
    ),
    (
        RelayFault::Floods {
            status: "404 Not Found",
        },
        &["miss"],
    ),
];

#[test]
fn whatever_the_store_does_a_cold_file_comes_right_within_the_limit() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let wheel = Distribution::new("big", "1.0").payload(400_000).wheel();
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler.client().token(token::READER).get(&file).expect(200);
    patiently("the bucket is filled", || {
        fleet.bucket.has_blob(&wheel.sha256)
    });
    let pace = Pace::new(&gitlab);
    for (fault, words) in FAULTS {
        for verified in ["verify_first = \"64MiB\"", "verify_first = \"0B\""] {
            let case = format!("{fault:?}, {verified}");
            let relay = FaultyRelay::start(fleet.bucket.address);
            let lines = format!("{LIMITS}\n{verified}");
            let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), &lines);
            let larder = member.start();
            relay.fails(*fault);
            let begun = Instant::now();
            let reply = larder.client().token(token::READER).get(&file);
            pace.within(WAIT_MAX, begun, &case);
            assert_eq!(reply.expect(200), &wheel.bytes[..], "{case}");
            kept(&larder, &wheel);
            StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
            let seen = words.iter().any(|word| lookups(&larder, word) == 1.0);
            assert!(seen, "{case}:\n{}", larder.metrics());
        }
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_body_that_breaks_off_fails_no_download_that_upstream_alone_would_serve() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Cuts { after: 100_000 });
    let lines = format!("{LIMITS}\nbreaker_failures = 0");
    let larder = fleet
        .member_with(Larder::builder(&gitlab), Some(relay.address()), &lines)
        .start();
    for (name, acts) in [
        ("chunked", vec![Act::IgnoreRange, Act::Chunked]),
        ("refused", vec![Act::RefuseRanges(416)]),
        ("unanswered", vec![Act::RefuseRanges(500)]),
    ] {
        let wheel = Distribution::new(name, "1.0").payload(400_000).wheel();
        gitlab.publish(42, &wheel);
        let file = path::project_file(42, &wheel);
        filler.client().token(token::READER).get(&file).expect(200);
        patiently("the bucket has it", || {
            queue(&filler) == 0.0 && fleet.bucket.has_blob(&wheel.sha256)
        });
        for act in acts {
            let fault = act.at(Site::FileBody);
            gitlab.plan(fault.containing(&wheel.filename));
        }
        let reply = larder.client().token(token::READER).get(&file);
        assert_eq!(reply.expect(200), &wheel.bytes[..], "{name}");
        kept(&larder, &wheel);
    }
    assert_eq!(lookups(&larder, "broken"), 3.0);
}

#[test]
fn wrong_bytes_are_counted_named_never_served_and_written_anew() {
    for (case, verified) in [("held back", "64MiB"), ("streamed", "0B")] {
        let gitlab = GitLab::builder().storage(Storage::Redirect).start();
        let wheel = Distribution::new("big", "1.0").payload(400_000).wheel();
        gitlab.publish(42, &wheel);
        let file = path::project_file(42, &wheel);
        let fleet = Fleet::new(Engine::SeaweedFs);
        let filler = fleet.member(Larder::builder(&gitlab)).start();
        filler.client().token(token::READER).get(&file).expect(200);
        uploaded(&filler, 1.0);
        let mut wrong = wheel.bytes.to_vec();
        wrong[200_000] ^= 1;
        fleet
            .bucket
            .overwrite(&format!("blobs/{}", wheel.sha256), &wrong);

        let lines = format!("verify_first = \"{verified}\"");
        let larder = fleet
            .member_with(Larder::builder(&gitlab), None, &lines)
            .start();
        let reader = larder.client().token(token::READER);
        let reply = reader.get(&file);
        // A client that was given bytes of it before is cut; it has not taken them for the file.
        let came = right(&reply, &wheel, case);
        assert!(came || case == "streamed", "{reply:?}");
        assert_eq!(lookups(&larder, "wrong"), 1.0, "{case}");
        larder.wait_for_log(&format!("blobs/{}", wheel.sha256));
        // Upstream is not to blame, and the next client has the file at once.
        assert_eq!(
            larder.metric("larder_blocked_addresses"),
            Some(0.0),
            "{case}"
        );
        assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
        kept(&larder, &wheel);
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        patiently("it is written anew", || {
            fleet.bucket.blob(&wheel.sha256).body == wheel.bytes
        });
    }
}

#[test]
fn bucket_metadata_with_other_bytes_is_named_never_served_and_written_anew_with_its_wheel() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let wheel = Distribution::new("demo", "1.0").payload(40_000).wheel();
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler.client().token(token::READER).get(&file).expect(200);
    uploaded(&filler, 1.0);
    let metadata = format!("{file}.metadata");
    let right = filler.client().token(token::READER).get(&metadata);
    right.expect(200);
    let key = format!("blobs/{}", sha256_hex(&right.body));
    fleet
        .bucket
        .overwrite(&key, b"Metadata-Version: 2.1\nName: other\n");

    let larder = fleet.member(Larder::builder(&gitlab)).start();
    let reader = larder.client().token(token::READER);
    assert_eq!(reader.get(&metadata).expect(200), &right.body[..]);
    larder.wait_for_log(&key);
    assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..]);
    patiently("it is written anew", || {
        fleet.bucket.object(&key).body == right.body
    });
}

#[test]
fn a_fact_that_was_not_written_with_the_fleets_key_is_not_believed() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("big", "1.0").payload(40_000).wheel();
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler.client().token(token::READER).get(&file).expect(200);
    uploaded(&filler, 1.0);
    let key = fleet
        .bucket
        .keys()
        .into_iter()
        .find(|key| key.starts_with("addresses/"));
    let key = key.expect("a fact");
    let fact = fleet.bucket.object(&key).text();
    let forged = fact.replace("\"size\":", "\"size\":1");
    assert_ne!(forged, fact);
    fleet.bucket.overwrite(&key, forged.as_bytes());

    let larder = fleet.member(Larder::builder(&gitlab)).start();
    let reply = larder.client().token(token::READER).get(&file);
    assert_eq!(reply.expect(200), &wheel.bytes[..]);
    assert_eq!(lookups(&larder, "wrong"), 1.0);
    patiently("the fact is written anew", || {
        fleet.bucket.object(&key).text() == fact
    });
}

/// What the address yielded stands; only its metadata is said to be another's.
#[test]
fn a_fact_that_names_other_metadata_without_the_fleets_key_is_not_believed() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(40_000).wheel();
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler.client().token(token::READER).get(&file).expect(200);
    patiently("the bucket is filled", || {
        filler.metric("larder_shared_store_uploads_total{result=\"completed\"}") == Some(1.0)
    });
    let metadata = format!("{file}.metadata");
    let right = filler.client().token(token::READER).get(&metadata);
    let other = format!("Requires-Dist: evil\n{}", right.text());
    let [digest, other_digest] = [&right.body[..], other.as_bytes()].map(sha256_hex);
    let keys = fleet.bucket.keys();
    let key = keys.iter().find(|key| key.starts_with("addresses/"));
    let key = key.expect("a fact");
    let forged = fleet
        .bucket
        .object(key)
        .text()
        .replace(&digest, &other_digest);
    assert!(forged.contains(&other_digest));
    fleet
        .bucket
        .overwrite(&format!("blobs/{other_digest}"), other.as_bytes());
    fleet.bucket.overwrite(key, forged.as_bytes());

    let larder = fleet.member(Larder::builder(&gitlab)).start();
    let reader = larder.client().token(token::READER);
    assert_eq!(reader.get(&metadata).expect(200), &right.body[..]);
}

#[test]
fn a_store_that_is_away_is_left_alone_readiness_says_so_and_it_is_used_again_when_it_is_back() {
    let gitlab = GitLab::start();
    let wheels = published(&gitlab, 8);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let lines = format!("{LIMITS}\nbreaker_failures = 2\nbreaker_open_for = \"3s\"");
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), &lines);
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    for wheel in &wheels {
        let reply = reader.get(&path::project_file(42, wheel));
        assert_eq!(reply.expect(200), &wheel.bytes[..]);
    }
    let ready = larder.client().get("/-/health/ready").text();
    assert!(
        ready.starts_with("degraded") && ready.contains("shared_store"),
        "{ready}"
    );
    assert!(lookups(&larder, "skipped") >= 1.0);
    assert_eq!(wholes(&gitlab), wheels.len());

    relay.fails(RelayFault::None);
    uploaded(&larder, 8.0);
    patiently("it is well again", || {
        larder
            .client()
            .get("/-/health/ready")
            .text()
            .starts_with("ok")
    });
    for wheel in &wheels {
        assert!(fleet.bucket.has_blob(&wheel.sha256));
    }
}

/// The new bytes are on their way when the larder that found the old ones wrong ends, or is
/// configured anew.
#[test]
fn wrong_bytes_are_written_anew_after_a_kill_and_after_a_reload() {
    for case in ["a kill", "a reload"] {
        let gitlab = GitLab::builder().storage(Storage::Redirect).start();
        let file = Artifact::noise("big", "1.0", 400_000);
        gitlab.publish(42, &file);
        let address = path::project_file(42, &file);
        let fleet = Fleet::new(Engine::SeaweedFs);
        let filler = fleet.member(Larder::builder(&gitlab)).start();
        let reader = filler.client().token(token::READER);
        reader.get(&address).expect(200);
        uploaded(&filler, 1.0);
        let mut other = file.bytes.to_vec();
        other[300_000] ^= 1;
        fleet
            .bucket
            .overwrite(&format!("blobs/{}", file.sha256), &other);

        let relay = FaultyRelay::start(fleet.bucket.address);
        relay.fails(RelayFault::HoldsLonger { than: 100_000 });
        let lines = "breaker_failures = 0";
        let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
        let mut larder = member.start();
        let reader = larder.client().token(token::READER);
        assert_eq!(reader.get(&address).expect(200), &file.bytes[..], "{case}");
        patiently("it is on its way", || relay.held() == 1);
        relay.fails(RelayFault::Closed);
        if case == "a kill" {
            larder.kill();
            larder = larder.restart();
        } else {
            larder.signal(Signal::HUP);
            larder.wait_for_log("the configuration was read again");
        }
        relay.fails(RelayFault::None);
        patiently("it is written anew", || {
            fleet.bucket.blob(&file.sha256).body == file.bytes
        });
        patiently("the queue is empty", || queue(&larder) == 0.0);
    }
}

#[test]
fn a_larder_that_only_reads_says_what_to_do_about_wrong_bytes() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let file = Artifact::noise("big", "1.0", 40_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler
        .client()
        .token(token::READER)
        .get(&address)
        .expect(200);
    uploaded(&filler, 1.0);
    let key = format!("blobs/{}", file.sha256);
    let other = vec![0; file.bytes.len()];
    fleet.bucket.overwrite(&key, &other);
    let lines = "concurrent_writes = 0";
    let larder = fleet
        .member_with(Larder::builder(&gitlab), None, lines)
        .start();
    let reader = larder.client().token(token::READER);
    assert_eq!(reader.get(&address).expect(200), &file.bytes[..]);
    larder.wait_for_log("delete the object, and run `larder share`");
    assert!(!larder.log().contains("the object is written anew"));
    // What it says helps.
    fleet.bucket.remove(&key);
    let shared = filler.command(&["share"]);
    assert!(shared.status.success(), "{shared:?}");
    assert_eq!(fleet.bucket.object(&key).body, file.bytes);
}

#[test]
fn the_beginning_from_the_bucket_is_not_blamed_for_a_wrong_rest_from_upstream() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let file = Artifact::noise("big", "1.0", 400_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler
        .client()
        .token(token::READER)
        .get(&address)
        .expect(200);
    uploaded(&filler, 1.0);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Cuts { after: 100_000 });
    let larder = fleet
        .member_with(Larder::builder(&gitlab), Some(relay.address()), LIMITS)
        .start();
    let flip = Act::Flip { at: 300_000 }.at(Site::FileBody);
    gitlab.plan(flip.containing(&file.filename).once());
    gitlab.log().clear();
    let reader = larder.client().token(token::READER);
    assert_eq!(reader.get(&address).expect(200), &file.bytes[..]);
    kept(&larder, &file);
    assert_eq!(wholes(&gitlab), 1, "the rest was wrong");
    assert_eq!(lookups(&larder, "broken"), 1.0);
    assert_eq!(lookups(&larder, "wrong"), 0.0);
    assert!(!larder.log().contains("the shared store holds other bytes"));
    assert_eq!(larder.metric("larder_blocked_addresses"), Some(0.0));
}

#[test]
fn a_body_that_no_client_wants_to_its_end_is_counted_once() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let file = Artifact::noise("big", "1.0", 1_000_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    filler
        .client()
        .token(token::READER)
        .get(&address)
        .expect(200);
    uploaded(&filler, 1.0);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Slow {
        after: 150_000,
        bytes_per_second: 40_000,
    });
    let lines = "read_timeout = \"20s\"\nmin_speed = \"1B\"\nverify_first = \"0B\"";
    let section = "[files]\nfinish_after_abort_max = \"1KiB\"";
    let builder = Larder::builder(&gitlab).sections(section);
    let larder = fleet
        .member_with(builder, Some(relay.address()), lines)
        .start();
    let reader = larder.client().token(token::READER);
    let mut reading = reader.start("GET", &address, &[]);
    let read = reading.read_body(50_000);
    assert_eq!((reading.status(), read), (200, 50_000));
    drop(reading);
    patiently("it is given up and counted", || {
        lookups(&larder, "unused") == 1.0
    });
    for result in ["hit", "broken", "wrong", "error"] {
        assert_eq!(lookups(&larder, result), 0.0, "{result}");
    }
}
