//! The attacker as a Main: real callers dial it.

use crate::attacker::{Link, within};
use crate::messages::Hello;
use crate::wire::{Kind, Wire};
use ed25519_dalek::SigningKey;
use relay_core::frame::Kind as FrameKind;
use relay_core::handshake::{Acceptor, Grant};
use relay_core::{Config, Identity};
use relay_tokio::{CloseReason, Endpoint, Event, EventStream, Node, NodeConfig, Role};
use tokio::net::TcpListener;

/// A real caller that has dialled the attacker and is believed to be at a Main.
pub(crate) async fn caller_of_a_false_main(kind: Kind) -> (Node, Link) {
    let (node, mut link) = caller_that_dials(kind).await;
    let identity = Identity::new(&[9; 32], None).expect("a key");
    let mut acceptor = Acceptor::new([3; 32]);
    let request = link.expect(FrameKind::Handshake).await;
    let key = SigningKey::from_bytes(&[8; 32]);
    let now = Hello::honest(&key, Role::Caller, "clock").unix_seconds;
    let main = Config::new(Role::Main);
    let challenge = acceptor.handle_request(request.payload(), &main, &identity, now);
    link.send_frame(FrameKind::Handshake, 0, &challenge.expect("an honest request")).await;
    let proof = link.expect(FrameKind::Handshake).await;
    let grant = Grant { session: [1; 16], epoch: 1 };
    let (_, accepted) = acceptor.handle_proof(proof.payload(), &identity, grant).expect("honest");
    link.send_frame(FrameKind::Handshake, 0, &accepted).await;
    within("the caller to be connected", node.connected()).await;
    (node, link)
}

/// A real caller and the connection it has just made to the attacker.
pub(crate) async fn caller_that_dials(kind: Kind) -> (Node, Link) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = kind.url(listener.local_addr().expect("bound"));
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = vec![Endpoint::parse(&address).expect("legal")];
    let node = Node::start(config).expect("starts");
    let (socket, _) = within("the caller to dial", listener.accept()).await.expect("accepted");
    (node, Link::new(Wire::accept(kind, socket).await))
}

/// How the caller's link ended: why, and what its log says.
pub(crate) async fn end_of_its_link(events: &mut EventStream) -> (CloseReason, String) {
    within("the end of the link", async {
        loop {
            if let Some(Event::LinkDown { reason, detail, .. }) = events.next().await {
                return (reason, detail);
            }
        }
    })
    .await
}
