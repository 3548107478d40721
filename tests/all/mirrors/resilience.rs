//! A mirror that is down, slow, refusing or talking nonsense: what is here is served, what is not
//! is an honest error.

use std::time::{Duration, Instant};

use crate::common::delivery::kept;
use crate::common::mirror::{
    FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, larder, metadata, names, page,
};
use crate::common::pace::Pace;
use crate::support::{
    Act, Answer, Artifact, Distribution, Formats, GitLab, Kind, Larder, PublicIndex, Reply,
    Validators, path, token,
};

fn wheel() -> Artifact {
    Distribution::new("Some.Lib", "1.2").payload(50_000).wheel()
}

fn index() -> PublicIndex {
    PublicIndex::builder().offering(wheel()).start()
}

/// Page in both formats, file and metadata have been asked for and are here.
fn warm(larder: &Larder, index: &PublicIndex) {
    for accept in FORMATS {
        get_as(&larder.client(), &page("some-lib"), accept).expect(200);
    }
    larder
        .client()
        .get(&file(index, &wheel().filename))
        .expect(200);
    larder
        .client()
        .get(&metadata(index, &wheel().filename))
        .expect(200);
    kept(larder, &wheel());
}

fn assert_served_from_here(larder: &Larder, index: &PublicIndex, case: &str) {
    for accept in FORMATS {
        let started = Instant::now();
        let shown = get_as(&larder.client(), &page("some-lib"), accept);
        assert_eq!(
            names(&shown),
            [wheel().filename.as_str()],
            "{case} {accept}"
        );
        let told = shown.header("Cache-Status").unwrap_or_default();
        assert!(told.contains("hit"), "{case} {accept}: {shown:?}");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{case} {accept}: {:?}",
            started.elapsed()
        );
    }
    let address = file(index, &wheel().filename);
    assert_eq!(
        larder.client().get(&address).expect(200),
        &wheel().bytes[..],
        "{case}"
    );
    assert_eq!(
        larder.client().get_range(&address, "bytes=0-9").expect(206),
        &wheel().bytes[..10],
        "{case}"
    );
    assert_eq!(larder.client().head(&address).status, 200, "{case}");
    let core_metadata = larder.client().get(&metadata(index, &wheel().filename));
    assert_eq!(core_metadata.expect(200), &wheel().metadata[..], "{case}");
}

#[track_caller]
fn assert_problem(reply: &Reply, status: u16, case: &str) {
    assert_eq!(reply.status, status, "{case}: {reply:?}");
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json"),
        "{case}: {reply:?}"
    );
    assert!(
        !reply.text().contains("127.0.0.1"),
        "{case}: an address in {reply:?}"
    );
    assert!(!reply.reason.is_empty(), "{case}: {reply:?}");
}

