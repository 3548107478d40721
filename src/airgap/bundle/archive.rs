//! The tar that a bundle is: every header and every padding byte a function of name and size.
//!
//! Must not know what the entries are.

use tar::Header;

/// A tar is made of blocks of so many bytes.
pub const BLOCK_BYTES: usize = 512;

/// What ends a tar: two blocks of zeros.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Every user of the machine that unpacks may read.
const MODE: u32 = 0o644;

/// The only header that an entry of this name and size may have. `None` for a name that does not
/// fit.
pub fn header(name: &str, size: u64) -> Option<[u8; BLOCK_BYTES]> {
    let mut header = Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_size(size);
    header.set_mode(MODE);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Some(*header.as_bytes())
}

/// The size that a header gives, for an entry whose size nothing else tells.
pub fn size_of(header: &[u8; BLOCK_BYTES]) -> Option<u64> {
    let mut read = Header::new_ustar();
    read.as_mut_bytes().copy_from_slice(header);
    read.entry_size().ok()
}

/// Zeros behind an entry of this size.
pub fn padding(size: u64) -> usize {
    let over = (size % BLOCK_BYTES as u64) as usize;
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

/// What an entry of this size takes in the tar, in bytes.
pub fn entry_bytes(size: u64) -> u64 {
    size.saturating_add(BLOCK_BYTES as u64 + padding(size) as u64)
}
