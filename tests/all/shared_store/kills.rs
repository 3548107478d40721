//! kill -9 in the middle of uploads: no object is ever half there, and what waits goes on.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::delivery::{kept, patiently};
use crate::common::fleet::{came_shared, queue, wholes};
use crate::support::wheel::sha256_hex;
use crate::support::{
    Artifact, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, SharedBucket, path, token,
};

const LINES: &str =
    "part_size = \"5MiB\"\nconcurrent_writes = 4\nwrite_timeout = \"120s\"\nread_timeout = \"10s\"";

/// Looks at each object once: none is ever written again.
#[derive(Default)]
struct Whole(HashSet<String>);

impl Whole {
    fn assert_no_half(&mut self, bucket: &SharedBucket, when: &str) {
        for key in bucket.keys() {
            let Some(sha256) = key.strip_prefix("blobs/") else {
                continue;
            };
            if self.0.insert(sha256.to_owned()) {
                let reply = bucket.blob(sha256);
                assert_eq!(
                    sha256_hex(reply.expect(200)),
                    sha256,
                    "{when}: half an object"
                );
            }
        }
    }
}

/// So many kills while so many files of several parts are on their way.
fn killed(kills: u64, files: usize, bytes: usize) {
    let gitlab = GitLab::start();
    let files: Vec<_> = (0..files)
        .map(|n| Artifact::noise(&format!("large{n}"), "1.0", bytes))
        .collect();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    relay.fails(RelayFault::Closed);
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), LINES);
    let mut larder = member.start();
    for file in &files {
        gitlab.publish(42, file);
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, file)).expect(200);
        kept(&larder, file);
    }
    assert_eq!(queue(&larder), files.len() as f64);
    // So slowly that no life of it is long enough for all.
    relay.fails(RelayFault::Slow {
        after: 0,
        bytes_per_second: bytes,
    });
    let mut seen = Whole::default();
    larder.kill();
    for kill in 0..kills {
        let before = relay.connections();
        larder = larder.restart();
        patiently("uploads are under way", || relay.connections() > before + 3);
        std::thread::sleep(Duration::from_millis(kill * 797 % 2_200));
        assert!(queue(&larder) > 0.0, "kill {kill}: nothing was on its way");
        larder.kill();
        seen.assert_no_half(&fleet.bucket, &format!("after kill {kill}"));
    }
    relay.fails(RelayFault::None);
    larder = larder.restart();
    // Its queue is empty also before it knows what the one before it left.
    patiently("all is uploaded", || {
        let mut files = files.iter();
        files.all(|file| fleet.bucket.has_blob(&file.sha256)) && queue(&larder) == 0.0
    });
    seen.assert_no_half(&fleet.bucket, "at the end");
    for file in &files {
        assert!(
            seen.0.contains(&file.sha256),
            "{} is not there",
            file.filename
        );
    }
    // And each is known by its address.
    gitlab.log().clear();
    let late = fleet.member(Larder::builder(&gitlab)).start();
    for file in &files {
        let reader = late.client().token(token::READER);
        let reply = reader.get(&path::project_file(42, file));
        assert!(reply.expect(200) == &file.bytes[..]);
    }
    came_shared(&late, files.len() as f64);
    assert_eq!(wholes(&gitlab), 0);
}

#[test]
fn three_kills_in_the_middle_of_uploads_leave_nothing_half_and_lose_none() {
    killed(3, 10, 6 << 20);
}

#[test]
#[ignore = "minutes; run by hand"]
fn twenty_kills_in_the_middle_of_fifty_uploads_leave_nothing_half_and_lose_none() {
    killed(20, 50, 12 << 20);
}
