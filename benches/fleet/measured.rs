//! The plan beside real larders: a small world's jobs, run in real time against twenty of them.
//!
//! Packages lie in the tests' stand-ins for GitLab and a public index, whose logs say what was asked and sent. The
//! lifetimes are short, so that they lapse within the run, and the disks small, so that files are evicted.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::SEED;
use crate::larder::Rules;
use crate::support::figures::thousands;
use crate::support::{
    Artifact, Client, Distribution, Door, Engine, Fleet, GitLab, Larder, Place, PublicIndex, Role,
    Token, path,
};
use crate::topology::{Site, Tally, Topology};
use crate::world::{FileId, Job, SECOND, Scale, World};

const PROJECT: u64 = 42;
/// What pip and uv ask for first.
const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// How far the plan may be from what was measured.
const TOLERANCE: f64 = 0.1;
const TOPOLOGIES: [Topology; 5] = [
    Topology::Agents,
    Topology::Central,
    Topology::Parents(1),
    Topology::Parents(2),
    Topology::Shared,
];
const SCALE: Scale = Scale {
    agents: 20,
    repositories: 20,
    jobs_a_day: 100,
    day: 15 * SECOND,
    days: 3,
    public_packages: 40,
    private_packages: 10,
    public_needs: 8,
    private_needs: 3,
    shrunk: 20,
    longest: 300_000,
};
const AGENT: Rules = Rules {
    page: 2 * SECOND,
    mirror_page: 5 * SECOND,
    right: 4 * SECOND,
    disk: 5 << 19,
};
const PARENT: Rules = Rules {
    disk: 64 << 20,
    ..AGENT
};

/// The files of a world, as they lie upstream.
struct Upstream {
    gitlab: GitLab,
    index: PublicIndex,
    files: HashMap<FileId, Artifact>,
}

pub fn compare() -> ExitCode {
    let mut world = World::drawn(SCALE, SEED);
    let mut files = HashMap::new();
    for file in world.files() {
        let package = &mut world.packages[file.package.0 as usize];
        let payload = usize::try_from(package.bytes).unwrap_or(usize::MAX);
        let kind = if package.private { "inner" } else { "outer" };
        let name = format!("{kind}-{}", file.package.0);
        let version = format!("1.{}", file.release);
        let wheel = Distribution::new(&name, &version).payload(payload).wheel();
        files.insert(file, wheel);
    }
    for (file, wheel) in &files {
        world.packages[file.package.0 as usize].bytes = wheel.bytes.len() as u64;
    }
    let mut agrees = true;
    println!(
        "{} larders, {} jobs in {} s; measured, planned:\n",
        SCALE.agents,
        world.jobs.len(),
        SCALE.day * u64::from(SCALE.days) / SECOND
    );
    println!(
        "| topology | requests to GitLab | to the public index | files from outside | MB from outside | files from the shared store |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for topology in TOPOLOGIES {
        let mut site = Site::new(topology, &world, AGENT, PARENT);
        for (job, caller) in world.jobs.iter().zip(0..) {
            site.run(job, caller);
        }
        let upstream = Upstream::of(&world, files.clone());
        let measured = upstream.measure(topology, &world);
        agrees &= row(topology, measured, site.tally);
    }
    if agrees {
        ExitCode::SUCCESS
    } else {
        eprintln!("the plan is further from the measured run than a tenth");
        ExitCode::FAILURE
    }
}

fn row(topology: Topology, measured: Tally, planned: Tally) -> bool {
    let columns: [fn(&Tally) -> u64; 5] = [
        |tally| tally.gitlab_requests,
        |tally| tally.index_requests,
        |tally| tally.upstream_files,
        |tally| tally.upstream_bytes / 1_000_000,
        |tally| tally.shared_reads,
    ];
    let mut agrees = true;
    let mut cells = Vec::new();
    for column in columns {
        let real = column(&measured);
        let plan = column(&planned);
        agrees &= (real.abs_diff(plan) as f64) <= TOLERANCE * real as f64 + 1.0;
        cells.push(format!("{}, {}", thousands(real), thousands(plan)));
    }
    println!("| {} | {} |", topology.name(), cells.join(" | "));
    agrees
}