#[test]
fn r11_with_the_mirror_down_what_is_here_is_served_also_after_a_restart() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json, Formats::Both] {
        let index = index();
        index.set(|settings| settings.formats = formats);
        let larder = larder(&gitlab, &index, NEVER_FRESH);
        warm(&larder, &index);
        index.stop();
        assert_served_from_here(&larder, &index, "down");
        let unknown = get_as(&larder.client(), &page("unknown"), HTML);
        assert_problem(&unknown, 504, "never seen");
        let larder = larder.restart();
        assert_served_from_here(&larder, &index, "down, after a restart");
        // GitLab is not affected.
        let own = larder
            .client()
            .token(token::READER)
            .get(&path::project_page(42, "my-pkg"));
        own.expect(200);
        index.resume();
        let newer = Distribution::new("Some.Lib", "1.3").wheel();
        index.publish(&newer);
        let until = Instant::now() + Duration::from_secs(40);
        while names(&get_as(&larder.client(), &page("some-lib"), JSON)).len() < 2 {
            assert!(
                Instant::now() < until,
                "{formats:?}: not noticed that it is back"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn whatever_a_mirror_answers_in_place_of_a_page_is_told_for_what_it_is() {
    let gitlab = GitLab::start();
    let login = "<!DOCTYPE html><html><body><form action=\"/login\"><input name=\"user\"></form></body></html>";
    let answers = [
        (Answer::html(404), 404),
        (Answer::html(410), 410),
        (Answer::html(500), 502),
        (Answer::html(502), 502),
        (Answer::html(503), 502),
        (
            Answer::html(401).header("WWW-Authenticate", "Basic realm=\"x\""),
            401,
        ),
        (Answer::html(403), 403),
        (Answer::html(451), 451),
        (
            Answer::new(429)
                .header("Retry-After", "77")
                .body("slow down"),
            429,
        ),
        (
            Answer::new(200).header("Content-Type", HTML).body(login),
            502,
        ),
        (
            Answer::new(200)
                .header("Content-Type", "application/octet-stream")
                .body("{}"),
            502,
        ),
        (
            Answer::new(200)
                .header("Content-Type", JSON)
                .body("{\"meta\":{},\"files\":["),
            502,
        ),
        (
            Answer::new(200).header("Content-Type", JSON).body("[]"),
            502,
        ),
        (Answer::new(304), 502),
        (Answer::new(204), 502),
    ];
    for (answer, expected) in answers {
        let index = index();
        let larder = larder(&gitlab, &index, NEVER_FRESH);
        let case = format!("{} {:?} {:?}", answer.status, answer.headers, answer.body);
        index.plan(Act::Answer(answer).at(Kind::Page));
        for accept in FORMATS {
            let reply = get_as(&larder.client(), &page("some-lib"), accept);
            assert_eq!(reply.status, expected, "{case} {accept}: {reply:?}");
            assert!(
                reply.is_complete() && reply.header("WWW-Authenticate").is_none(),
                "{case}: {reply:?}"
            );
            if expected == 429 {
                let wait = reply
                    .header("Retry-After")
                    .and_then(|text| text.parse::<u64>().ok());
                assert!(
                    wait.is_some_and(|wait| (70..=77).contains(&wait)),
                    "{case}: {reply:?}"
                );
            } else if expected >= 500 {
                assert_problem(&reply, expected, &case);
            }
        }
        // A file whose page cannot be had is not a file that is not there.
        let sought = larder.client().get(&file(&index, &wheel().filename));
        let told = if expected == 410 { 404 } else { expected };
        assert_eq!(sought.status, told, "{case}: {sought:?}");
        index.behave();
        if expected != 429 {
            for accept in FORMATS {
                let shown = get_as(&larder.client(), &page("some-lib"), accept);
                assert_eq!(names(&shown).len(), 1, "{case}: was kept");
            }
        }
    }
}

#[test]
fn a_page_that_is_here_outlives_every_failure_but_no_answer() {
    let gitlab = GitLab::start();
    for status in [500, 502, 503, 400, 429, 401, 403, 404, 410, 451] {
        let index = index();
        let larder = larder(&gitlab, &index, NEVER_FRESH);
        warm(&larder, &index);
        let mut answer = Answer::html(status);
        if status == 429 {
            answer = answer.header("Retry-After", "60");
        }
        index.plan(Act::Answer(answer).at(Kind::Page));
        let is_an_answer = matches!(status, 401 | 403 | 404 | 410 | 451);
        for accept in FORMATS {
            let reply = get_as(&larder.client(), &page("some-lib"), accept);
            if is_an_answer {
                assert_eq!(reply.status, status, "{accept}: {reply:?}");
            } else {
                assert_eq!(names(&reply).len(), 1, "{status} {accept}");
                let told = reply.header("Cache-Status").unwrap_or_default();
                assert!(
                    told.contains("detail=stale"),
                    "{status} {accept}: {reply:?}"
                );
            }
        }
        if !is_an_answer {
            larder
                .client()
                .get(&file(&index, &wheel().filename))
                .expect(200);
        }
    }
}

#[test]
fn r8_a_page_that_breaks_off_is_never_a_page() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json] {
        for act in [
            Act::Close { after: 200 },
            Act::Reset { after: 200 },
            Act::Close { after: 1 },
            Act::ChunkedWithoutEnd,
            Act::Encoding("gzip"),
        ] {
            let case = format!("{formats:?} {act:?}");
            let index = index();
            // Without a validator there is a body to break off each time.
            index.set(|settings| {
                (settings.formats, settings.validators) = (formats, Validators::None)
            });
            let larder = larder(&gitlab, &index, NEVER_FRESH);
            index.plan(act.clone().at(Kind::Page));
            for accept in FORMATS {
                let reply = get_as(&larder.client(), &page("some-lib"), accept);
                assert!(
                    !(reply.status == 200 && reply.is_complete()),
                    "{case} {accept}: {reply:?}"
                );
            }
            index.behave();
            warm(&larder, &index);
            index.plan(act.at(Kind::Page));
            assert_served_from_here(&larder, &index, &case);
        }
    }
}

#[test]
fn r16_a_mirror_that_asks_for_a_pause_gets_it() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, NEVER_FRESH);
    index.set(|settings| settings.throttle = Some(60));
    for _ in 0..5 {
        let reply = get_as(&larder.client(), &page("some-lib"), JSON);
        assert_eq!(reply.status, 429, "{reply:?}");
        assert!(reply.header("Retry-After").is_some(), "{reply:?}");
    }
    assert_eq!(index.log().len(), 1, "it was left alone");
}

#[test]
fn r12_a_silent_mirror_costs_its_time_out_and_then_nothing() {
    let (gitlab, index) = (GitLab::start(), index());
    let lines = "ttl = \"0s\"\nheader_timeout = \"500ms\"\nretries = 0\nbreaker_failures = 2\nbreaker_open_for = \"60s\"";
    let larder = larder(&gitlab, &index, lines);
    warm(&larder, &index);
    index.plan(Act::StallBeforeHead(Duration::from_secs(60)).at(Kind::Page));
    let pace = Pace::new(&gitlab);
    let mut asked = Instant::now();
    for _ in 0..2 {
        asked = Instant::now();
        let reply = get_as(&larder.client(), &page("unknown"), JSON);
        assert_problem(&reply, 504, "silent");
    }
    index.log().clear();
    let started = Instant::now();
    for _ in 0..10 {
        assert_problem(
            &get_as(&larder.client(), &page("unknown"), JSON),
            504,
            "circuit_open",
        );
        assert_served_from_here(&larder, &index, "resting");
    }
    pace.within(Duration::from_secs(3), started, "eighty answers");
    // Its rest is a second long, and twice as long after each further question in vain: none on a
    // machine that is not busy.
    let rests_ended = (asked.elapsed().as_secs_f64() + 1.0).log2() as usize;
    let questions = index.log().len();
    assert!(questions <= rests_ended, "{questions}: it was left alone");
    // Nobody else rests with it.
    larder
        .client()
        .token(token::READER)
        .get(&path::project_page(42, "my-pkg"))
        .expect(200);
}

#[test]
fn a_file_host_that_is_down_says_nothing_of_the_index() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(
        &gitlab,
        &index,
        "ttl = \"0s\"\nretries = 0\nbreaker_failures = 1\nbreaker_open_for = \"60s\"",
    );
    index.plan(Act::CutHead { after: 0 }.at(Kind::File));
    for _ in 0..3 {
        let reply = larder.client().get(&file(&index, &wheel().filename));
        assert!(matches!(reply.status, 502 | 504), "{reply:?}");
        get_as(&larder.client(), &page("some-lib"), JSON).expect(200);
    }
}
