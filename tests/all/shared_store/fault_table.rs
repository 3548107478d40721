//! Each fault of the shared store × reading from it, writing to it, starting beside it, many clients
//! at once: what is asked for comes right, within the limits of the configuration.
//!
//! What each took is written to `target/shared-store-faults.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::at_once::at_once;
use crate::common::delivery::{kept, patiently};
use crate::common::fleet::{published, queue};
use crate::common::pace::Pace;
use crate::support::s3_engine::OwnEngine;
use crate::support::{
    Artifact, Distribution, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, StoreListing,
    path, token,
};

const LIMITS: &str = "connect_timeout = \"500ms\"\nread_timeout = \"1s\"\nwrite_timeout = \"2s\"\n\
                      min_speed = \"1MiB\"\nbreaker_open_for = \"1s\"";

/// For each of a fact and a file `read_timeout`, and its bytes at `min_speed`.
const ADDED_MAX: Duration = Duration::from_secs(6);

/// What a start may take beside one without a shared store.
const START_ADDED_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Trouble {
    OnTheWay(RelayFault),
    /// The engine is stopped, and goes on later.
    Stopped,
}

const fn answers(status: &'static str, body: &'static str) -> Trouble {
    Trouble::OnTheWay(RelayFault::Answers { status, body })
}

const FAULTS: &[(&str, Trouble)] = &[
    ("none", Trouble::OnTheWay(RelayFault::None)),
    ("closed", Trouble::OnTheWay(RelayFault::Closed)),
    ("stopped engine", Trouble::Stopped),
    ("cut", Trouble::OnTheWay(RelayFault::Cuts { after: 50_000 })),
    (
        "stall",
        Trouble::OnTheWay(RelayFault::Stalls { after: 50_000 }),
    ),
    (
        "slow",
        Trouble::OnTheWay(RelayFault::Slow {
            after: 10_000,
            bytes_per_second: 40_000,
        }),
    ),
    (
        "wrong bytes",
        Trouble::OnTheWay(RelayFault::Flips { at: 20_000 }),
    ),
    (
        "403",
        answers("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"),
    ),
    (
        "403, the clock",
        answers(
            "403 Forbidden",
            "<Error><Code>RequestTimeTooSkewed</Code></Error>",
        ),
    ),
    ("500", answers("500 Internal Server Error", "")),
    (
        "503 SlowDown",
        answers("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"),
    ),
    (
        "no bucket",
        answers("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"),
    ),
];

/// A GitLab, files of it that fleets have, and the buckets of these.
struct World {
    /// Ends before its GitLab does.
    pace: Pace,
    gitlab: GitLab,
    /// Each of them larger than a fault lets pass.
    large: Artifact,
    many: Vec<Artifact>,
    fleet: Fleet,
    engine: OwnEngine,
    stoppable: Fleet,
}

impl World {
    fn new() -> Self {
        let gitlab = GitLab::start();
        let large = Distribution::new("large", "1.0").payload(400_000).wheel();
        gitlab.publish(42, &large);
        let many = published(&gitlab, 12);
        let engine = OwnEngine::start(Engine::Moto);
        let world = Self {
            fleet: Fleet::new(Engine::SeaweedFs),
            stoppable: Fleet::of(engine.bucket()),
            pace: Pace::new(&gitlab),
            gitlab,
            large,
            many,
            engine,
        };
        for fleet in [&world.fleet, &world.stoppable] {
            let filler = fleet.member(Larder::builder(&world.gitlab)).start();
            for file in [&world.large].into_iter().chain(&world.many) {
                let reader = filler.client().token(token::READER);
                reader.get(&path::project_file(42, file)).expect(200);
                kept(&filler, file);
            }
            patiently("the bucket is filled", || queue(&filler) == 0.0);
        }
        world
    }
}

/// One fault, and larders on the way of which it is.
struct Scene<'w> {
    world: &'w World,
    fleet: &'w Fleet,
    relay: FaultyRelay,
    name: &'static str,
    trouble: Trouble,
}

impl<'w> Scene<'w> {
    fn new(world: &'w World, name: &'static str, trouble: Trouble) -> Self {
        let fleet = match trouble {
            Trouble::OnTheWay(_) => &world.fleet,
            Trouble::Stopped => &world.stoppable,
        };
        Self {
            world,
            fleet,
            relay: FaultyRelay::start(fleet.bucket.address),
            name,
            trouble,
        }
    }

    fn begin(&self) {
        match self.trouble {
            Trouble::OnTheWay(fault) => self.relay.fails(fault),
            Trouble::Stopped => self.world.engine.stop(),
        }
    }

    fn end(&self) {
        match self.trouble {
            Trouble::OnTheWay(_) => self.relay.fails(RelayFault::None),
            Trouble::Stopped => self.world.engine.go_on(),
        }
    }

