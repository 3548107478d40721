//! `larder warm` and what no index can give: it is named, with what to do, and may be accepted.

use serde_json::Value;

use super::downloads::{Bench, said};
use crate::support::Distribution;

fn left_out(lines: &[Value]) -> Vec<&Value> {
    lines
        .iter()
        .filter(|line| line["left_out"].is_string())
        .collect()
}

#[test]
fn what_is_left_out_is_named_with_its_place_and_a_remedy() {
    let bench = Bench::new();
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let text = "one==1.0\n-e .\ntool @ git+https://user:word@git.example/tool.git@v1\n\
                ./vendor/core-1.0-py3-none-any.whl\nhttps://user:word@files.example/deep/extra-1.0.tar.gz\n";
    let lock = bench.file("requirements.txt", text);
    let (code, lines) = bench.told_all(&[&lock]);
    let told = left_out(&lines);
    assert_eq!((code, told.len()), (Some(1), 4), "{told:?}");
    for (entry, (name, at, missing)) in told.iter().zip([
        (None, ".", false),
        (Some("tool"), "git+https://git.example/tool.git@v1", true),
        (None, "./vendor/core-1.0-py3-none-any.whl", true),
        (None, "https://files.example/deep/extra-1.0.tar.gz", true),
    ]) {
        assert_eq!(
            (
                entry["project"].as_str(),
                entry["at"].as_str(),
                entry["missing"].as_bool()
            ),
            (name, Some(at), Some(missing))
        );
        assert!(
            entry["remedy"]
                .as_str()
                .is_some_and(|text| text.contains("GitLab")),
            "{entry}"
        );
        assert!(
            entry["place"]
                .as_str()
                .is_some_and(|place| place.contains("requirements.txt:")),
            "{entry}"
        );
    }
    let accepted = bench.file(
        "accepted",
        "# built on the far side\ncore # no name of its own\n./vendor/core-1.0-py3-none-any.whl\n",
    );
    let accepted = format!("@{accepted}");
    let url = "https://files.example/deep/extra-1.0.tar.gz";
    let allow = [
        "--allow-missing",
        "Tool",
        "--allow-missing",
        &accepted,
        "--allow-missing",
        url,
    ];
    let output = bench.warm(&[&[lock.as_str(), "--from", "pypi"], &allow[..]].concat());
    let text = said(&output);
    assert!(
        output.status.success() && text.contains("0 missing"),
        "{text}"
    );
    assert!(
        text.contains("left out, and accepted: tool comes from") && !text.contains("word"),
        "{text}"
    );
    assert!(
        text.contains("--allow-missing core: nothing of this name is missing"),
        "{text}"
    );
    let (code, lines) = bench.told_all(&[&[lock.as_str()], &allow[..4]].concat());
    let open: Vec<&str> = left_out(&lines)
        .iter()
        .filter(|line| line["missing"] == true && line["accepted"] == false)
        .filter_map(|line| line["left_out"].as_str())
        .collect();
    assert_eq!((code, open), (Some(1), vec![url]));
    let gone = bench.warm(&["one", "--from", "pypi", "--allow-missing", "@gone"]);
    assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
}

#[test]
fn whatever_is_missing_may_be_accepted_by_its_project() {
    let bench = Bench::new();
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let (code, lines) = bench.told(&["one==1.0", "gone==1.0", "--allow-missing", "gone"]);
    assert_eq!(code, Some(0), "{lines:?}");
    let gone: Vec<&Value> = lines
        .iter()
        .filter(|line| line["project"] == "gone")
        .collect();
    assert!(
        gone.len() == 1 && gone[0]["accepted"] == true && gone[0]["error"].is_string(),
        "{gone:?}"
    );
    let output = bench.warm(&[
        "one==1.0",
        "gone==1.0",
        "--from",
        "pypi",
        "--allow-missing",
        "gone",
        "--set",
        "ci",
    ]);
    let text = said(&output);
    assert!(
        text.contains("accepted gone ==1.0: no such project in pypi")
            && !text.contains("not all came"),
        "{text}"
    );
    assert_eq!(
        bench.told(&["gone==1.0", "--allow-missing", "one"]).0,
        Some(1)
    );
}

#[test]
fn a_wheel_or_an_archive_on_the_callers_disk_does_not_come_along_by_itself() {
    let bench = Bench::new();
    let table = [
        (
            "uv.lock",
            "version = 1\n[[package]]\nname = \"core\"\nversion = \"1.0\"\nsource = { path = \"vendor/core-1.0-py3-none-any.whl\" }\n\
             wheels = [{ filename = \"core-1.0-py3-none-any.whl\" }]\n",
        ),
        (
            "uv.lock",
            "version = 1\n[[package]]\nname = \"core\"\nversion = \"1.0\"\nsource = { registry = \"vendor\" }\n\
             wheels = [{ path = \"core-1.0-py3-none-any.whl\" }]\n",
        ),
        (
            "pylock.toml",
            "lock-version = \"1.0\"\n[[packages]]\nname = \"core\"\n[packages.archive]\npath = \"vendor/core-1.0.tar.gz\"\nhashes = {}\n",
        ),
        (
            "poetry.lock",
            "[[package]]\nname = \"core\"\nversion = \"1.0\"\nfiles = []\n[package.source]\ntype = \"file\"\nurl = \"vendor/core-1.0.zip\"\n\
             [metadata]\nlock-version = \"2.1\"\n",
        ),
        (
            "pdm.lock",
            "[metadata]\nlock_version = \"4.5.1\"\n[[package]]\nname = \"core\"\nversion = \"1.0\"\npath = \"./vendor/core-1.0.tar.gz\"\n",
        ),
        (
            "Pipfile.lock",
            r#"{"_meta": {"pipfile-spec": 6}, "default": {"core": {"file": "vendor/core-1.0-py3-none-any.whl"}}}"#,
        ),
        (
            "requirements.txt",
            "core @ file:///srv/vendor/core-1.0.tar.gz\n",
        ),
    ];
    for (name, text) in table {
        let lock = bench.file(name, text);
        let (code, lines) = bench.told_all(&[&lock]);
        let told = left_out(&lines);
        assert_eq!((code, told.len()), (Some(1), 1), "{name}: {lines:?}");
        assert!(
            told[0]["at"]
                .as_str()
                .is_some_and(|at| at.contains("core-1.0")),
            "{name}: {told:?}"
        );
        assert_eq!(
            bench.told(&[&lock, "--allow-missing", "core"]).0,
            Some(0),
            "{name}"
        );
        // A folder of sources is somebody's own project.
        let folder = text
            .replace("/core-1.0-py3-none-any.whl", "")
            .replace("/core-1.0.tar.gz", "")
            .replace("/core-1.0.zip", "");
        if name != "uv.lock" && folder != text {
            assert_eq!(
                bench.told(&[&bench.file(name, &folder)]).0,
                Some(0),
                "{name}: {folder}"
            );
        }
    }
}
