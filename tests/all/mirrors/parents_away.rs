//! What a parent that fails may cost.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::mirrors::parents::{ASKING, PLAIN, World, home_of};
use crate::support::{Artifact, FaultyRelay, Larder, RelayFault, path, token};

/// Of a file that is larger than what is fetched for a range of it.
const BYTES: usize = 3 << 20;

/// How often parents were asked for what is of this kind.
fn tries(agent: &Larder, kind: &str) -> f64 {
    let mut sum = 0.0;
    for line in agent.metrics().lines() {
        let is_count = line.starts_with("larder_upstream_requests_total{");
        if is_count && line.contains("parent=") && line.contains(&format!("kind=\"{kind}\"")) {
            let count = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse::<f64>().ok());
            sum += count.expect("a number");
        }
    }
    sum
}

#[test]
fn of_parents_that_say_nothing_two_are_waited_for() {
    let world = World::new(1);
    let parent = world.parent(0).address();
    let relays: Vec<_> = (0..4).map(|_| FaultyRelay::start(parent)).collect();
    let url = |relay: &FaultyRelay| format!("http://{}", relay.address());
    let urls: Vec<_> = relays.iter().map(url).collect();
    let agent = Larder::under_all(&urls)
        .gitlab_setting("retries = 2\nbreaker_failures = 0\nheader_timeout = \"1s\"")
        .sections(ASKING)
        .start();
    for relay in &relays {
        relay.fails(RelayFault::Stalls { after: 0 });
    }
    let reader = agent.client().token(token::READER);
    let page = reader.get(&path::project_page(42, "acme-app"));
    assert_eq!(page.status, 504, "{page:?}");
    assert_eq!(tries(&agent, "page"), 2.0, "{}", agent.log());
}

/// A larder whose bodies break off before their first byte.
fn breaking_parent() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("a listening socket");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let body = match asked.contains("/-/status") {
                true => {
                    r#"{"schema":1,"version":"0.0","state":{"word":"ok"},"mirrors":[],"public_index":null}"#
                }
                false => "",
            };
            let head = match body.len() {
                0 => format!(
                    "206 Partial Content\r\nContent-Range: bytes 0-99/{BYTES}\r\nContent-Length: 100"
                ),
                length => format!("200 OK\r\nContent-Length: {length}"),
            };
            let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
            let _ = (&client).write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_range_that_breaks_off_is_asked_of_the_next_parent_and_costs_no_whole_file() {
    let world = World::new(1);
    let urls = [
        world.urls()[0].clone(),
        format!("http://{}", breaking_parent()),
    ];
    let mut names = (0..).map(|number| format!("part-{number}"));
    let name = names.find(|name| home_of(&urls, name) == 1);
    let wheel = Artifact::noise(&name.expect("one of many"), "1.0", BYTES);
    world.gitlab.publish(42, &wheel);
    let agent = Larder::under_all(&urls)
        .gitlab_setting(PLAIN)
        .sections("[files]\nbackground_fetch_max = \"1MiB\"")
        .start();
    let reader = agent.client().token(token::READER);
    let file = path::project_file(42, &wheel);
    let part = reader.get_with(&file, &[("Range", "bytes=0-99")]);
    assert_eq!(part.expect(206), &wheel.bytes[..100]);
    assert_eq!(tries(&agent, "file"), 2.0, "the part alone, of each");
}
