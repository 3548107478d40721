//! SIGHUP: another configuration comes into force, and nobody who is connected notices.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::common::delivery::eventually;
use crate::server::service_manager::Manager;
use crate::support::{
    Act, Distribution, Gate, GitLab, Kind, Larder, PublicIndex, Site, path, token,
};
use crate::upload::pass_through::{content_type, form};

/// How often the configuration is read again under load.
const RELOADS: u64 = 30;

/// Resident memory may grow by so much over them: allocators keep some of what the old services
/// held.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

fn replace(larder: &Larder, from: &str, to: &str) {
    let text = std::fs::read_to_string(larder.config_file()).expect("its configuration");
    assert!(text.contains(from), "no {from:?} in\n{text}");
    std::fs::write(larder.config_file(), text.replace(from, to)).expect("a writable folder");
}

fn add(larder: &Larder, lines: &str) {
    let text = std::fs::read_to_string(larder.config_file()).expect("its configuration");
    std::fs::write(larder.config_file(), format!("{text}\n{lines}\n")).expect("a writable folder");
}

/// Has it read its configuration, and gives what its manager heard: last that it is ready again.
fn reload(larder: &Larder, manager: &Manager) -> Vec<String> {
    larder.signal(Signal::HUP);
    manager.hears_of("READY=1")
}

#[test]
fn a_good_configuration_takes_effect_and_cuts_nobody() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let wheel = Distribution::new("demo", "1.0").payload(3_000_000).wheel();
    gitlab.publish(42, &wheel);
    let index = PublicIndex::builder()
        .offering(Distribution::new("public", "1.0").wheel())
        .start();
    let larder = manager.over(Larder::builder(&gitlab)).start();
    manager.hears_of("READY=1");
    let client = larder.client().token(token::READER);
    let mut kept = client.connect();
    kept.send(client.head_text("GET", "/-/health/live", &[]).as_bytes());
    kept.reply_to("GET").expect(200);
    client.get("/extra/simple/public/").expect(404);
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let mut reader = client.start("GET", &path::project_file(42, &wheel), &[]);
    assert_eq!((reader.status(), reader.read_body(100_000)), (200, 100_000));

    let (url, files) = (index.url(), index.files_prefix());
    add(
        &larder,
        &format!("[mirrors.extra]\nurl = {url:?}\nfile_urls = [{files:?}]"),
    );
    let heard = reload(&larder, &manager);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard[0].starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{heard:?}"
    );
    assert!(heard[1].contains("STATUS=in front of "), "{heard:?}");
    larder.wait_for_log("the configuration was read again and is in force");

    client.get("/extra/simple/public/").expect(200);
    kept.send(
        client
            .head_text("GET", "/extra/simple/public/", &[])
            .as_bytes(),
    );
    kept.reply_to("GET").expect(200);
    // Whoever asks now shares the download that was begun before.
    assert_eq!(larder.metric("larder_downloads"), Some(1.0));
    let mut second = client.start("GET", &path::project_file(42, &wheel), &[]);
    assert_eq!(second.status(), 200);
    gate.open();
    for reader in [reader, second] {
        assert!(reader.finish().expect(200) == wheel.bytes, "other bytes");
    }
    assert_eq!(
        gitlab.log().file_bodies().transfers,
        1,
        "it was fetched again"
    );
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_told() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    gitlab.publish(42, Distribution::new("demo", "1.0").wheel());
    let larder = manager
        .over(Larder::builder(&gitlab))
        .sections("[index]\nttl = \"1h\"")
        .start();
    manager.hears_of("READY=1");
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "demo");
    client.get(&page).expect(200);
    let asked = gitlab.log().len();
    for (from, to, faults) in [
        ("ttl = \"1h\"", "ttl = \"1 parsec\"", vec!["index.ttl"]),
        (
            "ttl = \"1h\"",
            "ttl = \"1h\"\n[mirrors.one]\nurl = \"\"\n[mirrors.two]\nurl = \"\"",
            vec!["mirrors.one.url", "mirrors.two.url"],
        ),
        (
            "ttl = \"1h\"",
            "ttl = \"1h\"\n[log]\nlevel = \"inof\"",
            vec!["log.level"],
        ),
        (
            "ttl = \"1h\"",
            "ttl = \"1h\"\n[import]\nallowed_signers = \"/nowhere/at/all\"",
            vec!["import.allowed_signers"],
        ),
    ] {
        replace(&larder, from, to);
        let ready = reload(&larder, &manager).pop().unwrap_or_default();
        assert!(
            ready.contains("degraded: the configuration was refused"),
            "{ready}"
        );
        for fault in faults {
            larder.wait_for_log(fault);
        }
        larder.wait_for_log("the new configuration is no good: the one before stays in force");
        assert_eq!(
            larder.metric("larder_config_last_reload_successful"),
            Some(0.0)
        );
        client.get(&page).expect(200);
        assert_eq!(
            gitlab.log().len(),
            asked,
            "what was in memory is still there"
        );
        replace(&larder, to, from);
    }
    let ready = reload(&larder, &manager).pop().unwrap_or_default();
    assert!(!ready.contains("degraded"), "{ready}");
    assert_eq!(
        larder.metric("larder_config_last_reload_successful"),
        Some(1.0)
    );
}

