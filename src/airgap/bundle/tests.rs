//! The format as a whole: what is written is read back, and nothing else is.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::values::digest::Digest;

type Checked = Result<(), Box<dyn std::error::Error>>;

/// The contents of a bundle by digest, and the bundle's plan.
struct Example {
    contents: BTreeMap<Digest, Vec<u8>>,
    plan: BundlePlan,
}

fn example(bodies: &[Vec<u8>], parts: u32) -> Result<Example, BundleError> {
    let mut contents = BTreeMap::new();
    let mut keep = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        contents.insert(digest, bytes.to_vec());
        (digest, bytes.len() as u64)
    };
    let mut files = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let (sha256, size) = keep(body);
        let metadata =
            (number % 2 == 0).then(|| keep(format!("Name: a\nVersion: {number}\n").as_bytes()));
        let filename = format!("a-{number}-py3-none-any.whl");
        files.push(FileLine {
            scope: "pypi".to_owned(),
            address: format!("/pypi/packages/{number:04}/{filename}"),
            project: "a".to_owned(),
            version: Some(number.to_string()),
            filename,
            sha256,
            size,
            origin: Some("https://files.example/a".to_owned()),
            requires_python: Some(">=3.9".to_owned()),
            yanked: (number % 3 == 0).then(String::new),
            upload_time: None,
            first_seen: None,
            metadata: metadata.map(|(sha256, size)| MetadataLine {
                sha256,
                size,
                verified: true,
            }),
        });
    }
    let (sha256, size) = keep(b"{\"files\":[]}");
    let page = PageLine {
        scope: "pypi".to_owned(),
        project: "a".to_owned(),
        address: "/pypi/simple/a/".to_owned(),
        sha256,
        size,
    };
    let mut manifest = Manifest::new(files, vec![page])?;
    let mut next = 0;
    manifest.place(|_| {
        next += 1;
        Some(1 + next % parts)
    });
    let plan = BundlePlan::new(
        manifest,
        parts,
        None,
        None,
        "2026-01-01T00:00:00Z".to_owned(),
    )?;
    Ok(Example { contents, plan })
}

fn write(example: &Example, part: u32, signature: Option<&[u8]>) -> Result<Vec<u8>, BundleError> {
    let front = example.plan.front(part)?;
    let mut writer = BundleWriter::begin(Vec::new(), &example.plan, &front, signature)?;
    for item in items(example.plan.manifest(), Some(part)) {
        let body = example
            .contents
            .get(&item.sha256())
            .cloned()
            .unwrap_or_default();
        writer.item(item)?;
        body.chunks(700).try_for_each(|chunk| writer.write(chunk))?;
        writer.end()?;
    }
    writer.finish()
}

