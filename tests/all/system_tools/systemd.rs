//! The units in `systemd/`, judged by systemd's own tools; and what the daemon asks of the kernel,
//! held against their filter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::guide::Page;
use crate::support::larder::binary;
use crate::support::tls::{read, run};
use crate::support::{Artifact, Authority, GitLab, Larder, TlsClient, path, token};
use crate::upload::pass_through::upload;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");

/// Copies of the units whose binary exists; `change` sees each.
fn units(change: impl Fn(&str) -> String) -> TempDir {
    let copy = TempDir::with_prefix("larder-units-").expect("a temporary folder");
    std::fs::create_dir(copy.path().join("user")).expect("a fresh folder");
    for name in [
        "larder.service",
        "larder.socket",
        "user/larder.service",
        "user/larder.socket",
    ] {
        let unit = std::fs::read_to_string(Path::new(UNITS).join(name)).expect("a unit");
        let unit = ["/usr/bin/larder", "%h/.local/bin/larder"]
            .iter()
            .fold(unit, |unit, path| {
                unit.replace(path, &binary().display().to_string())
            });
        std::fs::write(copy.path().join(name), change(&unit)).expect("a writable folder");
    }
    copy
}

/// What the guide has typed at `systemctl edit larder.socket`.
#[test]
#[ignore = "needs systemd"]
fn systemd_takes_the_drop_ins_of_the_guide() {
    let runners = Page(include_str!("../../../docs/gitlab-ci.md"));
    let operations = Page(include_str!("../../../docs/operations.md"));
    let [bridge] = &runners.blocks("Docker executor, larder on the host", "ini")[..] else {
        panic!("one drop-in for Docker's bridge");
    };
    let [replacing] = &operations.blocks("Where it listens", "ini")[..] else {
        panic!("one drop-in that replaces the address");
    };
    let verified = |drop_in: &str| {
        let units = units(str::to_owned);
        let folder = units.path().join("larder.socket.d");
        std::fs::create_dir(&folder).expect("a fresh folder");
        std::fs::write(folder.join("override.conf"), drop_in).expect("a folder of ours");
        let checked = analyze(&units, &["verify", "--man=no"], &["larder.socket"]);
        said(&checked)
    };
    for drop_in in [bridge, replacing] {
        let said = verified(drop_in);
        assert_eq!(said.trim(), "exit status: 0", "{drop_in}");
    }
    let said = verified("[Socket]\nListensStream=127.0.0.1:1\n");
    assert!(said.contains("ListensStream"), "{said}");
}

fn analyze(folder: &TempDir, arguments: &[&str], units: &[&str]) -> Output {
    Command::new("systemd-analyze")
        .args(arguments)
        .args(units.iter().map(|unit| folder.path().join(unit)))
        // A user's manager has one, and a build machine may not.
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .output()
        .expect("systemd-analyze, of the package systemd")
}

fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{}\n{out}\n{err}", output.status)
}

#[test]
#[ignore = "needs systemd"]
fn systemd_has_nothing_to_say_about_the_units() {
    let verify = |units: &TempDir| {
        [
            analyze(
                units,
                &["verify", "--man=no"],
                &["larder.service", "larder.socket"],
            ),
            analyze(
                units,
                &["--user", "verify", "--man=no"],
                &["user/larder.service", "user/larder.socket"],
            ),
        ]
    };
    for checked in verify(&units(str::to_owned)) {
        assert!(
            checked.status.success() && checked.stderr.is_empty(),
            "{}",
            said(&checked)
        );
    }
    // It can fail: a line that systemd does not know, a program that is not there.
    for spoilt in [
        "Restarts=never\nRestart=",
        "ExecStartPre=/nowhere/larder\nRestart=",
    ] {
        let spoil = |unit: &str| unit.replace("Restart=", spoilt);
        for checked in verify(&units(spoil)) {
            assert!(!checked.stderr.is_empty(), "{spoilt}: {}", said(&checked));
        }
    }
}

#[test]
#[ignore = "needs systemd"]
fn the_service_is_as_confined_as_it_is_meant_to_be() {
    let judge = |units: &TempDir| {
        analyze(
            units,
            &["security", "--offline=true", "--threshold=15", "--no-pager"],
            &["larder.service"],
        )
    };
    let judged = judge(&units(str::to_owned));
    assert!(judged.status.success(), "{}", said(&judged));
    let without = |names: &[&str]| {
        units(|unit| {
            let kept = |line: &&str| !names.iter().any(|name| line.starts_with(name));
            unit.lines()
                .filter(kept)
                .flat_map(|line| [line, "\n"])
                .collect()
        })
    };
    let loose = judge(&without(&["SystemCallFilter", "CapabilityBoundingSet"]));
    assert!(!loose.status.success(), "{}", said(&loose));
}

/// The calls that a group of systemd's stands for.
fn group(name: &str) -> BTreeSet<String> {
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", name])
        .output();
    let output = output.expect("systemd-analyze, of the package systemd");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let members = text
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(calls).collect()
}

/// A call, or those of a group.
fn calls(word: &str) -> BTreeSet<String> {
    if word.starts_with('@') {
        group(word)
    } else {
        [word.to_owned()].into()
    }
}