#[test]
fn a_file_that_never_comes_keeps_nobody_waiting() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let mut larder = manager.over(Larder::builder(&gitlab)).start();
    manager.hears_of("READY=1");
    // A pipe that nobody writes to is as a network drive that has gone.
    let signers = larder.config_file().with_file_name("signers");
    mknodat(CWD, &signers, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    add(&larder, &format!("[import]\nallowed_signers = {signers:?}"));
    larder.signal(Signal::HUP);
    manager.hears_of("RELOADING=1");
    larder.client().get("/-/health/live").expect(200);
    larder.signal(Signal::TERM);
    manager.hears_of("STOPPING=1");
    let status = larder.wait(Duration::from_secs(20));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}",
        larder.log()
    );
}

#[test]
fn offline_nothing_that_only_an_upstream_would_need_is_missed() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let larder = manager
        .over(Larder::builder(&gitlab))
        .setting("offline = true")
        .gitlab_setting("token_file = \"/nowhere/token\"\nca_file = \"/nowhere/ca\"")
        .environment("ALL_PROXY", "socks5://127.0.0.1:1")
        .start();
    manager.hears_of("READY=1");
    add(&larder, "[log]\nlevel = \"debug\"");
    let ready = reload(&larder, &manager).pop().unwrap_or_default();
    assert!(!ready.contains("refused"), "{ready}\n{}", larder.log());
    larder.wait_for_log("the configuration was read again and is in force");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_taken() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let larder = manager
        .over(Larder::builder(&gitlab))
        .setting("listen_mode = \"0600\"")
        .start();
    manager.hears_of("READY=1");
    replace(
        &larder,
        "listen_mode = \"0600\"",
        "listen_mode = \"0666\"\noffline = true\ncache_size = \"3GiB\"",
    );
    add(
        &larder,
        "[limits]\nconnections = 7\n[log]\nformat = \"json\"",
    );
    let ready = reload(&larder, &manager).pop().unwrap_or_default();
    assert!(
        ready.contains("in front of") && ready.contains("of 3.0 GiB"),
        "{ready}"
    );
    larder.wait_for_log("the configuration was read again and is in force");
    let log = larder.log();
    for key in ["listen_mode", "offline", "limits.connections", "log.format"] {
        assert!(log.contains(&format!("key={key}")), "{key}:\n{log}");
    }
    assert_eq!(log.matches("needs a restart").count(), 4, "{log}");
}

/// A token of the operator's gives every caller its rights: not over a socket that is open to the
/// network.
#[test]
fn what_must_stay_on_this_machine_is_judged_by_the_addresses_that_are_open() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let larder = manager
        .over(Larder::builder(&gitlab))
        .argument("--listen")
        .argument("0.0.0.0:0")
        .start();
    manager.hears_of("READY=1");
    let token = larder.home().join("token");
    std::fs::write(&token, "secret").expect("a writable folder");
    replace(
        &larder,
        "[gitlab]\n",
        &format!("[gitlab]\ntoken_file = {token:?}\n"),
    );
    reload(&larder, &manager);
    larder.wait_for_log("gitlab.token_file");
    assert_eq!(
        larder.metric("larder_config_last_reload_successful"),
        Some(0.0)
    );
}

#[test]
fn the_level_of_the_log_and_the_budget_of_the_store_change_at_once() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let wheels: Vec<_> = (0..4)
        .map(|minor| {
            Distribution::new("demo", &format!("1.{minor}"))
                .payload(300_000)
                .wheel()
        })
        .collect();
    wheels.iter().for_each(|wheel| gitlab.publish(42, wheel));
    let larder = manager
        .over(Larder::builder(&gitlab))
        .setting("cache_size = \"10MiB\"")
        .start();
    manager.hears_of("READY=1");
    let client = larder.client().token(token::READER);
    for wheel in &wheels {
        assert!(
            client.get(&path::project_file(42, wheel)).expect(200) == wheel.bytes,
            "other bytes"
        );
    }
    let bytes = || larder.metric("larder_store_bytes").expect("a gauge");
    eventually("all are stored", || bytes() > 1_200_000.0);

    replace(
        &larder,
        "cache_size = \"10MiB\"",
        "cache_size = \"1000KiB\"",
    );
    add(&larder, "[log]\nlevel = \"warn\"");
    reload(&larder, &manager);
    eventually("two have made way", || bytes() < 1_024_000.0);
    assert_eq!(
        larder.metric("larder_store_budget_bytes"),
        Some(1_024_000.0)
    );
    client.get("/not-logged").expect(404);

    replace(&larder, "level = \"warn\"", "level = \"info\"");
    reload(&larder, &manager);
    client.get("/is-logged").expect(404);
    larder.wait_for_log("/is-logged");
    assert!(!larder.log().contains("/not-logged"), "{}", larder.log());
    for wheel in &wheels {
        assert!(
            client.get(&path::project_file(42, wheel)).expect(200) == wheel.bytes,
            "other bytes"
        );
    }
}

