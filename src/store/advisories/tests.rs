//! A folder, a zip and lines say the same, and what holds no record is a fault.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, File};
use std::io::Write;

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
    let loaded = LoadedAdvisories::read(&folder)?;
    check(&loaded)?;
    assert_eq!(loaded.set.counts.unreadable, 1);
    assert!(loaded.unreadable[0].starts_with("broken.json: "));

    let lines = dir.path().join("records.jsonl");
    let mut out = File::create(&lines)?;
    loaded.write_lines(&mut out)?;
    writeln!(out, "\n  \nnot json")?;
    drop(out);
    let loaded = LoadedAdvisories::read(&lines)?;
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
        let loaded = LoadedAdvisories::read(&zip)?;
        check(&loaded)?;
        assert_eq!(loaded.set.counts.unreadable, 1);
    }
    Ok(())
}

#[test]
fn what_holds_no_record_is_a_fault() -> Checked {
    let dir = tempfile::tempdir()?;
    let absent = LoadedAdvisories::read(&dir.path().join("absent"));
    assert!(matches!(absent, Err(AdvisoryError::Unreadable { .. })));
    let empty = LoadedAdvisories::read(dir.path());
    assert!(matches!(empty, Err(AdvisoryError::Empty { .. })));
    let page = dir.path().join("all.zip");
    fs::write(&page, "<html>no such object</html>\n")?;
    let why = LoadedAdvisories::read(&page).expect_err("a page");
    assert!(why.to_string().contains("(line 1: "), "{why}");
    fs::write(&page, "PK\x03\x04 cut short")?;
    let cut = LoadedAdvisories::read(&page);
    assert!(matches!(cut, Err(AdvisoryError::Zip { .. })));
    Ok(())
}
