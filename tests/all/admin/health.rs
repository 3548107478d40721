//! Liveness and readiness: who says what, and that each word goes again when its cause has gone.

use std::fs;

use rustix::process::Signal;

use crate::common::delivery::{eventually, right};
use crate::support::{
    Act, Artifact, Distribution, GitLab, Kind, Larder, PublicIndex, Site, Storage, TokenState,
    path, token,
};

fn json(larder: &Larder) -> serde_json::Value {
    let reply = larder
        .client()
        .get_with("/-/health/ready", &[("Accept", "application/json")]);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    serde_json::from_slice(&reply.body).expect("it is JSON")
}

fn words(larder: &Larder) -> Vec<String> {
    let reasons = json(larder)["reasons"].clone();
    let reasons = reasons.as_array().expect("a list").iter();
    reasons
        .map(|reason| reason["reason"].as_str().expect("a word").to_owned())
        .collect()
}

fn ready(larder: &Larder) -> String {
    String::from_utf8_lossy(larder.client().get("/-/health/ready").expect(200)).into_owned()
}

fn degraded(larder: &Larder, reason: &str) -> Option<f64> {
    larder.metric(&format!("larder_degraded{{reason=\"{reason}\"}}"))
}

#[test]
fn all_well_is_ok_in_both_forms() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    assert_eq!(larder.client().get("/-/health/live").expect(200), b"ok\n");
    assert_eq!(ready(&larder), "ok\n");
    assert_eq!(
        json(&larder),
        serde_json::json!({ "status": "ok", "offline": false, "reasons": [] })
    );
    assert_eq!(larder.metric("larder_ready"), Some(1.0));
    assert!(gitlab.log().is_empty(), "GitLab was asked");
}

#[test]
fn r35_an_upstream_that_rests_is_named_with_why_and_when_it_is_asked_again() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 2\nbreaker_open_for = \"1s\"")
        .start();
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "my-pkg");
    gitlab.stop();
    for _ in 0..2 {
        assert_eq!(client.get(&page).status, 504);
    }
    let line = ready(&larder);
    assert!(
        line.starts_with("degraded: cannot reach gitlab for 0s (connect)"),
        "{line}"
    );
    let told = json(&larder);
    let reason = &told["reasons"][0];
    assert_eq!(
        (
            &told["status"],
            &reason["reason"],
            &reason["upstream"],
            &reason["cause"]
        ),
        (
            &"degraded".into(),
            &"upstream_circuit_open".into(),
            &"gitlab".into(),
            &"connect".into()
        )
    );
    assert!(
        reason["since_seconds"].is_u64() && reason["detail"].is_string(),
        "{told}"
    );
    assert_eq!(degraded(&larder, "upstream_circuit_open"), Some(1.0));
    larder.wait_for_log("no answer from upstream");
    // Alive all the same, and ready: what is here is served.
    larder.client().get("/-/health/live").expect(200);
    gitlab.resume();
    eventually("it is well again", || client.get(&page).status == 200);
    assert_eq!(
        (
            ready(&larder).as_str(),
            degraded(&larder, "upstream_circuit_open")
        ),
        ("ok\n", Some(0.0))
    );
}

#[test]
fn r35_a_folder_that_cannot_be_written_is_said_and_the_word_goes_when_it_can() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("file", "1.0", 100_000);
    gitlab.publish(42, &file);
    let spool = larder.cache_dir().join("spool");
    let aside = larder.cache_dir().join("spool.aside");
    fs::rename(&spool, &aside).expect("it is there");
    fs::write(&spool, "").expect("a file in its place");

    let reply = client.get(&path::project_file(42, &file));
    assert!(right(&reply, &file, "nowhere to put it"), "{reply:?}");
    let line = ready(&larder);
    assert!(
        line.starts_with("degraded: the cache folder cannot be written for "),
        "{line}"
    );
    assert!(!line.contains("spool"), "a path in {line}");
    assert_eq!(degraded(&larder, "disk_failing"), Some(1.0));
    assert!(
        larder
            .metric("larder_store_failures_total")
            .is_some_and(|count| count >= 1.0)
    );
    larder.wait_for_log("proxied uncached");

    fs::remove_file(&spool).expect("it is there");
    fs::rename(&aside, &spool).expect("back again");
    eventually("it is found out that it works", || ready(&larder) == "ok\n");
    larder.wait_for_log("the cache folder can be written again");
    // At once, not when its rest would have been over.
    client.get(&path::project_file(42, &file)).expect(200);
    eventually("files are stored again", || {
        larder.metric("larder_store_blobs") == Some(1.0)
    });
}

#[test]
fn r35_a_file_that_does_not_fit_is_said_until_it_would_fit() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab)
        .setting("cache_size = \"1MiB\"")
        .start();
    let client = larder.client().token(token::READER);
    let (large, small) = (
        Artifact::noise("large", "1.0", 2_000_000),
        Artifact::noise("small", "1.0", 1_000),
    );
    gitlab.publish(42, &large);
    gitlab.publish(42, &small);
    assert!(right(
        &client.get(&path::project_file(42, &large)),
        &large,
        "passes through"
    ));
    assert_eq!(words(&larder), ["store_full"]);
    assert_eq!(degraded(&larder, "store_full"), Some(1.0));
    // A small one fits, and changes nothing for the large one.
    client.get(&path::project_file(42, &small)).expect(200);
    eventually("it is stored", || {
        larder.metric("larder_store_blobs") == Some(1.0)
    });
    assert_eq!(words(&larder), ["store_full"]);
    let text = fs::read_to_string(larder.config_file()).expect("its configuration");
    fs::write(larder.config_file(), text.replace("1MiB", "8MiB")).expect("a writable folder");
    larder.signal(Signal::HUP);
    eventually("the large one would fit", || ready(&larder) == "ok\n");
    client.get(&path::project_file(42, &large)).expect(200);
    eventually("it is stored", || {
        larder.metric("larder_store_blobs") == Some(2.0)
    });
}

