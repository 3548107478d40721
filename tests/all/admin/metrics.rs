//! The numbers: their format, their labels, and that everything which is built on them exists.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::advisories::{Records, record};
use crate::common::delivery::eventually;
use crate::support::openmetrics::{Family, families, samples};
use crate::support::{
    Act, Artifact, Distribution, GitLab, Kind, Larder, Place, PublicIndex, Role, Site, Storage,
    Token, path, token,
};

/// Every label that there is, and what it may say. Names of mirrors come from the configuration.
fn closed_sets() -> BTreeMap<&'static str, Vec<&'static str>> {
    let routes = vec![
        "index", "page", "file", "metadata", "upload", "internal", "unknown",
    ];
    let outcomes = vec![
        "hit",
        "updating",
        "stale",
        "revalidated",
        "miss",
        "collapsed",
        "bypass",
        "error",
        "denied",
        "internal",
    ];
    BTreeMap::from([
        ("route", routes),
        ("cache", outcomes),
        (
            "upstream",
            vec!["gitlab", "object_store", "mirror-of-test", "shared_store"],
        ),
        (
            "kind",
            vec![
                "index",
                "page",
                "file",
                "metadata",
                "upload",
                "dates",
                "address",
                // Of records of advisories.
                "malware",
                "vulnerability",
                "withdrawn",
                "other",
                "unreadable",
            ],
        ),
        (
            "result",
            vec![
                // Of requests upstream.
                "ok",
                "changed",
                "not_modified",
                "redirect",
                "refused",
                "failed",
                "none",
                // Of downloads.
                "rejected",
                "completed",
                "unanswered",
                "unstorable",
                "checksum_mismatch",
                "broken",
                "aborted",
                // Of files whose date was asked for.
                "told",
                "untold",
                // Of lookups in the shared store, and of uploads to it.
                "hit",
                "miss",
                "wrong",
                "error",
                "skipped",
                "unused",
                "present",
                "lost",
                "dropped",
            ],
        ),
        (
            "cause",
            vec![
                "connect", "tls", "proxy", "timeout", "broken", "stalled", "status",
            ],
        ),
        (
            "reason",
            vec![
                // Why larder is degraded.
                "gitlab_unusable",
                "upstream_circuit_open",
                "credential_refused",
                "parent_unusable",
                "parents_differ",
                "shared_store_unusable",
                "store_full",
                "disk_full",
                "read_only",
                "disk_failing",
                "stale_pages",
                "links_past_larder",
                "checksum_mismatches",
                "config_refused",
                "advisories_stale",
                "advisories_unreadable",
                "certificate_ends",
                "certificate_invalid",
                // Why a connection was turned away.
                "accept",
                "silent",
                "per_client",
                "crowded",
                "tls",
                // Why no source of a view answered.
                "refused",
                "failed",
                "unknown",
                "too_large",
            ],
        ),
        ("view", vec!["all"]),
        ("source", vec!["1", "2", "list", "none"]),
        (
            "policy",
            vec!["min_age", "undated", "malware", "vulnerable", "quarantined"],
        ),
        (
            "project_status",
            vec!["active", "archived", "deprecated", "quarantined", "other"],
        ),
        ("change", vec!["withdrawn", "replaced", "unyanked"]),
        (
            "severity",
            vec!["unrated", "low", "medium", "high", "critical"],
        ),
        ("certificate", vec!["server"]),
        ("version", vec![env!("CARGO_PKG_VERSION")]),
    ])
}

/// Whether a label is of its closed set; a status and a bound are numbers.
fn is_known(label: &str, value: &str) -> bool {
    match label {
        "status" => value.len() == 3 && value.parse::<u16>().is_ok(),
        "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => closed_sets()
            .get(label)
            .is_some_and(|known| known.contains(&value)),
    }
}

/// A family's name as the older format has it, and as documents, alerts and dashboards write it.
fn plain_name(family: &Family) -> String {
    match family.kind.as_str() {
        "counter" => format!("{}_total", family.name),
        "info" => format!("{}_info", family.name),
        _ => family.name.clone(),
    }
}

fn document(name: &str) -> String {
    std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR")))
        .expect("a document")
}

/// Everything in a text that looks like one of our metrics.
fn named_metrics(text: &str) -> BTreeSet<String> {
    let words = text
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'));
    let ours = words.filter(|word| word.starts_with("larder_") || word.starts_with("process_"));
    ours.map(|word| {
        let histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end));
        histogram.unwrap_or(word).to_owned()
    })
    .collect()
}

