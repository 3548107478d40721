//! Who gets stored bytes: GitLab's own word about this very caller, hit or miss.

use std::time::{Duration, Instant};

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, NewFile, Place, Reply, Role,
    Site, Storage, StoreListing, Token, TokenKind, TokenState, Visibility, path, token,
};

pub const STORAGES: [Storage; 3] = [Storage::Disk, Storage::Redirect, Storage::Proxied];
/// Nothing expires by itself while a test runs.
pub const LASTING: &str = "[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"300s\"";

fn wheel() -> Artifact {
    Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel()
}

fn gear() -> Artifact {
    Distribution::new("gear", "0.3").wheel()
}

pub fn big() -> Artifact {
    Distribution::new("big", "1.0").payload(300_000).wheel()
}

/// Every address under which content of project 42 is served.
fn addresses() -> Vec<String> {
    let wheel = wheel();
    let named = |path: String| path.replace("projects/42", "projects/acme%2Fwidgets");
    vec![
        path::project_index(42),
        path::project_page(42, "my-pkg"),
        path::project_page(42, "my-pkg")
            .trim_end_matches('/')
            .to_owned(),
        named(path::project_page(42, "my-pkg")),
        path::project_file(42, &wheel),
        named(path::project_file(42, &wheel)),
        path::group_index(7),
        path::group_page(7, "my-pkg"),
        path::group_page(7, "my-pkg").replace("groups/7", "groups/acme"),
        path::group_file(7, &wheel),
    ]
}

/// Every way to ask for one of them, given the entity tag under which larder holds it.
pub fn ways(etag: &str) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let (etag, range) = (etag.to_owned(), "bytes=0-9".to_owned());
    vec![
        ("GET", vec![]),
        ("HEAD", vec![]),
        ("GET", vec![("Range", range.clone())]),
        ("GET", vec![("If-None-Match", etag.clone())]),
        ("GET", vec![("If-None-Match", "*".to_owned())]),
        ("HEAD", vec![("If-None-Match", etag.clone())]),
        ("GET", vec![("Range", range), ("If-Range", etag)]),
        (
            "GET",
            vec![
                ("Cache-Control", "no-cache".to_owned()),
                ("Accept-Encoding", "gzip".to_owned()),
            ],
        ),
    ]
}

/// Everybody whom GitLab turns away from project 42 and group 7.
pub fn outsiders(bare: &Client) -> Vec<(&'static str, Client)> {
    let bare = || bare.clone();
    vec![
        ("anonymous", bare()),
        ("stranger", bare().token(token::STRANGER)),
        (
            "stranger, PRIVATE-TOKEN",
            bare().private_token(token::STRANGER),
        ),
        ("expired", bare().token(token::EXPIRED)),
        ("revoked", bare().private_token(token::REVOKED)),
        ("narrow scope", bare().token(token::NARROW)),
        ("guest of an old release", bare().token(token::GUEST)),
        ("dead job token", bare().job_token("dead")),
        ("unknown Basic", bare().token("nobody-knows")),
        ("unknown Bearer", bare().bearer("nobody-knows")),
        (
            "unknown PRIVATE-TOKEN",
            bare().private_token("nobody-knows"),
        ),
        ("unknown Deploy-Token", bare().deploy_token("nobody-knows")),
        (
            "the right token as a job token",
            bare().job_token(token::READER),
        ),
        (
            "the right token in a header of no meaning",
            bare().header("JOB-TOKEN", token::JOB),
        ),
    ]
}

pub fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// Headers that stay the same from one connection and one second to the next.
fn lasting_headers(reply: &Reply) -> Vec<(String, String)> {
    let fleeting = ["date", "connection", "x-request-id"];
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    headers.retain(|(name, _)| !fleeting.contains(&name.as_str()));
    headers.sort();
    headers
}

/// All that a caller can tell two answers apart by; the id of a request is random.
pub fn look(reply: &Reply) -> (u16, String, Vec<(String, String)>, String) {
    let text = reply
        .text()
        .replace(reply.header("X-Request-Id").unwrap_or("none"), "ID");
    (
        reply.status,
        reply.reason.clone(),
        lasting_headers(reply),
        text,
    )
}

#[track_caller]
pub fn assert_is_gitlabs_word(case: &str, reply: &Reply, word: &Reply) {
    assert!(reply.is_complete(), "{case}: {reply:?}");
    assert_eq!(
        (reply.status, reply.text()),
        (word.status, word.text()),
        "{case}: {reply:?}"
    );
    let mut headers = lasting_headers(reply);
    headers.retain(|(name, _)| name != "cache-status");
    assert_eq!(
        headers,
        lasting_headers(word),
        "{case}: headers are not GitLab's"
    );
}

