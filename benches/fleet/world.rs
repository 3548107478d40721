//! An organisation: the packages that its repositories install, when they are released, and a day of jobs.
//!
//! Everything here is drawn from one seed, so that each topology gets the very same days.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Since the first midnight.
pub type Millis = u64;

pub const SECOND: Millis = 1_000;
pub const DAY: Millis = 86_400 * SECOND;

/// The 500 packages that were downloaded most in a month of 2026: how often, how long the newest wheel for x86-64
/// Linux (or for all) is, and on how many days of the last year there was a release.
const PACKAGES: &str = include_str!("packages.csv");

/// Jobs by the hour: a working day of one time zone, and what runs at night.
const HOURS: [u32; 24] = [
    2, 4, 4, 2, 2, 2, 3, 6, 12, 20, 24, 22, 14, 18, 24, 24, 20, 14, 8, 5, 4, 3, 3, 2,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub u32);

/// One file: each release has one that the agents install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    pub package: PackageId,
    pub release: u32,
}

#[derive(Clone, Debug)]
pub struct Package {
    pub private: bool,
    pub bytes: u64,
    weight: f64,
    /// When each release came; the first one was there before.
    releases: Vec<Millis>,
}

/// How large an organisation is, and what its jobs do.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub agents: u32,
    pub repositories: u32,
    pub jobs_a_day: u32,
    /// The time that `days` of them take; a measured run has shorter ones.
    pub day: Millis,
    pub days: u32,
    pub public_packages: usize,
    pub private_packages: usize,
    pub public_needs: usize,
    pub private_needs: usize,
    /// Of the files' real length; a measured run has shorter ones.
    pub shrunk: u64,
    pub longest: u64,
}

