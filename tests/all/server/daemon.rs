//! The manners of a daemon: starting, stopping, limits, health, numbers, log lines.

#![expect(
    clippy::disallowed_methods,
    reason = "a test owns its clock and its files"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::delivery::eventually;
use crate::support::openmetrics::{OPENMETRICS, samples};
use crate::support::{
    Act, Answer, Client, Distribution, Ending, Gate, GitLab, Kind, Larder, Site, Storage, Terminal,
    Workbench, path, token,
};

/// A command of the binary in an environment of nothing but these variables; for commands that end
/// by themselves.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(crate::support::larder::binary())
        .args(arguments)
        .env_clear()
        .env("LARDER_CONFIG", "/dev/null")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder() -> TempDir {
    TempDir::with_prefix("larder-daemon-").expect("a temporary folder")
}

fn write(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a writable folder");
    path.to_string_lossy().into_owned()
}

fn refuses_connections(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err()
}

// ---- Stopping.

#[test]
fn r20_a_signal_ends_the_accepting_at_once_and_lets_downloads_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        for storage in [Storage::Disk, Storage::Redirect] {
            let case = format!("{signal:?} {storage:?}");
            let gitlab = GitLab::builder().storage(storage).start();
            let wheel = Distribution::new("big", "1.0").payload(3_000_000).wheel();
            gitlab.publish(42, &wheel);
            let mut larder = Larder::start(&gitlab);
            let client = larder.client().token(token::READER);
            let gate = gitlab.hold(Site::FileBody, 1_000_000);
            let mut leader = client.start("GET", &path::project_file(42, &wheel), &[]);
            let mut joiner = client.start("GET", &path::project_file(42, &wheel), &[]);
            for reader in [&mut leader, &mut joiner] {
                assert_eq!(
                    (reader.status(), reader.read_body(100_000)),
                    (200, 100_000),
                    "{case}"
                );
            }
            // A connection that is kept alive, and one that has said nothing, hold nothing up.
            let mut idle = client.connect();
            idle.send(client.head_text("GET", "/-/health/live", &[]).as_bytes());
            idle.reply_to("GET").expect(200);
            let silent = client.connect();

            larder.signal(signal);

            eventually("new connections are refused", || {
                refuses_connections(larder.address())
            });
            assert!(
                idle.closes_within(Duration::from_secs(5)),
                "{case}: an idle connection is kept"
            );
            assert!(
                larder.wait(Duration::from_millis(200)).is_none(),
                "{case}: gone, with downloads running"
            );
            gate.open();
            for reader in [leader, joiner] {
                assert!(
                    reader.finish().expect(200) == wheel.bytes,
                    "{case}: other bytes"
                );
            }
            let status = larder.wait(Duration::from_secs(10));
            assert_eq!(
                status.and_then(|status| status.code()),
                Some(0),
                "{case}: {}",
                larder.log()
            );
            drop(silent);

            // What the last download brought is there after a restart.
            gitlab.log().clear();
            let larder = larder.restart();
            larder
                .client()
                .token(token::READER)
                .get(&path::project_file(42, &wheel))
                .expect(200);
            assert_eq!(gitlab.log().file_bodies().bytes, 0, "{case}: fetched again");
        }
    }
}

#[test]
fn r20_an_upload_under_way_is_finished_too() {
    let gitlab = GitLab::start();
    let mut larder = Larder::start(&gitlab);
    let client = larder.client().token(token::DEVELOPER);
    let gate = gitlab.hold(Kind::Upload, 0);
    let body = b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--x\r\nContent-Disposition: form-data; \
                 name=\"version\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"content\"; \
                 filename=\"x-1.tar.gz\"\r\n\r\nx\r\n--x--\r\n";
    let upload = std::thread::spawn({
        let client = client.clone();
        move || client.post(&path::upload(42), "multipart/form-data; boundary=x", body)
    });
    gate.wait_for(1);
    larder.signal(Signal::TERM);
    eventually("new connections are refused", || {
        refuses_connections(larder.address())
    });
    gate.open();
    upload.join().expect("no panic").expect(201);
    assert_eq!(
        larder
            .wait(Duration::from_secs(10))
            .and_then(|status| status.code()),
        Some(0)
    );
}

#[test]
fn r20_a_download_that_does_not_end_is_cut_after_the_drain_limit() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("big", "1.0").payload(3_000_000).wheel();
    gitlab.publish(42, &wheel);
    let mut larder = Larder::builder(&gitlab)
        .sections("[limits]\ndrain_timeout = \"300ms\"")
        .start();
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let client = larder.client().token(token::READER);
    let mut reader = client.start("GET", &path::project_file(42, &wheel), &[]);
    reader.read_body(1000);
    gate.wait_for(1);
    assert_eq!(larder.terminate().code(), Some(0), "{}", larder.log());
    assert!(larder.log().contains("drain limit"), "{}", larder.log());
    assert!(!reader.finish().is_complete());
}

