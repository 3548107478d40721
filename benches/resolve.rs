//! What a resolver is sent, and how long it takes, directly from GitLab and through larder.
//!
//! ```text
//! cargo bench --profile dist --bench resolve                  # as it is published; three rounds, some five minutes
//! cargo bench --profile dist --bench resolve -- --rounds 1
//! cargo bench --profile dist --bench resolve -- --rounds 1 --timeline    # each request to GitLab, and when it came
//! cargo bench --profile dist --bench resolve -- --fleet          # a fresh larder before a filled bucket
//! ```
//!
//! Prints a table in Markdown and writes nothing else; everything happens on 127.0.0.1 and in
//! temporary folders. It needs Python, for the pinned uv and pip of the tests.
//!
//! 40 packages that depend on each other, in three versions each, of 5 to 600 files, lie in the
//! tests' stand-in for GitLab, whose every answer begins 30 ms late and whose index has no metadata. One of the newest
//! versions does not fit the others, so that the resolver has to step back. `uv lock` reads the
//! index and metadata only; `uv pip install` fetches the wheels as well, and so does `pip install`,
//! one after another. The client's own cache is empty each time. A relay in front of whichever
//! server the client talks to counts its requests and what it is sent, heads included; what GitLab
//! was asked meanwhile is read from the stand-in's log, with bodies only. *Cold* is a larder with an
//! empty store, *warm* the same larder once it has come to rest. With `--fleet`, `uv pip install` of 42
//! packages is behind a third one too: *fresh*, with an empty store and the bucket that the first one
//! filled (SeaweedFS, of the Python index). It fails if GitLab sends that one a file. Figures are medians of the
//! rounds, and comparable within one run only.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it owns its clock and its folders"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::figures::thousands;
use support::relay::{Passed, Relay};
use support::{
    Act, Artifact, Distribution, Engine, Entry, Fleet, GitLab, Kind, Larder, Outcome, Workbench,
    path, python, token,
};

const PACKAGES: usize = 40;
/// With two that no other needs.
const PACKAGES_OF_FLEET: usize = 42;
const VERSIONS: [&str; 3] = ["1.0", "2.0", "3.0"];
const PROJECT: u64 = 42;
const DISTANCE: Duration = Duration::from_millis(30);
/// Of the wheels, in turn.
const SIZES: [usize; 10] = [
    50_000, 60_000, 80_000, 120_000, 200_000, 350_000, 600_000, 1_100_000, 2_500_000, 4_000_000,
];
/// Of the small modules in them, in turn: the more, the longer a wheel's directory.
const MODULES: [usize; 10] = [5, 10, 20, 30, 40, 60, 80, 100, 150, 600];
/// Of their descriptions, in turn: most of a real METADATA.
const DESCRIPTIONS: [usize; 4] = [2_000, 6_000, 15_000, 40_000];
/// Needs what no other package can live with, in its newest version.
const AT_ODDS: usize = 7;
/// Named, and left as they are.
const OWN_SETTINGS: &str = "[metadata]\n# read_ahead";
/// Without a request for so long, larder has come to rest.
const REST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!(
            "usage: cargo bench --profile dist --bench resolve -- [--rounds N] [--timeline] [--fleet]"
        );
        return ExitCode::from(2);
    };
    if let Err(reason) = python::clients() {
        eprintln!("no uv and pip: {reason}");
        return ExitCode::FAILURE;
    }
    let gitlab = GitLab::builder()
        .set(|settings| settings.latency = DISTANCE)
        .start();
    if options.fleet {
        return fleet(&gitlab, &options);
    }
    let (names, _) = publish(&gitlab, PACKAGES);
    let mut rows = Vec::new();
    for ranges in [true, false] {
        gitlab.behave();
        if !ranges {
            gitlab.plan(Act::IgnoreRange.at(Kind::File));
            gitlab.plan(Act::NoAcceptRanges.at(Kind::File));
        }
        for command in [Command::Lock, Command::Install, Command::Pip] {
            let mut samples = Vec::new();
            for _ in 0..options.rounds {
                samples.push(round(&gitlab, command, &names[..8], options.timeline));
            }
            rows.extend(medians(ranges, command, &samples));
        }
    }
    print(PACKAGES, &rows, options.rounds);
    ExitCode::SUCCESS
}

