//! What upload dates cost a client: a project's first page, and a page that is ready, with
//! `index.upload_dates` and without. Run by hand, with the release binary in `LARDER_BINARY`:
//!
//! `cargo test --test all dates_benchmark -- --ignored --nocapture`

use std::time::{Duration, Instant};

use crate::common::delivery::eventually;
use crate::common::mirror::{JSON, get_as};
use crate::support::{Client, Distribution, GitLab, Larder, NewFile, path, token};

const ROUNDS: usize = 25;
const HITS: u32 = 400;

fn gitlab(versions: usize) -> GitLab {
    let gitlab = GitLab::start();
    for version in 0..versions {
        let artifact = Distribution::new("some-lib", &format!("1.{version}")).wheel();
        gitlab.publish(42, NewFile::from(artifact));
    }
    gitlab
}

fn page() -> String {
    path::project_page(42, "some-lib")
}

fn is_dated(client: &Client, page: &str) -> bool {
    let shown = get_as(client, page, JSON).json();
    let files = shown["files"].as_array().cloned().unwrap_or_default();
    !files.is_empty() && files.iter().all(|file| !file["upload-time"].is_null())
}

fn larder(gitlab: &GitLab, dates: bool, more: &str) -> Larder {
    let section = format!("[index]\nttl = \"1h\"\nupload_dates = {dates}\n{more}");
    Larder::builder(gitlab).sections(&section).start()
}

/// The time of the project's first page, before anything is asked for behind it.
fn first_page(gitlab: &GitLab, dates: bool) -> Duration {
    let larder = larder(gitlab, dates, "");
    let client = larder.client().token(token::READER);
    let begun = Instant::now();
    get_as(&client, &page(), JSON).expect(200);
    begun.elapsed()
}

/// The time of a page that is ready, with its dates if it gets any.
fn ready_page(gitlab: &GitLab, dates: bool) -> Duration {
    let at_once = "upload_dates_rate = 100000\nupload_dates_requests = 100000\n";
    let larder = larder(gitlab, dates, at_once);
    let client = larder.client().token(token::READER);
    let page = page();
    get_as(&client, &page, JSON).expect(200);
    if dates {
        eventually("it has its dates", || is_dated(&client, &page));
    }
    let begun = Instant::now();
    for _ in 0..HITS {
        get_as(&client, &page, JSON).expect(200);
    }
    begun.elapsed() / HITS
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures"]
fn what_dates_cost_a_page() {
    for versions in [1, 100, 1_000] {
        let gitlab = gitlab(versions);
        let mut first = [Vec::new(), Vec::new()];
        let mut ready = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for dates in [false, true] {
                let case = usize::from(dates);
                first[case].push(first_page(&gitlab, dates));
                ready[case].push(ready_page(&gitlab, dates));
            }
        }
        let first = first.each_mut().map(|times| median(times));
        let ready = ready.each_mut().map(|times| median(times));
        println!(
            "{versions} versions: first page {:?} without dates, {:?} with; ready {:?}, {:?}",
            first[0], first[1], ready[0], ready[1]
        );
    }
}
