//! One line for each request, from which a person can tell why it failed; and the lines that it
//! caused.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::common::delivery::{eventually, kept};
use crate::support::larder::binary;
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, HeldPort, Kind, Larder, PublicIndex, Site,
    Storage, logfmt, path, token,
};

type Line = BTreeMap<String, String>;

/// Every line of the log, read.
fn lines(larder: &Larder) -> Vec<Line> {
    let log = larder.log();
    let read = |line| logfmt::read(line).unwrap_or_else(|why| panic!("{why}\nin {line}"));
    log.lines().map(read).collect()
}

/// The lines of requests with this id: one, once it is written.
fn of_request(larder: &Larder, id: &str) -> Vec<Line> {
    let mut found = lines(larder);
    found.retain(|line| line["target"] == "larder::request" && line["id"] == id);
    found
}

/// The line of the request with this id.
fn line(larder: &Larder, id: &str) -> Line {
    eventually("its line is written", || !of_request(larder, id).is_empty());
    let mut found = of_request(larder, id);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Asks, and gives the request's line.
fn asked(larder: &Larder, client: &Client, address: &str, id: &str) -> Line {
    client.get_with(address, &[("X-Request-Id", id)]);
    line(larder, id)
}

#[test]
fn a_request_that_failed_says_why_and_how_bad_that_is() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 0\nheader_timeout = \"3s\"")
        .start();
    let reader = larder.client().token(token::READER);
    let page = path::project_page(42, "my-pkg");
    let told = |client: &Client, address: &str, id: &str, level: &str, cause: &str, part: &str| {
        let line = asked(&larder, client, address, id);
        assert_eq!(
            (line["level"].as_str(), line["cause"].as_str()),
            (level, cause),
            "{line:?}"
        );
        assert!(line["error"].contains(part), "{line:?}");
    };
    let revoked = larder.client().token(token::REVOKED);
    told(
        &revoked,
        &page,
        "revoked",
        "INFO",
        "unauthorized",
        "GitLab answered 401: the token",
    );
    told(
        &larder.client(),
        &page,
        "none",
        "INFO",
        "no_credential",
        "no credential came",
    );
    told(
        &reader,
        "/nothing/here",
        "path",
        "INFO",
        "unknown_address",
        "no such address",
    );
    gitlab.plan(Act::Answer(Answer::forbidden()).at(Kind::Page).once());
    told(
        &reader,
        &page,
        "forbidden",
        "INFO",
        "forbidden",
        "may not read",
    );
    gitlab.plan(
        Act::StallBeforeHead(crate::support::FOR_EVER)
            .at(Kind::Page)
            .once(),
    );
    told(
        &reader,
        &page,
        "slow",
        "WARN",
        "timeout",
        "did not answer within 3s",
    );
    gitlab.plan(Act::Status(500).at(Kind::Page).once());
    told(
        &reader,
        &page,
        "broken",
        "WARN",
        "upstream_status",
        "GitLab answered 500",
    );
    let file = Artifact::noise("file", "1.0", 100_000);
    gitlab.publish(42, &file);
    gitlab.plan(Act::Flip { at: 50_000 }.at(Site::FileBody));
    told(
        &reader,
        &path::project_file(42, &file),
        "cut",
        "WARN",
        "cut",
        "the promised sha256",
    );
    gitlab.stop();
    told(
        &reader,
        &page,
        "away",
        "WARN",
        "connect",
        "GitLab cannot be reached",
    );
    // What went well has neither.
    gitlab.resume();
    let line = asked(&larder, &reader, &page, "well");
    assert_eq!(line["level"], "INFO");
    assert!(
        !line.contains_key("error") && !line.contains_key("cause"),
        "{line:?}"
    );
}

