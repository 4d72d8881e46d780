//! Frames over plain TCP, written together where there are several.

use crate::runtime::prepare;
use bytes::{Buf, Bytes};
use relay_core::CloseReason;
use relay_driver::Transport;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection.
pub struct Tcp(TcpStream);

impl Tcp {
    /// A connection that carries bare frames, whoever made it.
    pub fn new(socket: TcpStream) -> Self {
        prepare(&socket);
        Self(socket)
    }
}

impl Transport for Tcp {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        READ_SPACE.with_borrow_mut(|space| {
            let mut buffer = ReadBuf::new(&mut space[..]);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(queue.iter()) {
                *slice = IoSlice::new(frame);
                count += 1;
            }
            let socket = Pin::new(&mut self.0);
            let mut written = ready!(socket.poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(frame) = queue.front_mut().filter(|_| written > 0) {
                let part = frame.len().min(written);
                frame.advance(part);
                written -= part;
                queue.pop_front_if(|frame| frame.is_empty());
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

thread_local! {
    /// Shared by all links of a thread, so that an idle link holds no read buffer.
    static READ_SPACE: RefCell<Box<[u8; READ_BYTES]>> = RefCell::new(Box::new([0; READ_BYTES]));
}

const READ_BYTES: usize = 64 << 10;
const SLICES_MAX: usize = 64;