/// Fills larder with all addresses, as this caller, and gives their entity tags.
pub fn warm(client: &Client) -> Vec<(String, String)> {
    let etag = |address: String| {
        let reply = client.get(&address);
        reply.expect(200);
        let etag = reply
            .header("ETag")
            .expect("stored answers carry one")
            .to_owned();
        (address, etag)
    };
    addresses().into_iter().map(etag).collect()
}

pub fn upstream_since(gitlab: &GitLab, before: usize) -> usize {
    gitlab.log().len() - before
}

fn status(client: &Client, path: &str) -> u16 {
    client.get(path).status
}

#[test]
fn r22_whoever_never_was_entitled_gets_gitlabs_own_refusal_from_warm_content() {
    for storage in STORAGES {
        let gitlab = GitLab::builder()
            .storage(storage)
            .set(|settings| settings.guest_pull = false)
            .start();
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let reader = larder.client().token(token::READER);
        let held = warm(&reader);
        let through = outsiders(&larder.client());
        let direct = outsiders(&Client::new(gitlab.address()));
        for ((who, larder), (_, gitlab)) in through.iter().zip(&direct) {
            for (address, etag) in &held {
                if storage != Storage::Disk && !address.contains("/files/") {
                    continue;
                }
                for (method, headers) in ways(etag) {
                    let case = format!("{storage:?}: {who}: {method} {address} {headers:?}");
                    let reply = larder.request(method, address, &borrowed(&headers));
                    let word = gitlab.request(method, address, &[]);
                    assert!(
                        (400..500).contains(&word.status),
                        "{case}: GitLab would let him in: {word:?}"
                    );
                    assert_is_gitlabs_word(&case, &reply, &word);
                }
            }
        }
        // All of it was there all the time, and still is for those who may.
        let before = gitlab.log().len();
        for (address, _) in &held {
            reader.get(address).expect(200);
        }
        assert_eq!(
            upstream_since(&gitlab, before),
            0,
            "{storage:?}: the content was not warm"
        );
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r22_a_right_ends_within_its_time_while_it_is_in_constant_use() {
    let grant = Duration::from_secs(2);
    let settings = "[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"2s\"";
    type Withdrawal = (&'static str, u16, fn(&GitLab));
    let withdrawals: [Withdrawal; 2] = [
        ("revoked token", 401, |gitlab| gitlab.revoke(token::READER)),
        ("ended membership", 404, |gitlab| {
            gitlab.change(|universe| universe.withdraw(token::READER, Place::Group(7)));
        }),
    ];
    for (case, refusal, withdraw) in withdrawals {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).sections(settings).start();
        let reader = larder.client().token(token::READER);
        warm(&reader);
        // Every word was given before now, and none counts longer than this.
        let end = Instant::now() + grant;
        withdraw(&gitlab);
        let mut open = addresses();
        while !open.is_empty() {
            open.retain(|address| {
                let sent = Instant::now();
                let reply = reader.get(address);
                if reply.status == 200 {
                    assert!(
                        sent < end,
                        "{case}: {address} is served {:?} too late",
                        sent - end
                    );
                    return true;
                }
                assert_eq!(reply.status, refusal, "{case}: {address}: {reply:?}");
                false
            });
        }
        for address in addresses() {
            assert_eq!(
                status(&reader, &address),
                refusal,
                "{case}: {address} came back"
            );
        }
    }
}

#[test]
fn r22_a_grant_of_no_time_asks_each_time() {
    for storage in STORAGES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::builder(&gitlab)
            .sections("[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"0s\"")
            .start();
        let reader = larder.client().token(token::READER);
        warm(&reader);
        let bodies = gitlab.log().file_bodies().transfers;
        for address in addresses() {
            for _ in 0..2 {
                let before = gitlab.log().len();
                reader.get(&address).expect(200);
                assert_eq!(upstream_since(&gitlab, before), 1, "{storage:?}: {address}");
            }
        }
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            bodies,
            "{storage:?}: questions carry no file"
        );
        gitlab.revoke(token::READER);
        for address in addresses() {
            assert_eq!(status(&reader, &address), 401, "{storage:?}: {address}");
        }
    }
}

