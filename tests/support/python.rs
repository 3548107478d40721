//! The real clients pip, uv, twine and poetry, pinned, in virtual environments made once per
//! machine; and commands run with nothing inherited.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::isolated::Isolated;

/// What is installed. The folder's name changes with it, so that an old environment is never taken
/// for a new one.
const PINNED: [&str; 4] = [
    "pip==26.3",
    "uv==0.13.9",
    "twine==7.0.0",
    "pypi-simple==1.8.0",
];

/// The oldest pip that runs on every Python these tests run on: HTML alone, and whole wheels for
/// their metadata.
const OLD_PIP: [&str; 1] = ["pip==21.3.1"];

/// Apart from the others, because it brings half an index of its own.
const POETRY: [&str; 1] = ["poetry==2.5.1"];

/// The folder of the clients' programs; makes it on first use. `Err` says why it cannot be made, so
/// that a test can skip.
pub fn clients() -> Result<&'static Path, &'static str> {
    static CLIENTS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    CLIENTS
        .get_or_init(|| environment(&PINNED))
        .as_deref()
        .map_err(String::as_str)
}

/// A program of the environment: `pip`, `uv`, `twine`, `python`.
pub fn program(name: &str) -> PathBuf {
    let folder = clients().unwrap_or_else(|reason| panic!("no clients: {reason}"));
    folder.join(name)
}

/// A pip of 2021.
pub fn old_pip() -> PathBuf {
    environment(&OLD_PIP)
        .unwrap_or_else(|reason| panic!("no old pip: {reason}"))
        .join("pip")
}

pub fn poetry() -> PathBuf {
    environment(&POETRY)
        .unwrap_or_else(|reason| panic!("no poetry: {reason}"))
        .join("poetry")
}

/// Only for making the lock files in `tests/locks`.
pub fn pdm() -> PathBuf {
    environment(&["pdm[locked]==2.29.3"])
        .unwrap_or_else(|reason| panic!("no pdm: {reason}"))
        .join("pdm")
}

/// A program of the environment that holds these.
pub fn tool(pinned: &[&str], name: &str) -> PathBuf {
    environment(pinned)
        .unwrap_or_else(|reason| panic!("no {}: {reason}", pinned.join(", ")))
        .join(name)
}

pub fn pipenv() -> PathBuf {
    environment(&["pipenv==2026.10.3"])
        .unwrap_or_else(|reason| panic!("no pipenv: {reason}"))
        .join("pipenv")
}

/// The text of axe-core, which judges whether a page is accessible: out of a package for Python
/// that carries it, without what that package needs to run.
pub fn axe() -> String {
    let programs = environment(&["--no-deps", "axe-playwright-python==0.1.8"])
        .unwrap_or_else(|reason| panic!("no axe-core: {reason}"));
    let find = "import glob, sysconfig; print(glob.glob(sysconfig.get_path('purelib') + '/axe_playwright_python/axe.min.js')[0])";
    let found = Command::new(programs.join("python"))
        .args(["-c", find])
        .output()
        .expect("python runs");
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folder of programs of the environment that holds these; makes it on first use.
fn environment(pinned: &[&str]) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let folder = target.join("clients");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let environment = folder.join(pinned.join("-").replace("==", "-"));
    let programs = environment.join("bin");
    let finished = environment.join("finished");

    // Held until it is dropped; other threads and processes wait here and then find the work done.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if finished.exists() {
        return Ok(programs);
    }
    let _ = std::fs::remove_dir_all(&environment);
    // The machine's own settings for pip stay in force here, and only here: they say where packages
    // come from.
    set_up(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    set_up(
        Command::new(programs.join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(pinned),
    )?;
    File::create(finished).map_err(|error| error.to_string())?;
    Ok(programs)
}

fn set_up(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `None` if it ran out of time and was killed.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Outcome {
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        assert!(
            self.succeeded(),
            "{:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A user of the clients: a home and caches of its own, and an environment in which nothing is
/// inherited but `PATH`.
#[derive(Debug)]
pub struct Workbench {
    home: TempDir,
    environment: Vec<(String, String)>,
    patience: Duration,
    machine: Option<Arc<Isolated>>,
}

impl Workbench {
    pub fn new() -> Self {
        let home = TempDir::with_prefix("larder-user-").expect("a temporary folder");
        std::fs::create_dir(home.path().join("work")).expect("a fresh folder");
        Self {
            home,
            environment: Vec::new(),
            patience: Duration::from_mins(2),
            machine: None,
        }
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// At a machine without a way out.
    pub fn on(mut self, machine: &Arc<Isolated>) -> Self {
        self.machine = Some(Arc::clone(machine));
        self
    }

    /// After this a command is killed; two minutes unless told.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where commands run and leave their files.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).expect("a writable folder");
        path
    }

    pub fn pip(&self, arguments: &[&str]) -> Outcome {
        self.run(&program("pip"), arguments)
    }

    pub fn uv(&self, arguments: &[&str]) -> Outcome {
        self.run(&program("uv"), arguments)
    }

    pub fn twine(&self, arguments: &[&str]) -> Outcome {
        self.run(&program("twine"), arguments)
    }

    pub fn run(&self, program: &Path, arguments: &[&str]) -> Outcome {
        let home = self.home.path();
        let mut command = match &self.machine {
            Some(machine) => machine.command(program),
            None => Command::new(program),
        };
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_DATA_HOME", home.join("data"))
            .env("TMPDIR", home)
            // pip must not read the machine's settings: they may name another index.
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            .env("UV_CACHE_DIR", home.join("cache/uv"))
            .env("UV_NO_CONFIG", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let _turn = Turn::wait();
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        if let Some(machine) = &self.machine {
            machine.watch(child.id());
        }
        let stdout = gather(child.stdout.take().expect("piped"));
        let stderr = gather(child.stderr.take().expect("piped"));
        let status = wait(&mut child, self.patience);
        Outcome {
            status,
            stdout: stdout.join().expect("reading does not panic"),
            stderr: stderr.join().expect("reading does not panic"),
            took: started.elapsed(),
        }
    }
}

/// The right to run a client, which is work for a processor: as many run at once as there are
/// processors, and one more. The other tests of a run mostly wait, so there are more of them at
/// once; a client's patience begins with its turn.
struct Turn;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Self {
        let most = std::thread::available_parallelism().map_or(1, NonZero::get) + 1;
        let running = RUNNING.lock().expect("no panic holds it");
        let mut running = ENDED
            .wait_while(running, |running| *running >= most)
            .expect("no panic holds it");
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().expect("no panic holds it") -= 1;
        ENDED.notify_one();
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Half an output is better than none.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
