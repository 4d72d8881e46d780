//! A running node: tasks for its timer, its dials and its links around one engine.

use crate::call::CallRequest;
use crate::census::Census;
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::events::EventStream;
use crate::runtime::{Runtime, within};
use crate::service::Service;
use crate::stream::{CallStream, STREAM_WINDOW};
use crate::tasks::{run_dials, run_timer};
use crate::transport::{Transport, drive};
use crate::view::RegistryView;
use bytes::Bytes;
use relay_core::{
    Balancing, CallError, Compression, Config, DialId, HandshakeError, Identity, Limits,
    LimitsInvalid, NameInvalid, NodeId, Role, Side, Stats, TraceHop,
};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// A handle on a running node: a Main, a Home or a caller. Cheap to clone; the node ends with the
/// runtime, or by [`Node::shutdown`].
pub struct Node<R> {
    pub(crate) engine: Arc<Engine>,
    role: Role,
    runtime: Arc<R>,
}

/// What a node is called, belongs to and connects to.
#[derive(Clone)]
pub struct NodeConfig {
    /// What the node is.
    pub role: Role,
    /// Its id; derived from the key when there is none.
    pub node_id: Option<String>,
    /// Its secret key; a fresh random one when there is none.
    pub secret_key: Option<[u8; 32]>,
    /// The federation it belongs to.
    pub cluster: String,
    /// The secret shown when dialling, and asked for when accepting.
    pub token: Option<String>,
    /// Bounds and periods.
    pub limits: Limits,
    /// The Main to dial, or several: a link is kept to one of them, in this order.
    pub upstreams: Vec<Endpoint>,
    /// Where the node is; instances in the same zone are preferred.
    pub zone: String,
    /// How instances are chosen.
    pub balancing: Balancing,
    /// What the node says its address is.
    pub address: String,
    /// What longer bodies that the node writes are compressed with, where who reads them can.
    pub compression: Option<Compression>,
    /// A bit for each compression that frames to the node may have: all that it can read, and for a
    /// Main all there are, unless this says otherwise.
    pub compressions: Option<u8>,
}

/// What a handler answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Its result; empty for none.
    Result(Bytes),
    /// Its own error object, as it wrote it.
    ApplicationError(Bytes),
}

/// The answer to a call, and the nodes that it crossed.
pub type TracedAnswer = (Result<Answer, CallError>, Vec<TraceHop>);

/// Why a node could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The node id breaks the naming rules.
    NodeId(NameInvalid),
    /// The node id belongs to another key.
    Identity(HandshakeError),
    /// The cluster name breaks the naming rules.
    Cluster,
    /// A limit is out of range.
    Limits(LimitsInvalid),
    /// The program was built without what such a node does (the feature `main`).
    Role(Role),
    /// The system gives no random bytes.
    Entropy,
    /// A pool whose numbers contradict each other, or whose links would not be callers of their
    /// own.
    Pool,
}

impl NodeConfig {
    /// A node with a random key, default limits and nobody to dial.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            node_id: None,
            secret_key: None,
            cluster: String::from("default"),
            token: None,
            limits: Limits::default(),
            upstreams: Vec::new(),
            zone: String::new(),
            balancing: Balancing::default(),
            address: String::new(),
            compression: None,
            compressions: None,
        }
    }
}

impl<R> Clone for Node<R> {
    fn clone(&self) -> Self {
        let (engine, runtime) = (Arc::clone(&self.engine), Arc::clone(&self.runtime));
        Self { engine, role: self.role, runtime }
    }
}

impl<R> Node<R> {
    /// Says goodbye on every link and waits for nothing.
    pub(crate) fn close_now(&self) {
        self.engine.drain();
        self.engine.close_all();
    }
}

