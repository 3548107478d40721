//! `larder export` and `larder import`: what one larder holds reaches another, whole, in one file,
//! as a delta, in parts, signed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::delivery::kept;
use crate::common::mirror::{JSON, file, get_as, larder, page};
use crate::support::gitlab::GitLab;
use crate::support::larder::{Larder, binary};
use crate::support::{Artifact, Distribution, PublicIndex, StoreListing};

/// A machine on one side of the gap: a folder, and no daemon.
pub struct Machine {
    pub home: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With these lines in its configuration.
    pub fn with(lines: &str) -> Self {
        let home = tempfile::TempDir::with_prefix("larder-").expect("a temporary folder");
        let cache = home.path().join("cache");
        std::fs::write(
            home.path().join("larder.toml"),
            format!("cache_dir = {cache:?}\n{lines}\n"),
        )
        .expect("a writable folder");
        Self { home }
    }

    pub fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    pub fn spawn(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.home.path().join("larder.toml"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("the binary runs")
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).wait_with_output().expect("it ends")
    }
}

/// The JSON lines of a command that went well.
#[track_caller]
pub fn well(output: &Output) -> Vec<Value> {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// That a command said no, and why.
#[track_caller]
pub fn refused(output: &Output, parts: &[&str]) {
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(!why.contains("panicked"), "{why}");
    for part in parts {
        assert!(why.contains(part), "no {part:?} in: {why}");
    }
}

pub fn wheel(name: &str, version: &str) -> Artifact {
    Distribution::new(name, version)
        .requires_python(">=3.8")
        .payload(3000)
        .wheel()
}

/// A larder that has fetched these.
pub fn warmed(index: &PublicIndex, artifacts: &[&Artifact]) -> Larder {
    let larder = larder(&GitLab::start(), index, "");
    fetch(&larder, index, artifacts);
    larder
}

pub fn fetch(larder: &Larder, index: &PublicIndex, artifacts: &[&Artifact]) {
    for artifact in artifacts {
        get_as(&larder.client(), &page(&artifact.name.to_lowercase()), JSON).expect(200);
        let address = file(index, &artifact.filename);
        assert_eq!(
            larder.client().get(&address).expect(200),
            &artifact.bytes[..]
        );
        kept(larder, artifact);
        if artifact.filename.ends_with(".whl") {
            assert_eq!(
                larder
                    .client()
                    .get(&format!("{address}.metadata"))
                    .expect(200),
                &artifact.metadata[..]
            );
        }
    }
}

pub fn path_in(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// Whether a page of this project is on the shelf.
fn is_visible(cache: &Path, project: &str) -> bool {
    !StoreListing::of(cache)
        .containing(&format!("json /pypi/simple/{project}/"))
        .is_empty()
}

#[test]
fn what_one_larder_holds_reaches_another() {
    let (one, other, sdist) = (
        wheel("one", "1.0"),
        wheel("other", "2.0"),
        Distribution::new("one", "1.0").sdist(),
    );
    let index = PublicIndex::builder()
        .offering(one.clone())
        .offering(other.clone())
        .offering(sdist.clone())
        .start();
    index.publish(wheel("one", "1.1"));
    // What is put away behind an answer is there after a restart at the latest.
    let mut near = warmed(&index, &[&one, &sdist, &other]).restart();
    let folder = near.home().to_owned();
    let bundle = path_in(&folder, "bundle.tar");
    let running = well(&near.command(&["export", "--json", &bundle]));
    assert_eq!(
        (&running[0]["files"], &running[0]["pages"]),
        (&3.into(), &2.into()),
        "only what is held"
    );
    near.terminate();
    let again = path_in(&folder, "again.tar");
    let resting = well(&near.command(&["export", "--json", &again]));
    assert_eq!(
        running[0]["id"], resting[0]["id"],
        "the same from a resting folder"
    );
    let stream = near.command(&["export", "-"]);
    assert!(stream.status.success());
    assert_eq!(
        stream.stdout.len() as u64,
        running[0]["bytes"].as_u64().expect("a number")
    );

    let far = Machine::new();
    let checked = well(&far.run(&["import", "--check", "--json", &bundle]));
    assert_eq!(checked[0]["new_blobs"], running[0]["blobs"]);
    assert!(
        StoreListing::of(&far.cache()).blobs.is_empty(),
        "a check changes nothing"
    );
    let imported = well(&far.run(&["import", "--json", &bundle]));
    assert_eq!(
        (&imported[0]["files"], &imported[0]["awaited_blobs"]),
        (&3.into(), &0.into())
    );
    let listing = StoreListing::of(&far.cache());
    listing.assert_every_blob_is_right();
    for artifact in [&one, &other, &sdist] {
        assert!(listing.holds(&artifact.sha256), "{}", artifact.filename);
    }
    assert!(is_visible(&far.cache(), "one") && is_visible(&far.cache(), "other"));
    let twice = well(&far.run(&["import", "--json", &bundle]));
    assert_eq!(twice[0]["new_blobs"], 0);

    // And on from there: nothing was lost but where it came from.
    let onward = well(&far.run(&["export", "--json", &path_in(far.home.path(), "onward.tar")]));
    for key in ["files", "pages", "blobs", "blob_bytes"] {
        assert_eq!(onward[0][key], running[0][key], "{key}");
    }

    // A running daemon takes it in as well.
    let running_far = Larder::start(&GitLab::start());
    let imported = well(&running_far.command(&["import", "--json", &bundle]));
    assert_eq!(imported[0]["new_blobs"], running[0]["blobs"]);
    assert!(is_visible(&running_far.cache_dir(), "one"));
}

#[test]
fn a_delta_carries_what_is_new_and_needs_its_base() {
    let (one, two) = (
        wheel("one", "1.0"),
        Distribution::new("one", "2.0").payload(100_000).wheel(),
    );
    let index = PublicIndex::builder()
        .offering(one.clone())
        .offering(two.clone())
        .start();
    let near = warmed(&index, &[&two]);
    let (base, delta) = (
        path_in(near.home(), "base.tar"),
        path_in(near.home(), "delta.tar"),
    );
    let first = well(&near.command(&["export", "--json", &base]));
    fetch(&near, &index, &[&one]);
    let second = well(&near.command(&["export", "--json", "--since", &base, &delta]));
    assert_eq!(second[0]["base"], first[0]["id"]);
    assert_eq!(
        (&second[0]["files"], &second[0]["blobs"]),
        (&2.into(), &2.into()),
        "the wheel and its metadata"
    );
    let carried = (one.bytes.len() + one.metadata.len()) as u64;
    assert_eq!(
        second[0]["blob_bytes"], carried,
        "of {} bytes",
        first[0]["blob_bytes"]
    );

    let far = Machine::new();
    let id = first[0]["id"].as_str().expect("an id");
    refused(
        &far.run(&["import", &delta]),
        &[id, &two.filename, "import that one first"],
    );
    assert!(StoreListing::of(&far.cache()).blobs.is_empty());
    well(&far.run(&["import", "--json", &base]));
    let imported = well(&far.run(&["import", "--json", &delta]));
    assert_eq!(
        (&imported[0]["new_blobs"], &imported[0]["awaited_blobs"]),
        (&2.into(), &0.into())
    );
    assert!(StoreListing::of(&far.cache()).holds(&one.sha256));

    // The manifest alone is a base, too.
    let extracted = Command::new("tar")
        .args(["-xf", &delta, "-C"])
        .arg(near.home())
        .status()
        .expect("tar");
    assert!(extracted.success());
    let third = [
        "export",
        "--json",
        "--since",
        &path_in(near.home(), "manifest.jsonl"),
        &path_in(near.home(), "none.tar"),
    ];
    let third = well(&near.command(&third));
    assert_eq!(
        (&third[0]["base"], &third[0]["blobs"]),
        (&second[0]["id"], &0.into())
    );
}

#[test]
fn parts_come_in_any_order_and_pages_with_the_last() {
    let wheels: Vec<Artifact> = (0..4)
        .map(|n| {
            Distribution::new("one", &format!("{n}.0"))
                .payload(40_000)
                .wheel()
        })
        .collect();
    let index = wheels
        .iter()
        .fold(PublicIndex::builder(), |index, wheel| {
            index.offering(wheel.clone())
        })
        .start();
    let near = warmed(&index, &wheels.iter().collect::<Vec<_>>());
    let bundle = path_in(near.home(), "bundle.tar");
    let parts = well(&near.command(&["export", "--json", "--split", "100KiB", &bundle]));
    assert!(parts.len() > 1, "{parts:?}");
    assert!(!Path::new(&bundle).exists(), "only the parts");
    for part in &parts {
        assert!(
            part["bytes"]
                .as_u64()
                .is_some_and(|bytes| bytes <= 100 << 10),
            "{part}"
        );
        let checked = well(&Machine::new().run(&[
            "import",
            "--check",
            "--json",
            part["file"].as_str().expect("a name"),
        ]));
        assert_eq!(checked[0]["id"], parts[0]["id"]);
    }
    let mut names: Vec<&str> = parts
        .iter()
        .filter_map(|part| part["file"].as_str())
        .collect();
    names.reverse();
    let far = Machine::new();
    for (done, name) in names.iter().enumerate() {
        assert!(!is_visible(&far.cache(), "one"), "after {done} parts");
        let imported = well(&far.run(&["import", "--json", name]));
        assert_eq!(
            imported[0]["awaited_blobs"] == 0,
            done + 1 == names.len(),
            "{imported:?}"
        );
        // They came from behind.
        let awaited: Vec<usize> = (1..names.len() - done).collect();
        assert_eq!(imported[0]["awaited_parts"], serde_json::json!(awaited));
        let stats = well(&far.run(&["stats", "--json"]));
        let told = stats[0]["awaited_parts"].as_array().expect("a list");
        if awaited.is_empty() {
            assert!(told.is_empty(), "{told:?}");
        } else {
            assert_eq!(
                (&told[0]["parts"], &told[0]["bundle"]),
                (&serde_json::json!(awaited), &parts[0]["id"])
            );
        }
    }
    assert!(is_visible(&far.cache(), "one"));

    let together = Machine::new();
    let all = well(&together.run(&[&["import", "--json"], &names[..]].concat()));
    assert_eq!(
        all.last().map(|last| &last["awaited_blobs"]),
        Some(&0.into())
    );
    assert!(is_visible(&together.cache(), "one"));
    refused(
        &near.command(&["export", "--split", "1KiB", &bundle]),
        &["does not fit", "larger parts"],
    );
    let usage = near.command(&["export", "--split", "1GiB", "-"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_running_daemon_says_which_parts_it_waits_for() {
    let wheels: Vec<Artifact> = (0..4)
        .map(|n| {
            Distribution::new("one", &format!("{n}.0"))
                .payload(100_000)
                .wheel()
        })
        .collect();
    let index = wheels
        .iter()
        .fold(PublicIndex::builder(), |index, wheel| {
            index.offering(wheel.clone())
        })
        .start();
    let near = warmed(&index, &wheels.iter().collect::<Vec<_>>());
    let bundle = path_in(near.home(), "bundle.tar");
    let parts = well(&near.command(&["export", "--json", "--split", "150KiB", &bundle]));
    assert!(parts.len() > 3, "{parts:?}");
    let names: Vec<&str> = parts
        .iter()
        .filter_map(|part| part["file"].as_str())
        .collect();
    let id = parts[0]["id"].as_str().expect("an id");
    let last = names.len();

    let far = Larder::start(&GitLab::start());
    let said = |far: &Larder, command: &str| {
        let output = far.command(&[command]);
        assert!(output.status.success(), "{command}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(said(&far, "health").trim(), "ok");
    let imported = far.command(&["import", names[1]]);
    let told = format!(
        "parts 1, 3{} of {last}",
        if last > 4 {
            format!("-{last}")
        } else {
            ", 4".to_owned()
        }
    );
    assert!(String::from_utf8_lossy(&imported.stdout).contains(&format!("to come with {}", told)));
    let waiting = format!("waiting for {told} of bundle {id}");
    assert_eq!(
        said(&far, "health").trim(),
        format!("ok; {waiting}"),
        "and it is ready"
    );
    assert!(
        said(&far, "stats").contains(&format!("for {told} of bundle {id}")),
        "{}",
        said(&far, "stats")
    );
    let far = far.restart();
    assert_eq!(
        said(&far, "health").trim(),
        format!("ok; {waiting}"),
        "after a restart, too"
    );
    well(&far.command(&[&["import", "--json"], &names[..]].concat()));
    assert_eq!(said(&far, "health").trim(), "ok");
    assert!(!said(&far, "stats").contains("waiting"));
}

#[test]
fn a_set_is_exported_alone_and_only_whole() {
    let (one, other) = (wheel("one", "1.0"), wheel("other", "2.0"));
    let index = PublicIndex::builder()
        .offering(one.clone())
        .offering(other.clone())
        .start();
    let near = warmed(&index, &[&one, &other]);
    let write_set = |name: &str, artifacts: &[&Artifact]| {
        let line = |artifact: &&Artifact| {
            format!(
                "{}  {}\n",
                artifact.sha256,
                file(&index, &artifact.filename)
            )
        };
        let lines: String = artifacts.iter().map(line).collect();
        let body = format!(
            "{{\"name\":{name:?},\"replace\":false,\"files\":{}}}\n{lines}",
            artifacts.len()
        );
        command(&near.cache_dir(), "set", body.as_bytes())
    };
    let answer = write_set("web", &[&one]);
    assert!(
        answer.contains("{\"event\":{\"files\":1}}\n") && answer.contains("{\"end\":\"done\"}"),
        "{answer}"
    );
    let bundle = path_in(near.home(), "set.tar");
    let written = well(&near.command(&["export", "--json", "--set", "web", &bundle]));
    assert_eq!(
        (&written[0]["files"], &written[0]["pages"]),
        (&1.into(), &1.into())
    );

    let absent = wheel("absent", "1.0");
    index.publish(absent.clone());
    write_set("web", &[&absent]);
    refused(
        &near.command(&["export", "--set", "web", &bundle]),
        &["1 files of the set web", &absent.filename],
    );
    refused(
        &near.command(&["export", "--set", "none", &bundle]),
        &["no set none"],
    );
    refused(
        &near.command(&["export", "--set", "../x", &bundle]),
        &["no name of a set"],
    );
    assert!(write_set("A", &[&one]).contains("no name of a set"));
    assert!(
        near.restart()
            .command(&["export", "--set", "web", &bundle])
            .status
            .code()
            == Some(1),
        "it survives"
    );
}

/// Gives a command whose body is a stream, over a daemon's socket; the whole answer.
pub fn command(cache: &Path, name: &str, body: &[u8]) -> String {
    let mut stream = UnixStream::connect(cache.join(".control")).expect("a daemon that listens");
    let length = body.len();
    let head = format!(
        "POST /-/control/{name} HTTP/1.1\r\nhost: larder\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .expect("a daemon that reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("a daemon that answers");
    answer
}

#[test]
fn signatures_are_asked_for_where_keys_are_configured() {
    let index = PublicIndex::builder().offering(wheel("one", "1.0")).start();
    let near = warmed(&index, &[&wheel("one", "1.0")]);
    let folder = near.home().to_owned();
    let key = |name: &str| {
        let path = path_in(&folder, name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &path])
            .status();
        assert!(made.expect("ssh-keygen").success());
        let public = std::fs::read_to_string(format!("{path}.pub")).expect("a public key");
        (path, public)
    };
    let ((ours, public), (others, _)) = (key("ours"), key("others"));
    let signers = path_in(&folder, "signers");
    std::fs::write(&signers, format!("larder {public}")).expect("a writable folder");
    let (good, bare, foreign) = (
        path_in(&folder, "good.tar"),
        path_in(&folder, "bare.tar"),
        path_in(&folder, "foreign.tar"),
    );
    well(&near.command(&["export", "--json", "--sign", &ours, &good]));
    well(&near.command(&["export", "--json", &bare]));
    well(&near.command(&["export", "--json", "--sign", &others, &foreign]));

    let strict = format!("[import]\nallowed_signers = {signers:?}");
    let imported = well(&Machine::with(&strict).run(&["import", "--json", &good]));
    assert_eq!(imported[0]["signed"], true);
    refused(
        &Machine::with(&strict).run(&["import", &bare]),
        &["manifest.sha256.sig", "--unsigned"],
    );
    assert_eq!(
        well(&Machine::with(&strict).run(&["import", "--json", "--unsigned", &bare]))[0]["signed"],
        false
    );
    for flag in ["--unsigned", "--json"] {
        refused(
            &Machine::with(&strict).run(&["import", flag, &foreign]),
            &["manifest.sha256.sig"],
        );
    }
    assert_eq!(
        well(&Machine::new().run(&["import", "--json", &foreign]))[0]["signed"],
        false
    );

    // Every byte of the signature counts, whether or not keys are configured.
    let bytes = std::fs::read(&good).expect("a bundle");
    let begin = bytes
        .windows(11)
        .position(|window| window == b"-----BEGIN ")
        .expect("a signature");
    let broken = path_in(&folder, "broken.tar");
    for at in [begin, begin + 40, begin + 100, begin + 200, begin + 290] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        std::fs::write(&broken, &bytes).expect("a writable folder");
        for machine in [Machine::with(&strict), Machine::new()] {
            refused(&machine.run(&["import", &broken]), &["manifest.sha256.sig"]);
        }
    }

    // What a person without larder does.
    let run = |program: &str, arguments: &[&str], input: Stdio| {
        let mut command = Command::new(program);
        let done = command
            .args(arguments)
            .current_dir(&folder)
            .stdin(input)
            .output()
            .expect("it is installed");
        assert!(
            done.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let listed = run("tar", &["-tf", &good], Stdio::null());
    assert!(listed.starts_with(
        "bundle.json\nmanifest.jsonl\ncontents.sha256\nmanifest.sha256\nmanifest.sha256.sig\n"
    ));
    run("tar", &["-xf", &good], Stdio::null());
    run(
        "sha256sum",
        &["--strict", "-c", "manifest.sha256", "contents.sha256"],
        Stdio::null(),
    );
    let sums = std::fs::File::open(folder.join("manifest.sha256")).expect("extracted");
    let verify = [
        "-Y",
        "verify",
        "-n",
        "larder",
        "-I",
        "larder",
        "-f",
        "signers",
        "-s",
        "manifest.sha256.sig",
    ];
    run("ssh-keygen", &verify, sums.into());
}
