//! `cargo run --example demo`: pip, larder, and a GitLab with private packages, on this machine
//! alone.
//!
//! Needs Rust and Python; no network, no configuration. A stand-in for GitLab (the tests' own)
//! holds the real wheels of `tests/wheels`; a real larder stands in front of it. pip installs
//! through it, and what each side was asked and sent is counted and told. Ends with 1 if anything
//! is not as the README says. With `-- --keep` everything stays up until Ctrl-C.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it owns its clock and its folder"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use larder::app::App;
use larder::app::config::Config;
use larder::server::{ListenAddress, PassedSockets};
use larder::upstream::GitLabConfig;
use support::{
    Act, Artifact, Client, Distribution, FileBodies, GitLab, Reply, Site, path, real_wheels, token,
};
use tokio::runtime::Runtime;

/// What is installed; the dependencies of both are among the wheels.
const PACKAGES: [&str; 2] = ["requests", "python-dateutil"];
/// The project of the stand-in that holds them.
const PROJECT: u64 = 42;
/// A GitLab is not on the same machine: each of the stand-in's answers takes so long to begin.
const DISTANCE: Duration = Duration::from_millis(20);

/// Why the demo stopped: a sentence for the person at the terminal.
type Told<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("usage: cargo run --example demo [-- --keep]");
            return ExitCode::from(2);
        }
    };
    match demo(keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nThe demo stopped: {why}");
            ExitCode::FAILURE
        }
    }
}

fn demo(keep: bool) -> Told<()> {
    let folder = fresh_folder()?;
    let pip = Pip::find(&folder)?;
    let stage = Stage::set(&folder)?;

    println!("pip ──▶ larder ──▶ a GitLab with private packages");
    println!(
        "(a stand-in on this machine, {} ms away; {})\n",
        DISTANCE.as_millis(),
        pip.version
    );
    installs(&stage, &pip, &folder)?;
    println!();
    a_stranger_is_refused(&stage)?;
    wrong_bytes_are_stopped(&stage)?;
    an_upload_is_seen_at_once(&stage)?;
    println!("\nAll as promised.");

    if keep {
        stage.stay(&folder)?;
    } else {
        println!("Stay and look around: cargo run --example demo -- --keep");
    }
    stage.end();
    Ok(())
}

/// The same install four times, each into an empty folder and with no cache of pip's own.
fn installs(stage: &Stage, pip: &Pip, folder: &Path) -> Told<()> {
    let direct = format!(
        "http://__token__:{}@{}",
        token::DEVELOPER,
        stage.gitlab.address()
    );
    let first = format!("http://__token__:{}@{}", token::DEVELOPER, stage.address);
    let job = format!("http://gitlab-ci-token:{}@{}", token::JOB, stage.address);
    let wheels = real_wheels();
    let every_wheel_once = FileBodies {
        transfers: wheels.len(),
        bytes: wheels.iter().map(|wheel| wheel.bytes.len() as u64).sum(),
    };
    let nothing = FileBodies {
        transfers: 0,
        bytes: 0,
    };
    let runs = [
        ("without larder", &direct, every_wheel_once),
        ("first time", &first, every_wheel_once),
        ("second time", &first, nothing),
        ("a new CI job, with its own token", &job, nothing),
    ];

    let command = format!("pip install {}", PACKAGES.join(" "));
    println!("{command:<41}took   larder sent            GitLab was asked");
    for (number, (name, origin, expected)) in runs.into_iter().enumerate() {
        stage.gitlab.log().clear();
        let before = stage.served();
        let index = format!("{origin}{}", path::project_index(PROJECT));
        let took = pip.install(&index, &folder.join(format!("install-{number}")))?;
        let served = stage.served().since(before);
        let (asked, seen) = (stage.gitlab.log().len(), stage.gitlab.log().file_bodies());
        println!(
            "  {name:<34} {:>8}   {:>2} answers, {:>7}   {:>2} {:<9} {:>7} of files",
            format!("{:.2} s", took.as_secs_f64()),
            served.answers,
            kilobytes(served.bytes),
            asked,
            if asked == 1 { "request," } else { "requests," },
            kilobytes(seen.bytes),
        );
        if seen != expected {
            return Err(format!(
                "“{name}” should have taken {expected:?} from GitLab, but took {seen:?}"
            ));
        }
    }
    Ok(())
}

/// Warm or not, a stranger hears what GitLab itself would have said.
fn a_stranger_is_refused(stage: &Stage) -> Told<()> {
    let wheel = real_wheels()
        .pop()
        .ok_or("there are no wheels in tests/wheels")?;
    for path in [
        path::project_file(PROJECT, &wheel),
        path::project_page(PROJECT, &wheel.name),
    ] {
        for who in [Some(token::STRANGER), Some(token::REVOKED), None] {
            let ask = |address| {
                let client = Client::new(address);
                who.map_or(client.clone(), |token| client.token(token))
                    .get(&path)
            };
            let (through, direct) = (ask(stage.address), ask(stage.gitlab.address()));
            if direct.status < 400 || !alike(&through, &direct) {
                return Err(format!(
                    "{path} for {who:?}: larder says {through:?}, GitLab says {direct:?}"
                ));
            }
        }
    }
    tick(
        "a stranger, a revoked token, no token: GitLab's own refusals, though everything is in the cache",
    );
    Ok(())
}

