//! What only shows from inside: sockets that change under a link, early data, and a crowd.

#[path = "../../tests/support/certificates.rs"]
mod certificates;

use super::*;
use crate::tls::{ALPN_RELAY, Certificate, ClientTls, ServerTls, provider};
use crate::{
    CallRequest, Client, Event, Node, NodeConfig, Role, Runtime, ServiceRequest, SocketOptions,
    Tokio, service_fn,
};
use certificates::Ca;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ServerSessionMemoryCache;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;

struct World {
    ca: Ca,
    tls: ServerTls,
}

impl World {
    fn new() -> Self {
        let ca = Ca::new("a CA");
        let pair = ca.sign(&["127.0.0.1"]);
        let certificate = Certificate::from_pem(pair.chain.as_bytes(), pair.key.as_bytes());
        Self { tls: ServerTls::new(certificate.expect("fits")), ca }
    }

    fn believing(&self) -> Tokio {
        let tls = ClientTls::default().with_ca_pem(self.ca.pem().as_bytes());
        Tokio::current().with_tls(tls.expect("a CA"))
    }

    /// A Main that listens with this configuration, and its listener.
    fn main(&self, config: rustls::ServerConfig) -> (Node, Listener) {
        let any = "127.0.0.1:0".parse().expect("an address");
        let options = SocketOptions::default();
        let listener = Listener::with_config(any, &self.tls, config, &options).expect("binds");
        let node = Node::start(NodeConfig::new(Role::Main)).expect("starts");
        let (accepting, serving) = (node.clone(), listener.clone());
        tokio::spawn(async move { serving.serve(accepting).await });
        (node, listener)
    }

    fn config(&self) -> rustls::ServerConfig {
        self.tls.config(ALPN_RELAY).expect("usable")
    }
}

#[tokio::test]
async fn n18_a_link_outlives_the_socket_of_its_dialler() {
    let world = World::new();
    let (main, listener) = world.main(world.config());
    let (reached, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reaching, finishing) = (Arc::clone(&reached), Arc::clone(&finish));
    let slow = service_fn(&[], move |request: ServiceRequest| {
        let (reaching, finishing) = (Arc::clone(&reaching), Arc::clone(&finishing));
        async move {
            reaching.notify_one();
            finishing.notified().await;
            Ok(request.body)
        }
    });
    main.register("slow", Arc::new(slow)).expect("offered");
    let runtime = world.believing();
    let dialler = runtime.quic().clone();
    let address = format!("quic://{}", listener.local_addr().expect("bound"));
    let client = Client::connect_on(&address, runtime).await.expect("connects");
    let mut events = client.node().events();
    let node = client.node().clone();
    let calling =
        tokio::spawn(async move { node.call(CallRequest::new("slow", "echo", "[1]")).await });
    reached.notified().await;
    let before = dialler.local_addrs();
    assert_eq!(before.len(), 1);
    dialler.rebind().expect("a new socket");
    assert_ne!(dialler.local_addrs(), before, "the link comes from another port");
    finish.notify_one();
    let answer = calling.await.expect("no panic");
    assert_eq!(answer, Ok(crate::Answer::Result("[1]".into())), "it was under way meanwhile");
    finish.notify_one();
    let answer = client.node().call(CallRequest::new("slow", "echo", "[2]")).await;
    assert_eq!(answer, Ok(crate::Answer::Result("[2]".into())));
    assert_eq!((main.link_count(), client.node().link_count()), (1, 1));
    let down = |event: &Event| matches!(event, Event::LinkDown { .. } | Event::LinkUp { .. });
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        assert!(!down(&event), "it is the same link: {event:?}");
    }
}

/// A client that sends early data whenever it has a ticket which allows it.
struct Eager {
    endpoint: quinn::Endpoint,
    generous: SocketAddr,
}

impl Eager {
    fn new(world: &World, generous: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(world.ca.pem().as_bytes()).expect("a CA");
        roots.add(ca).expect("a CA");
        let builder = rustls::ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN_RELAY.to_vec()];
        config.enable_early_data = true;
        let config = QuicClientConfig::try_from(config).expect("a suite");
        let any = "127.0.0.1:0".parse().expect("an address");
        let mut endpoint = quinn::Endpoint::client(any).expect("binds");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
        Self { endpoint, generous }
    }

    /// Whether a server takes early data which the ticket of the generous one allows.
    async fn is_early_data_taken(&self, target: SocketAddr) -> bool {
        for _ in 0..1_000 {
            let connecting = self.endpoint.connect(self.generous, "127.0.0.1").expect("begins");
            let _giver_of_tickets = connecting.await.expect("connects");
            let connecting = self.endpoint.connect(target, "127.0.0.1").expect("begins");
            if let Ok((connection, accepted)) = connecting.into_0rtt() {
                let (mut send, _receive) = connection.open_bi().await.expect("a stream");
                send.write_all(b"a call").await.expect("written");
                return accepted.await;
            }
            // The ticket comes behind the handshake.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no ticket came");
    }
}

#[tokio::test]
async fn n18_early_data_is_refused() {
    let world = World::new();
    let sessions = ServerSessionMemoryCache::new(1_024);
    let mut generous = world.config();
    generous.max_early_data_size = u32::MAX;
    generous.send_tls13_tickets = 2;
    generous.session_storage = sessions.clone();
    let mut knowing = world.config();
    knowing.session_storage = sessions;
    let at = |listener: &Listener| listener.local_addr().expect("bound");
    let (_main, generous) = world.main(generous);
    let (_knowing_main, knowing) = world.main(knowing);
    let (_our_main, ours) = world.main(world.config());
    let eager = Eager::new(&world, at(&generous));
    assert!(eager.is_early_data_taken(at(&generous)).await, "this client does send it");
    assert!(!eager.is_early_data_taken(at(&knowing)).await, "though the session is known");
    assert!(!eager.is_early_data_taken(at(&ours)).await);
}

#[tokio::test]
async fn strangers_prove_their_address_when_many_come() {
    let world = World::new();
    let (main, listener) = world.main(world.config());
    let address = format!("quic://{}", listener.local_addr().expect("bound"));
    let _client = Client::connect_on(&address, world.believing()).await.expect("connects");
    assert_eq!(listener.retries(), 0);
    let mut places = Vec::new();
    while !listener.tls.is_loaded() {
        places.push(listener.tls.place().expect("a place"));
    }
    let _client = Client::connect_on(&address, world.believing()).await.expect("connects");
    assert_eq!(listener.retries(), 1);
    assert_eq!(main.link_count(), 2);
    while let Some(place) = listener.tls.place() {
        places.push(place);
    }
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = vec![address.parse().expect("an address")];
    let node = Node::start_on(config, world.believing()).expect("starts");
    while node.dial_trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(places);
    node.connected().await;
}
