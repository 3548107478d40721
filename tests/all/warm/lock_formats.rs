//! Each format's lock file, made by its real tool, warms exactly the files that it locks.

use std::process::Output;

use serde_json::Value;

use crate::support::locks::{self, Lock};
use crate::support::{GitLab, Larder, PublicIndex, StoreListing};

struct Bench {
    index: PublicIndex,
    larder: Larder,
}

impl Bench {
    fn new() -> Self {
        let index = PublicIndex::start();
        locks::publish_to(&index);
        let larder = Larder::builder(&GitLab::start())
            .mirror("pypi", &index)
            .start();
        Self { index, larder }
    }

    /// Warms the lock file as its tool names it; the exit code, and the lines of JSON.
    fn warm(&self, lock: Lock, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let path = self.larder.home().join(lock.filename());
        std::fs::write(&path, lock.at(&self.index)).expect("a writable folder");
        let path = path.to_string_lossy().into_owned();
        let output: Output = self
            .larder
            .command(&[&["warm", "--json", &path], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() != Some(2),
            "{lock:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (
            output.status.code(),
            text.lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect(),
        )
    }

    fn transfers(&self) -> usize {
        self.index
            .log()
            .answered()
            .iter()
            .filter(|entry| entry.is_file_body())
            .count()
    }
}

fn fetched(lines: &[Value]) -> Vec<String> {
    let good = lines
        .iter()
        .filter(|line| line["file"].is_string() && line["error"].is_null());
    let mut names: Vec<String> = good
        .map(|line| line["file"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn each_lock_file_warms_exactly_what_it_locks() {
    for lock in Lock::ALL {
        let bench = Bench::new();
        let (code, lines) = bench.warm(lock, &["--from", "pypi"]);
        assert_eq!((code, fetched(&lines)), (Some(0), lock.files()), "{lock:?}");
        let supplies: Vec<&Value> = lines
            .iter()
            .filter(|line| line["packages"].is_number())
            .collect();
        assert_eq!(supplies.len(), 1, "{lock:?}: {supplies:?}");
        assert!(
            supplies[0]["target"] == "every machine"
                && supplies[0]["without"] == serde_json::json!([])
        );
        assert!(
            supplies[0]["packages"].as_u64() >= Some(4),
            "{lock:?}: {supplies:?}"
        );
        assert_eq!(bench.transfers(), lock.files().len(), "{lock:?}: transfers");
        let kept = StoreListing::of(&bench.larder.cache_dir());
        for offer in locks::offers() {
            let is_locked = lock.files().contains(&offer.filename);
            assert_eq!(
                kept.holds(&offer.sha256),
                is_locked,
                "{lock:?}: {}",
                offer.filename
            );
        }
        bench.index.log().clear();
        assert_eq!(bench.warm(lock, &["--from", "pypi"]).0, Some(0));
        assert_eq!(bench.transfers(), 0, "{lock:?}: transferred again");
    }
}

#[test]
fn a_lock_files_urls_say_where_from() {
    for lock in [Lock::Uv, Lock::Pylock, Lock::PdmStaticUrls] {
        let bench = Bench::new();
        let (code, lines) = bench.warm(lock, &["--dry-run"]);
        assert_eq!((code, fetched(&lines)), (Some(0), lock.files()), "{lock:?}");
    }
}

#[test]
fn filters_keep_what_one_machine_needs() {
    let bench = Bench::new();
    let machine = [
        "--python",
        "3.12",
        "--platform",
        "manylinux_2_28_x86_64",
        "--wheels-only",
        "--dry-run",
        "--from",
        "pypi",
    ];
    for lock in [Lock::Uv, Lock::Poetry, Lock::Requirements] {
        let (code, lines) = bench.warm(lock, &machine);
        let names = fetched(&lines);
        assert_eq!(code, Some(0), "{lock:?}: {lines:?}");
        assert!(
            names.iter().all(|name| name.ends_with(".whl")),
            "{lock:?}: {names:?}"
        );
        assert!(
            names
                .iter()
                .any(|name| name.contains("manylinux_2_17_x86_64")),
            "{lock:?}: {names:?}"
        );
        for other in ["win_amd64", "macosx", "musllinux", "aarch64", "cp311"] {
            assert!(
                !names.iter().any(|name| name.contains(other)),
                "{lock:?}: {names:?}"
            );
        }
    }
    // `hinge` is for older Pythons, `chisel` for Windows: their markers are false.
    let names = fetched(&bench.warm(Lock::Requirements, &machine).1);
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("hinge") || name.starts_with("chisel")),
        "{names:?}"
    );
}

#[test]
fn what_upstream_lacks_is_named() {
    for lock in Lock::ALL {
        let bench = Bench::new();
        let lost = lock
            .files()
            .into_iter()
            .find(|name| name.starts_with("anvil"))
            .expect("a file of anvil");
        let offers = locks::offers();
        let sha256 = &offers
            .iter()
            .find(|offer| offer.filename == lost)
            .expect("on offer")
            .sha256;
        bench.index.withdraw(&lost);
        let (code, lines) = bench.warm(lock, &["--from", "pypi"]);
        let missing: Vec<&Value> = lines
            .iter()
            .filter(|line| line["error"].is_string())
            .collect();
        assert_eq!((code, missing.len()), (Some(1), 1), "{lock:?}: {missing:?}");
        let named = missing[0]["file"].as_str().unwrap_or_default();
        assert!(
            named == lost || named == format!("sha256:{sha256}"),
            "{lock:?}: {named}"
        );
        assert_eq!(fetched(&lines).len(), lock.files().len() - 1, "{lock:?}");
    }
}
