//! When the files of GitLab's pages were uploaded, and how large they are: asked of its packages API
//! after a JSON page was given, in the caller's name, once for each file.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{HTML, JSON, get_as};
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, NewFile, Reply, Universe,
    path, token,
};

/// Pages are GitLab's word of now, so that a new version is seen at once.
const DATES: &str = "[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"\nupload_dates = true";

/// The same with pages that count for a minute.
const FRESH: &str = "[index]\nttl = \"60s\"\nupload_dates = true";

fn wheel(version: &str) -> Artifact {
    Distribution::new("Some_lib.x", version).wheel()
}

/// So many days before now, in whole milliseconds, as GitLab tells it.
fn days_ago(days: u64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = now.expect("after the epoch").as_millis() as u64 - days * 86_400_000;
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// 1.0 as wheel and sdist from 30 days ago, 2.0 from yesterday.
fn publish(universe: &mut Universe, project: u64) {
    let old = Distribution::new("Some_lib.x", "1.0");
    universe.publish(project, NewFile::from(old.wheel()).uploaded(days_ago(30)));
    universe.publish(project, NewFile::from(old.sdist()).uploaded(days_ago(29)));
    universe.publish(project, NewFile::from(wheel("2.0")).uploaded(days_ago(1)));
}

fn gitlab() -> GitLab {
    GitLab::builder()
        .holding(|universe| publish(universe, 42))
        .start()
}

fn page_of(scope: &str) -> String {
    match scope {
        "project" => path::project_page(42, "some-lib-x"),
        _ => path::group_page(7, "some-lib-x"),
    }
}

fn json(client: &Client, page: &str) -> Reply {
    get_as(client, page, JSON)
}

fn with<'a>(page: &'a Value, key: &str) -> Vec<&'a Value> {
    let files = page["files"].as_array().expect("a list of files");
    files.iter().filter(|file| !file[key].is_null()).collect()
}

/// Blocks until all files of the page have a date, and gives it.
fn dated(client: &Client, page: &str) -> Value {
    eventually("every file has its date", || {
        let shown = json(client, page).json();
        let files = shown["files"].as_array().map_or(0, Vec::len);
        files > 0 && with(&shown, "upload-time").len() == files
    });
    json(client, page).json()
}

/// Blocks until no page waits for dates.
fn settled(larder: &Larder) {
    eventually("no page waits for dates", || {
        larder.metric("larder_upload_dates_queue") == Some(0.0)
    });
}

fn asked(gitlab: &GitLab) -> usize {
    gitlab.log().count(Kind::Packages)
}

#[test]
fn a_page_gains_what_gitlab_tells_by_another_route_and_is_asked_for_it_once() {
    for pep691 in [false, true] {
        let gitlab = gitlab();
        gitlab.set(|settings| settings.pep691 = pep691);
        let larder = Larder::builder(&gitlab).sections(FRESH).start();
        let client = larder.client().token(token::READER);
        let page = page_of("project");
        // A client that is given HTML would see nothing of it.
        get_as(&client, &page, HTML).expect(200);
        settled(&larder);
        assert_eq!(asked(&gitlab), 0);

        let first = json(&client, &page).json();
        assert_eq!(first["meta"]["api-version"], "1.0", "{first}");
        assert!(with(&first, "upload-time").is_empty() && with(&first, "size").is_empty());
        let pages = gitlab.log().count(Kind::Page);
        let shown = dated(&client, &page);
        assert_eq!(
            gitlab.log().count(Kind::Page),
            pages,
            "the page is not asked for again"
        );
        assert_eq!(
            asked(&gitlab),
            1 + 2,
            "the list, and the files of each version"
        );
        let version = if pep691 { "1.0" } else { "1.1" };
        assert_eq!(shown["meta"]["api-version"], version, "{shown}");
        gitlab.change(|universe| {
            let stored = universe
                .project(42)
                .packages
                .iter()
                .flat_map(|package| &package.files);
            for file in stored.filter(|file| file.name.to_lowercase().starts_with("some")) {
                let told = with(&shown, "upload-time");
                let told = told
                    .iter()
                    .find(|told| told["filename"] == file.name.as_str());
                let told = told.unwrap_or_else(|| panic!("{} in {shown}", file.name));
                let time = told["upload-time"].as_str().expect("a text");
                assert_eq!(humantime::parse_rfc3339(time), Ok(file.created), "{time}");
                assert_eq!(told["size"], file.bytes.len());
            }
        });
        for _ in 0..5 {
            json(&client, &page).expect(200);
        }
        settled(&larder);
        assert_eq!(asked(&gitlab), 3);
        let html = get_as(&client, &page, HTML).text();
        assert!(!html.contains("upload"), "HTML has no place for it: {html}");
        assert_eq!(
            larder.metric("larder_upload_dates_total{result=\"told\"}"),
            Some(3.0)
        );
        gitlab.log().assert_nothing_unexpected();

        let again = larder.restart();
        let client = again.client().token(token::READER);
        let shown = json(&client, &page).json();
        assert_eq!(
            with(&shown, "upload-time").len(),
            3,
            "kept on the disk: {shown}"
        );
        settled(&again);
        assert_eq!(asked(&gitlab), 3);
        drop(again);
    }
}

