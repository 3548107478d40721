//! A day of CI: jobs, each with a token of its own, install the same requirements; once from GitLab,
//! once through larder.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::pip::{COMMAND, Pip};
use crate::stage::{PROJECT, Stage};
use crate::support::{FileBodies, path};
use crate::{Told, write};

/// Of one day.
pub const JOBS: usize = 30;

/// So many jobs run at the same time.
const RUNNERS: usize = 4;

/// That install with no network at all: what pip needs for itself is in every figure.
const JOBS_ALONE: usize = 2 * RUNNERS;

pub struct Day {
    pub without: Measured,
    pub with: Measured,
    /// From a folder of this disk.
    pub alone: Measured,
    /// What one job installs.
    pub wheels: FileBodies,
}

/// What the jobs waited for, and what GitLab had to do.
pub struct Measured {
    /// How long pip ran in each job, the shortest first.
    jobs: Vec<Duration>,
    pub requests: usize,
    pub files: FileBodies,
}

impl Day {
    pub fn run(stage: &Stage, pip: &Pip, folder: &Path) -> Told<Self> {
        let requirements = folder.join("requirements.txt");
        let mut lines = String::new();
        for wheel in &stage.wheels {
            lines += &format!("{}=={}\n", wheel.name, wheel.version);
        }
        write(&requirements, lines.as_bytes())?;
        let wheels = FileBodies {
            transfers: stage.wheels.len(),
            bytes: stage
                .wheels
                .iter()
                .map(|wheel| wheel.bytes.len() as u64)
                .sum(),
        };
        println!(
            "A day of CI: {JOBS} jobs, {RUNNERS} at a time, each with a token of its own, each"
        );
        println!(
            "  {COMMAND}    ({} wheels, {})\n",
            wheels.transfers,
            megabytes(wheels.bytes)
        );
        println!("{HEADING}");
        let half = |name, jobs, source| {
            let half = Half {
                name,
                jobs,
                source,
                stage,
                pip,
                requirements: &requirements,
                folder,
            };
            half.run()
        };
        let gitlab = Source::Index(stage.gitlab.address());
        let larder = Source::Index(stage.larder());
        let shelf = folder.join("wheels");
        for wheel in &stage.wheels {
            write(&shelf.join(&wheel.filename), &wheel.bytes)?;
        }
        Ok(Self {
            without: half("without larder", JOBS, gitlab)?,
            with: half("with larder", JOBS, larder)?,
            alone: half("no network", JOBS_ALONE, Source::Folder(&shelf))?,
            wheels,
        })
    }

    /// Without larder each job has each wheel from GitLab; with it, the first job alone.
    pub fn check(&self, stage: &Stage) -> Told<()> {
        let each_time = FileBodies {
            transfers: JOBS * self.wheels.transfers,
            bytes: JOBS as u64 * self.wheels.bytes,
        };
        for (name, seen, expected) in [
            ("without larder", self.without.files, each_time),
            ("with larder", self.with.files, self.wheels),
        ] {
            if seen != expected {
                return Err(format!(
                    "“{name}” should have taken {expected:?} from GitLab, but took {seen:?}"
                ));
            }
        }
        let unexpected = stage.gitlab.log().unexpected();
        if unexpected.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "GitLab was sent what it must not see: {unexpected:?}"
            ))
        }
    }

    /// The table of `docs/benchmarks.md`.
    pub fn markdown(&self) -> String {
        let mut table = "| 30 jobs | minutes in pip | seconds a job | requests to GitLab | wheels from GitLab | MB from GitLab |\n\
                         | --- | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        for (name, half) in [
            ("without larder", &self.without),
            ("with larder", &self.with),
        ] {
            table += &format!(
                "| {name} | {} | {} | {} | {} | {} |\n",
                half.minutes(),
                half.seconds(),
                thousands(half.requests),
                half.files.transfers,
                half.files.bytes.div_ceil(1_000_000)
            );
        }
        let alone = self.alone.seconds();
        table += &format!("| no network: wheels in a folder | | {alone} | 0 | 0 | 0 |\n");
        table
    }
}

const HEADING: &str =
    "                    pip took, in all   a job   GitLab was asked         and sent";

impl Measured {
    /// Of all jobs, added up.
    pub fn minutes(&self) -> String {
        let all: Duration = self.jobs.iter().sum();
        format!("{:.1}", all.as_secs_f64() / 60.0)
    }

    /// Of the job in the middle.
    pub fn seconds(&self) -> String {
        format!("{:.1}", self.jobs[self.jobs.len() / 2].as_secs_f64())
    }

    pub fn all(&self) -> Duration {
        self.jobs.iter().sum()
    }
}

/// Where the jobs install from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Index(SocketAddr),
    Folder(&'a Path),
}

/// So many jobs from one source.
struct Half<'a> {
    name: &'static str,
    jobs: usize,
    source: Source<'a>,
    stage: &'a Stage,
    pip: &'a Pip,
    requirements: &'a Path,
    folder: &'a Path,
}

impl Half<'_> {
    fn run(&self) -> Told<Measured> {
        let log = self.stage.gitlab.log();
        log.clear();
        print!("  {:<16}", self.name);
        flush();
        let mut jobs = self.all_jobs()?;
        jobs.sort();
        let measured = Measured {
            jobs,
            requests: log.answered().len(),
            files: log.file_bodies(),
        };
        match self.source {
            Source::Index(_) => println!(
                "{:>11} min   {:>5} s   {:>7} requests   {:>4} wheels, {:>4}",
                measured.minutes(),
                measured.seconds(),
                thousands(measured.requests),
                measured.files.transfers,
                megabytes(measured.files.bytes)
            ),
            Source::Folder(_) => println!(
                "{:>23} s   (the wheels lie in a folder: what pip needs for itself)",
                measured.seconds()
            ),
        }
        Ok(measured)
    }

    /// How long each took. The runners take the next job until none is left, or one fails.
    fn all_jobs(&self) -> Told<Vec<Duration>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let runner = || -> Told<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.jobs {
                    return Ok(());
                }
                let took = self.job(number).inspect_err(|_| {
                    next.store(self.jobs, Ordering::Relaxed);
                })?;
                done.lock().map_err(|why| why.to_string())?.push(took);
            }
        };
        std::thread::scope(|scope| {
            let runners: Vec<_> = (0..RUNNERS).map(|_| scope.spawn(runner)).collect();
            for runner in runners {
                runner
                    .join()
                    .map_err(|_| "a runner of the demo panicked".to_owned())??;
            }
            Ok::<(), String>(())
        })?;
        done.into_inner().map_err(|why| why.to_string())
    }

    fn job(&self, number: usize) -> Told<Duration> {
        let target = self.folder.join(format!("site-{number}"));
        let took = match self.source {
            Source::Index(address) => {
                let token = self
                    .stage
                    .job_token(&format!("{}-{number}", address.port()));
                let path = path::project_index(PROJECT);
                let index = format!("http://gitlab-ci-token:{token}@{address}{path}");
                let source = ["--index-url", &index];
                self.pip.install(self.requirements, &source, &target)?
            }
            Source::Folder(shelf) => {
                let shelf = shelf.display().to_string();
                let source = ["--no-index", "--find-links", &shelf];
                self.pip.install(self.requirements, &source, &target)?
            }
        };
        // Thirty times the same would fill a disk.
        fs::remove_dir_all(&target).map_err(|why| format!("{}: {why}", target.display()))?;
        Ok(took)
    }
}

fn flush() {
    let _ = std::io::stdout().flush();
}

pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// With a comma where it has more than three digits.
pub fn thousands(number: usize) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", number / 1000, number % 1000)
}
