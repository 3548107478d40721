//! `larder explain`: what would be answered, and from what.

use std::process::{Command, Output};
use std::time::Duration;

use crate::common::delivery::kept;
use crate::support::{
    Artifact, Distribution, GitLab, HeldPort, Larder, Offer, PublicIndex, path, token,
};

fn wheel() -> Artifact {
    Distribution::new("big", "1.0").payload(200_000).wheel()
}

fn binary() -> Command {
    let mut command = Command::new(crate::support::larder::binary());
    command.env_clear().env("LARDER_CONFIG", "/dev/null");
    command
}

/// Explains against the running daemon; gives the exit code and what was printed.
fn explain(larder: &Larder, arguments: &[&str]) -> (i32, String) {
    let listen = larder.address().to_string();
    let output = larder.command(&[&["explain", "--listen", &listen], arguments].concat());
    told(&output)
}

fn told(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked"), "{text}");
    for secret in [token::READER, token::STRANGER, "s3cret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    (output.status.code().unwrap_or(-1), text)
}

/// A file with a token in it, beside the configuration.
fn token_file(larder: &Larder, secret: &str) -> String {
    let file = larder.home().join(format!("{}.token", secret.len()));
    std::fs::write(&file, secret).expect("a writable folder");
    file.to_string_lossy().into_owned()
}

#[track_caller]
fn says(told: &(i32, String), code: i32, parts: &[&str]) {
    assert_eq!(told.0, code, "{}", told.1);
    for part in parts {
        assert!(told.1.contains(part), "no {part:?} in:\n{}", told.1);
    }
}

/// Until something that happens behind an answer is on the disk.
fn eventually(larder: &Larder, arguments: &[&str], part: &str) -> (i32, String) {
    let mut last = explain(larder, arguments);
    for _ in 0..100 {
        if last.1.contains(part) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        last = explain(larder, arguments);
    }
    last
}

#[test]
fn a_page_is_explained_unknown_and_then_stored_and_fresh() {
    let gitlab = GitLab::start();
    let wheel = wheel();
    gitlab.publish(42, &wheel);
    let larder = Larder::start(&gitlab);
    let page = path::project_page(42, "big");

    let unknown = explain(&larder, &[&page]);
    says(
        &unknown,
        1,
        &[
            "the page of big in GitLab projects/42",
            "for each caller by the caller's own token",
            &format!("{}{page}", gitlab.url()),
            "index.ttl = 30s",
            "auth.cache_ttl = 1m",
            "gitlab.forward = \"follow\"",
            "no page",
            "401",
            "without a credential",
        ],
    );

    let file = token_file(&larder, token::READER);
    let given = [
        page.as_str(),
        "--user",
        "__token__",
        "--token-file",
        &file,
        "--format",
        "html",
    ];
    says(
        &explain(&larder, &given),
        0,
        &["200 OK", "fetched from upstream for this request"],
    );
    let fresh = eventually(&larder, &given, "HTML page as upstream sent it");
    says(
        &fresh,
        0,
        &["bytes, validator", "from the cache; upstream was not asked"],
    );

    // GitLab's own URL is the same address, and what is secret in it stays there.
    let url = format!("{}{page}", gitlab.url()).replace("http://", "http://me:s3cret@");
    says(
        &explain(&larder, &[&url]),
        1,
        &[
            "GitLab's URL",
            "the credential in the URL was left out",
            "401",
        ],
    );
    let stranger = token_file(&larder, &format!("{}\n", token::STRANGER));
    says(
        &explain(&larder, &[&page, "--token-file", &stranger]),
        1,
        &["404", "upstream's own answer"],
    );
}

#[test]
fn a_file_is_explained_held_and_not() {
    let gitlab = GitLab::start();
    let wheel = wheel();
    gitlab.publish(42, &wheel);
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let address = path::project_file(42, &wheel);
    let credential = token_file(&larder, token::READER);
    let given = [address.as_str(), "--token-file", &credential];
    says(
        &explain(&larder, &given),
        0,
        &["nothing under this address", &wheel.sha256],
    );

    client.get(&address).expect(200);
    kept(&larder, &wheel);
    let size = format!(
        "the file: {} bytes, sha256 {}",
        wheel.bytes.len(),
        wheel.sha256
    );
    says(
        &explain(&larder, &given),
        0,
        &[&size, "200", "from the cache; upstream was not asked"],
    );
    let core_metadata = format!("{address}.metadata");
    let made = eventually(
        &larder,
        &[&core_metadata, "--token-file", &credential],
        "whose sha256 agreed",
    );
    says(
        &made,
        0,
        &[
            "metadata: made from the wheel, whose sha256 agreed",
            "metadata.generate = true",
        ],
    );
}

#[test]
fn rules_of_the_configuration_are_named_with_the_answer_they_give() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let wheel = wheel();
    let young = Distribution::new("young", "1.0").wheel();
    index.publish(wheel.clone());
    index.publish(Offer::from(young.clone()).without_upload_time());
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, "min_age = \"7d\"\n")
        .forward("pypi")
        .private_names(&["acme-*"])
        .start();

    let private = explain(&larder, &["/pypi/simple/acme-secret/"]);
    says(
        &private,
        1,
        &[
            "no: acme-secret is a private name",
            "private_packages holds acme-secret",
            "404",
            "refused by the rules",
        ],
    );
    let in_place = explain(&larder, &[&path::project_page(42, "big")]);
    says(&in_place, 1, &["gitlab.forward = \"pypi\"", "401"]);

    let client = larder.client();
    client.get("/pypi/simple/big/").expect(200);
    client.get("/pypi/simple/young/").expect(200);
    let ripe = eventually(
        &larder,
        &["/pypi/simple/big/"],
        "JSON page as upstream sent it",
    );
    says(
        &ripe,
        0,
        &[
            "mirrors.pypi.min_age = 7days",
            "mirrors.pypi.ttl = 10m",
            "none: no credential",
        ],
    );
    let file = format!(
        "{}{}",
        index.files_prefix(),
        index.file_path(&wheel.filename)
    );
    says(
        &explain(&larder, &[&file]),
        0,
        &[
            "the mirror pypi's URL",
            "listed by a stored page, with sha256",
            &wheel.sha256,
            &file,
        ],
    );
    eventually(
        &larder,
        &["/pypi/simple/young/"],
        "JSON page as upstream sent it",
    );
    let file = format!(
        "{}{}",
        index.files_prefix(),
        index.file_path(&young.filename)
    );
    says(
        &explain(&larder, &[&file]),
        1,
        &["does not say when this file was uploaded", "(403)", "403"],
    );
    index.log().assert_nothing_unexpected();
}

