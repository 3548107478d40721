//! What the kernel says of this process, under the names that every Prometheus client uses.
//!
//! Reads `/proc/self`, which is there also in a unit with `ProcSubset=pid`; what cannot be read is
//! left out. Must not know larder.

#![expect(
    clippy::disallowed_methods,
    reason = "/proc is the kernel's word about this process, no disk"
)]

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// A process at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessReading {
    pub cpu: Duration,
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    /// Since the epoch.
    pub started: Duration,
}

impl ProcessReading {
    /// `started` is when this process began to count.
    pub(super) fn now(started: SystemTime) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or_default();
        Self {
            cpu: Duration::new(seconds, u32::try_from(cpu.tv_nsec).unwrap_or_default()),
            resident_bytes: resident(),
            // The folder that is read is open as well.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| (fds.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
            started: started
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}

fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::clock;

    #[test]
    fn a_running_process_has_all_of_it() {
        let read = ProcessReading::now(clock::wall());
        assert!(read.resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        let open = read.open_fds.expect("/proc/self/fd");
        assert!(open >= 3 && read.max_fds.is_none_or(|max| max >= open));
        assert!(read.cpu > Duration::ZERO && read.started > Duration::ZERO);
    }
}
