//! Real clients at one group URL: a private package from GitLab that depends on public ones, which
//! a mirror has in place; through one larder, and through two in a row.

#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at what a client has installed"
)]

use std::path::{Path, PathBuf};

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::AHEAD;
use crate::common::world::{INSTALLED, app};
use crate::support::wheel::real_wheels;
use crate::support::{
    Distribution, GitLab, Kind, Larder, Outcome, PublicIndex, Workbench, python, token,
};

const GROUP: &str = "/api/v4/groups/7/-/packages/pypi/simple/";

/// A GitLab that has the private package, and a public index that has all else, and a trap of the
/// same name.
struct Town {
    gitlab: GitLab,
    index: PublicIndex,
}

impl Town {
    fn new() -> Self {
        let index = PublicIndex::start();
        for wheel in real_wheels() {
            index.publish(wheel);
        }
        index.publish(Distribution::new("acme-app", "99.0").wheel());
        index.declare_private(&["acme-*"]);
        let gitlab = GitLab::start();
        gitlab.publish(42, app());
        Self { gitlab, index }
    }

    fn larder(&self) -> Larder {
        Larder::builder(&self.gitlab)
            .mirror("pypi", &self.index)
            .forward("pypi")
            .private_names(&["acme-*"])
            .sections(AHEAD)
            .start()
    }

    /// One more, in front of another: GitLab's part of it and its mirror are reached through that.
    fn second(inner: &Larder, forward: &str) -> Larder {
        let sections = format!(
            "[mirrors.public]\nurl = \"{0}/pypi/simple/\"\nfile_urls = [\"{0}/pypi/\"]",
            inner.url()
        );
        Larder::in_front_of(&inner.url())
            .forward(forward)
            .private_names(&["acme-*"])
            .sections(&sections)
            .start()
    }

    fn forget(&self) {
        self.gitlab.log().clear();
        self.index.log().clear();
    }

    fn file_bytes(&self) -> u64 {
        self.gitlab.log().file_bodies().bytes + self.index.log().file_bodies().bytes
    }

    fn assert_innocent(&self) {
        self.gitlab.log().assert_nothing_unexpected();
        self.index.log().assert_nothing_unexpected();
        self.index
            .assert_never_told(&[token::READER, token::DEVELOPER, "acme"]);
    }
}

fn index_url(larder: &Larder, secret: &str) -> String {
    format!("http://__token__:{secret}@{}{GROUP}", larder.address())
}

fn user() -> Workbench {
    // Wide enough that no message is broken into lines.
    Workbench::new().environment("COLUMNS", "300")
}

/// Installs the private package; gives what was said and the folder that it was installed into.
type Install = fn(&Larder, &str) -> (Outcome, Workbench, PathBuf);

fn by_pip(program: &Path, larder: &Larder, secret: &str) -> (Outcome, Workbench, PathBuf) {
    let user = user();
    let site = user.folder().join("site");
    let (target, index) = (
        site.to_string_lossy().into_owned(),
        index_url(larder, secret),
    );
    let arguments = [
        "install",
        "--no-compile",
        "--target",
        &target,
        "--index-url",
        &index,
        "acme-app",
    ];
    let done = user.run(program, &arguments);
    (done, user, site)
}

fn new_pip(larder: &Larder, secret: &str) -> (Outcome, Workbench, PathBuf) {
    by_pip(&python::program("pip"), larder, secret)
}

fn old_pip(larder: &Larder, secret: &str) -> (Outcome, Workbench, PathBuf) {
    by_pip(&python::old_pip(), larder, secret)
}

fn uv(larder: &Larder, secret: &str) -> (Outcome, Workbench, PathBuf) {
    let user = user();
    let site = user.folder().join("site");
    let target = site.to_string_lossy().into_owned();
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let index = index_url(larder, secret);
    let arguments = [
        "pip",
        "install",
        "--python",
        &interpreter,
        "--target",
        &target,
    ];
    let done = user.uv(&[&arguments[..], &["--default-index", &index, "acme-app"]].concat());
    (done, user, site)
}

