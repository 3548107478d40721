//! Lines for the journal, and for everybody else.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::fs::fstat;
use tempfile::TempDir;

use crate::support::Watched;
use crate::support::larder::binary;

struct Daemon {
    process: Child,
    _watched: Watched,
    _folder: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A larder whose standard error is a stream that `JOURNAL_STREAM` names, as systemd does it, or
/// another.
fn start(format: &str, is_journal: bool) -> (Daemon, Log) {
    let folder = TempDir::with_prefix("larder-journal-").expect("a temporary folder");
    let (reader, writer) = pipe().expect("a pipe");
    let stat = fstat(writer.as_fd()).expect("it is open");
    let inode = if is_journal {
        stat.st_ino
    } else {
        stat.st_ino + 1
    };
    let config = folder.path().join("larder.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\ncache_dir = {:?}\n[gitlab]\nurl = \"http://127.0.0.1:9\"\n[log]\nlevel = \"debug\"\n\
         format = {format:?}\n",
        folder.path().join("cache")
    );
    std::fs::write(&config, text).expect("a writable folder");
    let process = Command::new(binary())
        .args(["serve", "--config"])
        .arg(&config)
        .env("JOURNAL_STREAM", format!("{}:{inode}", stat.st_dev))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .expect("the binary runs");
    let daemon = Daemon {
        _watched: Watched::new(process.id()),
        process,
        _folder: folder,
    };
    let mut log = Log {
        reader: BufReader::new(reader),
        lines: Vec::new(),
    };
    let (_, address) = log.read_to("listening on http://");
    let address = address.split(['/', ' ', ',', '"']).next();
    let address = address.and_then(|address| address.parse().ok());
    let client = crate::support::Client::new(address.expect("an address"));
    client.get("/-/health/live").expect(200);
    // Nobody is at that port: a warning.
    assert_eq!(
        client
            .get("/api/v4/projects/1/packages/pypi/simple/x/")
            .status,
        504
    );
    (daemon, log)
}

/// What a larder says on its standard error.
struct Log {
    reader: BufReader<PipeReader>,
    lines: Vec<String>,
}

impl Log {
    /// Reads up to the line that contains this; what stands before it there, and behind.
    fn read_to(&mut self, part: &str) -> (String, String) {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).expect("it is text");
            assert_ne!(read, 0, "it ended without {part:?}: {:#?}", self.lines);
            let line = line.trim_end().to_owned();
            self.lines.push(line.clone());
            if let Some((before, after)) = line.split_once(part) {
                return (before.to_owned(), after.to_owned());
            }
        }
    }

    /// All lines up to that of the last request.
    fn lines(mut self) -> Vec<String> {
        self.read_to("/simple/x/ status=504");
        self.lines
    }

    fn json_lines(mut self) -> Vec<String> {
        self.read_to("\"status\":504");
        self.lines
    }
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let (_daemon, log) = start("text", true);
    let lines = log.lines();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with('<') && line.as_bytes().get(2) == Some(&b'>')),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with(
        "<7>target=larder::request client=127.0.0.1 method=GET path=/-/health/live "
    )));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("<4>target=larder::upstream::peer_client ")),
        "{lines:#?}"
    );
}

#[test]
fn a_stream_that_is_not_the_journals_gets_the_time_and_the_level() {
    let (_daemon, log) = start("text", false);
    let lines = log.lines();
    assert!(
        lines.iter().all(|line| line.starts_with("timestamp=20")),
        "{lines:#?}"
    );
    for part in [
        "Z level=DEBUG target=larder::request client=127.0.0.1 method=GET path=/-/health/live ",
        "Z level=WARN target=larder::request client=127.0.0.1 method=GET path=/api/v4/",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{lines:#?}");
    }
}

#[test]
fn json_stays_json_with_the_documented_keys() {
    let (_daemon, log) = start("json", true);
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"))
            .expect("a document");
    let mut requests = 0;
    for line in log.json_lines() {
        let value: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let keys = value.as_object().expect("an object");
        for common in ["timestamp", "level", "target"] {
            assert!(keys[common].is_string(), "{line}");
        }
        if value["target"] == "larder::request" {
            requests += 1;
            for key in [
                "client",
                "method",
                "path",
                "status",
                "bytes",
                "duration_ms",
                "cache",
                "id",
            ] {
                assert!(keys.contains_key(key), "no {key} in {line}");
            }
            for key in keys.keys() {
                assert!(
                    documented.contains(&format!("| `{key}` |")),
                    "docs/metrics.md does not tell of {key}"
                );
            }
        }
    }
    assert_eq!(requests, 2);
}
