//! Fresh and resilient: pages renewed ahead of expiry, shown while they are renewed, and in place
//! of a failure.

use std::time::{Duration, Instant};

use crate::support::{Act, Client, Distribution, GitLab, Kind, Larder, path, token};
use crate::upload::pass_through::upload;

fn page() -> String {
    path::project_page(42, "my-pkg")
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn larder(gitlab: &GitLab, index: &str) -> Larder {
    Larder::builder(gitlab)
        .sections(&format!("[index]\n{index}\n[auth]\ncache_ttl = \"300s\""))
        .start()
}

/// Asks until the answer is satisfying, for a few seconds.
fn ask_until(
    larder: &Larder,
    address: &str,
    wanted: impl Fn(&crate::support::Reply) -> bool,
) -> usize {
    let until = Instant::now() + Duration::from_secs(20);
    let mut asked = 0;
    loop {
        let reply = reader(larder).get(address);
        asked += 1;
        if wanted(&reply) {
            return asked;
        }
        assert!(Instant::now() < until, "not within 20 s: {reply:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn shows(name: &str) -> impl Fn(&crate::support::Reply) -> bool {
    move |reply| reply.text().contains(name)
}

#[test]
fn a_lapsed_page_is_shown_at_once_while_one_question_is_asked_behind_it() {
    let gitlab = GitLab::start();
    let larder = larder(
        &gitlab,
        "ttl = \"3s\"\nstale_while_revalidate = \"300s\"\nrefresh_ahead_hits = 0",
    );
    let before = reader(&larder).get(&page()).expect(200).to_vec();
    gitlab.publish(42, Distribution::new("My.Pkg", "9.0").wheel());
    std::thread::sleep(Duration::from_millis(3_200));
    gitlab.log().clear();
    // Until the gate opens nobody could have an answer of GitLab's.
    let gate = gitlab.hold(Kind::Page, 0);
    for round in 0..5 {
        let reply = reader(&larder).get(&page());
        assert_eq!(reply.expect(200), before, "{round}");
        let status = reply.header("Cache-Status").unwrap_or_default();
        assert!(status.contains("detail=updating"), "{round}: {reply:?}");
        assert!(reply.header("Age").is_some(), "{round}: {reply:?}");
    }
    gate.wait_for(1);
    assert_eq!(
        gitlab.log().count(Kind::Page),
        1,
        "one question behind five answers"
    );
    gate.open();
    ask_until(&larder, &page(), shows("my_pkg-9.0"));
    assert_eq!(gitlab.log().count(Kind::Page), 1);
}

#[test]
fn a_lapsed_page_is_not_shown_after_an_upload() {
    let gitlab = GitLab::start();
    let larder = larder(&gitlab, "ttl = \"2s\"\nstale_while_revalidate = \"300s\"");
    reader(&larder).get(&page()).expect(200);
    std::thread::sleep(Duration::from_millis(2_100));
    let wheel = Distribution::new("My.Pkg", "9.0").wheel();
    upload(&larder.client().token(token::DEVELOPER), 42, &wheel).expect(201);
    assert!(reader(&larder).get(&page()).text().contains("my_pkg-9.0"));
}

#[test]
fn a_page_in_use_is_renewed_before_it_lapses_and_one_that_is_not_never() {
    let gitlab = GitLab::start();
    let larder = larder(&gitlab, "ttl = \"4s\"\nrefresh_ahead_hits = 3");
    let cold = path::project_index(42);
    reader(&larder).get(&cold).expect(200);
    reader(&larder).get(&page()).expect(200);
    gitlab.log().clear();
    gitlab.publish(42, Distribution::new("My.Pkg", "9.0").wheel());
    let since = Instant::now();
    let mut waited = 0;
    while !reader(&larder).get(&page()).text().contains("my_pkg-9.0") {
        assert!(since.elapsed() < Duration::from_secs(20), "never renewed");
        std::thread::sleep(Duration::from_millis(20));
        waited += 1;
    }
    assert!(waited > 0, "it was fresh");
    let asked = gitlab.log().of(Kind::Page);
    assert_eq!(asked.len(), 1, "renewed once");
    assert!(
        asked[0].head.header("If-None-Match").is_some(),
        "by its validator"
    );
    assert_eq!(gitlab.log().count(Kind::Index), 0, "nobody used the index");
}

#[test]
fn r16_a_page_that_is_known_stands_in_for_a_throttled_one() {
    let gitlab = GitLab::start();
    let larder = larder(&gitlab, "ttl = \"0s\"");
    let before = reader(&larder).get(&page()).expect(200).to_vec();
    gitlab.set(|settings| settings.throttle = Some(30));
    let reply = reader(&larder).get(&page());
    assert_eq!(reply.expect(200), before);
    assert!(
        reply
            .header("Cache-Status")
            .is_some_and(|word| word.contains("detail=stale")),
        "{reply:?}"
    );
    // To whom GitLab has said nothing lately, it is GitLab's word that goes.
    assert_eq!(
        larder.client().token(token::DEVELOPER).get(&page()).status,
        429
    );
    assert_eq!(larder.client().get(&page()).status, 429);
}

#[test]
fn a_right_that_ends_behind_an_answer_is_over_with_the_next_one() {
    let gitlab = GitLab::start();
    let larder = larder(&gitlab, "ttl = \"2s\"\nstale_while_revalidate = \"300s\"");
    reader(&larder).get(&page()).expect(200);
    gitlab.plan(Act::Status(403).at(Kind::Page));
    std::thread::sleep(Duration::from_millis(2_100));
    ask_until(&larder, &page(), |reply| reply.status == 403);
}