#[test]
fn a_new_version_costs_two_requests_and_old_ones_none() {
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    dated(&client, &page);
    settled(&larder);
    gitlab.log().clear();
    gitlab.publish(42, NewFile::from(wheel("3.0")).uploaded(days_ago(0)));
    let shown = json(&client, &page).json();
    assert_eq!(
        with(&shown, "upload-time").len(),
        3,
        "the new one waits: {shown}"
    );
    assert_eq!(shown["meta"]["api-version"], "1.0", "a size is missing");
    let shown = dated(&client, &page);
    assert_eq!(shown["meta"]["api-version"], "1.1");
    settled(&larder);
    assert_eq!(asked(&gitlab), 2);
    let explained = larder.command(&["explain", &page]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for part in ["index.upload_dates = true", "packages API told them: 4"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
}

#[test]
fn a_bundle_carries_dates_and_sizes() {
    let gitlab = gitlab();
    let near = Larder::builder(&gitlab).sections(DATES).start();
    let client = near.client().token(token::READER);
    let page = page_of("project");
    dated(&client, &page);
    let wheel = wheel("2.0");
    client.get(&path::project_file(42, &wheel)).expect(200);
    kept(&near, &wheel);
    let bundle = near.home().join("bundle.tar");
    let bundle = bundle.to_string_lossy();
    let exported = near.command(&["export", &bundle]);
    assert!(exported.status.success(), "{exported:?}");

    let far = Larder::builder(&gitlab)
        .setting("offline = true")
        .sections("[auth]\noffline = \"open\"")
        .start();
    let imported = far.command(&["import", &bundle]);
    assert!(imported.status.success(), "{imported:?}");
    let shown = json(&far.client(), &page).json();
    let told = with(&shown, "upload-time");
    assert_eq!(told.len(), 1, "{shown}");
    assert_eq!(told[0]["filename"], wheel.filename.as_str());
    assert_eq!(told[0]["size"], wheel.bytes.len());
    assert_eq!(shown["meta"]["api-version"], "1.1");
}

/// How a client says who it is.
type WithCredential = fn(Client) -> Client;

/// Which credential is told what: a row for each, with whether the page of the project and that of
/// its group get dates.
#[test]
fn gitlab_is_asked_in_the_callers_name_and_with_the_operators_token_where_that_is_told_nothing() {
    let rows: [(&str, WithCredential, [bool; 2]); 6] = [
        (
            "access token, Basic",
            |client| client.token(token::READER),
            [true, true],
        ),
        (
            "access token",
            |client| client.private_token(token::READER),
            [true, true],
        ),
        ("OAuth", |client| client.bearer(token::OAUTH), [true, true]),
        (
            "job token",
            |client| client.job_token(token::JOB),
            [true, false],
        ),
        (
            "deploy token",
            |client| client.token(token::DEPLOY),
            [false, false],
        ),
        (
            "deploy token by its own field",
            |client| client.deploy_token(token::DEPLOY),
            [false, false],
        ),
    ];
    for (case, credential, expected) in rows {
        for (scope, told) in ["project", "group"].into_iter().zip(expected) {
            for operators in [false, true] {
                let case = format!("{case}, {scope}, dates_token_file: {operators}");
                let gitlab = gitlab();
                let mut builder = Larder::builder(&gitlab).sections(DATES);
                let folder = tempfile::tempdir().expect("a temporary folder");
                if operators {
                    let file = folder.path().join("token");
                    std::fs::write(&file, token::READER).expect("a writable folder");
                    let restricted = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                    std::fs::set_permissions(&file, restricted).expect("a file of its own");
                    builder = builder.gitlab_setting(&format!("dates_token_file = {file:?}"));
                }
                let larder = builder.start();
                let client = credential(larder.client());
                let page = page_of(scope);
                json(&client, &page).expect(200);
                settled(&larder);
                let shown = json(&client, &page).json();
                let found = with(&shown, "upload-time").len();
                assert_eq!(
                    found,
                    if told || operators { 3 } else { 0 },
                    "{case}: {shown}"
                );
                settled(&larder);
                let before = asked(&gitlab);
                json(&client, &page).expect(200);
                settled(&larder);
                assert_eq!(asked(&gitlab), before, "{case}: GitLab is left alone");
                for request in gitlab.log().of(Kind::Packages) {
                    let basic = request.head.header("Authorization").unwrap_or_default();
                    assert!(!basic.starts_with("Basic"), "{case}");
                }
                gitlab.log().assert_nothing_unexpected();
            }
        }
    }
}

/// What was learned with one caller's right is shown to another on its own page, and nothing else
/// is: a caller whose group page lacks a file learns nothing of it.
#[test]
fn dates_are_shown_for_the_files_of_a_callers_own_page_alone() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            publish(universe, 42);
            let hidden = Distribution::new("Some_lib.x", "9.0").wheel();
            universe.publish(44, NewFile::from(hidden).uploaded(days_ago(3)));
        })
        .start();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let page = page_of("group");
    let all = dated(&larder.client().token(token::READER), &page);
    assert_eq!(with(&all, "upload-time").len(), 4);
    settled(&larder);
    gitlab.log().clear();
    let fewer = json(&larder.client().token(token::WIDGETS_READER), &page).json();
    assert_eq!(with(&fewer, "upload-time").len(), 3, "{fewer}");
    assert!(!fewer.to_string().contains("_x-9.0"), "{fewer}");
    let all = json(&larder.client().token(token::READER), &page).json();
    assert_eq!(
        with(&all, "upload-time").len(),
        4,
        "none is forgotten: {all}"
    );
    settled(&larder);
    assert_eq!(asked(&gitlab), 0, "nothing was missing");
}