/// The same refusal: status, challenge, type and every byte.
fn alike(one: &Reply, other: &Reply) -> bool {
    let essence = |reply: &Reply| {
        let header = |name: &str| reply.header(name).map(str::to_owned);
        (
            reply.status,
            header("www-authenticate"),
            header("content-type"),
            reply.body.clone(),
        )
    };
    essence(one) == essence(other)
}

fn wrong_bytes_are_stopped(stage: &Stage) -> Told<()> {
    let wheel = Distribution::new("damaged-on-the-way", "1.0")
        .payload(1_000_000)
        .wheel();
    stage.gitlab.publish(PROJECT, &wheel);
    stage.gitlab.plan(
        Act::Flip {
            at: wheel.bytes.len() as u64 - 1,
        }
        .at(Site::FileBody),
    );
    let reply = stage.client().get(&path::project_file(PROJECT, &wheel));
    stage.gitlab.behave();
    stage
        .gitlab
        .plan(Act::StallBeforeHead(DISTANCE).at(Site::Anywhere));
    if reply.status == 200 && reply.is_complete() {
        return Err("a wheel with a wrong last byte came through as if it were whole".to_owned());
    }
    tick(
        "a 1 MB wheel whose last byte went wrong on the way: cut short, never complete, never stored",
    );
    Ok(())
}

fn an_upload_is_seen_at_once(stage: &Stage) -> Told<()> {
    let wheel = Distribution::new("hello-larder", "1.0").wheel();
    let page = path::project_page(PROJECT, "hello-larder");
    let (content_type, form) = form_of(&wheel);
    let reply = stage
        .client()
        .post(&path::upload(PROJECT), &content_type, &form);
    if reply.status != 201 {
        return Err(format!("the upload was answered {reply:?}"));
    }
    if stage
        .gitlab
        .uploads()
        .pop()
        .and_then(|upload| upload.body)
        .as_deref()
        != Some(&form[..])
    {
        return Err("GitLab did not receive the upload as it was sent".to_owned());
    }
    if !stage.client().get(&page).text().contains(&wheel.filename) {
        return Err(format!(
            "{} is not on the page right after its upload",
            wheel.filename
        ));
    }
    if stage
        .client()
        .get(&path::project_file(PROJECT, &wheel))
        .body
        != wheel.bytes
    {
        return Err(format!(
            "{} does not come back as it was uploaded",
            wheel.filename
        ));
    }
    tick("an upload: at GitLab byte for byte, and on the page in the very next request");
    Ok(())
}

/// An upload as twine sends it.
fn form_of(wheel: &Artifact) -> (String, Vec<u8>) {
    let boundary = "larder-demo";
    let mut form = Vec::new();
    let fields = [
        (":action", "file_upload"),
        ("name", &wheel.name),
        ("version", &wheel.version),
        ("sha256_digest", &wheel.sha256),
    ];
    for (name, value) in fields {
        let part = format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend(format!("--{boundary}\r\n{part}\r\n").into_bytes());
    }
    let part = format!(
        "Content-Disposition: form-data; name=\"content\"; filename=\"{}\"",
        wheel.filename
    );
    form.extend(format!("--{boundary}\r\n{part}\r\n\r\n").into_bytes());
    form.extend(&wheel.bytes);
    form.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    (format!("multipart/form-data; boundary={boundary}"), form)
}

/// GitLab's stand-in, and larder in front of it.
struct Stage {
    gitlab: GitLab,
    app: App,
    address: SocketAddr,
    runtime: Runtime,
}

/// What larder has sent, by its own counters.
#[derive(Clone, Copy, PartialEq)]
struct Served {
    answers: u64,
    bytes: u64,
}

impl Served {
    fn since(self, before: Self) -> Self {
        Self {
            answers: self.answers - before.answers,
            bytes: self.bytes - before.bytes,
        }
    }
}

impl Stage {
    fn set(folder: &Path) -> Told<Self> {
        let gitlab = GitLab::builder()
            .holding(|universe| {
                for wheel in real_wheels() {
                    universe.publish(PROJECT, wheel);
                }
            })
            .start();
        gitlab.plan(Act::StallBeforeHead(DISTANCE).at(Site::Anywhere));
        let config = Config {
            listen: ListenAddress::Tcp("127.0.0.1:0".to_owned()).into(),
            cache_dir: folder.join("cache").display().to_string(),
            gitlab: GitLabConfig {
                url: gitlab.url().to_owned(),
                object_storage_origins: vec![gitlab.store_url().to_owned()],
                ..GitLabConfig::default()
            },
            ..Config::default()
        };
        let runtime = Runtime::new().map_err(|why| why.to_string())?;
        let app = runtime
            .block_on(App::start(config, PassedSockets::default()))
            .map_err(|why| format!("larder did not start: {why}"))?;
        let address = app.address().ok_or("larder has no address")?;
        Ok(Self {
            gitlab,
            app,
            address,
            runtime,
        })
    }

