//! What one larder of a fleet downloaded, the others get from the bucket, each for its own callers by their own rights.

use std::collections::HashSet;

use crate::common::delivery::{MODES, kept};
use crate::common::fleet::{came_shared, lookups, queue, uploaded, uploads, wholes};
use crate::common::mirror;
use crate::support::{
    Artifact, Distribution, ENGINES, Engine, FaultyRelay, Fleet, GitLab, Kind, Larder, NewFile,
    Place, PublicIndex, RelayFault, Role, Storage, StoreListing, Token, Visibility, path, token,
};

#[test]
fn a_file_that_one_larder_downloaded_is_not_asked_of_gitlab_by_another() {
    for engine in ENGINES {
        for storage in MODES {
            let case = format!("{engine:?}, {storage:?}");
            let gitlab = GitLab::builder().storage(storage).start();
            let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
            gitlab.publish(42, &wheel);
            let fleet = Fleet::new(engine);
            let first = fleet.member(Larder::builder(&gitlab)).start();
            let file = path::project_file(42, &wheel);
            let reader = first.client().token(token::READER);
            assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
            uploaded(&first, 1.0);
            assert_eq!(lookups(&first, "miss"), 1.0, "{case}");
            assert!(fleet.bucket.has_blob(&wheel.sha256), "{case}");

            gitlab.log().clear();
            let second = fleet.member(Larder::builder(&gitlab)).start();
            let reader = second.client().token(token::READER);
            assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
            kept(&second, &wheel);
            assert_eq!(wholes(&gitlab), 0, "{case}");
            assert_eq!(
                gitlab.log().count(Kind::File),
                1,
                "{case}: one question about the right"
            );
            came_shared(&second, 1.0);
            // What came from there is not sent back, and what is here is asked for no more.
            assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..], "{case}");
            assert_eq!(uploads(&second, "completed"), 0.0, "{case}");
            came_shared(&second, 1.0);
            gitlab.log().assert_nothing_unexpected();
        }
    }
}

#[test]
fn the_bucket_opens_nothing_to_a_caller_whom_gitlab_refuses() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
        gitlab.publish(42, &wheel);
        let fleet = Fleet::new(Engine::SeaweedFs);
        let first = fleet.member(Larder::builder(&gitlab)).start();
        let file = path::project_file(42, &wheel);
        first.client().token(token::READER).get(&file).expect(200);
        uploaded(&first, 1.0);

        let second = fleet.member(Larder::builder(&gitlab)).start();
        for (client, status) in [
            (second.client(), 401),
            (second.client().token(token::STRANGER), 404),
            (second.client().token(token::NARROW), 403),
        ] {
            let reply = client.get(&file);
            assert_eq!(reply.status, status, "{storage:?}: {reply:?}");
            assert_eq!(lookups(&second, "hit"), 0.0, "{storage:?}");
        }
        assert!(
            !StoreListing::of(&second.cache_dir()).holds(&wheel.sha256),
            "{storage:?}"
        );
        let reader = second.client().token(token::READER);
        assert_eq!(
            reader.get(&file).expect(200),
            &wheel.bytes[..],
            "{storage:?}"
        );
        let stranger = second.client().token(token::STRANGER);
        assert_eq!(stranger.get(&file).status, 404, "{storage:?}");
    }
}

#[test]
fn a_digest_that_the_bucket_holds_opens_nothing_at_an_address_that_never_yielded_it() {
    const ATTACKER: &str = "test-attacker";
    const LAIR: u64 = 99;
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    gitlab.change(|universe| {
        universe.add_project(LAIR, "mallory/lair", Visibility::Private);
        let attacker = Token::personal(ATTACKER).member(Place::Project(LAIR), Role::Developer);
        universe.tokens.push(attacker);
    });
    let secret = Artifact::noise("secret", "1.0", 200_000);
    gitlab.publish(42, &secret);
    let lure = Artifact::noise("lure", "1.0", 180_000);
    let declared = NewFile {
        filename: secret.filename.clone(),
        ..NewFile::from(&lure).declared_sha256(&secret.sha256)
    };
    gitlab.publish(LAIR, declared);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let first = fleet.member(Larder::builder(&gitlab)).start();
    let file = path::project_file(42, &secret);
    first.client().token(token::READER).get(&file).expect(200);
    uploaded(&first, 1.0);

    let second = fleet.member(Larder::builder(&gitlab)).start();
    let lair = path::project_file(LAIR, &secret);
    let reply = second.client().token(ATTACKER).get(&lair);
    assert!(!(reply.status == 200 && reply.is_complete()), "{reply:?}");
    let runs: HashSet<&[u8]> = secret.bytes.windows(16).collect();
    let revealed = reply.body.windows(16).any(|part| runs.contains(part));
    assert!(!revealed, "another's bytes");
    assert_eq!(lookups(&second, "hit"), 0.0);
}