/// Everything that is in it.
fn read(bundle: &[u8]) -> Result<(VerifiedFront, BTreeMap<Digest, Vec<u8>>), BundleError> {
    let (opening, mut reader) = BundleReader::open(bundle)?;
    let mut found = BTreeMap::new();
    for item in items(&opening.manifest, Some(opening.description.part.number)) {
        let mut body = Vec::new();
        reader.item(&item, |chunk| {
            body.extend_from_slice(chunk);
            Ok(())
        })?;
        found.insert(item.sha256(), body);
    }
    reader.finish()?;
    Ok((opening, found))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read_back(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..6),
        parts in 1..4u32,
        signature in prop::option::of(prop::collection::vec(any::<u8>(), 1..600)),
    ) {
        let example = example(&bodies, parts).map_err(|why| TestCaseError::fail(why.to_string()))?;
        let mut found = BTreeMap::new();
        for part in 1..=parts {
            let bundle = write(&example, part, signature.as_deref()).map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(bundle.len() % 512, 0);
            let (opening, contents) = read(&bundle).map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(&opening.manifest, example.plan.manifest());
            prop_assert_eq!(opening.description.id, example.plan.id());
            prop_assert_eq!(opening.description.part, Part { number: part, of: parts });
            prop_assert_eq!(&opening.signature, &signature);
            found.extend(contents);
        }
        prop_assert_eq!(found, example.contents);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn every_flipped_byte_is_refused_by_name() -> Checked {
    let example = example(&[b"one".to_vec(), vec![7; 600]], 1)?;
    let mut bundle = write(&example, 1, None)?;
    for index in 0..bundle.len() {
        for bit in [0x01, 0x80] {
            bundle[index] ^= bit;
            let why = read(&bundle)
                .err()
                .ok_or_else(|| format!("byte {index} may be flipped"))?
                .to_string();
            bundle[index] ^= bit;
            let named = [
                "bundle.json",
                "manifest.jsonl",
                "contents.sha256",
                "manifest.sha256",
                "pages/",
                "blobs/",
                "the end",
            ];
            assert!(
                named.iter().any(|name| why.contains(name)),
                "byte {index}: {why}"
            );
        }
    }
    assert!(read(&bundle).is_ok());
    Ok(())
}

#[test]
fn a_cut_and_a_longer_bundle_are_refused() -> Checked {
    let example = example(&[b"one".to_vec(), vec![7; 600]], 1)?;
    let mut bundle = write(&example, 1, Some(b"signature"))?;
    for length in 0..bundle.len() {
        let why = read(&bundle[..length])
            .err()
            .ok_or_else(|| format!("{length} bytes are enough"))?;
        assert!(
            matches!(why, BundleError::Cut(_) | BundleError::End(_)),
            "{length}: {why}"
        );
    }
    for more in [&b"\0"[..], b"x", &[0; 512], &[0; 10240]] {
        let whole = bundle.len();
        bundle.extend_from_slice(more);
        assert!(matches!(read(&bundle), Err(BundleError::End(_))));
        bundle.truncate(whole);
    }
    Ok(())
}

#[test]
fn wrong_bytes_are_not_written() -> Checked {
    let example = example(&[b"one".to_vec()], 1)?;
    for body in [&b"two"[..], b"on", b"onee"] {
        let front = example.plan.front(1)?;
        let mut writer = BundleWriter::begin(Vec::new(), &example.plan, &front, None)?;
        let blob = Item::Blob {
            sha256: Digest::of(b"one"),
            size: 3,
        };
        writer.item(blob.clone())?;
        let why = writer
            .write(body)
            .and_then(|()| writer.end())
            .err()
            .map(|why| why.to_string());
        assert!(why.is_some_and(|why| why.contains(&blob.name())));
    }
    Ok(())
}

#[test]
fn odd_manifests_are_refused() -> Checked {
    let example = example(&[b"one".to_vec()], 1)?;
    let good = String::from_utf8(example.plan.manifest().to_lines()?)?;
    assert!(Manifest::read(good.as_bytes()).is_ok());
    let table = [
        ("/pypi/packages/0000/", "/pypi/../../"),
        ("/pypi/packages/0000/", "/pypi/packages/%30000/../"),
        ("/pypi/packages/0000/a-0", "/pypi/packages/0000/a-1"),
        (
            "\"address\":\"/pypi/packages/",
            "\"address\":\"/other/packages/",
        ),
        ("/pypi/simple/a/", "/pypi/simple/b/"),
        ("\"size\":3", "\"size\":4"),
        ("\"part\":1", "\"part\":0"),
        ("\"kind\":\"page\"", "\"kind\":\"link\""),
        ("\"project\":\"a\"", "\"project\":\"a\",\"more\":1"),
    ];
    for (from, to) in table {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let why = Manifest::read(bad.as_bytes())
            .err()
            .ok_or_else(|| format!("{to} is taken"))?;
        assert!(why.to_string().contains("manifest.jsonl"), "{why}");
    }
    let twice = format!("{}\n{good}", good.lines().next().unwrap_or_default());
    assert!(Manifest::read(twice.as_bytes()).is_err());
    let long = format!("{}\n", "x".repeat(LINE_BYTES_MAX));
    assert!(Manifest::read(long.as_bytes()).is_err());
    Ok(())
}

#[test]
fn tar_and_sha256sum_agree() -> Checked {
    let example = example(&[b"one".to_vec(), vec![7; 600], Vec::new()], 1)?;
    let dir = tempfile::tempdir()?;
    let bundle = write(&example, 1, None)?;
    let path = dir.path().join("bundle.tar");
    #[expect(clippy::disallowed_methods, reason = "for tar to read")]
    std::fs::write(&path, &bundle)?;
    let tar = |argument: &str| {
        Command::new("tar")
            .arg(argument)
            .arg(&path)
            .arg("-C")
            .arg(dir.path())
            .output()
    };
    let listed = tar("-tf")?;
    assert!(
        listed.status.success() && listed.stderr.is_empty(),
        "{listed:?}"
    );
    let names = String::from_utf8(listed.stdout)?;
    assert!(
        names.starts_with("bundle.json\nmanifest.jsonl\ncontents.sha256\nmanifest.sha256\npages/"),
        "{names}"
    );
    assert!(tar("-xf")?.status.success());
    for list in ["manifest.sha256", "contents.sha256"] {
        let mut check = Command::new("sha256sum");
        check
            .args(["-c", "--strict", list])
            .current_dir(dir.path())
            .stdout(Stdio::null());
        assert!(check.status()?.success(), "{list}");
    }
    Ok(())
}