#[test]
fn no_page_waits_for_dates_and_a_failure_is_not_asked_again_at_once() {
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    let gate = gitlab.hold(Kind::Packages, 0);
    for _ in 0..3 {
        let shown = json(&client, &page).json();
        assert!(
            with(&shown, "upload-time").is_empty(),
            "no date is guessed: {shown}"
        );
    }
    gitlab
        .log()
        .wait_until("GitLab is asked", |log| log.count(Kind::Packages) == 1);
    assert_eq!(larder.metric("larder_upload_dates_queue"), Some(1.0));
    gate.open();
    settled(&larder);
    dated(&client, &page);

    let failing = GitLab::builder()
        .holding(|universe| publish(universe, 42))
        .start();
    failing.plan(Act::Status(502).at(Kind::Packages));
    let larder = Larder::builder(&failing).sections(DATES).start();
    let client = larder.client().token(token::READER);
    json(&client, &page).expect(200);
    larder.wait_for_log("GitLab is asked for no upload dates for a while");
    settled(&larder);
    for _ in 0..3 {
        assert!(with(&json(&client, &page).json(), "upload-time").is_empty());
    }
    assert_eq!(asked(&failing), 1);
}

#[test]
fn a_long_list_is_asked_for_page_by_page_newest_first_and_within_the_limits() {
    const VERSIONS: usize = 130;
    let gitlab = GitLab::builder()
        .holding(|universe| {
            for number in 0..VERSIONS {
                let age = (VERSIONS - number) as u64;
                let file = NewFile::from(wheel(&format!("1.{number}"))).uploaded(days_ago(age));
                universe.publish(42, file);
            }
            // Found by the same words, and another project.
            universe.publish(42, Distribution::new("Some-lib-x-extra", "1.0").wheel());
        })
        .start();
    let sections = format!("{FRESH}\nupload_dates_rate = 100000\nupload_dates_requests = 51");
    let larder = Larder::builder(&gitlab).sections(&sections).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    json(&client, &page).expect(200);
    settled(&larder);
    assert_eq!(asked(&gitlab), 51);
    let shown = json(&client, &page).json();
    let newest = with(&shown, "upload-time");
    assert_eq!(newest.len(), 50, "one request of them was the list");
    for file in &newest {
        let name = file["filename"].as_str().expect("a name");
        let minor = name
            .split("-1.")
            .nth(1)
            .and_then(|rest| rest.split('-').next());
        let minor: usize = minor.and_then(|text| text.parse().ok()).expect("a version");
        assert!(minor >= VERSIONS - 50, "{name}");
    }
    settled(&larder);
    let shown = dated(&client, &page);
    assert_eq!(with(&shown, "upload-time").len(), VERSIONS);
    settled(&larder);
    // Three goes, each with the list from its beginning: 1, 1, and 2 pages of it.
    assert_eq!(asked(&gitlab), VERSIONS + 1 + 1 + 2);
}

