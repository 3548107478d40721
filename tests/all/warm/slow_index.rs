//! `larder warm` against an index that makes it wait, and in front of a person who does not want
//! to.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::downloads::{Bench, errors, names, said};
use crate::support::{Act, Answer, Distribution, Gate, Site};

/// The daemon waits for nobody by itself: whoever is throttled is told so.
const AT_ONCE: &str = "retry_after = \"0s\"\nretries = 0";

#[test]
fn a_throttled_index_is_waited_for() {
    let bench = Bench::with(AT_ONCE);
    let files = ["one", "two"].map(|name| Distribution::new(name, "1.0").wheel());
    files.iter().for_each(|file| bench.index.publish(file));
    let busy = Answer::new(429).header("Retry-After", "1");
    let throttled = bench.index.plan(
        Act::Answer(busy)
            .at(Site::FileBody)
            .containing("two")
            .once(),
    );
    let began = Instant::now();
    let (code, lines) = bench.told(&["one", "two"]);
    let filenames: Vec<String> = files.iter().map(|file| file.filename.clone()).collect();
    assert_eq!((code, names(&lines, "upstream")), (Some(0), filenames));
    assert_eq!((throttled.hits(), bench.file_bodies()), (1, 2));
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "it did not wait: {:?}",
        began.elapsed()
    );
}

#[test]
fn a_wait_that_is_given_as_a_date_is_understood_and_none_that_long_is_waited() {
    let bench = Bench::with(AT_ONCE);
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let busy = Answer::new(429).header("Retry-After", "Fri, 02 Jan 2099 03:04:05 GMT");
    bench.index.plan(Act::Answer(busy).at(Site::FileBody));
    let (code, lines) = bench.told(&["one"]);
    let said = errors(&lines).join("\n");
    assert_eq!(code, Some(1));
    assert!(
        said.contains("upstream asks to come back in") && said.contains("years"),
        "{said}"
    );
}

#[test]
fn ctrl_c_ends_it_and_the_next_run_goes_on() {
    for bench in [Bench::new(), Bench::resting()] {
        let one = Distribution::new("one", "1.0").wheel();
        let two = Distribution::new("two", "1.0").payload(300_000).wheel();
        for file in [&one, &two] {
            bench.index.publish(file);
        }
        let gate = Gate::new();
        let held = Act::Gate {
            after: 100_000,
            gate: gate.clone(),
        };
        bench.index.plan(held.at(Site::FileBody).containing("two"));
        let mut warm = bench
            .larder
            .start_command(&["warm", "one", "two", "--from", "pypi", "--set", "ci"]);
        let running = warm.spawn().expect("the binary runs");
        gate.wait_for(1);
        let until = Instant::now() + Duration::from_secs(10);
        while !bench.holds(&one) {
            assert!(Instant::now() < until, "the other file does not come");
            std::thread::sleep(Duration::from_millis(5));
        }

        let began = Instant::now();
        kill_process(Pid::from_child(&running), Signal::INT).expect("a process of ours");
        let output = running.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert!(
            said(&output).contains("interrupted: what is there stays"),
            "{}",
            said(&output)
        );
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it went on for {:?}",
            began.elapsed()
        );

        gate.open();
        bench.index.log().clear();
        let (code, lines) = bench.told(&["one", "two"]);
        assert_eq!(code, Some(0));
        assert!(
            names(&lines, "cache").contains(&one.filename),
            "fetched again"
        );
        let asked = bench.index.log().entries();
        let again = asked
            .iter()
            .filter(|entry| entry.is_file_body() && entry.head.target.contains(&one.filename));
        assert_eq!(again.count(), 0);
        assert!(bench.holds(&one) && bench.holds(&two));
    }
}
