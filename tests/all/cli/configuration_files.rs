//! Which configuration file is read where none is named, and that every command says so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::larder::binary;
use crate::support::watchdog::Watched;
use crate::support::{GitLab, Larder, logfmt, path, token};

/// A home with the user's own configuration in it, or with none.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::with_prefix("larder-home-").expect("a temporary folder"))
    }

    fn write(&self, place: &str, config: &str) -> PathBuf {
        let file = self.0.path().join(place);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(&file, config).expect("a writable folder");
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("HOME", self.0.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }
}

/// Exit code, what was printed, and what was remarked.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    told(&command.output().expect("the binary runs"))
}

#[track_caller]
fn is_read(command: &mut Command, file: &Path, ttl: &str) {
    let (code, printed, said) = run(command);
    let line = format!("index.ttl = \"{ttl}\" (in {}:2)", file.display());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        printed.lines().any(|shown| shown == line),
        "{line} in {printed}"
    );
}

#[test]
fn the_users_own_file_is_found_and_what_is_named_comes_before_it() {
    let home = Home::new();
    let show = ["config", "show"];
    let of = |ttl: &str| format!("[index]\nttl = \"{ttl}\"\n");
    let plain = home.write(".config/larder/config.toml", &of("41s"));
    is_read(&mut home.command(&show), &plain, "41s");
    // A relative XDG_CONFIG_HOME is invalid, and an empty one is not set.
    for invalid in ["", "relative"] {
        is_read(
            home.command(&show).env("XDG_CONFIG_HOME", invalid),
            &plain,
            "41s",
        );
    }
    let xdg = home.write("xdg/larder/config.toml", &of("42s"));
    let xdg_home = home.0.path().join("xdg");
    is_read(
        home.command(&show).env("XDG_CONFIG_HOME", &xdg_home),
        &xdg,
        "42s",
    );
    let named = home.write("named.toml", &of("43s"));
    let by_variable = |command: &mut Command| {
        command
            .env("XDG_CONFIG_HOME", &xdg_home)
            .env("LARDER_CONFIG", &named);
    };
    let mut command = home.command(&show);
    by_variable(&mut command);
    is_read(&mut command, &named, "43s");
    let flag = home.write("flag.toml", &of("44s"));
    let mut command = home.command(&show);
    by_variable(&mut command);
    is_read(command.arg("--config").arg(&flag), &flag, "44s");
    // Neither of the others is laid below it.
    let (_, printed, _) = run(home
        .command(&["config", "show", "--changed"])
        .env("LARDER_CONFIG", "/dev/null"));
    assert_eq!(printed, "");
}

#[test]
fn check_config_and_the_start_say_which_file_was_read() {
    let gitlab = GitLab::start();
    let home = Home::new();
    let check = ["check-config"];
    let (code, printed, _) = run(home.command(&check).env("LARDER_CONFIG", ""));
    // Where this machine has a larder of its own, that is its configuration.
    if !Path::new("/etc/larder/config.toml").exists() {
        assert_eq!(code, Some(0));
        assert!(
            printed.contains("the defaults (no configuration file)"),
            "{printed}"
        );
    }
    let url = gitlab.url();
    let config = format!("listen = \"127.0.0.1:0\"\n[gitlab]\nurl = {url:?}\n");
    let file = home.write(".config/larder/config.toml", &config);
    let (code, printed, said) = run(&mut home.command(&check));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        printed,
        format!("the configuration is good: {}\n", file.display())
    );

    let mut daemon = home.command(&["serve", "-v", "--cache-size", "3MiB"]);
    let mut daemon = daemon
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let _watched = Watched::new(daemon.id());
    let mut log = BufReader::new(daemon.stderr.take().expect("piped")).lines();
    let line = log
        .by_ref()
        .map(|line| line.expect("text"))
        .find(|line| line.contains("larder::start"))
        .expect("a start");
    let start = logfmt::read(&line).expect("logfmt");
    let cache = home.0.path().join(".cache/larder");
    assert_eq!(start["cache_dir"], cache.to_string_lossy());
    assert_eq!(start["configuration"], file.to_string_lossy());
    // Its flags hold, and commands find it without any.
    let (_, level, said) = run(&mut home.command(&["log-level"]));
    assert!(level.contains("larder=debug"), "{level}{said}");
    let (_, stats, said) = run(&mut home.command(&["stats"]));
    assert!(stats.contains("of 3.0 MiB"), "{stats}{said}");
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_a_fault_and_none_is_none() {
    let home = Home::new();
    let file = home.0.path().join(".config/larder/config.toml");
    std::fs::create_dir_all(&file).expect("a writable folder");
    for command in [
        &["config", "show"][..],
        &["check-config"],
        &["stats"],
        &["serve"],
    ] {
        let (code, _, said) = run(&mut home.command(command));
        assert_eq!(code, Some(78), "{command:?}: {said}");
        assert!(said.contains(&*file.to_string_lossy()), "{said}");
    }
    let (code, _, said) = run(home
        .command(&["config", "show"])
        .env("LARDER_CONFIG", "/nonexistent/larder.toml"));
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("/nonexistent/larder.toml: there is no such file"),
        "{said}"
    );
    // What needs no configuration asks for none.
    assert_eq!(run(&mut home.command(&["man"])).0, Some(0));
}

