//! A gateway on a free port.

pub(crate) use crate::support::{Client, Response, post};

use bytes::Bytes;
use relay_server::http::{Gateway, GatewayConfig};
use relay_tokio::{Limits, Node, NodeConfig, Role, ServiceError, ServiceRequest, service_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) node: Node,
    pub(crate) calls: Arc<Calls>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// What the services of the server saw.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) begun: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(GatewayConfig::default()).await
    }

    pub(crate) async fn with(config: GatewayConfig) -> Self {
        Self::of(Role::Main, config).await
    }

    pub(crate) async fn of(role: Role, config: GatewayConfig) -> Self {
        Self::all("main-a", role, config, |_| {}).await
    }

    pub(crate) async fn named(id: &str) -> Self {
        Self::all(id, Role::Main, GatewayConfig::default(), |_| {}).await
    }

    /// A Main with other limits.
    pub(crate) async fn limited(id: &str, change: impl FnOnce(&mut Limits)) -> Self {
        Self::all(id, Role::Main, GatewayConfig::default(), change).await
    }

    /// A Main whose announcements go as far as its calls, over many Mains.
    pub(crate) async fn in_chain(id: &str) -> Self {
        Self::limited(id, |limits| limits.hops_max = limits.ttl).await
    }

    async fn all(
        id: &str,
        role: Role,
        config: GatewayConfig,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut node = NodeConfig::new(role);
        node.node_id = Some(id.to_owned());
        change(&mut node.limits);
        let node = Node::start(node).unwrap();
        let calls = Arc::new(Calls::default());
        let seen = Arc::clone(&calls);
        let methods = ["echo", "fail", "big", "slow", "broken", "subtract"];
        let service = service_fn(&methods, move |request| serve(Arc::clone(&seen), request));
        node.register("demo", Arc::new(service)).unwrap();
        let gateway = Arc::new(Gateway::new(node.clone(), config).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(Arc::clone(&gateway).serve(listener, async {
            let _ = stopped.await;
        }));
        Self { address, gateway, node, calls, stop: Some(stop), serving }
    }

    pub(crate) fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(Duration::from_secs(5), self.serving).await.unwrap().unwrap();
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) async fn request(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await.expect("the server closed without an answer")
    }

    pub(crate) async fn rpc(&self, body: &str) -> Response {
        self.request(&post("/rpc", "", body)).await
    }

    pub(crate) async fn add_peer(&self, address: SocketAddr) {
        let add = format!(r#"{{"node_id": "peer", "address": "{address}"}}"#);
        let response = self.request(&post("/registry/peers/add", "", &add)).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }
}

async fn serve(calls: Arc<Calls>, request: ServiceRequest) -> Result<Bytes, ServiceError> {
    struct Dropped(Arc<Calls>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
    calls.begun.fetch_add(1, Ordering::SeqCst);
    let _dropped = Dropped(calls);
    match request.method.as_str() {
        "echo" => Ok(request.body),
        "fail" => Err(ServiceError::Application(Bytes::from_static(APPLICATION_ERROR.as_bytes()))),
        "big" => Ok(Bytes::from(format!("\"{}\"", "x".repeat(300_000)))),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(Bytes::from_static(b"\"slept\""))
        }
        "never" => std::future::pending().await,
        "broken" => Ok(Bytes::from_static(b"{\"a\":")),
        "subtract" => {
            let [a, b]: [i64; 2] = serde_json::from_slice(&request.body).unwrap();
            Ok(Bytes::from((a - b).to_string()))
        }
        method => Err(ServiceError::no_such_method(method)),
    }
}

pub(crate) const APPLICATION_ERROR: &str = r#"{"code": 7, "message":"no","data":[1e400]}"#;