#[test]
fn a_mirrors_files_and_the_metadata_of_a_wheel_travel_too() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let wheel = Distribution::new("demo", "1.0").payload(50_000).wheel();
    index.publish(&wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let member = || {
        let builder = Larder::builder(&gitlab).mirror("pypi", &index);
        fleet.member(builder).start()
    };
    let first = member();
    first.client().get(&mirror::page("demo")).expect(200);
    let link = mirror::file(&index, &wheel.filename);
    assert_eq!(first.client().get(&link).expect(200), &wheel.bytes[..]);
    uploaded(&first, 1.0);
    let blobs = fleet
        .bucket
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("blobs/"));
    assert_eq!(
        blobs.count(),
        2,
        "the wheel and its metadata: {:?}",
        fleet.bucket.keys()
    );

    let second = member();
    second.client().get(&mirror::page("demo")).expect(200);
    index.log().clear();
    assert_eq!(second.client().get(&link).expect(200), &wheel.bytes[..]);
    came_shared(&second, 1.0);
    assert_eq!(index.log().count(Kind::File), 0);
}

#[test]
fn a_larder_may_be_told_only_to_read() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let member = fleet.member_with(Larder::builder(&gitlab), None, "concurrent_writes = 0");
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    kept(&larder, &wheel);
    assert_eq!(lookups(&larder, "miss"), 1.0);
    assert_eq!(queue(&larder), 0.0);
    assert_eq!(fleet.bucket.keys(), [""; 0]);
}

#[test]
fn a_range_of_a_file_that_the_fleet_knows_is_cut_from_the_whole() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let first = fleet.member(Larder::builder(&gitlab)).start();
    let file = path::project_file(42, &wheel);
    first.client().token(token::READER).get(&file).expect(200);
    uploaded(&first, 1.0);
    gitlab.log().clear();
    let second = fleet.member(Larder::builder(&gitlab)).start();
    let reader = second.client().token(token::READER);
    let length = wheel.bytes.len().to_string();
    let head = reader.head(&file);
    head.expect(200);
    assert_eq!(head.header("Content-Length"), Some(length.as_str()));
    let end = &wheel.bytes[wheel.bytes.len() - 1000..];
    assert_eq!(reader.get_range(&file, "bytes=-1000").expect(206), end);
    assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..]);
    assert!(
        gitlab
            .log()
            .entries()
            .iter()
            .all(|entry| entry.body_sent < 1000)
    );
    let stranger = second.client().token(token::STRANGER);
    for reply in [
        stranger.head(&file),
        stranger.get_range(&file, "bytes=-1000"),
    ] {
        assert_eq!(reply.status, 404, "{reply:?}");
    }
}

#[test]
fn what_is_cached_is_shared_on_command_and_taken_back_on_command() {
    let gitlab = GitLab::start();
    let wheels: Vec<_> = ["one", "two"]
        .map(|name| Distribution::new(name, "1.0").payload(20_000).wheel())
        .into();
    for wheel in &wheels {
        gitlab.publish(42, wheel);
    }
    let mut alone = Larder::start(&gitlab);
    for wheel in &wheels {
        let reader = alone.client().token(token::READER);
        reader.get(&path::project_file(42, wheel)).expect(200);
        kept(&alone, wheel);
    }
    let refused = alone.command(&["share"]);
    assert!(!refused.status.success(), "there is no shared store");
    alone.terminate();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let first = fleet
        .member(Larder::builder(&gitlab))
        .at_home_of(&alone)
        .start();
    assert_eq!(fleet.bucket.keys(), [""; 0]);
    let said = |arguments: &[&str]| {
        let output = first.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = said(&["share", "projects/42/one"]);
    assert!(text.contains("uploaded 1 file"), "{text}");
    assert!(fleet.bucket.has_blob(&wheels[0].sha256) && !fleet.bucket.has_blob(&wheels[1].sha256));
    let text = said(&["share"]);
    assert!(
        text.contains("uploaded 1 file") && text.contains("1 were there already"),
        "{text}"
    );

    let second = fleet.member(Larder::builder(&gitlab)).start();
    let reader = second.client().token(token::READER);
    reader.get(&path::project_file(42, &wheels[0])).expect(200);
    came_shared(&second, 1.0);
    let text = said(&["purge", "--shared", "projects/42/two"]);
    assert!(text.contains("1 address in the shared store too"), "{text}");
    reader.get(&path::project_file(42, &wheels[1])).expect(200);
    came_shared(&second, 1.0);
    assert_eq!(lookups(&second, "miss"), 1.0);
}

#[test]
fn no_name_of_a_package_and_no_credential_is_in_the_bucket() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("topsecretname", "1.0")
        .payload(20_000)
        .wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let larder = fleet.member(Larder::builder(&gitlab)).start();
    let file = path::project_file(42, &wheel);
    larder.client().token(token::READER).get(&file).expect(200);
    uploaded(&larder, 1.0);
    let keys = fleet.bucket.keys();
    assert!(!keys.is_empty());
    for key in &keys {
        let (folder, name) = key.split_once('/').expect("a folder");
        assert!(["blobs", "addresses"].contains(&folder), "{key}");
        assert!(
            name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()),
            "{key}"
        );
        if folder == "addresses" {
            let fact = fleet.bucket.object(key);
            let text = fact.text();
            assert!(
                !text.contains("topsecretname") && !text.contains(token::READER),
                "{text}"
            );
            assert!(text.contains(&wheel.sha256), "{text}");
        }
    }
}

