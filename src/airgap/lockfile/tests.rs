//! Tests of the lock formats: real lock files, the shapes that real tools seldom show, and damaged
//! text.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::marker::{MarkerVariable, Truth};
use super::*;
use crate::airgap::wanted::{WantedFiles, WantedProject, WantedVersions};
use crate::values::digest::Digest;

mod shapes;

const UV: &str = include_str!("../../../tests/locks/uv.lock");
const PYLOCK: &str = include_str!("../../../tests/locks/pylock.uv.toml");
const PYLOCK_OF_PIP: &str = include_str!("../../../tests/locks/pylock.pip.toml");
const POETRY: &str = include_str!("../../../tests/locks/poetry.lock");
const PDM: &str = include_str!("../../../tests/locks/pdm.lock");
const PDM_STATIC: &str = include_str!("../../../tests/locks/pdm.static.lock");
const PIPFILE: &str = include_str!("../../../tests/locks/Pipfile.lock");
const REQUIREMENTS: &str = include_str!("../../../tests/locks/requirements.txt");

const ALL: [(&str, &str); 8] = [
    ("uv.lock", UV),
    ("pylock.uv.toml", PYLOCK),
    ("pylock.pip.toml", PYLOCK_OF_PIP),
    ("poetry.lock", POETRY),
    ("pdm.lock", PDM),
    ("pdm.lock", PDM_STATIC),
    ("Pipfile.lock", PIPFILE),
    ("requirements.txt", REQUIREMENTS),
];

fn alone(name: &str, text: &str) -> Result<LockContents, LockError> {
    with_files(name, text, &BTreeMap::new())
}

fn with_files(
    name: &str,
    text: &str,
    files: &BTreeMap<&str, &str>,
) -> Result<LockContents, LockError> {
    let mut read = |path: &str| {
        files
            .get(path)
            .map(|text| (*text).to_owned())
            .ok_or("no such file".to_owned())
    };
    let variable = |name: &str| (name == "HOST").then(|| "index.example".to_owned());
    super::read(
        name,
        text,
        &mut Surroundings {
            read: &mut read,
            variable: &variable,
        },
    )
}

fn good(name: &str, text: &str) -> LockContents {
    alone(name, text).expect("a lock file that can be read")
}

fn why(name: &str, text: &str) -> String {
    alone(name, text)
        .expect_err("a lock file that cannot be read")
        .to_string()
}

fn projects(reading: &LockContents) -> Vec<String> {
    let mut projects: Vec<String> = reading.wanted.iter().map(WantedProject::describe).collect();
    projects.sort();
    projects
}

impl WantedProject {
    fn describe(&self) -> String {
        let versions = match &self.versions {
            WantedVersions::Exactly(version) => format!("=={version}"),
            WantedVersions::Matching(specifiers) => specifiers.to_string(),
            WantedVersions::All | WantedVersions::Latest(_) => String::new(),
        };
        let marker = self
            .marker
            .as_ref()
            .map(|marker| format!("; {marker}"))
            .unwrap_or_default();
        format!("{}{versions}{marker}", self.project)
    }

    fn digests(&self) -> Vec<Digest> {
        let mut digests: Vec<Digest> = match &self.files {
            WantedFiles::Hashed(digests) => digests.iter().copied().collect(),
            WantedFiles::Named(files) => files.iter().filter_map(|file| file.sha256).collect(),
            WantedFiles::Any => Vec::new(),
        };
        digests.sort();
        digests
    }
}

fn of<'r>(reading: &'r LockContents, project: &str) -> &'r WantedProject {
    reading
        .wanted
        .iter()
        .find(|wanted| wanted.project.as_str() == project)
        .expect("a project of the lock")
}

