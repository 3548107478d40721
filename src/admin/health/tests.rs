//! Every reason has a word, and every word a scene here.

use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::file::FilesReading;
use crate::registry::RecordCounts;
use crate::store::{AdvisoryReading, StoreReading};
use crate::upstream::{BreakerCondition, ParentFault};

fn resting(name: &str) -> PeerReading {
    PeerReading {
        name: name.to_owned(),
        condition: BreakerCondition {
            state: BreakerState::Open,
            since: Some(Duration::from_millis(12_700)),
            next_try: Some(Duration::from_secs(3)),
        },
        last_fault: Some(("timeout", Duration::from_secs(1))),
        ..PeerReading::default()
    }
}

#[test]
fn nothing_amiss_is_ok_and_offline_is_fine() {
    let mut readings = Readings {
        peers: vec![PeerReading::default()],
        ..Readings::default()
    };
    assert_eq!(Health::of(&readings).to_string(), "ok");
    readings.offline = true;
    readings.peers.push(resting("gitlab"));
    let health = Health::of(&readings);
    assert_eq!(
        (health.to_string().as_str(), health.is_ready()),
        ("ok, offline", true)
    );
}

#[test]
fn every_reason_is_said_with_a_word_of_the_closed_set() {
    let disk = |fault| (fault, Duration::from_secs(90), "No space".to_owned());
    let refused = |name: &str| PeerReading {
        name: name.to_owned(),
        refused: Some(Duration::from_secs(3)),
        ..PeerReading::default()
    };
    let day = Duration::from_hours(24);
    let certificates = [
        Judgement::EndsSoon { left: 3 * day },
        Judgement::Expired { ago: day },
        Judgement::NotYet { wait: day },
    ];
    let kinds = [DiskFault::Full, DiskFault::ReadOnly, DiskFault::Failing];
    let mut seen = Vec::new();
    let feeds = [
        FeedState::Stale(day),
        FeedState::Missing,
        FeedState::Current,
    ];
    for ((kind, judgement), state) in kinds.into_iter().zip(certificates).zip(feeds) {
        let readings = Readings {
            peers: vec![
                resting("gitlab"),
                PeerReading::default(),
                resting("pypi"),
                refused("other"),
            ],
            gitlab_fault: Some("there is no GitLab API (404)".to_owned()),
            certificate: Some(CertificateReading {
                not_after: SystemTime::UNIX_EPOCH,
                judgement,
            }),
            files: FilesReading {
                blocked: 2,
                shared_store: Some(SharedStoreReading {
                    fault: Some(("has no such bucket".to_owned(), day)),
                    ..SharedStoreReading::default()
                }),
                ..FilesReading::default()
            },
            store: StoreReading {
                full: true,
                fault: Some(disk(kind)),
                ..StoreReading::default()
            },
            advisories: Some(AdvisoryReading {
                counts: RecordCounts::default(),
                age: Some(day),
                state,
                is_closed: false,
                max_age: day,
                is_refused: true,
            }),
            config_refused: Some(Duration::from_secs(5)),
            stale_answers: vec![Duration::from_secs(7); STALE_ANSWERS_MIN],
            past: vec![GivenPages {
                mirror: None,
                pages: 2,
                oldest: None,
                last: day,
            }],
            parents: vec![
                ParentReading {
                    fault: Some(ParentFault::Loop),
                    is_known: true,
                    ..ParentReading::default()
                },
                ParentReading {
                    is_known: true,
                    serves: vec!["pypi".to_owned()],
                    ..ParentReading::default()
                },
            ],
            ..Readings::default()
        };
        let health = Health::of(&readings);
        assert!(health.is_ready() && health.word == "degraded");
        assert_eq!(health.json()["reasons"].as_array().map(Vec::len), Some(15));
        seen.extend(health.reasons.iter().map(|reason| reason.word));
    }
    for word in REASONS {
        assert!(seen.contains(&word), "{word}");
    }
    assert!(seen.iter().all(|word| REASONS.contains(word)));
}

#[test]
fn a_parent_that_is_known_and_away_is_told_by_what_cannot_be_reached() {
    let away = ParentFault::Away("no answer".to_owned());
    let table = [
        (true, None, 0),
        (true, Some(away.clone()), 0),
        (true, Some(ParentFault::Loop), 1),
        (false, Some(away), 1),
    ];
    for (is_known, fault, reasons) in table {
        let parent = ParentReading {
            is_known,
            fault,
            ..ParentReading::default()
        };
        let health = Health::of(&Readings {
            parents: vec![parent.clone()],
            ..Readings::default()
        });
        assert_eq!(health.reasons.len(), reasons, "{parent:?}");
    }
}

