//! `larder warm` from outside: what is fetched, what is said, and what is never done.

use std::path::PathBuf;
use std::process::Output;
use std::time::Instant;

use serde_json::Value;

use crate::support::{
    Act, Artifact, CoreMetadata, Distribution, GitLab, Kind, Larder, Offer, PublicIndex, Site,
    StoreListing, Workbench, token,
};

pub(super) struct Bench {
    pub gitlab: GitLab,
    pub index: PublicIndex,
    pub larder: Larder,
}

impl Bench {
    pub fn new() -> Self {
        Self::with("")
    }

    pub fn with(lines: &str) -> Self {
        let (gitlab, index) = (GitLab::start(), PublicIndex::start());
        let larder = Larder::builder(&gitlab)
            .mirror_with("pypi", &index, lines)
            .start();
        Self {
            gitlab,
            index,
            larder,
        }
    }

    /// The same with nobody at work on the folder.
    pub fn resting() -> Self {
        let mut bench = Self::new();
        bench.larder.terminate();
        bench
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.larder.home().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }

    pub fn warm(&self, arguments: &[&str]) -> Output {
        self.larder.command(&[&["warm"], arguments].concat())
    }

    /// With `--json` and from the mirror: the exit code, and the lines about files.
    pub fn told(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let (code, mut lines) = self.told_all(arguments);
        lines.retain(|line| line["file"].is_string());
        (code, lines)
    }

    /// The same with the lines about all else.
    pub fn told_all(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.warm(&[&["--json", "--from", "pypi"], arguments].concat());
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        (output.status.code(), lines)
    }

    pub fn file_bodies(&self) -> usize {
        let bodies = |log: &crate::support::RequestLog| {
            log.answered()
                .iter()
                .filter(|entry| entry.is_file_body())
                .count()
        };
        bodies(self.gitlab.log()) + bodies(self.index.log())
    }

    pub fn holds(&self, file: &Artifact) -> bool {
        StoreListing::of(&self.larder.cache_dir()).holds(&file.sha256)
    }
}

/// A distribution under the name of a wheel for other machines.
pub(super) fn tagged(file: &Artifact, tags: &str) -> Artifact {
    let filename = file.filename.replace("py3-none-any", tags);
    Artifact {
        filename,
        ..file.clone()
    }
}

/// A source distribution whose setup.py and whose own build backend would each leave a trace.
fn trap(trace: &std::path::Path) -> Artifact {
    let sdist = Distribution::new("app", "1.0").sdist();
    let write = format!("open({trace:?}, 'w').write('x')\n");
    let project = "[build-system]\nrequires = [\"setuptools>=69\"]\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let members = [
        ("setup.py", write.as_str()),
        ("backend.py", &write),
        ("pyproject.toml", project),
    ];
    for (name, text) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        archive
            .append_data(&mut header, format!("app-1.0/{name}"), text.as_bytes())
            .expect("memory");
    }
    let bytes = archive
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .expect("memory");
    Artifact {
        sha256: crate::support::wheel::sha256_hex(&bytes),
        bytes: bytes.into(),
        ..sdist
    }
}

pub(super) fn names(lines: &[Value], from: &str) -> Vec<String> {
    let of = lines.iter().filter(|line| line["from"] == from);
    let mut names: Vec<String> = of
        .map(|line| line["file"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names
}

pub(super) fn errors(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["error"].as_str())
        .collect()
}

pub(super) fn said(output: &Output) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text.chars().take(2000).collect()
}

fn locked(file: &Artifact) -> String {
    format!(
        "{}=={} \\\n    --hash=sha256:{}\n",
        file.name, file.version, file.sha256
    )
}