// ---- Starting.

#[test]
fn a_second_daemon_on_the_same_folder_says_so_and_leaves_with_one() {
    let gitlab = GitLab::start();
    let first = Larder::start(&gitlab);
    let cache = first.cache_dir();
    let second = run(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--gitlab",
            gitlab.url(),
            "--cache-dir",
            &cache.to_string_lossy(),
        ],
        &[],
    );
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = text(&second.stderr);
    assert!(
        said.starts_with("larder: ") && said.contains(&*cache.to_string_lossy()),
        "{said}"
    );
    assert!(!text(&second.stdout).contains("listening"), "{second:?}");
    first.client().get("/-/health/ready").expect(200);

    // And a folder that was left, by whatever end, is free again.
    let mut first = first;
    first.kill();
    first.restart().client().get("/-/health/ready").expect(200);
}

#[test]
fn an_address_in_use_is_named_and_the_exit_code_is_one() {
    let gitlab = GitLab::start();
    let folder = folder();
    let taken = gitlab.address().to_string();
    let cache = folder.path().join("cache").to_string_lossy().into_owned();
    let refused = run(
        &[
            "serve",
            "--listen",
            &taken,
            "--gitlab",
            gitlab.url(),
            "--cache-dir",
            &cache,
        ],
        &[],
    );
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&taken) && said.contains("listen"), "{said}");
}

