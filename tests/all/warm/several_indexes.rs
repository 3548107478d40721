//! `larder warm` from several indexes, and an index that larder does not serve.

use std::process::Output;

use super::downloads::{Bench, said};
use crate::support::{Distribution, GitLab, Larder, PublicIndex};

const SECRET: &str = "s3cret-word";

#[test]
fn a_local_version_is_found_where_it_is() {
    let (gitlab, index, second) = (GitLab::start(), PublicIndex::start(), PublicIndex::start());
    index.publish(Distribution::new("torch", "2.0").wheel());
    second.publish(Distribution::new("torch", "2.0+cpu").wheel());
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .mirror("torch", &second)
        .start();
    let warm = |pin: &str| larder.command(&["warm", pin, "--from", "pypi", "--from", "torch"]);
    let output = warm("torch==2.0+cpu");
    assert!(
        output.status.success()
            && said(&output).contains("fetched  torch-2.0+cpu-py3-none-any.whl"),
        "{}",
        said(&output)
    );
    // What has no local version is whoever's has the project first: another index may have somebody
    // else's.
    second.publish(Distribution::new("torch", "3.0").wheel());
    let output = warm("torch==3.0");
    assert!(
        output.status.code() == Some(1) && said(&output).contains("no version matches"),
        "{}",
        said(&output)
    );
}

/// The lines of configuration that were printed.
fn configuration(output: &Output) -> String {
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line["index"].is_string())
        .collect();
    assert_eq!(lines.len(), 1, "{}", said(output));
    assert_eq!(lines[0]["served"], false);
    lines[0]["configuration"]
        .as_str()
        .expect("lines of configuration")
        .to_owned()
}

#[test]
fn an_index_that_is_not_served_is_named_with_the_lines_that_are_missing() {
    let bench = Bench::resting();
    bench
        .index
        .publish(Distribution::new("torch", "2.0").wheel());
    let second = PublicIndex::start();
    second.publish(Distribution::new("torch", "2.0+cpu").wheel());
    let with_secret = second
        .url()
        .replace("http://", &format!("http://user:{SECRET}@"));
    let text = format!("--extra-index-url {with_secret}\ntorch==2.0+cpu\n");
    let lock = bench.file("requirements.txt", &text);
    let run = |more: &[&str]| bench.warm(&[&["--dry-run", lock.as_str()], more].concat());
    let plain = run(&["--from", "pypi"]);
    let text = said(&plain);
    assert!(
        plain.status.code() == Some(1) && !text.contains(SECRET),
        "{text}"
    );
    assert!(
        text.contains(&format!(
            "names the index {}, which larder does not serve",
            second.url()
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!("\n[mirrors.mirror]\nurl = \"{}\"\n", second.url())),
        "{text}"
    );
    // Without --from there is nowhere to ask, and the same advice.
    let nowhere = run(&[]);
    assert!(
        nowhere.status.code() == Some(2) && said(&nowhere).contains("\n[mirrors.mirror]\n"),
        "{}",
        said(&nowhere)
    );

    // With these lines it is asked.
    let lines = configuration(&run(&["--from", "pypi", "--json"]));
    let config = std::fs::read_to_string(bench.larder.config_file()).expect("a configuration");
    std::fs::write(bench.larder.config_file(), format!("{config}\n{lines}\n")).expect("writable");
    assert!(second.log().is_empty());
    let served = run(&["--from", "pypi", "--from", "mirror"]);
    assert!(
        !said(&served).contains("names the index"),
        "{}",
        said(&served)
    );
    assert!(!second.log().is_empty(), "{}", said(&served));
}

#[test]
fn each_formats_index_is_named_once() {
    let bench = Bench::new();
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let url = format!("https://user:{SECRET}@packages.example/team/simple");
    let registry = format!(
        "version = 1\n[[package]]\nname = \"one\"\nversion = \"1.0\"\nsource = {{ registry = \"{url}\" }}\n\
         wheels = [{{ url = \"https://packages.example/one-1.0-py3-none-any.whl\" }}]\n"
    );
    let pylock = format!(
        "lock-version = \"1.0\"\n[[packages]]\nname = \"one\"\nversion = \"1.0\"\nindex = \"{url}\"\n"
    );
    let poetry = format!(
        "[[package]]\nname = \"one\"\nversion = \"1.0\"\n[package.source]\ntype = \"legacy\"\nurl = \"{url}\"\n[metadata]\nlock-version = \"2.1\"\n"
    );
    let pipfile = format!(
        r#"{{"_meta": {{"pipfile-spec": 6, "sources": [{{"url": "{url}"}}]}}, "default": {{"one": {{"version": "==1.0"}}}}}}"#
    );
    let requirements = format!("-i {url}\n--extra-index-url {url}/\none==1.0\n");
    for (name, text) in [
        ("uv.lock", &registry),
        ("pylock.toml", &pylock),
        ("poetry.lock", &poetry),
        ("Pipfile.lock", &pipfile),
        ("requirements.txt", &requirements),
    ] {
        let lock = bench.file(name, text);
        let output = bench.warm(&["--dry-run", "--json", "--from", "pypi", &lock]);
        assert!(
            output.status.success() && !said(&output).contains(SECRET),
            "{name}: {}",
            said(&output)
        );
        let expected = "[mirrors.packages-team]\nurl = \"https://packages.example/team/simple/\"";
        assert_eq!(configuration(&output), expected, "{name}");
    }
}
