//! Mains that scenarios reach: each on a thread of its own, until the program ends. A Main may have
//! a peer, which it federates with.

use relay_driver::Runtime;
use relay_driver::api::{Endpoint, NodeConfig, Role};
use relay_smol::Smol;
use relay_tokio::Tokio;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

pub(crate) fn tokio_tcp(peer: Option<&str>) -> String {
    tokio_main("tcp", peer, Tokio::current, async |node, socket| {
        node.accept(relay_tokio::Tcp::new(socket));
    })
}

pub(crate) fn tokio_websocket(peer: Option<&str>) -> String {
    tokio_main("ws", peer, Tokio::current, async |node, socket| {
        if let Ok(socket) = relay_tokio::WebSocket::upgrade(socket).await {
            node.accept(socket);
        }
    })
}

pub(crate) fn smol_tcp(peer: Option<&str>) -> String {
    smol_main("tcp", peer, async |node, socket| node.accept(relay_smol::Tcp::new(socket)))
}

pub(crate) fn smol_websocket(peer: Option<&str>) -> String {
    smol_main("ws", peer, async |node, socket| {
        if let Ok(socket) = relay_smol::WebSocket::upgrade(socket).await {
            node.accept(socket);
        }
    })
}

/// A Main on tokio that hands each connection to `take`. Returns where it listens.
pub(crate) fn tokio_main(
    scheme: &str,
    peer: Option<&str>,
    runtime: fn() -> Tokio,
    take: impl AsyncFn(relay_tokio::Node, tokio::net::TcpStream) + Send + 'static,
) -> String {
    let peer = peer.map(str::to_owned);
    started(scheme, move |address| {
        tokio_runtime().block_on(async {
            let node = start(peer.as_deref(), runtime());
            let listener = tokio::net::TcpListener::bind(ANY_PORT).await.expect("a port");
            address.send(listener.local_addr().expect("bound")).expect("awaited");
            while let Ok((socket, _)) = listener.accept().await {
                take(node.clone(), socket).await;
            }
        });
    })
}

/// The same on smol.
fn smol_main(
    scheme: &str,
    peer: Option<&str>,
    take: impl AsyncFn(relay_smol::Node, smol::net::TcpStream) + Send + 'static,
) -> String {
    let peer = peer.map(str::to_owned);
    started(scheme, move |address| {
        smol::block_on(async {
            let node = start(peer.as_deref(), Smol::current());
            let listener = smol::net::TcpListener::bind(ANY_PORT).await.expect("a port");
            address.send(listener.local_addr().expect("bound")).expect("awaited");
            while let Ok((socket, _)) = listener.accept().await {
                take(node.clone(), socket).await;
            }
        });
    })
}

pub(crate) fn started(
    scheme: &str,
    main: impl FnOnce(Sender<SocketAddr>) + Send + 'static,
) -> String {
    let (sender, address) = channel();
    std::thread::spawn(move || main(sender));
    format!("{scheme}://{}", address.recv().expect("the Main starts"))
}

pub(crate) fn start<R: Runtime>(peer: Option<&str>, runtime: R) -> relay_driver::Node<R> {
    let mut config = NodeConfig::new(Role::Main);
    config.token = Some(TOKEN.into());
    config.upstreams =
        peer.map(|peer| Endpoint::parse(peer).expect("an address")).into_iter().collect();
    relay_driver::Node::start_on(config, runtime).expect("starts")
}

pub(crate) fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts")
}

/// What the Mains ask for.
pub(crate) const TOKEN: &str = "open sesame";
const ANY_PORT: (&str, u16) = ("127.0.0.1", 0);
