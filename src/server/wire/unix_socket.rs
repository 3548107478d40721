//! A unix socket that clients connect to by its path.
//!
//! Owns the file: a dead owner's is replaced, a living one's left alone, its own removed. Must not
//! know what is said over it. The control socket, which lies in the cache folder, is the store's.

#![expect(
    clippy::disallowed_methods,
    reason = "the file is an address; nothing is stored in it"
)]

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use tokio::net::UnixListener;

use super::socket_mode::SocketMode;

/// Clients that may wait to be accepted; the kernel's own bound (`net.core.somaxconn`) may be
/// lower.
const BACKLOG: i32 = 1024;

/// The file of a socket that this process listens on; removed with this.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: another owner may have put its own there since.
    identity: (u64, u64),
}

/// Listens at a path.
///
/// # Errors
/// When something that is no socket lies there, a process listens on it, or the folder cannot be written.
pub fn open(path: &Path, mode: SocketMode) -> io::Result<(UnixListener, SocketFile)> {
    clear(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let (device, inode) = identity(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: (device, inode),
    };
    // Before the first client can be taken, so that there is no moment at which another user gets
    // in.
    fs::set_permissions(path, fs::Permissions::from_mode(mode.0))?;
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Removes what a dead owner left.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    if !found.file_type().is_socket() {
        let why = "something that is not a socket lies there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    // Without waiting: the queue of an owner that hangs is full for ever.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::AGAIN) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        // Not ours to connect to: a process may well listen there.
        Err(why) => Err(why.into()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.identity)
            && let Err(why) = fs::remove_file(&self.path)
        {
            tracing::debug!(error = %why, path = %self.path.display(), "cannot remove the socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn an_owner_that_takes_nobody_is_not_waited_for() -> Checked {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("larder.sock");
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(&path)?)?;
        listen(&socket, 0)?;
        let _waits = UnixStream::connect(&path)?;
        assert_eq!(
            clear(&path).err().map(|why| why.kind()),
            Some(io::ErrorKind::AddrInUse)
        );
        assert!(path.exists());
        Ok(())
    }

    #[tokio::test]
    async fn a_dead_owners_socket_is_replaced_and_a_living_ones_is_not() -> Checked {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("larder.sock");
        drop(std::os::unix::net::UnixListener::bind(&path)?);
        assert!(path.exists(), "what a killed owner leaves");
        let (listener, file) = open(&path, SocketMode(0o640))?;
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o7777, 0o640);
        UnixStream::connect(&path)?;
        let second = open(&path, SocketMode::default());
        assert_eq!(
            second.err().map(|why| why.kind()),
            Some(io::ErrorKind::AddrInUse)
        );
        drop((listener, file));
        assert!(!path.exists());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_no_socket_stays_and_so_does_a_successors() -> Checked {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("larder.sock");
        fs::write(&path, "precious")?;
        let refused = open(&path, SocketMode::default());
        assert_eq!(
            refused.err().map(|why| why.kind()),
            Some(io::ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read_to_string(&path)?, "precious");
        fs::remove_file(&path)?;
        let (_listener, file) = open(&path, SocketMode::default())?;
        fs::rename(&path, dir.path().join("moved"))?;
        let _successor = std::os::unix::net::UnixListener::bind(&path)?;
        drop(file);
        assert!(path.exists());
        Ok(())
    }
}
