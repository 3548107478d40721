//! The cache folder and the disk below it.
//!
//! Owns the verdicts on what was measured; they are pure. Must not measure.

use std::path::Path;
use std::time::Duration;

use super::finding::{Finding, took};
use crate::store::{DiskSpeed, Filesystem, FolderFacts};
use crate::values::byte_size::in_units;

/// Below it a download waits for the disk rather than for the line. Bytes a second.
const SLOW_BYTES_PER_SECOND: u64 = 20 << 20;

/// With less than this nothing can be written.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Pages and index lines are files of their own: a store of 20 GiB has some ten thousand.
const FEW_INODES: u64 = 50_000;

/// `taken` is what the store holds already, `user` who would run the daemon.
pub fn judge(facts: &FolderFacts, dir: &Path, budget: u64, taken: u64, user: u32) -> Vec<Finding> {
    let mut findings = vec![
        place(facts, dir, user),
        filesystem(facts),
        space(facts, budget, taken),
    ];
    findings.extend(inodes(facts));
    findings.push(match &facts.speed {
        Ok(speed) => fast(*speed),
        Err(why) => unwritable(facts, why, user),
    });
    findings
}

fn place(facts: &FolderFacts, dir: &Path, user: u32) -> Finding {
    let check = "cache folder";
    let dir = dir.display();
    if !facts.is_there {
        return Finding::ok(
            check,
            format!("{dir} is not there yet; the daemon makes it"),
        );
    }
    let found = format!("{dir}, owner {}, mode {:03o}", facts.owner, facts.mode);
    // The root user may write anywhere, and would leave files that the daemon's own user cannot.
    if facts.owner != user {
        let advice = format!(
            "this ran as user {user}: run it as the daemon's user (systemd-run, sudo -u), \
             or give the folder to it"
        );
        return Finding::warning(check, found, advice);
    }
    if facts.mode & 0o077 != 0 {
        let advice = "others can look into it, and there are private packages in it: chmod 0700";
        return Finding::warning(check, found, advice);
    }
    Finding::ok(check, found)
}

fn filesystem(facts: &FolderFacts) -> Finding {
    let check = "file system";
    match facts.filesystem {
        Filesystem::Local(magic) => Finding::ok(check, format!("local (type {magic:#x})")),
        Filesystem::Network(kind) => Finding::warning(
            check,
            format!("a network file system ({kind})"),
            "its locks and renames may mean less than larder takes them for, and it is slow: \
             use a local disk",
        ),
        Filesystem::Memory => Finding::warning(
            check,
            "in memory (tmpfs)",
            "the cache is gone after a restart and takes memory: \
             use a disk, or keep cache_size small",
        ),
        Filesystem::Overlay => Finding::warning(
            check,
            "a container's own layer (overlayfs)",
            "the cache is gone with the container: mount a volume there",
        ),
    }
}

fn space(facts: &FolderFacts, budget: u64, taken: u64) -> Finding {
    let check = "space";
    let needed = budget.saturating_sub(taken);
    let found = format!(
        "{} free, {} of cache_size {} still to fill",
        in_units(facts.free_bytes),
        in_units(needed),
        in_units(budget)
    );
    if facts.free_bytes >= needed {
        return Finding::ok(check, found);
    }
    Finding::warning(
        check,
        found,
        "the disk is full before the budget is, and nothing can be stored then: \
         set a smaller cache_size, or make room",
    )
}

fn inodes(facts: &FolderFacts) -> Option<Finding> {
    if facts.inodes == 0 {
        return None;
    }
    let check = "inodes";
    let found = format!("{} of {} free", facts.free_inodes, facts.inodes);
    if facts.free_inodes >= FEW_INODES {
        return Some(Finding::ok(check, found));
    }
    let advice = "each file and page takes one: make room on this file system";
    Some(Finding::warning(check, found, advice))
}

fn unwritable(facts: &FolderFacts, why: &str, user: u32) -> Finding {
    let place = facts.looked_at.display();
    let advice = if facts.free_bytes < ROOM_BYTES_MIN {
        format!("the disk of {place} is full: make room, or set another cache_dir")
    } else {
        format!(
            "let user {user} write in {place} (is it mounted read-only?), \
             or set another cache_dir"
        )
    };
    let found = format!("nothing can be written: {why}");
    Finding::problem("disk speed", found, advice)
}

