//! Looks into a cache folder from outside: which files are there, which are not what their names
//! say, which hold a secret.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::wheel::hex;

/// A file below `content-v2/sha256`, whose path spells the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub path: PathBuf,
    pub bytes: u64,
    /// The digest its path spells.
    pub named: String,
    /// The digest of what is in it.
    pub actual: String,
}

impl Blob {
    pub fn is_right(&self) -> bool {
        self.named == self.actual
    }
}

/// Everything below a cache folder at one moment. Files that vanish meanwhile are left out.
#[derive(Clone, Debug)]
pub struct StoreListing {
    root: PathBuf,
    /// Below the folder, sorted.
    pub files: Vec<PathBuf>,
    pub blobs: Vec<Blob>,
}

impl StoreListing {
    pub fn of(cache_dir: &Path) -> Self {
        let mut files = Vec::new();
        walk(cache_dir, &mut files);
        files.sort();
        let blobs = files.iter().filter_map(|path| blob(path)).collect();
        Self {
            root: cache_dir.to_owned(),
            files,
            blobs,
        }
    }

    pub fn wrong(&self) -> Vec<&Blob> {
        self.blobs.iter().filter(|blob| !blob.is_right()).collect()
    }

    #[track_caller]
    pub fn assert_every_blob_is_right(&self) {
        assert!(
            self.wrong().is_empty(),
            "stored under a digest that is not theirs: {:#?}",
            self.wrong()
        );
    }

    /// The blob stored under this digest, in lower case.
    pub fn blob(&self, sha256: &str) -> Option<&Blob> {
        self.blobs.iter().find(|blob| blob.named == sha256)
    }

    /// Whether a digest names a stored blob or is the true digest of one.
    pub fn holds(&self, sha256: &str) -> bool {
        self.blobs
            .iter()
            .any(|blob| blob.named == sha256 || blob.actual == sha256)
    }

    /// Files that are no blobs: index, spool, locks.
    pub fn others(&self) -> Vec<&Path> {
        let is_blob = |path: &Path| self.blobs.iter().any(|blob| blob.path == path);
        self.files
            .iter()
            .map(PathBuf::as_path)
            .filter(|path| !is_blob(path))
            .collect()
    }

    /// All bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Files with the needle in their content or in their path below the folder.
    pub fn containing(&self, needle: &str) -> Vec<&Path> {
        let holds = |path: &&Path| {
            let name = path
                .strip_prefix(&self.root)
                .unwrap_or(path)
                .to_string_lossy()
                .contains(needle);
            name || std::fs::read(path).is_ok_and(|content| contains(&content, needle.as_bytes()))
        };
        self.files
            .iter()
            .map(PathBuf::as_path)
            .filter(holds)
            .collect()
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), files),
            Ok(_) => files.push(entry.path()),
            Err(_) => {}
        }
    }
}

fn blob(path: &Path) -> Option<Blob> {
    let text = path.to_str()?;
    let (_, named) = text.split_once("/content-v2/sha256/")?;
    let content = std::fs::read(path).ok()?;
    Some(Blob {
        path: path.to_owned(),
        bytes: content.len() as u64,
        named: named.replace('/', ""),
        actual: hex(&Sha256::digest(&content)),
    })
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return true;
    };
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
