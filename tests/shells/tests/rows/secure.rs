//! Mains on tokio that encrypt, and whom those who dial them believe.

use crate::certificates::{Ca, Pair};
use crate::mains::{start, started, tokio_main, tokio_runtime};
use relay_driver::Runtime;
use relay_tokio::tls::{Certificate, ClientTls, ServerTls};
use relay_tokio::{SocketOptions, Tokio, WebSocket, quic};
use std::sync::LazyLock;

/// Bare frames over TLS.
pub(crate) fn tls(peer: Option<&str>) -> String {
    let acceptor = server().relay_acceptor().expect("usable");
    tokio_main("tls", peer, believing, async move |node, socket| {
        acceptor.accept_link(&node, socket);
    })
}

/// A WebSocket over TLS.
pub(crate) fn websocket(peer: Option<&str>) -> String {
    let acceptor = server().http_acceptor().expect("usable");
    tokio_main("wss", peer, believing, async move |node, socket| {
        let Ok(stream) = acceptor.accept(socket).await else { return };
        if let Ok(link) = WebSocket::upgrade(stream).await {
            node.accept(link);
        }
    })
}

/// QUIC.
pub(crate) fn quic(peer: Option<&str>) -> String {
    let peer = peer.map(str::to_owned);
    started("quic", move |address| {
        tokio_runtime().block_on(async {
            let any_port = ([127, 0, 0, 1], 0).into();
            let options = SocketOptions::default();
            let listener = quic::Listener::bind(any_port, &server(), &options).expect("a port");
            address.send(listener.local_addr().expect("bound")).expect("awaited");
            listener.serve(start(peer.as_deref(), believing())).await;
        });
    })
}

/// The runtime of a node that believes the CA of these Mains.
pub(crate) fn believing() -> Tokio {
    let tls = ClientTls::default().with_ca_pem(WORLD.0.as_bytes()).expect("a CA");
    Tokio::current().with_tls(tls)
}

fn server() -> ServerTls {
    let Pair { chain, key } = &WORLD.1;
    ServerTls::new(Certificate::from_pem(chain.as_bytes(), key.as_bytes()).expect("fits"))
}

/// The certificate of the CA, and that of every Main.
static WORLD: LazyLock<(String, Pair)> = LazyLock::new(|| {
    let ca = Ca::new("the CA of the scenarios");
    (ca.pem(), ca.sign(&["127.0.0.1"]))
});