    fn larder(&self) -> Larder {
        let builder = Larder::builder(&self.world.gitlab);
        let member = self
            .fleet
            .member_with(builder, Some(self.relay.address()), LIMITS);
        member.start()
    }

    /// How long a file takes that comes right.
    fn takes(&self, larder: &Larder, file: &Artifact) -> Duration {
        let begun = Instant::now();
        let reader = larder.client().token(token::READER);
        let reply = reader.get(&path::project_file(42, file));
        let case = format!("{}: {}", self.name, file.filename);
        let took = self.world.pace.within(ADDED_MAX, begun, &case);
        assert!(reply.expect(200) == &file.bytes[..], "{case}: other bytes");
        took
    }

    fn read(&self) -> Duration {
        let larder = self.larder();
        self.begin();
        let took = self.takes(&larder, &self.world.large);
        kept(&larder, &self.world.large);
        self.end();
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        took
    }

    /// A file that the bucket has not yet; and a start while it waits to be uploaded, with the first
    /// file after that.
    fn write_and_start(&self) -> [Duration; 3] {
        let mut larder = self.larder();
        let project = format!("written-{}", self.name.replace([' ', ','], "-"));
        let file = Distribution::new(&project, "1.0").payload(400_000).wheel();
        self.world.gitlab.publish(42, &file);
        self.begin();
        let written = self.takes(&larder, &file);
        kept(&larder, &file);
        if !matches!(self.trouble, Trouble::OnTheWay(RelayFault::None)) {
            larder.wait_for_log("uploaded to the shared store");
        }
        let begun = Instant::now();
        let alone = Larder::start(&self.world.gitlab);
        let usual = begun.elapsed();
        drop(alone);
        larder.kill();
        let said_before = larder.log();
        let begun = Instant::now();
        larder = larder.restart();
        let limit = usual + START_ADDED_MAX;
        let case = format!("{}: a start, usually {usual:?}", self.name);
        let started = self.world.pace.within(limit, begun, &case);
        let ready = larder.client().get("/-/health/ready");
        assert_eq!(ready.status, 200, "{}: {ready:?}", self.name);
        let first = self.takes(&larder, &self.world.large);
        self.end();
        self.assert_comes_to_an_end(&larder, &file, &said_before);
        [written, started, first]
    }

    /// An upload that an earlier process of this larder began. Its queue is empty also before it
    /// knows what that one left, and that one may have given the file up already.
    fn assert_comes_to_an_end(&self, larder: &Larder, file: &Artifact, said_before: &str) {
        let gives_up = |line: &str| {
            line.contains("a file is not uploaded to the shared store")
                && line.contains(&file.filename)
        };
        let given_up = |log: &str| log.lines().any(gives_up);
        let is_there = || self.fleet.bucket.has_blob(&file.sha256);
        let case = format!("{}: it is uploaded, or given up", self.name);
        patiently(&case, || {
            given_up(said_before) || given_up(&larder.log()) || is_there()
        });
        patiently(&case, || queue(larder) == 0.0);
        if is_there() {
            let blob = self.fleet.bucket.blob(&file.sha256);
            assert!(blob.body == file.bytes, "{}: half a file", self.name);
        }
    }

    /// The longest of many.
    fn under_load(&self) -> Duration {
        let larder = self.larder();
        self.begin();
        let readers: Vec<usize> = (0..6).collect();
        let name = |reader: &usize| format!("reader {reader}");
        let longest = at_once(readers.len(), &readers, name, |reader| {
            let mut longest = Duration::ZERO;
            for step in 0..4 {
                let many = &self.world.many;
                let file = match step {
                    0 => &self.world.large,
                    _ => &many[(reader * 2 + step) % many.len()],
                };
                longest = longest.max(self.takes(&larder, file));
            }
            longest
        });
        self.end();
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        longest.into_iter().max().unwrap_or_default()
    }
}

fn row(world: &World, name: &'static str, trouble: Trouble) -> String {
    let scene = Scene::new(world, name, trouble);
    let read = scene.read();
    let [written, started, first] = scene.write_and_start();
    let loaded = scene.under_load();
    let mut row = format!("| {name} |");
    for took in [read, written, started, first, loaded] {
        let _ = write!(row, " {:.2} s |", took.as_secs_f64());
    }
    row + "\n"
}

#[test]
fn whatever_fails_files_come_right_within_the_limits_read_written_at_the_start_and_under_load() {
    let world = World::new();
    let name = |(name, _): &(&str, Trouble)| (*name).to_owned();
    let rows = at_once(4, FAULTS, name, |(name, trouble)| {
        row(&world, name, *trouble)
    });
    let mut table = "| fault | a file that it has | a file that it has not | start | the first file after that | the slowest of 24 at once |\n\
                     | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    table.extend(rows);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::write(target.join("shared-store-faults.md"), table).expect("a writable target");
    world.gitlab.log().assert_nothing_unexpected();
}