#[test]
fn an_upload_that_ends_after_a_reload_is_seen_at_once() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let first = Distribution::new("demo", "1.0").wheel();
    let second = Distribution::new("demo", "2.0").payload(100_000).wheel();
    gitlab.publish(42, &first);
    let larder = manager
        .over(Larder::builder(&gitlab))
        .sections("[index]\nttl = \"1h\"")
        .start();
    manager.hears_of("READY=1");
    let (client, page) = (
        larder.client().token(token::DEVELOPER),
        path::project_page(42, "demo"),
    );
    let (kind, body) = (content_type(), form(&second));
    let length = body.len().to_string();
    let mut uploading = client.connect();
    let headers = [
        ("Content-Type", kind.as_str()),
        ("Content-Length", length.as_str()),
    ];
    uploading.send(
        client
            .head_text("POST", &path::upload(42), &headers)
            .as_bytes(),
    );
    let (sooner, later) = body.split_at(50_000);
    uploading.send(sooner);
    eventually("the upload has come to GitLab", || {
        gitlab.log().count(Kind::Upload) > 0
    });

    reload(&larder, &manager);
    assert!(!client.get(&page).text().contains(&second.filename));
    let asked = gitlab.log().len();
    client.get(&page).expect(200);
    assert_eq!(
        gitlab.log().len(),
        asked,
        "the new page is fresh for an hour"
    );
    uploading.send(later);
    uploading.reply_to("POST").expect(201);
    assert!(
        client.get(&page).text().contains(&second.filename),
        "what was uploaded is not shown"
    );
}

#[test]
fn many_reloads_under_load_fail_no_request_and_leave_nothing_behind() {
    let (manager, gitlab) = (Manager::new(), GitLab::start());
    let wheels: Vec<_> = (0..6)
        .map(|minor| {
            Distribution::new("demo", &format!("1.{minor}"))
                .payload(200_000)
                .wheel()
        })
        .collect();
    wheels.iter().for_each(|wheel| gitlab.publish(42, wheel));
    let long = Distribution::new("long", "1.0").payload(4_000_000).wheel();
    gitlab.publish(42, &long);
    let larder = manager
        .over(Larder::builder(&gitlab))
        .sections("[log]\nlevel = \"warn\"")
        .start();
    manager.hears_of("READY=1");
    let client = larder.client().token(token::READER);
    let gate = Gate::new();
    let held = Act::Gate {
        after: 1_000_000,
        gate: gate.clone(),
    };
    gitlab.plan(held.at(Site::FileBody).containing("long"));
    let mut spanning = client.start("GET", &path::project_file(42, &long), &[]);
    assert_eq!(
        (spanning.status(), spanning.read_body(100_000)),
        (200, 100_000)
    );

    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut memory, mut threads) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let client = larder.client().token(token::READER);
                while !stop.load(Ordering::Relaxed) {
                    let page = client.get(&path::project_page(42, "demo"));
                    assert!(page.text().contains(&wheels[5].filename), "{page:?}");
                    for wheel in &wheels {
                        let file = client.get(&path::project_file(42, wheel));
                        assert!(file.expect(200) == wheel.bytes, "other bytes");
                    }
                    requests.fetch_add(1 + wheels.len() as u64, Ordering::Relaxed);
                }
            });
        }
        // Whatever fails here must not leave the clients running.
        let stopping = Stop(&stop);
        for turn in 0..RELOADS {
            let before = requests.load(Ordering::Relaxed);
            reload(&larder, &manager);
            eventually("requests go on", || {
                requests.load(Ordering::Relaxed) > before + 7
            });
            if turn == RELOADS / 3 {
                (memory, threads) = (larder.resident_bytes(), thread_count(&larder));
            }
        }
        drop(stopping);
    });
    gate.open();
    assert!(spanning.finish().expect(200) == long.bytes, "other bytes");
    let (memory_after, threads_after) = (larder.resident_bytes(), thread_count(&larder));
    let total = requests.load(Ordering::Relaxed);
    println!(
        "{RELOADS} reloads, {total} requests, memory {memory} to {memory_after}, threads {threads} to {threads_after}"
    );
    assert!(
        memory_after < memory + GROWTH_BYTES_MAX,
        "{memory} bytes became {memory_after}"
    );
    // Threads that block come and go with the load.
    assert!(
        threads_after <= threads + 16,
        "{threads} threads became {threads_after}"
    );
    let log = larder.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

/// Ends the clients, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn thread_count(larder: &Larder) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", larder.pid()))
        .expect("a running process")
        .count()
}
