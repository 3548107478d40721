//! What the modules about files share: the storage modes, and what a delivery may look like.

use std::time::{Duration, Instant};

use crate::support::{Artifact, Ending, Larder, Reply, Storage, StoreListing};

/// All the ways in which GitLab stores files.
pub const MODES: [Storage; 3] = [Storage::Disk, Storage::Redirect, Storage::Proxied];

/// Whether a client has the file now. Panics if it would take wrong bytes for the file, or waits
/// for ever.
#[track_caller]
pub fn right(reply: &Reply, file: &Artifact, case: &str) -> bool {
    let whole = match &reply.ending {
        Ending::Complete => reply.status == 200,
        Ending::CutShort { .. } | Ending::Reset { .. } => false,
        odd => panic!(
            "{case}: a body must end in a way that tells whether it is whole, not by {odd:?}"
        ),
    };
    if whole {
        let mut places = reply.body.iter().zip(&file.bytes);
        assert!(
            reply.body == file.bytes,
            "{case}: a complete 200 with {} bytes of {}, wrong from byte {:?} on",
            reply.body.len(),
            file.bytes.len(),
            places.position(|(got, right)| got != right)
        );
    } else if reply.is_complete() {
        assert!(matches!(reply.status, 502..=504), "{case}: {reply:?}");
        assert_eq!(
            reply.header("Content-Type"),
            Some("application/problem+json"),
            "{case}: {reply:?}"
        );
    }
    whole
}

/// Blocks until it is so; panics after a minute.
#[track_caller]
pub fn eventually(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < until, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The same for what another program does: looks less often.
#[track_caller]
pub fn patiently(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < until, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Blocks until the disk has what the clients have had already: the last byte does not wait for it.
#[track_caller]
pub fn kept(larder: &Larder, file: &Artifact) {
    eventually("it is stored", || {
        StoreListing::of(&larder.cache_dir()).holds(&file.sha256)
            && larder.metric("larder_downloads") == Some(0.0)
    });
}

/// The names of the half-written files of a larder.
pub fn spooled(larder: &Larder) -> Vec<String> {
    let entries = std::fs::read_dir(larder.cache_dir().join("spool")).expect("a folder of its own");
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
