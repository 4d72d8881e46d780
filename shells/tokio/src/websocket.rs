//! Frames over a WebSocket, as the driver has them, over the sockets of tokio.

use crate::runtime::prepare;
use async_tungstenite::tokio::TokioAdapter;
use bytes::Bytes;
use relay_core::CloseReason;
use relay_driver::{Transport, WebSocketTransport};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// A WebSocket whose handshake is done.
pub struct WebSocket(WebSocketTransport<TokioAdapter<TcpStream>>);

impl WebSocket {
    /// The accepting end, after the upgrade was answered; `read` are bytes that came behind it.
    pub async fn accept(socket: TcpStream, read: Bytes) -> Self {
        prepare(&socket);
        Self(WebSocketTransport::accept(TokioAdapter::new(socket), read).await)
    }

    /// The accepting end, where nothing else speaks HTTP: answers the upgrade that a peer asks for
    /// on a fresh connection. See [`WebSocketTransport::upgrade`].
    ///
    /// # Errors
    /// The peer asked for something else, or took too long.
    pub async fn upgrade(socket: TcpStream) -> io::Result<Self> {
        prepare(&socket);
        let upgrade = WebSocketTransport::upgrade(TokioAdapter::new(socket));
        Ok(Self(tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await??))
    }

    /// The dialling end: asks for the upgrade on a fresh connection.
    pub(crate) async fn connect(
        socket: TcpStream,
        authority: &str,
        path: &str,
    ) -> io::Result<Self> {
        prepare(&socket);
        let socket = TokioAdapter::new(socket);
        Ok(Self(WebSocketTransport::connect(socket, authority, path).await?))
    }
}

impl Transport for WebSocket {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        self.0.poll_receive(cx, take)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_send(cx, queue)
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(reason, cx)
    }
}

const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
