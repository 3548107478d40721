//! R16: what is asked again, how often, when, and over which connection.

use std::time::Duration;

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, Entry, GitLab, Kind, Larder, Reply, Site, Storage,
    path, token,
};

const MODES: [Storage; 3] = [Storage::Disk, Storage::Redirect, Storage::Proxied];

/// An address whose answer needs GitLab, and the kind of request that it causes.
struct Read {
    path: String,
    kind: Kind,
}

/// Every kind of read there is, for a file that is not stored yet.
fn reads(file: &Artifact) -> Vec<Read> {
    let read = |path: String, kind| Read { path, kind };
    vec![
        read(path::project_index(42), Kind::Index),
        read(path::project_page(42, "big"), Kind::Page),
        read(path::group_page(7, "big"), Kind::Page),
        read(path::project_file(42, file), Kind::File),
        read(path::group_file(7, file), Kind::File),
    ]
}

fn start(storage: Storage) -> (GitLab, Artifact, Larder, Client) {
    let gitlab = GitLab::builder().storage(storage).start();
    let file = Distribution::new("big", "1.0").payload(50_000).wheel();
    gitlab.publish(42, &file);
    let larder = Larder::start(&gitlab);
    let client = larder
        .client()
        .token(token::READER)
        .patience(Duration::from_secs(15));
    (gitlab, file, larder, client)
}

/// Requests of this kind, oldest first.
fn asked(gitlab: &GitLab, kind: Kind) -> Vec<Entry> {
    gitlab.log().of(kind)
}

#[test]
fn r16_a_short_retry_after_is_waited_out() {
    let (_, file, ..) = start(Storage::Disk);
    // Each case waits for most of its time, so they wait together.
    std::thread::scope(|scope| {
        for Read { path, kind } in reads(&file) {
            for (method, answer) in [
                ("GET", Answer::throttled(1)),
                ("HEAD", Answer::throttled(1)),
                ("GET", Answer::html(503).header("Retry-After", "1")),
            ] {
                let path = path.clone();
                scope.spawn(move || waits_out_retry_after(method, &path, kind, answer));
            }
        }
    });
}

fn waits_out_retry_after(method: &str, path: &str, kind: Kind, answer: Answer) {
    let case = format!("{method} {path}, {}", answer.status);
    let (gitlab, _, larder, client) = start(Storage::Disk);
    gitlab.plan(Act::Answer(answer).at(kind).once());

    let reply = client.request(method, path, &[]);

    assert!(
        reply.status == 200 && reply.is_complete(),
        "{case}: {reply:?}\n{}",
        larder.log()
    );
    let entries = asked(&gitlab, kind);
    assert_eq!(entries.len(), 2, "{case}");
    let pause = entries[1].at - entries[0].at;
    assert!(
        pause >= Duration::from_millis(990),
        "{case}: asked again after {pause:?} already"
    );
}

#[test]
fn r16_a_long_retry_after_goes_to_the_client_as_it_came_and_is_kept_for_it() {
    for storage in MODES {
        let (_, file, ..) = start(storage);
        let core_metadata = format!("{}.metadata", path::project_file(42, &file));
        let reads: Vec<String> = reads(&file).into_iter().map(|read| read.path).collect();
        for first in reads.iter().chain([&core_metadata]) {
            let (gitlab, _, larder, client) = start(storage);
            let throttled = Answer::throttled(600);
            gitlab.set(|settings| settings.throttle = Some(600));

            let reply: Reply = client.get(first);

            assert!(
                reply.status == 429 && reply.is_complete(),
                "{storage:?} {first}: {reply:?}"
            );
            assert_eq!(reply.body, b"Retry later", "{storage:?} {first}");
            for (name, value) in &throttled.headers {
                assert_eq!(
                    reply.headers_named(name),
                    [value],
                    "{first}: {name} in {reply:?}"
                );
            }
            assert_eq!(gitlab.log().len(), 1, "{storage:?} {first}: asked again");
            if *first == core_metadata {
                continue;
            }
            // Until then this caller is told so without a question, whatever it wants.
            for (address, method, range) in reads.iter().flat_map(|read| {
                [
                    (read, "GET", None),
                    (read, "HEAD", None),
                    (read, "GET", Some("bytes=0-99")),
                ]
            }) {
                let case = format!("{storage:?} {method} {address} {range:?} after {first}");
                let headers: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
                let reply: Reply = client.request(method, address, &headers);
                assert!(
                    reply.status == 429 && reply.is_complete(),
                    "{case}: {reply:?}"
                );
                let wait: u64 = reply
                    .header("Retry-After")
                    .and_then(|wait| wait.parse().ok())
                    .unwrap_or(0);
                assert!((540..=600).contains(&wait), "{case}: {wait}");
                for (name, value) in throttled
                    .headers
                    .iter()
                    .filter(|(name, _)| name != "Retry-After")
                {
                    assert_eq!(
                        reply.headers_named(name),
                        [value],
                        "{case}: {name} in {reply:?}"
                    );
                }
            }
            assert_eq!(
                gitlab.log().len(),
                1,
                "{storage:?} {first}: asked in between"
            );
            // Nobody else is; and a throttled answer is nobody's page.
            gitlab.set(|settings| settings.throttle = None);
            let other = larder.client().token(token::DEVELOPER);
            assert_eq!(
                other.get(&path::project_file(42, &file)).expect(200),
                &file.bytes[..],
                "{storage:?}"
            );
        }
    }
}

