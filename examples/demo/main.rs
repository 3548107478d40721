//! `cargo run --example demo`: a day of CI without larder and with it, on this machine alone.
//!
//! Needs Rust and Python; no network, no configuration. A stand-in for GitLab (the tests' own) holds
//! the wheels, each of its answers takes as long to begin as if it were further away, and the real
//! binary of larder stands in front of it. pip installs a list of requirements once for each job of
//! the day; what it waited for and what GitLab was asked and sent is counted and told. Ends with 1
//! if anything is not as the README says.
//!
//! At a terminal everything stays up until Ctrl-C, and anywhere with `-- --keep`. `-- --chart`
//! draws what was measured into `docs/benefit.svg`.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it owns its clock and its folder"
)]

mod chart;
mod day;
mod pip;
mod promises;
mod stage;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use day::Day;
use pip::Pip;
use stage::{Stage, build_larder};

/// Why the demo stopped: a sentence for the person at the terminal.
type Told<T> = Result<T, String>;

/// Where the chart is kept, in the repository.
const CHART: &str = "docs/benefit.svg";

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    keep: bool,
    chart: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::of_process() else {
        eprintln!("usage: cargo run --example demo [-- [--keep] [--chart]]");
        return ExitCode::from(2);
    };
    match demo(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nThe demo stopped: {why}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn of_process() -> Option<Self> {
        let mut arguments = Self::default();
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--keep" => arguments.keep = true,
                "--chart" => arguments.chart = true,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn demo(arguments: &Arguments) -> Told<()> {
    let folder = fresh_folder()?;
    let binary = build_larder()?;
    let pip = Pip::find(&folder)?;
    let stage = Stage::set(&binary);
    stage.introduce(&pip);
    let day = Day::run(&stage, &pip, &folder)?;
    day.check(&stage)?;
    println!();
    promises::a_stranger_is_refused(&stage)?;
    promises::wrong_bytes_are_stopped(&stage)?;
    promises::an_upload_is_seen_at_once(&stage)?;
    println!("\nAll as promised.");
    if arguments.chart {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART);
        write(&file, chart::draw(&day).as_bytes())?;
        println!(
            "\n{CHART} is drawn. For docs/benchmarks.md:\n\n{}",
            day.markdown()
        );
    }
    let binary = shortened(&binary);
    println!(
        "\nThe larder that you saw is left for you (compiled for a quick build, not for speed):\n\
         \n  {binary} serve --gitlab https://gitlab.example.com"
    );
    let is_watched = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if arguments.keep || is_watched {
        stage.stay(&folder)?;
    } else {
        println!("\nStay and look around: cargo run --example demo -- --keep");
    }
    Ok(())
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
        if entry.file_name() == "venv" {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.map_err(fault)?;
    }
    fs::canonicalize(&folder).map_err(fault)
}

fn write(file: &Path, content: &[u8]) -> Told<()> {
    let fault = |why: std::io::Error| format!("{}: {why}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(file, content).map_err(fault)
}

/// The path as it can be typed here.
fn shortened(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shown = path.strip_prefix(here).unwrap_or(path);
    shown.display().to_string()
}
