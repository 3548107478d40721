//! What is known to be malware is left out of pages and refused by its address, by whatever way it
//! is asked for: hit or miss, GitLab's or a mirror's, online and offline, and what was cached before.
//! What is vulnerable is given and said, or refused.

use std::time::Duration;

use serde_json::Value;

use crate::common::advisories::{Records, of_all, rated, record, section, wait_for_malware};
use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{FORMATS, JSON, file, get_as, metadata, names, page};
use crate::support::{
    Artifact, Client, Distribution, GitLab, Larder, PublicIndex, Reply, path, token,
};

const ID: &str = "MAL-2026-1234";

fn artifact(version: &str) -> Artifact {
    Distribution::new("some.lib", version)
        .payload(20_000)
        .wheel()
}

/// A source distribution in the form of before PEP 625.
fn sdist(version: &str) -> Artifact {
    Distribution::new("some.lib", version).sdist()
}

fn malware() -> Value {
    record(ID, "Some_Lib", &["2.0"])
}

/// GitLab and a mirror with the same project: 1.0 is good, 2.0 is malware.
struct World {
    gitlab: GitLab,
    index: PublicIndex,
    records: Records,
}

impl World {
    fn new(records: &[Value]) -> Self {
        let gitlab = GitLab::start();
        let mut index = PublicIndex::builder();
        for version in ["1.0", "2.0"] {
            gitlab.publish(42, artifact(version));
            index = index.offering(artifact(version));
        }
        index = index.offering(sdist("2.0"));
        Self {
            gitlab,
            index: index.start(),
            records: Records::new(records),
        }
    }

    fn larder(&self, policy: &str) -> Larder {
        self.builder(policy).start()
    }

    fn builder(&self, policy: &str) -> crate::support::larder::Builder {
        Larder::builder(&self.gitlab)
            .mirror("pypi", &self.index)
            .sections(policy)
    }

    /// Every address of a version's wheel and metadata.
    fn addresses(&self, version: &str) -> Vec<String> {
        let wheel = artifact(version);
        let own = path::project_file(42, &wheel);
        vec![
            own.clone(),
            format!("{own}.metadata"),
            path::group_file(7, &wheel),
            file(&self.index, &wheel.filename),
            metadata(&self.index, &wheel.filename),
        ]
    }

