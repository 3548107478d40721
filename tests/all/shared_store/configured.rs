//! What an operator is told of the shared store, and that without one nothing of it is there.

use crate::common::delivery::patiently;
use crate::common::fleet::{came_shared, uploaded};
use crate::support::{
    Distribution, Engine, FaultyRelay, Fleet, GitLab, Larder, RelayFault, path, token,
};

fn said(output: &std::process::Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn without_a_url_there_is_nothing_of_it() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let larder = Larder::start(&gitlab);
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    assert_eq!(larder.metric("larder_shared_store_queue"), None);
    assert!(!larder.cache_dir().join("shared-uploads").exists());
    let status = larder
        .client()
        .get_with("/-/status", &[("Accept", "application/json")]);
    assert_eq!(status.json()["shared_store"], serde_json::Value::Null);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_every_key_named() {
    let gitlab = GitLab::start();
    let said = Larder::builder(&gitlab)
        .sections("[shared_store]\nurl = \"wheels\"\npart_size = \"1MiB\"")
        .start_in_vain();
    for part in [
        "shared_store.url",
        "shared_store.fleet_key_file",
        "shared_store.part_size",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let missing = Larder::builder(&gitlab)
        .sections("[shared_store]\nurl = \"s3://wheels\"\nfleet_key_file = \"/nonexistent/key\"")
        .start_in_vain();
    assert!(missing.contains("shared_store.fleet_key_file"), "{missing}");
}

#[test]
fn doctor_explain_and_the_status_know_it_and_no_secret_is_shown() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("demo", "1.0").payload(20_000).wheel();
    gitlab.publish(42, &wheel);
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), "");
    let larder = member.start();
    let file = path::project_file(42, &wheel);
    larder.client().token(token::READER).get(&file).expect(200);
    patiently("it is uploaded", || fleet.bucket.keys().len() == 3);

    let doctor = said(&larder.command(&["doctor"]));
    assert!(
        doctor.contains("shared_store: bucket: an object can be written"),
        "{doctor}"
    );
    assert_eq!(fleet.bucket.keys().len(), 3, "doctor leaves nothing");
    let explained = said(&larder.command(&["explain", &file]));
    assert!(explained.contains("shared_store.url"), "{explained}");
    let shown = said(&larder.command(&["config", "show"]));
    assert!(
        shown.contains("[shared_store]") || shown.contains("shared_store."),
        "{shown}"
    );
    let checked = larder.command(&["check-config"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let status = larder
        .client()
        .get_with("/-/status", &[("Accept", "application/json")]);
    assert_eq!(
        status.json()["shared_store"]["uploaded"],
        1,
        "{}",
        status.text()
    );
    for text in [&doctor, &explained, &shown, &status.text(), &larder.log()] {
        assert!(!text.contains("test-secret-access-key"), "{text}");
        assert!(!text.contains("0123456789abcdef0123456789abcdef"), "{text}");
    }

    for (n, (status, code, word)) in [
        ("404 Not Found", "NoSuchBucket", "there is no bucket"),
        ("403 Forbidden", "AccessDenied", "larder may not read"),
        ("400 Bad Request", "", "shared_store.region"),
        ("301 Moved Permanently", "", "shared_store.region"),
    ]
    .into_iter()
    .enumerate()
    {
        let body: &'static str = match code {
            "NoSuchBucket" => "<Error><Code>NoSuchBucket</Code></Error>",
            _ => "<Error><Code>AccessDenied</Code></Error>",
        };
        relay.fails(RelayFault::Answers { status, body });
        let doctor = said(&larder.command(&["doctor"]));
        assert!(doctor.contains(word), "{doctor}");
        let cold = Distribution::new("demo", &format!("2.{n}"))
            .payload(20_000)
            .wheel();
        gitlab.publish(42, &cold);
        let reader = larder.client().token(token::READER);
        reader.get(&path::project_file(42, &cold)).expect(200);
        let ready = larder.client().get("/-/health/ready").text();
        assert!(ready.contains("the shared store"), "{word}: {ready}");
        assert!(
            ready.contains("files come from upstream meanwhile"),
            "{ready}"
        );
        assert_eq!(
            ready.contains("shared_store.region"),
            word.contains("region"),
            "{ready}"
        );
        relay.fails(RelayFault::None);
        patiently("it is well again", || {
            larder
                .client()
                .get("/-/health/ready")
                .text()
                .starts_with("ok")
        });
    }
}

#[test]
fn a_store_that_takes_no_uploads_is_read_all_the_same_and_said_so() {
    let gitlab = GitLab::start();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let [known, new] = ["known", "new"].map(|name| {
        let wheel = Distribution::new(name, "1.0").payload(20_000).wheel();
        gitlab.publish(42, &wheel);
        wheel
    });
    let filler = fleet.member(Larder::builder(&gitlab)).start();
    let reader = filler.client().token(token::READER);
    reader.get(&path::project_file(42, &known)).expect(200);
    uploaded(&filler, 1.0);
    let relay = FaultyRelay::start(fleet.bucket.address);
    let status = "403 Forbidden";
    relay.fails(RelayFault::RefusesLonger { than: 0, status });
    let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), "");
    let larder = member.start();
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &new)).expect(200);
    let ready = || larder.client().get("/-/health/ready").text();
    patiently("the refusal is said", || {
        ready().contains("takes no uploads")
    });
    let said = ready();
    assert!(said.contains("it is read all the same"), "{said}");
    assert!(!said.contains("come from upstream"), "{said}");
    assert!(!larder.log().contains("files come from upstream"));
    reader.get(&path::project_file(42, &known)).expect(200);
    came_shared(&larder, 1.0);
    relay.fails(RelayFault::None);
    patiently("it is well again", || ready().starts_with("ok"));
}

#[test]
fn doctor_finds_nothing_wrong_with_a_larder_that_may_only_read() {
    let gitlab = GitLab::start();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let relay = FaultyRelay::start(fleet.bucket.address);
    let status = "403 Forbidden";
    relay.fails(RelayFault::RefusesLonger { than: 0, status });
    for (lines, word, is_fine) in [
        ("", "may read s3://larder", false),
        (
            "concurrent_writes = 0",
            "can be read; this larder writes nothing",
            true,
        ),
    ] {
        let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), lines);
        let larder = member.start();
        let text = said(&larder.command(&["doctor"]));
        assert!(text.contains(word), "{text}");
        let is_problem = text.contains("problem  shared_store: bucket");
        assert_eq!(is_problem, !is_fine, "{text}");
    }
}

#[test]
fn secrets_that_every_user_can_read_are_named() {
    let gitlab = GitLab::start();
    let fleet = Fleet::new(Engine::SeaweedFs);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let section = fleet.bucket.section(None, folder.path(), "");
    for (name, mode) in [("s3-id", 0o644), ("s3-secret", 0o600), ("fleet-key", 0o644)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(folder.path().join(name), mode).expect("a file of ours");
    }
    let larder = Larder::builder(&gitlab).sections(&section).start();
    for command in ["check-config", "doctor"] {
        let text = said(&larder.command(&[command]));
        let open = "shared_store.fleet_key_file: every user of this machine can read";
        assert!(text.contains(open), "{text}");
        assert_eq!(
            text.matches("every user of this machine").count(),
            1,
            "{text}"
        );
    }
}