/// Lines about a file, a page or an upstream that a request caused are found by its id, also those
/// that a task wrote which outlived it.
#[test]
fn every_line_that_a_request_caused_has_its_id() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .sections("[log]\nlevel = \"debug\"")
        .start();
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("file", "1.0", 300_000);
    gitlab.publish(42, &file);
    gitlab.plan(Act::Flip { at: 200_000 }.at(Site::FileBody));
    asked(
        &larder,
        &client,
        &path::project_file(42, &file),
        "wrong-digest",
    );
    larder.wait_for_log("checksum mismatch");
    gitlab.behave();
    gitlab.plan(Act::Close { after: 100_000 }.at(Site::FileBody));
    let other = Artifact::noise("other", "1.0", 300_000);
    gitlab.publish(42, &other);
    asked(
        &larder,
        &client,
        &path::project_file(42, &other),
        "breaks-off",
    );
    larder.wait_for_log("a download broke off");
    gitlab.stop();
    asked(&larder, &client, &path::project_page(42, "x"), "away");
    let of_services = [
        "larder::file",
        "larder::upstream",
        "larder::index",
        "larder::store",
    ];
    let mut seen = BTreeMap::new();
    let lines = lines(&larder);
    // Before the first request no line has one.
    for line in lines.iter().skip_while(|line| !line.contains_key("id")) {
        let target = line["target"].as_str();
        if !of_services.iter().any(|room| target.starts_with(room)) {
            continue;
        }
        let id = line.get("id").unwrap_or_else(|| panic!("no id: {line:?}"));
        assert!(
            ["wrong-digest", "breaks-off", "away"].contains(&id.as_str()),
            "{line:?}"
        );
        *seen.entry(id.clone()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// Damage that a stored file has is found by a task on a blocking thread.
#[test]
fn a_line_of_a_blocking_thread_has_the_id_too() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("file", "1.0", 50_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    client.get(&address).expect(200);
    kept(&larder, &file);
    let blob = crate::store::maintenance::blob_path(&larder, &file.sha256);
    std::fs::write(&blob, b"damaged").expect("a writable folder");
    let larder = larder.restart();
    let client = larder.client().token(token::READER);
    asked(&larder, &client, &address, "finds-it");
    larder.wait_for_log("quarantined");
    let lines = lines(&larder);
    let damage = lines.iter().find(|line| {
        line.get("message")
            .is_some_and(|said| said.contains("quarantined"))
    });
    assert_eq!(damage.expect("it was waited for")["id"], "finds-it");
}

#[test]
fn what_monitors_ask_all_day_is_below_info() {
    let gitlab = GitLab::start();
    for every in [false, true] {
        let mut builder = Larder::builder(&gitlab);
        if every {
            builder = builder.every_request_logged();
        }
        let larder = builder.start();
        for address in [
            "/-/health/live",
            "/-/health/ready",
            "/-/metrics",
            "/-/",
            "/-/status",
            "/",
        ] {
            larder.client().get(address);
        }
        assert!(larder.command(&["stats"]).status.success());
        larder.client().get("/end");
        larder.wait_for_log("path=/end");
        let lines = lines(&larder);
        let of_requests = lines
            .iter()
            .filter(|line| line["target"] == "larder::request");
        assert_eq!(of_requests.count(), if every { 8 } else { 1 }, "{lines:#?}");
        let level = |line: &Line| line["path"] == "/-/metrics" && line["level"] == "DEBUG";
        let found = lines
            .iter()
            .any(|line| line.contains_key("path") && level(line));
        assert_eq!(found, every);
    }
}

#[test]
fn a_key_keeps_clients_addresses_out_of_every_line() {
    let gitlab = GitLab::start();
    for (format, is_told) in [("text", true), ("text", false), ("json", false)] {
        let larder = Larder::builder(&gitlab)
            .setting("limits.connections_per_client = 1")
            .sections(&format!(
                "[log]\nlevel = \"debug\"\nformat = {format:?}\nclient_address = {is_told}"
            ))
            .start();
        let held = larder.client().connect();
        larder.client().get("/end");
        larder.wait_for_log("closing a client");
        drop(held);
        eventually("a request is logged", || {
            larder.client().get("/end");
            larder.log().contains("larder::request")
        });
        let log = larder.log();
        let told = log.contains("client=127.0.0.1") || log.contains("\"client\"");
        assert_eq!(told, is_told, "{format}: {log}");
    }
}

#[test]
fn a_clients_program_is_told_at_debug_alone() {
    let gitlab = GitLab::start();
    let agent = [("User-Agent", "pip/26.3 {\"ci\":true}")];
    for level in ["info", "debug"] {
        let larder = Larder::builder(&gitlab)
            .sections(&format!("[log]\nlevel = {level:?}"))
            .start();
        larder.client().get_with("/end", &agent);
        larder.wait_for_log("path=/end");
        let lines = lines(&larder);
        let of_request = lines
            .iter()
            .find(|line| line["target"] == "larder::request");
        let told = of_request.expect("a line").get("user_agent");
        let expected = if level == "debug" {
            Some(agent[0].1)
        } else {
            None
        };
        assert_eq!(told.map(String::as_str), expected);
    }
}

/// Names, paths and words of others are in it: each line is read back.
#[test]
fn all_lines_of_a_busy_run_are_logfmt() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 1\nheader_timeout = \"1s\"")
        .mirror("public", &index)
        .sections("[log]\nlevel = \"debug\"\n[metadata]\nprefetch = 2")
        .start();
    let client = larder.client().token(token::DEVELOPER);
    let odd = [
        ("User-Agent", "a \"b\" \\ c=d \tx"),
        ("X-Request-Id", "a/b:c=d"),
    ];
    for address in [
        "/\"quoted\"",
        "/a=b",
        "/a%0Ab",
        "/%F0%9F%8D%AA",
        "/caf\u{e9}",
        "/-/",
        "/public/simple/public/",
        "/public/simple/none/",
        "/simple/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg/",
    ] {
        client.get(address);
        client.get_with(address, &odd);
    }
    client.get(&format!("/{}", "x\"=".repeat(1_500)));
    let words = "{\"message\":\"he said \\\"no\\\"\\nand = left \\u001b[31m\"}";
    gitlab.plan(
        Act::Answer(
            Answer::new(404)
                .header("Content-Type", "application/json")
                .body(words),
        )
        .at(Kind::Page),
    );
    client.get(&path::project_page(42, "other"));
    gitlab.behave();
    for (number, act) in [
        Act::Status(503),
        Act::CutHead { after: 0 },
        Act::CutHead { after: 30 },
        Act::Close { after: 1_000 },
        Act::Reset { after: 1_000 },
        Act::Flip { at: 1_000 },
        Act::Encoding("gzip"),
        Act::AnotherRange("bytes 7-9/70"),
    ]
    .into_iter()
    .enumerate()
    {
        let wheel = Distribution::new(&format!("w{number}"), "1.0")
            .payload(9_000)
            .wheel();
        gitlab.publish(42, &wheel);
        let fault = gitlab.plan(act.at(Kind::File));
        client.get(&path::project_page(42, &format!("w{number}")));
        client.get(&path::project_file(42, &wheel));
        client.get_range(&path::project_file(42, &wheel), "bytes=-100");
        fault.remove();
    }
    let left = client.start("GET", &path::project_page(42, "w1"), &[]);
    drop(left);
    for command in [
        &["stats"][..],
        &["gc"],
        &["auth", "flush"],
        &["refresh", "x", "--from", "projects/42"],
    ] {
        larder.command(command);
    }
    gitlab.stop();
    client.get(&path::project_page(42, "away"));
    client.get("/end");
    larder.wait_for_log("path=/end");
    let lines = lines(&larder);
    assert!(lines.len() > 60, "{}", lines.len());
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"));
    let documented = documented.expect("a document");
    for line in lines
        .iter()
        .filter(|line| line["target"] == "larder::request")
    {
        for key in line.keys() {
            assert!(
                documented.contains(&format!("| `{key}` |")),
                "docs/metrics.md: {key}"
            );
        }
    }
    let said = |words: &str| {
        lines
            .iter()
            .any(|line| line.get("error").is_some_and(|error| error.contains(words)))
    };
    assert!(
        said("he said \"no\"\nand = left \u{1b}[31m"),
        "{}",
        larder.log()
    );
}

