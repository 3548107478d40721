//! `health_listen`: how larder is can be asked at an address that no client of packages comes to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::connection_memory::allow_descriptors;
use crate::support::larder::Builder;
use crate::support::{Artifact, Client, GitLab, HeldPort, Larder, Site, path, token};

const PROBES: [&str; 3] = ["/-/health/live", "/-/health/ready", "/-/metrics"];

/// Of the probes of packaging/helm/larder.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

const HERD: usize = 1300;

/// A larder whose health is asked at this address.
fn with_health(gitlab: &GitLab) -> (Builder, HeldPort) {
    let port = HeldPort::new();
    let line = format!("health_listen = \"{}\"", port.address());
    (Larder::builder(gitlab).setting(&line), port)
}

fn monitor(address: SocketAddr) -> Client {
    Client::new(address).patience(PROBE_TIMEOUT)
}

/// So many clients, each with a request for this file, and without an answer to wait for.
fn herd(larder: &Larder, file: &Artifact) -> Vec<TcpStream> {
    let client = larder.client().token(token::READER);
    let head = client.head_text("GET", &path::project_file(42, file), &[]);
    let mut herd = Vec::new();
    for _ in 0..HERD {
        let stream = TcpStream::connect_timeout(&larder.address(), PROBE_TIMEOUT);
        let mut stream = stream.expect("room in the backlog");
        stream.write_all(head.as_bytes()).expect("a fresh socket");
        herd.push(stream);
    }
    herd
}

/// The longest of so many rounds of probes, each of which must be a 200 in time.
fn longest_probe(address: SocketAddr, rounds: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        for probe in PROBES {
            let begun = Instant::now();
            monitor(address).get(probe).expect(200);
            longest = longest.max(begun.elapsed());
        }
    }
    longest
}

#[test]
fn r18_liveness_answers_while_1300_clients_stand_at_the_door() {
    allow_descriptors();
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let (builder, health) = with_health(&gitlab);
    let larder = builder.sections("[limits]\nconnections = 512").start();
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let herd = herd(&larder, &file);
    std::thread::sleep(Duration::from_millis(500));
    let longest = longest_probe(health.address(), 20);
    println!("{longest:?} for the slowest of 60 probes beside {HERD} clients");
    // They are in the way: at their own address the same question stands behind them.
    let behind = TcpStream::connect_timeout(&larder.address(), PROBE_TIMEOUT);
    let mut behind = behind.expect("room in the backlog");
    let head = larder.client().head_text("GET", PROBES[0], &[]);
    behind.write_all(head.as_bytes()).expect("a fresh socket");
    let patience = behind.set_read_timeout(Some(Duration::from_secs(2)));
    patience.expect("a fresh socket");
    let answered = behind.read(&mut [0; 1]);
    assert!(answered.is_err(), "{answered:?}");
    gate.open();
    drop((herd, behind));
    let client = larder.client().token(token::READER);
    assert_eq!(
        client.get(&path::project_file(42, &file)).expect(200),
        file.bytes
    );
}

#[test]
fn liveness_answers_while_1300_clients_are_served() {
    allow_descriptors();
    let gitlab = GitLab::start();
    let file = Artifact::noise("busy", "1.0", 2_000_000);
    gitlab.publish(42, &file);
    let (builder, health) = with_health(&gitlab);
    let larder = builder.start();
    let herd = herd(&larder, &file);
    let readers = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        for mut stream in herd {
            // Some of it: the next one is read then.
            stream.read_exact(&mut buffer).expect("a client's answer");
        }
    });
    let mut longest = Duration::ZERO;
    while !readers.is_finished() {
        longest = longest.max(longest_probe(health.address(), 1));
    }
    readers.join().expect("every client is served");
    println!("{longest:?} for the slowest probe while {HERD} clients are served");
}

#[test]
fn nothing_but_health_and_metrics_is_answered_there() {
    let gitlab = GitLab::start();
    let (builder, health) = with_health(&gitlab);
    let larder = builder.start();
    larder.wait_for_log("health and metrics are answered here too");
    let monitor = monitor(health.address()).token(token::READER);
    let page = path::project_page(42, "demo");
    for other in [page.as_str(), "/-/", "/-/status", "/pypi/simple/", "/"] {
        let refused = monitor.get(other);
        assert_eq!(refused.status, 404, "{other}: {refused:?}");
    }
    assert!(monitor.get(&page).reason.contains("health_listen"));
    let upload = monitor.post("/api/v4/projects/42/packages/pypi", "text/plain", b"x");
    assert_eq!(upload.status, 404, "{upload:?}");
    assert_eq!(gitlab.log().len(), 0, "and nothing is asked for them");
    longest_probe(health.address(), 1);
}

#[test]
fn until_the_last_download_has_ended_it_says_that_larder_stops() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("slow", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let (builder, health) = with_health(&gitlab);
    let mut larder = builder.start();
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let client = larder.client().token(token::READER);
    let mut download = client.start("GET", &path::project_file(42, &file), &[]);
    assert!(download.read_body(500_000) >= 500_000);
    larder.signal(Signal::TERM);
    larder.wait_for_log("stopping: running downloads are finished first");
    std::thread::sleep(Duration::from_millis(300));
    let monitor = monitor(health.address());
    monitor.get("/-/health/live").expect(200);
    let ready = monitor.get("/-/health/ready");
    assert!(ready.status == 503 && ready.text().contains("stopping"));
    gate.open();
    assert_eq!(download.finish().expect(200), file.bytes);
    let ended = larder.wait(Duration::from_secs(5));
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    assert!(TcpStream::connect(health.address()).is_err());
}
