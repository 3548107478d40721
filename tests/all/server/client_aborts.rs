//! Clients that leave before they have their answer: told in the log, and counted apart from
//! answers that larder cut.

use std::time::{Duration, Instant};

use crate::support::{Act, Artifact, FOR_EVER, GitLab, Kind, Larder, Site, path, token};

const ABANDONED: &str = "larder_responses_abandoned_total";
const BROKEN: &str = "larder_responses_broken_total";

fn wait_for_metric(larder: &Larder, name: &str, value: f64) {
    let until = Instant::now() + Duration::from_secs(10);
    while larder.metric(name) != Some(value) {
        assert!(
            Instant::now() < until,
            "{name} is {:?}, not {value}:\n{}",
            larder.metric(name),
            larder.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn line(larder: &Larder, part: &str) -> String {
    larder.wait_for_log(part);
    let log = larder.log();
    log.lines()
        .find(|line| line.contains(part))
        .expect("it is there")
        .to_owned()
}

#[test]
fn a_client_that_gives_up_before_the_head_is_told_and_counted() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    gitlab.plan(Act::StallBeforeHead(FOR_EVER).at(Kind::Page));
    let page = path::project_page(42, "my-pkg");
    let waiting = client.start("GET", &page, &[]);
    gitlab
        .log()
        .wait_until("GitLab is asked", |log| log.count(Kind::Page) == 1);
    drop(waiting);
    let line = line(&larder, "status=499");
    for part in [
        "method=GET",
        page.as_str(),
        "bytes=0",
        "error=\"client disconnected\"",
        "id=",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    wait_for_metric(&larder, ABANDONED, 1.0);
    let counted = "larder_requests_total{route=\"page\",cache=\"internal\",status=\"499\"}";
    assert_eq!(larder.metric(counted), Some(1.0), "{}", larder.metrics());
    assert_eq!(larder.metric(BROKEN), Some(0.0));
}

#[test]
fn a_client_that_leaves_in_a_body_is_counted_apart_from_what_larder_cuts() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 30_000_000);
    let small = Artifact::noise("small", "1.0", 300_000);
    gitlab.publish(42, &file);
    gitlab.publish(42, &small);
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let address = path::project_file(42, &file);
    for round in [1.0, 2.0] {
        let mut exchange = client.start("GET", &address, &[]);
        assert!(exchange.read_body(100_000) >= 100_000);
        drop(exchange);
        wait_for_metric(&larder, ABANDONED, round);
    }
    let told = line(&larder, "error=\"client disconnected\"");
    assert!(told.contains("status=200"), "{told}");
    // Whatever is taken to its end is neither: whole, a part, none of it, in one piece, from
    // upstream as it comes.
    client.get(&address).expect(200);
    client.get_range(&address, "bytes=5-999999").expect(206);
    client.head(&address).expect(200);
    let etag = client
        .head(&address)
        .header("ETag")
        .expect("a tag")
        .to_owned();
    client.get_if_none_match(&address, &etag).expect(304);
    client.get(&path::project_page(42, "big")).expect(200);
    client
        .get_range(&path::project_file(42, &small), "bytes=0-99")
        .expect(206);
    client.get("/-/nowhere").expect(404);
    client.get("/-/status").expect(200);
    assert_eq!(larder.metric(ABANDONED), Some(2.0), "{}", larder.log());
    assert_eq!(larder.metric(BROKEN), Some(0.0));

    let wrong = Artifact::noise("wrong", "1.0", 300_000);
    gitlab.publish(42, &wrong);
    gitlab.plan(Act::Flip { at: 200_000 }.at(Site::FileBody));
    assert!(!client.get(&path::project_file(42, &wrong)).is_complete());
    wait_for_metric(&larder, BROKEN, 1.0);
    assert_eq!(larder.metric(ABANDONED), Some(2.0), "{}", larder.log());
}
