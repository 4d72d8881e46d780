//! A JSON-RPC server of the test itself, to stand behind a Home: it answers well or badly, now or
//! when it is told to, and knows which of its callers went away.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let of_task = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&of_task);
                tokio::spawn(async move { serve(stream, &state).await });
            }
        });
        Self { address, state, serving }
    }

    /// The flag that makes it a service.
    pub(crate) fn service(&self, name: &str) -> String {
        format!("--service={name}=http://{}/", self.address)
    }

    /// Waits until this many calls of `hold` are here.
    pub(crate) async fn until_held(&self, count: usize) {
        self.wait(&self.state.held, count).await;
    }

    /// Waits until this many callers of `hold` went away before they were answered.
    pub(crate) async fn until_gone(&self, count: usize) {
        self.wait(&self.state.gone, count).await;
    }

    /// How many calls of `hold` came and how many of their callers went away.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (*self.state.held.borrow(), *self.state.gone.borrow())
    }

    /// Answers every `hold`, those to come too.
    pub(crate) fn release(&self) {
        self.state.released.send_replace(true);
    }

    async fn wait(&self, number: &watch::Sender<usize>, count: usize) {
        let mut number = number.subscribe();
        let reached = number.wait_for(|number| *number >= count);
        let reached = tokio::time::timeout(crate::world::LONG, reached).await;
        assert!(reached.is_ok(), "only {:?} of {count}", self.counts());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Default)]
struct State {
    held: watch::Sender<usize>,
    gone: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

#[derive(Deserialize)]
struct Request<'a> {
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    id: u64,
}

async fn serve(mut stream: TcpStream, state: &State) {
    let mut read = Vec::new();
    while let Some((head, body)) = next_request(&mut stream, &mut read).await {
        let Request { method, params, id } = serde_json::from_slice(&body).unwrap();
        let params = params.map_or("[]", RawValue::get);
        let body = match method.as_str() {
            "trace_context" => {
                let names = ["traceparent: ", "tracestate: "];
                let lines = head.lines().filter(|line| names.iter().any(|n| line.starts_with(n)));
                let lines = serde_json::Value::from(lines.collect::<Vec<_>>());
                crate::world::answer(&id.to_string(), &lines.to_string())
            }
            "echo" => crate::world::answer(&id.to_string(), params),
            "hold" if hold(&mut stream, state).await => {
                crate::world::answer(&id.to_string(), params)
            }
            "hold" => return,
            "malformed" => format!(r#"{{"jsonrpc":"2.0","result":{{"a":,"id":{id}}}"#),
            "both" => format!(
                r#"{{"jsonrpc":"2.0","result":1,"error":{{"code":1,"message":"m"}},"id":{id}}}"#
            ),
            "wrong_id" => crate::world::answer(&(id + 1).to_string(), params),
            "large" | "large_in_pieces" => {
                let [bytes]: [usize; 1] = serde_json::from_str(params).unwrap();
                if large(&mut stream, id, bytes, method == "large").await.is_err() {
                    return;
                }
                continue;
            }
            _ => format!(
                r#"{{"jsonrpc":"2.0","error":{{"code":-32601,"message":"none"}},"id":{id}}}"#
            ),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = std::str::from_utf8(&read[..end]).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if read.len() >= end + length {
                let body = read[end..end + length].to_vec();
                read.drain(..end + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Whether the caller was still there when the answer was allowed.
async fn hold(stream: &mut TcpStream, state: &State) -> bool {
    state.held.send_modify(|held| *held += 1);
    let mut released = state.released.subscribe();
    let mut byte = [0];
    tokio::select! {
        _ = released.wait_for(|is_released| *is_released) => true,
        _ = stream.read(&mut byte) => {
            state.gone.send_modify(|gone| *gone += 1);
            false
        }
    }
}

/// A string of `bytes` letters, its length told before or only at the end.
async fn large(
    stream: &mut TcpStream,
    id: u64,
    bytes: usize,
    has_length: bool,
) -> std::io::Result<()> {
    let (before, after) =
        (format!(r#"{{"jsonrpc":"2.0","id":{id},"result":""#), String::from("\"}"));
    let length = before.len() + bytes + after.len();
    if has_length {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
    } else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    }
    let letters = "x".repeat(PIECE_BYTES);
    let whole = std::iter::repeat_n(letters.as_str(), bytes / PIECE_BYTES);
    let rest = &letters[..bytes % PIECE_BYTES];
    for piece in [before.as_str()].into_iter().chain(whole).chain([rest, &after]) {
        if has_length {
            stream.write_all(piece.as_bytes()).await?;
        } else if !piece.is_empty() {
            stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
        }
    }
    if !has_length {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

const PIECE_BYTES: usize = 64 << 10;
