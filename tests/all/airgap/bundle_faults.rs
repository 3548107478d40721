//! Bundles that are wrong, machines that are switched off, folders that are full: nothing changes,
//! and it is said why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::airgap::bundle::{Machine, command, path_in, refused, warmed, well, wheel};
use crate::support::gitlab::GitLab;
use crate::support::larder::Larder;
use crate::support::wheel::sha256_hex;
use crate::support::{Distribution, PublicIndex, StoreListing};

/// Instants at which an import is killed.
const KILLS: u32 = 50;

/// Everything below a folder, with what is in it, but for sockets.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).expect("readable");
                found.insert(path, sha256_hex(&bytes));
            }
        }
    }
    found
}

#[test]
fn every_flipped_byte_is_refused_by_name_and_changes_nothing() {
    let small = Distribution::new("one", "1.0").wheel();
    let index = PublicIndex::builder().offering(small.clone()).start();
    let near = warmed(&index, &[&small]);
    let path = path_in(near.home(), "bundle.tar");
    well(&near.command(&["export", "--json", &path]));
    let mut bundle = std::fs::read(&path).expect("a bundle");
    let far = Larder::start(&GitLab::start());
    let before = snapshot(&far.cache_dir());
    let import = |bundle: &[u8]| {
        let body = [b"{\"check\":false,\"unsigned\":false}\n", bundle].concat();
        command(&far.cache_dir(), "import", &body)
    };
    let items = [
        "bundle.json",
        "manifest.jsonl",
        "contents.sha256",
        "manifest.sha256",
        "pages/",
        "blobs/",
        "the end",
    ];
    for at in 0..bundle.len() {
        bundle[at] ^= 1 << (at % 8);
        let answer = import(&bundle);
        bundle[at] ^= 1 << (at % 8);
        let named = items.iter().any(|item| answer.contains(item));
        assert!(
            answer.contains("{\"end\":{\"failed\":") && named,
            "byte {at}: {answer}"
        );
    }
    for short in [
        0,
        1,
        511,
        512,
        bundle.len() / 2,
        bundle.len() - 512,
        bundle.len() - 1,
    ] {
        let answer = import(&bundle[..short]);
        assert!(
            answer.contains("{\"end\":{\"failed\":"),
            "{short} bytes: {answer}"
        );
    }
    assert!(import(&[&bundle[..], b"\0"].concat()).contains("something follows it"));
    assert_eq!(snapshot(&far.cache_dir()), before);
    assert!(import(&bundle).contains("{\"end\":\"done\"}"));
    assert!(StoreListing::of(&far.cache_dir()).holds(&small.sha256));
}

#[test]
fn an_import_killed_at_any_instant_can_be_repeated() {
    let wheels: Vec<_> = (0..12)
        .map(|n| {
            Distribution::new("one", &format!("{n}.0"))
                .payload(100_000)
                .wheel()
        })
        .collect();
    let index = wheels
        .iter()
        .fold(PublicIndex::builder(), |index, wheel| {
            index.offering(wheel.clone())
        })
        .start();
    let near = warmed(&index, &wheels.iter().collect::<Vec<_>>());
    let bundle = path_in(near.home(), "bundle.tar");
    well(&near.command(&["export", "--json", &bundle]));
    // The shortest of three: on a machine that is busy just now one alone may be far too long.
    let whole = (0..3).map(|_| {
        let far = Machine::new();
        let begun = Instant::now();
        well(&far.run(&["import", "--json", &bundle]));
        begun.elapsed()
    });
    let whole = whole.min().unwrap_or_default();
    let mut cut = 0;
    for kill in 0..KILLS {
        let far = Machine::new();
        let mut import = far.spawn(&["import", &bundle]);
        // Spread over the whole of it, and a little jittered.
        let jitter = rand::random::<u32>() % 1000;
        std::thread::sleep(whole * (kill * 1000 + jitter) / (KILLS * 1000));
        let _ = import.kill();
        cut += u32::from(!import.wait().expect("it ends").success());
        if far.cache().exists() {
            StoreListing::of(&far.cache()).assert_every_blob_is_right();
        }
        let again = well(&far.run(&["import", "--json", &bundle]));
        assert_eq!(again[0]["awaited_blobs"], 0);
        let listing = StoreListing::of(&far.cache());
        listing.assert_every_blob_is_right();
        assert!(
            wheels.iter().all(|wheel| listing.holds(&wheel.sha256)),
            "after kill {kill}"
        );
        assert!(!far.cache().join("staging").exists(), "after kill {kill}");
        let verified = far.run(&["verify"]);
        assert!(verified.status.success(), "after kill {kill}: {verified:?}");
    }
    assert!(
        cut > KILLS / 4,
        "only {cut} of {KILLS} came in time, within {whole:?}"
    );
    assert!(whole < Duration::from_secs(20));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let large = Distribution::new("one", "1.0").payload(300_000).wheel();
    let index = PublicIndex::builder().offering(large.clone()).start();
    let near = warmed(&index, &[&large]);
    let bundle = path_in(near.home(), "bundle.tar");
    well(&near.command(&["export", "--json", &bundle]));
    let far = Machine::with("cache_size = \"100KiB\"");
    refused(
        &far.run(&["import", &bundle]),
        &["cache_size", "nothing is removed"],
    );
    assert!(StoreListing::of(&far.cache()).blobs.is_empty());
}

#[test]
fn one_name_with_two_contents_is_refused_and_both_are_named() {
    let (first, second) = (
        wheel("one", "1.0"),
        Distribution::new("one", "1.0").payload(9000).wheel(),
    );
    let bundle_of = |artifact: &crate::support::Artifact| {
        let index = PublicIndex::builder().offering(artifact.clone()).start();
        let near = warmed(&index, &[artifact]);
        let path = path_in(near.home(), "bundle.tar");
        well(&near.command(&["export", "--json", &path]));
        (path, near)
    };
    let ((one, _near), (two, _other)) = (bundle_of(&first), bundle_of(&second));
    let far = Machine::new();
    well(&far.run(&["import", "--json", &one]));
    let before = snapshot(&far.cache());
    refused(
        &far.run(&["import", &two]),
        &[&first.filename, &first.sha256, &second.sha256],
    );
    assert_eq!(snapshot(&far.cache()), before);
}

#[test]
fn a_damaged_file_stops_the_export_by_its_name() {
    let wheel = wheel("one", "1.0");
    let index = PublicIndex::builder().offering(wheel.clone()).start();
    let near = warmed(&index, &[&wheel]);
    let path = StoreListing::of(&near.cache_dir())
        .blob(&wheel.sha256)
        .expect("stored")
        .path
        .clone();
    let place = [near.cache_dir(), path.clone()]
        .into_iter()
        .find(|path| path.is_file());
    let place = place.unwrap_or_else(|| near.cache_dir().join(&path));
    let mut bytes = std::fs::read(&place).expect("a blob");
    bytes[100] ^= 1;
    std::fs::write(&place, bytes).expect("writable");
    let bundle = path_in(near.home(), "bundle.tar");
    refused(
        &near.command(&["export", &bundle]),
        &[&wheel.filename, &wheel.sha256, "damaged"],
    );
    let left: Vec<_> = std::fs::read_dir(near.home())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with("bundle")),
        "{left:?}"
    );
    assert!(!place.exists(), "it is set aside");
}
