//! The head of an HTTP message, handed on as a whole.
//!
//! tungstenite takes a head that comes in many small reads for an attack and refuses it. So slow a
//! network is rare, but honest; whoever sends that slowly to do harm meets the time limit that
//! shells set on an upgrade.

use futures_util::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A stream whose first read waits until a head is there.
pub(super) struct WholeHead<S> {
    stream: S,
    /// What was read and not handed on.
    head: Vec<u8>,
    is_whole: bool,
}

impl<S> WholeHead<S> {
    /// A head comes first.
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, head: Vec::new(), is_whole: false }
    }

    /// The head is behind us.
    pub(super) const fn passed(stream: S) -> Self {
        Self { stream, head: Vec::new(), is_whole: true }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WholeHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while !this.is_whole {
            let mut space = [0; 1 << 10];
            let length = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut space))?;
            // The end may have begun with the last bytes of an earlier read.
            let unseen = this.head.len().saturating_sub(HEAD_END.len() - 1);
            this.head.extend_from_slice(&space[..length]);
            let is_ended = this.head[unseen..].windows(HEAD_END.len()).any(|end| end == HEAD_END);
            this.is_whole = is_ended || length == 0 || this.head.len() >= HEAD_BYTES_MAX;
        }
        if this.head.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = this.head.len().min(buffer.len());
        buffer[..length].copy_from_slice(&this.head[..length]);
        this.head.drain(..length);
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WholeHead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";
/// More is handed on as it is, for tungstenite to refuse.
const HEAD_BYTES_MAX: usize = 16 << 10;