#[test]
fn r22_a_refusal_voids_at_once_all_that_was_granted_before() {
    let gitlab = GitLab::start();
    for asks_anew in [
        path::project_page(44, "gear"),
        path::project_file(44, &gear()),
    ] {
        gitlab.change(|universe| universe.token_mut(token::READER).state = TokenState::Active);
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let reader = larder.client().token(token::READER);
        warm(&reader);
        gitlab.revoke(token::READER);
        assert_eq!(status(&reader, &asks_anew), 401);
        for address in addresses() {
            assert_eq!(
                status(&reader, &address),
                401,
                "{address} after a 401 from {asks_anew}"
            );
        }
    }
}

#[test]
fn r22_joining_what_another_caller_began_proves_nothing() {
    for storage in STORAGES {
        for (site, address) in [
            (Site::Only(Kind::Page), path::project_page(42, "big")),
            (Site::Only(Kind::Page), path::group_page(7, "big")),
            (Site::FileBody, path::project_file(42, &big())),
            (Site::FileBody, path::group_file(7, &big())),
        ] {
            let gitlab = GitLab::builder()
                .storage(storage)
                .set(|settings| settings.guest_pull = false)
                .start();
            gitlab.publish(42, big());
            let larder = Larder::builder(&gitlab).sections(LASTING).start();
            let gate = gitlab.hold(site, 100);
            let leader = larder
                .client()
                .token(token::READER)
                .start("GET", &address, &[]);
            gate.wait_for(1);
            let through = outsiders(&larder.client().patience(Duration::from_secs(5)));
            let direct = outsiders(&Client::new(gitlab.address()));
            for ((who, larder), (_, gitlab)) in through.iter().zip(&direct) {
                for (method, headers) in ways("\"x\"") {
                    let case = format!(
                        "{storage:?}: {who}: {method} {address} {headers:?} while it comes"
                    );
                    let reply = larder.request(method, &address, &borrowed(&headers));
                    assert_is_gitlabs_word(&case, &reply, &gitlab.request(method, &address, &[]));
                }
            }
            gate.open();
            leader.finish().expect(200);
        }
    }
}

/// Blocks until larder has taken a further connection, and then for as long as it takes to read a
/// request.
fn wait_for_connection(larder: &Larder, files_before: usize) {
    let until = Instant::now() + Duration::from_secs(5);
    while larder.open_files() <= files_before && Instant::now() < until {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn r22_a_load_shared_with_others_prolongs_no_right() {
    let grant = Duration::from_secs(2);
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"2s\"")
        .start();
    let page = path::project_page(42, "my-pkg");
    let insisting = [("Cache-Control", "no-cache")];
    let developer = larder.client().token(token::DEVELOPER);
    developer.get(&page).expect(200);
    let end = Instant::now() + grant;
    std::thread::sleep(grant.mul_f64(0.6));
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel())).expect(200);
    gitlab.publish(42, Distribution::new("My.Pkg", "2.0").wheel());
    let gate = gitlab.hold(Kind::Page, 10);
    let leading = reader.start("GET", &page, &insisting);
    gate.wait_for(1);
    gitlab.revoke(token::DEVELOPER);
    let files = larder.open_files();
    let joining = developer.start("GET", &page, &insisting);
    wait_for_connection(&larder, files);
    gate.open();
    leading.finish().expect(200);
    joining.finish();
    loop {
        let sent = Instant::now();
        let reply = developer.get(&page);
        if reply.status == 401 {
            break;
        }
        reply.expect(200);
        assert!(sent < end, "the right was prolonged by {:?}", sent - end);
    }
}

#[test]
fn r23_a_refusal_goes_to_the_one_who_was_refused() {
    type Withdrawal = (u16, fn(&GitLab));
    let withdrawals: [Withdrawal; 2] = [
        (401, |gitlab| gitlab.revoke(token::DEVELOPER)),
        (404, |gitlab| {
            gitlab.change(|universe| universe.withdraw(token::DEVELOPER, Place::Group(7)))
        }),
    ];
    for (refusal, withdraw) in withdrawals {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let (page, insisting) = (
            path::project_page(42, "my-pkg"),
            [("Cache-Control", "no-cache")],
        );
        let [developer, reader] =
            [token::DEVELOPER, token::READER].map(|secret| larder.client().token(secret));
        for client in [&developer, &reader] {
            client.get(&page).expect(200);
        }
        withdraw(&gitlab);
        gitlab.log().clear();
        gitlab.plan(
            Act::StallBeforeHead(Duration::from_millis(500))
                .at(Kind::Page)
                .once(),
        );
        // Both rights stand for a while, so that both would share one load.
        let leading = developer.start("GET", &page, &insisting);
        gitlab
            .log()
            .wait_until("the first has asked", |log| log.count(Kind::Page) == 1);
        let reply = reader.get_with(&page, &insisting);
        assert_eq!(leading.finish().status, refusal);
        reply.expect(200);
        reader.get(&page).expect(200);
        assert_eq!(status(&developer, &page), refusal);
    }
}

