//! What operators do beside a running daemon: looking at the configuration, revoking, refreshing,
//! the log's level, health, completions and the manual.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::delivery::eventually;
use crate::support::{Act, Distribution, GitLab, Kind, Larder, PublicIndex, path, token};

/// Exit code and all that was said.
fn told(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked"), "{text:.800}");
    for secret in [token::READER, token::STRANGER, "s3cret"] {
        assert!(!text.contains(secret), "{secret} in {text:.800}");
    }
    (output.status.code(), text)
}

#[track_caller]
fn says(larder: &Larder, arguments: &[&str], code: i32, parts: &[&str]) -> String {
    let (was, text) = told(&larder.command(arguments));
    assert_eq!(was, Some(code), "{arguments:?}: {text:.800}");
    for part in parts {
        assert!(
            text.contains(part),
            "{arguments:?} does not say {part:?}: {text:.800}"
        );
    }
    text
}

fn binary(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(crate::support::larder::binary());
    command
        .env_clear()
        .env("LARDER_CONFIG", "/dev/null")
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    told(&command.output().expect("the binary runs"))
}

fn token_file(larder: &Larder, secret: &str) -> String {
    let file = larder.home().join(format!("{}.token", secret.len()));
    std::fs::write(&file, secret).expect("a writable folder");
    file.to_string_lossy().into_owned()
}

#[test]
fn each_value_is_shown_with_the_line_or_the_variable_it_came_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("larder.toml");
    let text = "cache_size = \"1GiB\"\n\n[gitlab]\nurl = \"https://gitlab.example\"\nobject_storage_origins = [\n  \"https://o.example\",\n]\n";
    std::fs::write(&file, text).expect("a writable folder");
    let file = file.to_string_lossy().into_owned();
    // The commit is the build's business, and no key.
    let environment = [
        ("LARDER_GITLAB__RETRIES", "1"),
        ("HOME", "/home-of-nobody"),
        ("LARDER_COMMIT", "0123abc"),
    ];
    let show = |more: &[&str]| {
        let (code, text) = binary(
            &[&["config", "show", "--config", &file], more].concat(),
            &environment,
        );
        assert_eq!(code, Some(0), "{text}");
        let whose =
            format!("larder: the configuration of {file}; no larder runs on its cache folder\n");
        assert!(text.contains(&whose), "{text}");
        text.replace(&whose, "")
    };
    let all = show(&[]);
    for line in [
        format!("gitlab.url = \"https://gitlab.example\" (in {file}:4)"),
        format!("gitlab.object_storage_origins = [\"https://o.example\"] (in {file}:5)"),
        "gitlab.retries = 1 (in the environment, LARDER_GITLAB__RETRIES)".to_owned(),
        "cache_dir = \"\" (default: /home-of-nobody/.cache/larder)".to_owned(),
        "index.ttl = \"30s\" (default)".to_owned(),
    ] {
        assert!(all.lines().any(|shown| shown == line), "{line}\nin\n{all}");
    }
    let changed = show(&["--changed"]);
    assert_eq!(changed.lines().count(), 4, "{changed}");
    // What `config init` writes is all there and changes nothing.
    let written = folder
        .path()
        .join("written.toml")
        .to_string_lossy()
        .into_owned();
    assert_eq!(binary(&["config", "init", &written], &[]).0, Some(0));
    let said = binary(&["config", "show", "--changed", "--config", &written], &[]);
    let whose =
        format!("larder: the configuration of {written}; no larder runs on its cache folder\n");
    assert_eq!(said, (Some(0), whose));
    let json: Vec<Value> = show(&["--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(json.len(), all.lines().count());
    let of = |key: &str| {
        json.iter()
            .find(|line| line["key"] == key)
            .expect("every key")
    };
    assert_eq!(
        (&of("gitlab.url")["source"], &of("gitlab.url")["line"]),
        (&"file".into(), &4.into())
    );
    assert_eq!(of("gitlab.retries")["variable"], "LARDER_GITLAB__RETRIES");
    assert_eq!(of("listen")["source"], "default");

    // A fault names the line as well.
    std::fs::write(
        folder.path().join("bad.toml"),
        "\n[index]\nttl = \"30 parsecs\"\n",
    )
    .expect("writable");
    let bad = folder
        .path()
        .join("bad.toml")
        .to_string_lossy()
        .into_owned();
    let (code, text) = binary(&["check-config", "--config", &bad], &[]);
    assert!(code == Some(78) && text.contains("bad.toml:3"), "{text}");
}

#[test]
fn a_configuration_is_begun_and_none_is_overwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder
        .path()
        .join("new.toml")
        .to_string_lossy()
        .into_owned();
    let example = include_str!("../../../config.example.toml");
    assert_eq!(
        binary(&["config", "init"], &[]),
        (Some(0), example.to_owned())
    );
    assert_eq!(
        binary(&["config", "init", &file], &[]),
        (Some(0), String::new())
    );
    assert_eq!(
        std::fs::read_to_string(&file).ok().as_deref(),
        Some(example)
    );
    assert_eq!(
        binary(&["check-config", "--config", &file], &[("HOME", "/")]).0,
        Some(0)
    );
    std::fs::write(&file, "mine").expect("writable");
    let (code, text) = binary(&["config", "init", &file], &[]);
    assert!(code == Some(1) && text.contains(&file), "{text}");
    assert_eq!(std::fs::read_to_string(&file).ok().as_deref(), Some("mine"));
}

