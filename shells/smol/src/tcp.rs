//! Frames over plain TCP, written together where there are several.

use crate::runtime::prepare;
use bytes::Bytes;
use futures_util::{AsyncRead, AsyncWrite};
use relay_core::CloseReason;
use relay_driver::{Transport, poll_write_frames, with_read_space};
use smol::net::TcpStream;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A TCP connection.
pub struct Tcp(TcpStream);

impl Tcp {
    /// A connection that carries bare frames, whoever made it.
    #[must_use]
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
            let length = ready!(Pin::new(&mut self.0).poll_read(cx, space))?;
            take(&space[..length]);
            Poll::Ready(Ok(length > 0))
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
        Pin::new(&mut self.0).poll_close(cx)
    }
}
