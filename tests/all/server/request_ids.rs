//! One name for a request, in the answer, in larder's log, and in GitLab's.

use crate::common::delivery::eventually;
use crate::support::{
    Act, Answer, Artifact, Entry, GitLab, Kind, Larder, PublicIndex, Reply, Site, Storage, path,
    token,
};

fn id(reply: &Reply) -> String {
    let ids = reply.headers_named("X-Request-Id");
    assert_eq!(ids.len(), 1, "{reply:?}");
    ids[0].to_owned()
}

fn sent(entry: &Entry) -> Option<&str> {
    entry.head.header("X-Request-Id")
}

/// The line of the request that was given this id.
fn line(larder: &Larder, id: &str) -> String {
    larder.wait_for_log(&format!(" id={id}"));
    let log = larder.log();
    log.lines()
        .find(|line| line.contains(&format!(" id={id}")))
        .expect("it was waited for")
        .to_owned()
}

#[test]
fn every_answer_carries_a_name_of_its_own_that_the_log_has_too() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).every_request_logged().start();
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "my-pkg");
    let etag = client.get(&page).header("ETag").expect("a tag").to_owned();
    let replies = [
        client.get(&page),
        client.get(&page),
        client.head(&page),
        client.get_if_none_match(&page, &etag),
        client.get("/nowhere"),
        client.request("DELETE", &page, &[]),
        larder.client().get(&page),
        larder.client().get("/-/health/live"),
        larder.client().get("/-/metrics"),
    ];
    let ids: std::collections::BTreeSet<String> = replies.iter().map(id).collect();
    assert_eq!(ids.len(), replies.len(), "a name comes twice");
    for reply in &replies {
        let id = id(reply);
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(line(&larder, &id).contains(&format!("status={}", reply.status)));
        if reply.header("Content-Type") == Some("application/problem+json") {
            let problem: serde_json::Value =
                serde_json::from_slice(&reply.body).expect("it is JSON");
            assert_eq!(problem["request_id"], id.as_str());
        }
    }
    assert_eq!(
        replies[4].header("Content-Type"),
        Some("application/problem+json")
    );
}

#[test]
fn a_clients_own_name_goes_all_the_way_but_not_to_the_object_store() {
    let gitlab = GitLab::builder().storage(Storage::Redirect).start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab).mirror("public", &index).start();
    let client = larder.client().token(token::DEVELOPER);
    let file = Artifact::noise("file", "1.0", 50_000);
    gitlab.publish(42, &file);
    let named = |name| [("X-Request-Id", name)];
    for (name, address) in [
        ("job-17/page", path::project_page(42, "file")),
        ("job-17/file", path::project_file(42, &file)),
        (
            "job-17/none",
            "/public/simple/nothing-of-this-name/".to_owned(),
        ),
    ] {
        let reply = client.get_with(&address, &named(name));
        assert_eq!(id(&reply), name);
        line(&larder, name);
    }
    let ids = |kind| {
        gitlab
            .log()
            .of(kind)
            .iter()
            .map(|entry| sent(entry).map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Kind::Page), [Some("job-17/page".to_owned())]);
    assert_eq!(ids(Kind::File), [Some("job-17/file".to_owned())]);
    assert_eq!(ids(Kind::Object), [None], "the object store was told");
    assert!(
        index
            .log()
            .entries()
            .iter()
            .all(|entry| sent(entry) == Some("job-17/none"))
    );
    assert!(!index.log().is_empty());
    // An upload has one too.
    client.post(
        &path::upload(42),
        "multipart/form-data; boundary=x",
        b"--x--\r\n",
    );
    let upload = gitlab.log().last(Kind::Upload);
    assert!(sent(&upload).is_some_and(|id| id.len() == 32), "{upload:?}");
}

#[test]
fn a_name_that_could_do_harm_is_not_taken_over() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).every_request_logged().start();
    let long = "a".repeat(129);
    for given in ["", "a b", "a\"b", "{}", "a;b", "caf\u{e9}", long.as_str()] {
        let reply = larder
            .client()
            .get_with("/-/health/live", &[("X-Request-Id", given)]);
        let id = id(&reply);
        assert!(id != given && id.len() == 32, "{given:?} became {id:?}");
    }
    let twice = [("X-Request-Id", "one"), ("X-Request-Id", "two")];
    assert_eq!(
        id(&larder.client().get_with("/-/health/live", &twice)).len(),
        32
    );
}

#[test]
fn gitlabs_own_name_is_in_the_log_and_the_answer_keeps_the_callers() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).every_request_logged().start();
    let client = larder.client().token(token::READER);
    gitlab.plan(Act::Answer(Answer::forbidden().header("X-Request-Id", "01HXYZ")).at(Kind::Page));
    let reply = client.get_with(
        &path::project_page(42, "my-pkg"),
        &[("X-Request-Id", "mine")],
    );
    assert_eq!((reply.status, id(&reply).as_str()), (403, "mine"));
    let line = line(&larder, "mine");
    assert!(line.contains(" upstream_id=01HXYZ"), "{line}");
    // What is answered from memory was asked of nobody.
    gitlab.behave();
    client.get(&path::project_page(42, "my-pkg")).expect(200);
    let hit = id(&client.get(&path::project_page(42, "my-pkg")));
    let line = self::line(&larder, &hit);
    assert!(
        !line.contains("upstream_id") && !line.contains("shared_id"),
        "{line}"
    );
}

#[test]
fn who_reads_along_tells_whose_download_it_is() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab).every_request_logged().start();
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("shared", "1.0", 300_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    let gate = gitlab.hold(Site::FileBody, 100_000);
    let leader = client.start("GET", &address, &[("X-Request-Id", "leader")]);
    gate.wait_for(1);
    let joiner = client.start("GET", &address, &[("X-Request-Id", "joiner")]);
    eventually("it boards", || {
        larder.metric("larder_downloads_collapsed_total") == Some(1.0)
    });
    gate.open();
    for reader in [leader, joiner] {
        reader.finish().expect(200);
    }
    let joined = line(&larder, "joiner");
    assert!(
        joined.contains("cache=collapsed") && joined.contains(" shared_id=leader"),
        "{joined}"
    );
    assert!(!line(&larder, "leader").contains("shared_id"));
    let asked = gitlab.log().of(Kind::File);
    let bodies: Vec<_> = asked
        .iter()
        .filter(|entry| entry.is_file_body())
        .map(sent)
        .collect();
    assert_eq!(bodies, [Some("leader")], "the transfer is the first one's");
}
