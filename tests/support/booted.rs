//! A bare Debian whose systemd runs: PID 1 of namespaces of its own, except for the network, which is that of the
//! thread that boots it. What a unit says is done by systemd itself, down to its sandbox. Needs root, and a
//! machine with systemd among its packages.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::debian::Machine;
use super::watchdog::Watched;

/// From its start until nothing is left to be started, on a machine that is busy.
const BOOT_MAX: Duration = Duration::from_secs(60);

/// Enters a group of its own in each hierarchy of control groups that systemd needs, so that it leaves this
/// machine's alone.
const ENTER: &str = r#"
for hierarchy in $1; do
    mkdir -p "$hierarchy/$2"
    echo $$ > "$hierarchy/$2/cgroup.procs"
done
exec unshare --pid --mount --cgroup --uts --ipc --fork --kill-child sh -ec "$3" boot "$4" "$1"
"#;

/// Makes the folder the root, not by chroot: in one of those no user namespace can be made, and the unit has one.
const BOOT: &str = r#"
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sys sys
case $2 in
/sys/fs/cgroup) mount -t cgroup2 cgroup2 sys/fs/cgroup ;;
*)
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    ;;
esac
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p outside
pivot_root . outside
cd /
umount -l /outside
exec env -i container=oci PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=console --show-status=0 --unit=basic.target
"#;

/// The hierarchies of control groups: one, or one of systemd's own beside it.
fn hierarchies() -> &'static str {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "/sys/fs/cgroup"
    } else {
        "/sys/fs/cgroup/systemd /sys/fs/cgroup/unified"
    }
}

/// A machine that is up. Dropping it switches it off.
#[derive(Debug)]
pub struct Booted<'m> {
    machine: &'m Machine,
    /// `unshare`, whose child is systemd and ends with it.
    process: Child,
    _watched: Watched,
    group: String,
}

impl<'m> Booted<'m> {
    pub fn start(machine: &'m Machine) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = format!("larder-machine-{}-{number}", std::process::id());
        let log = File::create(machine.root().join("boot.log")).expect("a folder of ours");
        let process = Command::new("sh")
            .args(["-ec", ENTER, "enter", hierarchies(), &group, BOOT])
            .arg(machine.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell");
        let booted = Self {
            machine,
            _watched: Watched::new(process.id()),
            process,
            group,
        };
        let until = Instant::now() + BOOT_MAX;
        while !booted.is_up() {
            let log = fs::read_to_string(booted.machine.root().join("boot.log"));
            assert!(Instant::now() < until, "systemd says:\n{log:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        booted
    }

    /// Whether systemd has started what it had to.
    fn is_up(&self) -> bool {
        let Some(output) = self.output("systemctl is-system-running") else {
            return false;
        };
        let state = String::from_utf8_lossy(&output.stdout).into_owned();
        ["running", "degraded"].contains(&state.trim())
    }

    /// Runs a line of the guide in /src, as root, and gives what it printed; panics if it fails.
    #[track_caller]
    pub fn shell(&self, line: &str) -> String {
        let output = self.output(&format!("cd /src; {line}"));
        let output = output.expect("a machine that is up");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            output.status.success(),
            "{line}:\n{said}\n{}",
            self.journal()
        );
        said
    }

    /// Puts the GitLab into larder's configuration, as the install page asks for; gives the line that did.
    #[track_caller]
    pub fn set_gitlab(&self, url: &str) -> String {
        let line = format!(
            "sed -i 's#^url = \"https://gitlab.com\"#url = \"{url}\"#' /etc/larder/config.toml"
        );
        self.shell(&line);
        line
    }

    /// What larder and systemd have said of it.
    pub fn journal(&self) -> String {
        let output =
            self.output("journalctl --no-pager --unit larder.service --unit larder.socket");
        let said = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// None before systemd is there.
    fn output(&self, line: &str) -> Option<Output> {
        let enter = [
            "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd",
        ];
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.systemd()?))
            .args(enter)
            .args(["sh", "-ec", line])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        Some(command.output().expect("nsenter, of util-linux"))
    }

    /// Its number out here.
    fn systemd(&self) -> Option<u32> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let child = children.ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        (name.trim() == "systemd").then_some(child)
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for hierarchy in hierarchies().split(' ') {
            let group = Path::new(hierarchy).join(&self.group);
            // The groups of a group first; the processes in them may take a moment to end.
            let remove = format!(
                "for round in 1 2 3 4 5 6 7 8 9 10; do \
                 find {0} -depth -type d -exec rmdir {{}} + 2>/dev/null; [ -d {0} ] || break; sleep 0.2; done",
                group.display()
            );
            let _ = Command::new("sh").args(["-c", &remove]).status();
        }
    }
}
