//! The unix socket inside the cache folder over which the daemon takes commands.
//!
//! A socket's path has room for 107 bytes, a cache folder's may be longer: it is reached by way of
//! the opened folder, `/proc/self/fd/N/…`. Owns its name, its mode and its removal. Must not know
//! what is said over it.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, chmodat, unlinkat};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

use super::layout::CONTROL_SOCKET;

/// Clients that may wait for the daemon to accept them.
const BACKLOG: i32 = 128;

/// Only the folder's owner may connect. The folder itself may be one that others can look into.
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

/// Where the socket of a cache folder is, whether or not a daemon listens.
#[derive(Debug)]
pub struct ControlSocket {
    folder: File,
}

impl ControlSocket {
    /// # Errors
    /// When the folder cannot be opened.
    pub fn of(cache_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            folder: File::open(cache_dir)?,
        })
    }

    /// A path to connect to, good for as long as this lives.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{CONTROL_SOCKET}", self.folder.as_raw_fd()).into()
    }

    /// Listens, in place of whatever lies there: only for the holder of the folder's lock, which
    /// proves that no process listens on what a killed daemon left behind.
    ///
    /// # Errors
    /// When the file system has no sockets, or the folder cannot be written.
    pub fn listen(&self) -> io::Result<UnixListener> {
        self.remove()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(self.path())?)?;
        // Before the first client can be taken, so that there is no moment at which another user
        // gets in.
        chmodat(&self.folder, CONTROL_SOCKET, OWNER_ONLY, AtFlags::empty())?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    }

    /// Removes the socket. While the folder's lock is still held, so that it is not a successor's.
    ///
    /// # Errors
    /// When the folder cannot be written; "not there" is no error.
    pub fn remove(&self) -> io::Result<()> {
        match unlinkat(&self.folder, CONTROL_SOCKET, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_long_folder_has_a_socket_too() -> Checked {
        let dir = tempfile::tempdir()?;
        let mut folder = dir.path().to_owned();
        for _ in 0..4 {
            folder.push("a-part-of-a-path-that-is-a-good-deal-longer-than-most");
        }
        std::fs::create_dir_all(&folder)?;
        let socket = ControlSocket::of(&folder)?;
        assert!(
            UnixStream::connect(socket.path()).is_err(),
            "nobody listens yet"
        );
        let _listener = socket.listen()?;
        UnixStream::connect(ControlSocket::of(&folder)?.path())?;
        Ok(())
    }

    #[test]
    fn it_is_the_owners_alone_and_replaces_a_dead_one() -> Checked {
        let dir = tempfile::tempdir()?;
        let socket = ControlSocket::of(dir.path())?;
        drop(socket.listen()?);
        assert!(
            UnixStream::connect(socket.path()).is_err(),
            "what a killed daemon leaves"
        );
        let _listener = socket.listen()?;
        UnixStream::connect(socket.path())?;
        assert_eq!(
            std::fs::metadata(socket.path())?.permissions().mode() & 0o777,
            0o600
        );
        socket.remove()?;
        assert!(UnixStream::connect(socket.path()).is_err());
        socket.remove()?;
        Ok(())
    }
}