#[test]
fn a_bad_configuration_is_told_with_key_value_and_place_and_the_exit_code_is_78() {
    let folder = folder();
    let absent = folder
        .path()
        .join("absent.toml")
        .to_string_lossy()
        .into_owned();
    let token = folder
        .path()
        .join("no-token")
        .to_string_lossy()
        .into_owned();
    // What stands in the file, what in the environment, and what must be said.
    let in_file: [(&str, &[&str]); 18] = [
        (
            "[access]\ngrant_for = \"9s\"",
            &["access.grant_for", "auth.cache_ttl"],
        ),
        (
            "[index]\nstale_for = \"9d\"",
            &["index.stale_for", "index.stale_if_error"],
        ),
        (
            "[mirrors.one]\nhashless = \"store\"",
            &["mirrors.one.hashless", "mirrors.one.unhashed_files"],
        ),
        ("lisen = \"127.0.0.1:1\"", &["lisen"]),
        (
            "[gitlab]\nurll = \"https://gitlab.example.com\"",
            &["gitlab", "urll"],
        ),
        ("[indx]\nttl = \"3s\"", &["indx"]),
        (
            "[index]\nttl = \"30 parsecs\"",
            &["index.ttl", "30 parsecs"],
        ),
        ("[index]\nttl = 30", &["index.ttl", "30"]),
        ("cache_size = \"20 gallons\"", &["cache_size", "20 gallons"]),
        ("cache_size = \"0\"", &["cache_size"]),
        (
            "[gitlab]\nurl = \"gitlab.example.com\"",
            &["gitlab.url", "\"gitlab.example.com\""],
        ),
        (
            "[gitlab]\nurl = \"ftp://gitlab.example.com\"",
            &["gitlab.url", "ftp://gitlab.example.com"],
        ),
        (
            "[gitlab]\nurl = \"https://me:s3cret@gitlab.example.com\"",
            &["gitlab.url", "@gitlab.example.com"],
        ),
        (
            "public_url = \"https://me:s3cret@ci.example.com\"",
            &["public_url", "@ci.example.com"],
        ),
        (
            "[gitlab]\nobject_storage_origins = [\"objects\"]",
            &["gitlab.object_storage_origins", "objects"],
        ),
        ("[auth]\ncache_ttl = \"10m\"", &["auth.cache_ttl", "10m"]),
        ("[log]\nformat = \"xml\"", &["log.format", "xml"]),
        ("listen = ", &[]),
    ];
    for (content, named) in in_file {
        let file = write(&folder, "bad.toml", content);
        for command in ["serve", "check-config"] {
            let refused = run(&[command, "--config", &file], &[("HOME", "/nonexistent")]);
            let said = text(&refused.stderr);
            assert_eq!(
                refused.status.code(),
                Some(78),
                "{command}, {content:?}: {said}"
            );
            assert!(
                said.contains("bad.toml"),
                "{command}, {content:?} does not name the file: {said}"
            );
            for part in named {
                assert!(
                    said.contains(part),
                    "{command}, {content:?} does not name {part:?}: {said}"
                );
            }
            assert!(!said.contains("s3cret"), "{command}: a secret in {said}");
            assert!(!said.contains("panicked"), "{command}, {content:?}: {said}");
        }
    }
    let in_environment: [(&str, &str, &[&str]); 6] = [
        (
            "LARDER_NAMES__PRIVATE",
            "[]",
            &["LARDER_NAMES__PRIVATE", "LARDER_PRIVATE_PACKAGES"],
        ),
        (
            "LARDER_MIRRORS__ONE__REST",
            "1s",
            &["LARDER_MIRRORS__ONE__BREAKER_OPEN_FOR"],
        ),
        ("LARDER_LISEN", "x", &["lisen", "LARDER_"]),
        (
            "LARDER_INDEX__TTL",
            "30 parsecs",
            &["index.ttl", "30 parsecs", "LARDER_"],
        ),
        (
            "LARDER_GITLAB__URL",
            "nonsense",
            &["gitlab.url", "nonsense", "LARDER_"],
        ),
        (
            "LARDER_GITLAB__RETRIES",
            "-1",
            &["gitlab.retries", "-1", "LARDER_"],
        ),
    ];
    for (name, value, named) in in_environment {
        let refused = run(&["check-config"], &[(name, value)]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{name}={value}: {said}");
        for part in named {
            assert!(
                said.contains(part),
                "{name}={value} does not name {part:?}: {said}"
            );
        }
    }
    for (arguments, part) in [
        (["serve", "--config", &absent], absent.as_str()),
        (["serve", "--gitlab", "nonsense"], "nonsense"),
        (["serve", "--listen", "nonsense"], "listen: "),
    ] {
        let refused = run(&arguments, &[("HOME", &*folder.path().to_string_lossy())]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let file = write(
        &folder,
        "token.toml",
        &format!("[gitlab]\ntoken_file = {token:?}"),
    );
    let home = folder.path().to_string_lossy().into_owned();
    let refused = run(
        &["serve", "--listen", "127.0.0.1:0", "--config", &file],
        &[("HOME", &home)],
    );
    let said = text(&refused.stderr);
    assert!(
        refused.status.code() == Some(78) && said.contains(&token) && said.contains("token_file"),
        "{said}"
    );
    assert_eq!(
        run(&["serve", "--no-such-option"], &[]).status.code(),
        Some(2)
    );
    assert_eq!(run(&["no-such-command"], &[]).status.code(), Some(2));
}

#[test]
fn check_config_and_config_show_say_what_is_in_force_and_where_it_comes_from() {
    let folder = folder();
    let file = write(
        &folder,
        "good.toml",
        "cache_size = \"1GiB\"\n[index]\nttl = \"5s\"\n",
    );
    let environment = [
        ("LARDER_INDEX__STALE_IF_ERROR", "2d"),
        ("LARDER_CACHE_SIZE", "2GiB"),
    ];
    let checked = run(&["check-config", "--config", &file], &environment);
    assert_eq!(
        (checked.status.code(), text(&checked.stderr).as_str()),
        (Some(0), ""),
        "{checked:?}"
    );

    let shown = run(
        &[
            "config",
            "show",
            "--config",
            &file,
            "--cache-dir",
            "/somewhere",
        ],
        &environment,
    );
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let shown = text(&shown.stdout);
    let line = |key: &str| {
        let start = format!("{key} = ");
        shown
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("no {key} in {shown}"))
    };
    for (key, value, place) in [
        ("index.ttl", "5s", "good.toml"),
        ("index.stale_if_error", "2", "environment"),
        // The environment wins over the file, the command line over both.
        ("cache_size", "2", "environment"),
        ("cache_dir", "/somewhere", "command line"),
        ("gitlab.retries", "2", "default"),
    ] {
        assert!(
            line(key).contains(value) && line(key).contains(place),
            "{}",
            line(key)
        );
    }
}

#[test]
fn the_command_line_wins_over_the_file() {
    let (gitlab, other) = (GitLab::start(), GitLab::start());
    other.publish(42, Distribution::new("only-there", "1.0").wheel());
    let elsewhere = folder();
    let cache = elsewhere.path().join("deep/cache");
    let larder = Larder::builder(&gitlab)
        .setting("listen = \"192.0.2.1:1\"")
        .argument("--gitlab")
        .argument(other.url())
        .argument("--cache-dir")
        .argument(&cache.to_string_lossy())
        .start();
    assert!(larder.address().ip().is_loopback());
    larder
        .client()
        .token(token::READER)
        .get(&path::project_page(42, "only-there"))
        .expect(200);
    assert!(gitlab.log().is_empty() && cache.is_dir() && !larder.cache_dir().exists());
    assert!(
        larder.log().contains(&*cache.to_string_lossy()),
        "{}",
        larder.log()
    );
}

#[test]
fn the_cache_lives_where_systemd_or_the_user_keeps_caches() {
    let gitlab = GitLab::start();
    let home = folder();
    let at = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    let cases: [(&[(&str, String)], &str); 3] = [
        (&[("HOME", at("h"))], "h/.cache/larder"),
        (
            &[("HOME", at("h")), ("XDG_CACHE_HOME", at("x"))],
            "x/larder",
        ),
        (
            &[
                ("HOME", at("h")),
                ("XDG_CACHE_HOME", at("x")),
                ("CACHE_DIRECTORY", at("s")),
            ],
            "s",
        ),
    ];
    for (environment, expected) in cases {
        let mut larder = Larder::builder(&gitlab)
            .setting("# the line above is overridden")
            .argument("--cache-dir");
        larder = larder.argument("");
        for (name, value) in environment {
            larder = larder.environment(name, value);
        }
        for absent in ["XDG_CACHE_HOME", "CACHE_DIRECTORY"] {
            if environment.iter().all(|(name, _)| *name != absent) {
                larder = larder.environment(absent, "");
            }
        }
        let _larder = larder.start();
        assert!(
            Path::new(&at(expected)).is_dir(),
            "{environment:?}: not in {expected}"
        );
    }
}

/// The lines that `larder serve` prints are to be pasted: they are, with a token and a number put
/// in.
#[test]
fn the_lines_it_prints_work_when_they_are_pasted() {
    let gitlab = GitLab::start();
    gitlab.publish(42, Distribution::new("thing", "1.0").wheel());
    let folder = folder();
    let cache = folder.path().to_string_lossy().into_owned();
    let everywhere = [
        "--listen",
        "0.0.0.0:0",
        "--gitlab",
        gitlab.url(),
        "--cache-dir",
        &cache,
    ];
    let arguments = [&["serve"][..], &everywhere].concat();
    let mut terminal = Terminal::start(&crate::support::larder::binary(), &arguments);
    let banner = terminal.read_to("How it is");
    // No client can call every address.
    assert!(!banner.contains("0.0.0.0"), "{banner}");
    let (_, status_page) = banner.trim_end().rsplit_once(' ').expect("its last line");
    let address = status_page
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/-/"));
    let address = address.and_then(|address| address.parse().ok());
    let client = Client::new(address.unwrap_or_else(|| panic!("no address in {banner}")));
    client.get("/-/").expect(200);
    let line = |tool: &str| {
        let found = banner
            .lines()
            .find_map(|line| line.strip_prefix(tool).map(str::trim));
        found
            .unwrap_or_else(|| panic!("no line for {tool} in {banner}"))
            .to_owned()
    };
    let user = Workbench::new();
    let upload = Distribution::new("sent", "1.0").wheel();
    std::fs::create_dir(user.folder().join("dist")).expect("a fresh folder");
    std::fs::write(
        user.folder().join("dist").join(&upload.filename),
        &upload.bytes,
    )
    .expect("writable");
    let python = crate::support::python::program("python")
        .to_string_lossy()
        .into_owned();
    for (tool, package, more) in [
        ("twine", "", vec!["--non-interactive"]),
        ("pip", "thing", vec!["--target", "by-pip"]),
        ("uv", "sent", vec!["--target", "by-uv", "--python", &python]),
    ] {
        let pasted = line(tool)
            .replace("TOKEN", token::DEVELOPER)
            .replace("/ID/", "/42/")
            .replace("PACKAGE", package)
            .replace("dist/*", &format!("dist/{}", upload.filename));
        let mut words: Vec<&str> = pasted.split_whitespace().collect();
        assert_eq!(words.remove(0), tool, "{pasted}");
        words.extend(more);
        let done = user.run(&crate::support::python::program(tool), &words);
        assert!(done.succeeded(), "{pasted}: {done:#?}");
    }
    assert!(
        user.folder().join("by-pip/thing").is_dir() && user.folder().join("by-uv/sent").is_dir()
    );
    assert!(!banner.contains(token::DEVELOPER), "a secret in the banner");
}

// ---- Health, numbers, log lines.

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    Some(rest.split(' ').next().unwrap_or_default().trim_matches('"'))
}

/// One request of each kind with each outcome; gives what each must have been logged as.
fn all_sorts_of_requests(
    gitlab: &GitLab,
    larder: &Larder,
) -> Vec<(&'static str, String, u16, &'static str)> {
    let wheel = Distribution::new("big", "1.0").payload(100_000).wheel();
    gitlab.publish(42, &wheel);
    let reader = larder.client().token(token::READER);
    let other = larder.client().token(token::DEVELOPER);
    let (page, file) = (
        path::project_page(42, "big"),
        path::project_file(42, &wheel),
    );
    let nowhere = "/api/v4/user";
    let requests: Vec<(&Client, &str, &str, u16, &str)> = vec![
        (&reader, "GET", &page, 200, "miss"),
        (&reader, "GET", &page, 200, "hit"),
        (&reader, "HEAD", &page, 200, "hit"),
        (&other, "GET", &page, 200, "revalidated"),
        (&reader, "GET", &file, 200, "miss"),
        (&reader, "GET", &file, 200, "hit"),
        (&other, "HEAD", &file, 200, "hit"),
        (&reader, "GET", nowhere, 404, "internal"),
        (&reader, "DELETE", &page, 405, "internal"),
        (&reader, "POST", &page, 405, "internal"),
    ];
    let mut expected = Vec::new();
    for (client, method, address, status, word) in requests {
        let method: &'static str = match method {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            _ => "DELETE",
        };
        let reply = client.request(method, address, &[]);
        assert_eq!(reply.status, status, "{method} {address}: {reply:?}");
        let told = reply.header("Cache-Status").unwrap_or_default();
        let fits = match word {
            "hit" => told.starts_with("larder; hit"),
            "miss" => told.starts_with("larder; fwd=uri-miss"),
            "revalidated" => told.starts_with("larder; fwd=request"),
            _ => told.starts_with("larder; detail=internal"),
        };
        assert!(fits, "{method} {address} should be {word}: {told:?}");
        expected.push((method, address.to_owned(), status, word));
        // What was fetched counts as a hit from when it has landed.
        let mut landed = word != "miss";
        while !landed {
            landed = larder.metric("larder_downloads") == Some(0.0);
            expected.push(("GET", "/-/metrics".to_owned(), 200, "internal"));
        }
    }
    let anonymous = larder.client();
    assert_eq!(anonymous.get(&file).status, 401);
    expected.push(("GET", file, 401, "bypass"));
    expected
}

