//! Many larders at once, with one bucket and without a parent: each that is cold at the same moment
//! fetches, none that comes later does, and every caller's right is GitLab's to tell.

use crate::common::delivery::patiently;
use crate::common::fleet::{assert_reads, came_shared, queue, wholes};
use crate::support::basic::basic;
use crate::support::{
    Artifact, Engine, Fleet, GitLab, Kind, Larder, Place, Role, Storage, StoreListing, Token, path,
};

const HERD: usize = 20;

fn secret(caller: usize) -> String {
    format!("caller-{caller}")
}

/// How often GitLab was asked for the file in this caller's name.
fn asked(gitlab: &GitLab, caller: usize) -> usize {
    let credential = basic("__token__", &secret(caller));
    let questions = gitlab.log().of(Kind::File);
    let own = |head: Option<&str>| head == Some(credential.as_str());
    questions
        .iter()
        .filter(|entry| own(entry.head.header("Authorization")))
        .count()
}

fn herd(bytes: usize) {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    gitlab.change(|universe| {
        for caller in 0..HERD {
            let token = Token::personal(&secret(caller));
            universe
                .tokens
                .push(token.member(Place::Project(42), Role::Reporter));
        }
    });
    let wheel = Artifact::noise("large", "1.0", bytes);
    gitlab.publish(42, &wheel);
    let file = path::project_file(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let lines = "write_timeout = \"300s\"\nread_timeout = \"20s\"";
    let member = || {
        fleet
            .member_with(Larder::builder(&gitlab), None, lines)
            .start()
    };
    let larders: Vec<_> = (0..HERD).map(|_| member()).collect();
    std::thread::scope(|threads| {
        for (caller, larder) in larders.iter().enumerate() {
            let (file, wheel) = (&file, &wheel);
            threads.spawn(move || {
                let client = larder.client().token(&secret(caller));
                assert_reads(&client, file, wheel);
            });
        }
    });
    assert!(wholes(&gitlab) <= HERD, "{} transfers", wholes(&gitlab));
    for caller in 0..HERD {
        assert!(
            asked(&gitlab, caller) > 0,
            "caller {caller} was not asked about"
        );
    }
    for larder in &larders {
        patiently("nothing is to be uploaded", || queue(larder) == 0.0);
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
    let blob = fleet.bucket.blob(&wheel.sha256);
    assert!(blob.expect(200) == &wheel.bytes[..]);

    gitlab.log().clear();
    let late = member();
    std::thread::scope(|threads| {
        for caller in 0..HERD {
            let (late, file, wheel) = (&late, &file, &wheel);
            threads.spawn(move || {
                let client = late.client().token(&secret(caller));
                assert_reads(&client, file, wheel);
            });
        }
    });
    came_shared(&late, 1.0);
    assert_eq!(wholes(&gitlab), 0);
    for caller in 0..HERD {
        assert_eq!(
            asked(&gitlab, caller),
            1,
            "caller {caller}, behind the late one"
        );
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn twenty_larders_fetch_a_cold_wheel_once_each_at_most_and_a_later_one_not_at_all() {
    herd(20 << 20);
}

#[test]
#[ignore = "2 GB through a debug build; run by hand"]
fn twenty_larders_do_so_with_a_wheel_of_100_mb() {
    herd(100_000_000);
}