fn medians(ranges: bool, command: Command, samples: &[Vec<Sample>]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut direct = Duration::ZERO;
    for way in 0..samples[0].len() {
        let of_way = samples.iter().map(|round| round[way].clone()).collect();
        let sample = median(of_way);
        if way == 0 {
            direct = sample.took;
        }
        rows.push(Row {
            ranges,
            command,
            ratio: sample.took.as_secs_f64() / direct.as_secs_f64(),
            sample,
        });
    }
    rows
}

/// The same install directly, from a warm larder, and from a fresh one with a filled bucket.
fn fleet(gitlab: &GitLab, options: &Options) -> ExitCode {
    let (names, wheels) = publish(gitlab, PACKAGES_OF_FLEET);
    let wanted = [&names[..8], &names[PACKAGES..]].concat();
    let samples: Vec<_> = (0..options.rounds)
        .map(|_| round_of_fleet(gitlab, &wheels, &wanted, options.timeline))
        .collect();
    let rows = medians(true, Command::Install, &samples);
    print(PACKAGES_OF_FLEET, &rows, options.rounds);
    let warm = &rows[2].sample;
    let fresh = &rows[3].sample;
    println!(
        "\nfresh ÷ warm: {:.2}",
        fresh.took.as_secs_f64() / warm.took.as_secs_f64()
    );
    // A question about a right may be one for the first byte.
    if fresh.files > 0 {
        eprintln!("GitLab sent a fresh larder {} files", fresh.files);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn round_of_fleet(
    gitlab: &GitLab,
    wheels: &[Artifact],
    wanted: &[String],
    timeline: bool,
) -> Vec<Sample> {
    let command = Command::Install;
    let relay = Relay::start(gitlab.address());
    gitlab.set(|settings| settings.external_url = Some(relay.url()));
    let direct = measure("direct", gitlab, &relay, command, wanted, timeline);
    gitlab.set(|settings| settings.external_url = None);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let member = || {
        let builder = Larder::builder(gitlab).sections("[metadata]");
        fleet.member(builder).start()
    };
    let first = member();
    let relay = Relay::start(first.address());
    let cold = measure("larder, cold", gitlab, &relay, command, wanted, timeline);
    come_to_rest(gitlab);
    // Also what the resolver has only looked at: of these larder read the ends alone.
    for wheel in wheels {
        let reader = first.client().token(token::READER);
        reader.get(&path::project_file(PROJECT, wheel)).expect(200);
    }
    while first.metric("larder_shared_store_queue") != Some(0.0) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let warm = measure("larder, warm", gitlab, &relay, command, wanted, timeline);
    drop(first);
    let second = member();
    let relay = Relay::start(second.address());
    let fresh = measure("larder, fresh", gitlab, &relay, command, wanted, timeline);
    come_to_rest(gitlab);
    vec![direct, cold, warm, fresh]
}

struct Options {
    rounds: usize,
    timeline: bool,
    fleet: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self {
            rounds: 3,
            timeline: false,
            fleet: false,
        };
        let mut left = arguments.iter();
        while let Some(argument) = left.next() {
            match argument.as_str() {
                "--timeline" => options.timeline = true,
                "--fleet" => options.fleet = true,
                "--rounds" => options.rounds = left.next()?.parse().ok()?,
                _ => return None,
            }
        }
        if options.rounds == 0 {
            return None;
        }
        Some(options)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Lock,
    Install,
    Pip,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "`uv lock`",
            Self::Install => "`uv pip install`",
            Self::Pip => "`pip install`",
        })
    }
}

