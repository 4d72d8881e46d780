//! The parts below a Home and a client, one by one: a listener, the connections that it accepts,
//! a pool of links with its health check, a frame as it goes over the wire.
//!
//! ```sh
//! cargo run -p relay-tokio --example transport
//! ```

use bytes::BytesMut;
use relay_core::frame::{Frame, FrameWriter, Kind};
use relay_tokio::{
    CallRequest, Endpoint, Node, NodeConfig, Pool, PoolConfig, Role, Selection, Tcp, service_fn,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Bind, and accept whoever comes.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("tcp://{}", listener.local_addr()?);
    let main = Node::start(NodeConfig::new(Role::Main))?;
    main.register("echo", Arc::new(service_fn(&["echo"], |call| async { Ok(call.body) })))?;
    let accepting = main.clone();
    tokio::spawn(async move {
        while let Ok((socket, peer)) = listener.accept().await {
            println!("accepted a connection from {peer}");
            accepting.accept(Tcp::new(socket));
        }
    });

    // A pool of links to it. Its health check runs by itself: idle links beyond `min` are closed.
    let mut node = NodeConfig::new(Role::Caller);
    node.upstreams = vec![Endpoint::parse(&address)?];
    let mut config = PoolConfig::new(node);
    (config.min, config.max, config.selection) = (2, 10, Selection::LeastLoaded);
    config.health_interval = Duration::from_secs(30);
    let pool = Pool::start(config)?;
    pool.connected().await;

    // What a node writes for a ping, and what the other end takes off the wire.
    let timestamp = 12_345_u64.to_be_bytes();
    let encoded = FrameWriter::default().write(Kind::Ping, 1, 0, |_| {}, &timestamp).freeze();
    println!("a ping is {} bytes: {:02x?}", encoded.len(), &encoded[..]);
    let mut wire = BytesMut::from(&encoded[..]);
    let frame = Frame::take(&mut wire, 1 << 20, 0)?.ok_or("a whole frame")?;
    frame.verify()?;
    println!("decoded: {:?}, label {}, {} bytes", frame.kind(), frame.id(), frame.payload().len());

    // Send something.
    let answer = pool.call(CallRequest::new("echo", "echo", "[1,2,3]")).await?;
    println!("echo.echo answered {answer:?}; {:?}", pool.stats());
    pool.shutdown(Duration::from_secs(1)).await;
    main.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