    fn pages(&self) -> [String; 3] {
        [
            path::project_page(42, "some-lib"),
            path::group_page(7, "some-lib"),
            page("some-lib"),
        ]
    }
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// With the words of its reasons.
fn readiness(larder: &Larder) -> Reply {
    let client = larder.client();
    client.get_with("/-/health/ready", &[("Accept", "application/json")])
}

#[track_caller]
fn assert_refused(reply: &Reply, case: &str) {
    assert_eq!(reply.status, 403, "{case}: {reply:?}");
    assert!(reply.is_complete(), "{case}: {reply:?}");
    assert_eq!(
        reply.header("Cache-Status"),
        Some("larder; detail=denied"),
        "{case}: {reply:?}"
    );
    assert!(
        reply.body.is_empty() || reply.text().contains(ID),
        "{case}: {reply:?}"
    );
}

/// Every way to ask for what is malware.
fn assert_all_refused(world: &World, larder: &Larder, case: &str) {
    let client = reader(larder);
    for address in world.addresses("2.0") {
        let case = format!("{case}: {address}");
        assert_refused(&client.get(&address), &case);
        assert_refused(&client.head(&address), &case);
        assert_refused(&client.get_range(&address, "bytes=0-9"), &case);
        assert_refused(&client.get_range(&address, "bytes=-9"), &case);
        let tag = format!("\"{}\"", artifact("2.0").sha256);
        assert_refused(&client.get_if_none_match(&address, &tag), &case);
        let resumed = [("Range", "bytes=5-"), ("If-Range", tag.as_str())];
        assert_refused(&client.get_with(&address, &resumed), &case);
    }
    for accept in FORMATS {
        for address in world.pages() {
            let shown = get_as(&client, &address, accept);
            let case = format!("{case}: {accept} {address}");
            assert_eq!(names(&shown), [artifact("1.0").filename], "{case}");
            assert!(!shown.text().contains("-2.0"), "{case}: {shown:?}");
        }
    }
}

#[test]
fn r34_malware_is_left_out_of_pages_and_refused_by_its_address() {
    let world = World::new(&[malware()]);
    let larder = world.larder(&world.records.section(""));
    assert_all_refused(&world, &larder, "cold");
    let good = file(&world.index, &artifact("1.0").filename);
    assert_eq!(
        reader(&larder).get(&good).expect(200),
        &artifact("1.0").bytes[..]
    );
    assert_all_refused(&world, &larder, "once more");
    larder.wait_for_log(ID);
    let counted = larder.metric("larder_policy_refusals_total{policy=\"malware\"}");
    assert!(
        counted.is_some_and(|count| count > 0.0),
        "{}",
        larder.metrics()
    );
}

#[test]
fn r34_what_was_cached_before_its_record_came_is_refused_from_then_on() {
    let world = World::new(&[of_all("MAL-2026-1", "another")]);
    let larder = world.larder(&world.records.section(""));
    let client = reader(&larder);
    for address in world.addresses("2.0") {
        client.get(&address).expect(200);
    }
    kept(&larder, &artifact("2.0"));
    let mut tags = Vec::new();
    for accept in FORMATS {
        for address in world.pages() {
            let shown = get_as(&client, &address, accept);
            assert!(names(&shown).contains(&artifact("2.0").filename));
            let tag = shown.header("ETag").unwrap_or_default().to_owned();
            tags.push((address, accept, tag));
        }
    }
    world
        .records
        .replace(&[of_all("MAL-2026-1", "another"), malware()]);
    wait_for_malware(&larder, 2);
    for (address, accept, tag) in tags {
        let headers = [("Accept", accept), ("If-None-Match", tag.as_str())];
        let shown = client.get_with(&address, &headers);
        shown.expect(200);
        assert!(!shown.text().contains("-2.0"), "{accept} {address}");
    }
    assert_all_refused(&world, &larder, "in memory");
    let larder = larder.restart();
    assert_all_refused(&world, &larder, "after a restart");
    world.gitlab.stop();
    world.index.stop();
    let pages = |larder: &Larder| {
        for accept in FORMATS {
            for address in world.pages() {
                let shown = get_as(&reader(larder), &address, accept);
                assert!(!shown.text().contains("-2.0"), "stale {accept} {address}");
            }
        }
    };
    pages(&larder);
    for address in world.addresses("2.0") {
        assert_refused(&reader(&larder).get(&address), "stale");
    }
}

#[test]
fn r34_a_record_that_is_withdrawn_lets_its_file_pass_again() {
    let world = World::new(&[malware()]);
    let larder = world.larder(&world.records.section(""));
    assert_all_refused(&world, &larder, "known");
    let mut withdrawn = malware();
    withdrawn["withdrawn"] = "2026-11-02T00:00:00Z".into();
    world
        .records
        .replace(&[withdrawn, of_all("MAL-2026-1", "another")]);
    eventually("it is withdrawn", || {
        larder.metric("larder_advisories{kind=\"withdrawn\"}") == Some(1.0)
    });
    for address in world.addresses("2.0") {
        reader(&larder).get(&address).expect(200);
    }
    for address in world.pages() {
        let shown = get_as(&reader(&larder), &address, JSON);
        assert!(
            names(&shown).contains(&artifact("2.0").filename),
            "{address}"
        );
    }
}

#[test]
fn r34_offline_malware_stays_refused() {
    let world = World::new(&[of_all("MAL-2026-1", "another")]);
    let mut online = world.larder("");
    for version in ["1.0", "2.0"] {
        for address in world.addresses(version) {
            reader(&online).get(&address).expect(200);
        }
        kept(&online, &artifact(version));
    }
    for accept in FORMATS {
        for address in world.pages() {
            get_as(&reader(&online), &address, accept).expect(200);
        }
    }
    let policy = world.records.section("");
    let offline = Larder::builder(&world.gitlab)
        .mirror("pypi", &world.index)
        .setting("offline = true")
        .sections(&policy)
        .sections("[auth]\noffline = \"open\"")
        .at_home_of(&online);
    online.terminate();
    world.records.replace(&[malware()]);
    let offline = offline.start();
    assert_all_refused(&world, &offline, "offline");
    let good = file(&world.index, &artifact("1.0").filename);
    offline.client().get(&good).expect(200);
}

#[test]
fn r34_a_vulnerable_release_is_given_and_said_once_or_refused() {
    let vulnerable = rated(record("GHSA-aaaa-bbbb-cccc", "some-lib", &["2.0"]), "HIGH");
    let world = World::new(&[vulnerable.clone(), of_all("MAL-2026-1", "another")]);
    let larder = world.larder(&world.records.section(""));
    let wheel = file(&world.index, &artifact("2.0").filename);
    for _ in 0..5 {
        reader(&larder).get(&wheel).expect(200);
    }
    larder.wait_for_log("GHSA-aaaa-bbbb-cccc");
    let lines = larder.log().matches("GHSA-aaaa-bbbb-cccc").count();
    assert_eq!(lines, 1, "{}", larder.log());
    eventually("each is counted", || {
        larder.metric("larder_vulnerable_files_total{severity=\"high\"}") == Some(5.0)
    });

    let refusing = world.larder(&world.records.section("vulnerable = \"refuse\""));
    let refused = reader(&refusing).get(&wheel);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(
        refused.text().contains("GHSA-aaaa-bbbb-cccc"),
        "{refused:?}"
    );
    for address in world.pages() {
        let shown = get_as(&reader(&refusing), &address, JSON);
        assert_eq!(names(&shown), [artifact("1.0").filename], "{address}");
    }
    let lenient = "vulnerable = \"refuse\"\nmin_severity = \"critical\"";
    let lenient = world.larder(&world.records.section(lenient));
    reader(&lenient).get(&wheel).expect(200);
}

#[test]
fn r34_an_exception_lets_malware_pass_that_it_names_until_it_ends() {
    let world = World::new(&[malware()]);
    let end = std::time::SystemTime::now() + Duration::from_secs(6);
    let until = humantime::format_rfc3339_seconds(end);
    let exception = format!(
        "[[exceptions]]\npackage = \"some-lib\"\nversion = \"==2.0\"\nuntil = \"{until}\"\nreason = \"looked at\"\n"
    );
    let wheel = file(&world.index, &artifact("2.0").filename);
    let unnamed = world.larder(&format!("{}{exception}", world.records.section("")));
    assert_eq!(
        reader(&unnamed).get(&wheel).status,
        403,
        "no record is named"
    );
    let exception = format!("{exception}advisories = [\"{ID}\"]\n");
    let larder = world.larder(&format!("{}{exception}", world.records.section("")));
    let listed = || {
        let shown = get_as(&reader(&larder), &page("some-lib"), JSON);
        names(&shown).contains(&artifact("2.0").filename)
    };
    reader(&larder).get(&wheel).expect(200);
    assert!(listed());
    eventually("it is over", || reader(&larder).get(&wheel).status == 403);
    eventually("the page is made again", || !listed());
}

/// Beside a feed whose file is replaced each hour: they outlive that, count at once, and are taken
/// away again.
#[test]
fn r34_ones_own_records_count_beside_those_of_a_feed() {
    let world = World::new(&[of_all("MAL-2026-1", "another")]);
    let own = tempfile::tempdir().expect("a temporary folder");
    let keys = format!("own_advisories = \"{}\"", own.path().display());
    let larder = world.larder(&world.records.section(&keys));
    let wheel = file(&world.index, &artifact("2.0").filename);
    reader(&larder).get(&wheel).expect(200);
    let record = own.path().join("some-lib.json");
    std::fs::write(&record, malware().to_string()).expect("a writable folder");
    eventually("it counts", || reader(&larder).get(&wheel).status == 403);
    let another = of_all("MAL-2026-2", "a-third");
    world
        .records
        .replace(&[of_all("MAL-2026-1", "another"), another]);
    wait_for_malware(&larder, 3);
    assert_eq!(reader(&larder).get(&wheel).status, 403);
    std::fs::remove_file(&record).expect("a writable folder");
    eventually("it is gone", || reader(&larder).get(&wheel).status == 200);
}

#[test]
fn r34_records_that_are_too_old_close_larder_or_not_and_readiness_says_so() {
    let world = World::new(&[malware()]);
    let policy = world.records.section("advisories_max_age = \"10m\"");
    world.records.grow_old();
    let larder = world.larder(&policy);
    let good = file(&world.index, &artifact("1.0").filename);
    assert_eq!(reader(&larder).get(&good).status, 503);
    for address in world.pages() {
        let closed = reader(&larder).get(&address);
        assert_eq!(closed.status, 503, "{address}: {closed:?}");
        assert!(closed.text().contains("advisories"), "{closed:?}");
    }
    for address in world.addresses("1.0") {
        assert_eq!(reader(&larder).get(&address).status, 503, "{address}");
    }
    let ready = readiness(&larder);
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.text().contains("advisories_stale"), "{ready:?}");
    // Put there again, they count again.
    world.records.replace(&[malware()]);
    eventually("it is open again", || {
        reader(&larder).get(&good).status == 200
    });

