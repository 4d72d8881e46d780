//! Connections as byte streams: plain TCP, and a WebSocket whose messages carry whatever is there
//! to be sent. Both write all that waits at once.

use crate::Failure;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::error::{Error, ProtocolError};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use bytes::{Buf, BytesMut};
use futures_util::{Sink, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes in and out of a connection.
pub(crate) trait Line {
    /// Puts what has come behind `input`; false at the end of the connection.
    fn poll_receive(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failure>>;

    /// Sends all of `output`.
    fn poll_send(
        &mut self,
        output: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>>;
}

/// A TCP connection.
pub(crate) struct Tcp {
    socket: TcpStream,
    space: Box<[u8]>,
}

impl Tcp {
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, space: vec![0; TCP_READ_BYTES].into_boxed_slice() })
    }
}

impl Line for Tcp {
    fn poll_receive(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failure>> {
        let mut space = ReadBuf::new(&mut self.space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
        input.extend_from_slice(space.filled());
        Poll::Ready(Ok(!space.filled().is_empty()))
    }

    fn poll_send(
        &mut self,
        output: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        while !output.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, output))?;
            if written == 0 {
                return Poll::Ready(Err("the connection takes no more bytes".into()));
            }
            output.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// A WebSocket whose handshake is done.
pub(crate) struct WebSocket {
    stream: WebSocketStream<TokioAdapter<TcpStream>>,
    is_flushed: bool,
}

impl WebSocket {
    /// Asks for the upgrade of a fresh connection.
    pub(crate) async fn connect(socket: TcpStream) -> Result<Self, Failure> {
        socket.set_nodelay(true)?;
        let url = format!("ws://{}/", socket.peer_addr()?);
        let socket = TokioAdapter::new(socket);
        let upgraded = async_tungstenite::client_async_with_config(url, socket, Some(config()));
        Ok(Self { stream: upgraded.await?.0, is_flushed: true })
    }

    /// Answers the upgrade of a fresh connection.
    pub(crate) async fn accept(socket: TcpStream) -> Result<Self, Failure> {
        socket.set_nodelay(true)?;
        let socket = TokioAdapter::new(socket);
        let stream = async_tungstenite::accept_async_with_config(socket, Some(config())).await?;
        Ok(Self { stream, is_flushed: true })
    }
}

impl Line for WebSocket {
    fn poll_receive(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failure>> {
        loop {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => {
                    input.extend_from_slice(&bytes);
                    return Poll::Ready(Ok(true));
                }
                Some(Ok(Message::Close(_)) | Err(Error::Protocol(RESET))) | None => {
                    return Poll::Ready(Ok(false));
                }
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err("a text message came".into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_send(
        &mut self,
        output: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let mut stream = Pin::new(&mut self.stream);
        while !output.is_empty() {
            ready!(stream.as_mut().poll_ready(cx))?;
            let length = output.len().min(MESSAGE_BYTES_MAX);
            stream.as_mut().start_send(Message::Binary(output.split_to(length).freeze()))?;
            self.is_flushed = false;
        }
        if !self.is_flushed {
            ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(WEBSOCKET_READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// How a part that is killed ends its connections.
const RESET: ProtocolError = ProtocolError::ResetWithoutClosingHandshake;
const TCP_READ_BYTES: usize = 64 << 10;
/// As much as a hub for many idle connections can afford.
const WEBSOCKET_READ_BYTES: usize = 4 << 10;
/// Messages that wait for one write.
const WRITE_BYTES: usize = 128 << 10;
const MESSAGE_BYTES_MAX: usize = 32 << 10;
