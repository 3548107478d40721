//! The pipeline that publishes: whether GitLab could read it, whether what it runs is there, and
//! what `.ci/publish` sends. No GitLab runs it here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::wheel::sha256_hex;
use crate::support::{Distribution, python};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SECRET: &str = "glcbt-publishes";

/// Words of GitLab's that are no jobs.
const GLOBAL: [&str; 3] = ["stages", "workflow", "default"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `.gitlab-ci.yml`, as a YAML reader has it.
fn pipeline() -> Value {
    let python = python::tool(&["PyYAML==6.0.3"], "python");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(python)
        .args(["-c", read])
        .arg(root().join(".gitlab-ci.yml"))
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// One text, or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all
            .iter()
            .map(|one| one.as_str().expect("a text"))
            .collect(),
        Value::String(one) => vec![one],
        _ => Vec::new(),
    }
}

#[test]
fn the_pipeline_is_whole_and_runs_what_is_there() {
    let pipeline = pipeline();
    let entries = pipeline.as_object().expect("jobs by name");
    let stages = texts(&pipeline["stages"]);
    let mut scripts = Vec::new();
    for (name, job) in entries {
        if GLOBAL.contains(&name.as_str()) {
            continue;
        }
        for other in [texts(&job["needs"]), texts(&job["extends"])].concat() {
            assert!(entries.contains_key(other), "{name}: there is no {other}");
        }
        if name.starts_with('.') {
            continue;
        }
        let stage = job["stage"].as_str().expect("a stage");
        assert!(stages.contains(&stage), "{name}: {stage}");
        let script = texts(&job["script"]);
        assert!(!script.is_empty(), "{name} does nothing");
        scripts.extend(script);
    }

    let mut run = Vec::new();
    for word in scripts.iter().flat_map(|line| line.split_whitespace()) {
        if word.starts_with(".ci/") {
            assert!(root().join(word).exists(), "{word}");
            run.push(word);
        }
    }
    run.dedup();
    assert!(
        [".ci/run", ".ci/release", ".ci/publish"]
            .iter()
            .all(|script| run.contains(script)),
        "{run:?}"
    );
    let image = pipeline["default"]["image"].as_str().expect("an image");
    let rust = concat!("rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(image.starts_with(rust), "{image}");
}

#[test]
fn every_script_of_the_build_is_good_shell() {
    let mut checked = 0;
    for entry in std::fs::read_dir(root().join(".ci")).expect("a folder") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let shell = match text.lines().next() {
            Some("#!/usr/bin/env bash") => "bash",
            Some("#!/bin/sh") => "sh",
            _ => continue,
        };
        let output = Command::new(shell).arg("-n").arg(&path).output();
        let output = output.expect("a shell");
        assert!(output.status.success(), "{}: {output:?}", path.display());
        checked += 1;
    }
    assert!(checked >= 5, "{checked} scripts");
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Method and target.
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

/// Takes every request and says 201 to it.
pub(crate) struct Recorder {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a listening socket");
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(request) = answer(client) {
                    kept.lock().expect("no panic holds it").push(request);
                }
            }
        });
        Self { address, received }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic holds it").clone()
    }
}

fn answer(mut client: TcpStream) -> std::io::Result<Received> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("content-length: ")?.parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    client
        .write_all(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")?;
    let line = head.split(" HTTP/").next().unwrap_or_default().to_owned();
    Ok(Received { line, head, body })
}

/// What a release leaves for one processor: a wheel, a package, and their sums.
fn published() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::with_prefix("larder-publish-").expect("a temporary folder");
    let wheel = Distribution::new("larder", VERSION).wheel();
    let deb = format!("larder_{VERSION}-1_amd64.deb");
    let files = [
        (wheel.filename.as_str(), &wheel.bytes[..]),
        (deb.as_str(), b"a package"),
    ];
    let mut sums = String::new();
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a folder of ours");
        sums += &format!("{}  {name}\n", sha256_hex(bytes));
        paths.push(path);
    }
    std::fs::write(folder.path().join("SHA256SUMS"), sums).expect("a folder of ours");
    (folder, paths)
}

/// Runs `.ci/publish` as a pipeline of that tag would.
pub(crate) fn publish(recorder: &Recorder, arguments: &[&str], tag: &str) -> Output {
    let twine = python::program("twine");
    let tools = twine.parent().expect("a folder of programs");
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("bash")
        .arg(".ci/publish")
        .args(arguments)
        .current_dir(root())
        .env("PATH", format!("{}:{path}", tools.display()))
        .env(
            "CI_API_V4_URL",
            format!("http://{}/api/v4", recorder.address),
        )
        .env("CI_PROJECT_ID", "7")
        .env("CI_JOB_TOKEN", SECRET)
        .env("CI_COMMIT_TAG", tag)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs")
}

fn publish_files(recorder: &Recorder, folder: &TempDir, tag: &str) -> Output {
    let folder = folder.path().to_str().expect("a path");
    publish(recorder, &["files", folder], tag)
}

#[test]
fn publishing_sends_every_file_the_wheel_and_then_a_release() {
    let recorder = Recorder::start();
    let (folder, files) = published();

    let output = publish_files(&recorder, &folder, &format!("v{VERSION}"));

    assert!(output.status.success(), "{output:?}");
    let received = recorder.received();
    let lines: Vec<&str> = received.iter().map(|one| one.line.as_str()).collect();
    let place = format!("/api/v4/projects/7/packages/generic/larder/{VERSION}");
    for file in &files {
        let name = file.file_name().expect("a file").to_string_lossy();
        let line = format!("PUT {place}/{name}");
        let sent = received.iter().find(|one| one.line == line);
        let sent = sent.unwrap_or_else(|| panic!("{line}: {lines:?}"));
        assert!(sent.head.contains(&format!("JOB-TOKEN: {SECRET}\r\n")));
        assert_eq!(sent.body, std::fs::read(file).expect("ours"));
    }
    assert!(lines.contains(&format!("PUT {place}/SHA256SUMS").as_str()));

    // The wheel is there before the release that names it is.
    let [.., upload, release] = &received[..] else {
        panic!("{lines:?}");
    };
    let upload_line = upload.line.trim_end_matches('/');
    assert_eq!(upload_line, "POST /api/v4/projects/7/packages/pypi");
    assert_eq!(release.line, "POST /api/v4/projects/7/releases");
    let release: Value = serde_json::from_slice(&release.body).expect("JSON");
    assert_eq!(release["tag_name"], format!("v{VERSION}"));
    let description = release["description"].as_str().expect("a text");
    assert!(description.starts_with("### ") || description.contains("\n### "));
    assert!(!description.contains("\n## "), "{description}");
    let links = release["assets"]["links"].as_array().expect("links");
    assert_eq!(links.len(), 3, "{links:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains(SECRET));
}

#[test]
fn another_tag_or_a_changed_file_is_not_published() {
    let recorder = Recorder::start();
    let (folder, files) = published();

    let output = publish_files(&recorder, &folder, "v9.9.9");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("v9.9.9"),
        "{said}"
    );

    std::fs::write(&files[1], "another package").expect("ours");
    let output = publish_files(&recorder, &folder, &format!("v{VERSION}"));
    assert!(!output.status.success());
    assert!(recorder.received().is_empty(), "{:?}", recorder.received());
}
