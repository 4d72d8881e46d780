//! Where a scenario takes place: Mains at addresses, and nodes on the shell under test.

use crate::desk::Desk;
use bytes::Bytes;
use futures_util::future::{Either, select};
use relay_driver::api::{
    Answer, CallError, CallRequest, Endpoint, EndpointError, ErrorCode, Executed, NodeConfig, Role,
    service_fn,
};
use relay_driver::{Node, Runtime};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Two Mains at addresses, and what nodes need to be let in by them. They have default limits,
/// whatever token is named here, the cluster `default`, and a link between them. Where nothing else
/// is said, a scenario takes place at the first.
pub struct World<R> {
    mains: [Endpoint; 2],
    token: String,
    runtime: Box<dyn Fn() -> R + Send + Sync>,
}

/// A Home of a scenario, with what its service counts.
pub(crate) struct Home<R> {
    pub(crate) node: Node<R>,
    pub(crate) desk: Arc<Desk>,
}

impl<R: Runtime> World<R> {
    /// Nodes will run on what `runtime` returns and dial one of `mains`, which ask for `token`.
    ///
    /// # Errors
    /// [`EndpointError`] when one of `mains` is no address.
    pub fn new(
        [first, second]: [&str; 2],
        token: &str,
        runtime: impl Fn() -> R + Send + Sync + 'static,
    ) -> Result<Self, EndpointError> {
        let mains = [Endpoint::parse(first)?, Endpoint::parse(second)?];
        Ok(Self { mains, token: token.into(), runtime: Box::new(runtime) })
    }

    /// The shell under test, for a node that is started in another way.
    pub(crate) fn runtime(&self) -> R {
        (self.runtime)()
    }

    /// A name that no other scenario has, nor the same one when it is run again.
    pub(crate) fn name(&self, what: &str) -> String {
        let random = (self.runtime)().random().unwrap_or_default();
        format!("{what}-{:08x}", u32::from_be_bytes([random[0], random[1], random[2], random[3]]))
    }

    /// A key that a node can come back with.
    pub(crate) fn secret(&self) -> [u8; 32] {
        (self.runtime)().random().unwrap_or_default()
    }

    /// What a node of this name needs to be let in.
    pub(crate) fn config(&self, role: Role, node_id: &str) -> NodeConfig {
        let mut config = NodeConfig::new(role);
        config.node_id = Some(node_id.into());
        config.token = Some(self.token.clone());
        config.upstreams = vec![self.mains[0].clone()];
        config
    }

    pub(crate) fn start(&self, config: NodeConfig) -> Result<Node<R>, String> {
        Node::start_on(config, (self.runtime)()).map_err(|error| error.to_string())
    }

    /// A caller that is linked.
    pub(crate) async fn caller(&self) -> Result<Node<R>, String> {
        self.caller_at(0).await
    }

    /// The same at one of both Mains.
    pub(crate) async fn caller_at(&self, main: usize) -> Result<Node<R>, String> {
        let mut config = self.config(Role::Caller, &self.name("caller"));
        config.upstreams = vec![self.mains[main].clone()];
        let caller = self.start(config)?;
        self.within("the caller is linked", caller.connected()).await?;
        Ok(caller)
    }

    /// A Home whose `service` `caller` can call.
    pub(crate) async fn home(&self, caller: &Node<R>, service: &str) -> Result<Home<R>, String> {
        self.home_with(caller, service, self.config(Role::Home, &self.name("home"))).await
    }

    pub(crate) async fn home_with(
        &self,
        caller: &Node<R>,
        service: &str,
        config: NodeConfig,
    ) -> Result<Home<R>, String> {
        let node = self.start(config)?;
        let desk = Arc::new(Desk::new(node.id().as_str()));
        let refused = |error: CallError| format!("cannot register: {error}");
        node.register(service, Desk::service(&desk)).map_err(refused)?;
        // What is registered later is known later; and this one counts nothing.
        let ready = format!("{service}-ready");
        let at_once = service_fn(&[], |_| async { Ok(Bytes::new()) });
        node.register(&ready, Arc::new(at_once)).map_err(refused)?;
        let probe = CallRequest { node: Some(node.id().to_string()), ..request(&ready, "x", "") };
        let probing = async {
            while caller.call(probe.clone()).await.is_err() {
                self.pause().await;
            }
        };
        self.within("the service is offered", probing).await?;
        Ok(Home { node, desk })
    }

    /// A Home that offers `service`, and a caller.
    pub(crate) async fn pair(&self, service: &str) -> Result<(Home<R>, Node<R>), String> {
        let caller = self.caller().await?;
        Ok((self.home(&caller, service).await?, caller))
    }

    /// The end of a scenario that went well: its nodes leave.
    pub(crate) async fn leave(
        &self,
        nodes: impl IntoIterator<Item = Node<R>>,
    ) -> Result<(), String> {
        for node in nodes {
            self.within("the nodes leave", node.shutdown(Duration::ZERO)).await?;
        }
        Ok(())
    }

    /// What comes of `future`, which takes as long as it likes but does not hang.
    pub(crate) async fn within<T>(
        &self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, String> {
        match select(pin!(future), (self.runtime)().sleep(PATIENCE)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => Err(format!("this never happened: {what}")),
        }
    }

    /// Looks again and again until `condition` holds.
    pub(crate) async fn until(
        &self,
        what: &str,
        condition: impl Fn() -> bool,
    ) -> Result<(), String> {
        let looking = async {
            while !condition() {
                self.pause().await;
            }
        };
        self.within(what, looking).await
    }

    /// Lets others run.
    pub(crate) async fn pause(&self) {
        (self.runtime)().sleep(Duration::from_millis(1)).await;
    }

    /// The answer to a call.
    pub(crate) async fn call(
        &self,
        caller: &Node<R>,
        request: CallRequest,
    ) -> Result<Result<Answer, CallError>, String> {
        let what = format!("{}.{} is answered", request.service, request.method);
        self.within(&what, caller.call(request)).await
    }
}

/// A call that has all the time of the scenario.
pub(crate) fn request(service: &str, method: &str, body: impl Into<Bytes>) -> CallRequest {
    CallRequest { deadline: 2 * PATIENCE, ..CallRequest::new(service, method, body) }
}

/// What the answer must be if all goes well.
pub(crate) fn result(body: impl Into<Bytes>) -> Result<Answer, CallError> {
    Ok(Answer::Result(body.into()))
}

/// Fails with both values where they differ.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Result<(), String> {
    ensure(got == expected, || format!("{what}: got {got:?}, expected {expected:?}"))
}

/// Fails where something does not hold.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Checks that a call failed in this way.
pub(crate) fn failed<T: Debug>(
    what: &str,
    answer: Result<T, CallError>,
    code: ErrorCode,
    executed: Executed,
) -> Result<CallError, String> {
    match answer {
        Err(error) if (error.code, error.executed) == (code, executed) => Ok(error),
        other => {
            Err(format!("{what}: expected {code}, executed {executed:?}; got {}", short(&other)))
        }
    }
}

/// The beginning of a value that may be megabytes long.
pub(crate) fn short(value: &impl Debug) -> String {
    format!("{value:?}").chars().take(500).collect()
}

/// Far more than anything takes, so that only what hangs is ended.
pub const PATIENCE: Duration = Duration::from_secs(60);