/// What a unit allows: a list of calls, from which lines with `~` take away (systemd.exec(5)).
fn allowed(unit: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    assert!(
        lines.first().is_some_and(|line| !line.starts_with('~')),
        "a list of what is allowed"
    );
    // Allowed without being named.
    let mut allowed = group("@default");
    for line in lines {
        let denied = line.strip_prefix('~');
        for call in denied.unwrap_or(line).split_whitespace().flat_map(calls) {
            if denied.is_some() {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    allowed
}

/// A program that runs larder and has strace write down, in files `calls.COMMAND` of the folder,
/// which calls it made. It is larder that is the child and gets the signals.
fn traced(folder: &Path) -> PathBuf {
    let (script, larder) = (folder.join("traced"), binary());
    let text = format!(
        "#!/bin/sh\nexec strace -D -f -qq -c -U name -o {:?}/calls.\"$1\" {larder:?} \"$@\"\n",
        folder.display()
    );
    std::fs::write(&script, text).expect("a writable folder");
    let status = Command::new("chmod")
        .arg("+x")
        .arg(&script)
        .status()
        .expect("chmod");
    assert!(status.success());
    script
}

/// What strace wrote down, which it does when the process has ended.
fn traced_calls(file: &Path) -> BTreeSet<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some((calls, _)) = text.rsplit_once("\ntotal") {
            let names = calls.lines().map(str::trim).skip(1);
            return names
                .filter(|line| !line.starts_with('-'))
                .map(str::to_owned)
                .collect();
        }
        assert!(
            Instant::now() < until,
            "strace, of the package strace, has written {text:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process does something of its own at a signal, in place of ending.
fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .expect("a field of every status");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a number");
    caught & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
#[ignore = "needs strace systemd"]
fn the_daemon_makes_no_call_that_the_unit_forbids() {
    let folder = TempDir::with_prefix("larder-calls-").expect("a temporary folder");
    let gitlab = GitLab::start();
    let file = Artifact::noise("file", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let authority = Authority::new("larder's tests");
    let (certificate, key) = authority
        .server(&["127.0.0.1"])
        .write(folder.path(), "larder");
    let section =
        format!("[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let socket = format!(
        "--listen=unix:{}",
        folder.path().join("larder.sock").display()
    );
    let larder = Larder::builder(&gitlab)
        .binary(traced(folder.path()))
        .sections(&format!("{section}[metadata]\nprefetch = 4"))
        .argument("--listen=127.0.0.1:0")
        .argument(&socket)
        .start();

    let client = larder.client().token(token::READER);
    client.get(&path::project_page(42, "file")).expect(200);
    client.get(&path::project_file(42, &file)).expect(200);
    client.get(&path::project_file(42, &file)).expect(200);
    client
        .get_range(&path::project_file(42, &file), "bytes=1000-1999")
        .expect(206);
    let sent = Artifact::noise("sent", "1.0", 100_000);
    upload(&larder.client().token(token::DEVELOPER), 42, &sent).expect(201);
    larder.wait_for_log("target=larder::start");
    let log = larder.log();
    let secure = log
        .split_once("https://")
        .and_then(|(_, rest)| rest.split([' ', '"']).next());
    let secure = secure
        .and_then(|address| address.parse().ok())
        .expect("an address that speaks TLS");
    run(async {
        let tls = TlsClient::new(secure, &authority.pem(), &["h2"]);
        let answer = tls
            .http2()
            .await
            .send_request(tls.get(&path::project_file(42, &file), token::READER))
            .await;
        assert_eq!(read(answer.expect("an answer")).await.status, 200);
    });
    let bundle = folder.path().join("bundle.tar").display().to_string();
    for command in [
        &["stats"][..],
        &["verify"],
        &["gc"],
        &["ls"],
        &["export", &bundle],
        &["import", &bundle],
        &["purge", &file.sha256],
    ] {
        let output = larder.command(command);
        assert!(output.status.success(), "{command:?}: {}", said(&output));
    }
    if catches(larder.pid(), Signal::HUP) {
        larder.signal(Signal::HUP);
    }
    larder.client().get("/-/metrics").expect(200);
    let mut larder = larder;
    assert!(larder.terminate().success(), "{}", larder.log());

    let made = traced_calls(&folder.path().join("calls.serve"));
    assert!(
        made.contains("accept4") && made.contains("prlimit64"),
        "not what a daemon does: {made:?}"
    );
    let unit = std::fs::read_to_string(Path::new(UNITS).join("larder.service")).expect("the unit");
    let forbidden = |unit: &str| made.difference(&allowed(unit)).cloned().collect::<Vec<_>>();
    assert_eq!(forbidden(&unit), Vec::<String>::new(), "of {made:?}");
    // It can fail.
    let strict = unit.replace(
        "SystemCallFilter=prlimit64",
        "SystemCallFilter=~@network-io",
    );
    assert!(
        forbidden(&strict).contains(&"accept4".to_owned()),
        "{strict}"
    );
    eprintln!("{} calls: {made:?}", made.len());
}
