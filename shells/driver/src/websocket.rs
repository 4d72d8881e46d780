//! Frames over a WebSocket. Message boundaries mean nothing: small frames share a message, large
//! ones are split, so neither side ever needs a large message buffer.

use crate::transport::Transport;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use async_tungstenite::tungstenite::http::StatusCode;
use async_tungstenite::tungstenite::http::header::ORIGIN;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use bytes::{Bytes, BytesMut};
use futures_util::{AsyncRead, AsyncWrite, Sink, Stream};
use head::WholeHead;
use relay_core::{CloseReason, ErrorCode};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

mod head;
#[cfg(test)]
mod tests;

/// A WebSocket over any byte stream, after its handshake.
pub struct WebSocketTransport<S> {
    stream: WebSocketStream<WholeHead<S>>,
    /// Where small frames are joined.
    space: BytesMut,
    /// The rest of a frame that is larger than a message.
    rest: Bytes,
    close_sent: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketTransport<S> {
    /// The accepting end, where something else has answered the upgrade; `read` are bytes that came
    /// behind it.
    pub async fn accept(stream: S, read: Bytes) -> Self {
        let (stream, config) = (WholeHead::passed(stream), Some(config()));
        Self::new(if read.is_empty() {
            WebSocketStream::from_raw_socket(stream, Role::Server, config).await
        } else {
            WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, config).await
        })
    }

    /// The accepting end: answers the upgrade that a peer asks for, whatever the path. Browsers
    /// always name the page that asks (`Origin`), which relays do not; they are refused, so that no
    /// page opens links behind the back of the person who looks at it.
    ///
    /// # Errors
    /// The peer asked for something else, or the stream ended.
    pub async fn upgrade(stream: S) -> io::Result<Self> {
        let accepting = async_tungstenite::accept_hdr_async_with_config(
            WholeHead::new(stream),
            NoPages,
            Some(config()),
        );
        Ok(Self::new(accepting.await.map_err(refused)?))
    }

    /// The dialling end: asks for the upgrade on a fresh stream.
    ///
    /// # Errors
    /// The other end refused it, or the stream ended.
    pub async fn connect(stream: S, authority: &str, path: &str) -> io::Result<Self> {
        let (url, stream) = (format!("ws://{authority}{path}"), WholeHead::new(stream));
        let asking = async_tungstenite::client_async_with_config(url, stream, Some(config()));
        let (stream, _) = asking.await.map_err(upgrade_failed)?;
        Ok(Self::new(stream))
    }

    fn new(stream: WebSocketStream<WholeHead<S>>) -> Self {
        Self { stream, space: BytesMut::new(), rest: Bytes::new(), close_sent: false }
    }

    /// The next message to send: the rest of a large frame, or as many frames as fit.
    fn next_message(&mut self, queue: &mut VecDeque<Bytes>) -> Option<Bytes> {
        if self.rest.is_empty() {
            self.rest = queue.pop_front()?;
            let fits =
                |space: &BytesMut, next: &Bytes| space.len() + next.len() <= MESSAGE_BYTES_MAX;
            let joins =
                queue.front().is_some_and(|next| next.len() + self.rest.len() <= MESSAGE_BYTES_MAX);
            if joins {
                self.space.reserve(MESSAGE_BYTES_MAX);
                self.space.extend_from_slice(&std::mem::take(&mut self.rest));
                while let Some(next) = queue.pop_front_if(|next| fits(&self.space, next)) {
                    self.space.extend_from_slice(&next);
                }
                return Some(self.space.split().freeze());
            }
        }
        let length = self.rest.len().min(MESSAGE_BYTES_MAX);
        Some(self.rest.split_to(length))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for WebSocketTransport<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(Some(Ok(Message::Binary(bytes)))) => {
                take(&bytes);
                Poll::Ready(Ok(true))
            }
            // One read of the turn, or a flood of them would keep everyone else waiting.
            Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Some(Ok(Message::Close(_))) | None) => Poll::Ready(Ok(false)),
            Poll::Ready(Some(Ok(Message::Text(_)))) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a text message came over a binary link",
            ))),
            Poll::Ready(Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))) => {
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(to_io(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        loop {
            if Pin::new(&mut self.stream).poll_ready(cx).map_err(to_io)?.is_pending() {
                return Poll::Pending;
            }
            let Some(message) = self.next_message(queue) else { break };
            Pin::new(&mut self.stream).start_send(Message::Binary(message)).map_err(to_io)?;
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_err(to_io)
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.close_sent {
            if Pin::new(&mut self.stream).poll_ready(cx).map_err(to_io)?.is_pending() {
                return Poll::Pending;
            }
            self.close_sent = true;
            let code = CloseCode::from(close_code(reason));
            let frame = CloseFrame { code, reason: reason_text(reason).into() };
            let close = Message::Close(Some(frame));
            Pin::new(&mut self.stream).start_send(close).map_err(to_io)?;
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_err(to_io)
    }
}

/// Refuses requests of web pages.
struct NoPages;

impl Callback for NoPages {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if !request.headers().contains_key(ORIGIN) {
            return Ok(response);
        }
        let mut refused = ErrorResponse::new(Some(String::from("no relay links for web pages\n")));
        *refused.status_mut() = StatusCode::FORBIDDEN;
        Err(refused)
    }
}

/// What the accepting end says of an upgrade that did not come about.
fn refused(error: Error) -> io::Error {
    io::Error::other(format!("the WebSocket upgrade failed: {error}"))
}

/// Why there is no WebSocket, with what the other end said.
fn upgrade_failed(error: Error) -> io::Error {
    match error {
        Error::Http(response) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let said: String = String::from_utf8_lossy(body)
                .trim()
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(SAID_LETTERS_MAX)
                .collect();
            let colon = if said.is_empty() { "" } else { ": " };
            io::Error::other(format!(
                "the WebSocket upgrade was answered with {status}{colon}{said}"
            ))
        }
        Error::Protocol(_) | Error::HttpFormat(_) => io::Error::other(format!(
            "no HTTP is spoken there ({error}): dial tcp:// if it is a port for relay links, \
             wss:// if it speaks TLS"
        )),
        // The stream has a reason of its own, which the shell knows how to word.
        Error::Io(error) if error.get_ref().is_some() => error,
        other => io::Error::other(format!("the WebSocket upgrade failed: {other}")),
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// Status codes of RFC 6455, section 7.4.1.
const fn close_code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Requested | CloseReason::PeerClosed => 1000,
        CloseReason::Shutdown => 1001,
        CloseReason::Fault(code) => match code {
            ErrorCode::TooLarge => 1009,
            ErrorCode::Internal => 1011,
            ErrorCode::Overloaded | ErrorCode::RateLimited => 1013,
            ErrorCode::Unauthenticated
            | ErrorCode::Forbidden
            | ErrorCode::NameConflict
            | ErrorCode::SlowConsumer => 1008,
            _ => 1002,
        },
        _ => 1008,
    }
}

/// A close frame holds at most 123 bytes of text (RFC 6455, section 5.5).
fn reason_text(reason: CloseReason) -> String {
    let text = reason.to_string();
    text[..text.floor_char_boundary(123)].to_owned()
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Largest message sent and accepted. Before authentication no more than this is ever held.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
const READ_BYTES: usize = 4 << 10;
/// What is shown of a refusal.
const SAID_LETTERS_MAX: usize = 200;
/// One batch of messages; more is not handed over before the last batch was flushed.
const WRITE_BYTES_MAX: usize = 1 << 20;
