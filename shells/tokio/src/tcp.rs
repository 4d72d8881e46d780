//! Frames over plain TCP, written together where there are several.

use crate::runtime::prepare;
use bytes::Bytes;
use relay_core::CloseReason;
use relay_driver::{Transport, poll_write_frames, with_read_space};
use std::collections::VecDeque;
use std::io;
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
        with_read_space(|space| {
            let mut buffer = ReadBuf::new(space);
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
        let mut socket = Pin::new(&mut self.0);
        poll_write_frames(queue, |slices| socket.as_mut().poll_write_vectored(cx, slices))
    }

    fn poll_close(&mut self, _: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
