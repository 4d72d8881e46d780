//! The bytes of a link on the one stream of a QUIC connection.

use super::{STRANGER_WINDOW, WINDOW, plain};
use bytes::{Buf, Bytes};
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt, WriteError};
use relay_core::CloseReason;
use relay_driver::{BoxFuture, Transport, TransportKind, with_read_space};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A connection by QUIC that carries a link.
pub struct Quic {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Bytes that came, until the window was opened.
    received: Option<u32>,
    /// Ready when the peer has everything.
    finishing: Option<BoxFuture<()>>,
}

impl Quic {
    /// A link on a stream that both ends agree on.
    pub(super) const fn new(connection: Connection, send: SendStream, receive: RecvStream) -> Self {
        Self { connection, send, receive, received: Some(0), finishing: None }
    }

    /// A stranger gets no further than two small frames before the core closes the link, so that
    /// whoever got this far has shown who it is and may have more under way.
    fn open_window(&mut self, bytes: usize) {
        let Some(received) = &mut self.received else { return };
        *received = received.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if *received > 2 * STRANGER_WINDOW {
            self.received = None;
            self.connection.set_receive_window(VarInt::from_u32(WINDOW));
        }
    }
}

impl Transport for Quic {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        let read = with_read_space(|space| {
            let read = ready!(self.receive.poll_read(cx, space));
            if let Ok(count) = read {
                take(&space[..count]);
            }
            Poll::Ready(read)
        });
        Poll::Ready(match ready!(read) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.open_window(count);
                Ok(true)
            }
            Err(ReadError::ConnectionLost(quinn::ConnectionError::ApplicationClosed(closed)))
                if closed.error_code == VarInt::from_u32(0) =>
            {
                Ok(false)
            }
            Err(ReadError::ConnectionLost(error)) => Err(io::Error::other(plain(&error))),
            Err(ReadError::Reset(_)) => Ok(false),
            Err(error) => Err(io::Error::other(error)),
        })
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        while let Some(frame) = queue.front_mut() {
            let written = ready!(Pin::new(&mut self.send).poll_write(cx, frame));
            let written = written.map_err(|error| match error {
                WriteError::ConnectionLost(error) => io::Error::other(plain(&error)),
                other => io::Error::other(other),
            })?;
            frame.advance(written);
            queue.pop_front_if(|frame| frame.is_empty());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finishing.is_none() {
            // An error means that the peer wants no more, and then there is nothing to wait for.
            drop(self.send.finish());
            let stopped = self.send.stopped();
            self.finishing = Some(Box::pin(async move { drop(stopped.await) }));
        }
        if let Some(finishing) = &mut self.finishing {
            ready!(finishing.as_mut().poll(cx));
        }
        self.connection.close(VarInt::from_u32(0), reason.to_string().as_bytes());
        Poll::Ready(Ok(()))
    }

    fn kind(&self) -> Option<TransportKind> {
        Some(TransportKind::Quic)
    }
}
