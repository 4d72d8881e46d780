//! The node that the classes of the npm package stand on.

use crate::Node;
use crate::fields::{Fields, object, promise};
use crate::outgoing::Outgoing;
use crate::runtime::Browser;
use crate::service::JsService;
use crate::topics::Subscribed;
use js_sys::{Function, Promise, Uint8Array};
use relay_core::{CallError, Event, Limits, Priority, Publish, Retry, Role};
use relay_driver::{CallRequest, Endpoint, NodeConfig};
use std::sync::Arc;
use std::time::Duration;
use wasm_bindgen::prelude::*;

/// A Home or a caller, for JavaScript. Everything that is JSON goes in and out as text.
#[wasm_bindgen]
pub struct RelayNode {
    node: Node,
}

#[wasm_bindgen]
impl RelayNode {
    /// Starts a node: `{ role, addresses, nodeId, secretKey, cluster, token, zone, WebSocket }`.
    ///
    /// # Errors
    /// An `Error` that says which of them cannot be used.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue) -> Result<Self, JsError> {
        let fields = Fields(options);
        let is_home = fields.text("role").as_deref() == Some("home");
        let mut config = NodeConfig::new(if is_home { Role::Home } else { Role::Caller });
        config.node_id = fields.text("nodeId");
        config.token = fields.text("token");
        config.zone = fields.text("zone").unwrap_or_default();
        if let Some(cluster) = fields.text("cluster") {
            config.cluster = cluster;
        }
        let key = fields.value("secretKey");
        if let Some(key) = key.dyn_ref::<Uint8Array>() {
            let bytes = <[u8; 32]>::try_from(key.to_vec());
            let bytes = bytes.map_err(|_| JsError::new("a secret key has 32 bytes"))?;
            config.secret_key = Some(bytes);
        }
        for address in fields.texts("addresses") {
            config.upstreams.push(Endpoint::parse(&address)?);
        }
        // Queues of a tab, not of a server.
        config.limits = Limits { local_calls_max: LOCAL_CALLS_MAX, ..Limits::default() };
        let runtime = Browser::with_socket_class(fields.value("WebSocket"));
        Ok(Self { node: Node::start_on(config, runtime)? })
    }

    /// The id of the node.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> String {
        self.node.id().as_str().into()
    }

    /// Whether a Main has accepted the link.
    #[wasm_bindgen(getter, js_name = isConnected)]
    pub fn is_connected(&self) -> bool {
        self.node.is_connected()
    }

    /// Ready when a Main has accepted the link.
    pub fn connected(&self) -> Promise {
        let node = self.node.clone();
        promise(async move {
            node.connected().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Calls `listener` with every event of the node that its user may want to know.
    pub fn listen(&self, listener: Function) {
        let mut events = self.node.events();
        wasm_bindgen_futures::spawn_local(async move {
            while let Some(event) = events.next().await {
                if let Some(event) = described(&event) {
                    // What a listener throws is its own affair.
                    let _ = listener.call1(&JsValue::UNDEFINED, &event);
                }
            }
        });
    }

    /// Offers a service. `function` gets `{ method, params, deadline, idempotent, headers, signal,
    /// stream }` and promises the result as JSON text.
    ///
    /// # Errors
    /// The failure, when the name is invalid or a bound is reached.
    pub fn register(
        &self,
        name: &str,
        methods: Vec<String>,
        function: Function,
    ) -> Result<(), JsValue> {
        let service = Arc::new(JsService::new(methods, function));
        self.node.register(name, service).map_err(|error| failure(&error))
    }

    /// Takes a service back. Tells whether it was offered.
    pub fn withdraw(&self, name: &str) -> bool {
        self.node.withdraw(name)
    }

    /// Makes a call: `{ node, service, method, params, deadline, idempotent, priority, trace,
    /// headers, streams }`.
    ///
    /// # Errors
    /// The failure, when a streaming call is not accepted at all.
    pub fn call(&self, request: &JsValue) -> Result<Outgoing, JsValue> {
        let fields = Fields(request);
        let text = |name| fields.text(name).unwrap_or_default();
        let mut request = CallRequest::new(text("service"), text("method"), text("params"));
        request.node = fields.text("node");
        request.idempotent = fields.is_set("idempotent");
        request.trace = fields.is_set("trace");
        if let Some(millis) = fields.number("deadline") {
            request.deadline = Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or_default();
        }
        if let Some(name) = fields.text("priority") {
            let named = Priority::ALL.into_iter().find(|priority| priority.name() == name);
            request.priority = named.unwrap_or_default();
        }
        let headers = fields.texts("headers");
        let pairs = headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        request.headers = pairs.collect();
        let node = self.node.clone();
        if !fields.is_set("streams") {
            return Ok(Outgoing::new(async move { node.call_traced(request).await }, None));
        }
        let called = node.call_streaming(&request).map_err(|error| failure(&error));
        let (stream, answer) = called?;
        Ok(Outgoing::new(async move { (answer.await, Vec::new()) }, Some(stream)))
    }

    /// Says something on a topic. `headers` are keys and values in turn.
    ///
    /// # Errors
    /// The failure, when it was not handed to the Main.
    pub fn publish(&self, topic: &str, body: &[u8], headers: Vec<String>) -> Result<(), JsValue> {
        let pairs = headers.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
        let headers: Vec<(&str, &str)> = pairs.collect();
        let publish = Publish { topic, body, headers: &headers };
        self.node.publish_with(publish).map(drop).map_err(|error| failure(&error))
    }

    /// A subscription to nothing yet.
    pub fn subscription(&self) -> Subscribed {
        Subscribed::new(self.node.subscription())
    }

    /// Looks at the clock, and dials at once if there is no link: the page has come back.
    pub fn wake(&self) {
        self.node.runtime().wake();
        self.node.dial_now();
    }

    /// Says goodbye, after calls in flight had up to `grace` milliseconds to end.
    pub fn close(&self, grace: f64) -> Promise {
        let node = self.node.clone();
        promise(async move {
            node.close(Duration::try_from_secs_f64(grace / 1_000.0).unwrap_or_default()).await;
            node.runtime().end();
            Ok(JsValue::UNDEFINED)
        })
    }
}

/// A failure in the words of docs/errors.md.
pub(crate) fn failure(error: &CallError) -> JsValue {
    let message = if error.message.is_empty() { error.code.meaning() } else { &error.message };
    let mut fields = vec![
        ("code", error.code.name().into()),
        ("rpcCode", error.code.json_rpc().into()),
        ("executed", error.executed.name().into()),
        ("retry", error.retry.name().into()),
        ("node", error.node.as_str().into()),
        ("message", message.into()),
    ];
    if let Retry::AfterMs(millis) = error.retry {
        fields.push(("retryAfter", millis.into()));
    }
    if let Some(limit) = error.limit {
        fields.push(("limit", (limit as f64).into()));
    }
    object(&fields)
}

fn described(event: &Event) -> Option<JsValue> {
    let fields: &[(&str, JsValue)] = match event {
        Event::LinkUp { node, .. } => {
            &[("type", "connected".into()), ("node", node.as_str().into())]
        }
        Event::LinkDown { reason, detail, .. } => {
            let space = if detail.is_empty() { "" } else { ": " };
            let reason = format!("{reason}{space}{detail}");
            &[("type", "disconnected".into()), ("reason", reason.into())]
        }
        Event::DialAgain { address, pause_ms, .. } => &[
            ("type", "retrying".into()),
            ("address", address.as_str().into()),
            ("pause", (*pause_ms).into()),
        ],
        Event::RegistrationRefused { service, code, message } => &[
            ("type", "refused".into()),
            ("service", service.as_str().into()),
            ("code", code.name().into()),
            ("message", message.as_str().into()),
        ],
        Event::Subscribed { pattern } => {
            &[("type", "subscribed".into()), ("pattern", pattern.as_str().into())]
        }
        Event::SubscriptionRefused { pattern, code, message } => &[
            ("type", "subscriptionRefused".into()),
            ("pattern", pattern.as_str().into()),
            ("code", code.name().into()),
            ("message", message.as_str().into()),
        ],
        Event::NotPublished { count, code } => &[
            ("type", "notPublished".into()),
            ("count", (*count).into()),
            ("code", code.name().into()),
        ],
        _ => return None,
    };
    Some(object(fields))
}

const LOCAL_CALLS_MAX: u32 = 4_096;