#[derive(Clone, Debug)]
struct Sample {
    way: &'static str,
    client: Passed,
    upstream: Passed,
    /// That GitLab sent more of than the byte that a question about a right may take.
    files: u64,
    took: Duration,
}

struct Row {
    ranges: bool,
    command: Command,
    sample: Sample,
    /// Of the time that it takes without larder.
    ratio: f64,
}

/// Fills the project with so many packages, and gives their names and wheels.
fn publish(gitlab: &GitLab, packages: usize) -> (Vec<String>, Vec<Artifact>) {
    let mut wheels = Vec::new();
    let names: Vec<String> = (0..packages)
        .map(|number| format!("part-{number:02}"))
        .collect();
    for (number, name) in names.iter().enumerate() {
        for version in VERSIONS {
            let mut package = Distribution::new(name, version)
                .requires_python(">=3.8")
                .description(DESCRIPTIONS[number % DESCRIPTIONS.len()])
                .payload(SIZES[number % SIZES.len()])
                .modules(MODULES[number % MODULES.len()]);
            for needed in needs(number) {
                let odd = number == AT_ODDS && version == "3.0";
                let range = if odd { "<2" } else { ">=2,<4" };
                package = package.depends_on(&format!("{}{range}", names[needed]));
            }
            let wheel = package.wheel();
            gitlab.publish(PROJECT, &wheel);
            wheels.push(wheel);
        }
    }
    (names, wheels)
}

/// The packages that one needs: always later ones, more of them at the top, none at the bottom.
fn needs(number: usize) -> Vec<usize> {
    let steps: &[usize] = match number {
        0..16 => &[1, 3, 8, 13],
        16..32 => &[1, 8],
        _ => &[],
    };
    steps.iter().map(|step| number + step).collect()
}

/// One command directly, through a cold larder, and through the same one warm.
fn round(gitlab: &GitLab, command: Command, names: &[String], timeline: bool) -> Vec<Sample> {
    let relay = Relay::start(gitlab.address());
    gitlab.set(|settings| settings.external_url = Some(relay.url()));
    let direct = measure("direct", gitlab, &relay, command, names, timeline);
    gitlab.set(|settings| settings.external_url = None);

    // With its own settings for what is read ahead, which is off in the tests.
    let larder = Larder::builder(gitlab).sections(OWN_SETTINGS).start();
    let relay = Relay::start(larder.address());
    let cold = measure("larder, cold", gitlab, &relay, command, names, timeline);
    come_to_rest(gitlab);
    let warm = measure("larder, warm", gitlab, &relay, command, names, timeline);
    come_to_rest(gitlab);
    vec![direct, cold, warm]
}

fn measure(
    way: &'static str,
    gitlab: &GitLab,
    relay: &Relay,
    command: Command,
    names: &[String],
    timeline: bool,
) -> Sample {
    gitlab.log().clear();
    relay.take();
    let started = Instant::now();
    run(command, &relay.url(), names).expect_success();
    let took = started.elapsed();
    let client = relay.take();
    let entries = gitlab.log().entries();
    let bytes = entries.iter().map(|entry| entry.body_sent).sum();
    let is_file = |entry: &&Entry| entry.is_file_body() && entry.body_sent > 1;
    let files = entries.iter().filter(is_file).count() as u64;
    if timeline {
        println!("{command}, {way}: {:.3} s", took.as_secs_f64());
        for entry in &entries {
            let since = entry.at.saturating_duration_since(started);
            let range = entry.head.header("Range").unwrap_or_default();
            let name = entry.head.path().trim_end_matches('/').rsplit('/').next();
            println!(
                "{:>7.1} ms, connection {:>3}: {} {} {range}: {} bytes",
                since.as_secs_f64() * 1000.0,
                entry.connection,
                entry.head.method,
                name.unwrap_or_default(),
                entry.body_sent
            );
        }
    }
    Sample {
        way,
        client,
        upstream: Passed {
            requests: entries.len() as u64,
            bytes,
        },
        files,
        took,
    }
}

