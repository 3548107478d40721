//! A connection's stream that sends pieces of files from the page cache, without copying them
//! (`sendfile(2)`).
//!
//! What it is given to write is memory, or stands for a piece of a file (`server/piece.rs`). A head
//! before such a piece goes out with `MSG_MORE`, so that both share a segment. Must not know what
//! is sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::ClientStream;
use crate::server::piece::FilePieces;

pub struct FileStream {
    stream: ClientStream,
    pieces: Arc<FilePieces>,
}

impl FileStream {
    pub fn new(stream: ClientStream, pieces: Arc<FilePieces>) -> Self {
        Self { stream, pieces }
    }
}

impl AsyncRead for FileStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for FileStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let filled = slices.iter().position(|slice| !slice.is_empty());
        let slices = &slices[filled.unwrap_or(0)..];
        let Some(first) = slices.first() else {
            return Poll::Ready(Ok(0));
        };
        if let Some(next) = this.pieces.in_place_of(first)? {
            let length = first.len();
            let sent = ready!(
                this.stream
                    .poll_send_file(cx, &next.file, next.offset, length)
            )?;
            this.pieces.sent(&next, sent);
            return Poll::Ready(Ok(sent));
        }
        let piece = slices
            .iter()
            .position(|slice| FilePieces::stands_for_file(slice));
        match piece {
            Some(memory) => this.stream.poll_send_more(cx, &slices[..memory]),
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