#[test]
fn every_format_names_the_same_projects_under_the_same_conditions() {
    for (name, text) in ALL {
        let reading = good(name, text);
        assert!(
            reading.left_out.is_empty() && reading.unlocked.is_empty(),
            "{name}: {reading:?}"
        );
        // pip and pipenv lock for the machine that they run on.
        let of_one_machine = matches!(name, "pylock.pip.toml" | "Pipfile.lock");
        let expected = if of_one_machine { 4 } else { 5 };
        assert_eq!(
            reading.wanted.len(),
            expected,
            "{name}: {:?}",
            projects(&reading)
        );
        assert!(
            of(&reading, "anvil").describe().starts_with("anvil==1.2.0"),
            "{name}"
        );
        let windows = |variable| match variable {
            MarkerVariable::SysPlatform => Some(vec!["win32".to_owned()]),
            MarkerVariable::PythonVersion => Some(vec!["3.13".to_owned()]),
            _ => None,
        };
        if !of_one_machine {
            let chisel = of(&reading, "chisel")
                .marker
                .as_ref()
                .map(|marker| marker.truth(&windows));
            assert_eq!(chisel, Some(Truth::Yes), "{name}");
            let hinge = of(&reading, "hinge")
                .marker
                .as_ref()
                .map(|marker| marker.truth(&windows));
            assert_eq!(hinge, Some(Truth::No), "{name}");
        }
    }
}

#[test]
fn every_format_locks_the_same_files() {
    let uv = good("uv.lock", UV);
    for (name, text) in ALL {
        let reading = good(name, text);
        for wanted in &reading.wanted {
            let all = of(&uv, wanted.project.as_str()).digests();
            let own = wanted.digests();
            if name == "pylock.pip.toml" {
                assert!(
                    own.len() == 1 && all.contains(&own[0]),
                    "{name}: {}",
                    wanted.project
                );
            } else {
                assert_eq!(own, all, "{name}: {}", wanted.project);
            }
        }
    }
    assert_eq!(of(&uv, "bellows").digests().len(), 7);
}

#[test]
fn urls_sizes_and_indexes_are_read_where_they_stand() {
    for (name, text, has_sizes) in [
        ("uv.lock", UV, true),
        ("pylock.toml", PYLOCK, true),
        ("pylock.toml", PYLOCK_OF_PIP, false),
        ("pdm.lock", PDM_STATIC, false),
    ] {
        let reading = good(name, text);
        let WantedFiles::Named(files) = &of(&reading, "anvil").files else {
            panic!("{name}: named files")
        };
        for file in files {
            let url = file.url.as_ref().map(url::Url::as_str).unwrap_or_default();
            assert!(
                url.starts_with("http://files.example/packages/") && url.ends_with(&file.filename),
                "{name}"
            );
            assert_eq!(file.size.is_some(), has_sizes, "{name}");
        }
    }
    for (name, text, index) in [
        ("uv.lock", UV, Some("http://index.example/simple/")),
        ("pylock.toml", PYLOCK, Some("http://index.example/simple/")),
        ("poetry.lock", POETRY, Some("http://index.example/simple")),
        (
            "Pipfile.lock",
            PIPFILE,
            Some("http://index.example/simple/"),
        ),
        ("pdm.lock", PDM, None),
    ] {
        let indexes = good(name, text).indexes;
        assert_eq!(indexes.first().map(String::as_str), index, "{name}");
        assert!(indexes.len() <= 1, "{name}: {indexes:?}");
    }
}

#[test]
fn the_format_is_told_by_the_content_where_the_name_does_not() {
    for (name, text) in ALL {
        assert_eq!(
            LockFormat::of("-", text),
            LockFormat::of(name, text),
            "{name}"
        );
    }
    assert_eq!(LockFormat::of("-", ""), Ok(LockFormat::Requirements));
    assert_eq!(
        LockFormat::of("requirements/dev.in", "version = 1"),
        Ok(LockFormat::Requirements)
    );
    for (name, word) in [
        ("a/pyproject.toml", "uv lock"),
        ("Pipfile", "pipenv lock"),
        ("setup.py", "never executed"),
    ] {
        assert!(why(name, "").contains(word), "{name}");
    }
}

#[test]
fn versions_of_formats_that_nobody_knows_are_refused_by_number() {
    for (name, text, word) in [
        ("uv.lock", "version = 2\nunheard = true", "version 2"),
        ("pylock.toml", "lock-version = '2.0'", "version 2.0"),
        (
            "poetry.lock",
            "[metadata]\nlock-version = '3.0'",
            "version 3.0",
        ),
        (
            "pdm.lock",
            "[metadata]\nlock_version = '5.0'",
            "version 5.0",
        ),
        (
            "Pipfile.lock",
            "{\"_meta\": {\"pipfile-spec\": 7}}",
            "pipfile-spec 7",
        ),
    ] {
        assert!(why(name, text).contains(word), "{}", why(name, text));
    }
    assert!(
        good("uv.lock", "version = 1\nrevision = 99")
            .wanted
            .is_empty()
    );
    assert!(
        good("pylock.toml", "lock-version = '1.7'")
            .wanted
            .is_empty()
    );
    assert!(why("uv.lock", "version = 1\n[[package]\n").starts_with("uv.lock:2: "));
    assert!(why("Pipfile.lock", "{\n\n}").starts_with("Pipfile.lock:3: "));
}

