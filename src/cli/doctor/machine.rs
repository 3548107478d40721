//! The machine: open files, memory, the clock.
//!
//! Owns the verdicts, which are pure, and the two looks at what the kernel says. Must not know
//! peers.

use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::values::byte_size::in_units;

/// Besides connections: the index, the log, downloads to upstream.
const FILES_BESIDES: u64 = 128;

/// What a connection takes: its own socket, and a file.
const FILES_PER_CONNECTION: u64 = 2;

/// Besides prepared pages: code, connections, buffers of downloads.
const MEMORY_BESIDES: u64 = 128 << 20;

/// Signed links and certificates are good for minutes, not for seconds.
const SKEW_MAX: Duration = Duration::from_secs(30);

/// How many files this process may open at most; the daemon raises its limit to that by itself.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

pub fn judge_open_files(most: Option<u64>, connections: usize) -> Finding {
    let check = "open files";
    let of_connections = (connections as u64).saturating_mul(FILES_PER_CONNECTION);
    let needed = of_connections.saturating_add(FILES_BESIDES);
    let Some(most) = most else {
        return Finding::ok(check, "no limit");
    };
    let found = format!("at most {most}; limits.connections = {connections} may take {needed}");
    if most >= needed {
        return Finding::ok(check, found);
    }
    let advice = format!(
        "raise it (LimitNOFILE={needed} in the unit, ulimit -n), or lower limits.connections"
    );
    Finding::warning(check, found, advice)
}

/// The memory limit of the control group that this process is in, where the kernel shows it.
pub fn memory_limit() -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel's word about this process; no part of the store"
    )]
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let group = read("/proc/self/cgroup")?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limit = read(&format!("/sys/fs/cgroup{group}/memory.max"))?;
    limit.trim().parse().ok()
}

/// `pages` is what prepared pages may take.
pub fn judge_memory(limit: Option<u64>, pages: u64) -> Finding {
    let check = "memory";
    let needed = pages.saturating_add(MEMORY_BESIDES);
    let Some(limit) = limit else {
        return Finding::ok(check, "no limit of a control group is visible");
    };
    let most = in_units(limit);
    let found = format!("limit {most}; about {} is needed", in_units(needed));
    if limit >= needed {
        return Finding::ok(check, found);
    }
    let advice = "raise it (MemoryMax in the unit), or lower index.memory";
    Finding::warning(check, found, advice)
}

/// `theirs` is what a peer says, `ours` when it said so. Its seconds are whole, and it took a
/// moment to come.
pub fn judge_clock(ours: SystemTime, theirs: SystemTime) -> Finding {
    let (skew, which) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let check = "clock";
    let found = format!("{} s {which} the peer's", skew.as_secs());
    if skew <= SKEW_MAX {
        return Finding::ok(check, found);
    }
    Finding::warning(
        check,
        found,
        "certificates and signed links are judged by the time: \
         set this machine's clock (chrony, timesyncd), or theirs",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn limits_are_judged_by_what_the_configuration_allows() {
        assert_eq!(judge_open_files(None, 4096).verdict, Verdict::Ok);
        assert_eq!(judge_open_files(Some(65_536), 4096).verdict, Verdict::Ok);
        let few = judge_open_files(Some(1024), 4096);
        assert_eq!(few.verdict, Verdict::Warning);
        assert!(
            few.advice
                .is_some_and(|advice| advice.contains("LimitNOFILE=8320"))
        );
        assert_eq!(judge_memory(None, 1 << 20).verdict, Verdict::Ok);
        assert_eq!(
            judge_memory(Some(64 << 20), 32 << 20).verdict,
            Verdict::Warning
        );
        assert_eq!(judge_memory(Some(1 << 30), 32 << 20).verdict, Verdict::Ok);
    }

    proptest! {
        #[test]
        fn a_clock_is_wrong_by_how_far_it_is_off_either_way(ours in 0..10_000_u64, theirs in 0..10_000_u64) {
            let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let finding = judge_clock(at(ours), at(theirs));
            prop_assert_eq!(finding.verdict == Verdict::Ok, ours.abs_diff(theirs) <= 30);
            let skew = format!("{} s", ours.abs_diff(theirs));
            prop_assert!(finding.found.contains(&skew));
        }
    }
}
