//! Sets: what `larder warm` found, or a client was given, under a name that `larder export` takes.

use std::io::Read;
use std::process::Output;

use super::downloads::{Bench, said};
use crate::support::{Distribution, Workbench, python};

/// The file names in the manifest of the set's bundle, sorted.
fn exported(bench: &Bench, set: &str) -> Vec<String> {
    let bundle = bench.larder.home().join("bundle");
    let output = bench
        .larder
        .command(&["export", "--set", set, &bundle.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let mut archive = tar::Archive::new(std::fs::File::open(bundle).expect("a bundle"));
    let mut manifest = String::new();
    for member in archive.entries().expect("an archive") {
        let mut member = member.expect("an archive");
        if member.path_bytes().ends_with(b"manifest.jsonl") {
            member.read_to_string(&mut manifest).expect("text");
        }
    }
    let mut names = wheels(&["one", "two", "three"]);
    names.retain(|name| manifest.contains(&format!("\"{name}\"")));
    names
}

fn wheels(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{name}-1.0-py3-none-any.whl"))
        .collect()
}

fn stocked() -> Bench {
    let bench = Bench::new();
    bench.index.publish(
        Distribution::new("one", "1.0")
            .depends_on("two")
            .payload(200_000)
            .wheel(),
    );
    bench.index.publish(Distribution::new("two", "1.0").wheel());
    bench
        .index
        .publish(Distribution::new("three", "1.0").wheel());
    bench
}

#[test]
fn a_set_has_the_files_that_were_named_and_no_others() {
    let bench = stocked();
    let warm = |arguments: &[&str]| bench.warm(&[&["--from", "pypi"], arguments].concat());
    assert!(warm(&["three"]).status.success());
    let output = warm(&["one", "two", "--set", "ci"]);
    assert!(
        said(&output).contains("the set ci has 2 files"),
        "{}",
        said(&output)
    );
    assert_eq!(exported(&bench, "ci"), wheels(&["one", "two"]));
    assert!(
        warm(&["three", "--set", "ci", "--dry-run"])
            .status
            .success()
    );
    assert_eq!(
        exported(&bench, "ci"),
        wheels(&["one", "two"]),
        "a dry run wrote it"
    );
    // What is held already counts like what was fetched.
    assert!(warm(&["one", "--set", "ci"]).status.success());
    assert_eq!(exported(&bench, "ci"), wheels(&["one"]), "replaced");
    let output = warm(&["three", "gone", "--set", "ci"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the set ci has 2 files; not all came"),
        "{}",
        said(&output)
    );
    assert_eq!(
        exported(&bench, "ci"),
        wheels(&["one", "three"]),
        "added to"
    );
    // What came is in the set although something else did not.
    let output = warm(&["three", "gone", "--set", "partial"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(exported(&bench, "partial"), wheels(&["three"]));
}

#[test]
fn a_name_that_no_set_has_is_wrong_usage() {
    let bench = stocked();
    for arguments in [
        &["one", "--set", "../ci"][..],
        &["--record", "CI", "--", "true"],
    ] {
        let output = bench.warm(&[&["--from", "pypi"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            said(&output).contains("is no name of a set"),
            "{}",
            said(&output)
        );
    }
    assert!(bench.index.log().is_empty());
}

/// Runs a client of the environment under `--record ci`.
fn recorded(bench: &Bench, program: &str, arguments: &[&str]) -> Output {
    let user = Workbench::new();
    let program = python::program(program).to_string_lossy().into_owned();
    let client = [
        &["warm", "--record", "ci", "--from", "pypi", "--", &program],
        arguments,
    ]
    .concat();
    let mut command = bench.larder.start_command(&client);
    for name in ["UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"] {
        command.env_remove(name);
    }
    command
        .env("HOME", user.folder())
        .env("UV_NO_CONFIG", "1")
        .env("PIP_CONFIG_FILE", "/dev/null");
    command
        .current_dir(user.folder())
        .output()
        .expect("the binary runs")
}

#[test]
fn what_uv_fetched_is_a_set() {
    let bench = stocked();
    assert!(bench.warm(&["three", "--from", "pypi"]).status.success());
    let python = python::program("python").to_string_lossy().into_owned();
    let uv = [
        "pip",
        "install",
        "--no-cache",
        "--python",
        &python,
        "--target",
        "site",
        "one",
    ];
    let output = recorded(&bench, "uv", &uv);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("the set ci has 2 files"), "{text}");
    assert_eq!(exported(&bench, "ci"), wheels(&["one", "two"]));
    // A client that fails adds to it; one that fetched nothing changes nothing.
    let fetches_and_fails = format!("{READ_A_PART}\nraise SystemExit(7)");
    let failed = recorded(&bench, "python", &["-c", &fetches_and_fails]);
    assert_eq!(failed.status.code(), Some(7));
    assert!(
        said(&failed).contains("the set ci has 2 files; not all came"),
        "{}",
        said(&failed)
    );
    let nothing = recorded(&bench, "python", &["-c", "exit(7)"]);
    assert_eq!(nothing.status.code(), Some(7));
    assert_eq!(exported(&bench, "ci"), wheels(&["one", "two"]));
}

/// Reads a hundred bytes of the one file on a page.
const READ_A_PART: &str = r##"
import os, re, urllib.parse, urllib.request
page = os.environ["PIP_INDEX_URL"] + "one/"
link = re.search('href="([^"#]+)', urllib.request.urlopen(page).read().decode()).group(1)
asked = urllib.request.Request(urllib.parse.urljoin(page, link), headers={"Range": "bytes=0-99"})
answer = urllib.request.urlopen(asked)
assert answer.status == 206 and len(answer.read()) == 100, answer.status
"##;

#[test]
fn a_file_of_which_a_client_read_a_part_is_fetched_whole() {
    let bench = stocked();
    let output = recorded(&bench, "python", &["-c", READ_A_PART]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("the set ci has 1 file\n"),
        "{}",
        said(&output)
    );
    assert!(
        bench.holds(
            &Distribution::new("one", "1.0")
                .depends_on("two")
                .payload(200_000)
                .wheel()
        )
    );
    assert_eq!(exported(&bench, "ci"), wheels(&["one"]));
}
