//! What `docs/metrics.md` and `docs/alerts.yml` name is seen on a running larder, under the
//! condition that it is for.
//!
//! Each scenario says which series it shows, and shows them; one test holds the sum of these lists
//! against the documents, so that nothing can be documented, or alerted on, that no condition ever
//! sets.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::common::advisories::{Records, of_all, rated, record};
use crate::common::delivery::{eventually, kept};
use crate::server::tls::{LOCAL, Secured};
use crate::store::maintenance::{blob_path, body_of_a_page};
use crate::support::larder::binary;
use crate::support::openmetrics::{OPENMETRICS, Sample, samples};
use crate::support::{
    Act, Artifact, Client, Distribution, Engine, FOR_EVER, FaultyRelay, Fleet, GitLab, HeldPort,
    Kind, Larder, Offer, ProjectStatus, PublicIndex, RelayFault, Site, Storage, StoreListing, path,
    token,
};

const DAY: Duration = Duration::from_hours(24);

/// Called whenever larder is to be looked at.
type Look<'l> = &'l mut dyn FnMut(&Client);

/// Series that a condition must show, each greater than 0, or as it says: `name{label="value"} ==
/// 0`.
struct Scenario {
    shows: &'static [&'static str],
    play: fn(Look<'_>),
}

const SCENARIOS: &[Scenario] = &[
    TRAFFIC,
    UPSTREAM_DOWN,
    STALE_AND_WRONG,
    TOO_SMALL,
    DAMAGED,
    DISK_FAILING,
    DISK_FULL,
    READ_ONLY,
    CONFIG_REFUSED,
    ADVISORIES,
    CERTIFICATE,
    OWN_TOKEN_DEAD,
    NO_GITLAB,
    OFFLINE,
    AHEAD,
    DATES,
    POLICIES,
    VIEWS,
    PAGE_CHANGES,
    LOG_LOST,
    ABANDONED,
    EMPTIED,
    LINKS_PAST,
    NO_PARENT,
    PARENTS_DIFFER,
    SHARED_STORE,
];

/// Plays a scenario; it looks at larder as often as it likes, and all looks together must show what
/// it promises.
fn shows(scenario: &Scenario) {
    let (mut seen, mut reasons, mut last) = (Vec::new(), BTreeSet::new(), String::new());
    (scenario.play)(&mut |client| {
        last = client
            .get_with("/-/metrics", &[("Accept", OPENMETRICS)])
            .text();
        seen.extend(samples(&last));
        let ready = client.get_with("/-/health/ready", &[("Accept", "application/json")]);
        let ready: serde_json::Value = serde_json::from_slice(&ready.body).expect("it is JSON");
        let words = ready["reasons"].as_array().expect("a list").iter();
        reasons.extend(words.map(|reason| reason["reason"].as_str().expect("a word").to_owned()));
    });
    for series in scenario.shows {
        assert!(
            seen.iter().any(|sample| is_shown(series, sample)),
            "{series} is not seen; the last look:\n{last}"
        );
        if let Some(reason) = reason_of(series) {
            assert!(
                reasons.contains(reason),
                "readiness does not say {reason}, but {reasons:?}"
            );
        }
    }
}

/// Whether a sample is of this series, and has the value that it is for.
fn is_shown(series: &str, (name, labels, value): &Sample) -> bool {
    let (series, wants_zero) = match series.strip_suffix(" == 0") {
        Some(series) => (series, true),
        None => (series, false),
    };
    let (wanted, conditions) = series
        .trim_end_matches('}')
        .split_once('{')
        .unwrap_or((series, ""));
    let is_of = *name == wanted || *name == format!("{wanted}_count");
    let holds = conditions
        .split(',')
        .filter(|condition| !condition.is_empty())
        .all(|condition| {
            let (label, wanted) = condition.split_once('=').expect("a label and its value");
            labels
                .get(label)
                .is_some_and(|value| value == wanted.trim_matches('"'))
        });
    is_of
        && holds
        && (if wants_zero {
            *value == 0.0
        } else {
            *value > 0.0
        })
}

fn reason_of(series: &str) -> Option<&str> {
    series
        .strip_prefix("larder_degraded{reason=\"")?
        .strip_suffix("\"}")
}

fn document(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a document")
}