#[test]
fn no_label_holds_a_package_a_path_a_caller_or_a_token() {
    let secret = "glpat-canary-token";
    let gitlab = GitLab::builder()
        .storage(Storage::Redirect)
        .holding(|universe| {
            universe
                .tokens
                .push(Token::personal(secret).member(Place::Project(42), Role::Developer));
        })
        .start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab)
        .mirror("mirror-of-test", &index)
        .gitlab_setting("retries = 0")
        .start();
    let client = larder
        .client()
        .basic("canary-user", secret)
        .header("User-Agent", "canary-agent")
        .header("X-Request-Id", "canary-request");
    let file = Artifact::noise("canary-package", "1.0", 100_000);
    let wrong = Artifact::noise("canary-wrong", "1.0", 100_000);
    gitlab.publish(42, &file);
    let part = Artifact::noise("canary-part", "1.0", 100_000);
    gitlab.publish(42, &wrong);
    gitlab.publish(42, &part);
    for address in [
        path::project_page(42, "canary-package"),
        path::project_file(42, &file),
    ] {
        client.get(&address).expect(200);
        client.get(&address).expect(200);
    }
    client
        .get_range(&path::project_file(42, &part), "bytes=5-9")
        .expect(206);
    gitlab.plan(
        Act::Flip { at: 5 }
            .at(Site::FileBody)
            .containing(&wrong.filename),
    );
    assert!(!client.get(&path::project_file(42, &wrong)).is_complete());
    for address in [
        "/api/v4/projects/canary%2Fproject/packages/pypi/simple/canary-name/",
        "/api/v4/groups/canary-group/-/packages/pypi/simple/canary-name/",
        "/canary-mirror/simple/canary-name/",
        "/mirror-of-test/simple/canary-name/",
        "/canary/path?canary=query",
        &path::project_index(42),
    ] {
        client.get(address);
    }
    client.request("CANARY", "/canary", &[]);
    client.post(
        &path::upload(42),
        "multipart/form-data; boundary=canary",
        b"--canary--\r\n",
    );
    gitlab.stop();
    client.get(&path::project_page(42, "canary-other"));

    // A client has the last byte, or the break, before its download counts as ended.
    eventually("the downloads have ended", || {
        larder.metric("larder_downloads") == Some(0.0)
    });
    let text = larder.metrics();
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
    let all = samples(&text);
    for (name, labels, _) in &all {
        for (label, value) in labels {
            assert!(
                is_known(label, value),
                "{name}: {label}={value:?} is of no closed set"
            );
        }
    }
    let counts = |name: &str, label: &str, value: &str| {
        let of = all
            .iter()
            .filter(|sample| sample.0 == name && sample.1.get(label).is_some_and(|of| of == value));
        of.map(|sample| sample.2).sum::<f64>()
    };
    // The traffic reached the numbers that it was for.
    for (name, label, value) in [
        ("larder_requests_total", "route", "upload"),
        ("larder_request_duration_seconds_count", "route", "page"),
        ("larder_upstream_requests_total", "kind", "upload"),
        ("larder_upstream_requests_total", "upstream", "object_store"),
        (
            "larder_upstream_requests_total",
            "upstream",
            "mirror-of-test",
        ),
        ("larder_upstream_requests_total", "result", "redirect"),
        ("larder_upstream_requests_total", "result", "refused"),
        ("larder_upstream_requests_total", "result", "none"),
        ("larder_upstream_errors_total", "cause", "connect"),
        (
            "larder_upstream_latency_seconds_count",
            "upstream",
            "gitlab",
        ),
        ("larder_downloads_ended_total", "result", "completed"),
        (
            "larder_downloads_ended_total",
            "result",
            "checksum_mismatch",
        ),
    ] {
        assert!(
            counts(name, label, value) >= 1.0,
            "{name} {label}={value}:\n{text}"
        );
    }
    assert!(
        counts(
            "larder_upstream_received_bytes_total",
            "upstream",
            "object_store"
        ) >= 100_000.0
    );
    let value = |name: &str| {
        all.iter()
            .find(|sample| sample.0 == name)
            .map(|sample| sample.2)
    };
    for name in [
        "larder_checksum_mismatches_total",
        "larder_auth_cache_granted_total",
        "larder_auth_cache_refused_total",
    ] {
        assert!(
            value(name).is_some_and(|count| count >= 1.0),
            "{name}:\n{text}"
        );
    }
}

