//! Why a wheel yields no metadata.
//!
//! Must not know what becomes of the wheel: an installer may find it good.

/// The first thing that was not as plain as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableWheel {
    #[error("the file's name is not that of a wheel")]
    FileName,
    #[error("the archive has no end record")]
    NoEnd,
    #[error("the archive does not end with its end record")]
    AfterEnd,
    #[error("the archive can be read from two end records")]
    TwoEnds,
    #[error("the archive is spread over several disks")]
    Disks,
    #[error("the archive's zip64 records contradict the others")]
    Zip64,
    #[error("the archive's directory is not where its end record says")]
    Misplaced,
    #[error("the archive's directory is larger than the limits")]
    TooMany,
    #[error("the archive's directory is broken")]
    Directory,
    #[error("a member of the archive has a name that readers understand differently")]
    MemberName,
    #[error("two members of the archive have the same name")]
    Duplicate,
    #[error("members of the archive overlap")]
    Overlap,
    #[error("a member of the archive is encrypted, or packed in a way that is not read here")]
    Packing,
    #[error("the archive has no METADATA in a .dist-info folder")]
    NoMetadata,
    #[error("the archive has several .dist-info folders or METADATA files")]
    Ambiguous,
    #[error("the .dist-info folder is another project's or version's")]
    OtherFolder,
    #[error("METADATA is larger than the limit")]
    TooLarge,
    #[error("METADATA's own header contradicts the directory")]
    LocalHeader,
    #[error("METADATA cannot be unpacked to what the directory promises")]
    Content,
    #[error("METADATA is not a list of header fields in UTF-8")]
    Fields,
    #[error("METADATA names another project or version than the file's name")]
    OtherProject,
    #[error("bytes were asked for and did not come")]
    Short,
}