#[test]
fn r16_a_retry_after_as_a_date_and_none_at_all_are_understood() {
    let (gitlab, _, larder, client) = start(Storage::Disk);
    let page = path::project_page(42, "big");
    let throttled = |after: Option<&str>| {
        let answer = Answer::new(429)
            .header("Content-Type", "text/plain")
            .body("Retry later");
        match after {
            Some(after) => answer.header("Retry-After", after),
            None => answer,
        }
    };
    // A date long past is a wait of nothing; one far ahead, a word, or none is for the client. Once
    // there is a page it would stand in for the caller to whom it was shown: the last one is
    // another.
    let other = larder.client().token(token::DEVELOPER);
    for (client, after, requests) in [
        (&client, Some("soon"), 1),
        (&client, None, 1),
        (&client, Some("Tue, 02 Jan 2024 03:04:05 GMT"), 2),
        (&other, Some("Fri, 02 Jan 2099 03:04:05 GMT"), 1),
    ] {
        gitlab.log().clear();
        gitlab.plan(Act::Answer(throttled(after)).at(Kind::Page).once());
        let reply = client.get_with(&page, &[("Cache-Control", "no-cache")]);
        assert_eq!(
            asked(&gitlab, Kind::Page).len(),
            requests,
            "{after:?}: {reply:?}"
        );
        assert_eq!(
            reply.status,
            if requests == 2 { 200 } else { 429 },
            "{after:?}: {reply:?}"
        );
        gitlab.behave();
    }
}