/// The command as a new user runs it, with nothing in any cache of theirs. The names are those of
/// packages that need all the others between them.
fn run(command: Command, server: &str, wanted: &[String]) -> Outcome {
    let user = Workbench::new();
    let host = server.trim_start_matches("http://");
    let index = format!(
        "http://__token__:{}@{host}{}",
        token::READER,
        path::project_index(PROJECT)
    );
    let python = python::program("python").to_string_lossy().into_owned();
    match command {
        Command::Lock => {
            user.write(
                "pyproject.toml",
                format!(
                    "[project]\nname = \"whole\"\nversion = \"1\"\nrequires-python = \">=3.11\"\ndependencies = {wanted:?}\n"
                ),
            );
            let done = user.uv(&["lock", "--python", &python, "--default-index", &index]);
            let lock = std::fs::read_to_string(user.folder().join("uv.lock")).unwrap_or_default();
            let locked = lock.matches("[[package]]").count();
            assert_eq!(locked, PACKAGES + 1, "{done:#?}");
            done
        }
        Command::Pip => {
            let target = user.folder().join("site").to_string_lossy().into_owned();
            let arguments = [
                "install",
                "--no-compile",
                "--target",
                &target,
                "--index-url",
                &index,
            ];
            let wanted = wanted.iter().map(String::as_str);
            let arguments: Vec<&str> = arguments.into_iter().chain(wanted).collect();
            user.pip(&arguments)
        }
        Command::Install => {
            let target = user.folder().join("site").to_string_lossy().into_owned();
            let mut arguments = vec![
                "pip",
                "install",
                "--python",
                &python,
                "--target",
                &target,
                "--default-index",
                &index,
            ];
            arguments.extend(wanted.iter().map(String::as_str));
            user.uv(&arguments)
        }
    }
}

/// Waits until larder has nothing more to ask.
fn come_to_rest(gitlab: &GitLab) {
    let mut asked = gitlab.log().len();
    let mut since = Instant::now();
    while since.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(20));
        let now = gitlab.log().len();
        if now != asked {
            (asked, since) = (now, Instant::now());
        }
    }
}

/// Each figure's own median.
fn median(samples: Vec<Sample>) -> Sample {
    let middle = |figure: fn(&Sample) -> u64| {
        let mut figures: Vec<u64> = samples.iter().map(figure).collect();
        figures.sort_unstable();
        figures[figures.len() / 2]
    };
    Sample {
        way: samples[0].way,
        client: Passed {
            requests: middle(|s| s.client.requests),
            bytes: middle(|s| s.client.bytes),
        },
        upstream: Passed {
            requests: middle(|s| s.upstream.requests),
            bytes: middle(|s| s.upstream.bytes),
        },
        files: middle(|s| s.files),
        took: Duration::from_micros(middle(|s| {
            u64::try_from(s.took.as_micros()).unwrap_or(u64::MAX)
        })),
    }
}

fn print(packages: usize, rows: &[Row], rounds: usize) {
    println!(
        "{packages} packages, {} ms to GitLab, no metadata there; medians of {rounds}.\n",
        DISTANCE.as_millis()
    );
    println!(
        "| GitLab | command | | requests of the client | bytes to it | seconds | ÷ direct | requests to GitLab | bytes from GitLab |"
    );
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for Row {
        ranges,
        command,
        sample,
        ratio,
    } in rows
    {
        println!(
            "| {} | {command} | {} | {} | {} | {:.2} | {ratio:.2} | {} | {} |",
            if *ranges {
                "answers ranges"
            } else {
                "no ranges"
            },
            sample.way,
            sample.client.requests,
            thousands(sample.client.bytes),
            sample.took.as_secs_f64(),
            sample.upstream.requests,
            thousands(sample.upstream.bytes),
        );
    }
}