#[test]
fn exactly_the_locked_files_are_fetched_and_a_second_run_transfers_nothing() {
    for resting in [false, true] {
        let bench = if resting {
            Bench::resting()
        } else {
            Bench::new()
        };
        let one = Distribution::new("one", "1.0").payload(50_000).wheel();
        let (two, sdist) = (
            Distribution::new("two", "2.0").wheel(),
            Distribution::new("two", "2.0").sdist(),
        );
        let other = Distribution::new("two", "3.0").wheel();
        for file in [&one, &two, &sdist, &other] {
            bench.index.publish(file);
        }
        let gone = "0".repeat(64);
        let lock = format!(
            "{}{}gone==1 --hash=sha256:{gone}\n",
            locked(&one),
            locked(&two)
        );
        let lock = bench.file("requirements.txt", &lock);

        let (code, lines) = bench.told(&[&lock]);
        assert_eq!(
            (code, names(&lines, "upstream")),
            (Some(1), vec![one.filename.clone(), two.filename.clone()])
        );
        assert_eq!(errors(&lines), ["no such project in pypi"]);
        assert!(
            bench.holds(&one) && bench.holds(&two) && !bench.holds(&other) && !bench.holds(&sdist)
        );
        assert_eq!(bench.file_bodies(), 2);

        bench.index.log().clear();
        let (_, lines) = bench.told(&[&lock]);
        assert_eq!(
            names(&lines, "cache"),
            [one.filename.clone(), two.filename.clone()]
        );
        assert_eq!(bench.file_bodies(), 0, "transferred again");
        bench.index.log().assert_nothing_unexpected();
    }
}

#[test]
fn filters_choose_and_a_dry_run_fetches_no_file() {
    let bench = Bench::new();
    let plain = Distribution::new("one", "1.0").wheel();
    let linux = tagged(
        &plain,
        "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
    );
    let windows = tagged(&plain, "cp312-cp312-win_amd64");
    let old = tagged(&plain, "cp39-cp39-manylinux_2_17_x86_64");
    for file in [
        &linux,
        &windows,
        &old,
        &Distribution::new("one", "1.0").sdist(),
    ] {
        bench.index.publish(file);
    }
    let mut yanked = Offer::from(&Distribution::new("one", "2.0").wheel());
    yanked.yanked = Some("broken".to_owned());
    bench.index.publish(yanked);
    let filters = [
        "one",
        "--python",
        "3.12",
        "--platform",
        "manylinux_2_28_x86_64",
        "--sdists",
        "if-no-wheel",
    ];

    let (code, lines) = bench.told(&[&filters[..], &["--dry-run"]].concat());
    assert_eq!(
        (code, names(&lines, "upstream")),
        (Some(0), vec![linux.filename.clone()])
    );
    assert_eq!(bench.file_bodies(), 0, "a dry run fetched");
    let table = bench.warm(&[&filters[..], &["--dry-run", "--from", "pypi"]].concat());
    assert!(
        said(&table).contains("to fetch: 1 file,")
            && said(&table).contains("left out: 2 for other machines")
    );

    let (code, lines) = bench.told(&filters);
    assert_eq!(
        (code, names(&lines, "upstream")),
        (Some(0), vec![linux.filename])
    );
    assert_eq!(bench.file_bodies(), 1);
    let (_, lines) = bench.told(&["one==2.0", "--wheels-only", "--dry-run"]);
    assert_eq!(
        errors(&lines),
        ["no file of a matching version passes the filters"]
    );
    let (_, lines) = bench.told(&["one", "--wheels-only", "--include-yanked", "--dry-run"]);
    assert_eq!(names(&lines, "upstream"), ["one-2.0-py3-none-any.whl"]);
}

