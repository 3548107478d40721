//! `larder rewrite-lock`: a lock file made without larder installs through it, and comes back as it
//! was; and the daemon, which does the same for a client without the binary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::locks::{Lock, PROJECT, publish_to};
use crate::support::{Door, GitLab, Larder, PublicIndex, Reply, Workbench, python};

struct Town {
    _gitlab: GitLab,
    index: PublicIndex,
    larder: Larder,
}

impl Town {
    fn new() -> Self {
        let index = PublicIndex::start();
        publish_to(&index);
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
        Self {
            _gitlab: gitlab,
            index,
            larder,
        }
    }

    /// Runs the command; gives its exit code, stdout and stderr.
    fn rewrite(&self, file: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let file = file.to_string_lossy();
        let output = self
            .larder
            .command(&[&["rewrite-lock", &file], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

#[test]
fn a_lock_made_without_larder_installs_through_it_and_comes_back_byte_for_byte() {
    let town = Town::new();
    let user = Workbench::new();
    user.write("pyproject.toml", PROJECT);
    let original = Lock::Uv.at(&town.index);
    let lock = user.write("uv.lock", &original);
    let interpreter = python::program("python").to_string_lossy().into_owned();
    let sync = ["sync", "--frozen", "--no-cache", "--python", &interpreter];

    let (code, out, said) = town.rewrite(&lock, &["--to", &town.larder.url(), "--in-place"]);

    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    let rewritten = std::fs::read_to_string(&lock).expect("the lock");
    let changed = original.matches("http://").count();
    assert_eq!(
        said,
        format!("{}: {changed} URLs changed\n", lock.display())
    );
    assert!(
        !rewritten.contains(town.index.origin()) && !rewritten.contains(town.index.files_origin())
    );
    let expected = original
        .replace(
            &format!("{}/simple/", town.index.origin()),
            &format!("{}/pypi/simple/", town.larder.url()),
        )
        .replace(
            town.index.files_origin(),
            &format!("{}/pypi", town.larder.url()),
        );
    assert!(
        rewritten == expected,
        "differs in more than the prefixes of URLs"
    );

    town.index.log().clear();
    user.uv(&sync).expect_success();
    let entries = town.index.log().entries();
    let (through, past): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.head.header_contains("user-agent", "larder/"));
    assert!(past.is_empty(), "past larder: {past:?}");
    assert!(
        through.iter().any(|entry| entry.door == Door::Files),
        "nothing came through larder"
    );
    town.index.log().assert_nothing_unexpected();

    let (code, _, said) = town.rewrite(&lock, &["--to", "upstream", "--in-place"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        std::fs::read_to_string(&lock).expect("the lock") == original,
        "not what it was"
    );

    // The control: as it was made, the same lock goes past larder.
    town.index.log().clear();
    std::fs::remove_dir_all(user.folder().join(".venv")).expect("an environment");
    user.uv(&sync).expect_success();
    let files = town
        .index
        .log()
        .entries()
        .into_iter()
        .filter(|entry| entry.door == Door::Files);
    assert!(files.count() > 0);
}

#[test]
fn every_format_with_urls_goes_there_and_back() {
    let town = Town::new();
    let user = Workbench::new();
    for lock in Lock::ALL {
        let original = lock.at(&town.index);
        let name = lock.stored_name();
        let path = user.write(lock.filename(), &original);
        let (code, there, said) = town.rewrite(&path, &["--to", "http://larder.example:3141/"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        assert_eq!(
            std::fs::read_to_string(&path).expect("the lock"),
            original,
            "{name}: printed, not replaced"
        );
        assert!(
            !there.contains(town.index.origin()) && !there.contains(town.index.files_origin()),
            "{name}"
        );

        let path = user.write(lock.filename(), &there);
        let (code, back, said) = town.rewrite(
            &path,
            &["--to", "upstream", "--from", "http://larder.example:3141"],
        );
        assert_eq!(code, Some(0), "{name}: {said}");
        assert!(back == original, "{name}: not what it was");
    }
}

#[test]
fn a_file_without_a_url_that_is_known_is_left_and_its_hosts_are_named() {
    let town = Town::new();
    let user = Workbench::new();
    let path = user.write("uv.lock", Lock::Uv.text());
    let (code, out, said) = town.rewrite(&path, &["--to", &town.larder.url(), "--in-place"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("0 URLs changed") && said.contains("5 URLs at index.example left alone"),
        "{said}"
    );
    assert!(said.contains(" at files.example left alone"), "{said}");
    assert_eq!(
        std::fs::read_to_string(&path).expect("the lock"),
        Lock::Uv.text()
    );

    let path = user.write(
        "uv.lock",
        "source = { registry = \"http://larder.example/pypi/simple/\" }\n",
    );
    let (code, _, said) = town.rewrite(&path, &["--to", "upstream"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("if a larder is at http://larder.example, say --from http://larder.example"),
        "{said}"
    );

    for arguments in [["--to", "larder.example"], ["--to", "ftp://larder.example"]] {
        let (code, _, said) = town.rewrite(&path, &arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("--to wants larder's address or `upstream`"),
            "{said}"
        );
    }
    let (code, _, said) = town.rewrite(&user.folder().join("missing.lock"), &["--to", "upstream"]);
    assert!(code == Some(2) && said.contains("cannot read"), "{said}");
}

#[test]
fn a_replaced_file_keeps_its_permissions_and_a_link_stays_a_link() {
    let town = Town::new();
    let user = Workbench::new();
    let path = user.write("uv.lock", Lock::Uv.at(&town.index));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("our file");
    let link = user.folder().join("pylock.link");
    std::os::unix::fs::symlink("uv.lock", &link).expect("our folder");

    let (code, _, said) = town.rewrite(&link, &["--to", &town.larder.url(), "--in-place"]);

    assert_eq!(code, Some(0), "{said}");
    assert!(
        std::fs::symlink_metadata(&link)
            .expect("the link")
            .is_symlink()
    );
    assert_eq!(
        std::fs::metadata(&path)
            .expect("the file")
            .permissions()
            .mode()
            & 0o777,
        0o640
    );
    assert!(
        !std::fs::read_to_string(&path)
            .expect("the lock")
            .contains(town.index.origin())
    );
    assert_eq!(
        std::fs::read_dir(user.folder())
            .expect("the folder")
            .count(),
        2,
        "nothing is left beside it"
    );
}

impl Town {
    /// Sends a lock to the daemon, to be led to this address.
    fn send(&self, query: &str, lock: &[u8]) -> Reply {
        let path = format!("/-/rewrite-lock{query}");
        let client = self.larder.client();
        client.post(&path, "application/octet-stream", lock)
    }
}

#[test]
fn the_daemon_rewrites_every_format_as_the_command_does() {
    let town = Town::new();
    let user = Workbench::new();
    for lock in Lock::ALL {
        let name = lock.stored_name();
        let original = lock.at(&town.index);
        let path = user.write(lock.filename(), &original);
        let (code, by_command, said) = town.rewrite(&path, &["--to", "http://larder.example:3141"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let sent = town.send("?to=http://larder.example:3141", original.as_bytes());
        assert_eq!(sent.text(), by_command, "{name}");
        assert_eq!(sent.status, 200);
        let counts = sent.header("Larder-Rewritten-Urls").expect("a field");
        let changed = said.split_once(": ").expect("a name").1;
        let changed = changed.split(' ').next().expect("a number");
        assert!(
            counts.starts_with(&format!("changed={changed}, already=0,")),
            "{name}: {counts}"
        );

        // To another larder, and escaped as a form has it.
        let other = "?to=http%3A%2F%2Flocalhost%3A1&from=http%3A%2F%2Flarder.example%3A3141";
        let moved = town.send(other, by_command.as_bytes());
        let expected = by_command.replace("http://larder.example:3141", "http://localhost:1");
        assert_eq!(moved.text(), expected, "{name}");
    }
    assert!(
        town.larder
            .log()
            .contains("path=/-/rewrite-lock status=200")
    );
    assert!(
        !town.larder.log().contains("larder.example"),
        "the query is not logged"
    );
}

#[test]
fn a_lock_for_which_nothing_can_be_done_is_refused_and_nothing_private_is_told() {
    let town = Town::new();
    let to = "?to=http://larder.example:3141";
    let own = format!(
        "[[package]]\nurl = \"{}/pypi/simple/\"\n",
        town.larder.url()
    );
    let foreign = Lock::Uv.text();
    let large = vec![b'x'; (8 << 20) + 1];
    for (query, lock, status, why) in [
        ("", foreign.as_bytes(), 400, "?to="),
        ("?to=upstream", own.as_bytes(), 400, "the way back"),
        (
            "?to=http://user:word@larder.example",
            own.as_bytes(),
            400,
            "credential",
        ),
        (to, foreign.as_bytes(), 422, "files.example"),
        (to, b"\xff\xfe", 400, "UTF-8"),
        (to, large.as_slice(), 413, "limits.lock_size"),
    ] {
        let refused = town.send(query, lock);
        assert_eq!(refused.status, status, "{query}: {refused:?}");
        assert!(refused.reason.contains(why), "{query}: {refused:?}");
        assert!(!refused.text().contains(town.index.origin()), "{refused:?}");
    }
    let larder = town.larder.client();
    let read = larder.get("/-/rewrite-lock");
    assert_eq!((read.status, read.header("Allow")), (405, Some("POST")));
    let page = larder.header("Origin", "https://other.example");
    let by_a_page = page.post(
        &format!("/-/rewrite-lock{to}"),
        "text/plain",
        own.as_bytes(),
    );
    assert_eq!(by_a_page.status, 403, "{by_a_page:?}");
    assert_eq!(
        town.index.log().entries().len(),
        0,
        "nothing is asked for it"
    );
}

#[test]
fn what_a_lock_costs_is_bounded() {
    let gitlab = GitLab::start();
    let limits = "[limits]\nlock_size = \"2MiB\"\nbody_timeout = \"5s\"\nqueue_timeout = \"500ms\"";
    let larder = Larder::builder(&gitlab).sections(limits).start();
    let client = larder.client();
    let path = "/-/rewrite-lock?to=http://larder.example";
    // As many URLs as there can be.
    let urls = "http://a\n".repeat(200_000);
    let before = larder.cpu_time();
    let patient = client.clone().patience(Duration::from_secs(60));
    let sent = patient.post(path, "text/plain", urls.as_bytes());
    assert_eq!(sent.status, 422, "{sent:?}");
    // Of the processor, which is the same on a busy machine.
    let used = larder.cpu_time() - before;
    assert!(used < Duration::from_secs(20), "{used:?}");
    // A client that sends nothing has its time, and four of them are as many as are listened to.
    let head = client.head_text("POST", path, &[("Content-Length", "100")]);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut wire = client.connect();
        wire.send(head.as_bytes());
        slow.push(wire);
    }
    std::thread::sleep(Duration::from_secs(1));
    let fifth = client.post(path, "text/plain", b"anvil==1.0\n");
    assert_eq!(fifth.status, 503, "{fifth:?}");
    for wire in &mut slow {
        assert_eq!(wire.reply_to("POST").status, 408);
    }
    let after = client.post(path, "text/plain", b"anvil==1.0\n");
    assert_eq!(after.expect(200), b"anvil==1.0\n");
}
