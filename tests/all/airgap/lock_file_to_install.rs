//! From a lock file to an install behind an air gap, by larder's own commands and the real clients.
//!
//! On the connected side `larder warm` fetches what the lock files of three tools name, for Linux
//! and for Windows, and `larder export` writes the bundle. Both stand-ins are gone before the far
//! side begins: an empty folder, `larder import`, and `larder serve --offline` on a machine without
//! a way out, on which the clients run too.

#![expect(
    clippy::disallowed_methods,
    reason = "a test carries files about as a person would"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::support::larder::binary;
use crate::support::locks::{self, Lock};
use crate::support::{
    Distribution, GitLab, Isolated, Larder, Outcome, PublicIndex, Workbench, python, token,
};

const PRIVATE_PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/";

/// What a user of the far side shows to get GitLab's content.
const FAR_SECRET: &str = "far-side-secret";

/// Wheels of these two, and of nothing else, go into the bundle.
const PLATFORMS: &str = "manylinux_2_28_x86_64,win_amd64";

/// What is carried across, and what the lock files say.
struct Carried {
    bundle: Vec<u8>,
    uv_lock: String,
    requirements: String,
    poetry_project: String,
    poetry_lock: String,
    /// The connected side's configuration: it knows where the lock's addresses lead.
    config: String,
    /// Where the connected larder listened; poetry's lock says so.
    address: SocketAddr,
    /// What the connected side was told.
    warmed: String,
    exported: String,
}

/// Made once for all tests: they only read it.
fn carried() -> &'static Carried {
    static CARRIED: OnceLock<Carried> = OnceLock::new();
    CARRIED.get_or_init(connected_side)
}

fn connected_side() -> Carried {
    let index = PublicIndex::start();
    locks::publish_to(&index);
    let gitlab = GitLab::start();
    gitlab.publish(
        42,
        Distribution::new("acme-app", "1.0")
            .depends_on("anvil")
            .wheel(),
    );
    let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    let bench = user();

    let poetry_project = poetry_project(&format!("{}/pypi/simple/", larder.url()));
    bench.write("pyproject.toml", &poetry_project);
    bench
        .run(&python::poetry(), &["lock", "--no-interaction"])
        .expect_success();
    let poetry_lock =
        std::fs::read_to_string(bench.folder().join("poetry.lock")).expect("poetry's lock");
    let uv_lock = Lock::Uv.at(&index);
    let requirements = Lock::Requirements.at(&index);
    bench.write("uv.lock", &uv_lock);
    bench.write("requirements.txt", &requirements);
    bench.write("token", token::READER);

    let version = python_version();
    let filters = ["--python", &version, "--platform", PLATFORMS];
    let inputs = [
        "warm",
        "uv.lock",
        "poetry.lock",
        "requirements.txt",
        "--from",
        "pypi",
    ];
    let warmed = run_larder(&bench, &larder, &[&inputs[..], &filters].concat());
    warmed.expect_success();
    let private = [
        "warm",
        "acme-app==1.0",
        "--from",
        "projects/42",
        "--user",
        "__token__",
        "--token-file",
        "token",
    ];
    run_larder(&bench, &larder, &private).expect_success();
    let exported = run_larder(&bench, &larder, &["export", "packages.tar"]);
    exported.expect_success();

    index.assert_never_told(&[token::READER]);
    Carried {
        bundle: std::fs::read(bench.folder().join("packages.tar")).expect("the bundle"),
        uv_lock,
        requirements,
        poetry_project,
        poetry_lock,
        config: std::fs::read_to_string(larder.config_file()).expect("its configuration"),
        address: larder.address(),
        warmed: warmed.stdout + &warmed.stderr,
        exported: exported.stdout + &exported.stderr,
    }
}

/// A larder without a way out that has taken in the bundle, and the machine it is on.
struct Far {
    machine: Arc<Isolated>,
    larder: Larder,
    bench: Workbench,
}

impl Far {
    fn new() -> Self {
        Self::at(0, "")
    }

    /// Listening on this port, and with these sections in its configuration: it knows neither
    /// GitLab nor a mirror.
    fn at(port: u16, sections: &str) -> Self {
        let machine = Arc::new(Isolated::new());
        let bench = user().on(&machine);
        bench.write("packages.tar", &carried().bundle);
        let larder = Larder::in_front_of("https://gitlab.example.com")
            .sections(sections)
            .argument("--offline")
            .port(port)
            .on(&machine)
            .start();
        run_larder(&bench, &larder, &["import", "packages.tar"]).expect_success();
        Self {
            machine,
            larder,
            bench,
        }
    }

    fn index(&self) -> String {
        format!("{}/pypi/simple/", self.larder.url())
    }

    /// Writes the lock of uv, taken to the larder here by the configuration of the connected one.
    fn rewritten_lock(&self) -> String {
        self.bench.write("uv.lock", &carried().uv_lock);
        let config = self
            .bench
            .write("connected.toml", &carried().config)
            .to_string_lossy()
            .into_owned();
        let rewrite = [
            "rewrite-lock",
            "uv.lock",
            "--in-place",
            "--config",
            &config,
            "--to",
        ];
        let larder = self.larder.url();
        self.bench
            .run(&binary(), &[&rewrite[..], &[&larder]].concat())
            .expect_success();
        std::fs::read_to_string(self.bench.folder().join("uv.lock")).expect("the lock")
    }