    let policy = format!("{policy}advisories_on_stale = \"serve\"\n");
    world.records.grow_old();
    let open = world.larder(&policy);
    let ready = readiness(&open);
    assert!(ready.text().contains("advisories_stale"), "{ready:?}");
    assert_eq!(ready.status, 200);
    reader(&open).get(&good).expect(200);
    assert_all_refused(&world, &open, "old records count still");
}

#[test]
fn r34_what_cannot_be_read_leaves_the_records_of_before_in_force() {
    let world = World::new(&[malware()]);
    let larder = world.larder(&world.records.section(""));
    world.records.put("<html>no such object</html>\n");
    larder.wait_for_log("those of before stay in force");
    assert_all_refused(&world, &larder, "after an error page");
    let ready = readiness(&larder);
    assert!(ready.text().contains("advisories_unreadable"), "{ready:?}");
    assert_eq!(ready.status, 200);

    let absent = world.larder(&section("/nowhere/at-all.zip".as_ref(), ""));
    let wheel = file(&world.index, &artifact("1.0").filename);
    assert_eq!(reader(&absent).get(&wheel).status, 503);
    let unguarded = section(
        "/nowhere/at-all.zip".as_ref(),
        "advisories_on_stale = \"serve\"",
    );
    let unguarded = world.larder(&unguarded);
    reader(&unguarded).get(&wheel).expect(200);
}

