//! A Main over real sockets with an honest Home and an honest caller, who must not notice whatever
//! the attacker beside them does.

use crate::attacker::{Link, Rejection, within};
use crate::messages::{Hello, register};
use crate::wire::{Kind, Wire, upgrade};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{
    Answer, CallError, CallRequest, Client, CloseReason, ErrorCode, Event, EventStream, Home,
    Limits, Node, NodeConfig, Role, ServiceError, Tcp, WebSocket, service_fn,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Everything a row needs.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) main: Node,
    pub(crate) home: Home,
    pub(crate) caller: Client,
    /// Lets calls of `echo.wait` end, one for each permit.
    pub(crate) gate: Arc<Semaphore>,
    address: SocketAddr,
    events: EventStream,
    ran: Arc<AtomicU64>,
    connections: AtomicU32,
    ended_before: u64,
}

/// The end of a link, as the Main's log tells it.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) node: Option<String>,
    pub(crate) reason: CloseReason,
    pub(crate) detail: String,
}

impl World {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, |_| {}).await
    }

    /// A world whose Main has other limits.
    pub(crate) async fn start_with(kind: Kind, change: impl FnOnce(&mut Limits)) -> Self {
        Self::start_as(kind, |config| change(&mut config.limits)).await
    }

    /// A world whose Main is configured differently.
    pub(crate) async fn start_as(kind: Kind, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut config = NodeConfig::new(Role::Main);
        config.node_id = Some("main".into());
        // A registration that was answered can be called.
        config.limits.publish_interval = Duration::ZERO;
        change(&mut config);
        let main = Node::start(config).expect("starts");
        tokio::spawn(accept(listener, kind, main.clone()));
        let (ran, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let home = honest_home(&kind.url(address), &ran, &gate).await;
        let caller = within("the caller", Client::connect(&kind.url(address))).await;
        let caller = caller.expect("connects");
        until("echo is registered", || main.registry().services.len() == 1).await;
        let (events, ended_before) = (main.events(), ended(&main));
        let connections = AtomicU32::new(0);
        Self { kind, main, home, caller, gate, address, events, ran, connections, ended_before }
    }

    /// Connects and sends nothing.
    pub(crate) async fn connect(&self) -> Link {
        self.connections.fetch_add(1, Ordering::SeqCst);
        Link::new(within("a connection", Wire::dial(self.kind, self.address)).await)
    }

    /// A key and an honest request for it, under a name that nobody else has.
    pub(crate) fn stranger(&self, role: Role) -> (SigningKey, Hello) {
        let number = self.connections.load(Ordering::SeqCst);
        let mut secret = [0xa7; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        let signing = SigningKey::from_bytes(&secret);
        let hello = Hello::honest(&signing, role, &format!("stranger-{number}"));
        (signing, hello)
    }

    /// An authenticated link.
    pub(crate) async fn open(&self, role: Role) -> Link {
        self.open_taking(role, 0).await
    }

    /// An authenticated link to a peer that takes these compressions.
    pub(crate) async fn open_taking(&self, role: Role, compressions: u8) -> Link {
        let mut link = self.connect().await;
        let (signing, mut hello) = self.stranger(role);
        hello.compressions = compressions;
        link.shake(&hello, &signing).await.expect("accepted");
        link
    }

    /// An authenticated Home that has registered `service`.
    pub(crate) async fn open_home(&self, service: &str) -> Link {
        self.open_home_taking(service, 0).await
    }

    /// The same, and it takes these compressions.
    pub(crate) async fn open_home_taking(&self, service: &str, compressions: u8) -> Link {
        let mut link = self.open_taking(Role::Home, compressions).await;
        link.send_frame(FrameKind::Control, 0, &register(service.as_bytes(), b"")).await;
        link.expect(FrameKind::Control).await;
        link
    }

    /// Connects and shows `hello`, signed as it is. It must be refused.
    pub(crate) async fn refused(&mut self, hello: &Hello, signing: &SigningKey) -> Rejection {
        let mut link = self.connect().await;
        let rejection = link.shake(hello, signing).await.expect_err("must be refused");
        self.must_end_as(link, rejection.code, "refused").await;
        rejection
    }

    /// The Main must close this link for `code`, and say so to the peer and in its log.
    pub(crate) async fn must_close(&mut self, link: Link, code: ErrorCode, what: &str) {
        self.must_end_as(link, code as u64, what).await;
    }

    async fn must_end_as(&mut self, mut link: Link, code: u64, what: &str) {
        let down = self.down().await;
        assert_eq!(u64::from(down.reason.to_wire()), code, "{what}: {down:?}");
        let goodbye = link.goodbye().await;
        assert_eq!(goodbye, link.is_open.then_some(code), "{what}: the goodbye");
        assert_eq!(link.is_open, down.node.is_some(), "{what}: {down:?}");
    }

    /// The next end of a link in the log of the Main.
    pub(crate) async fn down(&mut self) -> Down {
        loop {
            match within("the end of a link", self.events.next()).await {
                Some(Event::LinkDown { node, reason, detail, .. }) => {
                    return Down { node: node.map(|node| node.to_string()), reason, detail };
                }
                Some(_) => {}
                None => panic!("the Main is gone"),
            }
        }
    }

    /// An honest call of `echo`.
    pub(crate) async fn call(&self, method: &str, body: &str) -> Result<Answer, CallError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = self.caller.node().call(CallRequest::new("echo", method, body));
        within("the answer to an honest call", call).await
    }

    /// How often the handler of `echo` was entered.
    pub(crate) fn ran(&self) -> u64 {
        self.ran.load(Ordering::SeqCst)
    }

    /// Nothing was lost: honest calls work over the same links as before, every link of the
    /// attacker is gone, and no call is left over. Links must have been dropped before.
    pub(crate) async fn still_serves(&self) {
        let answer = self.call("echo", r#"{"still":"here"}"#).await;
        assert_eq!(answer, Ok(Answer::Result(Bytes::from_static(br#"{"still":"here"}"#))));
        let gone = || {
            ended(&self.main) - self.ended_before
                == u64::from(self.connections.load(Ordering::SeqCst))
        };
        until("every link of the attacker is gone", gone).await;
        until("no call is left", || {
            let nodes = [&self.main, self.home.node(), self.caller.node()];
            nodes.iter().all(|node| node.calls_in_flight() == 0)
        })
        .await;
        for honest in [self.home.node(), self.caller.node()] {
            assert!(honest.is_connected());
            assert_eq!((honest.stats().links_opened, honest.stats().links_closed), (1, 0));
        }
        let view = self.main.registry();
        let homes: Vec<_> = view.peers.iter().map(|peer| peer.node.as_deref()).collect();
        assert_eq!(homes, [Some("honest.home")]);
        let services: Vec<_> = view.services.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(services, ["echo"]);
    }
}

/// Looks until a condition holds; how long that takes decides nothing.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

async fn accept(listener: TcpListener, kind: Kind, main: Node) {
    while let Ok((socket, _)) = listener.accept().await {
        match kind {
            Kind::Tcp => main.accept(Tcp::new(socket)),
            Kind::Ws => drop(tokio::spawn(accept_websocket(socket, main.clone()))),
        }
    }
}

async fn accept_websocket(mut socket: TcpStream, main: Node) {
    if let Some(read) = upgrade(&mut socket).await {
        main.accept(WebSocket::accept(socket, read).await);
    }
}

async fn honest_home(url: &str, ran: &Arc<AtomicU64>, gate: &Arc<Semaphore>) -> Home {
    let (ran, gate) = (Arc::clone(ran), Arc::clone(gate));
    let echo = service_fn(&["echo", "wait"], move |request| {
        ran.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            match request.method.as_str() {
                "echo" => Ok(request.body),
                "wait" => {
                    gate.acquire().await.expect("never closed").forget();
                    Ok(request.body)
                }
                other => Err(ServiceError::no_such_method(other)),
            }
        }
    });
    let home = Home::connect(url).node_id("honest.home").raw_service("echo", echo).start().await;
    let home = home.expect("starts");
    within("the Home", home.node().connected()).await;
    home
}

/// Links that ended or were refused.
fn ended(main: &Node) -> u64 {
    main.stats().links_closed + main.stats().links_refused
}