#[test]
fn readers_of_one_download_what_made_way_and_revalidations_are_counted() {
    let gitlab = GitLab::builder().storage(Storage::Disk).start();
    let larder = Larder::builder(&gitlab)
        .setting("cache_size = \"1MiB\"")
        .sections("[index]\nttl = \"0s\"\nstale_while_revalidate = \"0s\"")
        .start();
    let client = larder.client().token(token::READER);
    let file = Artifact::noise("shared", "1.0", 600_000);
    gitlab.publish(42, &file);
    let address = path::project_file(42, &file);
    let gate = gitlab.hold(Site::FileBody, 100_000);
    let leader = client.start("GET", &address, &[]);
    gate.wait_for(1);
    let joiner = client.start("GET", &address, &[]);
    eventually("a second reader joins", || {
        larder.metric("larder_downloads_collapsed_total") == Some(1.0)
    });
    eventually("the spool is counted", || {
        larder
            .metric("larder_store_spool_bytes")
            .is_some_and(|bytes| bytes >= 100_000.0)
    });
    assert_eq!(larder.metric("larder_downloads"), Some(1.0));
    gate.open();
    for reader in [leader, joiner] {
        reader.finish().expect(200);
    }
    eventually("it is stored", || {
        larder.metric("larder_store_blobs") == Some(1.0)
            && larder.metric("larder_store_spool_bytes") == Some(0.0)
    });
    // The next one has no room beside it.
    let next = Artifact::noise("next", "1.0", 600_000);
    gitlab.publish(42, &next);
    client.get(&path::project_file(42, &next)).expect(200);
    eventually("the first one made way", || {
        larder.metric("larder_store_evictions_total") == Some(1.0)
    });
    assert_eq!(
        larder.metric("larder_store_evicted_bytes_total"),
        Some(600_000.0)
    );
    assert_eq!(
        larder.metric("larder_store_evictions_of_recent_total"),
        Some(1.0)
    );
    // Asked again: unchanged, then changed.
    let page = path::project_page(42, "shared");
    let asked = |result: &str| {
        let series = format!(
            "larder_upstream_requests_total{{upstream=\"gitlab\",kind=\"page\",result=\"{result}\"}}"
        );
        larder.metric(&series).unwrap_or_default()
    };
    client.get(&page).expect(200);
    client.get(&page).expect(200);
    assert_eq!(
        (asked("ok"), asked("not_modified"), asked("changed")),
        (1.0, 1.0, 0.0)
    );
    gitlab.publish(42, Artifact::noise("shared", "2.0", 1_000));
    client.get(&page).expect(200);
    assert_eq!(
        (asked("ok"), asked("not_modified"), asked("changed")),
        (1.0, 1.0, 1.0)
    );
}

#[test]
fn a_mirrors_files_count_wherever_they_lie() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("public", "1.0").payload(300_000).wheel();
    let index = PublicIndex::builder().offering(wheel.clone()).start();
    assert_ne!(index.origin(), index.files_origin());
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, "retries = 0")
        .start();
    let client = larder.client();
    let file = index.file_path(&wheel.filename);
    client.get("/pypi/simple/public/").expect(200);
    client.get(&format!("/pypi/{file}")).expect(200);
    let value = |series: &str| larder.metric(series).unwrap_or_default();
    assert!(
        value("larder_upstream_received_bytes_total{upstream=\"pypi\"}") > wheel.bytes.len() as f64
    );
    assert_eq!(
        value("larder_upstream_requests_total{upstream=\"pypi\",kind=\"file\",result=\"ok\"}"),
        1.0
    );

    let another = Distribution::new("other", "2.0").payload(300_000).wheel();
    index.publish(another.clone());
    client.get("/pypi/simple/other/").expect(200);
    index.plan(Act::CutHead { after: 0 }.at(Kind::File));
    let broken = client.get(&format!("/pypi/{}", index.file_path(&another.filename)));
    assert!(broken.status >= 500, "{broken:?}");
    let errors: f64 = ["connect", "broken", "timeout"]
        .map(|cause| {
            value(&format!(
                "larder_upstream_errors_total{{upstream=\"pypi\",cause=\"{cause}\"}}"
            ))
        })
        .iter()
        .sum();
    assert!(
        errors > 0.0,
        "a file host that breaks off is counted nowhere"
    );
}