#[test]
fn r22_a_right_to_one_project_opens_no_other() {
    let gitlab = GitLab::start();
    // The same bytes under the same name and digest in two projects.
    gitlab.publish(44, wheel());
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let reader = larder.client().token(token::READER);
    warm(&reader);
    let elsewhere = [
        path::project_index(44),
        path::project_page(44, "gear"),
        path::project_page(44, "my-pkg"),
        path::project_file(44, &gear()),
        path::project_file(44, &wheel()),
        path::group_index(8),
        path::group_file(8, &gear()),
    ];
    for address in &elsewhere {
        reader.get(address).expect(200);
    }
    let members = |bare: Client| {
        [
            (
                "member of 42 alone",
                bare.clone().token(token::WIDGETS_READER),
            ),
            (
                "deploy token of 42",
                bare.clone().deploy_token(token::DEPLOY),
            ),
            ("job of 42", bare.job_token(token::JOB)),
        ]
    };
    for ((who, larder), (_, direct)) in members(larder.client())
        .iter()
        .zip(&members(Client::new(gitlab.address())))
    {
        larder.get(&path::project_page(42, "my-pkg")).expect(200);
        larder.get(&path::project_file(42, &wheel())).expect(200);
        for address in &elsewhere {
            let word = direct.get(address);
            assert_eq!(word.status, 404, "{who}: {address}");
            assert_is_gitlabs_word(&format!("{who}: {address}"), &larder.get(address), &word);
        }
    }
}

#[test]
fn r22_a_page_of_one_project_gives_no_right_to_another_it_links_to() {
    let (wheel, gear) = (wheel(), gear());
    let forged = [
        path::project_page(42, "gear"),
        path::project_page(42, "gear").replace("42", "acme%2Fwidgets"),
    ];
    for forged in forged {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        larder
            .client()
            .token(token::READER)
            .get(&path::project_file(44, &gear))
            .expect(200);
        // GitLab does not escape what uploaders put into its pages: somebody smuggled a second link
        // in.
        let link = |path: String| format!("<a href=\"{}{path}\">file</a>", gitlab.url());
        let page = format!(
            "<!DOCTYPE html><html><head><title>Links for gear</title></head><body>{}{}</body></html>",
            link(path::project_file(42, &wheel)),
            link(path::project_file(44, &gear)),
        );
        let answer = Answer::new(200)
            .header("Content-Type", "text/html")
            .header("ETag", "W/\"1\"")
            .body(page);
        gitlab.plan(
            Act::Answer(answer)
                .at(Kind::Page)
                .containing("/simple/gear/"),
        );
        let member = larder.client().token(token::WIDGETS_READER);
        for _ in 0..2 {
            assert!(
                member.get(&forged).text().contains(&gear.filename),
                "{forged}"
            );
            let reply = member.get(&path::project_file(44, &gear));
            assert_eq!(reply.status, 404, "after {forged}: {reply:?}");
        }
    }
}

#[test]
fn r22_a_right_to_a_project_gives_no_file_that_gitlab_has_no_more() {
    let gitlab = GitLab::start();
    let (wheel, late) = (wheel(), Distribution::new("late", "1.0").wheel());
    gitlab.publish(42, &late);
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    larder
        .client()
        .token(token::READER)
        .get(&path::project_file(42, &wheel))
        .expect(200);
    // What was said of the file is forgotten, the file is not.
    let larder = larder.restart();
    assert!(StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
    gitlab.change(|universe| universe.delete_package(42, "my-pkg"));
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_index(42)).expect(200);
    reader.get(&path::project_page(42, "late")).expect(200);
    reader.get(&path::project_file(42, &late)).expect(200);
    let word = Client::new(gitlab.address())
        .token(token::READER)
        .get(&path::project_file(42, &wheel));
    let reply = reader.get(&path::project_file(42, &wheel));
    assert_eq!(word.status, 404);
    assert_is_gitlabs_word("a deleted file", &reply, &word);
}