fn fast(speed: DiskSpeed) -> Finding {
    let check = "disk speed";
    let per_second = |time: Duration| {
        let nanoseconds = time.as_nanos().max(1);
        let bytes = u128::from(speed.bytes) * 1_000_000_000 / nanoseconds;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let written = per_second(speed.written_in);
    let read = per_second(speed.read_in);
    let found = format!(
        "{} written and synced in {}: {}/s; read back at {}/s",
        in_units(speed.bytes),
        took(speed.written_in),
        in_units(written),
        in_units(read)
    );
    if written >= SLOW_BYTES_PER_SECOND {
        return Finding::ok(check, found);
    }
    let advice = format!(
        "downloads will wait for this disk: put cache_dir on one that writes {}/s",
        in_units(SLOW_BYTES_PER_SECOND)
    );
    Finding::warning(check, found, advice)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::finding::Verdict;
    use super::*;

    fn facts() -> FolderFacts {
        FolderFacts {
            looked_at: "/cache".into(),
            is_there: true,
            owner: 7,
            mode: 0o700,
            filesystem: Filesystem::Local(0xef53),
            free_bytes: 100 << 30,
            inodes: 1_000_000,
            free_inodes: 900_000,
            speed: Ok(DiskSpeed {
                bytes: 8 << 20,
                written_in: Duration::from_millis(80),
                read_in: Duration::from_millis(2),
            }),
        }
    }

    fn verdict(facts: &FolderFacts, check: &str) -> Option<Verdict> {
        let findings = judge(facts, Path::new("/cache"), 20 << 30, 5 << 30, 7);
        findings
            .into_iter()
            .find(|finding| finding.check == check)
            .map(|finding| finding.verdict)
    }

    #[test]
    fn a_good_disk_is_well_and_each_fault_is_named() {
        let checks = [
            "cache folder",
            "file system",
            "space",
            "inodes",
            "disk speed",
        ];
        for check in checks {
            assert_eq!(verdict(&facts(), check), Some(Verdict::Ok), "{check}");
        }
        let speed = |milliseconds| {
            Ok(DiskSpeed {
                bytes: 8 << 20,
                written_in: Duration::from_millis(milliseconds),
                read_in: Duration::from_millis(1),
            })
        };
        for (faulty, check, expected) in [
            (
                FolderFacts {
                    owner: 0,
                    ..facts()
                },
                "cache folder",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    mode: 0o755,
                    ..facts()
                },
                "cache folder",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    is_there: false,
                    owner: 0,
                    ..facts()
                },
                "cache folder",
                Verdict::Ok,
            ),
            (
                FolderFacts {
                    filesystem: Filesystem::Network("NFS"),
                    ..facts()
                },
                "file system",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    filesystem: Filesystem::Memory,
                    ..facts()
                },
                "file system",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    free_bytes: 14 << 30,
                    ..facts()
                },
                "space",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    free_bytes: 15 << 30,
                    ..facts()
                },
                "space",
                Verdict::Ok,
            ),
            (
                FolderFacts {
                    free_inodes: 100,
                    ..facts()
                },
                "inodes",
                Verdict::Warning,
            ),
            (
                FolderFacts {
                    speed: Err("read-only".to_owned()),
                    ..facts()
                },
                "disk speed",
                Verdict::Problem,
            ),
            (
                FolderFacts {
                    speed: speed(4_000),
                    ..facts()
                },
                "disk speed",
                Verdict::Warning,
            ),
        ] {
            assert_eq!(
                verdict(&faulty, check),
                Some(expected),
                "{check}: {faulty:?}"
            );
        }
        assert_eq!(
            verdict(
                &FolderFacts {
                    inodes: 0,
                    free_inodes: 0,
                    ..facts()
                },
                "inodes"
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn whatever_is_not_well_says_what_to_do(
            owner in 0..9_u32, mode in 0..0o1000_u32, free: u64, inodes: u64, free_inodes: u64, budget: u64, taken: u64, nanoseconds: u32,
        ) {
            let speed = Ok(DiskSpeed {
                bytes: 8 << 20,
                written_in: Duration::from_nanos(nanoseconds.into()),
                read_in: Duration::ZERO,
            });
            let facts = FolderFacts { owner, mode, free_bytes: free, inodes, free_inodes, speed, ..facts() };
            for finding in judge(&facts, Path::new("/cache"), budget, taken, 7) {
                prop_assert_eq!(finding.verdict == Verdict::Ok, finding.advice.is_none());
            }
        }
    }
}
