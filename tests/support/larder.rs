//! Drives the real larder binary: writes its configuration, starts it, listens to what it says,
//! ends it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;
use super::gitlab::GitLab;
use super::isolated::Isolated;
use super::public_index::PublicIndex;
use super::watchdog::Watched;

const START_SECONDS_MAX: u64 = 10;
const STOP_SECONDS_MAX: u64 = 10;

/// A larder to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    binary: PathBuf,
    gitlab: String,
    parents: Vec<String>,
    gitlab_settings: String,
    settings: String,
    sections: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    home: Option<Arc<TempDir>>,
    machine: Option<Arc<Isolated>>,
    port: u16,
}

impl Builder {
    /// A line at the top level of the file, as `cache_size = "1MiB"`.
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push_str(line);
        self.settings.push('\n');
        self
    }

    /// A line of the section `[gitlab]`.
    pub fn gitlab_setting(mut self, line: &str) -> Self {
        self.gitlab_settings.push_str(line);
        self.gitlab_settings.push('\n');
        self
    }

    /// Whole sections, with their headings; not `[gitlab]`.
    pub fn sections(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// A section `[mirrors.NAME]` for this index: where it is and where its files are.
    pub fn mirror(self, name: &str, index: &PublicIndex) -> Self {
        self.mirror_with(name, index, "")
    }

    /// The same with more lines, as `min_age = "7d"`.
    pub fn mirror_with(self, name: &str, index: &PublicIndex, lines: &str) -> Self {
        self.sections(&format!(
            "[mirrors.{name}]\nurl = {:?}\nfile_urls = [{:?}]\n{lines}",
            index.url(),
            index.files_prefix()
        ))
    }

    /// What GitLab does not have is served in place by this mirror (or "pass", or "deny").
    pub fn forward(self, to: &str) -> Self {
        self.gitlab_setting(&format!("forward = {to:?}"))
    }

    /// Globs of names that no mirror is asked for.
    pub fn private_names(self, globs: &[&str]) -> Self {
        self.setting(&format!("private_packages = {globs:?}"))
    }

    /// One more argument of `serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In place of the binary that was built with the tests.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Shares the folder, and so the cache, of another larder.
    pub fn at_home_of(mut self, other: &Larder) -> Self {
        self.home = Some(Arc::clone(&other.home));
        self
    }

    /// In place of a port that is free; 0 is that again.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// On a machine without a way out; no client outside of it reaches this larder.
    pub fn on(mut self, machine: &Arc<Isolated>) -> Self {
        self.machine = Some(Arc::clone(machine));
        self
    }

    /// Lines of requests for health, metrics and the status page are in its log too.
    pub fn every_request_logged(self) -> Self {
        self.sections("[log]\nlevel = \"info,larder::request=debug\"")
    }

    /// Starts it and waits until it listens; panics with its output if it does not.
    pub fn start(self) -> Larder {
        let home = self.home.clone().unwrap_or_else(|| {
            Arc::new(TempDir::with_prefix("larder-").expect("a temporary folder"))
        });
        let larder = Larder::spawn(self, home);
        larder.unwrap_or_else(|log| {
            panic!("larder did not come to listen within {START_SECONDS_MAX} s; it said:\n{log}")
        })
    }

    /// Starts it in the hope that it refuses: gives what it said, or panics because it listens.
    pub fn start_in_vain(self) -> String {
        let home = self.home.clone().unwrap_or_else(|| {
            Arc::new(TempDir::with_prefix("larder-").expect("a temporary folder"))
        });
        match Larder::spawn(self, home) {
            Err(log) => log,
            Ok(larder) => panic!(
                "larder listens although it should refuse to:\n{}",
                larder.log()
            ),
        }
    }

    /// The binary, on its machine.
    fn program(&self) -> Command {
        clean(match &self.machine {
            Some(machine) => machine.command(&self.binary),
            None => Command::new(&self.binary),
        })
    }

    /// Without a word about metadata nothing is read ahead: tests count what upstream was asked.
    fn config(&self, cache: &Path) -> String {
        let quiet = if self.sections.contains("[metadata]") {
            ""
        } else {
            "[metadata]\nprefetch = 0"
        };
        let (parent, gitlab) = match self.parents.as_slice() {
            [] => (String::new(), format!("url = {:?}", self.gitlab)),
            [parent] => (format!("parent = {parent:?}"), String::new()),
            parents => (format!("parent = {parents:?}"), String::new()),
        };
        // Nor for dates, nor for pages that a test does not ask for.
        let mut sections = self.sections.clone();
        for (key, line) in [
            ("upload_dates", "upload_dates = false"),
            ("read_ahead", "read_ahead = 0"),
        ] {
            if sections.contains(key) {
                continue;
            }
            if !sections.contains("[index]\n") {
                sections.push_str("\n[index]\n");
            }
            sections = sections.replacen("[index]\n", &format!("[index]\n{line}\n"), 1);
        }
        // Nor is GitLab asked what it is.
        let unasked = if self.gitlab_settings.contains("check_at_start") {
            ""
        } else {
            "check_at_start = false"
        };
        format!(
            "cache_dir = {cache:?}\n{parent}\n{}\n[gitlab]\n{gitlab}\n{unasked}\n{}\n{}\n{quiet}",
            self.settings, self.gitlab_settings, sections
        )
    }
}