#[test]
fn r22_a_right_to_a_group_page_gives_the_files_it_lists_and_no_others() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let developer = larder.client().token(token::DEVELOPER);
    for file in [path::group_file(7, &wheel()), path::group_file(7, &gear())] {
        developer.get(&file).expect(200);
    }
    let reader = larder.client().token(token::READER);
    reader.get(&path::group_page(7, "my-pkg")).expect(200);
    let before = gitlab.log().len();
    reader.get(&path::group_file(7, &wheel())).expect(200);
    assert_eq!(
        upstream_since(&gitlab, before),
        0,
        "a listed file needs no further word"
    );
    gitlab.change(|universe| universe.withdraw(token::READER, Place::Group(7)));
    for other in [
        path::group_file(7, &gear()),
        path::group_file(8, &gear()),
        path::project_file(42, &wheel()),
        path::group_page(7, "gear"),
        path::group_index(7),
        path::project_page(42, "my-pkg"),
    ] {
        assert_eq!(status(&reader, &other), 404, "{other}");
    }
}

#[test]
fn r22_a_new_job_token_costs_one_small_request_and_then_hits() {
    for storage in STORAGES {
        for first in ["page", "file"] {
            let big = big();
            let gitlab = GitLab::builder().storage(storage).start();
            gitlab.publish(42, &big);
            let larder = Larder::builder(&gitlab).sections(LASTING).start();
            let (page, file) = (path::project_page(42, "big"), path::project_file(42, &big));
            let reader = larder.client().token(token::READER);
            reader.get(&page).expect(200);
            reader.get(&file).expect(200);
            for job in 0..4 {
                let case = format!("{storage:?}, job {job}, {first} first");
                let secret = format!("job-{job}");
                let token =
                    Token::new(TokenKind::Job, &secret).member(Place::Project(42), Role::Developer);
                gitlab.change(|universe| universe.tokens.push(token));
                let client = larder.client().job_token(&secret);
                gitlab.log().clear();
                let order = if first == "page" {
                    [&page, &file]
                } else {
                    [&file, &page]
                };
                for address in order.into_iter().chain(order) {
                    client.get(address).expect(200);
                }
                let entries = gitlab.log().answered();
                assert_eq!(entries.len(), 1, "{case}: {entries:#?}");
                let question = &entries[0];
                let small = matches!(question.status, Some(304 | 302)) && question.body_sent < 1000;
                assert!(small, "{case}: {question:#?}");
            }
            let dead = larder.client().job_token("dead");
            assert_eq!(
                (status(&dead, &page), status(&dead, &file)),
                (401, 401),
                "{storage:?}"
            );
        }
    }
}