/// The date that the page shows for this file.
fn date_of(page: &Value, file: &Artifact) -> Option<SystemTime> {
    let told = with(page, "upload-time");
    let shown = told
        .into_iter()
        .find(|shown| shown["filename"] == file.filename.as_str())?;
    humantime::parse_rfc3339(shown["upload-time"].as_str()?).ok()
}

/// A file must not look older than it is, however its page was without it.
#[test]
fn a_file_that_is_deleted_and_uploaded_again_is_as_old_as_its_second_upload() {
    let file = wheel("2.0");
    for (case, whole, forwarding) in [
        ("a file", false, true),
        ("the package, and callers are sent on", true, true),
        ("the package", true, false),
    ] {
        let gitlab = gitlab();
        gitlab.set(|settings| settings.forwarding = forwarding);
        let larder = Larder::builder(&gitlab).sections(DATES).start();
        let client = larder.client().token(token::READER);
        let page = page_of("project");
        let before = date_of(&dated(&client, &page), &file).expect("a date");
        settled(&larder);
        gitlab.change(|universe| {
            if whole {
                universe.delete_package(42, "Some_lib.x");
            } else {
                universe.delete_file(42, &file.filename);
            }
        });
        // A stranger's 404 says nothing of the project's files, and a caller's does.
        json(&larder.client().token(token::STRANGER), &page);
        let shown = json(&client, &page);
        assert_eq!(shown.status == 200, !whole, "{case}");
        let larder = larder.restart();
        let client = larder.client().token(token::READER);
        let now = days_ago(0);
        gitlab.publish(42, NewFile::from(wheel("2.0")).uploaded(now));
        let shown = json(&client, &page).json();
        assert_eq!(date_of(&shown, &file), None, "{case}: {shown}");
        let after = date_of(&dated(&client, &page), &file);
        assert_eq!(after, Some(now), "{case}");
        assert!(before < now);
        settled(&larder);
    }
}

/// The page was not seen between the two.
#[test]
fn other_bytes_under_a_known_name_have_no_date_until_gitlab_tells_theirs() {
    let file = wheel("2.0");
    let other = Distribution::new("Some_lib.x", "2.0")
        .payload(10_000)
        .wheel();
    assert_eq!(other.filename, file.filename);
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    let before = date_of(&dated(&client, &page), &file).expect("a date");
    settled(&larder);
    let now = days_ago(0);
    gitlab.change(|universe| {
        universe.delete_file(42, &file.filename);
        universe.publish(42, NewFile::from(other.clone()).uploaded(now));
    });
    let shown = json(&client, &page).json();
    assert_eq!(date_of(&shown, &other), None, "{shown}");
    assert_eq!(date_of(&dated(&client, &page), &other), Some(now));
    assert!(before < now);
}