/// A running larder. Dropping it kills it; its folder goes with the last who shares it.
#[derive(Debug)]
pub struct Larder {
    process: Child,
    _watched: Watched,
    address: SocketAddr,
    said: Said,
    home: Arc<TempDir>,
    builder: Builder,
}

impl Larder {
    /// In front of this GitLab, with no settings but the two it cannot do without.
    pub fn start(gitlab: &GitLab) -> Self {
        Self::builder(gitlab).start()
    }

    pub fn builder(gitlab: &GitLab) -> Builder {
        Self::in_front_of(gitlab.url()).gitlab_setting(&format!(
            "object_storage_origins = [{:?}]",
            gitlab.store_url()
        ))
    }

    /// Under a parent, in place of any GitLab.
    pub fn under(parent: &str) -> Builder {
        Self::under_all(&[parent.to_owned()])
    }

    /// Under several parents that stand in for each other.
    pub fn under_all(parents: &[String]) -> Builder {
        Builder {
            parents: parents.to_vec(),
            ..Self::in_front_of("")
        }
    }

    /// In front of any base URL.
    pub fn in_front_of(url: &str) -> Builder {
        Builder {
            binary: binary(),
            gitlab: url.to_owned(),
            parents: Vec::new(),
            gitlab_settings: String::new(),
            settings: String::new(),
            sections: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            home: None,
            machine: None,
            port: 0,
        }
    }

    fn spawn(builder: Builder, home: Arc<TempDir>) -> Result<Self, String> {
        let config = home.path().join("larder.toml");
        std::fs::write(&config, builder.config(&home.path().join("cache")))
            .expect("a writable folder");
        let mut process = builder
            .program()
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .args(["--listen", &format!("127.0.0.1:{}", builder.port)])
            .args(&builder.arguments)
            .env("RUST_BACKTRACE", "1")
            .envs(
                builder
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", builder.binary.display()));
        let watched = Watched::new(process.id());
        if let Some(machine) = &builder.machine {
            machine.watch(process.id());
        }
        let said = Said::default();
        said.listen_to(process.stdout.take().expect("piped"));
        said.listen_to(process.stderr.take().expect("piped"));
        if let Some(address) = said.address(&mut process) {
            return Ok(Self {
                process,
                _watched: watched,
                address,
                said,
                home,
                builder,
            });
        }
        let _ = process.kill();
        let _ = process.wait();
        said.wait_for_the_end();
        Err(said.text())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All addresses that it says it listens on, as URLs, or `unix:` and a path.
    pub fn listens_on(&self) -> Vec<String> {
        let log = self.log();
        let start = log.lines().find(|line| line.contains("larder::start"));
        let fields = start
            .and_then(|line| line.split_once(" listen="))
            .expect("its first line")
            .1;
        let listed = match fields.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => fields.split(' ').next(),
        };
        let listed = listed.unwrap_or_default().split(' ');
        listed.map(str::to_owned).collect()
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn cache_dir(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// The folder of the configuration file and the cache.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("larder.toml")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All it has written to stdout and stderr so far.
    pub fn log(&self) -> String {
        self.said.text()
    }

    /// Blocks until its output contains this; panics after a minute.
    pub fn wait_for_log(&self, part: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut text = self
            .said
            .0
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while !text.contains(part) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "larder has not said {part:?} within a minute, but:\n{text}"
            );
            text = self
                .said
                .0
                .more
                .wait_timeout(text, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The text of `/-/metrics`, as OpenMetrics.
    pub fn metrics(&self) -> String {
        metrics(&self.client())
    }

    /// The value of the metric whose name and labels are exactly these, as
    /// `larder_x_total{kind="file"}`.
    pub fn metric(&self, name_and_labels: &str) -> Option<f64> {
        metric(&self.client(), name_and_labels)
    }

    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Sets the peak back to what is resident now.
    pub fn forget_peak(&self) {
        // Not every container may write there; the peak then stays the peak since the start.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("a running process")
            .count()
    }

    /// CPU time used so far, user and system.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .expect("a running process");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        // USER_HZ is 100 on every Linux that matters.
        Duration::from_millis(ticks * 10)
    }

    /// SIGTERM; panics if it has not ended ten seconds later.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(STOP_SECONDS_MAX))
            .unwrap_or_else(|| {
                panic!(
                    "larder has not ended {STOP_SECONDS_MAX} s after SIGTERM; it said:\n{}",
                    self.log()
                )
            })
    }

    /// SIGKILL, as a crash would look to the disk. All that it said is in its log then.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.said.wait_for_the_end();
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("a running process of ours");
    }

    /// Its exit status, if it ends within this time.
    pub fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + most;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                self.said.wait_for_the_end();
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it properly, if it still runs, and starts it again on the same folder with the same
    /// settings; on another port.
    pub fn restart(mut self) -> Self {
        if self.wait(Duration::ZERO).is_none() {
            self.terminate();
        }
        Self::spawn(self.builder.clone(), Arc::clone(&self.home))
            .unwrap_or_else(|log| panic!("larder did not come back; it said:\n{log}"))
    }

    /// Runs another command of the binary with the same configuration, to its end.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        self.start_command(arguments)
            .output()
            .expect("the binary runs")
    }

