//! A disk that fails or fills in the middle of a download, and a folder that cannot be written from
//! the start.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::delivery::{MODES, eventually, kept, right, spooled};
use crate::support::{
    Act, Artifact, Client, Distribution, Exchange, GitLab, Larder, Reply, Site, StoreListing,
    larder as bench, path, token,
};

fn publish(gitlab: &GitLab, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(42, &file);
    file
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// The binary, begun by a script that does this first; `exec "$@"` follows it.
fn binary_after(folder: &Path, commands: &str) -> PathBuf {
    let script = folder.join("larder");
    let text = format!(
        "#!/bin/sh\nset -- '{}' \"$@\"\n{commands}\nexec \"$@\"\n",
        bench::binary().display()
    );
    std::fs::write(&script, text).expect("a writable folder");
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("our own file");
    script
}

/// The binary in a mount namespace of its own, where the cache folder of `larder` is mounted by
/// `mount`, which finds it in `$0`; none where no namespace can be made.
pub(crate) fn binary_with_mount(folder: &Path, cache: &Path, mount: &str) -> Option<PathBuf> {
    let namespace = "unshare --map-root-user --mount";
    let try_it = Command::new("sh")
        .args(["-c", &format!("{namespace} true")])
        .output();
    if !try_it.is_ok_and(|output| output.status.success()) {
        eprintln!("no mount namespace can be made here: the disk's part is not played");
        return None;
    }
    let inside = format!(
        "exec {namespace} sh -c '{mount} && exec \"$@\"' '{}' \"$@\"",
        cache.display()
    );
    Some(binary_after(folder, &inside))
}

fn readiness(larder: &Larder) -> String {
    larder.client().get("/-/health/ready").text()
}

#[test]
fn r10_what_cannot_even_be_begun_to_be_stored_passes_through() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // No file can be larger than nothing: each write fails.
    let binary = binary_after(folder.path(), "trap '' XFSZ; ulimit -f 0");
    for storage in MODES {
        for size in [3_000, 300_000] {
            let case = format!("{storage:?} {size}");
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::builder(&gitlab).binary(&binary).start();
            let client = reader(&larder);
            let file = publish(&gitlab, "first", size);
            let address = path::project_file(42, &file);
            let gate = gitlab.hold(Site::FileBody, 1);
            let readers: Vec<Exchange> =
                (0..3).map(|_| client.start("GET", &address, &[])).collect();
            gate.wait_for(1);
            gate.open();
            for reader in readers {
                let reply = reader.finish();
                assert!(right(&reply, &file, &case), "{case}: {reply:?}");
            }
            assert!(
                readiness(&larder).contains("cannot be written"),
                "{case}: {}",
                readiness(&larder)
            );
            let range = client.get_range(&address, "bytes=10-19");
            assert_eq!(range.expect(206), &file.bytes[10..20], "{case}");
            let wrong = publish(&gitlab, "wrong", size);
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
    }
}

/// What readers of a body of unknown length get that outgrows the room for it, the last of them
/// slowly.
fn outgrown(gitlab: &GitLab, larder: &Larder, file: &Artifact) -> Vec<Reply> {
    let client = reader(larder);
    let address = path::project_file(42, file);
    let gate = gitlab.hold(Site::FileBody, 500_000);
    let mut readers: Vec<Exchange> = (0..3).map(|_| client.start("GET", &address, &[])).collect();
    for reader in &mut readers {
        assert!(reader.read_body(100_000) > 0, "it streams");
    }
    gate.open();
    let slow = readers.pop().expect("three");
    let mut replies: Vec<Reply> = readers.into_iter().map(Exchange::finish).collect();
    replies.push(slow.read_slowly(400_000, Duration::from_millis(5)));
    replies
}

#[test]
fn r1_readers_of_a_download_that_finds_no_more_room_go_on_without_it() {
    const SIZE: usize = 4_000_000;
    for storage in MODES {
        let odd = [None, Some(Act::IgnoreRange), Some(Act::NoValidators)];
        for (number, act) in odd.into_iter().enumerate() {
            let case = format!("{storage:?} {act:?}");
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::builder(&gitlab)
                .setting("cache_size = \"1MiB\"")
                .start();
            let file = publish(&gitlab, &format!("grows{number}"), SIZE);
            gitlab.plan(Act::Chunked.at(Site::FileBody));
            if let Some(act) = act {
                gitlab.plan(act.at(Site::FileBody));
            }
            for reply in outgrown(&gitlab, &larder, &file) {
                assert!(right(&reply, &file, &case), "{case}: {reply:?}");
            }
            assert!(
                !StoreListing::of(&larder.cache_dir()).holds(&file.sha256),
                "{case}"
            );
            larder.wait_for_log("goes on without the disk");
            eventually("nothing is left behind", || spooled(&larder).is_empty());
            gitlab.log().assert_nothing_unexpected();
        }
        // What is asked for again is judged together with what came before.
        for at in [10, SIZE as u64 - 1] {
            let case = format!("{storage:?}, wrong at {at}");
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::builder(&gitlab)
                .setting("cache_size = \"1MiB\"")
                .start();
            let file = publish(&gitlab, "wrong", SIZE);
            gitlab.plan(Act::Chunked.at(Site::FileBody));
            gitlab.plan(Act::Flip { at }.at(Site::FileBody));
            for reply in outgrown(&gitlab, &larder, &file) {
                assert!(!right(&reply, &file, &case), "{case}: {reply:?}");
            }
        }
    }
}

#[test]
fn r1_readers_go_on_when_the_disk_is_full() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (storage, act) in MODES
        .into_iter()
        .zip([Act::Chunked, Act::UntilClose, Act::Chunked])
    {
        let gitlab = GitLab::builder().storage(storage).start();
        let first = Larder::start(&gitlab);
        let tiny = "mount -t tmpfs -o size=1m tmpfs \"$0\"";
        let Some(binary) = binary_with_mount(folder.path(), &first.cache_dir(), tiny) else {
            return;
        };
        let home = Larder::builder(&gitlab).at_home_of(&first).binary(binary);
        drop(first);
        let larder = home.start();
        let file = publish(&gitlab, "fills", 4_000_000);
        gitlab.plan(act.at(Site::FileBody));
        for reply in outgrown(&gitlab, &larder, &file) {
            assert!(
                right(&reply, &file, "a full disk"),
                "{storage:?}: {reply:?}"
            );
        }
        assert!(
            readiness(&larder).contains("is full"),
            "{storage:?}: {}",
            readiness(&larder)
        );
    }
}

