//! R22 and R24 once more, over address × method × caller, with a bucket that another larder filled:
//! it opens nothing, and tells nothing of what is in it.

use std::time::{Duration, Instant};

use crate::access::rights::{
    LASTING, STORAGES, assert_is_gitlabs_word, big, borrowed, look, outsiders, upstream_since,
    warm, ways,
};
use crate::common::delivery::patiently;
use crate::common::fleet::{lookups, queue, wholes};
use crate::support::{
    Client, Distribution, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, Storage,
    StoreListing, path, token,
};

fn strict(storage: Storage) -> GitLab {
    GitLab::builder()
        .storage(storage)
        .set(|settings| settings.guest_pull = false)
        .start()
}

fn member(fleet: &Fleet, gitlab: &GitLab) -> Larder {
    let builder = Larder::builder(gitlab).sections(LASTING);
    fleet.member(builder).start()
}

/// Blocks until all that it fetched is in the bucket.
fn at_rest(larder: &Larder) {
    patiently("all of it is in the bucket", || {
        larder.metric("larder_downloads") == Some(0.0) && queue(larder) == 0.0
    });
}

/// Has a larder of the fleet fetch everything, and gives the files among it with their entity tags.
fn filled(fleet: &Fleet, gitlab: &GitLab) -> Vec<(String, String)> {
    let filler = member(fleet, gitlab);
    let mut held = warm(&filler.client().token(token::READER));
    held.retain(|(address, _)| address.contains("/files/"));
    at_rest(&filler);
    held
}

/// Files, and the metadata of the wheels among them.
fn with_metadata(held: &[(String, String)]) -> Vec<(String, String)> {
    let mut all = held.to_vec();
    for (address, etag) in held {
        all.push((format!("{address}.metadata"), etag.clone()));
    }
    all
}

