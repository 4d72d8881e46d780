//! Links over TLS and QUIC, and what is said when there is none.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/certificates.rs"]
mod certificates;

use certificates::{Ca, Pair};
use relay_tokio::tls::{Certificate, ClientTls, ServerTls};
use relay_tokio::{
    Client, Home, LinkState, Node, NodeConfig, Role, Runtime, SocketOptions, Tcp, Tokio,
    TransportKind, quic,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// A Main with a listener of each kind.
struct Main {
    node: Node,
    tls: SocketAddr,
    quic: SocketAddr,
    tcp: SocketAddr,
    certificate: Certificate,
}

impl Main {
    async fn start(pair: &Pair, client_ca: Option<&str>) -> Self {
        let node = Node::start(NodeConfig::new(Role::Main)).expect("starts");
        let certificate =
            Certificate::from_pem(pair.chain.as_bytes(), pair.key.as_bytes()).expect("fits");
        let mut tls = ServerTls::new(certificate.clone());
        if let Some(path) = client_ca {
            tls = tls.with_client_ca_file(path).expect("a CA");
        }
        let acceptor = tls.relay_acceptor().expect("usable");
        let (over_tls, of_tls) = listen().await;
        let accepting = node.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = over_tls.accept().await {
                acceptor.accept_link(&accepting, socket);
            }
        });
        let (over_tcp, of_tcp) = listen().await;
        let accepting = node.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = over_tcp.accept().await {
                accepting.accept(Tcp::new(socket));
            }
        });
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = quic::Listener::bind(any, &tls, &SocketOptions::default()).expect("binds");
        let of_quic = listener.local_addr().expect("bound");
        let accepting = node.clone();
        tokio::spawn(async move { listener.serve(accepting).await });
        Self { node, tls: of_tls, quic: of_quic, tcp: of_tcp, certificate }
    }

    fn addresses(&self) -> [(String, TransportKind); 2] {
        [
            (format!("tls://{}", self.tls), TransportKind::Tls),
            (format!("quic://{}", self.quic), TransportKind::Quic),
        ]
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn believing(ca: &Ca) -> Tokio {
    let tls = ClientTls::default().with_ca_pem(ca.pem().as_bytes()).expect("a CA");
    Tokio::current().with_tls(tls)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..4_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// Why a node that dials `address` gets no link.
async fn trouble(address: &str, runtime: Tokio) -> String {
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = vec![address.parse().expect("an address")];
    let node = Node::start_on(config, runtime).expect("starts");
    // It is tried again and again, and while it is the state is another one.
    let has_failed = || node.registry().peers[0].state == LinkState::Failed;
    until("the dial fails", || node.dial_trouble().is_some() && has_failed()).await;
    node.dial_trouble().expect("a reason")
}

#[tokio::test]
async fn a_call_crosses_tls_and_quic() {
    let ca = Ca::new("a CA");
    let main = Main::start(&ca.sign(&["127.0.0.1"]), None).await;
    for (number, (address, kind)) in main.addresses().into_iter().enumerate() {
        let name = format!("blog{number}");
        let home = Home::connect(&address)
            .node_id(format!("home{number}"))
            .service(&name, |_: String, params: Value| async move { Ok(params) })
            .start_on(believing(&ca))
            .expect("starts");
        let client = Client::connect_on(&address, believing(&ca)).await.expect("connects");
        until("registered", || main.node.is_offered(&name)).await;
        for asked in [json!([1, "ä"]), json!("x".repeat(900_000))] {
            let answer: Value = client.call(&name, "echo", &asked).await.expect("answered");
            assert_eq!(answer, asked);
        }
        for node in [&main.node, home.node()] {
            let peers = node.registry().peers;
            let peer = peers.iter().find(|peer| peer.transport == Some(kind)).expect("carried");
            assert_eq!(peer.state, LinkState::Active, "{peer:?}");
        }
        home.shutdown(Duration::from_secs(1)).await;
        until("withdrawn", || !main.node.is_offered(&name)).await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_with_its_names() {
    let ca = Ca::new("a CA");
    let main = Main::start(&ca.sign(&["relay-a.example.com", "10.0.0.7"]), None).await;
    for (address, _) in main.addresses() {
        let why = trouble(&address, believing(&ca)).await;
        let host = address.split_once("://").expect("a scheme").1;
        assert_eq!(
            why,
            format!(
                "the certificate of {host} is for other names (relay-a.example.com, 10.0.0.7): \
                 dial one of these, or have one made for 127.0.0.1"
            )
        );
    }
}

#[tokio::test]
async fn an_unknown_ca_is_told_with_the_option() {
    let (ca, other) = (Ca::new("a CA"), Ca::new("another CA"));
    let main = Main::start(&ca.sign(&["127.0.0.1"]), None).await;
    for (address, _) in main.addresses() {
        let why = trouble(&address, believing(&other)).await;
        assert!(why.contains("signed by a CA that is not known here"), "{why}");
        assert!(why.contains("--tls-ca"), "{why}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_told_with_its_date() {
    let ca = Ca::new("a CA");
    let main = Main::start(&ca.sign_expired(&["127.0.0.1"]), None).await;
    for (address, _) in main.addresses() {
        let why = trouble(&address, believing(&ca)).await;
        assert!(why.contains("expired at 20") && why.contains(" 60 minutes ago"), "{why}");
    }
}

#[tokio::test]
async fn tls_and_none_do_not_meet() {
    let ca = Ca::new("a CA");
    let main = Main::start(&ca.sign(&["127.0.0.1"]), None).await;
    for (address, wanted) in [
        (format!("tcp://{}", main.tls), "dial tls:// instead of tcp://"),
        (format!("tls://{}", main.tcp), "closed the connection in the TLS handshake"),
        (format!("ws://{}", main.tls), "dial it by a tls:// address"),
        (format!("wss://{}", main.tls), "tls:// at a port for relay links"),
    ] {
        let why = trouble(&address, believing(&ca)).await;
        assert!(why.contains(wanted), "{address}: {why}");
    }
}

#[tokio::test]
async fn a_port_without_quic_is_told() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = format!("quic://{}", silent.local_addr().expect("bound"));
    let connect_timeout = Duration::from_millis(300);
    let options = SocketOptions { connect_timeout, ..SocketOptions::default() };
    let why = trouble(&address, Tokio::current().with_options(options)).await;
    assert!(why.contains("nothing answers by QUIC at 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn a_certificate_is_read_again_without_dropping_links() {
    let folder = certificates::Folder::new("reload");
    let (old, new) = (Ca::new("the old CA"), Ca::new("the new CA"));
    let first = old.sign(&["127.0.0.1"]);
    let (chain, key) = (folder.write("chain", &first.chain), folder.write("key", &first.key));
    let certificate = Certificate::from_files(&chain, &key).expect("fits");
    let tls = ServerTls::new(certificate.clone());
    let any = "127.0.0.1:0".parse().expect("an address");
    let listener = quic::Listener::bind(any, &tls, &SocketOptions::default()).expect("binds");
    let address = format!("quic://{}", listener.local_addr().expect("bound"));
    let main = Node::start(NodeConfig::new(Role::Main)).expect("starts");
    let accepting = main.clone();
    tokio::spawn(async move { listener.serve(accepting).await });

    let before = Client::connect_on(&address, believing(&old)).await.expect("connects");
    assert!(!certificate.reload().expect("the same"));
    // The key comes a moment later than its certificate: the old pair stays.
    let second = new.sign(&["127.0.0.1"]);
    folder.write("chain", &second.chain);
    let error = certificate.reload().expect_err("half of it");
    assert!(error.to_string().contains("is not that of the first certificate"), "{error}");
    let between = Client::connect_on(&address, believing(&old)).await.expect("connects");
    folder.write("key", &second.key);
    assert!(certificate.reload().expect("fits"));
    let after = Client::connect_on(&address, believing(&new)).await.expect("connects");
    assert!(trouble(&address, believing(&old)).await.contains("not known here"));
    for client in [before, between, after] {
        assert!(client.node().is_connected());
    }
}

#[tokio::test]
async fn a_main_may_ask_for_certificates() {
    let folder = certificates::Folder::new("mutual");
    let ca = Ca::new("a CA");
    let main = Main::start(&ca.sign(&["127.0.0.1"]), Some(&folder.write("ca", &ca.pem()))).await;
    let of_home = ca.sign(&["home"]);
    let shown = Certificate::from_pem(of_home.chain.as_bytes(), of_home.key.as_bytes());
    let tls = ClientTls::default().with_ca_pem(ca.pem().as_bytes()).expect("a CA");
    let tls = tls.with_certificate(shown.expect("fits"));
    for (address, _) in main.addresses() {
        let runtime = Tokio::current().with_tls(tls.clone());
        Client::connect_on(&address, runtime).await.expect("connects");
        let why = trouble(&address, believing(&ca)).await;
        assert!(why.contains("asks for a certificate"), "{address}: {why}");
    }
    assert!(!main.certificate.reload().expect("not of files"));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = certificates::Folder::new("files");
    let ca = Ca::new("a CA");
    let (one, two) = (ca.sign(&["a"]), ca.sign(&["a"]));
    let (chain, key) = (folder.write("one.crt", &one.chain), folder.write("two.key", &two.key));
    let empty = folder.write("empty", "");
    let none = folder.path("none");
    for (chain, key, wanted) in [
        (&chain, &key, "two.key is not that of the first certificate in"),
        (&none, &key, "none: No such file"),
        (&empty, &key, "empty holds no certificate"),
        (&chain, &empty, "empty holds no private key"),
        (&key, &chain, "two.key holds no certificate"),
    ] {
        let error = Certificate::from_files(chain, key).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let error = ClientTls::default().with_ca_file(&key).expect_err("a key").to_string();
    assert!(error.contains("two.key holds no certificate"), "{error}");
}
