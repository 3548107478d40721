//! Of the policies together; each is tested where it is.

use std::time::Duration;

use super::*;
use crate::registry::{AdvisoryFeed, AdvisorySetBuilder, Severity, StaleRule, VulnerableRule};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn at(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).expect("a time")
}

fn rule(section: &str, undated: Undated) -> AgeRule {
    AgeRule {
        min_age: WEEK,
        undated,
        section: section.into(),
    }
}

fn policies() -> Policies {
    let written = ExceptionConfig {
        package: "urllib3".to_owned(),
        version: "==2.6.1".to_owned(),
        until: "2027-01-31".to_owned(),
        reason: "it fixes what is being exploited".to_owned(),
        advisories: Vec::new(),
    };
    let pypi = Scope::mirror("pypi").expect("a name");
    Policies {
        gitlab: rule("gitlab", Undated::Hide),
        mirrors: HashMap::from([(pypi, rule("mirrors.pypi", Undated::FirstSeen))]),
        exceptions: vec![Arc::new(PolicyException::parse(&written).expect("good"))],
        ..Policies::default()
    }
}

fn judge(scope: &Scope, filename: &str, uploaded: Option<&str>, now: &str) -> PolicyVerdict {
    let file = JudgedFile {
        source: scope,
        project: None,
        filename,
        uploaded: uploaded.map(at),
        first_seen: None,
        status: None,
    };
    policies().judge(&file, at(now))
}

#[test]
fn each_source_has_its_own_rule_and_a_mirror_without_one_has_none() {
    let gitlab = Scope::project(42).expect("a project");
    let pypi = Scope::mirror("pypi").expect("a name");
    let other = Scope::mirror("other").expect("a name");
    let file = "some_lib-1.0.tar.gz";
    let uploaded = Some("2027-01-01T00:00:00Z");
    for (scope, section) in [
        (&gitlab, Some("gitlab.")),
        (&pypi, Some("mirrors.pypi.")),
        (&other, None),
    ] {
        let now = at("2027-01-02T00:00:00Z");
        let refusal = judge(scope, file, uploaded, "2027-01-02T00:00:00Z").check(now);
        match (refusal, section) {
            (Err(refusal), Some(section)) => {
                let said = refusal.to_string();
                assert!(
                    said.contains(section) && said.contains("available in 6days"),
                    "{said}"
                );
                assert_eq!(refusal.reason.ends(), Some(at("2027-01-08T00:00:00Z")));
            }
            (Ok(()), None) => {}
            other => panic!("{scope}: {other:?}"),
        }
        let later = judge(scope, file, uploaded, "2027-01-08T00:00:00Z");
        assert_eq!(later, PolicyVerdict::Allowed, "{scope}");
    }
}

#[test]
fn what_cannot_be_read_of_a_file_counts_against_it_whatever_undated_says() {
    for undated in [Undated::Hide, Undated::Show, Undated::FirstSeen] {
        let policies = Policies {
            gitlab: rule("gitlab", undated),
            ..Policies::default()
        };
        let source = Scope::project(42).expect("a project");
        let file = JudgedFile {
            source: &source,
            project: None,
            filename: "some_lib-1.0-py3-none-any.whl",
            uploaded: None,
            first_seen: None,
            status: None,
        };
        let now = at("2027-01-01T00:00:00Z");
        let verdict = policies.judge(&file.with_unreadable_facts(), now);
        let section = "gitlab".into();
        let refused = PolicyVerdict::Refused(PolicyReason::Undated { section });
        assert_eq!(verdict, refused, "{undated:?}");
        let dated = JudgedFile {
            uploaded: Some(now - 2 * WEEK),
            ..file
        };
        let verdict = policies.judge(&dated.with_unreadable_facts(), now);
        assert_eq!(verdict, PolicyVerdict::Allowed, "what can be read counts");
    }
}

#[test]
fn an_exception_lets_its_versions_pass_until_it_is_over() {
    let gitlab = Scope::project(42).expect("a project");
    let young = Some("2027-01-30T00:00:00Z");
    let excepted = judge(
        &gitlab,
        "urllib3-2.6.1.tar.gz",
        young,
        "2027-01-31T12:00:00Z",
    );
    assert!(
        matches!(&excepted, PolicyVerdict::Excepted(_)),
        "{excepted:?}"
    );
    assert_eq!(excepted.ends(), Some(at("2027-02-01T00:00:00Z")));
    for (filename, uploaded, now) in [
        ("urllib3-2.6.1.tar.gz", young, "2027-02-01T00:00:00Z"),
        ("urllib3-2.6.2.tar.gz", young, "2027-01-31T12:00:00Z"),
        ("urllib4-2.6.1.tar.gz", young, "2027-01-31T12:00:00Z"),
    ] {
        let verdict = judge(&gitlab, filename, uploaded, now);
        assert!(
            matches!(verdict, PolicyVerdict::Refused(_)),
            "{filename} {now}"
        );
    }
    let old = judge(
        &gitlab,
        "urllib3-2.6.1.tar.gz",
        Some("2026-01-01T00:00:00Z"),
        "2027-01-31T12:00:00Z",
    );
    assert_eq!(old, PolicyVerdict::Allowed, "it needs none");
}

