//! The rules of the schema, against what they say.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::simple::ProjectName;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn set(records: &[Value]) -> AdvisorySet {
    let mut builder = AdvisorySetBuilder::default();
    for (place, record) in (0..).zip(records) {
        // What cannot be read is counted.
        let _ = builder.add(record.to_string().as_bytes(), place);
    }
    builder.finish()
}

/// A record of `acme` with these events in one range, and these versions.
fn record(id: &str, events: Value, versions: Value) -> Value {
    json!({
        "id": id,
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": "Acme_Tools"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
            "versions": versions,
        }],
    })
}

fn affects(set: &AdvisorySet, version: &str) -> bool {
    let name = ProjectName::parse("acme-tools").expect("a name");
    let release = Release::parse(version);
    set.of(&name)
        .iter()
        .any(|advisory| advisory.affects(Some(&release)))
}

#[test]
fn ranges_are_evaluated_as_the_schema_has_it() {
    let everything = json!([{"introduced": "0"}]);
    let table: [(Value, &[&str], &[&str]); 10] = [
        (everything, &["0.0.dev0", "1", "9!1"], &[]),
        (
            json!([{"introduced": "0"}, {"fixed": "1.2"}]),
            &["1.1", "1.2rc1", "1.2.dev1", "0"],
            &["1.2", "1.2.0", "1.2.post1", "2"],
        ),
        (
            json!([{"introduced": "1.0"}, {"last_affected": "1.2"}]),
            &["1", "1.2.0", "1.2+cu118"],
            &["1.0rc1", "1.2.post1", "1.2.1"],
        ),
        (
            json!([{"fixed": "1.2"}, {"introduced": "2"}, {"introduced": "1"}]),
            &["1", "1.1", "2", "3"],
            &["0.9", "1.2", "1.9"],
        ),
        (
            json!([{"introduced": "1"}, {"last_affected": "1"}]),
            &["1", "1.0"],
            &["1.0.1", "0.9"],
        ),
        (
            json!([{"introduced": "1"}, {"fixed": "1"}]),
            &[],
            &["0.9", "1", "2"],
        ),
        (
            json!([{"introduced": "0"}, {"limit": "2"}, {"limit": "3"}]),
            &["1", "2.9"],
            &["3", "4"],
        ),
        (
            json!([{"introduced": "0"}, {"limit": "*"}]),
            &["1", "99"],
            &[],
        ),
        (
            json!([{"introduced": "1.0"}, {"fixed": "1.0+mended.1"}]),
            &["1.0", "1.0+build"],
            &["1.0+mended.1", "1.1"],
        ),
        (json!([{"fixed": "1.2"}]), &[], &["1.1", "1.2"]),
    ];
    for (events, affected, others) in table {
        let set = set(&[record("PYSEC-1", events.clone(), json!([]))]);
        for version in affected {
            assert!(affects(&set, version), "{events}: {version}");
        }
        for version in others {
            assert!(!affects(&set, version), "{events}: {version}");
        }
    }
}

#[test]
fn listed_versions_are_compared_by_pep_440() {
    let listed = json!(["1.0", "2.0.0rc1", "v3", "not a version", "4+cu118"]);
    let set = set(&[record("MAL-2026-1", json!([]), listed)]);
    for version in [
        "1",
        "1.0.0",
        "v1.0",
        "1.0+cu118",
        "1.0_0",
        "2rc1",
        "2.0-RC1",
        "3",
        "Not a version",
        "4+CU118",
    ] {
        let expected = version != "1.0_0";
        assert_eq!(affects(&set, version), expected, "{version}");
    }
    for version in ["1.1", "2", "3.0.1", "4", "4+cu117", "x", ""] {
        assert!(!affects(&set, version), "{version}");
    }
}

#[test]
fn what_has_no_readable_version_is_affected_by_malware_alone() -> Checked {
    let vulnerable = record("GHSA-1", json!([{"introduced": "0"}]), json!([]));
    let malware = record("MAL-1", json!([]), json!(["1"]));
    let set = set(&[vulnerable, malware]);
    let all = set.of(&ProjectName::parse("acme.tools")?);
    let hit: Vec<_> = all.iter().filter(|one| one.affects(None)).collect();
    assert_eq!(hit.len(), 1);
    assert_eq!(&*hit[0].id, "MAL-1");
    Ok(())
}

