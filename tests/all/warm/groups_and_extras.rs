//! `larder warm` with a part of a lock: groups and extras.

use super::downloads::{Bench, names, said};
use crate::support::lock_text::{FORMATS, Format, Locked};
use crate::support::{Artifact, Distribution};

fn stocked(bench: &Bench) -> Vec<Artifact> {
    let files: Vec<Artifact> = ["one", "two", "three"]
        .iter()
        .map(|name| Distribution::new(name, "1.0").wheel())
        .collect();
    for file in &files {
        bench.index.publish(file);
    }
    files
}

fn wheels(list: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = list
        .iter()
        .map(|name| format!("{name}-1.0-py3-none-any.whl"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_lock_is_carried_whole_or_by_its_groups() {
    let bench = Bench::new();
    let files = stocked(&bench);
    for format in FORMATS {
        let packages = [
            Locked::new([&files[0]]),
            Locked::new([&files[1]]).in_group("dev"),
            Locked::new([&files[2]]).in_group("docs"),
        ];
        let lock = bench.file(format.filename(), &format.lock(9, &packages));
        let dev = if format == Format::Pipfile {
            "develop"
        } else {
            "dev"
        };
        for (arguments, expected) in [
            (&[][..], &["one", "two", "three"][..]),
            (&["--no-dev"], &["one", "three"]),
            (&["--group", dev], &["one", "two"]),
            (
                &["--group", dev, "--group", "Docs"],
                &["one", "two", "three"],
            ),
            (&["--no-group", "docs", "--no-dev"], &["one"]),
            (&["--group", "docs", "--no-group", "docs"], &["one"]),
        ] {
            let (code, lines) = bench.told(&[&[lock.as_str(), "--dry-run"], arguments].concat());
            assert_eq!(
                (code, names(&lines, "upstream")),
                (Some(0), wheels(expected)),
                "{format:?} {arguments:?}"
            );
        }
        let run = |more: &[&str]| {
            bench.warm(&[&[lock.as_str(), "--dry-run", "--from", "pypi"], more].concat())
        };
        let all = said(&run(&[]));
        assert!(
            all.contains(&format!(
                "{lock}: all groups ({dev}, docs) are taken (--group"
            )),
            "{format:?}: {all}"
        );
        let part = said(&run(&["--no-dev"]));
        assert!(
            part.contains(&format!(
                "{lock}: groups (docs) are taken, without groups ({dev})"
            )),
            "{part}"
        );
        let unknown = run(&["--group", "tests"]);
        assert_eq!(unknown.status.code(), Some(2));
        let text = said(&unknown);
        assert!(
            text.contains("--group tests: no input has one")
                && text.contains(&format!("the groups {dev}, docs")),
            "{text}"
        );
    }
}

#[test]
fn extras_that_exclude_each_other_are_carried_one_by_one() {
    let bench = Bench::new();
    for version in ["2.0+cpu", "2.0+rocm"] {
        bench
            .index
            .publish(Distribution::new("torch", version).wheel());
    }
    let package = |version: &str| {
        let file = Distribution::new("torch", version).wheel();
        format!(
            "\n[[package]]\nname = \"torch\"\nversion = \"{version}\"\nsource = {{ registry = \"http://index.example/simple/\" }}\n\
             wheels = [{{ url = \"http://files.example/{}\", hash = \"sha256:{}\" }}]\n",
            file.filename, file.sha256
        )
    };
    let edge = |extra: &str| {
        format!(
            "{extra} = [{{ name = \"torch\", version = \"2.0+{extra}\", marker = \"extra == 'extra-5-forge-{extra}'\" }}]\n"
        )
    };
    let text = format!(
        "version = 1\nrequires-python = \">=3.9\"\n[[package]]\nname = \"forge\"\nversion = \"1\"\nsource = {{ editable = \".\" }}\n\
         [package.optional-dependencies]\n{}{}{}{}",
        edge("cpu"),
        edge("rocm"),
        package("2.0+cpu"),
        package("2.0+rocm")
    );
    let lock = bench.file("uv.lock", &text);
    let run = |more: &[&str]| {
        let (code, lines) = bench.told(&[&[lock.as_str(), "--dry-run"], more].concat());
        assert_eq!(code, Some(0), "{more:?}");
        lines
            .iter()
            .map(|line| line["version"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(&[]).len(), 2);
    assert_eq!(run(&["--extra", "cpu"]), ["2.0+cpu"]);
    assert_eq!(run(&["--no-extra", "cpu"]), ["2.0+rocm"]);
    assert!(run(&["--no-extra", "cpu", "--no-extra", "rocm"]).is_empty());
    let unknown = bench.warm(&[&lock, "--from", "pypi", "--extra", "cuda"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        said(&unknown).contains("the extras cpu, rocm"),
        "{}",
        said(&unknown)
    );
    // A format without groups has none to choose from.
    let plain = bench.file("requirements.txt", "torch==2.0+cpu\n");
    let unknown = bench.warm(&[&plain, "--from", "pypi", "--group", "dev"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        said(&unknown).contains("has no groups and no extras"),
        "{}",
        said(&unknown)
    );
}
