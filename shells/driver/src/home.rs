//! A Home in a few lines: services written as functions from JSON to JSON.

use crate::endpoint::{Endpoint, EndpointError};
use crate::node::{Node, NodeConfig, StartError};
use crate::runtime::Runtime;
use crate::service::{Service, ServiceError, ServiceRequest, ServiceResult, service_fn};
use bytes::Bytes;
use relay_core::{CallError, ErrorCode, Role};
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A Home relay: it dials a Main and offers services there.
#[derive(Debug)]
pub struct Home<R> {
    node: Node<R>,
}

/// A Home that is being set up.
pub struct HomeBuilder<R> {
    address: String,
    config: NodeConfig,
    services: Vec<(String, Arc<dyn Service>)>,
    runtime: PhantomData<fn() -> R>,
}

/// The error of a service: code and message of a JSON-RPC error object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonError {
    /// Codes from -32099 to -32000 are for applications (JSON-RPC 2.0, section 5.1), as are all
    /// outside the reserved range.
    pub code: i64,
    /// One sentence.
    pub message: String,
}

/// Why a Home or a client could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be used.
    Address(EndpointError),
    /// The node could not start.
    Start(StartError),
    /// A service was refused.
    Service(CallError),
    /// The Main did not accept the link in time. It is tried again as long as the handle lives.
    NotYet,
}

impl<R: Runtime> Home<R> {
    /// Sets up a Home that will keep a link to the Main at `address`.
    pub fn connect(address: impl Into<String>) -> HomeBuilder<R> {
        let config = NodeConfig::new(Role::Home);
        let (address, services) = (address.into(), Vec::new());
        HomeBuilder { address, config, services, runtime: PhantomData }
    }

    /// The node behind it: for calls, events and the registry.
    #[must_use]
    pub const fn node(&self) -> &Node<R> {
        &self.node
    }

    /// Leaves in good order. See [`Node::shutdown`].
    pub async fn shutdown(self, grace: Duration) {
        self.node.shutdown(grace).await;
    }
}

impl<R: Runtime> HomeBuilder<R> {
    /// Chooses the id of the node.
    #[must_use]
    pub fn node_id(mut self, id: impl Into<String>) -> Self {
        self.config.node_id = Some(id.into());
        self
    }

    /// Changes anything else of the node's configuration.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut NodeConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Offers a service: `handler` gets the method and the parameters of each call.
    #[must_use]
    pub fn service<F, Fut>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(String, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, JsonError>> + Send + 'static,
    {
        self.raw_service(name, service_fn(&[], move |request| answer(request, &handler)))
    }

    /// Offers a service that sees the bytes as they came.
    #[must_use]
    pub fn raw_service(mut self, name: impl Into<String>, service: impl Service) -> Self {
        self.services.push((name.into(), Arc::new(service)));
        self
    }

    /// Starts the Home. It connects as soon as its Main can be reached, and again whenever the
    /// link is lost.
    ///
    /// # Errors
    /// [`ConnectError`] when the configuration cannot be used.
    #[expect(clippy::unused_async, reason = "must be called inside a runtime; says so in its type")]
    pub async fn start(self) -> Result<Home<R>, ConnectError> {
        self.start_on(R::current())
    }

    /// The same on a runtime that was made for it: with a TLS configuration of its own, say.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(mut self, runtime: R) -> Result<Home<R>, ConnectError> {
        let endpoint = Endpoint::parse(&self.address).map_err(ConnectError::Address)?;
        self.config.upstreams.push(endpoint);
        let node = Node::start_on(self.config, runtime).map_err(ConnectError::Start)?;
        for (name, service) in self.services {
            node.register(&name, service).map_err(ConnectError::Service)?;
        }
        Ok(Home { node })
    }
}

impl JsonError {
    /// An error with the code -32000.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: -32_000, message: message.into() }
    }
}

fn answer<F, Fut>(
    request: ServiceRequest,
    handler: &F,
) -> impl Future<Output = ServiceResult> + Send + 'static + use<F, Fut>
where
    F: Fn(String, Value) -> Fut,
    Fut: Future<Output = Result<Value, JsonError>> + Send + 'static,
{
    let body: &[u8] = if request.body.is_empty() { b"null" } else { &request.body };
    let started = serde_json::from_slice(body)
        .map(|params| handler(request.method, params))
        .map_err(|error| ServiceError::refused(ErrorCode::BadParams, error.to_string()));
    async move {
        match started?.await {
            Ok(value) => Ok(Bytes::from(value.to_string())),
            Err(JsonError { code, message }) => {
                let object = serde_json::json!({ "code": code, "message": message });
                Err(ServiceError::Application(Bytes::from(object.to_string())))
            }
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Service(error) => error.fmt(f),
            Self::NotYet => f.write_str("the Main did not accept the link in time"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl<R> fmt::Debug for HomeBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HomeBuilder")
            .field("address", &self.address)
            .field("services", &names)
            .finish()
    }
}