#[test]
fn r35_a_credential_of_larders_own_that_is_refused_is_said_until_it_is_taken() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("token");
    // Revoked: 401. Without the scope: 403, and nothing was ever given for it.
    for dead in [token::REVOKED, token::NARROW] {
        fs::write(&secret, dead).expect("a writable folder");
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&format!("token_file = {secret:?}"))
            .start();
        assert_eq!(ready(&larder), "ok\n", "nobody has asked yet");
        for _ in 0..3 {
            assert_eq!(
                larder
                    .client()
                    .get(&path::project_page(42, "my-pkg"))
                    .status,
                502
            );
        }
        let told = json(&larder);
        let reason = &told["reasons"][0];
        assert_eq!(
            (&reason["reason"], &reason["upstream"]),
            (&"credential_refused".into(), &"gitlab".into())
        );
        assert!(
            reason["detail"]
                .as_str()
                .is_some_and(|words| words.contains("gitlab.token_file")),
            "{told}"
        );
        let refused = || larder.metric("larder_upstream_credential_refused{upstream=\"gitlab\"}");
        assert_eq!(
            (refused(), degraded(&larder, "credential_refused")),
            (Some(1.0), Some(1.0))
        );
        let line = "larder's own credential (token_file) is refused";
        larder.wait_for_log(line);
        assert_eq!(larder.log().matches(line).count(), 1, "{}", larder.log());
        fs::write(&secret, token::DEVELOPER).expect("a writable folder");
        larder.signal(Signal::HUP);
        eventually("GitLab takes it", || {
            larder
                .client()
                .get(&path::project_page(42, "my-pkg"))
                .status
                == 200
        });
        assert_eq!((ready(&larder).as_str(), refused()), ("ok\n", Some(0.0)));
    }
    // One that GitLab takes, and that sees no such project.
    fs::write(&secret, token::DEVELOPER).expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("token_file = {secret:?}"))
        .start();
    larder
        .client()
        .get(&path::project_page(42, "my-pkg"))
        .expect(200);
    larder.client().get(&path::project_page(999, "my-pkg"));
    assert_eq!(ready(&larder), "ok\n");
    // It dies, comes back by itself, and that is said as well.
    gitlab.change(|universe| universe.token_mut(token::DEVELOPER).state = TokenState::Expired);
    eventually("it is found out", || {
        larder.client().get(&path::project_page(42, "another"));
        words(&larder) == ["credential_refused"]
    });
    gitlab.change(|universe| universe.token_mut(token::DEVELOPER).state = TokenState::Active);
    eventually("and that it is over", || {
        larder.client().get(&path::project_index(42));
        ready(&larder) == "ok\n"
    });
    larder.wait_for_log("larder's own credential is taken again");
}

#[test]
fn r35_a_mirrors_credential_that_is_refused_is_said_in_the_same_words() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("public", "1.0").wheel();
    let index = PublicIndex::builder().offering(wheel).start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("token");
    fs::write(&secret, "dead").expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .mirror_with(
            "pypi",
            &index,
            &format!("token_file = {secret:?}\nttl = \"0s\""),
        )
        .start();
    index.plan(Act::Status(401).at(Kind::Page));
    larder.client().get("/pypi/simple/public/");
    assert_eq!(words(&larder), ["credential_refused"]);
    assert_eq!(
        larder.metric("larder_upstream_credential_refused{upstream=\"pypi\"}"),
        Some(1.0)
    );
    assert!(
        ready(&larder).contains("mirrors.pypi.token_file"),
        "{}",
        ready(&larder)
    );
    index.behave();
    larder.client().get("/pypi/simple/public/").expect(200);
    assert_eq!(ready(&larder), "ok\n");
    // Without a credential of larder's own a 401 is a word about the project.
    let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    index.plan(Act::Status(401).at(Kind::Page));
    larder.client().get("/pypi/simple/public/");
    assert_eq!(ready(&larder), "ok\n");
}

#[test]
fn r35_stale_pages_and_wrong_bodies_are_said() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 0")
        .sections("[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"")
        .start();
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("file", "1.0", 100_000);
    gitlab.publish(42, &file);
    client.get(&path::project_page(42, "file")).expect(200);
    gitlab.plan(Act::Flip { at: 50_000 }.at(Site::FileBody));
    for _ in 0..2 {
        client.get(&path::project_file(42, &file));
    }
    eventually("the address is left alone", || {
        words(&larder) == ["checksum_mismatches"]
    });
    assert!(larder.metric("larder_blocked_addresses") == Some(1.0));
    gitlab.stop();
    for _ in 0..9 {
        client.get(&path::project_page(42, "file")).expect(200);
    }
    eventually("nine are counted", || {
        let stale = "larder_requests_total{route=\"page\",cache=\"stale\",status=\"200\"}";
        larder.metric(stale) == Some(9.0)
    });
    assert_eq!(
        words(&larder),
        ["checksum_mismatches"],
        "a few are no state"
    );
    client.get(&path::project_page(42, "file")).expect(200);
    eventually("stale pages are said", || {
        words(&larder) == ["stale_pages", "checksum_mismatches"]
    });
    assert_eq!(degraded(&larder, "stale_pages"), Some(1.0));
}
