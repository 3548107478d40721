//! What may still be shown when upstream does not confirm it, for how long, and what upstream's
//! word ends for good.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use larder::registry::Route;
use larder::simple::Format;
use larder::store::{PageMeta, Store};

use crate::airgap::bundle::{path_in, well};
use crate::common::delivery::kept;
use crate::common::mirror::{
    FORMATS, HTML, JSON, NEVER_FRESH, file, get_as, listed, metadata, names, page,
};
use crate::support::{
    Act, Answer, Artifact, Distribution, GitLab, Kind, Larder, PublicIndex, Reply, Validators,
    path, token,
};

const PROJECT: &str = "some-lib";

/// Nothing is tried again and nobody is left alone, so that each request meets upstream as it is.
const PLAIN: &str = "retries = 0\nbreaker_failures = 0";

fn wheel() -> Artifact {
    Distribution::new("Some.Lib", "1.2").payload(20_000).wheel()
}

fn index() -> PublicIndex {
    PublicIndex::builder().offering(wheel()).start()
}

/// A larder with this index as its mirror, which also answers in GitLab's place.
fn larder(gitlab: &GitLab, index: &PublicIndex, mirror: &str, pages: &str) -> Larder {
    Larder::builder(gitlab)
        .mirror_with("pypi", index, &format!("{PLAIN}\n{mirror}"))
        .forward("pypi")
        .sections(&format!("[index]\n{pages}"))
        .start()
}

/// Page in both formats, file and metadata have been asked for and are here.
fn warm(larder: &Larder, index: &PublicIndex) {
    for accept in FORMATS {
        get_as(&larder.client(), &page(PROJECT), accept).expect(200);
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

/// Everything by which the project may be had, asked for once.
fn ways(larder: &Larder, index: &PublicIndex) -> Vec<(String, Reply)> {
    let (client, member) = (larder.client(), larder.client().token(token::READER));
    let mut got = Vec::new();
    for accept in FORMATS {
        got.push((
            format!("page {accept}"),
            get_as(&client, &page(PROJECT), accept),
        ));
        for place in [
            path::group_page(7, PROJECT),
            path::project_page(42, PROJECT),
        ] {
            got.push((format!("{place} {accept}"), get_as(&member, &place, accept)));
        }
    }
    let address = file(index, &wheel().filename);
    got.push(("file".to_owned(), client.get(&address)));
    got.push(("range".to_owned(), client.get_range(&address, "bytes=0-9")));
    got.push(("head".to_owned(), client.head(&address)));
    got.push((
        "metadata".to_owned(),
        client.get(&metadata(index, &wheel().filename)),
    ));
    got.push((
        "view".to_owned(),
        client.get(&format!("/-/mirrors/pypi/{PROJECT}")),
    ));
    got
}

#[track_caller]
fn assert_gone(larder: &Larder, index: &PublicIndex, case: &str) {
    for (way, reply) in ways(larder, index) {
        assert!(reply.status >= 400, "{case}: {way}: {reply:?}");
    }
}

/// How many files an export of everything holds.
#[track_caller]
fn exported(larder: &Larder, to: &Path) -> u64 {
    let bundle = path_in(to, "bundle.tar");
    let _ = std::fs::remove_file(&bundle);
    let output = larder.command(&["export", "--json", &bundle]);
    if String::from_utf8_lossy(&output.stderr).contains("no file is held") {
        return 0;
    }
    let told = well(&output);
    told[0]["files"].as_u64().expect("a number")
}

/// From now on no page can be had.
fn fail(index: &PublicIndex, refuses: bool) {
    if refuses {
        index.stop();
    } else {
        index.behave();
        index.plan(Act::Status(503).at(Kind::Page));
    }
}

#[test]
fn r34_a_project_that_was_taken_back_stays_gone_when_the_mirror_fails_later() {
    let gitlab = GitLab::start();
    for (status, refuses) in [
        (404, false),
        (404, true),
        (410, false),
        (410, true),
        (403, false),
        (451, true),
        (401, true),
    ] {
        let case = format!(
            "{status}, then {}",
            if refuses { "nobody there" } else { "503" }
        );
        let index = index();
        let larder = larder(&gitlab, &index, NEVER_FRESH, "");
        warm(&larder, &index);
        assert_eq!(exported(&larder, larder.home()), 1, "{case}");
        index.plan(Act::Answer(Answer::html(status)).at(Kind::Page));
        let told = get_as(&larder.client(), &page(PROJECT), HTML);
        assert_eq!(told.status, status, "{case}: {told:?}");
        fail(&index, refuses);
        assert_gone(&larder, &index, &case);
        assert_eq!(exported(&larder, larder.home()), 0, "{case}: bundled");
        let mut larder = larder.restart();
        assert_gone(&larder, &index, &format!("{case}, after a restart"));
        larder.terminate();
        let offline = Larder::builder(&gitlab)
            .setting("offline = true")
            .at_home_of(&larder)
            .start();
        let mirrored = [
            page(PROJECT),
            file(&index, &wheel().filename),
            metadata(&index, &wheel().filename),
        ];
        for address in mirrored {
            assert_eq!(
                offline.client().get(&address).status,
                404,
                "{case}, offline: {address}"
            );
        }
    }
}

#[test]
fn r34_a_project_that_comes_back_is_there_again_with_its_files() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, NEVER_FRESH, "");
    warm(&larder, &index);
    index.plan(Act::Answer(Answer::html(404)).at(Kind::Page));
    get_as(&larder.client(), &page(PROJECT), HTML).expect(404);
    index.behave();
    index.log().clear();
    warm(&larder, &index);
    assert_eq!(
        index.log().count(Kind::File),
        0,
        "its bytes are the same as before"
    );
    index.stop();
    let larder = larder.restart();
    for (way, reply) in ways(&larder, &index) {
        assert!(matches!(reply.status, 200 | 206), "{way}: {reply:?}");
    }
    assert_eq!(exported(&larder, larder.home()), 1);
}

