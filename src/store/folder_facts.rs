//! What a disk is like on which a cache folder lies, or will lie: for `doctor`.
//!
//! Nothing is made but one file without a name, which is gone with this process. Blocks, for as
//! long as writing a few MiB takes. Must not judge.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{fstatfs, fstatvfs};

use crate::values::clock;

/// Written to see how fast the disk is. Enough to tell a disk from a share on a slow line, little
/// enough for 5 seconds.
const SAMPLE_BYTES: usize = 8 << 20;

/// Of the sample, at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What was found.
#[derive(Debug)]
pub struct FolderFacts {
    /// The folder that was looked at: the nearest one above that is there, if it is not.
    pub looked_at: PathBuf,
    pub is_there: bool,
    /// User's number, and the lowest nine bits of its mode.
    pub owner: u32,
    pub mode: u32,
    pub filesystem: Filesystem,
    pub free_bytes: u64,
    /// Zero where the file system does not count them.
    pub inodes: u64,
    pub free_inodes: u64,
    /// How fast it is, or why nothing can be written.
    pub speed: Result<DiskSpeed, String>,
}

/// Of the sample.
#[derive(Clone, Copy, Debug)]
pub struct DiskSpeed {
    pub bytes: u64,
    /// Until it was safe on the disk.
    pub written_in: Duration,
    /// Most likely from memory.
    pub read_in: Duration,
}

/// The kinds of file system that behave in a way of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// On another machine: locks and renames may mean something else.
    Network(&'static str),
    /// Gone with the next start, and in the way of other memory.
    Memory,
    /// A container's own layer: gone with the container.
    Overlay,
    /// Any other, by its number.
    Local(u64),
}

impl Filesystem {
    /// By the number that statfs(2) gives.
    pub fn of(magic: u64) -> Self {
        match magic & 0xffff_ffff {
            0x6969 => Self::Network("NFS"),
            0xff53_4d42 | 0xfe53_4d42 | 0x517b => Self::Network("SMB"),
            0x0102_1997 => Self::Network("9p"),
            0x00c3_6400 => Self::Network("Ceph"),
            0x5346_414f => Self::Network("AFS"),
            0x0bd0_0bd0 => Self::Network("Lustre"),
            0x6573_5546 => Self::Network("FUSE"),
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            0x794c_7630 => Self::Overlay,
            other => Self::Local(other),
        }
    }
}

impl FolderFacts {
    /// Looks at a folder, or at the nearest one above it that is there.
    ///
    /// # Errors
    /// A sentence, when there is no folder to look at.
    pub fn find(dir: &Path) -> Result<Self, String> {
        // What is left of a relative path is the folder that this process is in.
        let mut above = dir.ancestors();
        let looked_at = above.find(|above| above.is_dir()).unwrap_or(Path::new("."));
        let found = Self::look(dir, looked_at);
        found.map_err(|why| format!("{}: {why}", looked_at.display()))
    }

    fn look(dir: &Path, looked_at: &Path) -> io::Result<Self> {
        let folder = File::open(looked_at)?;
        let about = fs::metadata(looked_at)?;
        let space = fstatvfs(&folder)?;
        let kind = fstatfs(&folder)?.f_type;
        let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        Ok(Self {
            is_there: dir.is_dir(),
            owner: about.uid(),
            mode: about.mode() & 0o777,
            filesystem: Filesystem::of(u64::from_ne_bytes(kind.to_ne_bytes())),
            free_bytes,
            inodes: space.f_files,
            free_inodes: space.f_favail,
            speed: sample(looked_at, free_bytes).map_err(|why| why.to_string()),
            looked_at: looked_at.to_owned(),
        })
    }
}

/// Writes and reads a little, and no more than a tenth of what is free: a daemon may need the rest.
fn sample(folder: &Path, free_bytes: u64) -> io::Result<DiskSpeed> {
    let tenth = usize::try_from(free_bytes / 10).unwrap_or(usize::MAX);
    let pieces = (tenth / PIECE_BYTES).clamp(1, SAMPLE_BYTES / PIECE_BYTES);
    // Not zeros: some file systems keep those in no time.
    let mut piece = vec![0_u8; PIECE_BYTES];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut piece);
    let mut file = tempfile::tempfile_in(folder)?;
    let begun = clock::now();
    for _ in 0..pieces {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let written_in = begun.elapsed();
    file.seek(SeekFrom::Start(0))?;
    let begun = clock::now();
    while file.read(&mut piece)? > 0 {}
    Ok(DiskSpeed {
        bytes: (pieces * PIECE_BYTES) as u64,
        written_in,
        read_in: begun.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().expect("a folder");
        let absent: PathBuf = [dir.path(), Path::new("a"), Path::new("b")]
            .iter()
            .collect();
        let facts = FolderFacts::find(&absent).expect("facts");
        assert!(!facts.is_there && facts.looked_at == dir.path() && facts.free_bytes > 0);
        assert!(
            facts
                .speed
                .is_ok_and(|speed| speed.bytes == SAMPLE_BYTES as u64)
        );
        assert!(
            !absent.exists() && fs::read_dir(dir.path()).is_ok_and(|mut all| all.next().is_none())
        );
        assert!(FolderFacts::find(dir.path()).is_ok_and(|facts| facts.is_there));
    }

    #[test]
    fn file_systems_with_ways_of_their_own_are_known() {
        assert_eq!(Filesystem::of(0x6969), Filesystem::Network("NFS"));
        assert_eq!(
            Filesystem::of(0xffff_ffff_ff53_4d42),
            Filesystem::Network("SMB")
        );
        assert_eq!(Filesystem::of(0x0102_1994), Filesystem::Memory);
        assert_eq!(Filesystem::of(0xef53), Filesystem::Local(0xef53));
    }
}