#[test]
fn an_unlocked_name_is_said_to_be_unlocked_and_plain_lines_go_to_a_pipe() {
    let bench = Bench::new();
    for version in ["1.0", "1.1", "2.0rc1"] {
        bench
            .index
            .publish(Distribution::new("one", version).wheel());
    }
    let output = bench.warm(&["one", "--from", "pypi"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("not locked: one")
            && text.contains("uv pip compile --universal --generate-hashes"),
        "{text}"
    );
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        lines.starts_with("fetched  one-1.1-py3-none-any.whl  "),
        "{lines}"
    );
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let (_, lines) = bench.told(&["one", "--latest", "2"]);
    assert_eq!(lines.len(), 2);
    let (_, lines) = bench.told(&["one>=1", "--all-versions", "--pre"]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn wrong_usage_is_two_and_says_what_to_do() {
    let bench = Bench::new();
    for (arguments, part) in [
        (&["uv.lock", "--from", "pypi"][..], "uv.lock: "),
        (&["one"], "--from takes"),
        (&["one", "--from", "nowhere"], "one of the mirrors (pypi)"),
        (
            &["one", "--from", "pypi", "--python", "three"],
            "no Python release",
        ),
        (
            &["one", "--from", "pypi", "--platform", "linux"],
            "no platform tag",
        ),
        (&["one==", "--from", "pypi"], "no file either"),
        (&["--from", "pypi"], "INPUT"),
    ] {
        let output = bench.warm(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(
            said(&output).contains(part),
            "{arguments:?}: {}",
            said(&output)
        );
    }
    assert!(bench.index.log().is_empty());
}

#[test]
fn a_broken_file_is_named_and_the_others_are_fetched() {
    let bench = Bench::new();
    let good = Distribution::new("good", "1.0").wheel();
    let bad = Distribution::new("bad", "1.0").payload(100_000).wheel();
    for file in [&good, &bad] {
        bench.index.publish(file);
    }
    bench.index.plan(
        Act::Flip { at: 50_000 }
            .at(Site::FileBody)
            .containing("bad-1.0"),
    );
    let (code, lines) = bench.told(&["good", "bad"]);
    assert_eq!(
        (code, names(&lines, "upstream")),
        (Some(1), vec![good.filename.clone()])
    );
    let broken: Vec<&Value> = lines
        .iter()
        .filter(|line| line["error"].is_string())
        .collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(broken[0]["file"], bad.filename.as_str());
    assert!(!bench.holds(&bad));
}

#[test]
fn nothing_of_a_source_distribution_is_executed_and_its_build_requirements_are_fetched() {
    let bench = Bench::new();
    let trace = bench.larder.home().join("executed");
    let sdist = trap(&trace);
    bench.index.publish(&sdist);
    let tool = Distribution::new("setuptools", "70.0").wheel();
    for file in [&tool, &Distribution::new("setuptools", "69.0").wheel()] {
        bench.index.publish(file);
    }
    let (code, lines) = bench.told(&["app", "--build-deps"]);
    assert_eq!(
        (code, names(&lines, "upstream")),
        (Some(0), vec![sdist.filename.clone(), tool.filename.clone()])
    );
    assert!(bench.holds(&tool));
    assert_eq!(bench.file_bodies(), 2);
    assert!(!trace.exists(), "something of the package was executed");
}

#[test]
fn a_credential_reaches_gitlab_alone() {
    let bench = Bench::new();
    let private = Distribution::new("acme", "1.0").wheel();
    bench.gitlab.publish(42, &private);
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let file = bench.file("token", token::READER);
    let output = bench.warm(&[
        "acme",
        "one",
        "--from",
        "projects/42",
        "--from",
        "pypi",
        "--token-file",
        &file,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(bench.holds(&private) && !said(&output).contains(token::READER));
    bench.index.assert_never_told(&[token::READER]);
    let output = bench.warm(&["acme", "--from", "projects/42"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "without a credential: {}",
        said(&output)
    );
    bench.index.log().assert_nothing_unexpected();
}

#[test]
fn metadata_that_is_advertised_is_fetched_too() {
    let bench = Bench::new();
    let wheel = Distribution::new("one", "1.0").wheel();
    let mut offer = Offer::from(&wheel);
    offer.core_metadata = CoreMetadata::Hashed;
    bench.index.publish(offer);
    assert_eq!(bench.told(&["one"]).0, Some(0));
    assert!(bench.index.log().count(Kind::Metadata) <= 1);
    bench.index.log().clear();
    assert_eq!(bench.told(&["one"]).0, Some(0));
    assert_eq!(
        (bench.index.log().count(Kind::Metadata), bench.file_bodies()),
        (0, 0)
    );
}

#[test]
fn five_hundred_files_are_fetched_once_and_found_again_in_no_time() {
    let bench = Bench::new();
    let lock: String = (0..500)
        .map(|n| {
            let file = Distribution::new(&format!("p{n}"), "1.0").wheel();
            bench.index.publish(&file);
            locked(&file)
        })
        .collect();
    let lock = bench.file("requirements.txt", &lock);
    let began = Instant::now();
    let (code, lines) = bench.told(&[&lock, "--jobs", "8"]);
    let first = began.elapsed();
    assert_eq!((code, names(&lines, "upstream").len()), (Some(0), 500));
    bench.index.log().clear();
    let began = Instant::now();
    let (code, lines) = bench.told(&[&lock, "--jobs", "8"]);
    let second = began.elapsed();
    assert_eq!(
        (code, names(&lines, "cache").len(), bench.file_bodies()),
        (Some(0), 500, 0)
    );
    eprintln!("500 files: first {first:?}, second {second:?}");
    assert!(second.as_secs() < 30, "{second:?}");
}

#[test]
fn a_terminal_sees_a_bar() {
    let bench = Bench::new();
    for n in 0..40 {
        bench.index.publish(
            Distribution::new(&format!("p{n}"), "1.0")
                .payload(20_000)
                .wheel(),
        );
    }
    bench
        .index
        .set(|settings| settings.latency = std::time::Duration::from_millis(30));
    let names: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let command = format!(
        "{} --config {} warm --from pypi {}",
        crate::support::larder::binary().display(),
        bench.larder.config_file().display(),
        names.join(" ")
    );
    // `script` gives its child a terminal; where there is none, there is nothing to see.
    let output = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .output();
    let Ok(output) = output else { return };
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("/40 files") && text.contains(" left") && !text.contains("fetched  p1-1.0"),
        "{text}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("fetched 40 files"));
}

#[test]
fn what_a_real_client_fetched_is_remembered() {
    let bench = Bench::new();
    bench
        .index
        .publish(Distribution::new("one", "1.0").depends_on("two").wheel());
    bench.index.publish(Distribution::new("two", "1.0").wheel());
    let user = Workbench::new();
    let site = user.folder().join("site");
    let (pip, site) = (
        crate::support::python::program("pip"),
        site.to_string_lossy().into_owned(),
    );
    let pip = pip.to_string_lossy().into_owned();
    let record = ["--record", "set", "--from", "pypi", "--"];
    let output = bench.warm(
        &[
            &record[..],
            &[&pip, "install", "--no-cache-dir", "--target", &site, "one"],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("recorded one-1.0-py3-none-any.whl")
            && text.contains("recorded two-1.0-py3-none-any.whl")
    );
    assert!(text.contains("the set set has 2 files"), "{text}");
    let bundle = bench.file("set.tar", "");
    let exported = bench.larder.command(&["export", &bundle, "--set", "set"]);
    assert!(
        said(&exported).contains("2 files on 2 pages"),
        "{}",
        said(&exported)
    );
    let nothing = bench.warm(&[&record[..], &["sh", "-c", "exit 7"]].concat());
    assert_eq!(nothing.status.code(), Some(7));
    assert!(
        said(&nothing).contains("nothing was fetched"),
        "{}",
        said(&nothing)
    );
}

#[test]
fn a_named_set_is_exported_by_itself_and_is_no_name_for_a_path() {
    let bench = Bench::new();
    for name in ["one", "two", "three"] {
        bench.index.publish(Distribution::new(name, "1.0").wheel());
    }
    let warm = |set: &str, names: &[&str]| {
        bench.warm(&[&["--set", set, "--from", "pypi"], names].concat())
    };
    assert!(said(&warm("tools", &["one==1.0"])).contains("the set tools has 1 file"));
    assert!(said(&warm("others", &["three==1.0"])).contains("the set others has 1 file"));
    // What is here already belongs to it as well, and nothing twice.
    assert!(said(&warm("tools", &["one==1.0", "two==1.0"])).contains("the set tools has 2 files"));
    assert!(
        said(&warm("tools", &["two==1.0", "two==1.0", "one"]))
            .contains("the set tools has 2 files")
    );

    let bundle = bench.file("tools.tar", "");
    let exported = bench.larder.command(&["export", &bundle, "--set", "tools"]);
    assert!(
        said(&exported).contains("2 files on 2 pages"),
        "{}",
        said(&exported)
    );
    let none = bench
        .larder
        .command(&["export", &bundle, "--set", "nobody"]);
    assert!(
        !none.status.success() && said(&none).contains("there is no set nobody"),
        "{}",
        said(&none)
    );

    let wrong = warm("../tools", &["one==1.0"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let dry = bench.warm(&["--set", "dry", "--dry-run", "--from", "pypi", "one==1.0"]);
    assert!(
        dry.status.success() && !said(&dry).contains("the set"),
        "{}",
        said(&dry)
    );
}

#[test]
fn what_no_index_can_give_is_missing_and_what_lies_on_the_callers_disk_is_not() {
    let bench = Bench::new();
    bench.index.publish(Distribution::new("one", "1.0").wheel());
    let warm = |text: &str| bench.warm(&["--from", "pypi", &bench.file("requirements.txt", text)]);
    let own = warm("-e .\none==1.0\n");
    assert!(own.status.success(), "{}", said(&own));
    let forked = warm("one==1.0\ntool @ git+https://git.example/tool.git@v1\n");
    assert_eq!(forked.status.code(), Some(1));
    let text = said(&forked);
    assert!(
        text.contains("tool comes from a version control repository") && text.contains("1 missing"),
        "{text}"
    );
}
