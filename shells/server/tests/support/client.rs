//! An HTTP client that sends exactly the bytes it is told to, on one connection.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next response, or none when the server closed first.
    pub(crate) async fn response(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: String::new() };
        let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.read.len() < length {
            assert!(self.fill().await, "the body broke off");
        }
        response.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Some(response)
    }

    /// Whether the server closes within the time, sending nothing more.
    pub(crate) async fn is_closed_within(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(time, self.stream.read(&mut byte)).await;
        self.read.is_empty() && matches!(read, Ok(Ok(0) | Err(_)))
    }

    /// Reads more, unless the connection has ended.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(LONG, read).await;
        matches!(read.expect("no answer in time"), Ok(count) if count > 0)
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(60);