#[test]
fn r22_credentials_of_every_form_reach_gitlab_as_they_came() {
    type Form = (
        &'static str,
        fn(Client) -> Client,
        &'static str,
        &'static str,
    );
    let forms: [Form; 9] = [
        (
            "Basic",
            |c| c.token(token::READER),
            "Authorization",
            "Basic X190b2tlbl9fOnRlc3QtcmVhZGVy",
        ),
        (
            "Basic, any user",
            |c| c.basic("ann", token::READER),
            "Authorization",
            "Basic YW5uOnRlc3QtcmVhZGVy",
        ),
        (
            "Basic, no user, odd case",
            |c| c.header("authorization", "bAsIc OnRlc3QtcmVhZGVy"),
            "Authorization",
            "bAsIc OnRlc3QtcmVhZGVy",
        ),
        (
            "Basic, deploy",
            |c| c.basic("x", token::DEPLOY),
            "Authorization",
            "Basic eDp0ZXN0LWRlcGxveQ==",
        ),
        (
            "job token",
            |c| c.job_token(token::JOB),
            "Authorization",
            "Basic Z2l0bGFiLWNpLXRva2VuOnRlc3Qtam9i",
        ),
        (
            "Bearer",
            |c| c.bearer(token::OAUTH),
            "Authorization",
            "Bearer test-oauth",
        ),
        (
            "Bearer, deploy",
            |c| c.bearer(token::DEPLOY),
            "Authorization",
            "Bearer test-deploy",
        ),
        (
            "PRIVATE-TOKEN",
            |c| c.private_token(token::READER),
            "PRIVATE-TOKEN",
            "test-reader",
        ),
        (
            "Deploy-Token",
            |c| c.deploy_token(token::DEPLOY),
            "Deploy-Token",
            "test-deploy",
        ),
    ];
    let names = ["Authorization", "PRIVATE-TOKEN", "Deploy-Token"];
    for storage in STORAGES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let sdist = Distribution::new("My.Pkg", "1.0.0")
            .requires_python(">=3.8")
            .sdist();
        for (form, credential, name, value) in forms {
            gitlab.log().clear();
            let client = credential(larder.client());
            client.get(&path::project_page(42, "my-pkg")).expect(200);
            client.get(&path::project_index(42)).expect(200);
            client.get(&path::project_file(42, &sdist)).expect(200);
            let asked: Vec<_> = gitlab
                .log()
                .entries()
                .into_iter()
                .filter(|entry| entry.kind != Kind::Object)
                .collect();
            assert!(!asked.is_empty(), "{storage:?}, {form}: nobody was asked");
            for entry in asked {
                let sent = names.map(|name| entry.head.header(name));
                let expected = names.map(|known| (known == name).then_some(value));
                assert_eq!(sent, expected, "{storage:?}, {form}: {}", entry.head);
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r22_a_wrong_token_let_into_a_public_project_is_let_into_nothing_else() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let reader = larder.client().token(token::READER);
    warm(&reader);
    let open = Distribution::new("Open.Thing", "2.1").wheel();
    let wrong = larder.client().token("nobody-knows");
    for _ in 0..2 {
        wrong.get(&path::project_page(43, "open-thing")).expect(200);
        wrong.get(&path::project_file(43, &open)).expect(200);
        for address in addresses() {
            assert_eq!(status(&wrong, &address), 401, "{address}");
        }
    }
    // A dead job token is refused even where anybody else is let in.
    assert_eq!(
        status(
            &larder.client().job_token("dead"),
            &path::project_page(43, "open-thing")
        ),
        401
    );
    assert_eq!(
        status(
            &larder.client().token(token::EXPIRED),
            &path::project_file(43, &open)
        ),
        401
    );
    // A closed registry of a public project: 403, without a challenge.
    let closed = larder.client().get(&path::project_index(45));
    assert_eq!(
        (closed.status, closed.header("WWW-Authenticate")),
        (403, None)
    );
}

#[test]
fn r23_group_pages_that_differ_per_caller_stay_apart() {
    for no_cache in [false, true] {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let headers: &[(&str, &str)] = if no_cache {
            &[("Cache-Control", "no-cache")]
        } else {
            &[]
        };
        let sees = |who: &str, group: &str| {
            let address = path::group_index(7).replace("/7/", group);
            let page = larder.client().token(who).get_with(&address, headers);
            page.expect(200);
            ["gear", "my-pkg", "open-thing"]
                .map(|name| page.text().contains(&format!("/simple/{name}\"")))
        };
        for round in 0..4 {
            for group in ["/7/", "/acme/"] {
                let case = format!("round {round}, {group}, no-cache: {no_cache}");
                assert_eq!(
                    sees(token::WIDGETS_READER, group),
                    [false, true, true],
                    "{case}"
                );
                assert_eq!(sees(token::READER, group), [true, true, true], "{case}");
                assert_eq!(sees(token::DEPLOY, group), [false, true, true], "{case}");
            }
        }
        if !no_cache {
            assert_eq!(
                gitlab.log().count(Kind::Index),
                6,
                "each of three callers asked once for each address"
            );
        }
    }
}

#[test]
fn r23_callers_who_ask_for_a_cold_group_page_together_each_get_their_own() {
    let gitlab = GitLab::start();
    let gate = gitlab.hold(Kind::Index, 10);
    let larder = Larder::start(&gitlab);
    let ask = |who: &'static str| {
        let client = larder.client().token(who);
        std::thread::spawn(move || client.get(&path::group_index(7)))
    };
    let callers: Vec<_> = (0..8)
        .map(|turn| {
            if turn % 2 == 0 {
                token::READER
            } else {
                token::WIDGETS_READER
            }
        })
        .collect();
    let asked: Vec<_> = callers.iter().map(|who| ask(who)).collect();
    gate.wait_for(2);
    gate.open();
    for (who, asked) in callers.iter().zip(asked) {
        let page = asked.join().expect("an answer");
        page.expect(200);
        assert_eq!(
            page.text().contains("/simple/gear\""),
            *who == token::READER,
            "{who}: {page:?}"
        );
    }
    assert!(gitlab.log().count(Kind::Index) <= 8);
}

#[test]
fn r23_callers_with_the_same_group_page_share_its_bytes_but_no_right() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let page = path::group_page(7, "my-pkg");
    let first = larder.client().token(token::READER).get(&page);
    let second = larder.client().token(token::DEVELOPER).get(&page);
    assert_eq!(
        (first.expect(200), first.header("ETag")),
        (second.expect(200), second.header("ETag"))
    );
    let asked = gitlab.log().answered();
    assert_eq!(
        asked.iter().map(|entry| entry.status).collect::<Vec<_>>(),
        [Some(200), Some(304)]
    );
    // The second caller's right is his own: the first one's end does not touch it, nor the reverse.
    gitlab.revoke(token::READER);
    let insisting = larder
        .client()
        .token(token::READER)
        .get_with(&page, &[("Cache-Control", "no-cache")]);
    assert_eq!(insisting.status, 401);
    assert_eq!(status(&larder.client().token(token::READER), &page), 401);
    let before = gitlab.log().len();
    larder
        .client()
        .token(token::DEVELOPER)
        .get(&page)
        .expect(200);
    assert_eq!(upstream_since(&gitlab, before), 0);
    assert_eq!(status(&larder.client().token(token::STRANGER), &page), 404);
    assert_eq!(status(&larder.client(), &page), 401);
}