const FORKED: &str = r#"
version = 1
resolution-markers = ["sys_platform == 'win32'", "sys_platform != 'win32'"]
[manifest]
members = ["app", "library"]
[[package]]
name = "app"
version = "0.1"
source = { editable = "." }
dependencies = [
    { name = "numbers", version = "1.0", source = { registry = "https://index.example/simple/" }, marker = "sys_platform == 'win32'" },
    { name = "numbers", version = "2.0", source = { registry = "https://index.example/simple/" }, marker = "sys_platform != 'win32'" },
    { name = "colours", marker = "os_name == 'nt'" },
    { name = "library" },
]
[package.optional-dependencies]
shell = [{ name = "readline", marker = "os_name == 'posix'" }]
[[package]]
name = "library"
version = "0.1"
source = { editable = "packages/library" }
dependencies = [{ name = "loop" }]
[[package]]
name = "numbers"
version = "1.0"
source = { registry = "https://index.example/simple/" }
resolution-markers = ["sys_platform == 'win32'"]
wheels = [{ url = "https://files.example/numbers-1.0-py3-none-any.whl", hash = "sha256:00" }]
[[package]]
name = "numbers"
version = "2.0"
source = { registry = "https://index.example/simple/" }
resolution-markers = ["sys_platform != 'win32'"]
sdist = { filename = "numbers-2.0.tar.gz", url = "https://files.example/download?id=7" }
[[package]]
name = "colours"
version = "1"
source = { registry = "https://index.example/simple/" }
dependencies = [{ name = "console" }]
[[package]]
name = "console"
version = "1"
source = { registry = "https://index.example/simple/" }
[[package]]
name = "readline"
version = "1"
source = { registry = "https://index.example/simple/" }
[[package]]
name = "loop"
version = "1"
source = { registry = "https://index.example/simple/" }
dependencies = [{ name = "loop2", marker = "os_name == 'nt'" }]
[[package]]
name = "loop2"
version = "1"
source = { registry = "https://index.example/simple/" }
dependencies = [{ name = "loop" }]
[[package]]
name = "from-git"
version = "1"
source = { git = "https://git.example/x?rev=1#abc" }
[[package]]
name = "from-url"
version = "1"
source = { url = "https://host.example/from_url-1-py3-none-any.whl" }
wheels = [{ url = "https://host.example/from_url-1-py3-none-any.whl", hash = "sha256:aa00000000000000000000000000000000000000000000000000000000000000" }]
[[package]]
name = "from-path"
version = "1"
source = { path = "vendor/from_path-1-py3-none-any.whl" }
[[package]]
name = "beside"
version = "1"
source = { directory = "../beside" }
"#;

#[test]
fn uvs_forks_markers_and_other_sources_are_told_apart() {
    let reading = good("uv.lock", FORKED);
    assert_eq!(
        projects(&reading),
        [
            "colours==1; os_name == 'nt'",
            "console==1; os_name == 'nt'",
            "loop2==1; os_name == 'nt'",
            "loop==1",
            "numbers==1.0; sys_platform == 'win32'",
            "numbers==2.0; sys_platform != 'win32'",
            "readline==1; os_name == 'posix'",
        ]
    );
    let left: Vec<(Option<&str>, NonIndexSource)> = reading
        .left_out
        .iter()
        .map(|left| (left.project.as_deref(), left.source))
        .collect();
    assert_eq!(
        left,
        [
            (Some("from-git"), NonIndexSource::Repository),
            (Some("from-url"), NonIndexSource::DirectUrl),
            (Some("from-path"), NonIndexSource::Path),
            (Some("beside"), NonIndexSource::Path),
        ]
    );
    assert!(reading.left_out[1].url.is_some() && reading.left_out[1].sha256.is_some());
    let WantedFiles::Named(files) = &reading.wanted[1].files else {
        panic!("named files")
    };
    assert_eq!(files[0].filename, "numbers-2.0.tar.gz");
    let WantedFiles::Named(files) = &reading.wanted[0].files else {
        panic!("named files")
    };
    assert_eq!(files[0].sha256, None, "a hash that is none says nothing");
}