#[test]
fn of_several_parents_the_one_that_is_away_is_named_and_who_stands_in() {
    let parent = |url: &str, fault| ParentReading {
        url: url.to_owned(),
        is_known: true,
        fault,
        ..ParentReading::default()
    };
    let away = ParentFault::Away("no answer".to_owned());
    let mut readings = Readings {
        parents: vec![
            parent("https://a.example", Some(away)),
            parent("https://b.example", None),
        ],
        ..Readings::default()
    };
    let details = |readings: &Readings| {
        let reasons = Health::of(readings).reasons;
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = "the parent at https://a.example: no answer; the other parents stand in for it";
    assert_eq!(details(&readings), [said]);
    // What cannot be reached says it already.
    let peer = |url: &str, peer: PeerReading| PeerReading {
        parent: Some(url.into()),
        has_stand_ins: true,
        ..peer
    };
    let well = PeerReading {
        name: "gitlab".to_owned(),
        ..PeerReading::default()
    };
    readings.peers = vec![
        peer("https://a.example", resting("gitlab")),
        peer("https://b.example", well),
    ];
    let said = "cannot reach the parent at https://a.example for 12s (timeout), next try in 3s; \
                the other parents stand in for it";
    assert_eq!(details(&readings), [said]);
    readings.peers[1].condition = resting("gitlab").condition;
    let both = details(&readings);
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(!both.concat().contains("stand in"), "{both:?}");
}

#[test]
fn the_line_says_who_for_how_long_why_and_when_next() {
    let health = Health::of(&Readings {
        peers: vec![resting("gitlab")],
        ..Readings::default()
    });
    assert_eq!(
        health.to_string(),
        "degraded: cannot reach gitlab for 12s (timeout), next try in 3s"
    );
    assert_eq!(health.json()["reasons"][0]["next_try_seconds"], 3);
}

#[test]
fn a_good_certificate_is_no_reason_and_a_refused_credential_says_which_key() {
    let good = Judgement::Good {
        left: Duration::from_hours(480),
    };
    let certificate = CertificateReading {
        not_after: SystemTime::UNIX_EPOCH,
        judgement: good,
    };
    let peer = PeerReading {
        name: "gitlab".to_owned(),
        refused: Some(Duration::from_secs(61)),
        ..PeerReading::default()
    };
    let readings = Readings {
        certificate: Some(certificate),
        peers: vec![peer],
        ..Readings::default()
    };
    assert_eq!(
        Health::of(&readings).to_string(),
        "degraded: gitlab has refused larder's own credential (gitlab.token_file) for 1m 1s: put a good one there and reload"
    );
}

#[test]
fn a_daemon_that_is_about_to_end_is_not_ready() {
    let health = Health::of(&Readings {
        stopping: true,
        peers: vec![resting("gitlab")],
        ..Readings::default()
    });
    assert!(!health.is_ready());
    assert!(
        health
            .to_string()
            .starts_with("stopping: cannot reach gitlab")
    );
}

#[test]
fn parts_that_are_waited_for_are_said_and_nothing_is_amiss() {
    let awaited = AwaitedParts {
        bundle: "3f2a".to_owned(),
        of: 4,
        parts: vec![2, 3, 4],
        since: 7,
    };
    let health = Health::of(&Readings {
        awaited_parts: vec![awaited],
        ..Readings::default()
    });
    assert_eq!(
        health.to_string(),
        "ok; waiting for parts 2-4 of 4 of bundle 3f2a"
    );
    assert_eq!(health.json()["awaited_parts"][0]["parts"], json!([2, 3, 4]));
    assert!(
        Health::of(&Readings::default())
            .json()
            .get("awaited_parts")
            .is_none()
    );
}

#[test]
fn stale_pages_count_while_there_are_several_of_late() {
    let word = |stale_answers| {
        let readings = Readings {
            stale_answers,
            ..Readings::default()
        };
        Health::of(&readings).word
    };
    let late = Duration::from_secs(3);
    assert_eq!(word(vec![late; STALE_ANSWERS_MIN]), "degraded");
    assert_eq!(word(vec![late; STALE_ANSWERS_MIN - 1]), "ok");
    let mut answers = vec![late; STALE_ANSWERS_MIN];
    answers[0] = STALE_COUNTS_FOR;
    assert_eq!(word(answers), "ok");
    assert_eq!(word(vec![STALE_COUNTS_FOR; STALE_ANSWERS_MIN]), "ok");
}