#[test]
fn every_request_has_one_line_with_the_word_of_its_cache_status() {
    let gitlab = GitLab::start();
    for format in ["text", "json"] {
        let larder = Larder::builder(&gitlab)
            .every_request_logged()
            .sections(&format!("format = {format:?}"))
            .start();
        let expected = all_sorts_of_requests(&gitlab, &larder);
        larder
            .client()
            .get("/-/health/live?end-of-test")
            .expect(200);
        larder.wait_for_log("/-/health/live");

        let log = larder.log();
        let lines: Vec<(String, String, u16, String)> = log
            .lines()
            .filter(|line| line.contains("larder::request"))
            .map(|line| match format {
                "json" => {
                    let value: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
                    let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                    assert!(
                        value["duration_ms"].is_number() && value["bytes"].is_number(),
                        "{line}"
                    );
                    let status = value["status"].as_u64().expect("a status");
                    let status = u16::try_from(status).expect("a status");
                    (word("method"), word("path"), status, word("cache"))
                }
                _ => {
                    let word = |name: &str| field(line, name).unwrap_or_default().to_owned();
                    let status = word("status").parse().expect("a status");
                    (word("method"), word("path"), status, word("cache"))
                }
            })
            .collect();
        assert_eq!(
            lines.len(),
            expected.len() + 1,
            "{format}: not one line a request\n{log}"
        );
        for ((method, address, status, word), line) in expected.iter().zip(&lines) {
            let (method, word) = ((*method).to_owned(), (*word).to_owned());
            assert_eq!(
                line,
                &(method, address.clone(), *status, word),
                "{format}\n{log}"
            );
        }
        if format == "json" {
            for line in log.lines() {
                serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
            }
        }
        for secret in [token::READER, token::DEVELOPER] {
            assert!(!log.contains(secret), "{format}: a token in the log");
            let coded = crate::support::basic::pack("__token__", secret);
            assert!(!log.contains(&coded), "{format}: a coded token in the log");
        }
    }
}