#[test]
fn the_machines_file_is_read_where_the_user_has_none() {
    let home = Home::new();
    let etc = home.write("etc/larder/config.toml", "[index]\nttl = \"45s\"\n");
    let etc = etc
        .ancestors()
        .nth(2)
        .expect("a folder")
        .display()
        .to_string();
    let script = format!("mount --bind {etc} /etc && exec \"$@\"");
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"])
            .arg(binary())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", home.0.path());
        command
    };
    let mount = Command::new("unshare")
        .args(["--map-root-user", "--mount", "true"])
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("no mount namespace can be made here: the machine's file is not played");
        return;
    }
    let place = Path::new("/etc/larder/config.toml");
    is_read(&mut inside(&["config", "show"]), place, "45s");
    let own = home.write(".config/larder/config.toml", "[index]\nttl = \"46s\"\n");
    is_read(&mut inside(&["config", "show"]), &own, "46s");
}

#[test]
fn commands_go_by_the_configuration_of_the_larder_that_runs() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("token");
    std::fs::write(&secret, token::READER).expect("a writable folder");
    let mut larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("token_file = {:?}", secret.display().to_string()))
        .sections("[index]\nttl = \"47s\"")
        .start();
    let run = |larder: &Larder, arguments: &[&str]| {
        let (code, printed, said) = told(&larder.command(arguments));
        let all = printed + &said;
        assert!(!all.contains(token::READER), "{all}");
        (code, all)
    };
    let has = |told: &(Option<i32>, String), parts: &[&str]| {
        for part in parts {
            assert!(told.1.contains(part), "no {part:?} in {}", told.1);
        }
    };
    let file = larder.config_file().display().to_string();
    let running = format!(
        "of the larder that runs, process {}, read of {file}",
        larder.pid()
    );
    let good = std::fs::read_to_string(larder.config_file()).expect("its configuration");
    let shown = run(&larder, &["config", "show"]);
    assert_eq!(shown.0, Some(0), "{}", shown.1);
    let listen = "listen = \"127.0.0.1:0\" (on the command line)";
    has(
        &shown,
        &[
            &running,
            "index.ttl = \"47s\"",
            listen,
            &secret.display().to_string(),
        ],
    );
    assert!(!shown.1.contains("otherwise"), "{}", shown.1);

    // The file says something else by now: the larder that runs goes by what it has read.
    let changed = good.replace("47s", "48s");
    std::fs::write(larder.config_file(), changed).expect("a writable folder");
    let otherwise = format!("{file} says otherwise by now: index.ttl");
    let shown = run(&larder, &["config", "show"]);
    has(
        &shown,
        &[&running, "index.ttl = \"47s\"", &otherwise, "reload"],
    );
    // Where it listens it says itself.
    let explained = run(&larder, &["explain", &path::project_page(42, "big")]);
    let address = format!("at {}", larder.address());
    has(
        &explained,
        &[&running, "index.ttl = 47s", &address, &otherwise],
    );
    has(&run(&larder, &["doctor"]), &[&running, &otherwise]);
    let lock = folder.path().join("requirements.txt");
    let line = "big @ https://elsewhere.example/big-1-py3-none-any.whl\n";
    std::fs::write(&lock, line).expect("a writable folder");
    let lock = lock.display().to_string();
    let to = ["rewrite-lock", &lock, "--to", "http://larder.example"];
    has(&run(&larder, &to), &["elsewhere.example", &running]);

    // A reload, and a file that is no good.
    larder.signal(rustix::process::Signal::HUP);
    larder.wait_for_log("the configuration was read again");
    let shown = run(&larder, &["config", "show"]);
    has(&shown, &[&running, "index.ttl = \"48s\""]);
    assert!(!shown.1.contains("otherwise"), "{}", shown.1);
    std::fs::write(larder.config_file(), format!("{good}\n[log]\nlevl = 1\n")).expect("writable");
    let shown = run(&larder, &["config", "show"]);
    assert_eq!(shown.0, Some(0), "{}", shown.1);
    has(&shown, &[&running, "levl"]);

    // A file that is named, and is another one, counts itself.
    let other = folder.path().join("other.toml");
    std::fs::write(&other, good.replace("47s", "49s")).expect("a writable folder");
    let other = other.display().to_string();
    let output = Command::new(binary())
        .args(["config", "show", "--config", &other])
        .env_clear()
        .output();
    let (_, printed, said) = told(&output.expect("the binary runs"));
    assert!(printed.contains("index.ttl = \"49s\""), "{printed}");
    let whose = format!(
        "of {other}; the larder that runs, process {}, has {file}",
        larder.pid()
    );
    assert!(said.contains(&whose), "{said}");

    std::fs::write(larder.config_file(), &good).expect("writable");
    larder.terminate();
    let rests = format!("of {file}; no larder runs on its cache folder");
    has(&run(&larder, &["config", "show"]), &[&rests]);
    has(&run(&larder, &["doctor"]), &[&rests]);
}