#[test]
fn a_strangers_404_has_no_date_forgotten() {
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    for scope in ["project", "group"] {
        let page = page_of(scope);
        dated(&client, &page);
        settled(&larder);
        let before = asked(&gitlab);
        json(&larder.client().token(token::STRANGER), &page);
        let shown = json(&client, &page).json();
        assert_eq!(with(&shown, "upload-time").len(), 3, "{scope}: {shown}");
        settled(&larder);
        assert_eq!(asked(&gitlab), before, "{scope}");
    }
}

/// Also where the later upload went to the version that is further down in GitLab's list.
#[test]
fn of_a_file_that_a_group_has_in_two_projects_the_later_date_counts() {
    let release = Distribution::new("Some_lib.x", "1.0");
    let files = [release.sdist(), release.wheel()];
    for (older, newer) in [(42, 44), (44, 42)] {
        let uploads = [(older, [20, 1]), (newer, [10, 10])];
        let gitlab = GitLab::builder()
            .holding(|universe| {
                for (project, days) in uploads {
                    for (file, days) in files.iter().zip(days) {
                        let file = NewFile::from(file.clone());
                        universe.publish(project, file.uploaded(days_ago(days)));
                    }
                }
            })
            .start();
        let larder = Larder::builder(&gitlab).sections(DATES).start();
        let client = larder.client().token(token::READER);
        let page = page_of("group");
        dated(&client, &page);
        settled(&larder);
        let shown = json(&client, &page).json();
        for (file, days) in files.iter().zip([10, 1]) {
            let date = date_of(&shown, file).expect("a date");
            assert!(date > days_ago(days + 1), "{}: {shown}", file.filename);
        }
    }
}

#[test]
fn a_token_that_is_refused_some_files_ends_no_other_callers_questions() {
    let refused = |status| Act::Answer(Answer::message(status, "no"));
    for status in [401, 403, 404] {
        let gitlab = gitlab();
        gitlab.plan(
            refused(status)
                .at(Kind::Packages)
                .containing("package_files"),
        );
        let larder = Larder::builder(&gitlab).sections(FRESH).start();
        let client = larder.client().token(token::READER);
        let page = page_of("project");
        json(&client, &page).expect(200);
        settled(&larder);
        let expected = if status == 401 { 2 } else { 3 };
        assert_eq!(asked(&gitlab), expected, "{status}");
        json(&client, &page).expect(200);
        settled(&larder);
        assert_eq!(
            asked(&gitlab),
            expected,
            "{status}: this caller is told no more"
        );
        gitlab.behave();
        let other = larder.client().token(token::WIDGETS_READER);
        dated(&other, &page);
        settled(&larder);
        assert_eq!(asked(&gitlab), expected + 3, "{status}");
    }
}

#[test]
fn a_callers_token_is_used_no_more_after_rights_were_revoked() {
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    let gate = gitlab.hold(Kind::Packages, 0);
    json(&client, &page).expect(200);
    gate.wait_for(1);
    assert!(larder.command(&["auth", "flush"]).status.success());
    gate.open();
    settled(&larder);
    assert_eq!(asked(&gitlab), 1, "the list, and no version's files");
    dated(&client, &page);
    settled(&larder);
    assert_eq!(asked(&gitlab), 1 + 3, "the next page goes on");
}

#[test]
fn a_reload_ends_the_questions_of_the_settings_before() {
    let gitlab = gitlab();
    let larder = Larder::builder(&gitlab).sections(DATES).start();
    let client = larder.client().token(token::READER);
    let page = page_of("project");
    let gate = gitlab.hold(Kind::Packages, 0);
    json(&client, &page).expect(200);
    gate.wait_for(1);
    let text = std::fs::read_to_string(larder.config_file()).expect("its configuration");
    assert!(text.contains("upload_dates = true"), "{text}");
    let text = text.replace("upload_dates = true", "upload_dates = false");
    std::fs::write(larder.config_file(), text).expect("a writable folder");
    larder.signal(Signal::HUP);
    larder.wait_for_log("the configuration was read again and is in force");
    gate.open();
    larder.wait_for_log("no more upload dates by settings that were replaced");
    assert_eq!(asked(&gitlab), 1, "the list, and no version's files");
}