/// One kind of read through every failure, once to three times. Its own GitLab and larder, because
/// most of the time goes into the pauses.
fn fails_and_is_tried_again(storage: Storage, pick: impl Fn(&Artifact) -> Read) {
    let (gitlab, file, _larder, client) = start(storage);
    let Read { path, kind } = pick(&file);
    // A connection in the pool, so that the first try is on one that served before.
    client.get(&path::project_page(42, "my-pkg")).expect(200);
    let acts = [
        ("502", Act::Status(502)),
        ("503", Act::Status(503)),
        ("504", Act::Status(504)),
        ("closed without an answer", Act::CutHead { after: 0 }),
        ("closed within the head", Act::CutHead { after: 15 }),
    ];
    let mut round = 0;
    for (word, act) in &acts {
        for failures in 1..=3 {
            let case = format!("{storage:?} {path} ({kind:?}), {word} × {failures}");
            round += 1;
            // Not stored yet in the first place, and asked about in any case.
            let fresh = Artifact::noise("big", &format!("1.{round}"), 5_000);
            gitlab.publish(42, &fresh);
            let address = path
                .replace(&file.sha256, &fresh.sha256)
                .replace(&file.filename, &fresh.filename);
            gitlab.log().clear();
            let planned = gitlab.plan(act.clone().at(kind).times(failures));

            let reply = client.get_with(&address, &[("Cache-Control", "no-cache")]);

            let entries = asked(&gitlab, kind);
            assert!(reply.is_complete(), "{case}: {reply:?}");
            assert_eq!(entries.len(), failures.min(2) as usize + 1, "{case}");
            for pair in entries.windows(2) {
                assert_ne!(
                    pair[0].connection, pair[1].connection,
                    "{case}: again on the same connection"
                );
            }
            let told = reply.header("Cache-Status").unwrap_or_default();
            if failures < 3 {
                assert!(
                    reply.status == 200 && !told.contains("detail=stale"),
                    "{case}: {reply:?}"
                );
            } else if matches!(kind, Kind::Page | Kind::Index) {
                // The page from before, to a caller whose right stands.
                assert!(
                    reply.status == 200 && told.contains("detail=stale"),
                    "{case}: {reply:?}"
                );
            } else {
                assert_eq!(
                    reply.header("Content-Type"),
                    Some("application/problem+json"),
                    "{case}"
                );
                assert!(matches!(reply.status, 502 | 504), "{case}: {reply:?}");
            }
            planned.remove();
        }
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r16_a_read_that_failed_is_tried_twice_more_each_time_on_a_new_connection() {
    std::thread::scope(|scope| {
        let mut cases = Vec::new();
        for read in 0..5 {
            cases.push(scope.spawn(move || {
                fails_and_is_tried_again(Storage::Disk, |file| reads(file).swap_remove(read));
            }));
        }
        for (storage, kind) in [
            (Storage::Proxied, Kind::File),
            (Storage::Redirect, Kind::File),
            (Storage::Redirect, Kind::Object),
        ] {
            cases.push(scope.spawn(move || {
                fails_and_is_tried_again(storage, |file| Read {
                    path: path::project_file(42, file),
                    kind,
                });
            }));
        }
        for case in cases {
            case.join()
                .unwrap_or_else(|why| std::panic::resume_unwind(why));
        }
    });
}

#[test]
fn r16_an_answer_that_is_no_failure_of_the_moment_is_taken_as_it_is() {
    let (gitlab, file, _larder, client) = start(Storage::Disk);
    for Read { path, kind } in reads(&file) {
        for status in [400, 401, 403, 404, 409, 410, 451, 500, 501] {
            gitlab.log().clear();
            let planned = gitlab.plan(Act::Status(status).at(kind));
            let reply = client.get_with(&path, &[("Cache-Control", "no-cache")]);
            assert_eq!(
                asked(&gitlab, kind).len(),
                1,
                "{path} {status}: asked again; {reply:?}"
            );
            let wanted = if status < 500 { status } else { 502 };
            assert!(
                reply.status == wanted && reply.is_complete(),
                "{path} {status}: {reply:?}"
            );
            planned.remove();
        }
    }
}

#[test]
fn r16_nothing_else_is_asked_while_a_retry_waits_and_nothing_after_it() {
    // Ten readers of one page: the retries are the load's, not each reader's.
    let (gitlab, _, _larder, client) = start(Storage::Disk);
    let page = path::project_page(42, "big");
    client.get(&page).expect(200);
    gitlab.log().clear();
    gitlab.plan(Act::Status(503).at(Kind::Page).times(2));
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let (client, page) = (client.clone(), page.clone());
            std::thread::spawn(move || {
                client
                    .get_with(&page, &[("Cache-Control", "no-cache")])
                    .status
            })
        })
        .collect();
    let statuses: Vec<u16> = readers
        .into_iter()
        .map(|reader| reader.join().expect("no panic"))
        .collect();
    assert_eq!(statuses, [200; 10]);
    // Those who came after the load had landed ask once more each; nobody multiplies the failures.
    let failed = asked(&gitlab, Kind::Page)
        .iter()
        .filter(|entry| entry.status == Some(503))
        .count();
    assert_eq!(failed, 2);
}

