//! `larder rewrite-lock`: a lock file made without larder installs through it, and comes back as it
//! was.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::locks::{Lock, PROJECT, publish_to};
use crate::support::{Door, GitLab, Larder, PublicIndex, Workbench, python};

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