/// What a daemon says on either stream until it has answered once and ended.
fn said_by(log_section: &str, port: &HeldPort) -> (String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("larder.toml");
    let text = format!(
        "listen = \"{}\"\ncache_dir = {:?}\n[gitlab]\nurl = \"http://127.0.0.1:9\"\n{log_section}",
        port.address(),
        folder.path().join("cache")
    );
    std::fs::write(&config, text).expect("a writable folder");
    let mut command = Command::new(binary());
    command.args(["serve", "--config"]).arg(&config);
    // A name that is passed over with a warning.
    command.env_clear().env("LARDER_STRANGER", "x");
    let process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = process.spawn().expect("the binary runs");
    eventually("it listens, or has ended", || {
        std::net::TcpStream::connect(port.address()).is_ok()
    });
    Client::new(port.address()).get(&path::project_page(42, "x"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a child of ours");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn json_is_json_from_the_first_byte_to_the_last() {
    let (stdout, stderr) = said_by("[log]\nformat = \"json\"\n", &HeldPort::new());
    assert_eq!(stdout, "");
    let mut starts = Vec::new();
    for line in stderr.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        if value["target"] == "larder::start" {
            starts.push(value);
        }
    }
    let [start] = starts.as_slice() else {
        panic!("not one start: {stderr}");
    };
    for key in [
        "version",
        "listen",
        "gitlab",
        "cache_dir",
        "status_page",
        "message",
    ] {
        assert!(start[key].is_string(), "no {key} in {start}");
    }
    assert!(
        start["status_page"]
            .as_str()
            .is_some_and(|page| page.ends_with("/-/"))
    );
}

#[test]
fn the_start_is_told_whatever_the_level() {
    for level in ["off", "error", "info,larder::request=warn"] {
        let (stdout, stderr) = said_by(&format!("[log]\nlevel = {level:?}\n"), &HeldPort::new());
        assert_eq!(stdout, "", "{level}");
        let starts = stderr
            .lines()
            .filter(|line| line.contains("target=larder::start "));
        assert_eq!(starts.count(), 1, "{level}: {stderr}");
        let quiet = level != "off" || stderr.lines().count() == 1;
        assert!(quiet, "{level}: {stderr}");
    }
}

#[test]
fn a_daemon_that_cannot_start_says_so_in_json_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("larder.toml");
    let text = format!(
        "listen = \"{}\"\ncache_dir = {:?}\n[log]\nformat = \"json\"\n",
        taken.local_addr().expect("an address"),
        folder.path().join("cache")
    );
    std::fs::write(&config, text).expect("a writable folder");
    let output = Command::new(binary())
        .args(["serve", "--config"])
        .arg(&config)
        .output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let mut last = serde_json::Value::Null;
    for line in said.lines() {
        last = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    }
    let value = last;
    let why = value["error"].as_str().unwrap_or_default();
    assert_eq!(value["level"], "ERROR");
    assert!(
        why.contains(&taken.local_addr().expect("an address").to_string()),
        "{said}"
    );
}
