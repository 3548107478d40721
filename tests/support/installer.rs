//! pip, uv and poetry as a new user runs them, with nothing in any cache of theirs: one index, some
//! packages, one folder to install into.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::python::{self, Outcome, Workbench};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installer {
    Pip,
    Uv,
    Poetry,
}

/// What became of an installation.
#[derive(Debug)]
pub struct Installed {
    pub outcome: Outcome,
    /// The folder that was installed into.
    pub site: PathBuf,
    /// Its folders live as long as it does.
    _user: Workbench,
}

impl Installed {
    /// Whether all of these modules are there.
    pub fn has(&self, modules: &[&str]) -> bool {
        self.outcome.succeeded() && modules.iter().all(|module| self.site.join(module).exists())
    }
}

impl Installer {
    pub const ALL: [Self; 3] = [Self::Pip, Self::Uv, Self::Poetry];

    /// Installs from the index at this path of this server.
    pub fn install(
        self,
        server: SocketAddr,
        index: &str,
        secret: &str,
        packages: &[&str],
    ) -> Installed {
        // Wide enough that no message is broken into lines.
        let user = Workbench::new().environment("COLUMNS", "300");
        let url = format!("http://__token__:{secret}@{server}{index}");
        let site = user.folder().join("site");
        let target = site.to_string_lossy().into_owned();
        let python = python::program("python").to_string_lossy().into_owned();
        match self {
            Self::Pip => {
                let arguments = [
                    "install",
                    "--no-compile",
                    "--target",
                    &target,
                    "--index-url",
                    &url,
                ];
                let outcome = user.pip(&[&arguments, packages].concat());
                Installed {
                    outcome,
                    site,
                    _user: user,
                }
            }
            Self::Uv => {
                let into = ["pip", "install", "--python", &python, "--target", &target];
                let outcome = user.uv(&[&into[..], &["--default-index", &url], packages].concat());
                Installed {
                    outcome,
                    site,
                    _user: user,
                }
            }
            Self::Poetry => poetry(user, &format!("http://{server}{index}"), secret, packages),
        }
    }
}

/// `poetry lock` and `poetry install` of a project that knows no other source.
fn poetry(user: Workbench, index: &str, secret: &str, packages: &[&str]) -> Installed {
    let user = user
        .environment("POETRY_HTTP_BASIC_INDEX_USERNAME", "__token__")
        .environment("POETRY_HTTP_BASIC_INDEX_PASSWORD", secret)
        .environment("POETRY_VIRTUALENVS_IN_PROJECT", "true")
        // Its threads now and then forget the credential.
        .environment("POETRY_INSTALLER_PARALLEL", "false");
    let asked = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"];
    let version = user
        .run(&python::program("python"), &asked)
        .stdout
        .trim()
        .to_owned();
    user.write(
        "pyproject.toml",
        format!(
            "[project]\nname = \"consumer\"\nversion = \"0.1\"\nrequires-python = \"~={version}.0\"\n\
             dependencies = {packages:?}\n\n[tool.poetry]\npackage-mode = false\n\n\
             [[tool.poetry.source]]\nname = \"index\"\nurl = \"{index}\"\npriority = \"primary\"\n"
        ),
    );
    let mut outcome = user.run(&python::poetry(), &["lock", "--no-interaction"]);
    if outcome.succeeded() {
        outcome = user.run(&python::poetry(), &["install", "--no-interaction"]);
    }
    let site = user
        .folder()
        .join(format!(".venv/lib/python{version}/site-packages"));
    Installed {
        outcome,
        site,
        _user: user,
    }
}