/// All words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names in the table of metrics.
fn documented_metrics(text: &str) -> Vec<&str> {
    let table = text
        .lines()
        .skip_while(|line| *line != "| metric | type | labels | says |")
        .skip(2);
    let cells = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).expect("a cell"));
    cells.flat_map(quoted).collect()
}

/// Why larder is degraded, as the table of labels has it.
fn documented_reasons(text: &str) -> BTreeSet<String> {
    let row = text
        .lines()
        .find(|line| line.starts_with("| `reason` |"))
        .expect("a row");
    let (_, reasons) = row
        .split_once("of `larder_degraded`:")
        .expect("the reasons");
    let (reasons, _) = reasons.split_once('.').expect("an end");
    quoted(reasons).map(str::to_owned).collect()
}

/// What an alert looks at: our metrics with their conditions, and 0 where it rings at 0.
fn alerted(expression: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, _) in expression
        .match_indices("larder_")
        .chain(expression.match_indices("process_"))
    {
        let rest = &expression[at..];
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let zero = if after.trim_start().starts_with("== 0") {
            " == 0"
        } else {
            ""
        };
        let reasons = after
            .split_once("reason=")
            .filter(|_| after.starts_with('{') && name == "larder_degraded");
        match reasons {
            None => all.push(format!("{name}{zero}")),
            Some((_, reasons)) => {
                let reasons = reasons
                    .trim_start_matches('~')
                    .trim_start_matches('"')
                    .split('"')
                    .next()
                    .unwrap_or("");
                all.extend(
                    reasons
                        .split('|')
                        .map(|reason| format!("larder_degraded{{reason=\"{reason}\"}}")),
                );
            }
        }
    }
    all
}

#[test]
fn whatever_is_documented_or_alerted_on_has_a_condition_in_which_it_is_seen() {
    let shown: BTreeSet<&str> = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.shows)
        .copied()
        .collect();
    let is_shown = |wanted: &str| {
        shown
            .iter()
            .any(|series| *series == wanted || series.split('{').next() == Some(wanted))
    };
    let text = document("metrics.md");
    let metrics = documented_metrics(&text);
    assert!(metrics.len() > 40, "{metrics:?}");
    for metric in metrics {
        assert!(is_shown(metric), "no scenario shows {metric}");
    }
    // The reasons are those that the code has, and each has its scenario.
    let gitlab = GitLab::start();
    let coded = samples(&Larder::start(&gitlab).metrics())
        .into_iter()
        .filter(|sample| sample.0 == "larder_degraded");
    let coded: BTreeSet<String> = coded
        .map(|mut sample| sample.1.remove("reason").expect("a reason"))
        .collect();
    assert_eq!(
        documented_reasons(&text),
        coded,
        "docs/metrics.md, label `reason`"
    );
    for reason in coded {
        assert!(
            is_shown(&format!("larder_degraded{{reason=\"{reason}\"}}")),
            "no scenario shows {reason}"
        );
    }
    let alerts = document("alerts.yml");
    let expressions = alerts.split("expr: ").skip(1);
    let expressions = expressions.map(|rest| rest.split("\n        for:").next().unwrap_or(rest));
    let expressions =
        expressions.map(|rest| rest.split("\n        labels:").next().unwrap_or(rest));
    for expression in expressions {
        let looked_at = alerted(expression);
        // Whether it answers at all is Prometheus' own word.
        assert!(
            !looked_at.is_empty() || expression.starts_with("up{"),
            "{expression}"
        );
        for series in looked_at {
            assert!(
                is_shown(&series),
                "no scenario shows {series}, which an alert looks at: {expression}"
            );
        }
    }
}