#[test]
fn pylock_may_lack_urls_hashes_and_versions() {
    let text = r#"
lock-version = "1.0"
[[packages]]
name = "one"
[[packages.wheels]]
path = "wheels/one-1-py3-none-any.whl"
hashes = {}
[[packages]]
name = "two"
version = "2"
[packages.archive]
url = "https://host.example/two.zip"
hashes = { sha256 = "aa00000000000000000000000000000000000000000000000000000000000000" }
[[packages]]
name = "three"
vcs = { type = "git", url = "https://git.example/x", commit-id = "abc" }
[[packages]]
name = "four"
directory = { path = "." }
[[packages]]
name = "five"
archive = { path = "five.zip", hashes = { sha512 = "00" } }
"#;
    let reading = good("pylock.dev.toml", text);
    let WantedFiles::Named(files) = &of(&reading, "one").files else {
        panic!("named files")
    };
    assert_eq!(
        (files[0].filename.as_str(), files[0].sha256),
        ("one-1-py3-none-any.whl", None)
    );
    let left: Vec<NonIndexSource> = reading.left_out.iter().map(|left| left.source).collect();
    assert_eq!(
        left,
        [
            NonIndexSource::DirectUrl,
            NonIndexSource::Repository,
            NonIndexSource::Path
        ]
    );
    assert!(reading.left_out[0].sha256.is_some());
    let bad = "lock-version = '1.0'\n[[packages]]\nname = 'x'\nmarker = 'os_name ='";
    assert!(
        why("pylock.toml", bad).contains("`os_name =`"),
        "{}",
        why("pylock.toml", bad)
    );
}

#[test]
fn older_poetry_and_pdm_keep_hashes_apart() {
    const HASH: &str = "sha256:aa00000000000000000000000000000000000000000000000000000000000000";
    let poetry = format!(
        "[[package]]\nname = 'One'\nversion = '1.0'\npython-versions = '^3.8'\n\
         [[package]]\nname = 'two'\nversion = '2'\nsource = {{type = 'git', url = 'https://git.example/x'}}\n\
         [[package]]\nname = 'three'\nversion = '3'\nmarkers = {{main = \"os_name == 'nt'\", dev = \"os_name == 'posix'\"}}\n\
         source = {{type = 'url', url = 'https://host.example/three.whl'}}\n\
         [[package]]\nname = 'four'\nversion = '4'\nmarkers = {{main = \"os_name == 'nt'\", dev = \"os_name == 'posix'\"}}\n\
         [metadata]\nlock-version = '1.1'\n[metadata.files]\nOne = [{{file = 'one-1.0.tar.gz', hash = '{HASH}'}}]\n"
    );
    let reading = good("poetry.lock", &poetry);
    assert_eq!(of(&reading, "one").digests().len(), 1);
    assert_eq!(of(&reading, "one").requires_python, None);
    assert_eq!(
        of(&reading, "four").describe(),
        "four==4; os_name == 'posix' or os_name == 'nt'"
    );
    let left: Vec<NonIndexSource> = reading.left_out.iter().map(|left| left.source).collect();
    assert_eq!(
        left,
        [NonIndexSource::Repository, NonIndexSource::DirectUrl]
    );

    let pdm = format!(
        "[[package]]\nname = 'one'\nversion = '1.0'\nrequires_python = '>=3.8'\nmarker = \"os_name == 'nt'\"\n\
         [[package]]\nname = 'one'\nversion = '1.0'\nextras = ['x']\nrequires_python = '>=3.8'\nmarker = \"os_name == 'posix'\"\n\
         [[package]]\nname = 'two'\nversion = '2'\ngit = 'https://git.example/x'\n\
         [metadata]\nlock_version = '4.2'\n[metadata.files]\n\"one 1.0\" = [{{file = 'one-1.0.tar.gz', hash = '{HASH}'}}]\n"
    );
    let reading = good("pdm.lock", &pdm);
    assert_eq!(
        projects(&reading),
        ["one==1.0; os_name == 'nt' or os_name == 'posix'"]
    );
    assert_eq!(of(&reading, "one").digests().len(), 1);
    assert_eq!(reading.left_out.len(), 1);
}

