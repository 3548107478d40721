//! Every client that people install with, at a GitLab and at a mirror: directly, through a cold
//! larder, and through a warm one as somebody new. What is installed and what is locked must be the
//! same.

#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at what a client has installed"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::wheel::real_wheels;
use crate::support::{GitLab, Larder, Outcome, PublicIndex, Workbench, python, token};

/// Where GitLab has the packages.
const GROUP: &str = "/api/v4/groups/7/-/packages/pypi/simple/";

/// What is asked for; five more follow from it.
const WANTED: [&str; 2] = ["requests", "python-dateutil"];

const INSTALLED: [&str; 7] = [
    "certifi-2026.10.18",
    "charset_normalizer-3.5.2",
    "idna-3.20",
    "python_dateutil-2.9.0.post0",
    "requests-2.34.2",
    "six-1.17.0",
    "urllib3-2.8.0",
];

/// An index as a client is told of it.
struct Place {
    address: SocketAddr,
    path: String,
    /// Of the caller; a mirror wants none.
    secret: Option<&'static str>,
}

impl Place {
    /// With the credential in it.
    fn url(&self) -> String {
        let user = self
            .secret
            .map(|secret| format!("__token__:{secret}@"))
            .unwrap_or_default();
        format!("http://{user}{}{}", self.address, self.path)
    }

