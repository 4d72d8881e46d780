//! A hub that knows nothing: it puts the number of the caller's connection before each message for
//! the responder, and takes the answer back to that connection. Nothing that passes calls on over
//! WebSockets can do less, so it is the floor.
//!
//! A connection first says by one byte what it is. Then come items, whatever messages they are
//! packed into: length (4 bytes, counts what follows), label (8 bytes, the hub's), number of the
//! call (8 bytes, the caller's), body.

use crate::Failure;
use crate::line::WebSocket;
use crate::mux::{CallId, Mux, Taken, Wire};
use crate::process::{self, Address};
use crate::pump::{self, Handler};
use bytes::{Buf, BufMut, BytesMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use tokio::net::{TcpListener, TcpStream};

/// Is the hub.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind(process::unknown()).await?;
    process::say_ready(listener.local_addr()?)?;
    let hub = Arc::new(Mutex::new(Hub { connections: Vec::new(), responder: None }));
    loop {
        let (socket, _) = listener.accept().await?;
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            if let Err(failure) = attach(socket, hub).await {
                eprintln!("blind hub: {failure}");
            }
        });
    }
}

/// Opens connections of callers.
pub(crate) async fn connect(
    broker: Address,
    connections: usize,
) -> Result<Vec<Mux<Items>>, Failure> {
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut line = WebSocket::connect(TcpStream::connect(broker).await?).await?;
        introduce(&mut line, CALLER).await?;
        callers.push(Mux::start(Items, line, BytesMut::new()));
    }
    Ok(callers)
}

/// Answers requests with their own bodies.
pub(crate) async fn respond(broker: Address) -> Result<(), Failure> {
    let mut line = WebSocket::connect(TcpStream::connect(broker).await?).await?;
    introduce(&mut line, RESPONDER).await?;
    process::say_ready(broker)?;
    pump::run(&mut line, &mut Echo { output: BytesMut::new() }, BytesMut::new()).await
}

async fn introduce(line: &mut WebSocket, role: u8) -> Result<(), Failure> {
    use crate::line::Line;
    let mut output = BytesMut::from(&[role][..]);
    std::future::poll_fn(|cx| line.poll_send(&mut output, cx)).await
}

async fn attach(socket: TcpStream, hub: Arc<Mutex<Hub>>) -> Result<(), Failure> {
    let mut line = WebSocket::accept(socket).await?;
    let own = {
        let mut hub = lock(&hub);
        hub.connections.push(Some(Connection::default()));
        hub.connections.len() - 1
    };
    let mut passing = Passing { hub: Arc::clone(&hub), own, role: None };
    let ended = pump::run(&mut line, &mut passing, BytesMut::new()).await;
    let mut hub = lock(&hub);
    hub.connections[own] = None;
    if hub.responder == Some(own) {
        hub.responder = None;
    }
    ended
}

struct Hub {
    /// By number; those that ended leave a gap.
    connections: Vec<Option<Connection>>,
    responder: Option<usize>,
}

#[derive(Default)]
struct Connection {
    output: BytesMut,
    waker: Option<Waker>,
}

/// One connection of the hub.
struct Passing {
    hub: Arc<Mutex<Hub>>,
    own: usize,
    role: Option<u8>,
}

impl Handler for Passing {
    fn take(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        let mut hub = lock(&self.hub);
        if self.role.is_none() && !input.is_empty() {
            match input.get_u8() {
                CALLER => self.role = Some(CALLER),
                RESPONDER => {
                    self.role = Some(RESPONDER);
                    hub.responder = Some(self.own);
                }
                other => return Err(format!("there is no role {other}").into()),
            }
        }
        while let Some(length) = item_length(input)? {
            // A call whose responder is gone is lost; its caller notices.
            if self.role == Some(CALLER) {
                let label = (self.own as u64).to_be_bytes();
                input[LENGTH_BYTES..LENGTH_BYTES + LABEL_BYTES].copy_from_slice(&label);
                if let Some(responder) = hub.responder {
                    hub.pass(responder, &input[..length]);
                }
            } else {
                let label = (&input[LENGTH_BYTES..]).get_u64();
                hub.pass(usize::try_from(label)?, &input[..length]);
            }
            input.advance(length);
        }
        Ok(())
    }

