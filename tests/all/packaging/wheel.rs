//! The wheel that carries the binary: published to a GitLab, and installed from there by the
//! commands of the install page, with the real pip and the real uv.
//!
//! Not in `system_tools`, because it needs a wheel: `bash .ci/release --quick` makes one of the
//! release binary (`.ci/run` does), `bash .ci/release` the one that is published.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::debian::install_commands;
use crate::support::python::program;
use crate::support::{GitLab, Larder, Workbench, path, real_wheels, token};

/// The address in the install page's commands.
const PLACEHOLDER: &str =
    "https://__token__:TOKEN@gitlab.example.com/api/v4/projects/ID/packages/pypi/simple/";

/// The one wheel in the folder that `LARDER_WHEELS` names.
fn wheel() -> PathBuf {
    let folder = std::env::var_os("LARDER_WHEELS").expect("LARDER_WHEELS names a folder");
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let mut wheels = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheels.next().expect("a wheel");
    assert_eq!(wheels.next(), None, "one wheel alone");
    wheel.canonicalize().expect("it is there")
}

/// A GitLab with the real wheels, to which twine has uploaded this wheel too.
fn gitlab_with_larder(user: &Workbench) -> GitLab {
    let gitlab = GitLab::start();
    for wheel in &real_wheels() {
        gitlab.publish(42, wheel);
    }
    let wheel = wheel();
    user.twine(&[
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--repository-url",
        &format!("{}{}", gitlab.url(), path::upload(42)),
        "-u",
        "__token__",
        "-p",
        token::DEVELOPER,
        &wheel.to_string_lossy(),
    ])
    .expect_success();
    gitlab
}

/// The install page's command that begins so, with this GitLab in place of the page's.
fn command(begins: &str, gitlab: &GitLab) -> Vec<String> {
    let commands = install_commands("With pip or uv");
    let line = commands
        .iter()
        .find(|line| line.starts_with(begins))
        .unwrap_or_else(|| panic!("no {begins} in {commands:?}"));
    assert!(line.contains(PLACEHOLDER), "{line}");
    let index = gitlab
        .url()
        .replace("://", &format!("://__token__:{}@", token::READER));
    let index = format!("{index}{}", path::project_index(42));
    let line = line.replace(PLACEHOLDER, &index);
    let words = line.split_whitespace();
    words.skip(1).map(str::to_owned).collect()
}

fn run(user: &Workbench, program: &Path, arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = user.run(program, &arguments);
    outcome.expect_success();
    outcome.stdout
}

/// `larder serve` of this binary: a private package is installed through it, twice, and crosses
/// from GitLab once.
fn serves(binary: &Path, gitlab: &GitLab) {
    gitlab.log().clear();
    let larder = Larder::builder(gitlab).binary(binary).start();
    let index = format!(
        "{}{}",
        larder
            .url()
            .replace("://", &format!("://__token__:{}@", token::READER)),
        path::project_index(42)
    );
    for _ in 0..2 {
        let user = Workbench::new();
        user.pip(&["install", "--target", "site", "--index-url", &index, "six"])
            .expect_success();
        assert!(user.folder().join("site/six.py").exists());
    }
    assert_eq!(gitlab.log().file_bodies().transfers, 1);
}

#[test]
#[ignore = "needs LARDER_WHEELS, a folder with a wheel: bash .ci/release --quick"]
fn pip_installs_larder_from_a_registry() {
    let user = Workbench::new();
    let gitlab = gitlab_with_larder(&user);
    let venv = user.folder().join("venv");
    let made = Command::new(program("python"))
        .args(["-m", "venv"])
        .arg(&venv)
        .status();
    assert!(made.is_ok_and(|status| status.success()));

    run(&user, &venv.join("bin/pip"), &command("pip ", &gitlab));

    let larder = venv.join("bin/larder");
    let version = run(&user, &larder, &["--version".to_owned()]);
    assert!(
        version.starts_with(concat!("larder ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    serves(&larder, &gitlab);
}

#[test]
#[ignore = "needs LARDER_WHEELS, a folder with a wheel: bash .ci/release --quick"]
fn uv_installs_larder_as_a_tool_and_runs_it_at_once() {
    let user = Workbench::new();
    let gitlab = gitlab_with_larder(&user);
    let uv = program("uv");
    // The stand-in has no TLS; and what uv installs is reached by its whole path here.
    let bin = user.folder().join("bin");
    let user = user
        .environment("UV_TOOL_BIN_DIR", &bin.to_string_lossy())
        .environment("UV_INSECURE_HOST", "127.0.0.1");

    run(&user, &uv, &command("uv ", &gitlab));
    serves(&bin.join("larder"), &gitlab);

    let mut uvx = command("uvx ", &gitlab);
    let serve = uvx.iter().position(|word| word == "serve");
    uvx.truncate(serve.expect("the page's command serves"));
    uvx.push("--version".to_owned());
    let version = run(&user, &program("uvx"), &uvx);
    assert!(version.starts_with("larder "), "{version}");
}