#[test]
fn the_numbers_are_openmetrics_and_agree_with_the_log() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).every_request_logged().start();
    assert_eq!(
        samples(&larder.metrics())
            .iter()
            .filter(|sample| sample.0 == "larder_requests_total")
            .count(),
        0
    );
    all_sorts_of_requests(&gitlab, &larder);
    // An answer that is cut counts as broken.
    let broken = Distribution::new("broken", "1.0").payload(100_000).wheel();
    gitlab.publish(42, &broken);
    gitlab.plan(Act::Flip { at: 50_000 }.at(Site::FileBody));
    let cut = larder
        .client()
        .token(token::READER)
        .get(&path::project_file(42, &broken));
    assert!(!cut.is_complete());
    gitlab.behave();
    larder.wait_for_log(" error=");

    let reply = larder
        .client()
        .get_with("/-/metrics", &[("Accept", OPENMETRICS)]);
    let kind = reply.header("Content-Type").unwrap_or_default();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let samples = samples(&reply.text());
    larder.client().get("/-/health/live").expect(200);
    larder.wait_for_log("/-/health/live");

    // Everything that was logged before this scrape, by route, outcome and status.
    let log = larder.log();
    let mut counted: BTreeMap<(String, u16), (f64, f64)> = BTreeMap::new();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("larder::request"))
        .collect();
    let scrape = lines
        .iter()
        .rposition(|line| line.contains("/-/metrics"))
        .expect("it is logged as well");
    for line in &lines[..scrape] {
        let word = |name: &str| field(line, name).unwrap_or_default();
        let sum = counted
            .entry((
                word("cache").to_owned(),
                word("status").parse().expect("a status"),
            ))
            .or_insert((0.0, 0.0));
        sum.0 += 1.0;
        sum.1 += word("bytes").parse::<f64>().expect("a number of bytes");
    }
    for ((cache, status), (requests, _)) in &counted {
        let found: f64 = samples
            .iter()
            .filter(|(name, labels, _)| {
                name == "larder_requests_total"
                    && labels["cache"] == *cache
                    && labels["status"] == status.to_string()
            })
            .map(|sample| sample.2)
            .sum();
        assert_eq!(
            found,
            *requests,
            "{cache} {status}:\n{}\n{log}",
            reply.text()
        );
    }
    let sum = |name: &str| {
        samples
            .iter()
            .filter(|sample| sample.0 == name)
            .map(|sample| sample.2)
            .sum::<f64>()
    };
    assert_eq!(
        sum("larder_requests_total"),
        counted.values().map(|sum| sum.0).sum::<f64>()
    );
    assert_eq!(
        sum("larder_response_bytes_total"),
        counted.values().map(|sum| sum.1).sum::<f64>()
    );
    assert_eq!(sum("larder_responses_broken_total"), 1.0);
    assert!(
        sum("larder_auth_cache_entries") >= 2.0 && sum("larder_store_bytes") >= 100_000.0,
        "{}",
        reply.text()
    );
    let labels: Vec<&String> = samples
        .iter()
        .flat_map(|sample| sample.1.values())
        .collect();
    assert!(
        !labels
            .iter()
            .any(|label| label.contains("big") || **label == "42"),
        "{labels:?}"
    );
}

