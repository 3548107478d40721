//! What commands write: their own words and nothing of a daemon's log, for as long as it is read.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::common::delivery::kept;
use crate::support::{Distribution, GitLab, Larder, path, token};

#[test]
fn a_command_whose_reader_leaves_says_nothing_of_it() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    for arguments in [
        &["config", "show"][..],
        &["config", "init"],
        &["man"],
        &["completions", "bash"],
        &["stats"],
        &["doctor"],
    ] {
        // Closed before the first line, so that every write fails.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = larder.start_command(arguments);
        let mut process = command.stdout(writer).spawn().expect("it starts");
        let mut said = String::new();
        let mut stderr = process.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        let code = process.wait().expect("it ends").code();
        assert_eq!(code, Some(141), "{arguments:?}: {said}");
        assert!(
            !said.contains("output") && !said.contains("pipe"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_commands_words_are_its_own_and_the_log_is_shown_when_it_is_asked_for() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("big", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let mut larder = Larder::start(&gitlab);
    let file = path::project_file(42, &wheel);
    larder.client().token(token::READER).get(&file).expect(200);
    kept(&larder, &wheel);
    larder.terminate();
    let said = |arguments: &[&str]| {
        let output = larder.command(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for command in [
        &["verify"][..],
        &["ls"],
        &["stats"],
        &["purge", "projects/42/big", "--dry-run"],
    ] {
        assert_eq!(said(command), "", "{command:?}");
    }
    let shown = said(&["stats", "-v"]);
    assert!(shown.contains("level=DEBUG"), "{shown}");
}

#[test]
fn what_only_looks_makes_no_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cache = folder.path().join("cache");
    let run = |arguments: &[&str]| {
        let output = Command::new(crate::support::larder::binary())
            .env_clear()
            .env("LARDER_CONFIG", "/dev/null")
            .arg("--cache-dir")
            .arg(&cache)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let unused = format!(
        "larder: no larder has used this folder: {}\n",
        cache.display()
    );
    for there in [false, true] {
        if there {
            std::fs::create_dir(&cache).expect("a writable folder");
        }
        for arguments in [
            &["ls"][..],
            &["stats"],
            &["verify"],
            &["gc"],
            &["purge", "--all"],
            &["export", "bundle.tar"],
        ] {
            assert_eq!(run(arguments), (Some(1), unused.clone()), "{arguments:?}");
        }
        assert_eq!(run(&["config", "show"]).0, Some(0));
        assert_eq!(run(&["explain", "/api/v4/user"]).0, Some(1));
        assert_eq!(cache.exists(), there);
    }
    assert_eq!(std::fs::read_dir(&cache).expect("a folder").count(), 0);
}

#[test]
fn commands_are_listed_in_groups() {
    let help = Command::new(crate::support::larder::binary())
        .arg("--help")
        .output()
        .expect("the binary runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let place = |text: &str| {
        help.find(text)
            .unwrap_or_else(|| panic!("no {text:?} in {help}"))
    };
    let order = [
        "Usage: larder",
        "Run:\n  serve ",
        "Configure and diagnose:\n",
        "\n  doctor ",
        "Look after the cache:\n",
        "\n  purge ",
        "Lock files and air gaps:\n",
        "\n  warm ",
        "Options:\n",
        "--config <FILE>",
    ];
    for pair in order.windows(2) {
        assert!(place(pair[0]) < place(pair[1]), "{pair:?} in {help}");
    }
    assert!(!help.contains("revoke"), "{help}");
    let manual = Command::new(crate::support::larder::binary())
        .arg("man")
        .output()
        .expect("the binary runs");
    let manual = String::from_utf8_lossy(&manual.stdout).into_owned();
    assert!(
        manual.contains(".SS \"Look after the cache\"\n.TP\n\\fBlarder\\-stats\\fR(1)\n"),
        "{manual:.3000}"
    );
}
