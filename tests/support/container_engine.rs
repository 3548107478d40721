//! A Docker Engine: the one of this machine, or one of the tests' own, in a folder of its own and
//! for as long as the test runs. Needs Debian's `docker.io`, and root.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// From its start to its first answer.
const START_MAX: Duration = Duration::from_secs(60);

/// Two engines that start at once would take each other's rules out of the packet filter.
static TURN: Mutex<()> = Mutex::new(());

/// An engine that answers, for one test at a time.
#[derive(Debug)]
pub struct ContainerEngine {
    /// The one that this test started.
    started: Option<Started>,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Debug)]
struct Started {
    daemon: Child,
    folder: TempDir,
}

impl ContainerEngine {
    /// The machine's, or else a new one.
    pub fn find_or_start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut engine = Self {
            started: None,
            _turn: turn,
        };
        if engine.answers() {
            return engine;
        }
        let folder = TempDir::with_prefix("larder-engine-").expect("a temporary folder");
        let inside = |name: &str| folder.path().join(name);
        // Networks are those that a test makes: the engine leaves the machine's bridge alone.
        let daemon = Command::new("dockerd")
            .args(["--bridge", "none", "--host"])
            .arg(address(folder.path()))
            .arg("--data-root")
            .arg(inside("data"))
            .arg("--exec-root")
            .arg(inside("exec"))
            .arg("--pidfile")
            .arg(inside("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(inside("log")).expect("a folder of ours"))
            .spawn()
            .expect("dockerd, of the package docker.io");
        engine.started = Some(Started { daemon, folder });
        let until = Instant::now() + START_MAX;
        while !engine.answers() {
            assert!(Instant::now() < until, "dockerd:\n{}", engine.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        engine
    }

    /// A program that is to use this engine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if let Some(started) = &self.started {
            command.env("DOCKER_HOST", address(started.folder.path()));
        }
        command
    }

    /// Runs the client, and gives what it printed; panics if it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        succeed(self.command("docker").args(arguments))
    }

    /// Whether the client ends with 0.
    pub fn succeeds(&self, arguments: &[&str]) -> bool {
        let output = self.command("docker").args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn answers(&self) -> bool {
        self.succeeds(&["info"])
    }

    fn log(&self) -> String {
        let Some(started) = &self.started else {
            return String::new();
        };
        std::fs::read_to_string(started.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // The engine unmounts its layers when it is asked to end, and not when it is killed.
        let _ = Command::new("kill")
            .arg(self.daemon.id().to_string())
            .status();
        let _ = self.daemon.wait();
        // What it leaves: the mount of its own network.
        let _ = Command::new("umount")
            .arg(self.folder.path().join("exec/netns/default"))
            .stderr(Stdio::null())
            .status();
    }
}

fn address(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}

/// Runs it, and gives what it printed; panics with what it said if it fails.
pub fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
