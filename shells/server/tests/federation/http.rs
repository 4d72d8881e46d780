//! Requests by HTTP, each on a connection of its own, so that it is known what a failure means.

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

/// The body of a response with the status 200.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<String, Trouble> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ask(address, &request).await
}

/// The JSON of a page that is there.
pub(crate) async fn json(address: SocketAddr, path: &str) -> Option<Value> {
    serde_json::from_str(&get(address, path).await.ok()?).ok()
}

/// The response to a JSON-RPC request, whatever its status.
pub(crate) async fn rpc(address: SocketAddr, body: &str) -> Result<Value, Trouble> {
    let request = format!(
        "POST /rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text = ask(address, &request).await?;
    serde_json::from_str(&text).map_err(|error| Trouble::Lost(format!("{error}: {text}")))
}

async fn ask(address: SocketAddr, request: &str) -> Result<String, Trouble> {
    let connected = tokio::time::timeout(LONG, TcpStream::connect(address)).await;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connected = connected.map_err(late).and_then(|connected| connected);
    let mut stream = connected.map_err(Trouble::Refused)?;
    let mut response = String::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_string(&mut response).await
    };
    match tokio::time::timeout(LONG, exchange).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(Trouble::Lost(error.to_string())),
        Err(_) => return Err(Trouble::Lost(String::from("no response in time"))),
    }
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        return Err(Trouble::Lost(format!("closed after {} bytes", response.len())));
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if length.is_some_and(|length: usize| length != body.len()) {
        return Err(Trouble::Lost(String::from("the body broke off")));
    }
    Ok(body.to_owned())
}

/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(60);
