//! Which configuration file is read where none is named, and that every command says so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::GitLab;
use crate::support::larder::binary;
use crate::support::watchdog::Watched;

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
fn check_config_and_the_banner_say_which_file_was_read() {
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
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let _watched = Watched::new(daemon.id());
    let mut banner = BufReader::new(daemon.stdout.take().expect("piped")).lines();
    let line = banner
        .by_ref()
        .map(|line| line.expect("text"))
        .find(|line| line.contains("cached in"))
        .expect("a banner");
    let cache = home.0.path().join(".cache/larder");
    let said = format!(
        "cached in {}, configured by {}",
        cache.display(),
        file.display()
    );
    assert_eq!(line, said);
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
