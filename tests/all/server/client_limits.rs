//! What one client may take: connections, and requests in a second.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{Distribution, GitLab, Larder, path, token};

#[test]
fn a_client_has_so_many_connections_and_not_one_more() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("larder.sock");
    let larder = Larder::builder(&gitlab)
        .argument(&format!("--listen=unix:{}", socket.display()))
        .sections("[limits]\nconnections_per_client = 3")
        .start();
    let client = larder.client();
    let head = client.head_text("GET", "/-/health/live", &[]);
    let mut held: Vec<_> = (0..3).map(|_| client.connect()).collect();
    for wire in &mut held {
        wire.send(head.as_bytes());
        wire.reply_to("GET").expect(200);
    }
    let mut further = client.connect();
    assert!(further.closes_within(Duration::from_secs(5)));
    larder.wait_for_log("closing a client's further connections");
    assert_eq!(larder.log().matches("closing a client's").count(), 1);
    // Those that are there go on; one that leaves makes room; a unix socket is exempt.
    for wire in &mut held {
        wire.send(head.as_bytes());
        wire.reply_to("GET").expect(200);
    }
    for _ in 0..5 {
        let mut stream = UnixStream::connect(&socket).expect("a daemon that listens");
        stream
            .write_all(b"GET /-/health/live HTTP/1.0\r\n\r\n")
            .expect("a daemon that reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("a daemon that answers");
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    }
    drop(held.pop());
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut wire = client.connect();
        wire.send(head.as_bytes());
        if wire.reply_to("GET").status == 200 {
            break;
        }
        assert!(Instant::now() < until, "a place was not given back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let wheel = Distribution::new("demo", "1.0").wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nrequests_per_second = 1\nrequests_burst = 3")
        .start();
    let client = larder.client().token(token::READER);
    let file = path::project_file(42, &wheel);
    let replies: Vec<_> = (0..8).map(|_| client.get(&file)).collect();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses[..3], [200, 200, 200]);
    let refused = replies.iter().find(|reply| reply.status == 429);
    let refused = refused.unwrap_or_else(|| panic!("nobody was refused: {statuses:?}"));
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    assert!(
        refused.text().contains("limits.requests_per_second"),
        "{}",
        refused.text()
    );
    for house in ["/-/health/live", "/-/health/ready", "/-/metrics"] {
        for _ in 0..5 {
            client.get(house).expect(200);
        }
    }
    let looks: Vec<u16> = (0..8).map(|_| client.get("/-/status").status).collect();
    assert!(
        looks.contains(&429),
        "the status page looks at the disk: {looks:?}"
    );
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(
        client.get(&file).expect(200),
        wheel.bytes,
        "after the wait that was told"
    );
}

#[test]
fn both_are_off_unless_they_are_set() {
    let gitlab = GitLab::start();
    gitlab.publish(42, Distribution::new("demo", "1.0").wheel());
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let held: Vec<_> = (0..200).map(|_| client.connect()).collect();
    for _ in 0..600 {
        client.get(&path::project_page(42, "demo")).expect(200);
    }
    drop(held);
}

#[test]
fn too_few_file_descriptors_are_warned_of() {
    let gitlab = GitLab::start();
    let warning = "fewer open files are allowed than limits.connections may need";
    let enough = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 10")
        .start();
    assert!(!enough.log().contains(warning), "{}", enough.log());
    let few = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 2000000000")
        .start();
    few.wait_for_log(warning);
}

#[test]
fn who_only_looks_whether_somebody_listens_is_no_refusal() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nfirst_byte_timeout = \"300ms\"")
        .start();
    let silent = "larder_connections_refused_total{reason=\"silent\"}";
    for _ in 0..5 {
        drop(larder.client().connect());
    }
    let mut idle = larder.client().connect();
    assert!(idle.closes_within(Duration::from_secs(5)));
    let until = Instant::now() + Duration::from_secs(5);
    while larder.metric(silent) != Some(1.0) {
        assert!(
            Instant::now() < until,
            "{silent} {:?}, and only one was silent",
            larder.metric(silent)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_large_head_is_taken_if_it_may_be_large() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nheader_size = \"256KiB\"")
        .start();
    let client = larder.client().header("X-Padding", &"x".repeat(200_000));
    client.get("/-/health/live").expect(200);
    let client = larder.client().header("X-Padding", &"x".repeat(300_000));
    client.get("/-/health/live").expect(431);
    // What the log keeps of a head is bounded as well.
    larder
        .client()
        .request(&"A".repeat(60_000), "/-/health/live", &[]);
    larder.wait_for_log("method=OTHER");
    assert!(
        larder.log().lines().all(|line| line.len() < 10_000),
        "a line as long as its client liked"
    );
}
