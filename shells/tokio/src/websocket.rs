//! Frames over a WebSocket, as the driver has them, over the sockets of tokio.

use crate::socket::SocketOptions;
use crate::stream::ByteStream;
use crate::tls::of_link;
use async_tungstenite::tokio::TokioAdapter;
use bytes::Bytes;
use relay_core::CloseReason;
use relay_driver::{Transport, TransportKind, WebSocketTransport};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// A WebSocket whose handshake is done, over TCP or over TLS.
pub struct WebSocket<S = TcpStream> {
    transport: WebSocketTransport<TokioAdapter<S>>,
    is_encrypted: bool,
}

impl<S: ByteStream> WebSocket<S> {
    /// The accepting end, after the upgrade was answered; `read` are bytes that came behind it. The
    /// socket gets the usual options.
    pub async fn accept(socket: S, read: Bytes) -> Self {
        Self::accept_with_options(socket, read, &SocketOptions::default()).await
    }

    /// The same with options of your own.
    pub async fn accept_with_options(socket: S, read: Bytes, options: &SocketOptions) -> Self {
        let is_encrypted = prepare(&socket, options);
        let transport = WebSocketTransport::accept(TokioAdapter::new(socket), read).await;
        Self { transport, is_encrypted }
    }

    /// The accepting end, where nothing else speaks HTTP: answers the upgrade that a peer asks for
    /// on a fresh connection. See [`WebSocketTransport::upgrade`].
    ///
    /// # Errors
    /// The peer asked for something else, or took too long.
    pub async fn upgrade(socket: S) -> io::Result<Self> {
        let is_encrypted = prepare(&socket, &SocketOptions::default());
        let upgrade = WebSocketTransport::upgrade(TokioAdapter::new(socket));
        let transport = tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await??;
        Ok(Self { transport, is_encrypted })
    }

    /// The dialling end: asks for the upgrade on a fresh connection, whose options are set.
    pub(crate) async fn connect(socket: S, authority: &str, path: &str) -> io::Result<Self> {
        let is_encrypted = socket.is_encrypted();
        let asking = WebSocketTransport::connect(TokioAdapter::new(socket), authority, path);
        Ok(Self { transport: asking.await.map_err(of_link)?, is_encrypted })
    }
}

impl<S: ByteStream> Transport for WebSocket<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        self.transport.poll_receive(cx, take).map_err(of_link)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        self.transport.poll_send(cx, queue).map_err(of_link)
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_close(reason, cx)
    }

    fn kind(&self) -> Option<TransportKind> {
        let encrypted = TransportKind::SecureWebSocket;
        Some(if self.is_encrypted { encrypted } else { TransportKind::WebSocket })
    }
}

/// Sets the options of the socket beneath. Tells whether it is under TLS.
fn prepare(socket: &impl ByteStream, options: &SocketOptions) -> bool {
    socket.tcp().inspect(|socket| options.apply(socket));
    socket.is_encrypted()
}

const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