#[test]
fn r22_what_the_bucket_holds_is_refused_in_gitlabs_own_words() {
    for storage in STORAGES {
        let gitlab = strict(storage);
        let fleet = Fleet::new(Engine::SeaweedFs);
        let held = filled(&fleet, &gitlab);
        let larder = member(&fleet, &gitlab);
        let through = outsiders(&larder.client());
        let direct = outsiders(&Client::new(gitlab.address()));
        for ((who, through), (_, direct)) in through.iter().zip(&direct) {
            for (address, etag) in &held {
                for (method, headers) in ways(etag) {
                    let case = format!("{storage:?}: {who}: {method} {address} {headers:?}");
                    let reply = through.request(method, address, &borrowed(&headers));
                    let word = direct.request(method, address, &[]);
                    assert!((400..500).contains(&word.status), "{case}: {word:?}");
                    assert_is_gitlabs_word(&case, &reply, &word);
                }
            }
        }
        assert_eq!(lookups(&larder, "hit"), 0.0, "{storage:?}");
        let listing = StoreListing::of(&larder.cache_dir());
        assert!(listing.blobs.is_empty(), "{storage:?}: {listing:?}");
        // All of it was there all the time, for those who may.
        gitlab.log().clear();
        let reader = larder.client().token(token::READER);
        for (address, _) in &held {
            reader.get(address).expect(200);
        }
        assert_eq!(wholes(&gitlab), 0, "{storage:?}: the bucket was not filled");
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r24_what_the_bucket_holds_and_what_it_does_not_look_alike() {
    for storage in STORAGES {
        let gitlab = strict(storage);
        let fleet = Fleet::new(Engine::SeaweedFs);
        let held = with_metadata(&filled(&fleet, &gitlab));
        let knowing_larder = member(&fleet, &gitlab);
        let unknowing_larder = member(&Fleet::new(Engine::SeaweedFs), &gitlab);
        let knowing = outsiders(&knowing_larder.client());
        let unknowing = outsiders(&unknowing_larder.client());
        for ((who, knowing), (_, unknowing)) in knowing.iter().zip(&unknowing) {
            for (address, etag) in &held {
                for (method, headers) in ways(etag) {
                    let case = format!("{storage:?}: {who}: {method} {address} {headers:?}");
                    let looks = [knowing, unknowing].map(|client| {
                        let before = gitlab.log().len();
                        let reply = client.request(method, address, &borrowed(&headers));
                        (look(&reply), upstream_since(&gitlab, before))
                    });
                    assert_eq!(looks[0], looks[1], "{case}");
                    assert_eq!(looks[0].1, 1, "{case}: GitLab alone decides");
                }
            }
        }
        assert_eq!(lookups(&knowing_larder, "hit"), 0.0, "{storage:?}");
    }
}

#[test]
fn r24_what_the_bucket_holds_and_what_it_does_not_take_a_stranger_the_same_time() {
    let latency = Duration::from_millis(15);
    let gitlab = GitLab::builder()
        .set(|settings| settings.latency = latency)
        .start();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let held = filled(&fleet, &gitlab);
    let larder = member(&fleet, &gitlab);
    let stranger = larder.client().token(token::STRANGER);
    let absent = Distribution::new("My.Pkg", "7.0").wheel();
    let absent = path::project_file(42, &absent);
    let known = held.iter().find(|(address, _)| address.contains("/42/"));
    let (known, _) = known.expect("a file of project 42");
    for (method, headers) in [
        ("GET", vec![]),
        ("HEAD", vec![]),
        ("GET", vec![("Range", "bytes=0-9")]),
    ] {
        let case = format!("{method} {headers:?}");
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..25 {
            for (address, times) in [known, &absent].into_iter().zip(&mut times) {
                let begun = Instant::now();
                let reply = stranger.request(method, address, &headers);
                times.push(begun.elapsed());
                assert_eq!(reply.status, 404, "{case}");
            }
        }
        let [known, absent] = times.map(|times| {
            let fastest = times.into_iter().min().unwrap_or_default();
            assert!(fastest >= latency, "{case}: without GitLab's word");
            fastest
        });
        // As generous as where nothing but the disk is asked; the fastest, because a busy machine
        // only ever adds.
        let alike = known < absent * 3 && absent < known * 3;
        assert!(alike, "{case}: known {known:?}, absent {absent:?}");
    }
}

#[test]
fn r22_joining_what_comes_from_the_bucket_for_another_caller_proves_nothing() {
    let gitlab = strict(Storage::Redirect);
    let wheel = big();
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let filler = member(&fleet, &gitlab);
    filler.client().token(token::READER).get(&file).expect(200);
    at_rest(&filler);
    let relay = FaultyRelay::start(fleet.bucket.address);
    for verified in ["64MiB", "0B"] {
        relay.fails(RelayFault::Stalls { after: 100_000 });
        let lines = format!("read_timeout = \"60s\"\nverify_first = \"{verified}\"");
        let builder = Larder::builder(&gitlab).sections(LASTING);
        let larder = fleet
            .member_with(builder, Some(relay.address()), &lines)
            .start();
        let reader = larder.client().token(token::READER);
        let leader = reader.start("GET", &file, &[]);
        patiently("it is on its way", || {
            larder.metric("larder_downloads") == Some(1.0)
        });
        let through = outsiders(&larder.client());
        let direct = outsiders(&Client::new(gitlab.address()));
        for ((who, through), (_, direct)) in through.iter().zip(&direct) {
            for (method, headers) in ways("\"x\"") {
                let case = format!("{verified}: {who}: {method} {headers:?} while it comes");
                let reply = through.request(method, &file, &borrowed(&headers));
                assert_is_gitlabs_word(&case, &reply, &direct.request(method, &file, &[]));
            }
        }
        // What is missing comes from GitLab.
        relay.fails(RelayFault::None);
        assert_eq!(leader.finish().expect(200), &wheel.bytes[..], "{verified}");
    }
}