#[test]
fn malware_is_known_by_its_id_or_an_alias_and_comes_first() -> Checked {
    let everything = || json!([{"introduced": "0"}]);
    let mut aliased = record("GHSA-2", everything(), json!([]));
    aliased["aliases"] = json!(["CVE-1", "MAL-2026-7"]);
    let mut severe = record("PYSEC-3", everything(), json!([]));
    severe["database_specific"] = json!({"severity": "CRITICAL"});
    let set = set(&[record("GHSA-1", everything(), json!([])), severe, aliased]);
    let all = set.of(&ProjectName::parse("acme-tools")?);
    let told: Vec<_> = all.iter().map(Advisory::telling_id).collect();
    assert_eq!(told, ["MAL-2026-7", "PYSEC-3", "GHSA-1"]);
    assert_eq!((set.counts.malware, set.counts.vulnerabilities), (1, 2));
    Ok(())
}

#[test]
fn the_highest_severity_that_is_stated_anywhere_counts() -> Checked {
    let everything = || json!([{"introduced": "0"}]);
    let mut rated = record("CVE-9", everything(), json!([]));
    rated["severity"] = json!([
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
        {"type": "Ubuntu", "score": "low"},
    ]);
    let mut of_alias = record("PYSEC-9", everything(), json!([]));
    of_alias["aliases"] = json!(["CVE-9", "GHSA-none"]);
    let mut of_v4 = record("GHSA-4", everything(), json!([]));
    of_v4["affected"][0]["severity"] = json!([{
        "type": "CVSS_V4",
        "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:L/VA:L/SC:N/SI:N/SA:N",
    }]);
    let mut odd = record("GHSA-5", everything(), json!([]));
    odd["database_specific"] = json!({"severity": ["x"], "more": {"a": 1}});
    let mut word = record("GHSA-6", everything(), json!([]));
    word["database_specific"] = json!({"severity": "MODERATE"});
    let set = set(&[rated, of_alias, of_v4, odd, word]);
    let all = set.of(&ProjectName::parse("acme-tools")?);
    let severity = |id: &str| {
        let mut found = all.iter().filter(|one| &*one.id == id);
        found.next().map(|one| one.severity)
    };
    assert_eq!(severity("CVE-9"), Some(Severity::Critical));
    assert_eq!(severity("PYSEC-9"), Some(Severity::Critical));
    assert!(severity("GHSA-4") >= Some(Severity::Medium));
    assert_eq!(severity("GHSA-5"), Some(Severity::Unrated));
    assert_eq!(severity("GHSA-6"), Some(Severity::Medium));
    Ok(())
}

#[test]
fn a_record_that_is_no_good_loses_nothing_else() {
    let good = record("MAL-1", json!([{"introduced": "0"}]), json!([]));
    let mut withdrawn = record("MAL-2", json!([{"introduced": "0"}]), json!([]));
    withdrawn["withdrawn"] = json!("2026-02-01T00:00:00Z");
    withdrawn["affected"][0]["package"]["name"] = json!("other");
    let mut npm = record("MAL-3", json!([{"introduced": "0"}]), json!([]));
    npm["affected"][0]["package"]["ecosystem"] = json!("npm");
    let mut git = record("PYSEC-4", json!([{"introduced": "0"}]), json!(["7"]));
    git["affected"][0]["ranges"][0]["type"] = json!("GIT");
    git["affected"][0]["package"]["name"] = json!("git");
    let mut bound = record(
        "PYSEC-5",
        json!([{"introduced": "no version"}]),
        json!(["7"]),
    );
    bound["affected"][0]["package"]["name"] = json!("bound");
    let nulls = json!({"id": "GHSA-6", "aliases": null, "affected": null, "severity": null});
    let set = set(&[
        json!({"id": 7}),
        json!([1]),
        json!({"id": "MAL-\u{7}x", "affected": []}),
        good,
        withdrawn,
        npm,
        git,
        bound,
        nulls,
    ]);
    assert!(affects(&set, "1"));
    let counts = RecordCounts {
        malware: 1,
        vulnerabilities: 2,
        packages: 3,
        withdrawn: 1,
        other: 2,
        ignored_ranges: 2,
        unreadable: 3,
    };
    assert_eq!(set.counts, counts);
    assert_eq!(set.place("MAL-1"), Some(3));
    assert_eq!(set.place("MAL-2"), None);
}