#[test]
fn r34_what_one_format_is_told_ends_the_other_and_the_files_while_they_are_fresh() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, "ttl = \"10m\"", "");
    warm(&larder, &index);
    index.plan(Act::Answer(Answer::html(410)).at(Kind::Page));
    let insisting = [("Accept", JSON), ("Cache-Control", "no-cache")];
    assert_eq!(
        larder.client().get_with(&page(PROJECT), &insisting).status,
        410
    );
    assert_gone(&larder, &index, "told in JSON");
}

#[test]
fn r34_a_file_that_its_page_no_longer_lists_is_not_carried_out() {
    let (gitlab, index) = (GitLab::start(), index());
    let kept_one = Distribution::new("Some.Lib", "1.3").wheel();
    index.publish(&kept_one);
    let larder = larder(&gitlab, &index, NEVER_FRESH, "");
    warm(&larder, &index);
    larder
        .client()
        .get(&file(&index, &kept_one.filename))
        .expect(200);
    kept(&larder, &kept_one);
    assert_eq!(exported(&larder, larder.home()), 2);
    let address = file(&index, &wheel().filename);
    index.withdraw(&wheel().filename);
    for accept in FORMATS {
        assert_eq!(
            names(&get_as(&larder.client(), &page(PROJECT), accept)),
            [kept_one.filename.as_str()]
        );
    }
    larder.client().get(&address).expect(404);
    index.stop();
    larder.client().get(&address).expect(404);
    let larder = larder.restart();
    assert_eq!(exported(&larder, larder.home()), 1);
    larder.client().get(&address).expect(404);
}

#[track_caller]
fn age(reply: &Reply) -> u64 {
    reply
        .header("Age")
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no Age in {reply:?}"))
}