/// What operators are told: `explain`, `check-config`, the status page.
#[test]
fn what_the_records_say_is_told() {
    let world = World::new(&[malware(), serde_json::json!({"no": "record"})]);
    let larder = world.larder(&world.records.section(""));
    let said = |arguments: &[&str]| {
        let output = larder.command(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    for address in [
        file(&world.index, &artifact("2.0").filename),
        path::project_file(42, &artifact("2.0")),
    ] {
        let (code, text) = said(&["explain", &address]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("1 records of malware"), "{text}");
        assert!(
            text.contains(&format!("{ID}: this file is known")),
            "{text}"
        );
    }
    let (_, text) = said(&["explain", &page("some-lib")]);
    assert!(
        text.contains(&format!("{ID} (malware) is about some-lib")),
        "{text}"
    );
    let (code, text) = said(&["check-config"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 records of malware"), "{text}");
    assert!(text.contains("line 2: "), "{text}");
    let status = larder.client().get("/-/status").json();
    assert_eq!(status["policies"]["advisories"]["malware"], 1, "{status}");
}

/// A bundle brings the records, and the far side decides alike.
#[test]
fn r34_the_records_cross_the_gap_and_count_there() {
    let world = World::new(&[of_all("MAL-2026-1", "another")]);
    let mut near = world.larder(&world.records.section(""));
    for version in ["1.0", "2.0"] {
        for address in world.addresses(version) {
            reader(&near).get(&address).expect(200);
        }
        kept(&near, &artifact(version));
    }
    for address in world.pages() {
        reader(&near).get(&address).expect(200);
    }
    let first = near.home().join("first.tar");
    let first = first.to_string_lossy().into_owned();
    let done = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
    };
    done(near.command(&["export", "--advisories", &first]));
    world
        .records
        .replace(&[of_all("MAL-2026-1", "another"), malware()]);
    wait_for_malware(&near, 2);
    let second = near.home().join("second.tar");
    let second = second.to_string_lossy().into_owned();
    done(near.command(&["export", "--advisories", &second]));
    let carries = |bundle: &str, version: &str| {
        let bytes = std::fs::read(bundle).expect("a bundle");
        let name = artifact(version).filename;
        bytes
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    };
    assert!(carries(&first, "2.0") && carries(&second, "1.0"));
    assert!(!carries(&second, "2.0"), "malware is not carried on");
    near.terminate();
    let far = Larder::builder(&world.gitlab)
        .setting("offline = true")
        .mirror("pypi", &world.index)
        .sections("[policy]\nadvisories = \"imported\"")
        .start();
    let wheel = file(&world.index, &artifact("2.0").filename);
    assert_eq!(far.client().get(&wheel).status, 503, "no records yet");
    done(far.command(&["import", &first]));
    wait_for_malware(&far, 1);
    far.client().get(&wheel).expect(200);
    done(far.command(&["import", &second]));
    wait_for_malware(&far, 2);
    assert_refused(&far.client().get(&wheel), "imported");
    for accept in FORMATS {
        let shown = get_as(&far.client(), &page("some-lib"), accept);
        assert!(!shown.text().contains("-2.0"), "{accept}: {shown:?}");
    }
}
