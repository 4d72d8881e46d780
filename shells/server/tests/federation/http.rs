//! Requests by HTTP that tell apart what provably was not sent from what may have arrived.

use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// There was no connection, so nothing was sent.
    Refused(io::Error),
    /// The connection ended too early; what was sent may have arrived.
    Lost(String),
}

/// A connection that may be used again, and where it goes.
pub(crate) type Kept = Option<(SocketAddr, TcpStream)>;

/// The body of a response, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<String, Trouble> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ask(&mut None, address, &request).await
}

/// The JSON of a page that is there.
pub(crate) async fn json(address: SocketAddr, path: &str) -> Option<Value> {
    serde_json::from_str(&get(address, path).await.ok()?).ok()
}

/// The response to a JSON-RPC request, whatever its status, by the connection that was kept if it
/// goes there. It is kept again if `keeps` and the server do not say otherwise.
pub(crate) async fn rpc(
    kept: &mut Kept,
    keeps: bool,
    address: SocketAddr,
    body: &str,
) -> Result<Value, Trouble> {
    let request = format!(
        "POST /rpc HTTP/1.1\r\nHost: x\r\nConnection: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        if keeps { "keep-alive" } else { "close" },
        body.len()
    );
    let text = ask(kept, address, &request).await?;
    serde_json::from_str(&text).map_err(|error| Trouble::Lost(format!("{error}: {text}")))
}

async fn ask(kept: &mut Kept, address: SocketAddr, request: &str) -> Result<String, Trouble> {
    let mut stream = match kept.take() {
        Some((to, stream)) if to == address => stream,
        Some(_) | None => {
            let connected = tokio::time::timeout(LONG, TcpStream::connect(address)).await;
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            connected.map_err(late).and_then(|connected| connected).map_err(Trouble::Refused)?
        }
    };
    let exchange = tokio::time::timeout(LONG, exchange(&mut stream, request)).await;
    let exchange = exchange.map_err(|_| Trouble::Lost(String::from("no response in time")))?;
    let (head, body) = exchange.map_err(|error| Trouble::Lost(error.to_string()))?;
    if header(&head, "connection").is_none_or(|value| value != "close") {
        *kept = Some((address, stream));
    }
    Ok(body)
}

/// Head and body of one response.
async fn exchange(stream: &mut TcpStream, request: &str) -> io::Result<(String, String)> {
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    let head = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break read.drain(..at + 4).collect();
        }
        more(stream, &mut read).await?;
    };
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let length = header(&head, "content-length").and_then(|value| value.parse().ok());
    let length: usize = length.ok_or_else(|| io::Error::other(format!("no length: {head}")))?;
    while read.len() < length {
        more(stream, &mut read).await?;
    }
    Ok((head, String::from_utf8(read).map_err(io::Error::other)?))
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::Error::other(format!("closed after {} bytes", read.len()))),
        _ => Ok(()),
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(60);