impl Upstream {
    fn of(world: &World, files: HashMap<FileId, Artifact>) -> Self {
        let gitlab = GitLab::start();
        let index = PublicIndex::start();
        for (file, wheel) in &files {
            if world.package(file.package).private {
                gitlab.publish(PROJECT, wheel);
            } else {
                index.publish(wheel);
            }
        }
        gitlab.change(|universe| {
            for caller in 0..world.jobs.len() {
                let token = Token::personal(&secret(caller));
                universe
                    .tokens
                    .push(token.member(Place::Project(PROJECT), Role::Reporter));
            }
        });
        Self {
            gitlab,
            index,
            files,
        }
    }

    fn measure(self, topology: Topology, world: &World) -> Tally {
        let fleet = Fleet::new(Engine::SeaweedFs);
        let shares = topology == Topology::Shared;
        let member = |builder| {
            if shares {
                fleet.member(builder)
            } else {
                builder
            }
        };
        let parents: Vec<Larder> = (0..topology.parents())
            .map(|_| self.outermost(PARENT).start())
            .collect();
        let urls: Vec<String> = parents.iter().map(Larder::url).collect();
        let agents: Vec<Larder> = match topology {
            Topology::Central => Vec::new(),
            _ if urls.is_empty() => (0..SCALE.agents)
                .map(|_| member(self.outermost(AGENT)).start())
                .collect(),
            _ => (0..SCALE.agents)
                .map(|_| with_rules(Larder::under_all(&urls), AGENT).start())
                .collect(),
        };
        self.gitlab.log().clear();
        self.index.log().clear();
        let shared = Arc::new(self);
        let started = Instant::now();
        let mut running = Vec::new();
        for (caller, job) in world.jobs.iter().enumerate() {
            thread::sleep(Duration::from_millis(job.at).saturating_sub(started.elapsed()));
            let larder = agents
                .get(job.agent as usize)
                .unwrap_or_else(|| &parents[0]);
            let client = larder.client().token(&secret(caller));
            let upstream = Arc::clone(&shared);
            let private: Vec<bool> = job
                .files
                .iter()
                .map(|file| world.package(file.package).private)
                .collect();
            let job = job.clone();
            running.push(thread::spawn(move || {
                upstream.install(&client, &job, &private)
            }));
        }
        for job in running {
            job.join().expect("each install goes right");
        }
        let hits = agents.iter().filter_map(|larder| {
            larder.metric("larder_shared_store_lookups_total{result=\"hit\"}")
        });
        Tally {
            shared_reads: hits.sum::<f64>() as u64,
            ..shared.tally()
        }
    }

    fn install(&self, client: &Client, job: &Job, private: &[bool]) {
        for (file, private) in job.files.iter().zip(private) {
            let wheel = &self.files[file];
            if !job.locked {
                let page = path::project_page(PROJECT, &wheel.name);
                client.get_with(&page, &[("Accept", JSON)]).expect(200);
            }
            let address = if *private {
                path::project_file(PROJECT, wheel)
            } else {
                format!("/public/{}", self.index.file_path(&wheel.filename))
            };
            assert_eq!(client.get(&address).expect(200), &wheel.bytes[..]);
        }
    }

    fn outermost(&self, rules: Rules) -> crate::support::larder::Builder {
        let ttl = format!("ttl = \"{}ms\"", rules.mirror_page);
        let builder = Larder::builder(&self.gitlab)
            .mirror_with("public", &self.index, &ttl)
            .forward("public");
        with_rules(builder, rules)
    }

    fn tally(&self) -> Tally {
        let gitlab = self.gitlab.log();
        let index = self.index.log();
        let bodies = [gitlab.file_bodies(), index.file_bodies()];
        let asked = gitlab.entries();
        let at_gitlab = asked.iter().filter(|entry| entry.door == Door::GitLab);
        Tally {
            gitlab_requests: at_gitlab.count() as u64,
            index_requests: index.len() as u64,
            upstream_files: bodies.iter().map(|sent| sent.transfers as u64).sum(),
            upstream_bytes: bodies.iter().map(|sent| sent.bytes).sum(),
            ..Tally::default()
        }
    }
}

fn with_rules(
    builder: crate::support::larder::Builder,
    rules: Rules,
) -> crate::support::larder::Builder {
    let Rules {
        page, right, disk, ..
    } = rules;
    builder
        .setting(&format!("cache_size = \"{disk}B\""))
        .sections(&format!(
            "[index]\nttl = \"{page}ms\"\nstale_while_revalidate = \"0s\"\nrefresh_ahead_hits = 0\n\
             [auth]\ncache_ttl = \"{right}ms\"\n[metadata]\ngenerate = false\nprefetch = 0"
        ))
}

fn secret(caller: usize) -> String {
    format!("test-job-{caller}")
}
