//! Frames over TCP, bare or under TLS, written together where there are several.

use crate::complaints::complain;
use crate::first_byte::{From, why_no_link};
use crate::socket::SocketOptions;
use crate::stream::ByteStream;
use crate::tls::of_link;
use bytes::Bytes;
use relay_core::CloseReason;
use relay_driver::{Transport, TransportKind, poll_write_frames, with_read_space};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// A connection that carries bare frames: TCP, or TLS over it.
pub struct Tcp<S = TcpStream> {
    stream: S,
    /// Whose bytes come, until the first one has.
    first: Option<From>,
}

impl<S: ByteStream> Tcp<S> {
    /// A connection that somebody made to this node. Its socket gets the usual options.
    pub fn new(stream: S) -> Self {
        Self::with_options(stream, &SocketOptions::default())
    }

    /// The same with options of your own.
    pub fn with_options(stream: S, options: &SocketOptions) -> Self {
        stream.tcp().inspect(|socket| options.apply(socket));
        Self { stream, first: Some(From::Dialler) }
    }

    /// A connection that this node made, with its options set.
    pub(crate) const fn dialled(stream: S) -> Self {
        Self { stream, first: Some(From::Dialled) }
    }

    /// Notices a mistake in an address by the first byte, which the core could only call a frame of
    /// a wrong length.
    fn check_first(&mut self, first: Option<&u8>) -> io::Result<()> {
        let (Some(first), Some(from)) = (first, self.first.take()) else { return Ok(()) };
        let Some(why) = why_no_link(*first, from) else { return Ok(()) };
        if from == From::Dialler {
            complain(self.stream.tcp().and_then(|socket| socket.peer_addr().ok()), why);
        } else {
            tracing::info!("no link: {why}");
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

impl<S: ByteStream> Transport for Tcp<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        with_read_space(|space| {
            let mut buffer = ReadBuf::new(space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) => {}
                // TLS without its goodbye. Whether the link was cut the core knows better.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(false));
                }
                Err(error) => return Poll::Ready(Err(of_link(error))),
            }
            self.check_first(buffer.filled().first())?;
            take(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        ready!(poll_write_frames(queue, |slices| stream.as_mut().poll_write_vectored(cx, slices)))?;
        // TLS may hold what the socket did not take.
        stream.poll_flush(cx)
    }

    fn poll_close(&mut self, _: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn kind(&self) -> Option<TransportKind> {
        let is_encrypted = self.stream.is_encrypted();
        Some(if is_encrypted { TransportKind::Tls } else { TransportKind::Tcp })
    }
}