#[test]
fn auth_flush_ends_a_right_that_stood_and_the_next_request_asks() {
    let gitlab = GitLab::start();
    gitlab.publish(42, Distribution::new("big", "1.0").wheel());
    let mut larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "big");
    client.get(&page).expect(200);
    gitlab.revoke(token::READER);
    client.get(&page).expect(200);
    assert_eq!(
        gitlab.log().count(Kind::Page),
        1,
        "the right stands without a question"
    );

    let json = says(&larder, &["auth", "flush", "--json"], 0, &[]);
    let flushed = serde_json::from_str::<Value>(&json)
        .ok()
        .and_then(|line| line["authorizations"].as_u64());
    assert!(flushed > Some(0), "{json}");
    assert_eq!(client.get(&page).status, 401, "GitLab's own word");
    assert_eq!(gitlab.log().count(Kind::Page), 2);
    says(
        &larder,
        &["auth", "flush"],
        0,
        &["flushed 0 authorizations", "next request asks GitLab"],
    );
    larder.terminate();
    says(
        &larder,
        &["auth", "flush"],
        1,
        &["no daemon answers for ", "nothing was flushed"],
    );
    says(&larder, &["revoke"], 2, &["larder auth flush"]);
}

#[test]
fn who_comes_after_a_revocation_is_served_by_no_answer_to_a_question_from_before() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("big", "1.0").payload(100_000).wheel();
    gitlab.publish(42, wheel.clone());
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let (page, file) = (
        path::project_page(42, "big"),
        path::project_file(42, &wheel),
    );
    // GitLab has answered, and the answer is still on its way when all is revoked: there, and here.
    let gate = gitlab.hold(Kind::Page, 0);
    let before = client.start("GET", &page, &[]);
    gate.wait_for(1);
    gitlab.revoke(token::READER);
    says(&larder, &["auth", "flush"], 0, &["flushed"]);
    assert_eq!(
        client.get(&page).status,
        401,
        "GitLab's own word, not the answer that is on its way"
    );
    gate.open();
    before.finish().expect(200);
    assert_eq!(
        client.get(&page).status,
        401,
        "the late answer has given no right"
    );

    // The same of a file that is here, where the question has no body.
    larder
        .client()
        .token(token::DEVELOPER)
        .get(&file)
        .expect(200);
    crate::common::delivery::kept(&larder, &wheel);
    let client = larder.client().token(token::DEPLOY);
    let stall = gitlab.plan(
        Act::StallBeforeHead(Duration::from_secs(2))
            .at(Kind::File)
            .once(),
    );
    let before = client.start("GET", &file, &[]);
    eventually("GitLab has decided", || stall.hits() == 1);
    gitlab.revoke(token::DEPLOY);
    says(&larder, &["auth", "flush"], 0, &["flushed"]);
    let status = client.get(&file).status;
    assert!(
        status == 401 || status == 403,
        "GitLab's own word, not {status}"
    );
    assert_eq!(before.finish().expect(200), &wheel.bytes[..]);
    assert_ne!(
        client.get(&file).status,
        200,
        "the late answer has given no right"
    );
}

#[test]
fn a_mirrors_page_in_gitlabs_place_is_given_after_a_revocation_only_if_gitlab_says_so_again() {
    let gitlab = GitLab::start();
    let index = PublicIndex::builder()
        .offering(Distribution::new("public", "1.0").wheel())
        .start();
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .forward("pypi")
        .start();
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "public");
    client.get(&page).expect(200);
    client.get(&page).expect(200);
    assert_eq!(gitlab.log().count(Kind::Page), 1, "its word is remembered");
    gitlab.revoke(token::READER);
    says(&larder, &["auth", "flush"], 0, &["flushed"]);
    assert_eq!(client.get(&page).status, 401, "GitLab's own word");
}