#[test]
fn r23_redirects_and_absences_never_cross_callers() {
    for forwarding in [true, false] {
        let gitlab = GitLab::builder()
            .holding(|universe| universe.groups[0].visibility = Visibility::Public)
            .set(|settings| settings.forwarding = forwarding)
            .start();
        let absent = if forwarding { 302 } else { 404 };
        let larder = Larder::builder(&gitlab).sections(LASTING).start();
        let gear = path::group_page(7, "gear");
        let callers = [
            ("anonymous", larder.client(), absent),
            ("reader", larder.client().token(token::READER), 200),
            (
                "member of 42",
                larder.client().token(token::WIDGETS_READER),
                absent,
            ),
            ("expired", larder.client().token(token::EXPIRED), 401),
            ("developer", larder.client().token(token::DEVELOPER), 200),
            ("stranger", larder.client().token(token::STRANGER), absent),
        ];
        for round in 0..3 {
            for (who, client, expected) in &callers {
                let case = format!("forwarding: {forwarding}, round {round}, {who}");
                for method in ["GET", "HEAD"] {
                    let reply = client.request(method, &gear, &[]);
                    assert_eq!(reply.status, *expected, "{case}, {method}: {reply:?}");
                    let goes = reply.header("Location").is_some();
                    assert_eq!(goes, *expected == 302, "{case}, {method}: {reply:?}");
                    assert_eq!(
                        reply.text().contains("/files/"),
                        *expected == 200 && method == "GET",
                        "{case}"
                    );
                }
            }
        }
        // Nobody's absence hides a project page either.
        let page = path::project_page(42, "my-pkg");
        for _ in 0..2 {
            assert_eq!(status(&larder.client().token(token::STRANGER), &page), 404);
            assert_eq!(status(&larder.client(), &page), 401);
            assert_eq!(status(&larder.client().token(token::READER), &page), 200);
        }
    }
}

#[test]
fn r23_what_one_caller_misses_another_finds_at_once() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.forwarding = false)
        .start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let late = Distribution::new("late", "1.0").wheel();
    let reader = larder.client().token(token::READER);
    for page in [path::project_page(42, "late"), path::group_page(7, "late")] {
        assert_eq!(status(&reader, &page), 404);
    }
    gitlab.change(|universe| universe.publish(42, NewFile::from(&late)));
    for page in [path::project_page(42, "late"), path::group_page(7, "late")] {
        reader.get(&page).expect(200);
        larder
            .client()
            .token(token::DEVELOPER)
            .get(&page)
            .expect(200);
    }
}