    fn client(&self) -> Client {
        Client::new(self.address).token(token::DEVELOPER)
    }

    /// Read until it stands still: an answer is counted a moment after its last byte.
    fn served(&self) -> Served {
        let mut last = self.counters();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.counters();
            if now == last {
                return now;
            }
            last = now;
        }
    }

    fn counters(&self) -> Served {
        let metrics = Client::new(self.address).get("/-/metrics").text();
        let sum = |name: &str| -> u64 {
            let lines = metrics
                .lines()
                .filter(|line| line.starts_with(name) && !line.contains("\"house\""));
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        Served {
            answers: sum("larder_requests_total{"),
            bytes: sum("larder_response_bytes_total{"),
        }
    }

    /// Prints lines to paste and waits for Ctrl-C.
    fn stay(&self, folder: &Path) -> Told<()> {
        let wheel = Distribution::new("my-first-upload", "1.0").wheel();
        let dist = folder.join("dist");
        write(&dist.join(&wheel.filename), &wheel.bytes)?;
        let (address, token) = (self.address, token::DEVELOPER);
        let index = format!(
            "http://__token__:{token}@{address}{}",
            path::project_index(PROJECT)
        );
        let uploads = format!("http://{address}{}", path::upload(PROJECT));
        let target = folder.join("mine");
        let (dist, target) = (dist.display(), target.display());
        println!(
            "\nlarder listens on http://{address} until Ctrl-C. To paste into another terminal:\n"
        );
        println!(
            "pip    python3 -m pip install --no-cache-dir --target {target} --index-url {index} requests"
        );
        println!("uv     uv pip install --no-cache --target {target} --index-url {index} requests");
        println!("twine  twine upload --repository-url {uploads} -u __token__ -p {token} {dist}/*");
        println!("       curl http://{address}/-/metrics");
        self.runtime
            .block_on(tokio::signal::ctrl_c())
            .map_err(|why| why.to_string())?;
        println!();
        Ok(())
    }

    fn end(self) {
        self.runtime.block_on(self.app.stop());
    }
}

/// A pip that listens to nobody's settings but ours.
struct Pip {
    python: PathBuf,
    version: String,
}

impl Pip {
    /// In a virtual environment of the demo's own, or else the machine's.
    fn find(folder: &Path) -> Told<Self> {
        let machines = PathBuf::from("python3");
        run(&machines, &["--version"])
            .map_err(|_| "it needs Python 3, and there is no python3 on the PATH")?;
        let environment = folder.join("venv");
        let own = environment.join("bin/python");
        let works = |python: &Path| run(python, &["-m", "pip", "--version"]).ok();
        if works(&own).is_none() {
            // May fail where ensurepip is packaged apart; the machine's own pip will do as well.
            let _ = run(
                &machines,
                &["-m", "venv", "--clear", &environment.display().to_string()],
            );
        }
        for python in [own, machines] {
            if let Some(said) = works(&python) {
                let version = said
                    .split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ");
                return Ok(Self { python, version });
            }
        }
        Err("this Python has neither venv nor pip: install python3-venv or python3-pip".to_owned())
    }

    fn install(&self, index: &str, target: &Path) -> Told<Duration> {
        let target = target.display().to_string();
        let mut arguments = vec![
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            &target,
            "--index-url",
            index,
        ];
        arguments.extend(PACKAGES);
        let started = Instant::now();
        run(&self.python, &arguments)?;
        Ok(started.elapsed())
    }
}

/// Runs a program to its end; gives what it printed, or what it complained of.
fn run(program: &Path, arguments: &[&str]) -> Told<String> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let bends_pip =
            name.starts_with("PIP_") || name.starts_with("PYTHON") || name == "VIRTUAL_ENV";
        if bends_pip || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_NO_CACHE_DIR", "1")
        .env("PIP_NO_INPUT", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|why| format!("{}: {why}", program.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!(
        "{} {} failed: {}",
        program.display(),
        arguments.join(" "),
        complaint.trim()
    ))
}

/// `target/demo`, with nothing in it of the last time but the virtual environment.
fn fresh_folder() -> Told<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let folder = target.join("demo");
    let fault = |why: std::io::Error| format!("{}: {why}", folder.display());
    fs::create_dir_all(&folder).map_err(fault)?;
    for entry in fs::read_dir(&folder).map_err(fault)?.flatten() {
        if entry.file_name() != "venv" {
            fs::remove_dir_all(entry.path()).map_err(fault)?;
        }
    }
    fs::canonicalize(&folder).map_err(fault)
}

fn write(file: &Path, content: &[u8]) -> Told<()> {
    let fault = |why: std::io::Error| format!("{}: {why}", file.display());
    file.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .map_err(fault)?;
    fs::write(file, content).map_err(fault)
}

fn kilobytes(bytes: u64) -> String {
    if bytes == 0 {
        "0".to_owned()
    } else {
        format!("{} kB", bytes.div_ceil(1000))
    }
}

fn tick(what: &str) {
    println!("  ✓ {what}");
}
