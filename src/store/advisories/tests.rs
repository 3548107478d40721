//! A folder, a zip and lines say the same, and what holds no record is a fault.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::*;
use crate::registry::Release;
use crate::simple::ProjectName;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn record(id: &str, name: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "2026-01-01T00:00:00Z", "summary": "né",
            "affected": [{{"package": {{"ecosystem": "PyPI", "name": "{name}"}},
            "versions": ["1.0"]}}]}}"#
    )
}

fn read(feed: &Path) -> Result<LoadedAdvisories, AdvisoryError> {
    LoadedAdvisories::read(&AdvisoryPaths {
        feed: Some(feed.to_owned()),
        own: None,
    })
}

fn check(loaded: &LoadedAdvisories) -> Checked {
    let release = Release::parse("1.0");
    for (id, name) in [("MAL-1", "one"), ("GHSA-2", "two")] {
        let known = loaded.set.of(&ProjectName::parse(name)?);
        assert!(
            known
                .iter()
                .any(|one| &*one.id == id && one.affects(Some(&release)))
        );
        let again = loaded.record(id)?.ok_or("a record")?;
        let again: serde_json::Value = serde_json::from_slice(&again)?;
        assert_eq!(again["id"], id);
    }
    assert!(loaded.record("MAL-9")?.is_none());
    Ok(())
}

#[test]
fn a_folder_a_zip_and_lines_say_the_same() -> Checked {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("osv");
    fs::create_dir_all(folder.join("pypi/deep"))?;
    fs::write(folder.join("one.json"), record("MAL-1", "one"))?;
    fs::write(folder.join("pypi/deep/two.json"), record("GHSA-2", "two"))?;
    fs::write(folder.join("broken.json"), "{\"id\": ")?;
    fs::write(folder.join("README.md"), "not looked at")?;
    let loaded = read(&folder)?;
    check(&loaded)?;
    assert_eq!(loaded.set.counts.unreadable, 1);
    assert!(loaded.unreadable[0].starts_with("broken.json: "));

    let lines = dir.path().join("records.jsonl");
    let mut out = File::create(&lines)?;
    loaded.write_lines(&mut out)?;
    writeln!(out, "\n  \nnot json")?;
    drop(out);
    let loaded = read(&lines)?;
    check(&loaded)?;
    assert_eq!(loaded.set.counts.unreadable, 1);
    assert!(
        loaded.unreadable[0].starts_with("line 5: "),
        "{:?}",
        loaded.unreadable
    );

    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        let zip = dir.path().join("all.zip");
        let mut out = zip::ZipWriter::new(File::create(&zip)?);
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, text) in [
            ("MAL-1.json", record("MAL-1", "one")),
            ("x/GHSA-2.json", record("GHSA-2", "two")),
            ("x/broken.json", "{".to_owned()),
            ("LICENSE", "not looked at".to_owned()),
        ] {
            out.start_file(name, options)?;
            out.write_all(text.as_bytes())?;
        }
        out.add_directory("y.json/", options)?;
        out.finish()?;
        let loaded = read(&zip)?;
        check(&loaded)?;
        assert_eq!(loaded.set.counts.unreadable, 1);
    }
    Ok(())
}

#[test]
fn what_holds_no_record_is_a_fault() -> Checked {
    let dir = tempfile::tempdir()?;
    let absent = read(&dir.path().join("absent"));
    assert!(matches!(absent, Err(AdvisoryError::Unreadable { .. })));
    let empty = read(dir.path());
    assert!(matches!(empty, Err(AdvisoryError::Empty { .. })));
    let page = dir.path().join("all.zip");
    fs::write(&page, "<html>no such object</html>\n")?;
    let why = read(&page).expect_err("a page");
    assert!(why.to_string().contains("(line 1: "), "{why}");
    fs::write(&page, "PK\x03\x04 cut short")?;
    let cut = read(&page);
    assert!(matches!(cut, Err(AdvisoryError::Zip { .. })));
    Ok(())
}

/// Records of one's own count beside a feed's and are found again; they do not make it younger, and
/// need not be any.
#[test]
fn ones_own_count_beside_those_of_a_feed() -> Checked {
    let dir = tempfile::tempdir()?;
    let paths = AdvisoryPaths {
        feed: Some(dir.path().join("feed.jsonl")),
        own: Some(dir.path().join("own")),
    };
    let feed = dir.path().join("feed.jsonl");
    let line = record("GHSA-2", "two").replace('\n', " ");
    fs::write(
        &feed,
        format!("{line}\n{}\n", line.replace("GHSA-2", "GHSA-3")),
    )?;
    let week_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    File::options()
        .write(true)
        .open(&feed)?
        .set_modified(week_ago)?;
    let absent = LoadedAdvisories::read(&paths);
    assert!(matches!(absent, Err(AdvisoryError::Unreadable { .. })));
    fs::create_dir(dir.path().join("own"))?;
    let loaded = LoadedAdvisories::read(&paths)?;
    assert_eq!(loaded.set.counts.malware, 0, "an empty folder is no fault");
    fs::write(dir.path().join("own/one.json"), record("MAL-1", "one"))?;
    let loaded = LoadedAdvisories::read(&paths)?;
    check(&loaded)?;
    assert!(loaded.dated <= week_ago, "{:?}", loaded.dated);
    let mut lines = Vec::new();
    loaded.write_lines(&mut lines)?;
    assert_eq!(lines.split(|byte| *byte == b'\n').count(), 4);
    let alone = AdvisoryPaths {
        feed: None,
        ..paths
    };
    assert_eq!(LoadedAdvisories::read(&alone)?.set.counts.malware, 1);
    Ok(())
}
