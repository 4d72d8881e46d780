//! A gateway on a free port, and clients of it.

use crate::support::{Client, Response, post};
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async};
use bytes::Bytes;
use futures_util::StreamExt;
use relay_server::http::{ClientLimits, Gateway, GatewayConfig};
use relay_tokio::{Node, NodeConfig, Role, ServiceError, ServiceRequest, service_fn};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) node: Node,
    /// Calls to `demo` whose handler was dropped before it answered.
    pub(crate) dropped: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(GatewayConfig::default()).await
    }

    pub(crate) async fn bounded(clients: ClientLimits) -> Self {
        Self::with(GatewayConfig { clients, ..GatewayConfig::default() }).await
    }

    pub(crate) async fn with(config: GatewayConfig) -> Self {
        Self::of(Role::Main, config).await
    }

    pub(crate) async fn of(role: Role, config: GatewayConfig) -> Self {
        let mut node = NodeConfig::new(role);
        node.node_id = Some("main-a".to_owned());
        Self::of_node(node, config).await
    }

    pub(crate) async fn of_node(node: NodeConfig, config: GatewayConfig) -> Self {
        let node = Node::start(node).unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&dropped);
        let service = service_fn(&[], move |request| serve(Arc::clone(&counted), request));
        node.register("demo", Arc::new(service)).unwrap();
        let gateway = Arc::new(Gateway::new(node.clone(), config).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(gateway.serve(listener, async {
            let _ = stopped.await;
        }));
        Self { address, node, dropped, stop: Some(stop), serving }
    }

    pub(crate) fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) {
        within(self.serving).await.unwrap();
    }

    pub(crate) async fn client(&self) -> Ws {
        Ws::connect(self.address, &[]).await.unwrap()
    }

    pub(crate) async fn request(&self, request: &str) -> Response {
        let mut client = Client::connect(self.address).await;
        client.send(request).await;
        client.response().await.expect("the server closed without an answer")
    }

    pub(crate) async fn rpc(&self, body: &Value) -> Value {
        self.request(&post("/rpc", "", &body.to_string())).await.json()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }
}

/// A method that waits ends only by being dropped.
async fn serve(dropped: Arc<AtomicUsize>, request: ServiceRequest) -> Result<Bytes, ServiceError> {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    match request.method.as_str() {
        "echo" => Ok(request.body),
        "fail" => Err(ServiceError::Application(Bytes::from_static(APPLICATION_ERROR.as_bytes()))),
        "headers" => Ok(Bytes::from(json!(request.headers).to_string())),
        "how" => Ok(Bytes::from(
            json!({ "ms": request.deadline.as_millis() as u64, "idempotent": request.idempotent })
                .to_string(),
        )),
        "big" => Ok(Bytes::from(format!("\"{}\"", "x".repeat(1 << 20)))),
        "never" => {
            let _dropped = Dropped(dropped);
            std::future::pending().await
        }
        // [chunk, …]: each as it is written, then how many there were.
        "stream" => {
            let chunks: Vec<Box<serde_json::value::RawValue>> =
                serde_json::from_slice(&request.body).unwrap();
            let Some(stream) = &request.stream else { return Ok(Bytes::from_static(b"null")) };
            for chunk in &chunks {
                stream.send(chunk.get().to_owned()).await.unwrap();
            }
            Ok(Bytes::from(chunks.len().to_string()))
        }
        "binary" => {
            request.stream.unwrap().send(&b"\x00\xff"[..]).await.unwrap();
            Ok(Bytes::from_static(b"true"))
        }
        // All chunks of the caller, in a list.
        "gather" => {
            let stream = request.stream.unwrap();
            let mut all = vec![];
            while let Some(chunk) = stream.next().await {
                all.push(String::from_utf8(chunk.to_vec()).unwrap());
            }
            Ok(Bytes::from(format!("[{}]", all.join(","))))
        }
        method => Err(ServiceError::no_such_method(method)),
    }
}

pub(crate) const APPLICATION_ERROR: &str = r#"{"code": 7, "message":"no","data":[1e400]}"#;

/// A client.
pub(crate) struct Ws {
    pub(crate) socket: WebSocketStream<TokioAdapter<TcpStream>>,
    /// Came while something else was waited for.
    early: VecDeque<Value>,
    next_id: u64,
}

impl Ws {
    /// Err is the status of a refusal.
    pub(crate) async fn connect(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match client_async(request, TokioAdapter::new(stream)).await {
            Ok((socket, _)) => Ok(Self { socket, early: VecDeque::new(), next_id: 1 }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_json(&mut self, value: &Value) {
        self.send(value.to_string()).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send_json(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    /// The text of the next message.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("not a text: {other:?}"),
            }
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        match self.early.pop_front() {
            Some(value) => value,
            None => serde_json::from_str(&self.text().await).unwrap(),
        }
    }

    /// Asks and gives the answer; what else comes meanwhile is kept.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send_json(&request).await;
        self.answer(id).await
    }

    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        let is_it = |value: &Value| value["id"] == id && value.get("method").is_none();
        if let Some(at) = self.early.iter().position(is_it) {
            return self.early.remove(at).unwrap();
        }
        loop {
            let value: Value = serde_json::from_str(&self.text().await).unwrap();
            if is_it(&value) {
                return value;
            }
            self.early.push_back(value);
        }
    }

    pub(crate) async fn register(&mut self, service: &str) {
        let answer = self.call("rpc.register", json!({ "service": service })).await;
        assert_eq!(answer["result"], json!({ "service": service, "node": "main-a" }));
    }

    /// Reads on until the server closes, and gives the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => {
                    // Which also tells the server that it was heard.
                    let nothing = within(self.socket.next()).await;
                    assert!(nothing.is_none_or(|last| last.is_err()));
                    return frame.expect("a reason").code.into();
                }
                Some(Ok(_)) => {}
                other => panic!("not closed in order: {other:?}"),
            }
        }
    }
}

/// What an error of the relay says: code and whether the call ran.
pub(crate) fn failure(answer: &Value) -> (&str, &str) {
    let data = &answer["error"]["data"];
    let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("{answer}"));
    (text("code"), text("executed"))
}

pub(crate) fn request(id: u64, method: &str, params: Value, relay: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params, "relay": relay })
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(waiting).await;
}

/// Far more than any step takes, so that only what hangs is ended.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing came in time")
}
