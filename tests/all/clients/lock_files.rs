//! The three ways of `docs/clients.md` from a lock file to an install through larder, by the very
//! lines of the page; and the ways that the page warns of.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::server::tls::Secured;
use crate::support::larder::binary;
use crate::support::wheel::real_wheels;
use crate::support::{Distribution, GitLab, Larder, Outcome, Workbench, python, token};

const PAGE: &str = include_str!("../../../docs/clients.md");

pub(super) const PROJECT: &str = "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \">=3.10,<4\"\n\
     dependencies = [\"requests\"]\n\n";

const INDEX: &str = "/api/v4/projects/42/packages/pypi/simple/";

/// The text below a heading of the page.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE
        .split_once(&format!("\n{heading}\n"))
        .expect("a section");
    let end = rest
        .find("\n### ")
        .into_iter()
        .chain(rest.find("\n## "))
        .min();
    &rest[..end.unwrap_or(rest.len())]
}

/// The commands of a section, each run of indented lines for itself.
fn blocks(heading: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in section(heading).lines() {
        match line.strip_prefix("    ") {
            Some(command) => {
                let block = blocks.last_mut().expect("one at least");
                block.push_str(command);
                block.push('\n');
            }
            None if blocks.last().is_some_and(|block| !block.is_empty()) => {
                blocks.push(String::new());
            }
            None => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The TOML of a section.
fn toml(heading: &str) -> &'static str {
    let (_, rest) = section(heading).split_once("```toml\n").expect("TOML");
    rest.split_once("```").expect("its end").0
}

fn gitlab() -> GitLab {
    let gitlab = GitLab::start();
    for wheel in real_wheels() {
        gitlab.publish(42, wheel);
    }
    gitlab
}

/// A person, or a job, with the programs that the page's lines name.
pub(super) struct User {
    bench: Workbench,
    programs: TempDir,
}

impl User {
    pub(super) fn new() -> Self {
        let programs = tempfile::tempdir().expect("a temporary folder");
        let exporting = ["poetry==2.5.1", "poetry-plugin-export==1.10.1"];
        for (name, program) in [
            ("pip", python::program("pip")),
            ("twine", python::program("twine")),
            ("uv", python::program("uv")),
            ("poetry", python::tool(&exporting, "poetry")),
            ("larder", binary()),
        ] {
            symlink(program, programs.path().join(name)).expect("a writable folder");
        }
        let path = std::env::var("PATH").expect("a path");
        let path = format!("{}:{path}", programs.path().display());
        let bench = Workbench::new()
            .environment("PATH", &path)
            .environment("COLUMNS", "300")
            // What the page writes into pyproject.toml is configuration of uv's.
            .environment("UV_NO_CONFIG", "0")
            .environment("POETRY_VIRTUALENVS_IN_PROJECT", "true")
            // Its threads now and then forget the credential.
            .environment("POETRY_INSTALLER_PARALLEL", "false");
        Self { bench, programs }
    }

    /// One more program on the search path.
    pub(super) fn links(&self, name: &str, program: PathBuf) {
        symlink(program, self.programs.path().join(name)).expect("a writable folder");
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.bench = self.bench.environment(name, value);
        self
    }

    /// Logged in at the source "gitlab" of a project.
    fn at_gitlab() -> Self {
        let user = Self::new();
        let secret = token::READER;
        user.with("UV_INDEX_GITLAB_USERNAME", "__token__")
            .with("UV_INDEX_GITLAB_PASSWORD", secret)
            .with("POETRY_HTTP_BASIC_GITLAB_USERNAME", "__token__")
            .with("POETRY_HTTP_BASIC_GITLAB_PASSWORD", secret)
    }

    fn try_shell(&self, script: &str) -> Outcome {
        self.bench.run(Path::new("sh"), &["-ec", script])
    }

    #[track_caller]
    pub(super) fn shell(&self, script: &str) {
        self.try_shell(script).expect_success();
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        self.bench.write(name, text);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.bench.folder().join(name).exists()
    }

    /// A wheel of this name, in `dist`.
    pub(super) fn build(&self, name: &str) {
        std::fs::create_dir(self.bench.folder().join("dist")).expect("a fresh folder");
        let wheel = Distribution::new(name, "1.0").wheel();
        self.bench
            .write(&format!("dist/{}", wheel.filename), &wheel.bytes);
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.bench.folder().join(name)).expect("a file")
    }

    /// The same files as another user has.
    fn takes(&self, names: &[&str], other: &Self) {
        for name in names {
            self.bench.write(name, other.read(name));
        }
    }

    #[track_caller]
    pub(super) fn assert_installed(&self, environment: &str) {
        let python = self.bench.folder().join(environment).join("bin/python");
        let code = "import requests; print(requests.__version__)";
        let done = self.bench.run(&python, &["-c", code]);
        assert_eq!(done.expect_success().stdout.trim(), "2.34.2");
    }
}

/// What came to GitLab past larder.
fn past_larder(gitlab: &GitLab) -> Vec<String> {
    let mut past = Vec::new();
    for entry in gitlab.log().entries() {
        if !entry.head.header_contains("user-agent", "larder/") {
            past.push(entry.head.target);
        }
    }
    past
}

/// A project that was locked at GitLab itself, without larder.
fn locked_by_uv(gitlab: &GitLab) -> User {
    let laptop = User::at_gitlab();
    let index = format!(
        "[[tool.uv.index]]\nname = \"gitlab\"\nurl = \"{}{INDEX}\"\ndefault = true\nauthenticate = \"always\"\n",
        gitlab.url()
    );
    laptop
        .bench
        .write("pyproject.toml", format!("{PROJECT}{index}"));
    laptop.shell("uv lock");
    assert!(laptop.read("uv.lock").contains(gitlab.url()));
    gitlab.log().clear();
    laptop
}

fn locked_by_poetry(gitlab: &GitLab) -> User {
    let laptop = User::at_gitlab();
    let source = format!(
        "[tool.poetry]\npackage-mode = false\n\n\
         [[tool.poetry.source]]\nname = \"gitlab\"\nurl = \"{}{INDEX}\"\npriority = \"primary\"\n",
        gitlab.url()
    );
    laptop
        .bench
        .write("pyproject.toml", format!("{PROJECT}{source}"));
    laptop.shell("poetry lock");
    gitlab.log().clear();
    laptop
}

/// The page's words, of the servers of a test.
fn spoken(text: &str, gitlab: &GitLab, larder: &Larder) -> String {
    text.replace("larder.example.com:3141", &larder.address().to_string())
        .replace("https://gitlab.example.com", gitlab.url())
        .replace("TOKEN", token::READER)
}

const ONE_NAME: &str = "### One name for all";
const REWRITE: &str = "### Rewrite the lock in the job";
const EXPORT: &str = "### Export the lock in the job";

/// larder under one name with TLS, and a user who knows its authority.
fn secured(gitlab: &GitLab) -> (Secured, impl Fn(&str) -> String, impl Fn() -> User) {
    let secured = Secured::start(gitlab, "");
    let name = format!("https://{}", secured.address);
    let pem = secured.authority.pem();
    let spoken = move |text: &str| {
        text.replace("https://larder.example.com", &name)
            .replace("TOKEN", token::READER)
    };
    let user = move || {
        let user = User::new();
        let file = user.bench.write("CA.pem", &pem);
        user.with("SSL_CERT_FILE", &file.to_string_lossy())
    };
    (secured, spoken, user)
}

#[test]
fn uv_locks_and_syncs_by_one_name() {
    let gitlab = gitlab();
    let (secured, spoken, user) = secured(&gitlab);
    let commands = spoken(&blocks(ONE_NAME)[0]);
    let [login, lock, sync] = commands.lines().collect::<Vec<_>>()[..] else {
        panic!("not three lines: {commands}");
    };
    let laptop = user();
    let project = format!("{PROJECT}{}", spoken(toml(ONE_NAME)));
    laptop.bench.write("pyproject.toml", project);
    laptop.shell(&format!("{login}\n{lock}"));
    let locked = laptop.read("uv.lock");
    assert!(locked.contains(&spoken("https://larder.example.com")));
    assert!(!locked.contains(token::READER));
    let runner = user();
    runner.takes(&["pyproject.toml", "uv.lock"], &laptop);
    runner.shell(&format!("{login}\n{sync}"));
    runner.assert_installed(".venv");
    assert_eq!(past_larder(&gitlab), [""; 0]);
    drop(secured);
}

#[test]
fn poetry_locks_and_installs_by_one_name() {
    let gitlab = gitlab();
    let (secured, spoken, user) = secured(&gitlab);
    let commands = spoken(&blocks(ONE_NAME)[1]);
    let trust = "poetry config certificates.larder.cert CA.pem";
    assert!(section(ONE_NAME).contains(trust));
    let project = format!("{PROJECT}[tool.poetry]\npackage-mode = false\n");
    let laptop = user();
    laptop.bench.write("pyproject.toml", project);
    laptop.shell(&format!("{trust}\n{commands}"));
    laptop.assert_installed(".venv");
    let runner = user();
    runner.takes(&["pyproject.toml", "poetry.lock"], &laptop);
    let mut again = format!("{trust}\n");
    for command in commands.lines() {
        if command.contains("http-basic") || command.ends_with("install") {
            again += command;
            again.push('\n');
        }
    }
    runner.shell(&again);
    runner.assert_installed(".venv");
    assert_eq!(past_larder(&gitlab), [""; 0]);
    drop(secured);
}

#[test]
fn uv_syncs_a_lock_that_larder_rewrote() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_uv(&gitlab);
    let blocks = blocks(REWRITE);
    let with_curl = spoken(&blocks[0], &gitlab, &larder);
    let (curl, rest) = with_curl.split_once('\n').expect("more lines");
    assert!(curl.starts_with("curl "));
    let with_python = format!("{}{rest}", spoken(&blocks[1], &gitlab, &larder));
    for script in [with_curl.as_str(), &with_python] {
        let job = User::new();
        job.takes(&["pyproject.toml", "uv.lock"], &laptop);
        job.shell(script);
        job.assert_installed(".venv");
        let rewritten = laptop.read("uv.lock").replace(gitlab.url(), &larder.url());
        assert_eq!(job.read("uv.lock"), rewritten);
    }
    assert_eq!(past_larder(&gitlab), [""; 0]);

    // By the binary, there and back.
    let by_hand = User::new().with("LARDER_GITLAB__URL", gitlab.url());
    by_hand.takes(&["uv.lock"], &laptop);
    let (there, back) = blocks[3].split_once('\n').expect("two lines");
    by_hand.shell(there);
    assert!(
        by_hand
            .read("uv.lock")
            .contains("http://127.0.0.1:3141/api/v4/")
    );
    by_hand.shell(back);
    assert_eq!(by_hand.read("uv.lock"), laptop.read("uv.lock"));
}