impl<R: Runtime> Node<R> {
    /// Starts a node on the runtime of the caller.
    ///
    /// # Errors
    /// [`StartError`] when the configuration cannot be used.
    ///
    /// # Panics
    /// When called outside a runtime, where that has to be running already.
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        Self::start_on(config, R::current())
    }

    /// The same on a runtime that was made for it: with a TLS configuration of its own, say.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(config: NodeConfig, runtime: R) -> Result<Self, StartError> {
        Self::start_shared(config, Arc::new(runtime))
    }

    pub(crate) fn start_shared(config: NodeConfig, runtime: Arc<R>) -> Result<Self, StartError> {
        let random = || runtime.random().ok_or(StartError::Entropy);
        let role = config.role;
        if !role.is_built() {
            return Err(StartError::Role(role));
        }
        config.limits.validate().map_err(StartError::Limits)?;
        if !relay_core::is_node_id(&config.cluster) {
            return Err(StartError::Cluster);
        }
        let name = config.node_id.as_deref().map(NodeId::new).transpose();
        let name = name.map_err(StartError::NodeId)?;
        let key = config.secret_key.map_or_else(random, Ok)?;
        let identity = Identity::new(&key, name).map_err(StartError::Identity)?;
        let mut core = Config::new(role);
        core.cluster = config.cluster;
        core.token = config.token;
        core.limits = config.limits;
        core.zone = config.zone;
        core.balancing = config.balancing;
        core.compression = config.compression;
        core.compressions = config.compressions.unwrap_or(core.compressions);
        let node = relay_core::Node::new(core, identity, random()?);
        let shared: Arc<dyn Runtime> = Arc::clone(&runtime) as _;
        let engine = Engine::new(node, config.address, Arc::clone(&shared));
        runtime.spawn(Box::pin(run_timer(Arc::downgrade(&engine), Arc::clone(&shared))));
        runtime.spawn(Box::pin(run_dials(Arc::downgrade(&engine), shared)));
        if !config.upstreams.is_empty() {
            let upstreams: Vec<String> = config.upstreams.iter().map(Endpoint::to_string).collect();
            engine.dial(&upstreams);
        }
        Ok(Self { engine, role, runtime })
    }

    /// What the node runs on.
    #[must_use]
    pub fn runtime(&self) -> &R {
        &self.runtime
    }

    /// The id of the node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        self.engine.id()
    }

    /// What the node is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Calls a service and waits for the one answer. Dropping the future cancels the call.
    ///
    /// # Errors
    /// A [`CallError`] with the outcome: whether the handler ran, and whether to try again.
    pub async fn call(&self, request: CallRequest) -> Result<Answer, CallError> {
        self.call_traced(request).await.0
    }

    /// The same, with the nodes that the call crossed if it asks for a trace: who served it first,
    /// this node last.
    pub async fn call_traced(&self, request: CallRequest) -> TracedAnswer {
        let call = match self.engine.call(&request) {
            Ok(call) => call,
            Err(error) => return (Err(error), Vec::new()),
        };
        let (answer, trace) = call.await;
        (outcome(answer), trace)
    }

    /// Calls a service that sends a stream before its result: the stream, which ends with the call
    /// or before, and the answer. Both are to be awaited; the stream is sent no faster than it is
    /// read, at most [`STREAM_WINDOW`] ahead.
    ///
    /// ```no_run
    /// # use relay_driver::{CallRequest, Node, Runtime};
    /// # async fn example(node: Node<impl Runtime>) -> Result<(), relay_core::CallError> {
    /// let request = CallRequest::new("counter", "count_to", "[3]");
    /// let (stream, answer) = node.call_streaming(&request)?;
    /// while let Some(chunk) = stream.next().await {
    ///     println!("{}", String::from_utf8_lossy(&chunk));
    /// }
    /// println!("{:?}", answer.await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A [`CallError`] when the call is not accepted at all, or with its outcome.
    pub fn call_streaming(
        &self,
        request: &CallRequest,
    ) -> Result<(CallStream, impl Future<Output = Result<Answer, CallError>> + use<R>), CallError>
    {
        let (stream, answer) = self.call_streaming_traced(request)?;
        Ok((stream, async { answer.await.0 }))
    }

    /// The same, with the nodes that the call crossed if it asks for a trace.
    ///
    /// # Errors
    /// A [`CallError`] when the call is not accepted at all, or with its outcome.
    pub fn call_streaming_traced(
        &self,
        request: &CallRequest,
    ) -> Result<(CallStream, impl Future<Output = TracedAnswer> + use<R>), CallError> {
        let (stream, call) = self.engine.call_streaming(request, STREAM_WINDOW)?;
        let answer = async {
            let (answer, trace) = call.await;
            (outcome(answer), trace)
        };
        Ok((stream, answer))
    }

    /// Offers a service to everyone.
    ///
    /// # Errors
    /// A [`CallError`] when the name is invalid or a bound is reached.
    pub fn register(&self, name: &str, service: Arc<dyn Service>) -> Result<(), CallError> {
        self.engine.register(name, service)
    }

    /// Takes a service back. Tells whether it was offered.
    #[must_use]
    pub fn withdraw(&self, name: &str) -> bool {
        self.engine.withdraw(name)
    }

    /// What the node knows of services and peers.
    #[must_use]
    pub fn registry(&self) -> RegistryView {
        self.engine.registry()
    }

    /// Counts links, services, dials and calls; much cheaper than [`Self::registry`].
    #[must_use]
    pub fn census(&self) -> Census {
        self.engine.census()
    }

    /// Whether some node offers this service, as far as this node knows.
    #[must_use]
    pub fn is_offered(&self, service: &str) -> bool {
        self.engine.is_offered(service)
    }

    /// Whether this node itself offers this service.
    #[must_use]
    pub fn is_own(&self, service: &str) -> bool {
        self.engine.is_own(service)
    }

    /// Keeps a link to another Main from now on.
    pub fn add_peer(&self, endpoint: &Endpoint) -> DialId {
        self.engine.dial(&[endpoint.to_string()])
    }

    /// Waits no longer before dialling again: for hosts that know that the network has come back.
    pub fn dial_now(&self) {
        self.engine.dial_now();
    }

    /// Stops keeping a link to a node or an address. Tells whether one was kept.
    #[must_use]
    pub fn remove_peer(&self, node_or_address: &str) -> bool {
        self.engine.undial(node_or_address)
    }

    /// Whether a link that this node dialled is authenticated.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.engine.is_connected()
    }

    /// Waits until a link that this node dialled is authenticated.
    pub async fn connected(&self) {
        poll_fn(|cx| self.engine.poll_until(|node| node.control().is_connected(), cx)).await;
    }

    /// Why there is no link yet, as far as the last attempt of a dial tells.
    #[must_use]
    pub fn dial_trouble(&self) -> Option<String> {
        self.engine.dial_trouble()
    }

    /// Events from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.engine.events()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Links, those that are not authenticated yet included.
    #[must_use]
    pub fn link_count(&self) -> u32 {
        self.engine.link_count()
    }

    /// Whether the node is leaving.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Calls in flight: made here, served here, or passing through.
    #[must_use]
    pub fn calls_in_flight(&self) -> u32 {
        self.engine.calls_in_flight()
    }

    /// Leaves in good order. A Main first asks everyone to use others and works on, until nobody
    /// is linked any more or half of `grace` is over. Then new calls are refused, those in flight
    /// finish for up to the rest of `grace`, and there is a goodbye on every link.
    pub async fn shutdown(&self, grace: Duration) {
        let until = self.runtime.now() + grace;
        self.leave(grace / 2).await;
        self.close(until.saturating_sub(self.runtime.now())).await;
    }

    /// The first half of [`Node::shutdown`]: a Main asks everyone to use others and works on, until
    /// nobody is linked any more or `patience` is over. Tells whether everyone left. For other
    /// nodes there is nothing to do.
    pub async fn leave(&self, patience: Duration) -> bool {
        if self.role != Role::Main {
            return true;
        }
        self.engine.leave();
        self.comes_true(patience, || self.engine.link_count() == 0).await
    }

    /// The second half of [`Node::shutdown`]: new calls are refused, those in flight finish for up
    /// to `grace`, and there is a goodbye on every link.
    pub async fn close(&self, grace: Duration) {
        self.engine.drain();
        self.comes_true(grace, || self.engine.calls_in_flight() == 0).await;
        self.engine.close_all();
        self.comes_true(GOODBYE_TIMEOUT, || self.engine.connection_count() == 0).await;
    }

    /// Looks again and again until `condition` holds or `patience` is over. Tells whether it holds.
    async fn comes_true(&self, patience: Duration, condition: impl Fn() -> bool) -> bool {
        let waiting = async {
            while !condition() {
                self.runtime.sleep(DRAIN_LOOK).await;
            }
        };
        within(&*self.runtime, patience, waiting).await.is_some()
    }

    /// Takes over a connection that somebody made to this node.
    pub fn accept(&self, transport: impl Transport) {
        let Ok(link) = self.engine.open_link(Side::Accepted) else { return };
        let runtime: Arc<dyn Runtime> = Arc::clone(&self.runtime) as _;
        let driven = drive(Arc::clone(&self.engine), link, transport, runtime);
        self.runtime.spawn(Box::pin(async { drop(driven.await) }));
    }
}

fn outcome(answer: relay_core::Answer) -> Result<Answer, CallError> {
    match answer {
        relay_core::Answer::Result(body) => Ok(Answer::Result(body)),
        relay_core::Answer::ApplicationError(body) => Ok(Answer::ApplicationError(body)),
        relay_core::Answer::Failed(error) => Err(*error),
    }
}

impl<R> fmt::Debug for Node<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, role) = (self.engine.id(), self.role);
        f.debug_struct("Node").field("id", id).field("role", &role).finish_non_exhaustive()
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("role", &self.role)
            .field("node_id", &self.node_id)
            .field("cluster", &self.cluster)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeId(invalid) => invalid.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Cluster => f.write_str("a cluster name is 1 to 64 of a-z 0-9 . _ -"),
            Self::Limits(invalid) => invalid.fmt(f),
            Self::Role(role) => write!(f, "this program cannot be a {}", role.name()),
            Self::Entropy => f.write_str("the system gives no random bytes"),
            Self::Pool => f.write_str(
                "a pool keeps 1 to max links; each is a caller without an id or a key of its own",
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// How often a node that leaves looks whether it may.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// Time to write the goodbyes.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