#[test]
fn health_is_told_whatever_gitlab_does_and_without_asking_it() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    gitlab.stop();
    for address in ["/-/health/live", "/-/health/ready", "/-/metrics"] {
        larder.client().get(address).expect(200);
        let head = larder.client().head(address);
        assert!(
            head.status == 200 && head.is_complete() && head.header("Content-Length").is_some(),
            "{head:?}"
        );
        assert_eq!(
            larder.client().token(token::STRANGER).get(address).status,
            200
        );
    }
    for address in [
        "/-/health",
        "/-/health/live/",
        "/-/metrics/x",
        "/-/status/x",
    ] {
        assert_eq!(larder.client().get(address).status, 404, "{address}");
    }
    assert!(gitlab.log().is_empty());
}

// ---- Limits.

#[test]
fn r18_two_hundred_silent_connections_delay_nobody_and_are_closed() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nfirst_byte_timeout = \"3s\"")
        .start();
    let client = larder.client().token(token::READER);
    client.get(&path::project_page(42, "my-pkg")).expect(200);
    let before = larder.open_files();
    let mut silent: Vec<_> = (0..200).map(|_| client.connect()).collect();
    // Connections are accepted in turn: whoever is served now comes after them.
    for _ in 0..20 {
        client.get(&path::project_page(42, "my-pkg")).expect(200);
    }
    for wire in &mut silent {
        assert!(
            wire.closes_within(Duration::from_secs(10)),
            "a silent connection is kept"
        );
        assert!(
            wire.leftover().is_empty(),
            "something was said to one who said nothing"
        );
    }
    eventually("their descriptors are free", || {
        larder.open_files() <= before + 2
    });
}