#[test]
fn pipfile_has_categories_and_other_sources() {
    let text = r#"{"_meta": {"pipfile-spec": 6, "sources": [{"url": "https://index.example/simple"}]},
        "default": {"one": {"version": "==1.0", "hashes": ["sha256:bad", "sha256:aa00000000000000000000000000000000000000000000000000000000000000"]},
                    "two": {"git": "https://git.example/x", "ref": "abc"},
                    "self": {"editable": true, "path": "."}},
        "develop": {"three": {"file": "https://host.example/three.whl"}},
        "docs": {"four": {"version": "==4", "markers": "os_name == 'nt'"}}}"#;
    let reading = good("Pipfile.lock", text);
    assert_eq!(projects(&reading), ["four==4; os_name == 'nt'", "one==1.0"]);
    assert_eq!(of(&reading, "one").digests().len(), 1);
    assert_eq!(reading.left_out.len(), 2);
}

#[test]
fn requirements_are_read_as_pip_reads_them() {
    let text = "\u{feff}# -*- coding: utf-8 -*-\n\
        --index-url=https://${HOST}/simple/ # the one\n\
        --extra-index-url https://${UNSET}/simple\n\
        -ihttps://third.example/simple\n\
        --find-links ./wheels\n--no-index\n--pre\n--only-binary=:all:\n--trusted-host index.example\n\
        one == 1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:aa00000000000000000000000000000000000000000000000000000000000000 \\\n\
        \x20   --hash sha256:bb00000000000000000000000000000000000000000000000000000000000000   # two of them\n\
        \n\
        Two[extra,more]>=1,<2\n\
        three (>=3)\n\
        four@https://host.example/four-4-py3-none-any.whl#sha256=aa00000000000000000000000000000000000000000000000000000000000000\n\
        five @ git+https://git.example/five@main ; os_name == 'nt'\n\
        -e .\n\
        --editable=git+https://git.example/six#egg=six\n\
        ./vendor/seven.whl\n\
        https://host.example/eight-8.tar.gz\n\
        nine==9.*\n\
        ten\n\
        # a comment \\\n\
        eleven===1.1 # that goes on\n\
        twelve==1.2 --config-settings x=y --global-option=z";
    let reading = good("requirements.txt", text);
    assert_eq!(
        projects(&reading),
        [
            "eleven==1.1",
            "nine==9.*",
            "one==1.0; sys_platform == 'win32'",
            "ten",
            "three>=3",
            "twelve==1.2",
            "two>=1, <2"
        ]
    );
    assert_eq!(of(&reading, "one").digests().len(), 2);
    assert_eq!(of(&reading, "one").place, "requirements.txt:10");
    assert_eq!(
        reading.indexes,
        [
            "https://index.example/simple/",
            "https://${UNSET}/simple",
            "https://third.example/simple"
        ]
    );
    let left: Vec<(Option<&str>, NonIndexSource)> = reading
        .left_out
        .iter()
        .map(|left| (left.project.as_deref(), left.source))
        .collect();
    assert_eq!(
        left,
        [
            (Some("four"), NonIndexSource::DirectUrl),
            (Some("five"), NonIndexSource::Repository),
            (None, NonIndexSource::Path),
            (Some("six"), NonIndexSource::Repository),
            (None, NonIndexSource::Path),
            (None, NonIndexSource::DirectUrl),
        ]
    );
    assert!(reading.left_out[0].sha256.is_some());
    let unlocked: Vec<&str> = reading
        .unlocked
        .iter()
        .map(|one| one.project.as_str())
        .collect();
    assert_eq!(unlocked, ["two", "three", "nine", "ten"]);
}

