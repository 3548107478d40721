//! A bare Debian in a folder, made by debootstrap, and the install page's commands to run in it.
//! Needs root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Client;
use super::gitlab::{GitLab, token};
use super::held_port::HeldPort;
use super::python::Workbench;
use super::watchdog::Watched;
use super::wheel::real_wheels;

/// As `User=nobody` is: the unit's own user has no number until systemd gives it one.
const SOMEBODY: &str = "65534:65534";

/// From the start of the unit's command to its first answer, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(30);

/// The first indented lines of the section of `docs/install.md` with this title.
pub fn install_commands(title: &str) -> Vec<String> {
    let page = include_str!("../../docs/install.md");
    let (_, below) = page
        .split_once(&format!("\n## {title}\n"))
        .unwrap_or_else(|| panic!("no section {title}"));
    let section = below.split("\n## ").next().unwrap_or_default();
    let commands: Vec<String> = section
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .take_while(|line| line.starts_with("    "))
        .map(|line| line.trim().to_owned())
        .collect();
    assert!(!commands.is_empty(), "no commands below {title}");
    commands
}

/// A Debian in a folder, of the same release as this machine, which shares its network.
#[derive(Debug)]
pub struct Machine {
    root: TempDir,
}

impl Machine {
    /// A minimal system and these packages, fresh for this test.
    pub fn new(packages: &[&str]) -> Self {
        let root = TempDir::with_prefix("larder-machine-").expect("a temporary folder");
        run(Command::new("tar")
            .arg("-xf")
            .arg(pristine(packages))
            .arg("-C")
            .arg(root.path()));
        fs::create_dir_all(root.path().join("src")).expect("a folder of ours");
        // Whoever the daemon runs as must be able to look into it.
        run(Command::new("chmod").arg("0755").arg(root.path()));
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Files and folders of the repository, to /src, where its commands are run.
    pub fn bring(&self, names: &[&str]) {
        for name in names {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            run(Command::new("cp")
                .arg("-r")
                .arg(from)
                .arg(self.root.path().join("src")));
        }
    }

    pub fn put(&self, file: &Path, to: &str) {
        let to = to.trim_start_matches('/');
        run(Command::new("install")
            .args(["-D", "-m", "0755"])
            .arg(file)
            .arg(self.root.path().join(to)));
    }

    /// Runs a line of the install page in /src, and gives what it printed; panics if it fails.
    pub fn shell(&self, line: &str) -> String {
        let output = self
            .inside("root", &["sh", "-ec", &format!("cd /src; {line}")])
            .output()
            .expect("chroot starts");
        assert!(output.status.success(), "{line}:\n{}", tail(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn inside(&self, user: &str, command: &[&str]) -> Command {
        let mut inside = Command::new("chroot");
        inside
            .arg(format!("--userspec={user}"))
            .arg(self.root.path())
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", if user == "root" { "/root" } else { "/" })
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        inside
    }

    /// Starts what this unit starts, with the installed configuration and a cache folder, beside
    /// these variables, and waits until it listens.
    pub fn start_unit(&self, unit: &str, variables: &[(&str, String)]) -> Daemon {
        let unit = fs::read_to_string(self.root.path().join(unit.trim_start_matches('/')))
            .expect("an installed unit");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .expect("ExecStart");
        let command: Vec<&str> = line.split_whitespace().collect();
        self.shell(&format!(
            "install -d -m 0700 /var/cache/larder-run && chown {SOMEBODY} /var/cache/larder-run"
        ));
        let mut inside = self.inside(SOMEBODY, &command);
        inside
            .env("CACHE_DIRECTORY", "/var/cache/larder-run")
            .envs(variables.iter().map(|(name, value)| (name, value)));
        Daemon::start(inside)
    }

    /// Starts a line of the guide as root, with these variables, and waits until it listens.
    pub fn start_line(&self, line: &str, variables: &[(&str, String)]) -> Daemon {
        let mut inside = self.inside("root", &["sh", "-ec", &format!("exec {line}")]);
        inside.envs(variables.iter().map(|(name, value)| (name, value)));
        Daemon::start(inside)
    }

    /// Starts what this unit starts, and installs a package through it.
    pub fn serves_pip(&self, unit: &str) {
        let gitlab = GitLab::builder().start();
        for wheel in &real_wheels() {
            gitlab.publish(42, wheel);
        }
        // The installed configuration and its port may be somebody else's on this machine: the
        // environment beats the file.
        let held = HeldPort::new();
        let variables = [
            ("LARDER_LISTEN", held.address().to_string()),
            ("LARDER_GITLAB__URL", gitlab.url().to_owned()),
        ];
        let _daemon = self.start_unit(unit, &variables);
        let address = held.address();

        Client::new(address).get("/-/health/live").expect(200);
        let user = Workbench::new();
        let site = user.folder().join("site").to_string_lossy().into_owned();
        let index = format!(
            "http://__token__:{}@{address}/api/v4/projects/42/packages/pypi/simple/",
            token::READER
        );
        user.pip(&["install", "--target", &site, "--index-url", &index, "six"])
            .expect_success();
        assert!(
            user.folder().join("site/six.py").exists(),
            "six is installed"
        );
    }
}

/// A larder that was started by another than the tests' own binary; ends with this.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    _watched: Watched,
}

impl Daemon {
    /// Waits until it listens; panics with what it said if it does not.
    pub fn start(mut command: Command) -> Self {
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut daemon = Self {
            _watched: Watched::new(process.id()),
            process,
        };
        daemon.wait_until_it_listens();
        daemon
    }

    /// Its first records say where it listens.
    fn wait_until_it_listens(&mut self) {
        let log = self.process.stderr.take().expect("piped");
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let until = Instant::now() + START_MAX;
        let mut lines = Vec::new();
        while let Ok(line) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains("listening on http://") {
                return;
            }
            lines.push(line);
        }
        let _ = self.process.kill();
        panic!("it does not listen; it said:\n{}", lines.join("\n"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The system as debootstrap makes it, in a tar; made on first use, and kept beside the build.
pub fn pristine(packages: &[&str]) -> PathBuf {
    let release = fs::read_to_string("/etc/os-release").expect("a Debian");
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("a codename");
    let folder = target_folder().join("bare-debian");
    fs::create_dir_all(&folder).expect("a writable target folder");
    let tar = folder.join(format!("{suite}-{}.tar", packages.join("-")));
    // Held until the end: other tests wait here and then find the work done.
    let lock = File::create(folder.join("lock")).expect("a writable target folder");
    lock.lock().expect("a lock");
    if tar.exists() {
        return tar;
    }
    let root = bootstrapped(&folder, suite, packages);
    let unfinished = folder.join("unfinished.tar");
    run(Command::new("tar")
        .args(["--exclude=./var/cache/apt/archives/*.deb", "-cf"])
        .arg(&unfinished)
        .arg("-C")
        .arg(root.path())
        .arg("."));
    fs::rename(unfinished, &tar).expect("the same folder");
    tar
}

/// A folder with the system in it. Debian's archive is asked up to three times: it is out of reach for
/// a moment now and then.
fn bootstrapped(folder: &Path, suite: &str, packages: &[&str]) -> TempDir {
    let mut tries = 0;
    loop {
        let root = TempDir::with_prefix_in("making-", folder).expect("a folder");
        let mut debootstrap = Command::new("debootstrap");
        debootstrap
            .args([
                "--variant=minbase",
                &format!("--include={}", packages.join(",")),
                suite,
            ])
            .arg(root.path())
            .args(mirror(suite))
            .stdin(Stdio::null());
        let output = debootstrap.output().expect("debootstrap starts");
        if output.status.success() {
            return root;
        }
        tries += 1;
        assert!(tries < 3, "{debootstrap:?}:\n{}", tail(&output));
        std::thread::sleep(Duration::from_secs(5));
    }
}

/// The mirror that this machine's apt is configured with; without one debootstrap knows its own.
fn mirror(suite: &str) -> Option<String> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            &format!("Codename: {suite}"),
        ])
        .output();
    let addresses = String::from_utf8(output.ok()?.stdout).ok()?;
    addresses
        .lines()
        .find(|line| line.starts_with("http"))
        .map(str::to_owned)
}

pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    )
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    assert!(
        output.status.success(),
        "{:?}:\n{}",
        command.get_args().collect::<Vec<&OsStr>>(),
        tail(&output)
    );
}

/// The last lines of what a command said.
fn tail(output: &Output) -> String {
    let said = [
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ]
    .concat();
    let lines: Vec<&str> = said.lines().collect();
    lines
        .iter()
        .rev()
        .take(20)
        .rev()
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}