#[test]
fn a_bad_file_on_the_disk_takes_no_daemon_away_from_its_operator() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let good = std::fs::read_to_string(larder.config_file()).expect("its configuration");
    for bad in ["\n[log]\nlevl = \"info\"\n", "\n[log\n"] {
        std::fs::write(larder.config_file(), format!("{good}{bad}")).expect("a writable folder");
        let url = larder.url();
        says(&larder, &["check-config"], 78, &[]);
        says(&larder, &["health", "--url", &url], 0, &["ok"]);
        if bad.contains("levl") {
            says(
                &larder,
                &["health"],
                0,
                &["ok", "only cache_dir was taken", "levl"],
            );
            says(&larder, &["log-level"], 0, &["info"]);
            says(
                &larder,
                &["auth", "flush"],
                0,
                &["flushed 0 authorizations"],
            );
        }
    }
}

#[test]
fn the_logs_level_changes_while_the_daemon_runs() {
    let mut larder = Larder::start(&GitLab::start());
    says(&larder, &["log-level"], 0, &["info\n"]);
    assert!(
        !larder.log().contains("level=DEBUG"),
        "{:.800}",
        larder.log()
    );
    says(
        &larder,
        &["log-level", "info,larder=debug,hyper_util=debug"],
        0,
        &["larder=debug"],
    );
    says(
        &larder,
        &["log-level", "louder"],
        2,
        &["\"louder\"", "is no level"],
    );
    says(
        &larder,
        &["log-level", "--json"],
        0,
        &["\"level\":", "larder=debug"],
    );
    says(&larder, &["log-level", "off"], 0, &["off"]);
    larder.client().get("/-/asked-while-off").expect(404);
    let debug = "info,larder::request=debug";
    says(&larder, &["log-level", debug], 0, &[]);
    larder.client().get("/-/asked-at-debug").expect(404);
    larder.wait_for_log("/-/asked-at-debug");
    assert!(
        !larder.log().contains("/-/asked-while-off"),
        "nothing is written while it is off: {:.800}",
        larder.log()
    );
    larder.terminate();
    says(
        &larder,
        &["log-level"],
        1,
        &["no daemon answers for ", "no log to change"],
    );
}

#[test]
fn refresh_asks_now_and_says_what_changed() {
    let gitlab = GitLab::start();
    let (one, two) = (
        Distribution::new("big", "1.0").wheel(),
        Distribution::new("big", "2.0").wheel(),
    );
    gitlab.publish(42, &one);
    let larder = Larder::builder(&gitlab)
        .sections("[index]\nttl = \"1h\"")
        .start();
    let client = larder.client().token(token::READER);
    let page = path::project_page(42, "big");
    client.get(&page).expect(200);
    gitlab.publish(42, &two);
    assert!(
        !client.get(&page).text().contains(&two.filename),
        "it is fresh"
    );

    // Without a credential: the next reader asks, one question and not more.
    says(
        &larder,
        &["refresh", "projects/42/big"],
        0,
        &[&page, "marked"],
    );
    let asked = gitlab.log().count(Kind::Page);
    assert!(
        client.get(&page).text().contains(&two.filename),
        "it was asked for"
    );
    client.get(&page).expect(200);
    assert_eq!(gitlab.log().count(Kind::Page), asked + 1);

    let three = Distribution::new("big", "3.0").wheel();
    gitlab.publish(42, &three);
    let reader = token_file(&larder, token::READER);
    let credential = ["--user", "__token__", "--token-file", &reader];
    // The name alone finds the page that is stored, once it is.
    eventually("the page is on the disk", || {
        larder.command(&["refresh", "big"]).status.success()
    });
    let text = says(
        &larder,
        &[&["refresh", "big"], &credential[..]].concat(),
        0,
        &[&page],
    );
    assert!(
        text.contains(&format!("+ {}", three.filename)) && text.contains("3 files"),
        "{text}"
    );
    says(
        &larder,
        &[&["refresh", "big"], &credential[..]].concat(),
        0,
        &["unchanged, 3 files"],
    );
    let url = format!("{}{page}", gitlab.url());
    says(
        &larder,
        &[&["refresh", url.as_str(), "--json"], &credential[..]].concat(),
        0,
        &["\"unchanged\""],
    );

    // What upstream refuses is no change, and a dead upstream takes nothing away.
    let stranger = token_file(&larder, &format!("{}\n", token::STRANGER));
    says(
        &larder,
        &["refresh", "projects/42/big", "--token-file", &stranger],
        1,
        &["refused: 404"],
    );
    says(
        &larder,
        &["refresh", "nothing/at/all"],
        2,
        &["is not a scope"],
    );
    says(
        &larder,
        &["refresh", "never-seen"],
        2,
        &["no page of never-seen is stored", "--from"],
    );
    gitlab.stop();
    says(
        &larder,
        &[&["refresh", "big"], &credential[..]].concat(),
        1,
        &["failed: "],
    );
    client.get(&page).expect(200);
}

