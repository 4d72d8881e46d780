//! What a Home offers: a service takes requests and answers them, on whatever runtime.

use crate::stream::CallStream;
use bytes::Bytes;
use relay_core::{ErrorCode, Executed};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future, so that services of different kinds fit one table.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// One call, as a service sees it.
#[derive(Clone, Debug)]
pub struct ServiceRequest {
    /// The method, checked against the naming rules.
    pub method: String,
    /// The parameters, byte for byte as the caller wrote them (JSON by default). Empty when the
    /// caller sent no `params`.
    pub body: Bytes,
    /// Time left until the caller is told that the deadline passed.
    pub deadline: Duration,
    /// The caller declared that running the call twice does no harm.
    pub idempotent: bool,
    /// The streams of the call, where the caller asked for them: chunks sent here reach it before
    /// the result does.
    pub stream: Option<CallStream>,
    /// What the caller sent along, as pairs of key and value, such as a W3C `traceparent`.
    pub headers: Vec<(String, String)>,
}

/// Why a service did not return a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceError {
    /// The service ran and answered with a JSON-RPC 2.0 error object, passed on byte for byte.
    Application(Bytes),
    /// The relay's own vocabulary, for hosts that could not run the call.
    Failed {
        /// What went wrong.
        code: ErrorCode,
        /// Whether the handler ran. `No` only when it provably did not.
        executed: Executed,
        /// One sentence for a person.
        message: String,
    },
}

impl ServiceError {
    /// The service has no such method; nothing ran.
    #[must_use]
    pub fn no_such_method(method: &str) -> Self {
        Self::refused(ErrorCode::NoSuchMethod, format!("no method '{method}'"))
    }

    /// The call was refused before anything ran.
    #[must_use]
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed { code, executed: Executed::No, message: message.into() }
    }

    /// The call failed with the outcome that `code` implies.
    #[must_use]
    pub fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed { code, executed: code.executed(), message: message.into() }
    }
}

/// A result (JSON by default), or why there is none.
pub type ServiceResult = Result<Bytes, ServiceError>;

/// A named set of methods that can be called from everywhere.
pub trait Service: Send + Sync + 'static {
    /// The methods to announce. An empty list means that any method may be tried.
    fn methods(&self) -> Vec<String>;

    /// Answers one request. Dropped in mid-way when the caller cancels or the deadline passes.
    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult>;
}

/// Makes a service out of a function, with the methods to announce.
pub fn service_fn<F, Fut>(methods: &[&str], function: F) -> impl Service
where
    F: Fn(ServiceRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ServiceResult> + Send + 'static,
{
    FunctionService { methods: methods.iter().map(ToString::to_string).collect(), function }
}

struct FunctionService<F> {
    methods: Vec<String>,
    function: F,
}

impl<F, Fut> Service for FunctionService<F>
where
    F: Fn(ServiceRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ServiceResult> + Send + 'static,
{
    fn methods(&self) -> Vec<String> {
        self.methods.clone()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        Box::pin((self.function)(request))
    }
}
