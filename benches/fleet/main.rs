//! What a day of jobs costs GitLab, the public index and the site's own network, by where the larders stand.
//!
//! ```text
//! cargo bench --profile dist --bench fleet                   # the plan: 10, 300 and 3,000 agents; a minute
//! cargo bench --profile dist --bench fleet -- --measured     # 20 real larders beside it; some five minutes
//! ```
//!
//! The plan is a simulation from one seed: `world` draws the organisation and its jobs, `larder` holds one
//! larder's rules, `topology` walks each job's requests. It starts with empty caches; the tables give the first day, and the
//! mean of the second to the fifth. `--measured` runs a small world's jobs against real larders, counts what the tests'
//! stand-ins for GitLab and a public index were asked, and sets it beside the simulation with the same rules.

#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program of its own: it owns its clock and its folders, and rounds what it prints"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod larder;
mod measured;
mod topology;
mod world;

use std::process::ExitCode;

use larder::Rules;
use support::figures::thousands;
use topology::{Site, Tally, Topology};
use world::{DAY, SECOND, Scale, World, busiest};

const SEED: u64 = 20_261_129;
const DAYS: u32 = 5;
const AGENTS: [u32; 3] = [10, 300, 3_000];
/// docs/operations.md, "Sizing": what a larder takes when idle, `index.memory` full of pages, and each connection; uv
/// opens up to so many.
const IDLE_MEMORY: usize = 17 << 20;
const PAGES_MEMORY: usize = 32 << 20;
const CONNECTION_MEMORY: usize = 25 << 10;
const CONNECTIONS: usize = 50;
/// A job installs within this time.
const INSTALL: u64 = 20 * SECOND;
/// A parent's, or a central larder's, disk.
const PARENT_DISK: u64 = 200 << 30;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => {
            for agents in AGENTS {
                plan(agents);
            }
            ExitCode::SUCCESS
        }
        ["--measured"] => measured::compare(),
        _ => {
            eprintln!("usage: cargo bench --profile dist --bench fleet -- [--measured]");
            ExitCode::from(2)
        }
    }
}

fn plan(agents: u32) {
    let world = World::drawn(Scale::of(agents, DAYS), SEED);
    println!(
        "\n{agents} agents, {} jobs a day, at most {} starting within 20 s:\n",
        thousands(u64::from(world.scale.jobs_a_day)),
        busiest(world.jobs.iter().map(|job| (job.at, ())), INSTALL)
    );
    println!(
        "| larders | day | requests to GitLab | to the public index | files from outside | GB from outside | GB between larders | GB from the shared store | found at the first larder | fullest disk | most memory |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for topology in Topology::ALL {
        let parent = Rules {
            disk: PARENT_DISK,
            ..Rules::default()
        };
        let mut site = Site::new(topology, &world, Rules::default(), parent);
        let mut first = None;
        for (job, caller) in world.jobs.iter().zip(0..) {
            if job.at >= DAY && first.is_none() {
                first = Some(site.tally);
                row(&site, "first", site.tally, 1);
            }
            site.run(job, caller);
        }
        let later = site.tally.since(first.unwrap_or_default());
        row(&site, "later", later, u64::from(DAYS - 1));
    }
}

fn row(site: &Site<'_>, day: &str, tally: Tally, days: u64) {
    let a_day = |figure: u64| thousands(figure / days);
    let gigabytes = |figure: u64| format!("{:.1}", figure as f64 / days as f64 / 1e9);
    let memory = match site.topology {
        Topology::Direct => 0,
        _ => IDLE_MEMORY + PAGES_MEMORY + connections(site) * CONNECTION_MEMORY,
    };
    println!(
        "| {} | {day} | {} | {} | {} | {} | {} | {} | {:.1} % | {:.1} GB | {} MB |",
        site.topology.name(),
        a_day(tally.gitlab_requests),
        a_day(tally.index_requests),
        a_day(tally.upstream_files),
        gigabytes(tally.upstream_bytes),
        gigabytes(tally.site_bytes),
        gigabytes(tally.shared_bytes_read),
        100.0 * tally.hits as f64 / tally.files as f64,
        site.stored() as f64 / 1e9,
        memory / 1_000_000
    );
}

/// The most that one of the larders has at once: a parent has those of its agents.
fn connections(site: &Site<'_>) -> usize {
    let jobs = site.world.jobs.iter();
    let at_once = if site.topology.parents() == 0 {
        busiest(jobs.map(|job| (job.at, job.agent)), INSTALL)
    } else {
        busiest(jobs.map(|job| (job.at, 0)), INSTALL)
    };
    at_once * CONNECTIONS
}