/// Page and file are given as stale ones, with their age.
#[track_caller]
fn assert_stale(
    larder: &Larder,
    index: &PublicIndex,
    ages: std::ops::RangeInclusive<u64>,
    case: &str,
) {
    let address = file(index, &wheel().filename);
    let mut got: Vec<Reply> = FORMATS
        .map(|accept| get_as(&larder.client(), &page(PROJECT), accept))
        .into_iter()
        .collect();
    got.push(larder.client().get(&address));
    got.push(larder.client().get_range(&address, "bytes=0-9"));
    got.push(larder.client().head(&address));
    got.push(larder.client().get(&metadata(index, &wheel().filename)));
    for reply in got {
        assert!(matches!(reply.status, 200 | 206), "{case}: {reply:?}");
        assert!(ages.contains(&age(&reply)), "{case}: {reply:?}");
        let told = reply.header("Cache-Status").unwrap_or_default();
        assert!(told.contains("detail=stale"), "{case}: {reply:?}");
    }
}

#[track_caller]
fn assert_expired(larder: &Larder, index: &PublicIndex, case: &str) {
    for (way, reply) in ways(larder, index) {
        assert!(
            matches!(reply.status, 502 | 504),
            "{case}: {way}: {reply:?}"
        );
    }
}

fn sleep_until(start: Instant, seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds).saturating_sub(start.elapsed()));
}

#[test]
fn r11_stale_for_holds_on_mirrors_in_memory_for_page_and_file() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, NEVER_FRESH, "stale_if_error = \"4s\"");
    warm(&larder, &index);
    let start = Instant::now();
    index.stop();
    assert_stale(&larder, &index, 0..=3, "just down");
    sleep_until(start, 4.1);
    assert_expired(&larder, &index, "4 s after upstream's last word");
    index.resume();
    warm(&larder, &index);
}

#[test]
fn r11_a_page_that_is_still_fresh_is_not_shown_past_stale_for_to_who_insists() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, "ttl = \"10m\"", "stale_if_error = \"2s\"");
    warm(&larder, &index);
    let start = Instant::now();
    index.stop();
    sleep_until(start, 2.1);
    let insisting = [("Accept", JSON), ("Cache-Control", "no-cache")];
    assert_eq!(
        larder.client().get_with(&page(PROJECT), &insisting).status,
        504
    );
}

#[test]
fn r11_the_age_of_a_page_is_on_disk_and_counts_from_the_last_word() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, NEVER_FRESH, "stale_if_error = \"8s\"");
    warm(&larder, &index);
    let start = Instant::now();
    sleep_until(start, 5.0);
    for accept in FORMATS {
        let same = get_as(&larder.client(), &page(PROJECT), accept);
        assert!(
            same.header("Cache-Status")
                .is_some_and(|told| told.contains("fwd-status=304")),
            "{same:?}"
        );
    }
    let confirmed = Instant::now();
    index.stop();
    let larder = larder.restart();
    sleep_until(start, 8.5);
    assert!(
        confirmed.elapsed() < Duration::from_secs(6),
        "this machine is too slow for this test"
    );
    assert_stale(&larder, &index, 2..=7, "confirmed since it was stored");
    let larder = larder.restart();
    sleep_until(confirmed, 8.1);
    assert_expired(
        &larder,
        &index,
        "8 s after the last word, two restarts later",
    );
}

/// What a bundle carries was said before it was made.
#[test]
fn r11_a_page_that_was_carried_here_is_no_younger_than_its_bundle() {
    let (gitlab, index) = (GitLab::start(), index());
    let near = larder(&gitlab, &index, NEVER_FRESH, "");
    warm(&near, &index);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bundle = path_in(folder.path(), "bundle");
    well(&near.command(&["export", &bundle, "--json"]));
    std::thread::sleep(Duration::from_millis(4_100));
    let far = larder(&gitlab, &index, NEVER_FRESH, "stale_if_error = \"3s\"");
    well(&far.command(&["import", &bundle, "--json"]));
    index.stop();
    assert_expired(&far, &index, "imported 4 s after the bundle was made");
}