/// `poetry lock` and `poetry install` of a project that knows no other source.
fn poetry(larder: &Larder, secret: &str) -> (Outcome, Workbench, PathBuf) {
    let user = user()
        .environment("POETRY_HTTP_BASIC_LARDER_USERNAME", "__token__")
        .environment("POETRY_HTTP_BASIC_LARDER_PASSWORD", secret)
        .environment("POETRY_VIRTUALENVS_IN_PROJECT", "true")
        // Its threads now and then forget the credential.
        .environment("POETRY_INSTALLER_PARALLEL", "false");
    let version = user.run(
        &python::program("python"),
        &["-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
    );
    user.write(
        "pyproject.toml",
        format!(
            "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \"~={}.0\"\n\
             dependencies = [\"acme-app\"]\n\n[tool.poetry]\npackage-mode = false\n\n\
             [[tool.poetry.source]]\nname = \"larder\"\nurl = \"http://{}{GROUP}\"\npriority = \"primary\"\n",
            version.stdout.trim(),
            larder.address()
        ),
    );
    let locked = user.run(&python::poetry(), &["lock", "--no-interaction"]);
    if !locked.succeeded() {
        let site = user.folder();
        return (locked, user, site);
    }
    let done = user.run(&python::poetry(), &["install", "--no-interaction"]);
    let library = user.folder().join(".venv/lib");
    let mut versions = std::fs::read_dir(&library).into_iter().flatten().flatten();
    let site = versions
        .next()
        .map_or(library, |version| version.path().join("site-packages"));
    (done, user, site)
}

fn assert_installed(
    case: &str,
    larder: &Larder,
    (done, _user, site): &(Outcome, Workbench, PathBuf),
) {
    assert!(done.succeeded(), "{case}: {done:#?}\n{}", larder.log());
    for name in INSTALLED {
        assert!(
            site.join(name).exists(),
            "{case}: {name} is not there: {done:#?}"
        );
    }
    assert!(
        site.join("acme_app-1.0.dist-info").exists(),
        "{case}: not GitLab's own"
    );
}

/// Blocks until nothing is on its way any more and all is stored.
fn settle(larder: &Larder) {
    for wheel in real_wheels() {
        kept(larder, &wheel);
    }
    kept(larder, &app());
    eventually("nothing is read ahead any more", || {
        larder.metric("larder_prefetch_queue") == Some(0.0)
    });
}

fn installs_by_one_url(case: &str, install: Install) {
    let town = Town::new();
    let larder = town.larder();
    assert_installed(case, &larder, &install(&larder, token::READER));
    settle(&larder);

    town.forget();
    assert_installed(
        &format!("{case}, warm"),
        &larder,
        &install(&larder, token::DEVELOPER),
    );
    assert_eq!(town.file_bytes(), 0, "{case}: fetched again");
    assert!(
        town.gitlab.log().count(Kind::Page) > 0,
        "{case}: nobody asked whether he may"
    );
    town.assert_innocent();
}

/// The second time it is uv in any case: it takes a tenth of the others' time.
fn installs_through_two(case: &str, install: Install, forward: &str) {
    let case = format!("{case}, forward = {forward:?} at the outer");
    let town = Town::new();
    let inner = town.larder();
    let outer = Town::second(&inner, forward);
    assert_installed(&case, &outer, &install(&outer, token::READER));
    settle(&outer);
    settle(&inner);

    town.forget();
    assert_installed(
        &format!("{case}, warm"),
        &outer,
        &uv(&outer, token::DEVELOPER),
    );
    assert_eq!(town.file_bytes(), 0, "{case}: fetched again");
    town.assert_innocent();
}

/// One agent's pip, and another's uv: what the first brought, the parent has for the second.
#[test]
fn agents_install_under_one_parent() {
    let town = Town::new();
    let parent = town.larder();
    let agent = || Larder::under(&parent.url()).sections(AHEAD).start();
    let first = agent();
    let second = agent();
    assert_installed("pip at an agent", &first, &new_pip(&first, token::READER));
    settle(&first);
    settle(&parent);

    town.forget();
    let done = uv(&second, token::DEVELOPER);
    assert_installed("uv at another", &second, &done);
    assert_eq!(town.file_bytes(), 0, "the parent has it all");
    assert!(town.gitlab.log().count(Kind::Page) > 0, "rights are asked");
    settle(&second);
    town.forget();
    let again = new_pip(&second, token::READER);
    assert_installed("pip at the other", &second, &again);
    assert_eq!(town.file_bytes(), 0);
    town.assert_innocent();
}

#[test]
fn pip_installs_private_and_public_packages_by_one_url() {
    installs_by_one_url("pip", new_pip);
}

#[test]
fn an_old_pip_installs_private_and_public_packages_by_one_url() {
    installs_by_one_url("old pip", old_pip);
}

#[test]
fn uv_installs_private_and_public_packages_by_one_url() {
    installs_by_one_url("uv", uv);
}

#[test]
fn poetry_locks_and_installs_private_and_public_packages_by_one_url() {
    installs_by_one_url("poetry", poetry);
}

#[test]
fn pip_installs_through_two_larders() {
    installs_through_two("pip", new_pip, "public");
}

#[test]
fn an_old_pip_installs_through_two_larders() {
    installs_through_two("old pip", old_pip, "pass");
}

#[test]
fn uv_installs_through_two_larders() {
    for forward in ["public", "pass"] {
        installs_through_two("uv", uv, forward);
    }
}

#[test]
fn poetry_installs_through_two_larders() {
    installs_through_two("poetry", poetry, "pass");
}