#[test]
fn an_index_beside_a_foreign_lock_is_refused_or_goes_past_larder() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_uv(&gitlab);
    let index = format!(
        "http://__token__:{}@{}{INDEX}",
        token::READER,
        larder.address()
    );
    let job = User::at_gitlab().with("UV_DEFAULT_INDEX", &index);
    job.takes(&["pyproject.toml", "uv.lock"], &laptop);
    let refused = job.try_shell("uv sync --locked");
    assert!(!refused.succeeded());
    assert!(
        refused.stderr.contains("needs to be updated"),
        "{refused:?}"
    );
    job.shell("uv sync --frozen");
    assert!(
        past_larder(&gitlab)
            .iter()
            .any(|path| path.contains("/files/"))
    );
}

#[test]
fn poetry_locks_anew_for_another_source_and_installs() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_poetry(&gitlab);
    // Of the source "gitlab", which is larder now.
    let job = User::at_gitlab();
    job.takes(&["pyproject.toml", "poetry.lock"], &laptop);
    job.shell(&spoken(&blocks(REWRITE)[2], &gitlab, &larder));
    job.assert_installed(".venv");
    assert_eq!(past_larder(&gitlab), [""; 0]);
    let what = |lock: String| {
        let kept = |line: &&str| !line.starts_with("url = ") && !line.starts_with("content-hash");
        lock.lines().filter(kept).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        what(job.read("poetry.lock")),
        what(laptop.read("poetry.lock"))
    );
}