#[test]
fn the_disk_does_not_grow_when_a_page_is_only_confirmed() {
    let gitlab = GitLab::start();
    for validators in [Validators::Strong, Validators::Date, Validators::None] {
        let index = index();
        index.set(|settings| settings.validators = validators);
        let larder = larder(&gitlab, &index, NEVER_FRESH, "");
        warm(&larder, &index);
        let larder = larder.restart();
        let bytes = |larder: &Larder| {
            let totals = well(&larder.command(&["stats", "--json"]));
            (
                totals[0]["index"]["bytes"].clone(),
                totals[0]["stored_bytes"].clone(),
            )
        };
        let before = bytes(&larder);
        for _ in 0..10 {
            for accept in FORMATS {
                get_as(&larder.client(), &page(PROJECT), accept).expect(200);
            }
        }
        // What is put away behind an answer is there after a restart at the latest.
        let larder = larder.restart();
        assert_eq!(bytes(&larder), before, "{validators:?}");
    }
}

/// A mirror that is asked with a credential of larder's own.
fn with_credential(
    gitlab: &GitLab,
    index: &PublicIndex,
    pages: &str,
) -> (tempfile::TempDir, Larder) {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("token");
    std::fs::write(&secret, "s3cret\n").expect("a writable folder");
    index.set(|settings| settings.credential = Some(("ann".to_owned(), "s3cret".to_owned())));
    let lines = format!("{NEVER_FRESH}\nusername = \"ann\"\ntoken_file = {secret:?}");
    let larder = larder(gitlab, index, &lines, pages);
    (folder, larder)
}

fn reasons(larder: &Larder) -> Vec<(String, String)> {
    let reply = larder
        .client()
        .get_with("/-/health/ready", &[("Accept", "application/json")]);
    let told = reply.json();
    let reasons = told["reasons"].as_array().expect("a list").clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    reasons
        .iter()
        .map(|reason| (text(&reason["reason"]), text(&reason["upstream"])))
        .collect()
}

#[test]
fn r35_a_credential_of_larders_own_that_is_refused_is_larders_trouble_and_readiness_says_so() {
    let (gitlab, index) = (GitLab::start(), index());
    let (_folder, larder) = with_credential(&gitlab, &index, "stale_if_error = \"5s\"");
    warm(&larder, &index);
    assert_eq!(reasons(&larder), []);
    let start = Instant::now();
    index.set(|settings| settings.credential = Some(("ann".to_owned(), "another".to_owned())));
    assert_stale(&larder, &index, 0..=4, "401 to larder");
    let refused = ("credential_refused".to_owned(), "pypi".to_owned());
    assert!(
        reasons(&larder).contains(&refused),
        "{:?}",
        reasons(&larder)
    );
    assert_eq!(
        larder.metric("larder_degraded{reason=\"credential_refused\"}"),
        Some(1.0)
    );
    let larder = larder.restart();
    assert_stale(&larder, &index, 0..=5, "401 to larder, after a restart");
    assert!(
        reasons(&larder).contains(&refused),
        "{:?}",
        reasons(&larder)
    );
    sleep_until(start, 5.1);
    let expired = get_as(&larder.client(), &page(PROJECT), JSON);
    assert_eq!(expired.status, 502, "{expired:?}");
    assert!(expired.text().contains("token_file"), "{expired:?}");
    index.set(|settings| settings.credential = Some(("ann".to_owned(), "s3cret".to_owned())));
    get_as(&larder.client(), &page(PROJECT), JSON).expect(200);
    assert!(
        !reasons(&larder).contains(&refused),
        "{:?}",
        reasons(&larder)
    );
}

#[test]
fn r34_a_403_ends_what_was_stored_also_when_larder_showed_a_credential() {
    let (gitlab, index) = (GitLab::start(), index());
    let (_folder, larder) = with_credential(&gitlab, &index, "");
    warm(&larder, &index);
    index.plan(Act::Answer(Answer::html(403)).at(Kind::Page));
    let told = get_as(&larder.client(), &page(PROJECT), JSON);
    assert_eq!(told.status, 502, "{told:?}");
    index.stop();
    assert_gone(&larder, &index, "403 to larder");
    let larder = larder.restart();
    assert_gone(&larder, &index, "403 to larder, after a restart");
}

