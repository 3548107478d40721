//! What GitLab's answer to an upload does to the client: whether it is asked for its body, where it
//! is sent on to, and what it reads in the status line.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, Site, Wire, path, token,
};
use crate::upload::pass_through::{content_type, form, upload};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The head of an upload whose client waits to be asked for the body.
fn expecting(client: &Client, body_bytes: usize) -> Wire {
    let length = body_bytes.to_string();
    let kind = content_type();
    let fields = [
        ("Content-Type", kind.as_str()),
        ("Content-Length", &length),
        ("Expect", "100-Continue"),
        ("Connection", "close"),
    ];
    let mut wire = client.connect();
    wire.send(
        client
            .head_text("POST", &path::upload(42), &fields)
            .as_bytes(),
    );
    wire
}

fn hear(wire: &mut Wire, bytes: usize) -> Vec<u8> {
    let mut heard = vec![0; bytes];
    Read::read_exact(&mut wire.stream(), &mut heard).expect("an answer");
    heard
}

#[test]
fn a_refused_upload_never_sets_out() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token("nobody-knows");
    for answer in [
        Answer::challenged(),
        Answer::forbidden(),
        Answer::message(400, "400 Bad request"),
    ] {
        let planned = gitlab.plan(Act::Answer(answer.clone()).at(Kind::Upload));
        gitlab.log().clear();
        let mut wire = expecting(&client, 4_000_000);
        let reply = wire.reply_to("POST");
        assert_eq!(reply.expect(answer.status), &answer.body[..], "{reply:?}");
        assert!(
            reply.interim.is_empty(),
            "asked for what GitLab had refused: {reply:?}"
        );
        let asked = gitlab.log().last(Kind::Upload);
        assert_eq!(
            asked.head.header("Expect"),
            Some("100-continue"),
            "{asked:?}"
        );
        assert_eq!(asked.body_received, 0);
        assert!(wire.closes_within(Duration::from_secs(5)));
        planned.remove();
    }
}

#[test]
fn the_body_is_asked_for_when_gitlab_asks_and_not_before() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::DEVELOPER);
    // The stand-in says 100 at once: the second for a silent one must not be in the way. The shortest
    // of several waits, because a busy machine may add as much to one.
    let mut shortest = Duration::MAX;
    for round in 0..5 {
        let body = form(&Artifact::noise("fresh", &format!("1.{round}"), 50_000));
        let begun = Instant::now();
        let mut wire = expecting(&client, body.len());
        assert_eq!(hear(&mut wire, CONTINUE.len()), CONTINUE);
        shortest = shortest.min(begun.elapsed());
        wire.send(&body);
        wire.reply_to("POST").expect(201);
        assert_eq!(gitlab.uploads()[round].body.as_deref(), Some(&body[..]));
    }
    assert!(shortest < Duration::from_millis(900), "{shortest:?}");
}

#[test]
fn a_gitlab_that_never_asks_gets_the_body_after_a_second() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.says_continue = false)
        .start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::DEVELOPER);
    let body = form(&Artifact::noise("fresh", "1.0", 50_000));
    let begun = Instant::now();
    let mut wire = expecting(&client, body.len());
    assert_eq!(hear(&mut wire, CONTINUE.len()), CONTINUE);
    let waited = begun.elapsed();
    assert!(
        (Duration::from_millis(800)..Duration::from_secs(5)).contains(&waited),
        "{waited:?}"
    );
    wire.send(&body);
    wire.reply_to("POST").expect(201);
    assert_eq!(gitlab.uploads()[0].body.as_deref(), Some(&body[..]));
}

#[test]
fn gitlabs_addresses_in_location_are_larders() {
    let gitlab = GitLab::start();
    let external = "https://gitlab.example/sub";
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("external_urls = [{external:?}]"))
        .start();
    let client = larder.client().token(token::DEVELOPER);
    let moved = path::upload(43);
    let file = Distribution::new("fresh", "1.0").wheel();
    for status in [301, 302, 303, 307, 308, 201] {
        for (location, leads) in [
            (format!("{}{moved}", gitlab.url()), moved.clone()),
            (format!("{external}{moved}?a=b"), format!("{moved}?a=b")),
            (moved.clone(), moved.clone()),
            (
                "https://sso.example/login".to_owned(),
                "https://sso.example/login".to_owned(),
            ),
            (
                format!("https://gitlab.example{moved}"),
                format!("https://gitlab.example{moved}"),
            ),
        ] {
            let answer = Answer::new(status).header("Location", location.as_str());
            let planned = gitlab.plan(Act::Answer(answer).at(Kind::Upload));
            let reply = upload(&client, 42, &file);
            assert_eq!(
                (reply.status, reply.header("Location")),
                (status, Some(leads.as_str())),
                "{location}"
            );
            planned.remove();
        }
    }
}

#[test]
fn gitlabs_reason_reaches_the_client() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::DEVELOPER);
    let file = Distribution::new("fresh", "1.0").wheel();
    let long = "x".repeat(1000).leak();
    for (reason, shown) in [
        ("Filename already taken", "Filename already taken"),
        ("Two\twords", "Two words"),
        (&*long, &long[..200]),
        ("", "Bad Request"),
    ] {
        let answer = Answer::message(400, "400 Bad request").reason(reason);
        let planned = gitlab.plan(Act::Answer(answer).at(Site::Anywhere));
        let page = path::project_page(42, "unseen");
        for reply in [
            upload(&client, 42, &file),
            client.get(&page),
            client.get(&path::project_file(42, &file)),
        ] {
            assert_eq!(
                (reply.status, reply.reason.as_str()),
                (400, shown),
                "{reply:?}"
            );
        }
        planned.remove();
    }
}
