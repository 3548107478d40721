//! `larder audit`: what of the cache, of a set and of lock files is known to be bad.

use std::process::Output;

use serde_json::Value;

use crate::common::advisories::{Records, of_all, rated, record};
use crate::common::delivery::kept;
use crate::common::mirror::file;
use crate::support::{Artifact, Distribution, GitLab, Larder, PublicIndex, Workbench};

fn artifact(name: &str, version: &str) -> Artifact {
    Distribution::new(name, version).wheel()
}

struct World {
    _gitlab: GitLab,
    index: PublicIndex,
    larder: Larder,
    records: Records,
}

impl World {
    fn new() -> Self {
        let gitlab = GitLab::start();
        let index = PublicIndex::builder()
            .offering(artifact("evil-lib", "1.0"))
            .offering(artifact("old-lib", "2.0"))
            .offering(artifact("kestrel", "1.0"))
            .start();
        let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
        for name in ["evil-lib", "old-lib", "kestrel"] {
            let version = if name == "old-lib" { "2.0" } else { "1.0" };
            let wheel = artifact(name, version);
            larder
                .client()
                .get(&file(&index, &wheel.filename))
                .expect(200);
            kept(&larder, &wheel);
        }
        let records = Records::new(&[
            of_all("MAL-2026-1", "evil-lib"),
            rated(
                record("GHSA-aaaa-bbbb-cccc", "old-lib", &["2.0"]),
                "MODERATE",
            ),
        ]);
        Self {
            _gitlab: gitlab,
            index,
            larder,
            records,
        }
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        let records = self.records.path();
        let records = records.to_string_lossy();
        let given = ["audit", "--advisories", &records];
        self.larder.command(&[&given, arguments].concat())
    }
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{said}");
    text
}

#[test]
fn what_is_cached_and_known_to_be_bad_is_named_and_the_exit_code_says_so() {
    let world = World::new();
    let wheel = artifact("evil-lib", "1.0");
    let text = told(&world.audit(&[]), 1);
    let address = file(&world.index, &wheel.filename);
    assert_eq!(
        text,
        format!("malware: evil-lib 1.0: MAL-2026-1  {address}\n1 finding among 3 files\n")
    );
    let json = told(&world.audit(&["--json", "--min-severity", "medium"]), 1);
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{json}");
    assert_eq!(lines[0]["kind"], "malware");
    assert_eq!(lines[1]["id"], "GHSA-aaaa-bbbb-cccc");
    assert_eq!(lines[1]["severity"], "medium");
    // It names, and removes nothing.
    let listed = told(&world.larder.command(&["ls", "evil-lib"]), 0);
    assert!(listed.contains(&wheel.filename), "{listed}");
    world.records.replace(&[of_all("MAL-2026-9", "another")]);
    assert_eq!(
        told(&world.audit(&[]), 0),
        "nothing is known to be bad among 3 files\n"
    );
}

#[test]
fn a_set_is_audited_alone() {
    let world = World::new();
    let warm = ["warm", "--from", "pypi", "--set", "web", "kestrel"];
    told(&world.larder.command(&warm), 0);
    assert_eq!(
        told(&world.audit(&["--set", "web"]), 0),
        "nothing is known to be bad among 1 file\n"
    );
    let warm = [
        "warm", "--from", "pypi", "--set", "web", "kestrel", "evil-lib",
    ];
    told(&world.larder.command(&warm), 0);
    assert!(told(&world.audit(&["--set", "web"]), 1).contains("1 finding among 2 files"));
    let absent = world.audit(&["--set", "nothing"]);
    assert_eq!(absent.status.code(), Some(1));
}

#[test]
fn lock_files_are_audited_by_what_they_pin() {
    let world = World::new();
    let user = Workbench::new();
    let requirements = user.write(
        "requirements.txt",
        "evil-lib==1.0\nold_lib==2.0.0\nkestrel>=1\n",
    );
    let requirements = requirements.to_string_lossy();
    let output = world.audit(&[&requirements, "--min-severity", "unrated"]);
    let text = told(&output, 1);
    assert!(
        text.starts_with("malware: evil-lib 1.0: MAL-2026-1  "),
        "{text}"
    );
    assert!(
        text.contains("vulnerability: old-lib 2.0.0: GHSA-aaaa-bbbb-cccc (medium)  "),
        "{text}"
    );
    assert!(
        text.ends_with("2 findings among 2 pinned packages\n"),
        "{text}"
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no version is pinned: kestrel"), "{said}");

    let locks = [
        (
            "pylock.toml",
            "lock-version = \"1.0\"\ncreated-by = \"a\"\n[[packages]]\nname = \"evil-lib\"\nversion = \"1.0\"\n",
        ),
        (
            "poetry.lock",
            "[[package]]\nname = \"evil-lib\"\nversion = \"1.0\"\noptional = false\npython-versions = \">=3.9\"\nfiles = []\n\n[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.9\"\ncontent-hash = \"x\"\n",
        ),
        (
            "uv.lock",
            "version = 1\nrequires-python = \">=3.9\"\n\n[[package]]\nname = \"evil-lib\"\nversion = \"1.0\"\nsource = { registry = \"http://index.example/simple\" }\n",
        ),
    ];
    for (name, text) in locks {
        let path = user.write(name, text);
        let text = told(&world.audit(&[&path.to_string_lossy()]), 1);
        assert!(text.contains("MAL-2026-1"), "{name}: {text}");
    }
    let absent = world.audit(&["no/such.lock"]);
    assert_eq!(absent.status.code(), Some(2));
    let without = world.larder.command(&["audit"]);
    assert_eq!(without.status.code(), Some(2));
}