impl Scale {
    /// Thirty jobs a day on each agent, a repository for each, of 60 public and 5 private packages.
    pub fn of(agents: u32, days: u32) -> Self {
        Self {
            agents,
            repositories: agents,
            jobs_a_day: 30 * agents,
            day: DAY,
            days,
            public_packages: 500,
            private_packages: 200,
            public_needs: 60,
            private_needs: 5,
            shrunk: 1,
            longest: u64::MAX,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Job {
    pub at: Millis,
    pub agent: u32,
    /// Installs by the URLs of a lock file, without a look at any page.
    pub locked: bool,
    pub files: Vec<FileId>,
}

#[derive(Debug)]
pub struct World {
    pub scale: Scale,
    pub packages: Vec<Package>,
    pub jobs: Vec<Job>,
}

impl World {
    pub fn drawn(scale: Scale, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let packages = packages(&scale, &mut random);
        let repositories: Vec<Repository> = (0..scale.repositories)
            .map(|number| Repository::drawn(number, &scale, &packages, &mut random))
            .collect();
        let mut starts: Vec<Millis> = Vec::new();
        for day in 0..scale.days {
            for _ in 0..scale.jobs_a_day {
                starts.push(u64::from(day) * scale.day + time_of_day(&scale, &mut random));
            }
        }
        starts.sort_unstable();
        let mut repositories = repositories;
        let jobs = starts
            .into_iter()
            .map(|at| {
                let chosen = random.random_range(0..repositories.len());
                let repository = &mut repositories[chosen];
                repository.update(at, &scale, &packages, &mut random);
                Job {
                    at,
                    agent: random.random_range(0..scale.agents),
                    locked: repository.locked,
                    files: repository.files.clone(),
                }
            })
            .collect();
        Self {
            scale,
            packages,
            jobs,
        }
    }

    pub fn package(&self, id: PackageId) -> &Package {
        &self.packages[id.0 as usize]
    }

    /// Every file that some job installs, each once.
    pub fn files(&self) -> Vec<FileId> {
        let mut files: Vec<FileId> = self
            .jobs
            .iter()
            .flat_map(|job| job.files.iter().copied())
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// What a repository's lock file names.
#[derive(Debug)]
struct Repository {
    locked: bool,
    files: Vec<FileId>,
    /// When its lock file is next brought to the newest releases: once in five working days.
    update_at: Millis,
}

impl Repository {
    fn drawn(number: u32, scale: &Scale, packages: &[Package], random: &mut StdRng) -> Self {
        let public = chosen(packages, false, scale.public_needs, random);
        let private = chosen(packages, true, scale.private_needs, random);
        let files = public.into_iter().chain(private);
        Self {
            locked: number.is_multiple_of(2),
            files: files
                .map(|package| FileId {
                    package,
                    release: 0,
                })
                .collect(),
            update_at: random.random_range(0..scale.day * 5),
        }
    }

    fn update(&mut self, now: Millis, scale: &Scale, packages: &[Package], random: &mut StdRng) {
        if now < self.update_at {
            return;
        }
        for file in &mut self.files {
            let releases = &packages[file.package.0 as usize].releases;
            let newest = releases.partition_point(|released| *released <= now);
            file.release = u32::try_from(newest).unwrap_or(u32::MAX);
        }
        self.update_at = now + random.random_range(scale.day * 4..scale.day * 6);
    }
}

fn packages(scale: &Scale, random: &mut StdRng) -> Vec<Package> {
    let mut packages = Vec::new();
    let lines: Vec<&str> = PACKAGES.lines().skip(1).collect();
    // A smaller world takes them from the whole of the list.
    let step = lines.len() / scale.public_packages;
    for line in lines.iter().step_by(step).take(scale.public_packages) {
        let mut fields = line.split(',').map(|field| field.parse().unwrap_or(0_u64));
        let downloads = fields.next().unwrap_or(0);
        let bytes = fields.next().unwrap_or(0);
        let a_year = fields.next().unwrap_or(0);
        packages.push(Package {
            private: false,
            bytes: (bytes / scale.shrunk).clamp(2_000, scale.longest),
            weight: downloads as f64,
            releases: releases(scale, a_year as f64 / 365.0, random),
        });
    }
    // Private ones are as long as public ones of the list's middle, and released once in five days.
    for number in 0..scale.private_packages {
        let like = &packages[number % scale.public_packages];
        packages.push(Package {
            private: true,
            bytes: like.bytes.min(500_000),
            weight: 1.0 / (number as f64 + 1.0),
            releases: releases(scale, 0.2, random),
        });
    }
    packages
}

fn releases(scale: &Scale, a_day: f64, random: &mut StdRng) -> Vec<Millis> {
    let mut releases = Vec::new();
    for day in 0..scale.days {
        if random.random_bool(a_day.min(1.0)) {
            releases.push(u64::from(day) * scale.day + random.random_range(0..scale.day));
        }
    }
    releases
}

/// So many different packages, the popular ones more often: each draws an exponential time at its rate, and the
/// earliest are taken.
fn chosen(
    packages: &[Package],
    private: bool,
    count: usize,
    random: &mut StdRng,
) -> Vec<PackageId> {
    let mut times: Vec<(f64, PackageId)> = Vec::new();
    for (number, package) in (0..).zip(packages) {
        if package.private == private {
            let draw: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
            times.push((-draw.ln() / package.weight, PackageId(number)));
        }
    }
    times.sort_by(|left, right| left.0.total_cmp(&right.0));
    times.truncate(count);
    times.into_iter().map(|(_, package)| package).collect()
}

fn time_of_day(scale: &Scale, random: &mut StdRng) -> Millis {
    let mut left = random.random_range(0..HOURS.iter().sum::<u32>());
    for (hour, weight) in (0_u64..).zip(HOURS) {
        if left < weight {
            let an_hour = scale.day / 24;
            return hour * an_hour + random.random_range(0..an_hour);
        }
        left -= weight;
    }
    0
}

/// The jobs that start in the busiest so many milliseconds, by what each belongs to.
pub fn busiest<Key: std::hash::Hash + Eq>(
    starts: impl Iterator<Item = (Millis, Key)>,
    within: Millis,
) -> usize {
    let mut counted: HashMap<(Millis, Key), usize> = HashMap::new();
    for (at, key) in starts {
        *counted.entry((at / within, key)).or_default() += 1;
    }
    counted.into_values().max().unwrap_or(0)
}