#[test]
fn r16_an_upload_is_never_sent_again() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::DEVELOPER);
    // So that there is a pool, and a connection in it that GitLab has closed by now.
    client.get(&path::project_page(42, "my-pkg")).expect(200);
    let kind = "multipart/form-data; boundary=x";
    let body =
        b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--x--\r\n".repeat(100);
    for (word, act) in [
        ("429 with a short wait", Act::Answer(Answer::throttled(0))),
        ("429", Act::Answer(Answer::throttled(1))),
        ("502", Act::Status(502)),
        ("503", Act::Status(503)),
        (
            "503 with a wait",
            Act::Answer(Answer::html(503).header("Retry-After", "0")),
        ),
        ("504", Act::Status(504)),
        ("closed without an answer", Act::CutHead { after: 0 }),
        ("reset", Act::ResetUpload { after: 0 }),
    ] {
        gitlab.log().clear();
        let planned = gitlab.plan(act.at(Kind::Upload));
        let reply = client.post(&path::upload(42), kind, &body);
        assert!(
            reply.is_complete() && reply.status >= 400,
            "{word}: {reply:?}"
        );
        // A request of our own has come and gone since, so a late second POST would be in the log.
        client
            .get_with(
                &path::project_page(42, "my-pkg"),
                &[("Cache-Control", "no-cache")],
            )
            .expect(200);
        assert_eq!((gitlab.log().posts(), planned.hits()), (1, 1), "{word}");
        planned.remove();
    }
}

#[test]
fn r16_a_gitlab_that_is_away_is_answered_for_at_once_and_found_again() {
    let (gitlab, file, _larder, client) = start(Storage::Disk);
    gitlab.stop();
    for Read { path, .. } in reads(&file) {
        let reply = client.get(&path);
        assert!(
            reply.status == 504 && reply.is_complete(),
            "{path}: {reply:?}"
        );
        let text = format!("{reply:?}");
        assert!(
            !text.contains(&gitlab.address().to_string()),
            "{path}: upstream's address in {text}"
        );
    }
    gitlab.resume();
    // So many failures in a row have it left alone; the first pause is the shortest.
    std::thread::sleep(Duration::from_secs(1));
    for Read { path, .. } in reads(&file) {
        client.get(&path).expect(200);
    }
}

#[test]
fn r16_a_gitlab_that_fails_is_left_alone_and_one_read_finds_out_when_it_is_well() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 3")
        .start();
    let client = larder.client().token(token::DEVELOPER);
    let page = path::project_page(42, "my-pkg");
    let looks_well = || {
        let ready = client.get("/-/health/ready").text();
        let resting = larder.metric("larder_upstream_circuit_open{upstream=\"gitlab\"}");
        match (ready.as_str(), resting) {
            ("ok\n", Some(0.0)) => true,
            (told, Some(1.0)) if told.starts_with("degraded: cannot reach gitlab for ") => false,
            told => panic!("readiness and metric say {told:?}"),
        }
    };
    assert!(looks_well());
    gitlab.plan(Act::Status(502).at(Site::Anywhere));
    for _ in 0..3 {
        assert_eq!(client.get(&page).status, 502);
    }
    assert_eq!(gitlab.log().len(), 3);
    assert!(!looks_well(), "degraded, and it does not say so");
    let reply = client.get(&page);
    assert!(
        reply.status == 504 && reply.text().contains("next try in 1s"),
        "{reply:?}"
    );
    assert_eq!(gitlab.log().len(), 3, "asked while it rests");
    // An upload is the caller's to risk.
    let reply = client.post(
        &path::upload(42),
        "multipart/form-data; boundary=x",
        b"--x--\r\n",
    );
    assert_eq!((reply.status, gitlab.log().posts()), (502, 1), "{reply:?}");
    // One read goes and fails; the next pause is longer.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(client.get(&page).status, 502);
    assert_eq!(client.get(&page).status, 504);
    assert_eq!(gitlab.log().len(), 5);
    gitlab.behave();
    std::thread::sleep(Duration::from_secs(2));
    client.get(&page).expect(200);
    client.get(&path::project_index(42)).expect(200);
    assert!(looks_well());
}

#[test]
fn r16_the_number_of_retries_is_the_operators() {
    for retries in [0, 1] {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&format!("retries = {retries}"))
            .start();
        let client = larder.client().token(token::READER);
        gitlab.plan(Act::Status(502).at(Site::Anywhere));
        assert_eq!(client.get(&path::project_page(42, "my-pkg")).status, 502);
        assert_eq!(gitlab.log().len(), retries + 1);
    }
}
