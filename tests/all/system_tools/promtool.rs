//! Prometheus' own judgement of the numbers and of the alert rules.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::{Artifact, GitLab, Larder, path, token};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut process = Command::new("promtool")
        .args(arguments)
        .current_dir(DOCS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    process
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes())
        .expect("it reads");
    process.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
#[ignore = "needs prometheus"]
fn promtool_finds_nothing_to_say_about_the_numbers() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("file", "1.0", 100_000);
    gitlab.publish(42, &file);
    client.get(&path::project_page(42, "file")).expect(200);
    client.get(&path::project_file(42, &file)).expect(200);
    let text = larder
        .client()
        .get_with("/-/metrics", &[("Accept", "text/plain")])
        .text();
    let checked = promtool(&["check", "metrics"], &text);
    assert!(
        checked.status.success() && said(&checked).trim().is_empty(),
        "{}",
        said(&checked)
    );
    // It can fail.
    let spoilt = text.replace(
        "# TYPE larder_requests_total counter",
        "# TYPE larder_requests_total gauge",
    );
    assert!(!promtool(&["check", "metrics"], &spoilt).status.success());
}

#[test]
#[ignore = "needs prometheus"]
fn the_alert_rules_are_well_formed_and_ring_when_they_should() {
    let checked = promtool(&["check", "rules", "alerts.yml"], "");
    assert!(checked.status.success(), "{}", said(&checked));
    let tested = promtool(&["test", "rules", "alerts_test.yml"], "");
    assert!(tested.status.success(), "{}", said(&tested));
}