#[test]
fn a_series_is_told_from_another() {
    let sample = |value| {
        (
            "a".to_owned(),
            [("reason".to_owned(), "x".to_owned())].into(),
            value,
        )
    };
    assert!(is_shown("a", &sample(1.0)) && is_shown("a{reason=\"x\"}", &sample(1.0)));
    assert!(!is_shown("a", &sample(0.0)) && is_shown("a == 0", &sample(0.0)));
    assert!(!is_shown("a{reason=\"y\"}", &sample(1.0)) && !is_shown("b", &sample(1.0)));
    assert_eq!(
        alerted("max by (instance) (larder_degraded{reason=~\"x|y\"}) == 1"),
        [
            "larder_degraded{reason=\"x\"}",
            "larder_degraded{reason=\"y\"}"
        ]
    );
    assert_eq!(alerted("larder_a == 0"), ["larder_a == 0"]);
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn published(gitlab: &GitLab, name: &str, bytes: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", bytes);
    gitlab.publish(42, &file);
    file
}

const TRAFFIC: Scenario = Scenario {
    shows: &[
        "larder_requests_total",
        "larder_response_bytes_total",
        "larder_request_duration_seconds",
        "larder_connections",
        "larder_connections_accepted_total",
        "larder_upstream_requests_total",
        "larder_upstream_received_bytes_total",
        "larder_upstream_latency_seconds",
        "larder_downloads",
        "larder_downloads_ended_total",
        "larder_downloads_collapsed_total",
        "larder_page_fetches",
        "larder_store_bytes",
        "larder_store_budget_bytes",
        "larder_store_blobs",
        "larder_store_spool_bytes",
        "larder_auth_cache_entries",
        "larder_auth_cache_granted_total",
        "larder_auth_cache_refused_total",
        "larder_ready",
        "larder_config_last_reload_successful",
        "larder_config_last_reload_success_timestamp_seconds",
        "larder_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ],
    play: |look| {
        let gitlab = GitLab::builder().storage(Storage::Redirect).start();
        let larder = Larder::start(&gitlab);
        let file = published(&gitlab, "shared", 600_000);
        let address = path::project_file(42, &file);
        let page = gitlab.hold(Kind::Page, 0);
        let loading = reader(&larder).start("GET", &path::project_page(42, "shared"), &[]);
        page.wait_for(1);
        look(&larder.client());
        page.open();
        loading.finish().expect(200);
        let gate = gitlab.hold(Site::FileBody, 100_000);
        let first = reader(&larder).start("GET", &address, &[]);
        gate.wait_for(1);
        let second = reader(&larder).start("GET", &address, &[]);
        eventually("a second reader joins", || {
            larder.metric("larder_downloads_collapsed_total") == Some(1.0)
        });
        eventually("the spool is counted", || {
            larder
                .metric("larder_store_spool_bytes")
                .is_some_and(|bytes| bytes > 0.0)
        });
        look(&larder.client());
        gate.open();
        for reader in [first, second] {
            reader.finish().expect(200);
        }
        kept(&larder, &file);
        larder
            .client()
            .token(token::REVOKED)
            .get(&address)
            .expect(401);
        look(&larder.client());
    },
};

#[test]
fn traffic_is_counted() {
    shows(&TRAFFIC);
}

const UPSTREAM_DOWN: Scenario = Scenario {
    shows: &[
        "larder_upstream_circuit_open",
        "larder_upstream_unreached_seconds",
        "larder_upstream_errors_total",
        "larder_requests_total{status=\"504\"}",
        "larder_degraded{reason=\"upstream_circuit_open\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 0\nbreaker_failures = 1")
            .start();
        gitlab.stop();
        assert_eq!(
            reader(&larder).get(&path::project_page(42, "any")).status,
            504
        );
        look(&larder.client());
    },
};

#[test]
fn an_upstream_that_is_down_is_said() {
    shows(&UPSTREAM_DOWN);
}

const STALE_AND_WRONG: Scenario = Scenario {
    shows: &[
        "larder_responses_broken_total",
        "larder_checksum_mismatches_total",
        "larder_blocked_addresses",
        "larder_degraded{reason=\"checksum_mismatches\"}",
        "larder_degraded{reason=\"stale_pages\"}",
    ],
    play: |look| {
        let gitlab = GitLab::builder().storage(Storage::Disk).start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 0\nbreaker_failures = 0")
            .sections("[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"")
            .start();
        let file = published(&gitlab, "file", 200_000);
        reader(&larder)
            .get(&path::project_page(42, "file"))
            .expect(200);
        gitlab.plan(Act::Flip { at: 150_000 }.at(Site::FileBody));
        for _ in 0..2 {
            assert_ne!(
                reader(&larder).get(&path::project_file(42, &file)).body,
                file.bytes
            );
        }
        eventually("the address is left alone", || {
            larder.metric("larder_blocked_addresses") == Some(1.0)
        });
        gitlab.stop();
        for _ in 0..10 {
            reader(&larder)
                .get(&path::project_page(42, "file"))
                .expect(200);
        }
        eventually("stale pages are said", || {
            larder.metric("larder_degraded{reason=\"stale_pages\"}") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn stale_pages_and_wrong_bodies_are_counted() {
    shows(&STALE_AND_WRONG);
}

const LINKS_PAST: Scenario = Scenario {
    shows: &[
        "larder_pages_leading_past{upstream=\"pypi\"}",
        "larder_degraded{reason=\"links_past_larder\"}",
    ],
    play: |look| {
        let wheel = Distribution::new("file", "1.0").wheel();
        let index = PublicIndex::builder().offering(wheel).start();
        let gitlab = GitLab::start();
        // Its files are on another port, which the configuration does not name.
        let section = format!("[mirrors.pypi]\nurl = {:?}", index.url());
        let larder = Larder::builder(&gitlab).sections(&section).start();
        larder.client().get("/pypi/simple/file/").expect(200);
        look(&larder.client());
    },
};

const NO_PARENT: Scenario = Scenario {
    shows: &["larder_degraded{reason=\"parent_unusable\"}"],
    play: |look| {
        let port = HeldPort::new();
        let larder = Larder::under(&format!("http://{}", port.address())).start();
        look(&larder.client());
    },
};

const PARENTS_DIFFER: Scenario = Scenario {
    shows: &["larder_degraded{reason=\"parents_differ\"}"],
    play: |look| {
        let index = PublicIndex::start();
        let gitlab = GitLab::start();
        let one = Larder::builder(&gitlab).mirror("pypi", &index).start();
        let other = Larder::builder(&gitlab).start();
        let larder = Larder::under_all(&[one.url(), other.url()]).start();
        look(&larder.client());
    },
};

const SHARED_STORE: Scenario = Scenario {
    shows: &[
        "larder_shared_store_lookups_total",
        "larder_shared_store_uploads_total",
        "larder_shared_store_uploaded_bytes_total",
        "larder_shared_store_queue",
        "larder_degraded{reason=\"shared_store_unusable\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let fleet = Fleet::new(Engine::SeaweedFs);
        let relay = FaultyRelay::start(fleet.bucket.address);
        let member = fleet.member_with(Larder::builder(&gitlab), Some(relay.address()), "");
        let larder = member.start();
        let first = published(&gitlab, "first", 20_000);
        reader(&larder)
            .get(&path::project_file(42, &first))
            .expect(200);
        eventually("it is uploaded", || {
            larder.metric("larder_shared_store_uploads_total{result=\"completed\"}") == Some(1.0)
        });
        relay.fails(RelayFault::Answers {
            status: "404 Not Found",
            body: "<Error><Code>NoSuchBucket</Code></Error>",
        });
        let second = published(&gitlab, "second", 20_000);
        reader(&larder)
            .get(&path::project_file(42, &second))
            .expect(200);
        eventually("an upload waits", || {
            larder.metric("larder_shared_store_queue") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn a_shared_store_that_is_of_no_use_is_said() {
    shows(&SHARED_STORE);
}

#[test]
fn a_parent_that_was_never_met_is_said() {
    shows(&NO_PARENT);
}

#[test]
fn parents_that_serve_different_mirrors_are_said() {
    shows(&PARENTS_DIFFER);
}

#[test]
fn links_that_lead_past_larder_are_said() {
    shows(&LINKS_PAST);
}

const TOO_SMALL: Scenario = Scenario {
    shows: &[
        "larder_store_evictions_total",
        "larder_store_evicted_bytes_total",
        "larder_store_evictions_of_recent_total",
        "larder_degraded{reason=\"store_full\"}",
    ],
    play: |look| {
        let gitlab = GitLab::builder().storage(Storage::Disk).start();
        let larder = Larder::builder(&gitlab)
            .setting("cache_size = \"1MiB\"")
            .start();
        for (name, bytes) in [
            ("one", 600_000),
            ("two", 600_000),
            ("large", 2_000_000),
            ("small", 1_000),
        ] {
            let file = published(&gitlab, name, bytes);
            reader(&larder)
                .get(&path::project_file(42, &file))
                .expect(200);
            eventually("nothing is on its way", || {
                larder.metric("larder_downloads") == Some(0.0)
            });
        }
        eventually("one made way", || {
            larder.metric("larder_store_evictions_total") >= Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn a_budget_that_is_too_small_is_said() {
    shows(&TOO_SMALL);
}

const DAMAGED: Scenario = Scenario {
    shows: &["larder_store_quarantined_total"],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        let file = published(&gitlab, "file", 300_000);
        let address = path::project_file(42, &file);
        reader(&larder).get(&address).expect(200);
        kept(&larder, &file);
        let path = StoreListing::of(&larder.cache_dir())
            .blob(&file.sha256)
            .expect("it is stored")
            .path
            .clone();
        let mut blob = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("it is there");
        let before = blob
            .metadata()
            .and_then(|meta| meta.modified())
            .expect("a time");
        let mut byte = [0];
        blob.read_exact(&mut byte)
            .and_then(|()| blob.seek(SeekFrom::Start(0)))
            .expect("a byte");
        blob.write_all(&[!byte[0]]).expect("a byte");
        blob.set_modified(before + Duration::from_secs(1))
            .expect("a later time");
        reader(&larder).get(&address);
        eventually("it is set aside", || {
            larder.metric("larder_store_quarantined_total") >= Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn what_is_damaged_is_counted() {
    shows(&DAMAGED);
}

/// Has a file fetched while its half-written form is to go `elsewhere`.
fn with_spool_at(elsewhere: fn(&std::path::Path) -> std::io::Result<()>, look: Look<'_>) {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::start(&gitlab);
    let file = published(&gitlab, "file", 100_000);
    let spool = larder.cache_dir().join("spool");
    fs::remove_dir_all(&spool)
        .and_then(|()| elsewhere(&spool))
        .expect("a folder of ours");
    reader(&larder)
        .get(&path::project_file(42, &file))
        .expect(200);
    look(&larder.client());
}

const DISK_FAILING: Scenario = Scenario {
    shows: &[
        "larder_store_failures_total",
        "larder_degraded{reason=\"disk_failing\"}",
    ],
    play: |look| with_spool_at(|spool| fs::write(spool, ""), look),
};

#[test]
fn a_disk_that_fails_is_said() {
    shows(&DISK_FAILING);
}

const READ_ONLY: Scenario = Scenario {
    shows: &["larder_degraded{reason=\"read_only\"}"],
    // Where nobody makes a file, the superuser included.
    play: |look| with_spool_at(|spool| std::os::unix::fs::symlink("/sys", spool), look),
};

#[test]
fn a_folder_that_is_read_only_is_said() {
    shows(&READ_ONLY);
}

const DISK_FULL: Scenario = Scenario {
    shows: &["larder_degraded{reason=\"disk_full\"}"],
    play: |look| {
        // More than any disk has, and within the budget; of it nothing comes.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("a listening socket")
        );
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 4096]);
                let _ = write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    1_u64 << 60
                );
            }
        });
        let larder = Larder::in_front_of(&url)
            .gitlab_setting("retries = 0")
            .setting("cache_size = \"2097152TiB\"")
            .start();
        reader(&larder).get(&path::project_file(
            42,
            &Artifact::noise("endless", "1.0", 10),
        ));
        look(&larder.client());
    },
};

#[test]
fn a_disk_that_is_full_is_said() {
    shows(&DISK_FULL);
}

const CONFIG_REFUSED: Scenario = Scenario {
    shows: &[
        "larder_config_last_reload_successful == 0",
        "larder_degraded{reason=\"config_refused\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        fs::write(larder.config_file(), "cache_size = \"nonsense\"").expect("a writable folder");
        larder.signal(Signal::HUP);
        larder.wait_for_log("the new configuration is no good");
        look(&larder.client());
    },
};

#[test]
fn a_refused_configuration_is_said() {
    shows(&CONFIG_REFUSED);
}

const ADVISORIES: Scenario = Scenario {
    shows: &[
        "larder_advisories{kind=\"malware\"}",
        "larder_advisories{kind=\"vulnerability\"}",
        "larder_advisories{kind=\"withdrawn\"}",
        "larder_advisories{kind=\"other\"}",
        "larder_advisories{kind=\"unreadable\"}",
        "larder_advisories_age_seconds",
        "larder_advisories_ignored_ranges",
        "larder_degraded{reason=\"advisories_stale\"}",
        "larder_degraded{reason=\"advisories_unreadable\"}",
        "larder_policy_refusals_total{policy=\"malware\"}",
        "larder_policy_refusals_total{policy=\"vulnerable\"}",
        "larder_vulnerable_files_total{severity=\"high\"}",
    ],
    play: play_advisories,
};

fn play_advisories(look: Look<'_>) {
    let gitlab = GitLab::start();
    let mut index = PublicIndex::builder();
    for name in ["evil", "old"] {
        index = index.offering(Distribution::new(name, "1.0").wheel());
    }
    let index = index.start();
    let mut withdrawn = of_all("MAL-2", "kestrel");
    withdrawn["withdrawn"] = "2026-11-01T00:00:00Z".into();
    let mut of_git = record("PYSEC-3", "kestrel", &["9"]);
    of_git["affected"][0]["ranges"] = serde_json::json!([{"type": "GIT", "events": []}]);
    let known = [
        of_all("MAL-1", "evil"),
        withdrawn,
        of_git,
        rated(of_all("GHSA-1", "old"), "HIGH"),
        serde_json::json!({"id": "GHSA-4"}),
        serde_json::json!({"no": "record"}),
    ];
    let records = Records::new(&known);
    let larder = |more: &str| {
        Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .sections(&records.section(more))
            .start()
    };
    let ask = |larder: &Larder, name: &str| {
        let wheel = Distribution::new(name, "1.0").wheel();
        let address = crate::common::mirror::file(&index, &wheel.filename);
        larder.client().get(&address).status
    };
    let logging = larder("");
    assert_eq!((ask(&logging, "evil"), ask(&logging, "old")), (403, 200));
    eventually("what is vulnerable is counted", || {
        let counted = logging.metric("larder_vulnerable_files_total{severity=\"high\"}");
        counted == Some(1.0)
    });
    look(&logging.client());
    records.put("no record\n");
    logging.wait_for_log("those of before stay in force");
    look(&logging.client());
    records.replace(&known);
    let refusing = larder("vulnerable = \"refuse\"");
    assert_eq!(ask(&refusing, "old"), 403);
    look(&refusing.client());
    records.grow_old();
    let closed = larder("advisories_max_age = \"10m\"");
    assert_eq!(ask(&closed, "old"), 503);
    look(&closed.client());
}

#[test]
fn advisories_are_said() {
    shows(&ADVISORIES);
}

const CERTIFICATE: Scenario = Scenario {
    shows: &[
        "larder_certificate_expiry_timestamp_seconds{certificate=\"server\"}",
        "larder_connections_refused_total{reason=\"tls\"}",
        "larder_degraded{reason=\"certificate_ends\"}",
        "larder_degraded{reason=\"certificate_invalid\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let secured = Secured::start(&gitlab, "");
        let larder = &secured.larder;
        secured.replace(&secured.authority.server_for(&LOCAL, 3 * DAY));
        larder.wait_for_log("ends in 2 days");
        look(&larder.client());
        secured.replace(&secured.authority.server_expired(&LOCAL));
        larder.wait_for_log("expired 1h ago");
        let refused = crate::support::tls::run(secured.client(&[]).connect());
        assert!(refused.is_err(), "a client takes an expired certificate");
        eventually("the handshake is counted", || {
            larder.metric("larder_connections_refused_total{reason=\"tls\"}") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn a_certificate_that_ends_is_said() {
    shows(&CERTIFICATE);
}

const OWN_TOKEN_DEAD: Scenario = Scenario {
    shows: &[
        "larder_upstream_credential_refused{upstream=\"gitlab\"}",
        "larder_degraded{reason=\"credential_refused\"}",
        "larder_requests_total{status=\"502\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = folder.path().join("token");
        fs::write(&secret, token::REVOKED).expect("a writable folder");
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&format!("token_file = {secret:?}"))
            .start();
        assert_eq!(larder.client().get(&path::project_index(42)).status, 502);
        look(&larder.client());
    },
};

#[test]
fn a_dead_token_of_larders_own_is_said() {
    shows(&OWN_TOKEN_DEAD);
}

const OFFLINE: Scenario = Scenario {
    shows: &["larder_offline"],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).setting("offline = true").start();
        look(&larder.client());
    },
};

#[test]
fn offline_is_said() {
    shows(&OFFLINE);
}

const AHEAD: Scenario = Scenario {
    shows: &["larder_prefetch_queue"],
    play: |look| {
        let gitlab = GitLab::start();
        gitlab.publish(42, Distribution::new("big", "1.0").payload(300_000).wheel());
        let gate = gitlab.hold(Site::FileBody, 0);
        let larder = Larder::builder(&gitlab)
            .sections("[metadata]\nprefetch = 8")
            .start();
        reader(&larder)
            .get(&path::project_page(42, "big"))
            .expect(200);
        eventually("a wheel waits for its turn", || {
            larder.metric("larder_prefetch_queue") == Some(1.0)
        });
        look(&larder.client());
        gate.open();
    },
};

#[test]
fn wheels_that_are_to_be_read_ahead_are_counted() {
    shows(&AHEAD);
}

const DATES: Scenario = Scenario {
    shows: &[
        "larder_upload_dates_queue",
        "larder_upload_dates_total",
        "larder_upstream_requests_total{kind=\"dates\"}",
    ],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .sections("[index]\nupload_dates = true")
            .start();
        let gate = gitlab.hold(Kind::Packages, 0);
        let json = [("Accept", "application/vnd.pypi.simple.v1+json")];
        let page = path::project_page(42, "my-pkg");
        reader(&larder).get_with(&page, &json).expect(200);
        eventually("a page waits for dates", || {
            larder.metric("larder_upload_dates_queue") == Some(1.0)
        });
        look(&larder.client());
        gate.open();
        eventually("it has them", || {
            larder.metric("larder_upload_dates_total{result=\"told\"}") == Some(2.0)
        });
        look(&larder.client());
    },
};

#[test]
fn files_whose_date_is_asked_for_are_counted() {
    shows(&DATES);
}

const POLICIES: Scenario = Scenario {
    shows: &[
        "larder_policy_left_out_files_total{policy=\"min_age\"}",
        "larder_policy_refusals_total{policy=\"min_age\"}",
        "larder_policy_left_out_files_total{policy=\"undated\"} == 0",
    ],
    play: |look| {
        let index = PublicIndex::start();
        let young = Distribution::new("some.lib", "1.0").wheel();
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        index.publish(Offer::from(&young).uploaded(&now));
        let larder = Larder::builder(&GitLab::start())
            .mirror_with("pypi", &index, "min_age = \"7d\"")
            .start();
        let page = larder.client().get("/pypi/simple/some-lib/");
        assert!(!page.text().contains(&young.filename), "{page:?}");
        let file = format!("/pypi/{}", index.file_path(&young.filename));
        assert_eq!(larder.client().get(&file).status, 403);
        look(&larder.client());
    },
};

#[test]
fn what_policies_keep_back_is_counted() {
    shows(&POLICIES);
}

const VIEWS: Scenario = Scenario {
    shows: &[
        "larder_view_answers_total{view=\"all\",source=\"1\"}",
        "larder_view_answers_total{view=\"all\",source=\"2\"}",
        "larder_view_answers_total{view=\"all\",source=\"none\"}",
        "larder_view_answers_total{view=\"all\",source=\"list\"}",
        "larder_view_errors_total{view=\"all\",reason=\"refused\"}",
        "larder_view_errors_total{view=\"all\",reason=\"failed\"}",
        "larder_view_errors_total{view=\"all\",reason=\"too_large\"} == 0",
    ],
    play: |look| {
        let index = PublicIndex::start();
        index.publish(Distribution::new("left.pad", "1.3").wheel());
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .forward("deny")
            .sections("[[views]]\nname = \"all\"\nsources = [\"projects/42\", \"pypi\"]")
            .start();
        for (page, status) in [
            ("my-pkg/", 200),
            ("left-pad/", 200),
            ("nowhere/", 404),
            ("", 200),
        ] {
            let page = format!("/all/simple/{page}");
            reader(&larder).get(&page).expect(status);
        }
        assert_eq!(larder.client().get("/all/simple/my-pkg/").status, 401);
        index.stop();
        assert_eq!(reader(&larder).get("/all/simple/another/").status, 504);
        look(&larder.client());
        let status = larder.client().get("/-/status").json();
        let view = &status["views"][0];
        assert_eq!(view["name"], "all", "{status}");
        let counted = serde_json::json!([
            {"source": 1, "upstream": "gitlab", "pages": 1},
            {"source": 2, "upstream": "pypi", "pages": 1},
        ]);
        assert_eq!(view["sources"], counted, "{status}");
        let page = larder
            .client()
            .get_with("/-/", &[("Accept", "text/html")])
            .text();
        assert!(page.contains("1 page by source 1 (gitlab)"), "{page}");
        assert!(!page.contains("projects/42"), "{page}");
    },
};

#[test]
fn what_views_answer_is_counted_by_source() {
    shows(&VIEWS);
}

const PAGE_CHANGES: Scenario = Scenario {
    shows: &[
        "larder_project_pages_total{project_status=\"active\"}",
        "larder_project_status_changes_total{project_status=\"archived\"}",
        "larder_page_file_changes_total{change=\"withdrawn\"}",
    ],
    play: |look| {
        let index = PublicIndex::start();
        let gone = Distribution::new("some.lib", "1.0").wheel();
        index.publish(&gone);
        index.publish(Distribution::new("some.lib", "2.0").wheel());
        let larder = Larder::builder(&GitLab::start())
            .mirror_with("pypi", &index, "ttl = \"0s\"")
            .start();
        let see = || {
            larder
                .client()
                .get("/pypi/simple/some-lib/")
                .expect(200)
                .len()
        };
        see();
        index.withdraw(&gone.filename);
        index.change(|catalogue| {
            let archived = ProjectStatus {
                status: "archived",
                reason: None,
            };
            catalogue.status.insert("some-lib".to_owned(), archived)
        });
        see();
        eventually("the changes are counted", || {
            larder.metric("larder_page_file_changes_total{change=\"withdrawn\"}") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn what_changes_on_pages_is_counted() {
    shows(&PAGE_CHANGES);
}

const NO_GITLAB: Scenario = Scenario {
    shows: &["larder_degraded{reason=\"gitlab_unusable\"}"],
    play: |look| {
        let larder = Larder::in_front_of("http://127.0.0.1:9")
            .gitlab_setting("check_at_start = true")
            .start();
        eventually("it is asked", || {
            larder.metric("larder_degraded{reason=\"gitlab_unusable\"}") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn an_address_without_a_gitlab_is_counted() {
    shows(&NO_GITLAB);
}

/// Ends with its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LOG_LOST: Scenario = Scenario {
    shows: &["larder_log_lines_dropped_total"],
    play: |look| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Nobody reads what it says, where it listens included.
        let port = HeldPort::new();
        let (_unread, log) = std::io::pipe().expect("a pipe");
        let mut command = Command::new(binary());
        command.env_clear();
        command.args([
            "serve",
            "--listen",
            &port.address().to_string(),
            "--gitlab",
            "http://127.0.0.1:9",
            "--cache-dir",
        ]);
        command
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let _running = Running(command.spawn().expect("the binary runs"));
        let client = Client::new(port.address());
        eventually("it listens", || TcpStream::connect(port.address()).is_ok());
        // Each a line as long as a line can be.
        let request = client
            .head_text("GET", &format!("/{}", "x".repeat(600)), &[])
            .repeat(100);
        for _ in 0..400 {
            let mut wire = client.connect();
            wire.send(request.as_bytes());
            for _ in 0..100 {
                assert_eq!(wire.reply_to("GET").status, 404);
            }
            let lost = client
                .get_with("/-/metrics", &[("Accept", "text/plain")])
                .text();
            if !lost.contains("larder_log_lines_dropped_total 0") {
                break;
            }
        }
        look(&client);
    },
};

#[test]
fn log_lines_that_are_lost_are_counted() {
    shows(&LOG_LOST);
}

const ABANDONED: Scenario = Scenario {
    shows: &["larder_responses_abandoned_total"],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        gitlab.plan(Act::StallBeforeHead(FOR_EVER).at(Kind::Page));
        let waiting = reader(&larder).start("GET", &path::project_page(42, "any"), &[]);
        gitlab
            .log()
            .wait_until("GitLab is asked", |log| log.count(Kind::Page) == 1);
        drop(waiting);
        eventually("it is noticed", || {
            larder.metric("larder_responses_abandoned_total") == Some(1.0)
        });
        look(&larder.client());
    },
};

#[test]
fn clients_that_leave_are_counted() {
    shows(&ABANDONED);
}

const EMPTIED: Scenario = Scenario {
    shows: &["larder_store_emptied_total"],
    play: |look| {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        let file = published(&gitlab, "file", 5_000);
        reader(&larder)
            .get(&path::project_page(42, "file"))
            .expect(200);
        reader(&larder)
            .get(&path::project_file(42, &file))
            .expect(200);
        kept(&larder, &file);
        fs::write(blob_path(&larder, &body_of_a_page(&larder)), "").expect("a writable folder");
        assert!(larder.command(&["verify"]).status.success());
        look(&larder.client());
    },
};

#[test]
fn what_a_power_cut_emptied_is_counted() {
    shows(&EMPTIED);
}