#[test]
fn what_is_known_to_be_bad_is_refused_before_its_age_counts_unless_an_exception_names_it() {
    let mut builder = AdvisorySetBuilder::default();
    for (place, record) in (0..).zip([
        r#"{"id": "MAL-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "Some_Lib"}, "versions": ["1.0"]}]}"#,
        r#"{"id": "MAL-2", "affected": [{"package": {"ecosystem": "PyPI", "name": "urllib3"}, "versions": ["2.6.1"]}]}"#,
        r#"{"id": "PYSEC-4", "aliases": ["MAL-4"], "affected": [{"package": {"ecosystem": "PyPI", "name": "urllib3"}, "versions": ["2.6.1"]}]}"#,
        r#"{"id": "GHSA-3", "database_specific": {"severity": "HIGH"}, "affected": [{"package": {"ecosystem": "PyPI", "name": "old"}, "versions": ["1.0"]}]}"#,
    ]) {
        builder.add(record.as_bytes(), place).expect("a record");
    }
    let feed = AdvisoryFeed::new(Duration::ZERO, StaleRule::Refuse);
    let now = at("2027-01-01T00:00:00Z");
    feed.replace(Arc::new(builder.finish()), now);
    let mut policies = policies();
    policies.advisories = AdvisoryRule {
        feed: Some(Arc::new(feed)),
        vulnerable: VulnerableRule::Log,
        min_severity: Severity::Medium,
    };
    let gitlab = Scope::project(42).expect("a project");
    let mirror = Scope::mirror("other").expect("a name");
    let judge = |policies: &Policies, source: &Scope, filename: &str, now: SystemTime| {
        let file = JudgedFile {
            source,
            project: None,
            filename,
            uploaded: Some(now - WEEK / 2),
            first_seen: None,
            status: None,
        };
        let verdict = policies.judge(&file, now);
        match verdict {
            PolicyVerdict::Refused(reason) => reason.label(),
            PolicyVerdict::Excepted(_) => "excepted",
            PolicyVerdict::Allowed => "allowed",
        }
    };
    let wheel = |name: &str| format!("{name}-py3-none-any.whl");
    for (filename, at_gitlab, at_mirror) in [
        (wheel("some_lib-1.0"), "malware", "malware"),
        ("some-lib-1.0.0.tar.gz".to_owned(), "malware", "malware"),
        ("some.lib.tar.gz".to_owned(), "min_age", "allowed"),
        ("some_lib-unknown.zip".to_owned(), "malware", "malware"),
        (wheel("some_lib-1.1"), "min_age", "allowed"),
        (wheel("urllib3-2.6.1"), "malware", "malware"),
        (wheel("old-1.0"), "min_age", "allowed"),
    ] {
        assert_eq!(
            judge(&policies, &gitlab, &filename, now),
            at_gitlab,
            "{filename}"
        );
        assert_eq!(
            judge(&policies, &mirror, &filename, now),
            at_mirror,
            "{filename}"
        );
    }
    let over = at("2027-03-01T00:00:00Z");
    let urllib3 = wheel("urllib3-2.6.1");
    for (named, at_mirror) in [
        (&["MAL-2"][..], "malware"),
        (&["MAL-2", "MAL-5"], "malware"),
        (&["MAL-2", "PYSEC-4"], "excepted"),
        (&["MAL-4", "MAL-2"], "excepted"),
    ] {
        let mut written = policies.exceptions[0].written.clone();
        written.advisories = named.iter().map(|id| (*id).to_owned()).collect();
        policies.exceptions = vec![Arc::new(PolicyException::parse(&written).expect("good"))];
        assert_eq!(
            judge(&policies, &mirror, &urllib3, now),
            at_mirror,
            "{named:?}"
        );
    }
    assert_eq!(judge(&policies, &mirror, &urllib3, over), "malware");
    policies.advisories.vulnerable = VulnerableRule::Refuse;
    assert_eq!(
        judge(&policies, &mirror, &wheel("old-1.0"), now),
        "vulnerable"
    );
    policies.advisories.min_severity = Severity::Critical;
    assert_eq!(judge(&policies, &mirror, &wheel("old-1.0"), now), "allowed");
}

#[test]
fn no_exception_brings_back_what_its_index_has_quarantined() {
    let pypi = Scope::mirror("pypi").expect("a name");
    let now = at("2027-01-30T00:00:00Z");
    let status = |word: &str| ProjectStatus {
        status: word.to_owned(),
        reason: Some("it\nsteals".to_owned()),
    };
    let stated = Some("it steals".into());
    let quarantined = PolicyVerdict::Refused(PolicyReason::Quarantined { reason: stated });
    for (word, expected) in [
        ("quarantined", quarantined),
        ("archived", PolicyVerdict::Allowed),
        ("deprecated", PolicyVerdict::Allowed),
        ("a word of later", PolicyVerdict::Allowed),
    ] {
        let said = status(word);
        // The one file that an exception is about.
        let file = JudgedFile {
            source: &pypi,
            project: None,
            filename: "urllib3-2.6.1.tar.gz",
            uploaded: Some(now - 2 * WEEK),
            first_seen: None,
            status: Some(&said),
        };
        assert_eq!(policies().judge(&file, now), expected, "{word}");
        let without = Policies::default();
        assert_eq!(without.judge(&file, now), expected, "{word}, of no policy");
        assert_eq!(expected.ends(), None, "it ends when its page says so");
    }
}