#[test]
fn of_two_records_with_one_id_the_later_one_counts() {
    let old = record("MAL-1", json!([{"introduced": "0"}]), json!([]));
    let mut new = record("MAL-1", json!([]), json!(["2"]));
    new["modified"] = json!("2026-06-01T00:00:00Z");
    for records in [[old.clone(), new.clone()], [new, old]] {
        let set = set(&records);
        assert!(affects(&set, "2") && !affects(&set, "1"));
    }
}

#[test]
fn old_records_close_the_door_unless_they_may_serve() {
    let dated = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let day = Duration::from_secs(86_400);
    for (max_age, rule, later, closed) in [
        (day, StaleRule::Refuse, day, None),
        (
            day,
            StaleRule::Refuse,
            day * 2,
            Some(FeedState::Stale(day * 2)),
        ),
        (day, StaleRule::Serve, day * 2, None),
        (Duration::ZERO, StaleRule::Refuse, day * 2000, None),
    ] {
        let feed = AdvisoryFeed::new(max_age, rule);
        let missing = (rule == StaleRule::Refuse).then_some(FeedState::Missing);
        assert_eq!(feed.closed(dated), missing);
        feed.replace(Arc::default(), dated);
        assert_eq!(feed.closed(dated + later), closed);
        feed.replace(Arc::default(), dated + later);
        assert_eq!(feed.closed(dated + later), None);
        assert_eq!(feed.generation(), 2);
    }
}

proptest! {
    #[test]
    fn a_range_holds_what_walking_its_events_finds(
        events in proptest::collection::vec((0..3u8, 0..8u32), 0..6),
        version in 0..9u32,
    ) {
        let mut written = Vec::new();
        for (kind, bound) in &events {
            let kind = ["introduced", "fixed", "last_affected"][usize::from(*kind)];
            // Not `0`, which is before all versions.
            written.push(json!({kind: format!("1.{bound}")}));
        }
        let mut sorted = events.clone();
        sorted.sort_by_key(|(kind, bound)| (*bound, *kind));
        let mut hit = false;
        for (kind, bound) in sorted {
            match kind {
                0 if version >= bound => hit = true,
                1 if version >= bound => hit = false,
                2 if version > bound => hit = false,
                _ => {}
            }
        }
        let set = set(&[record("PYSEC-1", json!(written), json!([]))]);
        prop_assert_eq!(affects(&set, &format!("1.{version}")), hit);
    }

    #[test]
    fn many_records_are_found_as_each_is(
        records in proptest::collection::vec((0..3u8, 0..6u32, 0..6u32, any::<bool>()), 8..20),
        version in 0..7u32,
        label in prop_oneof![Just(""), Just("+cu1"), Just(".dev1"), Just(".0")],
    ) {
        let mut written = Vec::new();
        for (number, (kind, from, to, is_listed)) in records.iter().enumerate() {
            let end = ["fixed", "last_affected", "limit"][usize::from(*kind)];
            let from = match from {
                0 => "0".to_owned(),
                from => format!("1.{from}"),
            };
            let events = json!([{"introduced": from}, {end: format!("1.{to}")}]);
            let listed = match is_listed {
                true => json!([format!("1.{to}")]),
                false => json!([]),
            };
            written.push(record(&format!("PYSEC-{number:03}"), events, listed));
        }
        let set = set(&written);
        let name = ProjectName::parse("acme-tools").expect("a name");
        let release = Release::parse(&format!("1.{version}{label}"));
        let mut all = set.of(&name).iter();
        let each = all.find(|one| one.affects(Some(&release))).map(|one| one.id.clone());
        let found = set.gravest(&name, &[], || Some(release.clone())).map(|one| one.id.clone());
        prop_assert_eq!(found, each);
    }

    #[test]
    fn no_text_makes_it_stumble(text in "\\PC{0,60}", version in "\\PC{0,20}") {
        let mut builder = AdvisorySetBuilder::default();
        let is_read = builder.add(text.as_bytes(), 0).is_ok();
        prop_assert!(!is_read || text.trim_start().starts_with(['{', '[']), "{text}");
        let _ = Release::parse(&version);
        let hostile = record("MAL-1", json!([{"introduced": text, "fixed": version}]), json!([text, version]));
        let set = set(&[hostile]);
        prop_assert!(set.counts.readable() == 1);
    }
}