    /// With a name and a secret in it, or without.
    fn private_index(&self, secret: Option<&str>) -> String {
        let user = secret
            .map(|secret| format!("anyone:{secret}@"))
            .unwrap_or_default();
        format!("http://{user}{}{PRIVATE_PAGE}", self.larder.address())
    }

    /// Shows that the environment of this interpreter has what was locked, at the locked versions.
    fn assert_installed(&self, interpreter: &Path) {
        let code =
            "import anvil, bellows, dowel; print(anvil.VERSION, bellows.VERSION, dowel.VERSION)";
        let done = self.bench.run(interpreter, &["-c", code]);
        assert_eq!(
            done.expect_success().stdout.trim(),
            "1.2.0 2.1.0 3.0.1",
            "{done:?}"
        );
    }

    /// An environment for a client to install into.
    fn environment(&self) -> PathBuf {
        let folder = self.bench.folder().join("environment");
        let target = folder.to_string_lossy().into_owned();
        self.bench
            .run(&python::program("python"), &["-m", "venv", &target])
            .expect_success();
        folder.join("bin/python")
    }

    /// Nothing on this machine, larder or client, tried to reach anything but larder.
    fn assert_nothing_went_out(mut self) {
        let address = self.larder.address();
        self.larder.terminate();
        self.machine.assert_reached_only(&[address]);
        // A trace in which nobody came to larder either would prove nothing.
        let seen = self.machine.connections();
        assert!(
            !self.machine.is_traced() || seen.contains(&address),
            "{}",
            self.machine.means()
        );
    }
}

fn user() -> Workbench {
    // Wide enough that no message is broken into lines.
    Workbench::new()
        .environment("COLUMNS", "300")
        .environment("POETRY_VIRTUALENVS_IN_PROJECT", "true")
        // Its threads now and then forget the credential.
        .environment("POETRY_INSTALLER_PARALLEL", "false")
}

fn run_larder(bench: &Workbench, larder: &Larder, arguments: &[&str]) -> Outcome {
    let config = larder.config_file().to_string_lossy().into_owned();
    bench.run(&binary(), &[arguments, &["--config", &config]].concat())
}

/// Of the Python that the clients run on, as `3.11`.
fn python_version() -> String {
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    user()
        .run(&python::program("python"), &["-c", code])
        .expect_success()
        .stdout
        .trim()
        .to_owned()
}

fn poetry_project(source: &str) -> String {
    format!(
        "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \"~={}.0\"\n\
         dependencies = [\"anvil\", \"dowel==3.0.1\"]\n\n[tool.poetry]\npackage-mode = false\n\n\
         [[tool.poetry.source]]\nname = \"larder\"\nurl = {source:?}\npriority = \"primary\"\n",
        python_version()
    )
}

#[test]
fn r33_uv_syncs_a_rewritten_lock_behind_the_gap() {
    let far = Far::new();
    far.bench.write("pyproject.toml", locks::PROJECT);
    let lock = far.rewritten_lock();
    assert!(
        lock.contains(&far.larder.url()) && lock.contains("bellows"),
        "{lock}"
    );

    let interpreter = python::program("python").to_string_lossy().into_owned();
    far.bench
        .uv(&["sync", "--frozen", "--python", &interpreter])
        .expect_success();

    far.assert_installed(&far.bench.folder().join(".venv/bin/python"));
    far.assert_nothing_went_out();
}

#[test]
fn r33_uv_installs_by_name_behind_the_gap() {
    let far = Far::new();
    let environment = far.environment();
    let interpreter = environment.to_string_lossy().into_owned();
    let index = far.index();
    far.bench
        .uv(&[
            "pip",
            "install",
            "--python",
            &interpreter,
            "--default-index",
            &index,
            "anvil",
            "dowel==3.0.1",
        ])
        .expect_success();
    far.assert_installed(&environment);
    far.assert_nothing_went_out();
}

#[test]
fn r33_pip_installs_by_hash_behind_the_gap() {
    let far = Far::new();
    far.bench.write("requirements.txt", &carried().requirements);
    let environment = far.environment();
    let index = far.index();
    let install = [
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--require-hashes",
        "--index-url",
        &index,
    ];
    far.bench
        .run(
            &environment,
            &[&install[..], &["-r", "requirements.txt"]].concat(),
        )
        .expect_success();
    far.assert_installed(&environment);
    far.assert_nothing_went_out();
}

#[test]
fn r33_poetry_installs_its_lock_behind_the_gap() {
    // The address is the same on both sides: poetry's lock names it.
    let far = Far::at(carried().address.port(), "");
    far.bench.write("pyproject.toml", &carried().poetry_project);
    far.bench.write("poetry.lock", &carried().poetry_lock);
    far.bench
        .run(&python::poetry(), &["install", "--no-interaction"])
        .expect_success();
    far.assert_installed(&far.bench.folder().join(".venv/bin/python"));
    far.assert_nothing_went_out();
}