#[test]
fn without_a_daemon_the_configuration_and_the_disk_still_tell() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache");
    let cache_dir = cache.to_string_lossy().into_owned();
    let silent = HeldPort::new();
    let run = |arguments: &[&str]| {
        let listen = silent.address().to_string();
        let common = ["explain", "--cache-dir", &cache_dir, "--listen", &listen];
        let output = binary().args(common).args(arguments).output();
        told(&output.expect("the binary runs"))
    };
    let page = path::project_page(42, "big");
    let absent = run(&[&page]);
    says(
        &absent,
        0,
        &[
            "no larder has used this folder: ",
            "none answers at",
            "nothing listens there",
            "depends: GitLab's answer",
        ],
    );
    says(
        &run(&["/api/v4/user"]),
        1,
        &[
            "nothing that larder serves",
            "no such address here: of GitLab's API larder has",
            "(404)",
        ],
    );
    says(
        &run(&["/nowhere/simple/big/"]),
        1,
        &["there is no [mirrors.nowhere]"],
    );
    says(
        &run(&[&format!("{page}?private_token=s3cret")]),
        1,
        &["(400)", "PRIVATE-TOKEN"],
    );
    says(&run(&["big"]), 2, &["\"big\" is neither a path"]);
    says(
        &run(&[&page, "--token-file", "/nonexistent"]),
        2,
        &["--token-file: /nonexistent"],
    );
    says(
        &run(&[&page, "--config", "/nonexistent"]),
        78,
        &["/nonexistent"],
    );
    assert!(!cache.exists(), "a look made the folder");

    let (code, line) = run(&["--json", &page]);
    let json: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(
        (code, &json["verdict"], &json["daemon"]),
        (0, &"depends".into(), &serde_json::Value::Null)
    );
    assert_eq!(json["address"], page);
}

#[test]
fn what_a_daemon_that_is_gone_has_stored_is_still_explained() {
    let gitlab = GitLab::start();
    let wheel = wheel();
    gitlab.publish(42, &wheel);
    let mut larder = Larder::start(&gitlab);
    larder
        .client()
        .token(token::READER)
        .get(&path::project_file(42, &wheel))
        .expect(200);
    kept(&larder, &wheel);
    larder.terminate();
    let gone = explain(&larder, &[&path::project_file(42, &wheel)]);
    says(&gone, 0, &["the file: ", "none answers at"]);
}

#[test]
fn check_config_opens_the_files_that_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("larder.toml");
    let toml = "[gitlab]\ntoken_file = \"/nonexistent/token\"\nca_file = \"/nonexistent/ca\"\n\
                [mirrors.pypi]\nurl = \"https://index.example/simple/\"\n\
                token_file = \"/nonexistent/other\"\nca_file = \"/nonexistent/ca2\"\n";
    std::fs::write(&file, toml).expect("a writable folder");
    let output = binary()
        .arg("check-config")
        .arg("--config")
        .arg(&file)
        .output();
    let told = told(&output.expect("the binary runs"));
    says(
        &told,
        78,
        &[
            "gitlab.token_file: /nonexistent/token",
            "gitlab.ca_file: /nonexistent/ca",
            "mirrors.pypi.token_file: /nonexistent/other",
            "mirrors.pypi.ca_file: /nonexistent/ca2",
        ],
    );
}