    /// Another command of the binary with the same configuration, its output piped.
    pub fn start_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.builder.program();
        command
            .arg("--config")
            .arg(self.config_file())
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("a running process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .expect("a field of every status");
        let kibibytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kibibytes * 1024
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- larder said:\n{}", self.log());
        }
    }
}

/// The text of `/-/metrics` of a larder, as OpenMetrics.
pub fn metrics(client: &Client) -> String {
    let reply = client.get_with("/-/metrics", &[("Accept", super::openmetrics::OPENMETRICS)]);
    reply.expect(200);
    reply.text()
}

pub fn metric(client: &Client, name_and_labels: &str) -> Option<f64> {
    let text = metrics(client);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name_and_labels)?.strip_prefix(' '))?;
    line.split(' ').next()?.parse().ok()
}

/// The binary that belongs to these tests: given by cargo to tests and benches, found beside the
/// folder of an example.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LARDER_BINARY") {
        return path.into();
    }
    if let Some(path) = option_env!("CARGO_BIN_EXE_larder") {
        return path.into();
    }
    let own = std::env::current_exe().expect("the path of this program");
    let folder = own
        .ancestors()
        .nth(2)
        .expect("a program two folders below the target");
    folder.join("larder")
}

/// Of whoever runs the tests, in either case: nobody's proxy and nobody's certificates have a part
/// in them.
const FOREIGN: [&str; 7] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUEST_METHOD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Without the variables that larder would take for its configuration, or for the way out.
fn clean(mut command: Command) -> Command {
    for name in FOREIGN {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_lowercase());
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    // Nor has the machine's or the user's own configuration.
    command.env("LARDER_CONFIG", "/dev/null");
    command
}

/// The output of a process, gathered as it comes.
#[derive(Clone, Debug, Default)]
struct Said(Arc<SaidState>);

#[derive(Debug, Default)]
struct SaidState {
    text: Mutex<String>,
    more: Condvar,
    listeners: Mutex<usize>,
}

impl Said {
    fn listen_to(&self, pipe: impl Read + Send + 'static) {
        *self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        let said = self.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                said.0
                    .text
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                said.0.more.notify_all();
                line.clear();
            }
            *said
                .0
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner) -= 1;
            said.0.more.notify_all();
        });
    }

    fn text(&self) -> String {
        self.0
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The address it says it listens on; `None` if it ends or says nothing of the kind in time.
    fn address(&self, process: &mut Child) -> Option<SocketAddr> {
        let until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            let text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
            let said = text
                .split_once("listening on http://")
                .and_then(|(_, rest)| {
                    let end = rest.find(|letter: char| {
                        !(letter.is_ascii_digit() || matches!(letter, '.' | ':'))
                    })?;
                    rest[..end].parse().ok()
                });
            if said.is_some() {
                return said;
            }
            let ended = matches!(process.try_wait(), Ok(Some(_)));
            if ended || Instant::now() >= until {
                return None;
            }
            // Also looks up now and then, because a process may end without a word.
            drop(
                self.0
                    .more
                    .wait_timeout(text, Duration::from_millis(20))
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Until both pipes are closed; a grandchild that holds them open is waited for ten
    /// seconds only.
    fn wait_for_the_end(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        while *self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            > 0
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