#[test]
fn nested_files_are_asked_for_by_their_place_and_constraints_add_nothing() {
    let files = BTreeMap::from([
        (
            "requirements/base.txt",
            "one\n-r sub/more.txt\n-c ../constraints.txt",
        ),
        ("requirements/sub/more.txt", "two>=1"),
        (
            "requirements/../constraints.txt",
            "one==1.0 --hash=sha256:aa00000000000000000000000000000000000000000000000000000000000000\ntwo<3\nthree==3",
        ),
    ]);
    let reading =
        with_files("requirements/dev.txt", "-r base.txt\n-r base.txt", &files).expect("good files");
    assert_eq!(projects(&reading), ["one==1.0", "two>=1, <3"]);
    assert_eq!(of(&reading, "one").digests().len(), 1);
    assert_eq!(of(&reading, "one").place, "requirements/base.txt:1");
    assert_eq!(reading.unlocked.len(), 1);

    let round = BTreeMap::from([("a.txt", "-r b.txt"), ("b.txt", "\n-r a.txt")]);
    let told = with_files("a.txt", "-r b.txt", &round).expect_err("a circle");
    assert_eq!(
        told.to_string(),
        "b.txt:2: a.txt names itself, by way of a.txt, b.txt"
    );
    assert!(
        why("a.txt", "-r missing.txt").contains("a.txt:1: cannot read missing.txt: no such file")
    );
    assert!(why("a.txt", "-r https://host.example/r.txt").contains("is not fetched"));
}

#[test]
fn nesting_has_an_end() {
    let mut read = |path: &str| {
        let number: usize = path.trim_end_matches(".txt").parse().unwrap_or(0);
        Ok(format!("-r {}.txt", number + 1))
    };
    let mut surroundings = Surroundings {
        read: &mut read,
        variable: &|_| None,
    };
    let told = super::read("0.txt", "-r 1.txt", &mut surroundings).expect_err("too deep");
    assert!(told.why.contains("within each other"), "{told}");
    let mut wide = |_: &str| Ok(String::new());
    let lines: String = (0..300)
        .map(|number| format!("-r {number}.txt\n"))
        .collect();
    let mut surroundings = Surroundings {
        read: &mut wide,
        variable: &|_| None,
    };
    assert!(super::read("r.txt", &lines, &mut surroundings).is_err());
}

#[test]
fn what_pip_refuses_is_refused_with_its_line() {
    let hash = "--hash=sha256:aa00000000000000000000000000000000000000000000000000000000000000";
    for (text, word) in [
        (
            format!("\none>=1 {hash}"),
            "r.txt:2: with --hash a requirement must be pinned",
        ),
        (
            "one ==".to_owned(),
            "r.txt:1: `one ==` is not a requirement",
        ),
        (
            "one; os_name".to_owned(),
            "r.txt:1: not an environment marker",
        ),
        ("one==1 --unheard x".to_owned(), "`--unheard` is no option"),
        ("--unheard".to_owned(), "`--unheard` is no option"),
        ("-r".to_owned(), "-r needs a value"),
        ("one[x".to_owned(), "extras without a closing"),
        ("!".to_owned(), "is not a requirement"),
    ] {
        assert!(
            why("r.txt", &text).contains(word),
            "{text}: {}",
            why("r.txt", &text)
        );
    }
}

#[test]
fn bare_names_are_requirements_that_stand_alone() {
    for (text, described) in [
        ("Anvil", "anvil"),
        ("anvil==1.2", "anvil==1.2"),
        ("anvil[x]>=1,<2", "anvil>=1, <2"),
        ("anvil; os_name == 'nt'", "anvil; os_name == 'nt'"),
    ] {
        let reading = read_name(text, "anvil");
        assert_eq!(
            reading.map(|reading| projects(&reading)),
            Ok(vec![described.to_owned()]),
            "{text}"
        );
    }
    assert!(read_name("an vil", "an vil").is_err());
}

fn named() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_a_parser_stumble(text in "\\PC{0,200}", (name, _) in named()) {
        let _ = alone(name, &text);
        let _ = alone("-", &text);
    }

    #[test]
    fn a_damaged_lock_is_read_or_refused(
        (name, text) in named(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        instead in "[\\[\\]{}\"'=,;#\\\\\n a-z0-9-]{0,8}",
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        let from = at.index(chars.len());
        let to = (from + length).min(chars.len());
        chars.splice(from..to, instead.chars());
        let damaged: String = chars.into_iter().collect();
        let _ = alone(name, &damaged);
        let _ = alone("-", &damaged);
    }

    #[test]
    fn requirement_lines_are_read_or_refused(text in "(one|two|==|>=|1.0|;|@|\\[|\\]|--hash=|sha256:00|-r|-c |os_name|'nt'|\\\\\n|\n|#| |\\$\\{HOST\\}){0,14}") {
        let _ = alone("requirements.txt", &text);
    }
}
