//! A larder that was handed its listening socket, as a service manager does it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::gitlab::GitLab;
use super::larder::binary;
use super::watchdog::Watched;

/// For the end after SIGTERM.
const STOP_SECONDS_MAX: u64 = 10;

/// Dropping it kills it.
#[derive(Debug)]
pub struct Activated {
    process: Child,
    _watched: Watched,
    /// Goes with it.
    home: Option<TempDir>,
}

impl Activated {
    /// With a folder of its own. The socket becomes descriptor 3, of this name (`LISTEN_FDNAMES`).
    pub fn start(gitlab: &GitLab, socket: OwnedFd, name: &str, more: &[&str]) -> Self {
        let home = TempDir::with_prefix("larder-").expect("a temporary folder");
        let mut started = Self::start_at(home.path(), gitlab, socket, name, more);
        started.home = Some(home);
        started
    }

    /// The same with a cache that outlives it. What it says is added to the file `log` there.
    pub fn start_at(
        home: &Path,
        gitlab: &GitLab,
        socket: OwnedFd,
        name: &str,
        more: &[&str],
    ) -> Self {
        let log = || {
            File::options()
                .append(true)
                .create(true)
                .open(home.join("log"))
                .expect("a writable folder")
        };
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
                "sh",
            ])
            .arg(binary())
            .args(["serve", "--gitlab", gitlab.url(), "--cache-dir"])
            .arg(home.join("cache"))
            .args(more)
            .env("LISTEN_FDNAMES", name)
            .env("LARDER_GITLAB__CHECK_AT_START", "false")
            .stdin(Stdio::from(socket))
            .stdout(log())
            .stderr(log());
        let process = command.spawn().expect("the binary runs");
        Self {
            _watched: Watched::new(process.id()),
            process,
            home: None,
        }
    }

    /// What it has said; empty if its folder is somebody else's.
    pub fn log(&self) -> String {
        let log = self
            .home
            .as_ref()
            .map(|home| std::fs::read_to_string(home.path().join("log")));
        log.and_then(Result::ok).unwrap_or_default()
    }

    /// SIGTERM; panics if it has not ended ten seconds later.
    pub fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("a process of ours");
        let until = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
        loop {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(
                Instant::now() < until,
                "it has not ended {STOP_SECONDS_MAX} s after SIGTERM"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
