//! What connections cost that ask for nothing, or never come to the end of asking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{GitLab, Larder};

const CONNECTIONS: usize = 1500;

/// For both ends of so many connections.
pub fn allow_descriptors() {
    let present = getrlimit(Resource::Nofile);
    let wanted = present
        .maximum
        .map_or(1 << 16, |maximum| maximum.min(1 << 16));
    let enough = Rlimit {
        current: Some(wanted),
        maximum: present.maximum,
    };
    setrlimit(Resource::Nofile, enough).expect("below the maximum");
}

/// What each of so many connections costs in which these bytes were sent.
fn cost_of(larder: &Larder, sent: &[u8], answered: bool) -> u64 {
    let connect = || {
        let mut stream = TcpStream::connect(larder.address()).expect("a daemon that listens");
        stream
            .set_write_timeout(Some(Duration::from_secs(5)))
            .expect("a fresh socket");
        stream.write_all(sent).expect("the kernel takes it");
        if answered {
            let mut answer = [0; 4096];
            assert!(stream.read(&mut answer).expect("an answer") > 0);
        }
        stream
    };
    // What is made once is none of theirs.
    let warm: Vec<_> = (0..20).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let before = larder.resident_bytes();
    let held: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let each = larder.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes for each of {CONNECTIONS} connections");
    drop((warm, held));
    each
}

#[test]
fn an_idle_connection_costs_little() {
    allow_descriptors();
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let each = cost_of(
        &larder,
        b"GET /-/health/live HTTP/1.1\r\nHost: larder\r\n\r\n",
        true,
    );
    assert!(each < 32 << 10, "{each} bytes for each idle connection");
    larder.client().get("/-/health/live").expect(200);
}

#[test]
fn a_half_sent_head_costs_little_however_large_it_is() {
    allow_descriptors();
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let head = format!(
        "GET /-/health/live HTTP/1.1\r\nHost: larder\r\nX-Padding: {}",
        "x".repeat(62_000)
    );
    let each = cost_of(&larder, head.as_bytes(), false);
    assert!(each < 56 << 10, "{each} bytes for each half-sent head");
    // Those that are held up by it are served once there is room, and all others at once.
    larder.client().get("/-/health/live").expect(200);
    larder
        .client()
        .header("X-Padding", &"x".repeat(60_000))
        .get("/-/health/live")
        .expect(200);
}