    fn poll_output(&mut self, output: &mut BytesMut, cx: &mut Context<'_>) {
        if let Some(Some(own)) = lock(&self.hub).connections.get_mut(self.own) {
            pump::append(output, &mut own.output);
            own.waker = Some(cx.waker().clone());
        }
    }
}

impl Hub {
    fn pass(&mut self, to: usize, item: &[u8]) {
        if let Some(Some(connection)) = self.connections.get_mut(to) {
            connection.output.extend_from_slice(item);
            connection.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The caller's side of the items.
pub(crate) struct Items;

impl Wire for Items {
    fn request(&self, call: CallId, body: &[u8], output: &mut BytesMut) {
        output.reserve(HEAD_BYTES + body.len());
        output.put_u32((HEAD_BYTES - LENGTH_BYTES + body.len()) as u32);
        output.put_u64(0);
        output.put_u64(call);
        output.extend_from_slice(body);
    }

    fn take(&self, input: &mut BytesMut, _: &mut BytesMut) -> Result<Taken, Failure> {
        let Some(length) = item_length(input)? else { return Ok(Taken::Incomplete) };
        input.advance(LENGTH_BYTES + LABEL_BYTES);
        let call = input.get_u64();
        Ok(Taken::Answer(call, input.split_to(length - HEAD_BYTES).freeze()))
    }
}

struct Echo {
    output: BytesMut,
}

impl Handler for Echo {
    fn take(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        while let Some(length) = item_length(input)? {
            self.output.extend_from_slice(&input[..length]);
            input.advance(length);
        }
        Ok(())
    }

    fn poll_output(&mut self, output: &mut BytesMut, _: &mut Context<'_>) {
        pump::append(output, &mut self.output);
    }
}

/// Bytes of the first item with its length field; `None` when it is not whole.
fn item_length(input: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(mut field) = input.get(..LENGTH_BYTES) else { return Ok(None) };
    let length = usize::try_from(field.get_u32())? + LENGTH_BYTES;
    if !(HEAD_BYTES..=ITEM_BYTES_MAX).contains(&length) {
        return Err(format!("an item of {length} bytes came").into());
    }
    Ok((input.len() >= length).then_some(length))
}

fn lock(hub: &Mutex<Hub>) -> MutexGuard<'_, Hub> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}

const CALLER: u8 = b'c';
const RESPONDER: u8 = b'r';
const LENGTH_BYTES: usize = 4;
const LABEL_BYTES: usize = 8;
const HEAD_BYTES: usize = LENGTH_BYTES + LABEL_BYTES + 8;
const ITEM_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What two callers and a responder see, all bytes one at a time.
    #[test]
    fn answers_go_back_to_the_connection_that_asked() {
        let connections = (0..3).map(|_| Some(Connection::default())).collect();
        let hub = Arc::new(Mutex::new(Hub { connections, responder: None }));
        let mut links: Vec<Passing> =
            (0..3).map(|own| Passing { hub: Arc::clone(&hub), own, role: None }).collect();
        let mut inputs = vec![BytesMut::new(); 3];
        let mut feed = |own: usize, bytes: &[u8]| {
            for byte in bytes {
                inputs[own].put_u8(*byte);
                links[own].take(&mut inputs[own]).expect("well formed");
            }
        };
        feed(1, &[RESPONDER]);
        for (own, body) in [(0, b"from 0"), (2, b"from 2")] {
            let mut request = BytesMut::new();
            Items.request(7, body, &mut request);
            feed(own, &[CALLER]);
            feed(own, &request);
        }
        let output = |own: usize| {
            let mut hub = lock(&hub);
            hub.connections[own].as_mut().map(|it| it.output.split()).unwrap_or_default()
        };
        let mut echo = Echo { output: BytesMut::new() };
        echo.take(&mut output(1)).expect("well formed");
        feed(1, &echo.output);
        for (own, expected) in [(0, b"from 0"), (2, b"from 2")] {
            let taken = Items.take(&mut output(own), &mut BytesMut::new()).expect("well formed");
            assert!(matches!(taken, Taken::Answer(7, body) if body == expected[..]));
        }
    }

    #[test]
    fn items_of_impossible_length_are_refused() {
        for length in [0, 15, ITEM_BYTES_MAX as u32, u32::MAX] {
            assert!(item_length(&length.to_be_bytes()).is_err(), "{length}");
        }
        assert!(matches!(item_length(&[0, 0, 0]), Ok(None)));
    }
}