#[test]
fn a_refusal_of_a_mirror_that_was_shown_no_credential_goes_on_as_it_is() {
    let gitlab = GitLab::start();
    for status in [401, 403, 451] {
        let index = index();
        let larder = larder(&gitlab, &index, NEVER_FRESH, "");
        index.plan(
            Act::Answer(Answer::html(status))
                .at(Kind::Page)
                .containing("absent"),
        );
        for accept in FORMATS {
            let reply = get_as(&larder.client(), &page("absent"), accept);
            assert_eq!(reply.status, status, "{accept}: {reply:?}");
            let member = larder.client().token(token::READER);
            let reply = get_as(&member, &path::group_page(7, "absent"), accept);
            assert_eq!(
                reply.status, status,
                "{accept}, in GitLab's place: {reply:?}"
            );
            // What a mirror refuses says nothing of the caller's rights at GitLab.
            member.get(&path::project_page(42, "my-pkg")).expect(200);
        }
        let sought = larder
            .client()
            .get("/pypi/packages/aa/absent-1.0-py3-none-any.whl");
        assert_eq!(sought.status, status, "the file: {sought:?}");
        let address = file(&index, &wheel().filename);
        index.plan(Act::Answer(Answer::html(status)).at(Kind::File));
        let sought = larder.client().get(&address);
        assert_eq!(sought.status, status, "the file's own host: {sought:?}");
        assert_eq!(reasons(&larder), [], "nothing is wrong with larder");
    }
}

#[test]
fn a_mirrors_page_is_asked_for_first_past_fresh_for_and_stale_while_revalidate() {
    let gitlab = GitLab::start();
    let newer = Distribution::new("Some.Lib", "1.3").wheel();
    for (while_revalidate, at, shown) in [("0s", 2.2, 2), ("10s", 2.2, 1), ("1s", 3.2, 2)] {
        let index = index();
        let pages =
            format!("stale_while_revalidate = \"{while_revalidate}\"\nrefresh_ahead_hits = 0");
        let larder = larder(&gitlab, &index, "ttl = \"2s\"", &pages);
        get_as(&larder.client(), &page(PROJECT), JSON).expect(200);
        let start = Instant::now();
        index.publish(&newer);
        sleep_until(start, at);
        let case = format!("{while_revalidate} at {at} s");
        let reply = get_as(&larder.client(), &page(PROJECT), JSON);
        assert_eq!(names(&reply).len(), shown, "{case}: {reply:?}");
        if shown == 1 {
            assert!(age(&reply) >= 2, "{case}: {reply:?}");
        }
    }
}

#[test]
fn a_file_is_found_by_its_page_no_longer_than_the_page_is_shown() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(
        &gitlab,
        &index,
        "ttl = \"1s\"",
        "stale_while_revalidate = \"0s\"",
    );
    warm(&larder, &index);
    index.plan(Act::Answer(Answer::html(404)).at(Kind::Page));
    std::thread::sleep(Duration::from_millis(1_100));
    let reply = larder.client().get(&file(&index, &wheel().filename));
    assert_eq!(reply.status, 404, "{reply:?}");
}

#[test]
fn a_path_that_no_page_lists_asks_one_page_at_most() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, "", "");
    for sought in [
        "a-1-2-3-4-5-6-7-8-9.tar.gz",
        "unknown-2.0-py3-none-any.whl",
        "b-c-d-1.0-beta-2.zip",
        "some-lib-9-1.tar.gz",
    ] {
        index.log().clear();
        let reply = larder
            .client()
            .get(&format!("/pypi/packages/aa/bb/{sought}"));
        assert_eq!(reply.status, 404, "{sought}: {reply:?}");
        let asked = index.log().count(Kind::Page);
        assert!(asked <= 1, "{sought}: {asked} pages");
    }
}

#[test]
fn an_sdist_whose_name_can_be_read_in_two_ways_is_found_by_the_page_that_lists_it() {
    let (gitlab, index) = (GitLab::start(), index());
    let sdist = Artifact::noise("twofold", "1.0", 3_000);
    // "twofold 1.0-1", or "twofold-1.0 1".
    let sdist = Artifact {
        filename: "twofold-1.0-1.tar.gz".to_owned(),
        ..sdist
    };
    index.publish(&sdist);
    let larder = larder(&gitlab, &index, NEVER_FRESH, "");
    let shown = get_as(&larder.client(), &page("twofold"), JSON);
    let address = listed(&shown)[0].url.clone();
    assert_eq!(larder.client().get(&address).expect(200), &sdist.bytes[..]);
    let larder = larder.restart();
    assert_eq!(
        larder.client().get(&address).expect(200),
        &sdist.bytes[..],
        "by the page that is stored"
    );
}