#[test]
fn r10_a_folder_that_is_read_only_at_the_start_is_served_and_the_rest_relayed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gitlab = GitLab::start();
    let first = Larder::start(&gitlab);
    let known = publish(&gitlab, "known", 300_000);
    reader(&first)
        .get(&path::project_file(42, &known))
        .expect(200);
    reader(&first)
        .get(&path::project_page(42, "known"))
        .expect(200);
    kept(&first, &known);
    let frozen = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let Some(binary) = binary_with_mount(folder.path(), &first.cache_dir(), frozen) else {
        return;
    };
    let home = Larder::builder(&gitlab).at_home_of(&first).binary(binary);
    drop(first);
    gitlab.log().clear();

    let larder = home.clone().start();
    let client = reader(&larder);
    for _ in 0..2 {
        let reply = client.get(&path::project_file(42, &known));
        assert!(right(&reply, &known, "held"), "{reply:?}");
        assert_eq!(
            client
                .get_range(&path::project_file(42, &known), "bytes=-9")
                .expect(206)
                .len(),
            9
        );
        client.get(&path::project_page(42, "known")).expect(200);
    }
    assert_eq!(
        gitlab.log().file_bodies().transfers,
        0,
        "what it holds is served"
    );
    let new = publish(&gitlab, "new", 300_000);
    for _ in 0..2 {
        let reply = client.get(&path::project_file(42, &new));
        assert!(right(&reply, &new, "relayed"), "{reply:?}");
        client.get(&path::project_page(42, "new")).expect(200);
    }
    // Metadata that another larder of the same name has advertised is read, and given without being
    // kept.
    for payload in [0, 300_000] {
        let wheel = Distribution::new(&format!("told{payload}"), "1.0")
            .payload(payload)
            .wheel();
        gitlab.publish(42, &wheel);
        let address = format!("{}.metadata", path::project_file(42, &wheel));
        assert_eq!(
            client.get(&address).expect(200),
            &wheel.metadata[..],
            "{payload} bytes"
        );
    }
    let ready = larder.client().get("/-/health/ready");
    assert!(
        ready.status == 200 && ready.text().contains("cache folder is read-only"),
        "{}",
        ready.text()
    );
    assert_eq!(
        larder.metric("larder_degraded{reason=\"read_only\"}"),
        Some(1.0),
        "{}",
        larder.metrics()
    );
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    // Two at a time may read it no more than write it.
    let said = home.start_in_vain();
    assert!(said.contains("in use by another larder"), "{said}");
}

#[test]
fn r10_an_empty_folder_that_is_read_only_at_the_start_is_made_use_of_when_it_can_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gitlab = GitLab::start();
    let first = Larder::start(&gitlab);
    let cache = first.cache_dir();
    let empty = "mount -t tmpfs tmpfs \"$0\" && mount -o remount,ro \"$0\"";
    let Some(binary) = binary_with_mount(folder.path(), &cache, empty) else {
        return;
    };
    let home = Larder::builder(&gitlab).at_home_of(&first).binary(binary);
    drop(first);
    let larder = home.start();
    let client = reader(&larder);
    let file = publish(&gitlab, "later", 300_000);
    let address = path::project_file(42, &file);
    for _ in 0..2 {
        let reply = client.get(&address);
        assert!(right(&reply, &file, "read-only"), "{reply:?}");
    }
    assert_eq!(gitlab.log().file_bodies().transfers, 2);
    assert!(
        readiness(&larder).contains("cache folder is read-only"),
        "{}",
        readiness(&larder)
    );
    let remounted = Command::new("nsenter")
        .arg(format!("--target={}", larder.pid()))
        .args([
            "--user",
            "--mount",
            "--preserve-credentials",
            "mount",
            "-o",
            "remount,rw",
        ])
        .arg(&cache)
        .output()
        .expect("nsenter runs");
    assert!(
        remounted.status.success(),
        "{}",
        String::from_utf8_lossy(&remounted.stderr)
    );
    eventually("it is found out", || readiness(&larder).starts_with("ok"));
    let reply = client.get(&address);
    assert!(right(&reply, &file, "stored now"), "{reply:?}");
    eventually("it is kept", || {
        larder.metric("larder_downloads") == Some(0.0)
    });
    let before = gitlab.log().file_bodies().transfers;
    assert!(right(&client.get(&address), &file, "held"));
    assert_eq!(gitlab.log().file_bodies().transfers, before);
}