#[test]
fn r24_cached_and_absent_look_alike_to_whoever_is_not_entitled() {
    for storage in STORAGES {
        let gitlab = GitLab::builder()
            .storage(storage)
            .set(|settings| settings.guest_pull = false)
            .start();
        let warm_larder = Larder::builder(&gitlab).sections(LASTING).start();
        let cold_larder = Larder::builder(&gitlab).sections(LASTING).start();
        let held = warm(&warm_larder.client().token(token::READER));
        let (warm, cold) = (
            outsiders(&warm_larder.client()),
            outsiders(&cold_larder.client()),
        );
        for ((who, warm), (_, cold)) in warm.iter().zip(&cold) {
            for (address, etag) in &held {
                if storage != Storage::Disk && !address.contains("/files/") {
                    continue;
                }
                for (method, headers) in ways(etag) {
                    let case = format!("{storage:?}: {who}: {method} {address} {headers:?}");
                    let looks = [warm, cold].map(|client| {
                        let before = gitlab.log().len();
                        let reply = client.request(method, address, &borrowed(&headers));
                        (look(&reply), upstream_since(&gitlab, before))
                    });
                    assert_eq!(looks[0], looks[1], "{case}");
                    assert_eq!(looks[0].1, 1, "{case}: GitLab alone decides");
                }
            }
        }
    }
}

/// The same without the rest of the minute for which GitLab wants to be left alone: a second may
/// pass between two questions.
fn without_seconds(
    mut look: (u16, String, Vec<(String, String)>, String),
    case: &str,
) -> (u16, String, Vec<(String, String)>, String) {
    for (name, value) in &mut look.2 {
        if name == "retry-after" {
            let seconds: u64 = value.parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{case}: {seconds}");
            "within a minute".clone_into(value);
        }
    }
    look
}

#[test]
fn r24_cached_and_absent_look_alike_also_when_gitlab_is_down_or_overrun() {
    type Trouble = (&'static str, u16, fn(&GitLab));
    let troubles: [Trouble; 3] = [
        ("stopped", 504, |gitlab| gitlab.stop()),
        ("throttled", 429, |gitlab| {
            gitlab.set(|settings| settings.throttle = Some(60))
        }),
        ("error page", 502, |gitlab| {
            gitlab.plan(Act::Status(500).at(Site::Anywhere));
        }),
    ];
    for (trouble, expected, begin) in troubles {
        let gitlab = GitLab::start();
        // Without a rest, whose end one of the two may reach before the other.
        let impatient = || {
            Larder::builder(&gitlab)
                .gitlab_setting("retries = 0\nbreaker_failures = 100000")
                .sections(LASTING)
                .start()
        };
        let (warm_larder, cold_larder) = (impatient(), impatient());
        let held = warm(&warm_larder.client().token(token::READER));
        begin(&gitlab);
        for who in [token::STRANGER, "nobody-knows"] {
            for (address, etag) in &held {
                for (method, headers) in ways(etag) {
                    let case = format!("{trouble}: {who}: {method} {address} {headers:?}");
                    let looks = [&warm_larder, &cold_larder].map(|larder| {
                        let client = larder.client().token(who);
                        let reply = client.request(method, address, &borrowed(&headers));
                        without_seconds(look(&reply), &case)
                    });
                    assert_eq!(looks[0], looks[1], "{case}");
                    assert_eq!(looks[0].0, expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn r24_cached_and_absent_take_a_stranger_the_same_time() {
    let latency = Duration::from_millis(15);
    let gitlab = GitLab::builder()
        .set(|settings| settings.latency = latency)
        .start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    warm(&larder.client().token(token::READER));
    let stranger = larder.client().token(token::STRANGER);
    let absent = Distribution::new("My.Pkg", "7.0").wheel();
    for (kind, cached, absent) in [
        (
            "page",
            path::project_page(42, "my-pkg"),
            path::project_page(42, "no-such"),
        ),
        (
            "file",
            path::project_file(42, &wheel()),
            path::project_file(42, &absent),
        ),
        (
            "group page",
            path::group_page(7, "my-pkg"),
            path::group_page(7, "no-such"),
        ),
        (
            "group file",
            path::group_file(7, &wheel()),
            path::group_file(7, &absent),
        ),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..25 {
            for (address, times) in [&cached, &absent].into_iter().zip(&mut times) {
                // From before it is sent: a busy machine may rest behind that.
                let begun = Instant::now();
                let reply = stranger.get(address);
                times.push(begun.elapsed());
                assert_eq!(reply.status, 404, "{kind}");
            }
        }
        let [cached, absent] = times.map(|times| {
            let fastest = times.into_iter().min().unwrap_or_default();
            assert!(
                fastest >= latency,
                "{kind}: answered in {fastest:?}, without GitLab's word"
            );
            fastest
        });
        // The fastest, because a busy machine only ever adds; and generous: a locally decided answer
        // would be ten times as fast.
        let alike = cached < absent * 3 && absent < cached * 3;
        assert!(alike, "{kind}: cached {cached:?}, absent {absent:?}");
    }
}