#[test]
fn r33_the_other_platforms_wheels_are_there_too_and_no_third_ones() {
    let far = Far::new();
    let version = python_version();
    let index = far.index();
    let download = |platform: &str| {
        let python = ["--python-version", &version, "--platform", platform];
        let what = [
            "--only-binary=:all:",
            "--index-url",
            &index,
            "--dest",
            platform,
            "anvil",
            "chisel",
        ];
        far.bench.pip(&[&["download"], &python[..], &what].concat())
    };
    download("win_amd64").expect_success();
    let mut files: Vec<String> = std::fs::read_dir(far.bench.folder().join("win_amd64"))
        .expect("what pip has downloaded")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "anvil-1.2.0-py3-none-any.whl",
            "bellows-2.1.0-py3-none-win_amd64.whl",
            "chisel-0.4.6-py3-none-any.whl"
        ]
    );
    let refused = download("macosx_11_0_arm64");
    assert!(
        !refused.succeeded() && refused.stderr.contains("bellows"),
        "{refused:?}"
    );
    far.assert_nothing_went_out();
}

#[test]
fn r33_what_was_not_carried_is_refused_with_the_reason() {
    let far = Far::new();
    let index = far.index();
    let environment = far.environment();
    let interpreter = environment.to_string_lossy().into_owned();
    let done = far.bench.uv(&[
        "pip",
        "install",
        "--python",
        &interpreter,
        "--default-index",
        &index,
        "no-such-thing",
    ]);
    assert!(!done.succeeded(), "{done:?}");
    assert!(
        done.stderr.contains("no-such-thing") && done.stderr.contains("not found"),
        "{done:?}"
    );

    // The older version was never locked: known to the index, absent from the page.
    let done = far.bench.pip(&[
        "download",
        "--no-deps",
        "--index-url",
        &index,
        "anvil==1.1.0",
    ]);
    assert!(
        !done.succeeded() && done.stderr.contains("from versions: 1.2.0)"),
        "{done:?}"
    );

    // A file that the lock names and the bundle lacks: a Mac's wheel.
    let fetch = "import sys, urllib.request, urllib.error\n\
                 try: urllib.request.urlopen(sys.argv[1])\n\
                 except urllib.error.HTTPError as answer: print(answer.code, answer.read().decode())";
    let text = far.rewritten_lock();
    let url = text
        .split('"')
        .find(|word| word.starts_with("http") && word.contains("macosx_11_0_arm64"))
        .expect("the lock names a wheel for macOS");
    let answer = far.bench.run(&environment, &["-c", fetch, url]);
    assert!(answer.stdout.starts_with("404 "), "{answer:?}");
    assert!(
        answer
            .stdout
            .contains("not in the cache, and larder is offline"),
        "{answer:?}"
    );
    let answer = far.bench.run(
        &environment,
        &["-c", fetch, &format!("{index}no-such-thing/")],
    );
    assert!(
        answer.stdout.starts_with("404 ") && answer.stdout.contains("larder is offline"),
        "{answer:?}"
    );
    far.assert_nothing_went_out();
}

#[test]
fn r33_private_packages_are_for_those_whom_the_far_side_lets_in() {
    let install = |far: &Far, secret: Option<&str>| {
        let index = far.private_index(secret);
        let target = far
            .bench
            .folder()
            .join("private")
            .to_string_lossy()
            .into_owned();
        far.bench.pip(&[
            "install",
            "--no-deps",
            "--target",
            &target,
            "--index-url",
            &index,
            "acme-app",
        ])
    };

    // Nobody can be asked who may have it, so nobody gets it, whatever he shows.
    let far = Far::new();
    for secret in [None, Some(token::READER), Some(FAR_SECRET)] {
        let refused = install(&far, secret);
        assert!(!refused.succeeded(), "{refused:?}");
    }
    far.assert_nothing_went_out();

    let folder = tempfile::TempDir::with_prefix("larder-tokens-").expect("a temporary folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("# the build machines\n{FAR_SECRET}\n"))
        .expect("a writable folder");
    let far = Far::at(0, &format!("[auth]\noffline_tokens = {tokens:?}"));
    for secret in [None, Some(token::READER)] {
        let refused = install(&far, secret);
        assert!(
            !refused.succeeded() && !refused.stdout.contains("Successfully"),
            "{refused:?}"
        );
    }
    install(&far, Some(FAR_SECRET)).expect_success();
    far.assert_nothing_went_out();
}

#[test]
fn r33_the_commands_say_what_they_did() {
    let carried = carried();
    for text in [&carried.warmed, &carried.exported] {
        assert!(text.lines().count() > 0);
    }
    assert!(
        carried
            .warmed
            .contains("bellows-2.1.0-py3-none-win_amd64.whl"),
        "{}",
        carried.warmed
    );
    assert!(!carried.warmed.contains("macosx"), "{}", carried.warmed);
}