/// The upload's own look at the fact says that it is there.
#[test]
fn a_blob_that_left_the_bucket_is_there_again_after_the_next_download_or_share() {
    for engine in ENGINES {
        let gitlab = GitLab::start();
        let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
        gitlab.publish(42, &wheel);
        let file = path::project_file(42, &wheel);
        let fleet = Fleet::new(engine);
        let first = fleet.member(Larder::builder(&gitlab)).start();
        first.client().token(token::READER).get(&file).expect(200);
        uploaded(&first, 1.0);
        let all = fleet.bucket.keys();
        assert_eq!(all.len(), 3, "{engine:?}: {all:?}");
        let blob = format!("blobs/{}", wheel.sha256);

        fleet.bucket.remove(&blob);
        let second = fleet.member(Larder::builder(&gitlab)).start();
        let reader = second.client().token(token::READER);
        assert_eq!(reader.get(&file).expect(200), &wheel.bytes[..]);
        assert_eq!(lookups(&second, "miss"), 1.0, "{engine:?}");
        uploaded(&second, 1.0);
        assert_eq!(fleet.bucket.blob(&wheel.sha256).body, wheel.bytes);

        let blobs = all.iter().filter(|key| key.starts_with("blobs/"));
        for key in blobs {
            fleet.bucket.remove(key);
            let shared = first.command(&["share"]);
            let text = String::from_utf8_lossy(&shared.stdout);
            assert!(
                text.contains("uploaded 1 file"),
                "{engine:?}, {key}: {text}"
            );
            assert_eq!(fleet.bucket.object(key).status, 200, "{engine:?}, {key}");
        }
        let shared = first.command(&["share"]);
        let text = String::from_utf8_lossy(&shared.stdout);
        assert!(text.contains("1 were there already"), "{engine:?}: {text}");
    }
}

#[test]
fn a_purge_that_the_store_does_not_hear_of_keeps_what_it_needs_to_be_repeated() {
    let gitlab = GitLab::start();
    let wheels: Vec<_> = ["one", "two"]
        .map(|name| Distribution::new(name, "1.0").payload(20_000).wheel())
        .into();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    let lines = "breaker_failures = 0";
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    for wheel in &wheels {
        gitlab.publish(42, wheel);
        reader.get(&path::project_file(42, wheel)).expect(200);
    }
    uploaded(&larder, 2.0);
    let facts = || {
        let keys = fleet.bucket.keys();
        keys.iter()
            .filter(|key| key.starts_with("addresses/"))
            .count()
    };
    for what in [&["--all"][..], &["projects/42/"]] {
        relay.fails(RelayFault::Closed);
        let arguments = [&["purge", "--shared"], what].concat();
        let failed = larder.command(&arguments);
        assert!(!failed.status.success(), "{failed:?}");
        let text = String::from_utf8_lossy(&failed.stdout);
        for wheel in &wheels {
            assert!(text.contains(&wheel.filename), "{what:?}: {text}");
            assert!(StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
        }
        assert_eq!(facts(), 2, "{what:?}");
    }
    relay.fails(RelayFault::None);
    let purged = larder.command(&["purge", "--shared", "projects/42/"]);
    let text = String::from_utf8_lossy(&purged.stdout);
    assert!(purged.status.success(), "{purged:?}");
    assert!(
        text.contains("2 addresses in the shared store too"),
        "{text}"
    );
    assert_eq!(facts(), 0);
}

#[test]
fn what_writes_to_the_store_is_refused_at_once_where_none_is_written() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let lines = "concurrent_writes = 0";
    let reading = fleet.member_with(Larder::builder(&gitlab), None, lines);
    for (builder, why) in [
        (Larder::builder(&gitlab), "shared_store.url"),
        (reading, "shared_store.concurrent_writes = 0"),
    ] {
        let larder = builder.start();
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, &wheel)).expect(200);
        kept(&larder, &wheel);
        for arguments in [&["share"][..], &["purge", "--shared", "--all"]] {
            let refused = larder.command(arguments);
            assert!(!refused.status.success(), "{refused:?}");
            let text = String::from_utf8_lossy(&refused.stderr);
            assert!(text.contains(why), "{arguments:?}: {text}");
        }
        assert!(StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
    }
    assert_eq!(fleet.bucket.keys(), [""; 0]);
}
