//! What a source distribution says it needs to be built (PEP 518): read, and nothing else.
//!
//! Nothing of the archive is run or written anywhere. Every number in it is a claim, so each loop
//! and each size has a limit. Must not know where the archive comes from, nor who has what it
//! names.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde::Deserialize;

/// The most that an archive may unpack to before its `pyproject.toml` is reached.
const UNPACKED_BYTES_MAX: u64 = 2 << 30;

/// The most members that are looked at.
const MEMBERS_MAX: usize = 200_000;

/// The largest `pyproject.toml`.
const PROJECT_BYTES_MAX: u64 = 1 << 20;

/// The most requirements of one archive.
const REQUIREMENTS_MAX: usize = 200;

/// What a project that says nothing is built with.
const BY_DEFAULT: [&str; 2] = ["setuptools", "wheel"];

#[derive(Debug, thiserror::Error)]
pub enum UnreadableSdist {
    #[error("only .tar.gz source distributions are read for what they are built with")]
    Format,
    #[error("the archive cannot be read: {0}")]
    Archive(#[from] io::Error),
    #[error("the archive is too large to be looked through")]
    TooLarge,
    #[error("its pyproject.toml cannot be read: {0}")]
    Project(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PyProject {
    build_system: Option<BuildSystem>,
}

#[derive(Deserialize)]
struct BuildSystem {
    #[serde(default)]
    requires: Vec<String>,
}

/// Whether a file of this name can be read here.
///
/// # Errors
/// [`UnreadableSdist::Format`] when it cannot.
pub fn check_name(filename: &str) -> Result<(), UnreadableSdist> {
    let lower = filename.to_ascii_lowercase();
    if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
        Ok(())
    } else {
        Err(UnreadableSdist::Format)
    }
}

/// The requirements in `[build-system]` of a `.tar.gz`, read in passing; no more of it is read than
/// is needed.
///
/// # Errors
/// When it cannot be read within the limits.
pub fn requires(archive: impl Read) -> Result<Vec<String>, UnreadableSdist> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(UNPACKED_BYTES_MAX));
    for (at, member) in archive.entries()?.enumerate() {
        if at >= MEMBERS_MAX {
            return Err(UnreadableSdist::TooLarge);
        }
        let mut member = member?;
        if !member.header().entry_type().is_file() || !is_project(&member.path_bytes()) {
            continue;
        }
        let mut text = String::new();
        let mut limited = member.by_ref().take(PROJECT_BYTES_MAX + 1);
        let read = limited.read_to_string(&mut text)?;
        if read as u64 > PROJECT_BYTES_MAX {
            return Err(UnreadableSdist::TooLarge);
        }
        return of_project(&text);
    }
    if archive.into_inner().limit() == 0 {
        Err(UnreadableSdist::TooLarge)
    } else {
        Ok(by_default())
    }
}

/// `NAME-VERSION/pyproject.toml`, at the top of the archive's one folder.
fn is_project(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let mut parts = path.rsplit(|b| *b == b'/');
    matches!(parts.next(), Some(b"pyproject.toml")) && parts.count() == 1
}

fn of_project(text: &str) -> Result<Vec<String>, UnreadableSdist> {
    let project: PyProject =
        toml::from_str(text).map_err(|why| UnreadableSdist::Project(why.message().to_owned()))?;
    let requires = match project.build_system {
        Some(system) => system.requires,
        None => by_default(),
    };
    if requires.len() > REQUIREMENTS_MAX {
        return Err(UnreadableSdist::TooLarge);
    }
    Ok(requires)
}

fn by_default() -> Vec<String> {
    BY_DEFAULT.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(members: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, text) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            archive
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn the_projects_own_table_is_read() {
        let project =
            "[build-system]\nrequires = [\"hatchling>=1.2\", \"tool\"]\n[project]\nname = \"a\"\n";
        let archive = packed(&[("a-1/setup.py", "exit(1)"), ("a-1/pyproject.toml", project)]);
        assert_eq!(
            requires(archive.as_slice()).unwrap(),
            ["hatchling>=1.2", "tool"]
        );
        for none in [
            packed(&[("a-1/setup.py", "")]),
            packed(&[("a-1/pyproject.toml", "[project]\n")]),
        ] {
            assert_eq!(requires(none.as_slice()).unwrap(), BY_DEFAULT);
        }
        let deeper = packed(&[("a-1/vendored/pyproject.toml", project)]);
        assert_eq!(requires(deeper.as_slice()).unwrap(), BY_DEFAULT);
        let broken = packed(&[("a-1/pyproject.toml", "requires = [")]);
        assert!(matches!(
            requires(broken.as_slice()),
            Err(UnreadableSdist::Project(_))
        ));
        let large = packed(&[(
            "a-1/pyproject.toml",
            &" ".repeat(PROJECT_BYTES_MAX as usize + 1),
        )]);
        assert!(matches!(
            requires(large.as_slice()),
            Err(UnreadableSdist::TooLarge)
        ));
        assert!(check_name("a-1.tar.gz").is_ok() && check_name("a-1.zip").is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_archive_is_refused_or_read(at in 0..200usize, byte in any::<u8>(), keep in 0..400usize) {
            let mut archive = packed(&[("a-1/pyproject.toml", "[build-system]\nrequires = [\"x\"]\n")]);
            archive.truncate(keep.max(1));
            let last = archive.len() - 1;
            archive[at.min(last)] = byte;
            let _ = requires(archive.as_slice());
        }
    }
}
