//! One connection as bytes, whichever transport carries them, at either end.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use bytes::Bytes;
use futures_util::StreamExt;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How links are carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Ws,
}

impl Kind {
    /// Every transport; a row that does not run over one of them does not compile.
    pub(crate) const ALL: [Self; 2] = [Self::Tcp, Self::Ws];

    /// The address of `socket` as nodes are told.
    pub(crate) fn url(self, socket: SocketAddr) -> String {
        match self {
            Self::Tcp => format!("tcp://{socket}"),
            Self::Ws => format!("ws://{socket}"),
        }
    }
}

/// Bytes in and out.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Ws(Box<WebSocketStream<TokioAdapter<TcpStream>>>),
}

impl Wire {
    /// Connects; nothing of the protocol of relays is sent.
    pub(crate) async fn dial(kind: Kind, address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("the Main listens");
        socket.set_nodelay(true).expect("a socket option");
        match kind {
            Kind::Tcp => Self::Tcp(socket),
            Kind::Ws => {
                let url = format!("ws://{address}/ws/p2p");
                let socket = TokioAdapter::new(socket);
                let dialled = async_tungstenite::client_async(url, socket).await;
                Self::Ws(Box::new(dialled.expect("the upgrade is answered").0))
            }
        }
    }

    /// The other end of [`Self::dial`], for tests that play the Main.
    pub(crate) async fn accept(kind: Kind, mut socket: TcpStream) -> Self {
        match kind {
            Kind::Tcp => Self::Tcp(socket),
            Kind::Ws => {
                let read = upgrade(&mut socket).await.expect("a WebSocket asks");
                let socket = TokioAdapter::new(socket);
                let stream =
                    WebSocketStream::from_partially_read(socket, read.to_vec(), Role::Server, None);
                Self::Ws(Box::new(stream.await))
            }
        }
    }

    /// Sends bytes as one write or as few messages as the bound of a message allows. Tells whether
    /// the other side still takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Tcp(socket) => socket.write_all(bytes).await.is_ok(),
            Self::Ws(stream) => {
                for part in bytes.chunks(MESSAGE_BYTES) {
                    let message = Message::Binary(Bytes::copy_from_slice(part));
                    if stream.send(message).await.is_err() {
                        return false;
                    }
                }
                true
            }
        }
    }

    /// The next bytes; nothing when the connection has ended, however it did.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        match self {
            Self::Tcp(socket) => {
                let mut space = vec![0; 16 << 10];
                match socket.read(&mut space).await {
                    Ok(0) | Err(_) => None,
                    Ok(length) => Some(Bytes::copy_from_slice(&space[..length])),
                }
            }
            Self::Ws(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Some(bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Text(_) | Message::Close(_)) | Err(_)) | None => return None,
                }
            },
        }
    }
}

/// Answers the upgrade to a WebSocket (RFC 6455, section 4.2.2) and returns what came behind it.
pub(crate) async fn upgrade(socket: &mut TcpStream) -> Option<Bytes> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut read).await.ok()? == 0 || read.len() > 8 << 10 {
            return None;
        }
    };
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut keys = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = keys.next()?.1.trim();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).await.ok()?;
    Some(Bytes::copy_from_slice(&read[end..]))
}

/// Below what a node takes as one message.
const MESSAGE_BYTES: usize = 16 << 10;