#[test]
fn r18_half_a_head_is_not_waited_for_without_end() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nheader_timeout = \"300ms\"")
        .start();
    let client = larder.client();
    for start in [
        "G",
        "GET /-/health/live HTTP/1.1\r\n",
        "GET /-/health/live HTTP/1.1\r\nHost: x\r\nX: ",
    ] {
        let mut wire = client.connect();
        wire.send(start.as_bytes());
        assert!(
            wire.closes_within(Duration::from_secs(5)) || !wire.leftover().is_empty(),
            "{start:?}"
        );
    }
    // The pause between two requests is bounded by the same limit.
    let mut wire = client.connect();
    wire.send(client.head_text("GET", "/-/health/live", &[]).as_bytes());
    wire.reply_to("GET").expect(200);
    assert!(
        wire.closes_within(Duration::from_secs(5)),
        "an idle connection is kept"
    );
    assert!(gitlab.log().is_empty());
}

#[test]
fn connections_over_the_limit_wait_for_a_place() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 3")
        .start();
    let client = larder.client();
    let mut held: Vec<_> = (0..3)
        .map(|_| {
            let mut wire = client.connect();
            wire.send(client.head_text("GET", "/-/health/live", &[]).as_bytes());
            wire.reply_to("GET").expect(200);
            wire
        })
        .collect();
    // Those who have just been served may go on; how larder is may be asked by more.
    let page = path::project_page(42, "my-pkg");
    let waiting = client
        .clone()
        .patience(Duration::from_millis(300))
        .get(&page);
    assert_eq!(
        waiting.ending,
        Ending::TimedOut { got: 0 },
        "a fourth was served: {waiting:?}"
    );
    drop(held.pop());
    client.get("/-/health/live").expect(200);
}

// ---- The operator's own token, and a larder that points at itself.

fn with_token(gitlab: &GitLab, secret: &str) -> (TempDir, Larder) {
    let folder = folder();
    let file = write(&folder, "token", &format!("{secret}\n"));
    let larder = Larder::builder(gitlab)
        .gitlab_setting(&format!("token_file = {file:?}"))
        .start();
    (folder, larder)
}

#[test]
fn a_service_token_stands_for_every_caller() {
    let gitlab = GitLab::start();
    let (_folder, larder) = with_token(&gitlab, token::DEVELOPER);
    let wheel = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    for client in [
        larder.client(),
        larder.client().token(token::STRANGER),
        larder.client().bearer("nobody-knows"),
    ] {
        client.get(&path::project_page(42, "my-pkg")).expect(200);
        client.get(&path::group_index(7)).expect(200);
        assert_eq!(
            client.get(&path::project_file(42, &wheel)).expect(200),
            &wheel.bytes[..]
        );
    }
    let form =
        b"--x\r\nContent-Disposition: form-data; name=\"content\"; filename=\"x.whl\"\r\n\r\nx\r\n--x--\r\n";
    let reply = larder
        .client()
        .post(&path::upload(42), "multipart/form-data; boundary=x", form);
    assert_eq!(
        reply.status, 400,
        "let in, and then told what is missing: {reply:?}"
    );
    for entry in gitlab.log().entries() {
        let headers = format!("{:?}", entry.head.headers);
        assert!(
            headers.contains(token::DEVELOPER),
            "not in the service's name: {entry:?}"
        );
        assert!(
            !headers.contains("nobody-knows"),
            "a caller's credential went on: {entry:?}"
        );
    }
    assert!(
        !larder.log().contains(token::DEVELOPER),
        "the token is in the log"
    );
}

#[test]
fn a_refused_service_token_is_a_502_with_a_sentence_and_never_a_401() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    for secret in [token::REVOKED, token::NARROW, "nobody-knows"] {
        let (_folder, larder) = with_token(&gitlab, secret);
        let client = larder.client();
        for address in [
            path::project_index(42),
            path::project_page(42, "my-pkg"),
            path::group_page(7, "my-pkg"),
            path::project_file(42, &wheel),
            format!("{}.metadata", path::project_file(42, &wheel)),
        ] {
            for method in ["GET", "HEAD"] {
                let reply = client.request(method, &address, &[]);
                assert!(
                    reply.status == 502 && reply.is_complete(),
                    "{secret} {method} {address}: {reply:?}"
                );
                assert_eq!(reply.header("WWW-Authenticate"), None, "{secret} {address}");
                assert!(
                    reply.reason.contains("token_file"),
                    "{secret} {address}: {reply:?}"
                );
                let said = format!("{reply:?}");
                assert!(!said.contains(secret), "the token in {said}");
            }
        }
        let form = b"--x\r\nContent-Disposition: form-data; name=\"content\"; filename=\"x.whl\"\r\n\r\nx\r\n--x--\r\n";
        let reply = client.post(&path::upload(42), "multipart/form-data; boundary=x", form);
        assert!(
            reply.status == 502 && reply.reason.contains("token_file"),
            "{secret}: {reply:?}"
        );
    }
}