#[test]
fn uv_installs_what_it_exports() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_uv(&gitlab);
    let job = User::new();
    job.takes(&["pyproject.toml", "uv.lock"], &laptop);
    job.shell(&spoken(&blocks(EXPORT)[0], &gitlab, &larder));
    job.assert_installed(".venv");
    assert_eq!(past_larder(&gitlab), [""; 0]);
}

#[test]
fn pip_installs_what_poetry_exports() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_poetry(&gitlab);
    let job = User::new();
    job.takes(&["pyproject.toml", "poetry.lock"], &laptop);
    let lines = spoken(&blocks(EXPORT)[1], &gitlab, &larder);
    job.shell(&format!("python3 -m venv job\n. job/bin/activate\n{lines}"));
    job.assert_installed("job");
    assert_eq!(past_larder(&gitlab), [""; 0]);
}

#[test]
fn a_job_with_a_committed_uv_lock_installs_by_the_lines_of_the_runners_page() {
    let gitlab = gitlab();
    let larder = Larder::start(&gitlab);
    let laptop = locked_by_uv(&gitlab);
    let index = format!(
        "http://__token__:{}@{}{INDEX}",
        token::READER,
        larder.address()
    );
    let job = User::new().with("UV_DEFAULT_INDEX", &index);
    job.takes(&["pyproject.toml", "uv.lock"], &laptop);
    let commands = crate::common::runner::PAGE.commands("A committed uv.lock");
    job.shell(&commands.join("\n"));
    job.assert_installed(".venv");
    assert_eq!(job.read("uv.lock"), laptop.read("uv.lock"));
    assert_eq!(past_larder(&gitlab), [""; 0]);

    // What the page warns of.
    job.shell("uv sync");
    assert!(job.read("uv.lock").contains(&larder.url()));
}
