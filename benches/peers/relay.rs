//! Relay: a Main that takes WebSockets, a Home that echoes, and callers with a node each. All are
//! what any application would use, with the limits and checks they come with.

use crate::Failure;
use crate::load::Caller;
use crate::process::{self, Address};
use async_tungstenite::tungstenite::handshake::machine::TryParse;
use async_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use bytes::{Bytes, BytesMut};
use relay_tokio::{
    Answer, CallRequest, Endpoint, Home, Node, NodeConfig, Role, WebSocket, service_fn,
};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Is the Main.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind(process::unknown()).await?;
    let main = Node::start(NodeConfig::new(Role::Main))?;
    process::say_ready(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let main = main.clone();
        tokio::spawn(async move {
            match timeout(LINK_TIMEOUT, upgrade(socket)).await {
                Ok(Ok((socket, read))) => main.accept(WebSocket::accept(socket, read).await),
                Ok(Err(failure)) => eprintln!("relay: {failure}"),
                Err(_) => eprintln!("relay: a connection did not ask for the upgrade in time"),
            }
        });
    }
}

/// Is the Home: answers requests with their own bodies.
pub(crate) async fn respond(broker: Address) -> Result<(), Failure> {
    let echo = service_fn(&[METHOD], |request| std::future::ready(Ok(request.body)));
    let home = Home::connect(endpoint(broker)).raw_service(SERVICE, echo).start().await?;
    home.node().connected().await;
    process::say_ready(broker)?;
    std::future::pending().await
}

/// Starts a node for each connection.
pub(crate) async fn connect(
    broker: Address,
    connections: usize,
) -> Result<Vec<RelayCaller>, Failure> {
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut config = NodeConfig::new(Role::Caller);
        config.upstreams.push(Endpoint::parse(&endpoint(broker))?);
        let node = Node::start(config)?;
        timeout(LINK_TIMEOUT, node.connected()).await.map_err(|_| "the Main does not accept")?;
        callers.push(RelayCaller { node });
    }
    Ok(callers)
}

/// A caller with a link to the Main.
#[derive(Clone)]
pub(crate) struct RelayCaller {
    node: Node,
}

impl Caller for RelayCaller {
    fn call(&self, body: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send {
        let answer = self.node.call(CallRequest::new(SERVICE, METHOD, body));
        async move {
            match answer.await? {
                Answer::Result(body) => Ok(body),
                Answer::ApplicationError(_) => Err("the service answered with an error".into()),
            }
        }
    }
}

/// Answers the request for the upgrade; what was read behind it is returned with the connection.
async fn upgrade(mut socket: TcpStream) -> Result<(TcpStream, Bytes), Failure> {
    let mut input = BytesMut::new();
    let (length, request) = loop {
        if let Some(parsed) = Request::try_parse(&input)? {
            break parsed;
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err("the request for the upgrade is too long".into());
        }
        if socket.read_buf(&mut input).await? == 0 {
            return Err("a connection ended before its upgrade".into());
        }
    };
    let mut response = Vec::new();
    write_response(&mut response, &create_response(&request)?)?;
    socket.write_all(&response).await?;
    Ok((socket, input.split_off(length).freeze()))
}

fn endpoint(broker: Address) -> String {
    format!("ws://{broker}")
}

const SERVICE: &str = "echo";
const METHOD: &str = "echo";
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 8 << 10;