#[test]
fn a_service_token_is_for_loopback_unless_the_network_is_trusted() {
    let folder = folder();
    let token = write(&folder, "token", "secret-of-the-service");
    let cache = folder.path().join("cache").to_string_lossy().into_owned();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let file = write(
            &folder,
            "open.toml",
            &format!("listen = {listen:?}\n[gitlab]\ntoken_file = {token:?}"),
        );
        let refused = run(&["serve", "--config", &file, "--cache-dir", &cache], &[]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{listen}: {said}");
        for part in ["gitlab.token_file", listen, "trust_network", "open.toml"] {
            assert!(said.contains(part), "{listen} does not name {part}: {said}");
        }
        assert!(!said.contains("secret-of-the-service"), "{said}");
    }
}

/// Passes connections on to an address that is told later; ends with the test.
fn relay() -> (SocketAddr, std::sync::mpsc::Sender<SocketAddr>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a listening socket");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let Ok(target) = told.recv() else { return };
        for incoming in listener.incoming().flatten() {
            // Without a sender the test is over.
            if told.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                return;
            }
            let Ok(outgoing) = TcpStream::connect(target) else {
                continue;
            };
            for (from, to) in [(&incoming, &outgoing), (&outgoing, &incoming)] {
                let mut ends = (
                    from.try_clone().expect("a socket"),
                    to.try_clone().expect("a socket"),
                );
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut ends.0, &mut ends.1);
                    let _ = ends.1.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (address, tell)
}

#[test]
fn a_larder_that_points_at_itself_says_so_and_does_not_run_in_circles() {
    let (address, target) = relay();
    let larder = Larder::in_front_of(&format!("http://{address}"))
        .every_request_logged()
        .start();
    target
        .send(larder.address())
        .expect("the relay waits for it");
    let client = larder.client().token(token::READER);
    let wheel = Distribution::new("x", "1").wheel();
    let targets = [
        path::project_index(42),
        path::group_page(7, "x"),
        path::project_file(42, &wheel),
    ];
    for target in &targets {
        let reply = client.get(target);
        assert!(
            reply.status == 508 && reply.is_complete(),
            "{target}: {reply:?}"
        );
        assert!(reply.text().contains("gitlab.url"), "{target}: {reply:?}");
    }
    let form = b"--x--\r\n";
    let reply = client.post(&path::upload(42), "multipart/form-data; boundary=x", form);
    assert!(reply.status == 508 && reply.is_complete(), "{reply:?}");
    larder.client().get("/-/health/live").expect(200);
    larder.wait_for_log("/-/health/live");
    let requests = larder
        .log()
        .lines()
        .filter(|line| line.contains("larder::request"))
        .count();
    // Each of the four comes in twice, and no more often.
    assert!(
        requests <= 9,
        "{requests} requests for four:\n{}",
        larder.log()
    );
    drop(target);
    let _ = TcpStream::connect(address);
}

#[test]
fn r12_a_gitlab_that_says_nothing_is_given_up_after_the_configured_time() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("header_timeout = \"300ms\"")
        .gitlab_setting("idle_timeout = \"300ms\"")
        .start();
    let client = larder.client().token(token::READER);
    let wheel = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    gitlab.plan(Act::StallBeforeHead(crate::support::FOR_EVER).at(Site::Anywhere));
    for target in [
        path::project_index(42),
        path::project_page(42, "my-pkg"),
        path::project_file(42, &wheel),
    ] {
        let reply = client.get(&target);
        assert!(
            reply.status == 504 && reply.is_complete(),
            "{target}: {reply:?}"
        );
    }
    gitlab.behave();
    let gate = Gate::new();
    gitlab.plan(
        Act::Gate {
            after: 0,
            gate: gate.clone(),
        }
        .at(Kind::Page),
    );
    let reply = client.get(&path::project_page(42, "my-pkg"));
    assert!(
        matches!(reply.status, 502 | 504) && reply.is_complete(),
        "{reply:?}"
    );
    gitlab.behave();
    gate.open();
    gitlab.plan(Act::Answer(Answer::html(200)).at(Kind::Page));
    assert_eq!(client.get(&path::project_page(42, "my-pkg")).status, 502);
    gitlab.behave();
    client.get(&path::project_page(42, "my-pkg")).expect(200);
}