#[test]
fn a_mirrors_page_is_refreshed_for_everybody_with_and_without_a_daemon() {
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    let (one, two) = (
        Distribution::new("big", "1.0").wheel(),
        Distribution::new("big", "2.0").wheel(),
    );
    index.publish(&one);
    let mut larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, "ttl = \"1h\"")
        .start();
    larder.client().get("/pypi/simple/big/").expect(200);
    index.publish(&two);
    index.withdraw(&one.filename);
    let refresh = ["refresh", "big", "--from", "pypi"];
    let (added, gone) = (format!("+ {}", two.filename), format!("- {}", one.filename));
    says(
        &larder,
        &refresh,
        0,
        &["/pypi/simple/big/", "changed", &added, &gone],
    );
    let shown = larder.client().get("/pypi/simple/big/").text();
    assert!(
        shown.contains(&two.filename) && !shown.contains(&one.filename),
        "{shown}"
    );
    says(
        &larder,
        &["refresh", "nowhere/big"],
        2,
        &["no mirror nowhere"],
    );
    larder.terminate();
    says(&larder, &refresh, 0, &["unchanged, 1 file"]);
    gitlab.log().assert_nothing_unexpected();
    assert!(gitlab.log().is_empty(), "GitLab has nothing to do with it");
}

#[test]
fn health_tells_ready_from_degraded_from_gone() {
    let gitlab = GitLab::start();
    let mut larder = Larder::builder(&gitlab)
        .gitlab_setting("breaker_failures = 1\nretries = 0")
        .start();
    says(&larder, &["health"], 0, &["ok"]);
    let url = larder.url();
    says(&larder, &["health", "--url", &url], 0, &["ok"]);
    // A proxy that the environment names is for other hosts.
    let mut asked = larder.start_command(&["health", "--url", &url]);
    let asked = asked
        .env("http_proxy", "http://127.0.0.1:9")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .output();
    assert_eq!(told(&asked.expect("the binary runs")).0, Some(0));
    gitlab.stop();
    larder
        .client()
        .token(token::READER)
        .get(&path::project_page(42, "big"))
        .expect(504);
    says(&larder, &["health"], 0, &["degraded"]);
    larder.terminate();
    let since = std::time::Instant::now();
    let parts = ["no daemon answers for ", "none runs there", "--cache-dir"];
    says(&larder, &["health"], 1, &parts);
    says(
        &larder,
        &["health", "--url", &url, "--json"],
        1,
        &["\"is_ready\":false", "nothing listens"],
    );
    says(&larder, &["health", "--url", "nonsense"], 2, &["nonsense"]);
    assert!(since.elapsed() < Duration::from_secs(30));
}

#[test]
fn shells_can_complete_and_the_manual_has_a_page_for_each_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = binary(&["completions", shell], &[]);
        assert!(
            code == Some(0) && script.contains("rewrite-lock"),
            "{shell}: {script:.300}"
        );
    }
    let (_, script) = binary(&["completions", "bash"], &[]);
    let checked = Command::new("bash")
        .args(["-n", "-c", &script])
        .output()
        .expect("a shell");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );

    let folder = tempfile::tempdir().expect("a temporary folder");
    let (code, said) = binary(&["man", &folder.path().to_string_lossy()], &[]);
    assert_eq!(code, Some(0), "{said}");
    let main = std::fs::read_to_string(folder.path().join("larder.1")).expect("the main page");
    let (_, printed) = binary(&["man"], &[]);
    assert_eq!(main, printed);
    for name in ["larder-serve.1", "larder-purge.1", "larder-config-init.1"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let (code, _) = binary(&["man", "/nonexistent/folder"], &[]);
    assert_eq!(code, Some(1));
    let version = format!("larder {}", env!("CARGO_PKG_VERSION"));
    assert!(binary(&["--version"], &[]).1.starts_with(&version));
    assert_eq!(binary(&["-V"], &[]).1, format!("{version}\n"));
}
