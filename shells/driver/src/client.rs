//! A caller in a few lines.

use crate::call::CallRequest;
use crate::endpoint::Endpoint;
use crate::home::ConnectError;
use crate::node::{Answer, Node, NodeConfig};
use crate::runtime::{Runtime, within};
use bytes::Bytes;
use relay_core::{CallError, ErrorCode, Executed, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;

/// A caller with a link to a Main.
#[derive(Debug)]
pub struct Client<R> {
    node: Node<R>,
}

/// Why a call gave no result.
#[derive(Clone, Debug)]
pub enum CallFailure {
    /// The service answered with an error object of its own.
    Application(Box<RawValue>),
    /// A relay could not get an answer from the service.
    Relay(CallError),
}

impl<R> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone() }
    }
}

impl<R: Runtime> Client<R> {
    /// Connects to the Main at `address` and waits up to ten seconds for it.
    ///
    /// # Errors
    /// [`ConnectError`] when the address cannot be used or the Main does not accept.
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        Self::connect_on(address, R::current()).await
    }

    /// The same on a runtime that was made for it: with a TLS configuration of its own, say.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_on(address: &str, runtime: R) -> Result<Self, ConnectError> {
        let mut config = NodeConfig::new(Role::Caller);
        config.upstreams = vec![Endpoint::parse(address).map_err(ConnectError::Address)?];
        let node = Node::start_on(config, runtime).map_err(ConnectError::Start)?;
        let connected = within(node.runtime(), CONNECT_TIMEOUT, node.connected()).await;
        connected.ok_or(ConnectError::NotYet)?;
        Ok(Self { node })
    }

    /// Calls `method` of any instance of `service`.
    ///
    /// # Errors
    /// [`CallFailure`] with the service's own error, or with the relay's and its outcome.
    pub async fn call<T: DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        params: &(impl Serialize + ?Sized + Sync),
    ) -> Result<T, CallFailure> {
        let refuse = |code, error: serde_json::Error, executed| {
            let error = CallError::new(code, self.node.id().as_str(), error.to_string());
            CallFailure::Relay(error.with_executed(executed))
        };
        let body = serde_json::to_vec(params)
            .map_err(|error| refuse(ErrorCode::BadParams, error, Executed::No))?;
        let answer = self.node.call(CallRequest::new(service, method, body)).await;
        match answer.map_err(CallFailure::Relay)? {
            Answer::Result(body) => {
                let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
                serde_json::from_slice(&body)
                    .map_err(|error| refuse(ErrorCode::BadResponse, error, Executed::Yes))
            }
            Answer::ApplicationError(body) => Err(match serde_json::from_slice(&body) {
                Ok(object) => CallFailure::Application(object),
                Err(error) => refuse(ErrorCode::BadResponse, error, Executed::Yes),
            }),
        }
    }

    /// The node behind it: for calls with options, and for events.
    #[must_use]
    pub const fn node(&self) -> &Node<R> {
        &self.node
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(object) => write!(f, "the service answered: {object}"),
            Self::Relay(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallFailure {}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