#[test]
fn the_process_is_told_of_as_every_client_library_does() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let wire = larder.client().connect();
    eventually("a connection is counted", || {
        larder
            .metric("larder_connections")
            .is_some_and(|open| open >= 2.0)
    });
    drop(wire);
    let value = |name: &str| larder.metric(name).unwrap_or_else(|| panic!("no {name}"));
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(
        value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds")
    );
    assert!(value("process_cpu_seconds_total") > 0.0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    assert!((now - value("process_start_time_seconds")).abs() < 600.0);
    assert_eq!(
        value(&format!(
            "larder_build_info{{version=\"{}\"}}",
            env!("CARGO_PKG_VERSION")
        )),
        1.0
    );
    assert_eq!(value("larder_config_last_reload_successful"), 1.0);
    assert!((now - value("larder_config_last_reload_success_timestamp_seconds")).abs() < 600.0);
    assert!(value("larder_connections_accepted_total") >= 2.0);
}

#[test]
fn who_does_not_ask_for_openmetrics_gets_the_older_format() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    larder.client().get("/-/health/live").expect(200);
    for accept in ["*/*", "text/plain;version=0.0.4"] {
        let reply = larder
            .client()
            .get_with("/-/metrics", &[("Accept", accept)]);
        assert_eq!(
            reply.header("Content-Type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        let text = reply.text();
        assert!(
            text.contains("# TYPE larder_requests_total counter\nlarder_requests_total{"),
            "{text}"
        );
        assert!(
            !text.contains("# EOF") && !text.contains("# UNIT"),
            "{text}"
        );
    }
}

#[test]
fn every_metric_is_documented_and_every_one_that_is_named_exists() {
    let gitlab = GitLab::start();
    let records = Records::new(&[record("MAL-2026-1", "left-pad", &["1.0"])]);
    let larder = Larder::builder(&gitlab)
        .sections(&records.section(""))
        .every_request_logged()
        .start();
    // What is counted of requests is there from the first one on.
    larder.client().get("/-/health/live").expect(200);
    larder.wait_for_log("/-/health/live");
    eventually("the records are read", || {
        larder.metrics().contains("larder_advisories_age")
    });
    let known: BTreeSet<String> = families(&larder.metrics()).iter().map(plain_name).collect();
    let documented = named_metrics(&document("metrics.md"));
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "docs/metrics.md does not tell of {missing:?}"
    );
    for name in [
        "metrics.md",
        "alerts.yml",
        "alerts_test.yml",
        "grafana-dashboard.json",
        "operations.md",
    ] {
        let named = named_metrics(&document(name));
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "docs/{name} names {unknown:?}, which larder does not have"
        );
        assert!(
            named.len() > 5 || name == "operations.md",
            "docs/{name} names hardly a metric"
        );
    }
}

#[test]
fn the_dashboard_can_be_imported_and_needs_no_plugin() {
    let board: serde_json::Value =
        serde_json::from_str(&document("grafana-dashboard.json")).expect("it is JSON");
    assert!(
        board["title"].is_string()
            && board["schemaVersion"]
                .as_u64()
                .is_some_and(|version| version >= 36)
    );
    assert!(board["uid"].is_string() && board["id"].is_null());
    let variables = board["templating"]["list"].as_array().expect("variables");
    let names: Vec<_> = variables
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert!(
        names.contains(&"datasource") && names.contains(&"instance"),
        "{names:?}"
    );
    let panels = board["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(
            ids.insert(panel["id"].as_u64().expect("an id")),
            "an id comes twice: {panel}"
        );
        let kind = panel["type"].as_str().expect("a type");
        assert!(
            matches!(kind, "row" | "timeseries" | "stat" | "gauge" | "table"),
            "{kind} is no core panel"
        );
        if kind != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
            let targets = panel["targets"].as_array().expect("targets");
            assert!(targets.iter().all(|target| {
                target["expr"]
                    .as_str()
                    .is_some_and(|expression| expression.contains("instance=~\"$instance\""))
            }));
        }
    }
}

#[test]
fn each_alert_is_explained_to_whoever_is_woken() {
    let alerts = document("alerts.yml");
    let names: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    let operations = document("operations.md");
    let (_, explained) = operations.split_once("## Alerts").expect("a section");
    for name in names {
        let (_, told) = explained
            .split_once(&format!("### {name}\n"))
            .unwrap_or_else(|| panic!("no word of {name}"));
        let told = told.split("\n###").next().unwrap_or_default();
        for step in ["1. ", "2. ", "3. "] {
            assert!(
                told.contains(&format!("\n{step}")),
                "{name} has no step {step}"
            );
        }
    }
}
