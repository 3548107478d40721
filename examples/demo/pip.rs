//! A pip that listens to no settings but the demo's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Told;

/// What is said of the command; the index and the folder come with it.
pub const COMMAND: &str = "pip install --no-compile -r requirements.txt";

pub struct Pip {
    python: PathBuf,
    pub version: String,
}

impl Pip {
    /// In a virtual environment of the demo's own, or else the machine's.
    pub fn find(folder: &Path) -> Told<Self> {
        let machines = PathBuf::from("python3");
        run(&machines, &["--version"])
            .map_err(|_| "it needs Python 3, and there is no python3 on the PATH")?;
        let environment = folder.join("venv");
        let own = environment.join("bin/python");
        if version(&own).is_err() {
            // May fail where ensurepip is packaged apart; the machine's own pip will do as well.
            let environment = environment.display().to_string();
            let _ = run(&machines, &["-m", "venv", "--clear", &environment]);
        }
        for python in [own, machines] {
            if let Ok(version) = version(&python) {
                return Ok(Self { python, version });
            }
        }
        Err("this Python has neither venv nor pip: install python3-venv or python3-pip".to_owned())
    }

    /// Installs what the file names from there into an empty folder, with no cache of pip's own.
    pub fn install(&self, requirements: &Path, source: &[&str], target: &Path) -> Told<Duration> {
        let requirements = requirements.display().to_string();
        let target = target.display().to_string();
        let mut arguments = vec!["-m", "pip", "install", "--quiet", "--no-compile"];
        arguments.extend(["--target", &target, "-r", &requirements]);
        arguments.extend(source);
        let started = Instant::now();
        run(&self.python, &arguments)?;
        Ok(started.elapsed())
    }
}

/// `pip 26.3`, of the pip that this Python has.
fn version(python: &Path) -> Told<String> {
    let said = run(python, &["-m", "pip", "--version"])?;
    let words: Vec<&str> = said.split_whitespace().take(2).collect();
    Ok(words.join(" "))
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
