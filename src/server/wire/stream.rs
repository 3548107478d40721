//! One connection's bytes, over TCP or a unix socket.
//!
//! Must not know what they mean.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Read at a time of a file that the kernel cannot send by itself.
const COPIED_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub enum ClientStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It is still there to be read.
    Byte(u8),
    /// The client has left, as a balancer does that only looks whether a process listens.
    End,
    /// Nothing within the limit.
    Silence,
}

impl ClientStream {
    pub async fn first_byte(&self, limit: Duration) -> First {
        // Not `readable()`: it may say yes, and on a fresh socket does, when there is nothing yet.
        let mut first = [0];
        let read = match self {
            Self::Tcp(stream) => timeout(limit, stream.peek(&mut first)).await,
            Self::Unix(stream) => {
                let peek = || Ok(recv(stream, &mut first, RecvFlags::PEEK).map(|(read, _)| read)?);
                timeout(limit, stream.async_io(Interest::READABLE, peek)).await
            }
        };
        match read {
            Ok(Ok(1)) => First::Byte(first[0]),
            Ok(_) => First::End,
            Err(_) => First::Silence,
        }
    }

    /// Sends bytes of a file from the page cache; the client sees an end of the connection where
    /// the file has become shorter.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(self.poll_write_by(cx, |socket| {
            let mut offset = offset;
            match sendfile(socket, file, Some(&mut offset), length) {
                // Not every file system offers it.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    let mut copied = [0; COPIED_BYTES];
                    let read = file.read_at(&mut copied[..length.min(COPIED_BYTES)], offset)?;
                    Ok(send(socket, &copied[..read], SendFlags::NOSIGNAL)?)
                }
                sent => Ok(sent?),
            }
        }))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends bytes that more will follow at once (`MSG_MORE`).
    pub fn poll_send_more(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_write_by(cx, |socket| {
            let mut nothing = SendAncillaryBuffer::default();
            Ok(sendmsg(socket, slices, &mut nothing, flags)?)
        })
    }

    /// Writes by a call of this kind, when the socket takes something.
    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || write(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || write(stream.as_fd()))
                }
            };
            match written {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
