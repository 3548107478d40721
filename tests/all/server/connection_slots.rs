//! Who is let in when all places are taken: idle connections make room, and whoever asks how larder
//! is gets in.

use std::time::{Duration, Instant};

use crate::common::pace::Pace;
use crate::server::tls::{Secured, fetch};
use crate::support::tls::run;
use crate::support::{
    Act, Answer, Artifact, Client, GitLab, Kind, Larder, Site, Wire, path, token,
};

/// A connection that has been served, and now asks for nothing.
fn idle(client: &Client) -> Wire {
    let mut wire = client.connect();
    wire.send(client.head_text("GET", "/-/health/live", &[]).as_bytes());
    wire.reply_to("GET").expect(200);
    wire
}

fn page() -> String {
    path::project_page(42, "my-pkg")
}

#[test]
fn idle_connections_make_room_the_longest_idle_first() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 6")
        .start();
    let client = larder.client().token(token::READER);
    let mut held: Vec<_> = (0..6).map(|_| idle(&client)).collect();
    let pace = Pace::new(&gitlab);
    let begun = Instant::now();
    client.get(&page()).expect(200);
    pace.within(Duration::from_secs(4), begun, "the idle one makes room");
    assert!(
        held.remove(0).closes_within(Duration::from_secs(3)),
        "the first one stays"
    );
    for wire in &mut held {
        wire.send(client.head_text("GET", &page(), &[]).as_bytes());
        wire.reply_to("GET").expect(200);
    }
}

#[test]
fn one_place_serves_one_client_after_another() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 1")
        .start();
    let client = larder.client().token(token::READER);
    for _ in 0..20 {
        client.get(&page()).expect(200);
    }
}

#[test]
fn whatever_a_connection_waits_with_it_makes_room() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 4")
        .start();
    let client = larder.client().token(token::READER);
    let pace = Pace::new(&gitlab);
    // More than there are places, spare ones included, and none of them says a whole word.
    for begun in ["", "GET /-/health/live HTTP/1.1\r\nHost: larder\r\n"] {
        let held: Vec<_> = (0..30)
            .map(|_| {
                let mut wire = client.connect();
                wire.send(begun.as_bytes());
                wire
            })
            .collect();
        let begun_at = Instant::now();
        client.get(&page()).expect(200);
        pace.within(Duration::from_secs(8), begun_at, begun);
        drop(held);
    }

    let secured = Secured::start(&gitlab, "[limits]\nconnections = 2");
    let secure = secured.http2();
    run(async {
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut sender = secure.http2().await;
            let live = secure.get("/-/health/live", token::READER);
            assert_eq!(
                sender.send_request(live).await.expect("an answer").status(),
                200
            );
            held.push(sender);
        }
        let found = fetch(&secure, &page()).await;
        assert_eq!(found.status, 200, "{found:?}");
    });
}

/// A page that no socket takes at once.
fn large_page() -> Answer {
    let digest = "0".repeat(64);
    let links = (0..28_000).map(|number| {
        let file = format!("large-1.{number}.tar.gz");
        format!("<a href=\"../../files/{digest}/{file}#sha256={digest}\">{file}</a>\n")
    });
    let page = format!(
        "<!DOCTYPE html><html><body>{}</body></html>",
        links.collect::<String>()
    );
    Answer::new(200)
        .header("Content-Type", "text/html")
        .body(page)
}

#[test]
fn a_client_that_has_a_part_of_a_page_keeps_its_place() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nconnections = 1")
        .start();
    let client = larder.client().token(token::READER);
    let large = path::project_page(42, "large");
    gitlab.plan(Act::Answer(large_page()).at(Kind::Page));
    let whole = client.get(&large);
    assert!(whole.expect(200).len() > 6_000_000, "{whole:?}");
    let mut slow = client.start("GET", &large, &[]);
    slow.read_body(10_000);
    std::thread::scope(|threads| {
        let other = threads.spawn(|| client.get(&page()));
        // An idle connection makes room after a second.
        std::thread::sleep(Duration::from_secs(3));
        let slow = slow.finish();
        assert!(slow.is_complete() && slow.body == whole.body, "{slow:?}");
        other.join().expect("no panic").expect(200);
    });
}

#[test]
fn how_larder_is_can_be_asked_while_nobody_else_is_served() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let limits = "[limits]\nconnections = 2\nqueue_timeout = \"500ms\"";
    let larder = Larder::builder(&gitlab).sections(limits).start();
    let client = larder.client().token(token::READER);
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let mut held: Vec<_> = (0..2)
        .map(|_| client.start("GET", &path::project_file(42, &file), &[]))
        .collect();
    for exchange in &mut held {
        assert!(exchange.read_body(500_000) >= 500_000);
    }
    for _ in 0..20 {
        for probe in ["/-/health/live", "/-/health/ready", "/-/metrics"] {
            let reply = client.clone().patience(Duration::from_secs(2)).get(probe);
            reply.expect(200);
        }
    }
    assert!(larder.command(&["health"]).status.success());
    // Others wait as long as they may, and are told then.
    let waits = client.get(&page());
    assert!(waits.status == 503 && waits.is_complete(), "{waits:?}");
    assert!(
        waits.took > Duration::from_millis(400) && waits.reason.contains("limits.connections"),
        "{waits:?}"
    );
    assert_eq!(waits.header("Connection"), Some("close"));
    let counted = larder.metric("larder_connections_refused_total{reason=\"crowded\"}");
    assert_eq!(counted, Some(1.0));
    larder.wait_for_log(&format!("path={} status=503", page()));
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.get(&page())
    });
    gate.open();
    for exchange in held {
        assert_eq!(exchange.finish().expect(200), file.bytes);
    }
    waiting.join().expect("no panic").expect(200);
}