#[test]
fn a_mirrors_404_is_remembered_for_a_while_and_no_longer() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, "ttl = \"10m\"", "ttl = \"2s\"");
    for _ in 0..3 {
        for accept in FORMATS {
            assert_eq!(get_as(&larder.client(), &page("late"), accept).status, 404);
        }
        assert_eq!(
            larder
                .client()
                .get("/pypi/packages/aa/late-1.0-py3-none-any.whl")
                .status,
            404
        );
        assert_eq!(
            get_as(
                &larder.client().token(token::READER),
                &path::group_page(7, "late"),
                JSON
            )
            .status,
            404
        );
    }
    assert_eq!(index.log().count(Kind::Page), 1);
    index.publish(Distribution::new("late", "1.0").wheel());
    let insisting = [("Accept", JSON), ("Cache-Control", "no-cache")];
    assert_eq!(
        larder.client().get_with(&page("late"), &insisting).status,
        200,
        "uv --refresh"
    );
    assert_eq!(
        get_as(&larder.client(), &page("late"), HTML).status,
        200,
        "one word for both formats"
    );
    let larder = larder.restart();
    assert_eq!(get_as(&larder.client(), &page("later"), JSON).status, 404);
    index.publish(Distribution::new("later", "1.0").wheel());
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(get_as(&larder.client(), &page("later"), JSON).status, 200);
}

/// A folder in which a page of the mirror was put at this time of the wall clock, and a file that
/// it lists.
fn stored(gitlab: &GitLab, index: &PublicIndex, asked: SystemTime) -> Larder {
    let mut larder = larder(gitlab, index, NEVER_FRESH, "");
    larder
        .client()
        .get(&file(index, &wheel().filename))
        .expect(200);
    kept(&larder, &wheel());
    larder.terminate();
    let store = Store::open(&larder.cache_dir(), 1 << 30).expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let route = Route::from_path(&page(PROJECT)).expect("a page");
    let purged = store
        .pages
        .forget(&route, Format::Json)
        .and(store.pages.forget(&route, Format::Html));
    purged.expect("a disk");
    let url = format!("{}{PROJECT}/", index.url());
    let link = format!(
        "{}{}",
        index.files_prefix(),
        index.file_path(&wheel().filename)
    );
    let body = serde_json::json!({
        "meta": { "api-version": "1.0" }, "name": PROJECT,
        "files": [{ "filename": wheel().filename, "url": link, "hashes": { "sha256": wheel().sha256 } }],
    });
    let meta = PageMeta {
        etag: None,
        last_modified: None,
        url,
    };
    let put = store
        .pages
        .store(&route, Format::Json, meta, body.to_string().into(), asked);
    runtime.block_on(put).expect("a disk");
    index.stop();
    drop(store);
    larder.restart()
}

#[test]
fn r19_a_page_on_disk_is_as_old_as_it_is_and_one_from_the_future_is_not_believed() {
    let gitlab = GitLab::start();
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    for (asked, age) in [
        (now - day, Some(day)),
        (now - 8 * day, None),
        (now - 3650 * day, None),
        (now + day, None),
    ] {
        let index = index();
        let larder = stored(&gitlab, &index, asked);
        let address = file(&index, &wheel().filename);
        for reply in [
            get_as(&larder.client(), &page(PROJECT), JSON),
            larder.client().get(&address),
        ] {
            match age {
                Some(told) => {
                    reply.expect(200);
                    assert!(age_is(&reply, told), "{reply:?}");
                }
                None => assert_eq!(reply.status, 504, "{asked:?}: {reply:?}"),
            }
        }
    }
}

fn age_is(reply: &Reply, told: Duration) -> bool {
    (told.as_secs()..told.as_secs() + 600).contains(&age(reply))
}
