//! A machine with a Docker Engine: a network, processes and mounts of its own, in which Debian's
//! `dockerd` runs for as long as a test does. Nothing of it outlives the test: not a bridge, not a
//! rule of the firewall, not a process. Needs root, `docker.io`, `iproute2` and `debootstrap`.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::debian::{pristine, target_folder};
use super::watchdog::Watched;

/// Debian's; a machine may have another client that speaks to this engine differently.
const DOCKER: &str = "/usr/bin/docker";

/// From its start to its first answer, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(60);

/// What Docker's own bridge gives the host, as nothing else has taken it.
pub const BRIDGE: &str = "172.17.0.1";

/// The loopback first: a fresh network has it down. `/run` is the engine's alone too.
const BOOT: &str = r#"ip link set lo up && mount -t tmpfs run /run && exec dockerd "$@""#;

#[derive(Debug)]
pub struct DockerHost {
    /// `unshare`, whose child is the engine; the engine dies with it.
    process: Child,
    _watched: Watched,
    folder: TempDir,
    /// A bare Debian with Python and pip.
    debian: PathBuf,
}

impl DockerHost {
    /// What comes from outside is fetched first: its own network leads nowhere.
    pub fn start() -> Self {
        let debian = pristine(&["python3", "python3-pip", "ca-certificates"]);
        let folder = target_folder().join("docker");
        std::fs::create_dir_all(&folder).expect("a writable target folder");
        let folder = TempDir::new_in(folder).expect("a folder");
        let inside = |name: &str| folder.path().join(name);
        let log = || {
            File::options()
                .append(true)
                .create(true)
                .open(inside("log"))
        };
        let process = Command::new("unshare")
            .args(["--net", "--pid", "--mount", "--fork", "--kill-child"])
            .args(["--mount-proc", "sh", "-c", BOOT, "dockerd", "--host"])
            .arg(format!("unix://{}", inside("socket").display()))
            .arg("--data-root")
            .arg(inside("data"))
            .arg("--exec-root")
            .arg(inside("exec"))
            .arg("--pidfile")
            .arg(inside("pid"))
            .stdin(Stdio::null())
            .stdout(log().expect("a folder of ours"))
            .stderr(log().expect("a folder of ours"))
            .spawn()
            .expect("unshare, of util-linux");
        let host = Self {
            _watched: Watched::new(process.id()),
            process,
            folder,
            debian,
        };
        let until = Instant::now() + START_MAX;
        while !host.docker(&["version"]).status.success() {
            assert!(Instant::now() < until, "dockerd says:\n{}", host.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        host
    }

    /// Does this as a process of the machine would: on its network, with its loopback. What is
    /// started there stays there.
    pub fn on_its_network<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.process.id()));
        let network = network.expect("a running process");
        std::thread::scope(|scope| {
            let visit = scope.spawn(|| {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may");
                act()
            });
            match visit.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Debian's Python, under the name of an image that cannot be pulled here.
    pub fn import_python(&self, image: &str) {
        let tar = self.debian.display().to_string();
        // Debian's pip would refuse to install beside Debian's packages.
        let setting = "ENV PIP_BREAK_SYSTEM_PACKAGES=1";
        self.expect(&["import", "--change", setting, &tar, image]);
    }

    /// The image `larder` of this binary, by the `Dockerfile`, on that Debian.
    pub fn make_larder_image(&self, base: &str, binary: &Path) {
        let mut image = self.client("bash");
        image
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("LARDER_COMMIT", "0123abc")
            .args([".ci/image", "larder"])
            .arg(binary)
            .args(["--", "--build-arg", &format!("BASE_IMAGE={base}")]);
        let output = image.output().expect("a shell");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Runs the client and gives what it printed; panics if it fails.
    #[track_caller]
    pub fn expect(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = self.client(DOCKER);
        command
            .args(arguments)
            .output()
            .expect("docker, of the package docker.io")
    }

    /// What a line of the guide prints, in this folder and with these variables.
    #[track_caller]
    pub fn shell(&self, line: &str, folder: &Path, environment: &[(String, String)]) -> String {
        let mut command = self.client("sh");
        command
            .args(["-ec", line])
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn client(&self, program: &str) -> Command {
        let socket = self.folder.path().join("socket");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path())
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .stdin(Stdio::null());
        command
    }

    fn log(&self) -> String {
        let file: PathBuf = self.folder.path().join("log");
        std::fs::read_to_string(file).unwrap_or_default()
    }
}

impl Drop for DockerHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