    fn plain_url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

/// What a client left behind.
#[derive(Debug, PartialEq, Eq)]
struct Installed {
    /// `name-version`, of those that were asked for and what follows from them.
    packages: BTreeSet<String>,
    /// The client's own lock, without the places of files and without digests of the client's own
    /// input, which holds the index's address. Empty if the client has none.
    lock: String,
}

type Client = fn(&Workbench, &Place) -> Installed;

fn user() -> Workbench {
    Workbench::new().environment("COLUMNS", "300")
}

/// The distributions that are installed somewhere below a folder, of those that matter here.
fn packages_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let distribution = name.strip_suffix(".dist-info").unwrap_or_default();
            if INSTALLED.contains(&distribution) {
                found.insert(distribution.to_owned());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    found
}

/// A lock without what must differ: where files lie, what pages told of their sizes and dates, and
/// digests of the client's own input.
fn comparable(lock: &str) -> String {
    let mut text = String::new();
    for line in lock
        .lines()
        .filter(|line| !line.contains("content-hash") && !line.contains("content_hash"))
    {
        let mut rest = line;
        while let Some(at) = rest.find("http://") {
            text.push_str(&rest[..at]);
            let end = rest[at..]
                .find(['"', '\'', ' ', '#', ')'])
                .map_or(rest.len(), |end| at + end);
            text.push_str(
                rest[at..end]
                    .trim_end_matches('/')
                    .rsplit('/')
                    .next()
                    .unwrap_or_default(),
            );
            rest = &rest[end..];
        }
        // uv writes down a size where the page tells one, and larder's tells it where it knows the
        // file.
        let size = rest.find(", size = ").or_else(|| rest.find(",\"size\":"));
        let rest = match size {
            Some(at) => {
                let digits = rest[at + 9..]
                    .find(|c: char| !c.is_ascii_digit())
                    .map_or(rest.len(), |end| at + 9 + end);
                format!("{}{}", &rest[..at], &rest[digits..])
            }
            None => rest.to_owned(),
        };
        let _ = writeln!(text, "{rest}");
    }
    text
}

#[track_caller]
fn read(user: &Workbench, name: &str) -> String {
    let path = user.folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[track_caller]
fn run(user: &Workbench, program: &Path, arguments: &[&str]) -> Outcome {
    let done = user.run(program, arguments);
    done.expect_success();
    done
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// A pip of any age; without a lock.
fn any_pip(user: &Workbench, program: &Path, place: &Place) -> Installed {
    let site = text(user.folder().join("site"));
    let arguments = [
        "install",
        "--no-compile",
        "--target",
        &site,
        "--index-url",
        &place.url(),
    ];
    run(user, program, &[&arguments[..], &WANTED].concat());
    Installed {
        packages: packages_below(&user.folder()),
        lock: String::new(),
    }
}

fn new_pip(user: &Workbench, place: &Place) -> Installed {
    let installed = any_pip(user, &python::program("pip"), place);
    let arguments = [
        "lock",
        "--index-url",
        &place.url(),
        "--output",
        "pylock.toml",
    ];
    run(
        user,
        &python::program("pip"),
        &[&arguments[..], &WANTED].concat(),
    );
    Installed {
        lock: comparable(&read(user, "pylock.toml")),
        ..installed
    }
}

fn pip_24(user: &Workbench, place: &Place) -> Installed {
    any_pip(user, &python::tool(&["pip==24.0"], "pip"), place)
}

fn pip_20(user: &Workbench, place: &Place) -> Installed {
    any_pip(user, &python::tool(&["pip==20.3.4"], "pip"), place)
}

/// The versions of Python that this machine's `python3` is one of.
fn this_python(user: &Workbench) -> String {
    let print = "import sys; print('%d.%d' % sys.version_info[:2])";
    run(user, &python::program("python"), &["-c", print])
        .stdout
        .trim()
        .to_owned()
}

fn project(user: &Workbench, tool: &str) {
    let (version, [one, other]) = (this_python(user), WANTED);
    let text = format!(
        "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \"~={version}.0\"\n\
         dependencies = [\"{one}\", \"{other}\"]\n\n{tool}"
    );
    user.write("pyproject.toml", text);
}

fn uv(user: &Workbench, place: &Place) -> Installed {
    project(user, "");
    let (uv, python) = (python::program("uv"), text(python::program("python")));
    let index = place.url();
    run(
        user,
        &uv,
        &["lock", "--python", &python, "--default-index", &index],
    );
    run(
        user,
        &uv,
        &[
            "sync",
            "--locked",
            "--no-install-project",
            "--python",
            &python,
            "--default-index",
            &index,
        ],
    );
    Installed {
        packages: packages_below(&user.folder()),
        lock: comparable(&read(user, "uv.lock")),
    }
}

fn poetry(user: &Workbench, place: &Place) -> Installed {
    let source = format!(
        "[tool.poetry]\npackage-mode = false\n\n\
         [[tool.poetry.source]]\nname = \"ours\"\nurl = \"{}\"\npriority = \"primary\"\n",
        place.plain_url()
    );
    project(user, &source);
    let poetry = python::poetry();
    run(user, &poetry, &["lock", "--no-interaction"]);
    run(user, &poetry, &["install", "--no-interaction"]);
    Installed {
        packages: packages_below(&user.folder()),
        lock: comparable(&read(user, "poetry.lock")),
    }
}

fn pdm(user: &Workbench, place: &Place) -> Installed {
    let source = format!(
        "[tool.pdm]\ndistribution = false\n\n[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"{}\"\nverify_ssl = false\n",
        place.url()
    );
    project(user, &source);
    let pdm = python::tool(&["pdm==2.29.4", "hishel==1.4.0"], "pdm");
    let python = text(python::program("python"));
    run(user, &pdm, &["venv", "create", "--with", "venv", &python]);
    run(user, &pdm, &["lock"]);
    run(user, &pdm, &["sync"]);
    Installed {
        packages: packages_below(&user.folder()),
        lock: comparable(&read(user, "pdm.lock")),
    }
}

fn pipenv(user: &Workbench, place: &Place) -> Installed {
    let [one, other] = WANTED;
    let text = format!(
        "[[source]]\nname = \"ours\"\nurl = \"{}\"\nverify_ssl = false\n\n[packages]\n{one} = \"*\"\n{other} = \"*\"\n",
        place.url()
    );
    user.write("Pipfile", text);
    let pipenv = python::pipenv();
    run(user, &pipenv, &["lock"]);
    run(user, &pipenv, &["sync"]);
    let lock: serde_json::Value = serde_json::from_str(&read(user, "Pipfile.lock")).expect("JSON");
    let lock = serde_json::to_string_pretty(&lock["default"]).expect("JSON");
    Installed {
        packages: packages_below(&user.folder()),
        lock,
    }
}

/// Its environments are filled by the pip in them.
fn hatch(user: &Workbench, place: &Place) -> Installed {
    project(
        user,
        &format!("[tool.hatch.envs.default]\nskip-install = true\ndependencies = {WANTED:?}\n"),
    );
    let hatch = python::tool(&["hatch==1.18.2"], "hatch");
    let (data, index) = (text(user.folder().join("data")), place.url());
    // Neither variable is known when the bench is made, which is why the shell sets them.
    let script = "HATCH_DATA_DIR=\"$1\" PIP_INDEX_URL=\"$2\" exec \"$3\" env create";
    run(
        user,
        Path::new("sh"),
        &["-c", script, "sh", &data, &index, &text(hatch)],
    );
    Installed {
        packages: packages_below(&user.folder()),
        lock: String::new(),
    }
}

fn pip_tools(user: &Workbench, place: &Place) -> Installed {
    user.write("requirements.in", WANTED.join("\n"));
    let tool = |name| python::tool(&["pip-tools==7.6.2"], name);
    let index = place.url();
    let compile = [
        "--generate-hashes",
        "--no-header",
        "--no-emit-index-url",
        "--no-emit-trusted-host",
        "--index-url",
        &index,
    ];
    run(
        user,
        &tool("pip-compile"),
        &[
            &compile[..],
            &["--output-file", "locked.txt", "requirements.in"],
        ]
        .concat(),
    );
    let site = text(user.folder().join("site"));
    let install = [
        "install",
        "--no-compile",
        "--require-hashes",
        "--target",
        &site,
        "--index-url",
        &index,
    ];
    run(
        user,
        &tool("pip"),
        &[&install[..], &["--requirement", "locked.txt"]].concat(),
    );
    Installed {
        packages: packages_below(&user.folder()),
        lock: comparable(&read(user, "locked.txt")),
    }
}

fn pex(user: &Workbench, place: &Place) -> Installed {
    let tool = |name| python::tool(&["pex==2.105.2"], name);
    let index = place.url();
    let lock = [
        "lock",
        "create",
        "--no-pypi",
        "--index-url",
        &index,
        "--output",
        "lock.json",
        "--indent",
        "2",
    ];
    run(user, &tool("pex3"), &[&lock[..], &WANTED].concat());
    let app = [
        "--no-pypi",
        "--index-url",
        &index,
        "--output-file",
        "app.pex",
        "--layout",
        "loose",
    ];
    run(user, &tool("pex"), &[&app[..], &WANTED].concat());
    let lock: serde_json::Value = serde_json::from_str(&read(user, "lock.json")).expect("JSON");
    let lock = serde_json::to_string_pretty(&lock["locked_resolves"]).expect("JSON");
    Installed {
        packages: packages_below(&user.folder().join("app.pex")),
        lock: comparable(&lock),
    }
}

/// A GitLab and a public index that have the same packages, and what stands before them.
struct Town {
    gitlab: GitLab,
    index: PublicIndex,
}

impl Town {
    fn new() -> Self {
        let (gitlab, index) = (GitLab::start(), PublicIndex::start());
        for wheel in real_wheels() {
            gitlab.publish(42, &wheel);
            index.publish(wheel);
        }
        Self { gitlab, index }
    }

    /// GitLab and the index themselves.
    fn direct(&self) -> [Place; 2] {
        [
            Place {
                address: self.gitlab.address(),
                path: GROUP.to_owned(),
                secret: Some(token::READER),
            },
            Place {
                address: self.index.address(),
                path: "/simple/".to_owned(),
                secret: None,
            },
        ]
    }

    fn through(larder: &Larder, secret: &'static str) -> [Place; 2] {
        [
            Place {
                address: larder.address(),
                path: GROUP.to_owned(),
                secret: Some(secret),
            },
            Place {
                address: larder.address(),
                path: "/pypi/simple/".to_owned(),
                secret: None,
            },
        ]
    }

    fn file_bytes(&self) -> u64 {
        self.gitlab.log().file_bodies().bytes + self.index.log().file_bodies().bytes
    }
}

/// What the client must be told of the place before it starts.
fn user_for(place: &Place) -> Workbench {
    let user = user()
        .environment("POETRY_VIRTUALENVS_IN_PROJECT", "true")
        // Its threads now and then forget the credential.
        .environment("POETRY_INSTALLER_PARALLEL", "false")
        .environment("PDM_CHECK_UPDATE", "false")
        .environment("PIPENV_VENV_IN_PROJECT", "1")
        .environment("PIPENV_NOSPIN", "1")
        .environment("PIPENV_IGNORE_VIRTUALENVS", "1");
    match place.secret {
        Some(secret) => user
            .environment("POETRY_HTTP_BASIC_OURS_USERNAME", "__token__")
            .environment("POETRY_HTTP_BASIC_OURS_PASSWORD", secret),
        None => user,
    }
}

fn installs_as_without_larder(client: Client) {
    let town = Town::new();
    let [at_gitlab, at_index] = town.direct().map(|place| client(&user_for(&place), &place));
    for direct in [&at_gitlab, &at_index] {
        assert_eq!(
            direct.packages.len(),
            INSTALLED.len(),
            "without larder: {:?}",
            direct.packages
        );
    }
    let larder = Larder::builder(&town.gitlab)
        .mirror("pypi", &town.index)
        .start();
    for (round, secret) in [("cold", token::READER), ("warm", token::DEVELOPER)] {
        town.gitlab.log().clear();
        town.index.log().clear();
        for (direct, place) in [&at_gitlab, &at_index]
            .into_iter()
            .zip(Town::through(&larder, secret))
        {
            let through = client(&user_for(&place), &place);
            assert_eq!(through.packages, direct.packages, "{round} {}", place.path);
            assert_eq!(through.lock, direct.lock, "{round} {}", place.path);
        }
        town.gitlab.log().assert_nothing_unexpected();
        town.index.log().assert_nothing_unexpected();
    }
    assert_eq!(
        town.file_bytes(),
        0,
        "the second time a file was fetched again"
    );
}

#[test]
fn pip_26_installs_and_locks_as_without_larder() {
    installs_as_without_larder(new_pip);
}

#[test]
fn pip_24_installs_as_without_larder() {
    installs_as_without_larder(pip_24);
}

/// The last one that knows neither JSON nor metadata files. Python 3.12 took away what it stands
/// on.
#[test]
fn pip_20_installs_as_without_larder() {
    let version = this_python(&user());
    if version
        .strip_prefix("3.")
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_some_and(|minor| minor < 12)
    {
        installs_as_without_larder(pip_20);
    } else {
        eprintln!("not run: pip 20.3 does not start on Python {version}");
    }
}

#[test]
fn uv_locks_and_syncs_as_without_larder() {
    installs_as_without_larder(uv);
}

#[test]
fn poetry_locks_and_installs_as_without_larder() {
    installs_as_without_larder(poetry);
}

#[test]
fn pdm_locks_and_syncs_as_without_larder() {
    installs_as_without_larder(pdm);
}

#[test]
fn pipenv_locks_and_syncs_as_without_larder() {
    installs_as_without_larder(pipenv);
}

#[test]
fn hatch_makes_environments_as_without_larder() {
    installs_as_without_larder(hatch);
}

#[test]
fn pip_tools_compile_and_install_as_without_larder() {
    installs_as_without_larder(pip_tools);
}

#[test]
fn pex_locks_and_builds_as_without_larder() {
    installs_as_without_larder(pex);
}

#[test]
fn only_places_and_sizes_are_taken_out_of_a_lock() {
    let line =
        "  { url = \"http://127.0.0.1:1/a/b/six-1.whl\", hash = \"sha256:00\", size = 11050 },\n";
    assert_eq!(
        comparable(line),
        "  { url = \"six-1.whl\", hash = \"sha256:00\" },\n"
    );
    assert_eq!(
        comparable("content-hash = \"1\"\nname = \"six\"\n"),
        "name = \"six\"\n"
    );
}
