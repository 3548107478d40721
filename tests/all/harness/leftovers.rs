//! What a killed run of the tests leaves behind: nothing.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{GitLab, Larder};

/// Not a test: the run that is killed by the test below.
const VICTIM: &str = "harness::leftovers::a_run_that_is_killed";
const ASKED_FOR: &str = "LEFTOVERS_OF_A_KILLED_RUN";

/// Neither gone nor only waiting for somebody to hear of its end.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
#[ignore = "ends only when it is killed"]
fn a_run_that_is_killed() {
    if std::env::var_os(ASKED_FOR).is_none() {
        return;
    }
    let gitlab = GitLab::start();
    // From a thread that ends, as many tests do it.
    let larder = std::thread::scope(|scope| scope.spawn(|| Larder::start(&gitlab)).join());
    let larder = larder.expect("no panic");
    drop(Larder::start(&gitlab));
    println!("\nlarder {}", larder.pid());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_run_leaves_no_larder_behind() {
    let own = std::env::current_exe().expect("the path of this program");
    let mut run = Command::new(own)
        .args(["--exact", VICTIM, "--ignored", "--nocapture"])
        .env(ASKED_FOR, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program runs");
    let said = BufReader::new(run.stdout.take().expect("piped"));
    let larder = said
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("larder ")?.parse().ok());
    let larder: u32 = larder.expect("it says which process its larder is");
    std::thread::sleep(Duration::from_millis(100));
    assert!(runs(larder), "it outlives the thread that started it");
    run.kill().expect("a child of ours");
    run.wait().expect("a child of ours");
    let until = Instant::now() + Duration::from_secs(10);
    while runs(larder) {
        assert!(Instant::now() < until, "larder {larder} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
