//! Built-in services to try things out without writing one: `--service name=demo:counter`. They
//! keep their state in memory and bound it, as every service on an open network must.

mod counter;
mod discovery;
mod echo;
mod kv;

use super::Caller;
use bytes::Bytes;
use relay_tokio::{
    BoxFuture, ErrorCode, Executed, Service, ServiceError, ServiceRequest, ServiceResult,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which built-in service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demo {
    /// `increment(by = 1)`, `get_count()`, `get_info()`, `reset()`; `count_to(to, every_ms = 0)`
    /// sends each number as a chunk.
    Counter,
    /// `echo(…)` gives the parameters back byte for byte, `fail(…)` an error, `sleep(ms)` waits.
    Echo,
    /// `get(key)`, `set(key, value)`, `delete(key)`, `keys(prefix = "")`.
    Kv,
    /// `record_event(event)`, `get_events(last = 100)`, `get_stats()`.
    Discovery,
}

impl Demo {
    /// Every built-in service.
    pub const ALL: &'static [Self] = &[Self::Counter, Self::Echo, Self::Kv, Self::Discovery];

    /// The word after `demo:`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Echo => "echo",
            Self::Kv => "kv",
            Self::Discovery => "discovery",
        }
    }

    /// The service of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|demo| demo.name() == name)
    }

    /// A fresh instance that belongs to `node`.
    #[must_use]
    pub fn open(self, node: Arc<dyn Caller>) -> Arc<dyn Service> {
        match self {
            Self::Counter => Arc::new(counter::Counting::new(node)),
            Self::Echo => Arc::new(echo::Echo),
            Self::Kv => Arc::new(Synchronous(kv::Kv::default())),
            Self::Discovery => Arc::new(Synchronous(discovery::Discovery::new(node))),
        }
    }
}

/// A service that answers at once.
trait Answers: Send + Sync + 'static {
    const METHODS: &'static [&'static str];

    fn answer(&self, method: &str, params: &Params<'_>) -> ServiceResult;
}

struct Synchronous<S>(S);

impl<S: Answers> Service for Synchronous<S> {
    fn methods(&self) -> Vec<String> {
        S::METHODS.iter().map(ToString::to_string).collect()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        let result =
            Params::parse(&request.body).and_then(|params| self.0.answer(&request.method, &params));
        Box::pin(std::future::ready(result))
    }
}

/// Parameters by position or by name, each still as it was written.
enum Params<'a> {
    Positional(Vec<&'a RawValue>),
    Named(BTreeMap<String, &'a RawValue>),
}

impl<'a> Params<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, ServiceError> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let parsed = match first {
            None => Ok(Self::Positional(Vec::new())),
            Some(b'{') => serde_json::from_slice(body).map(Self::Named),
            Some(_) => serde_json::from_slice(body).map(Self::Positional),
        };
        parsed.map_err(|error| bad_params(&format!("the parameters cannot be read: {error}")))
    }

    /// The parameter called `name`, or the one at `position`. `null` counts as absent.
    fn find<T: Deserialize<'a>>(
        &self,
        position: usize,
        name: &str,
    ) -> Result<Option<T>, ServiceError> {
        match self.raw(position, name) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| bad_params(&format!("the parameter '{name}': {error}"))),
        }
    }

    /// The same for a parameter that must be there.
    fn need<T: Deserialize<'a>>(&self, position: usize, name: &str) -> Result<T, ServiceError> {
        self.find(position, name)?
            .ok_or_else(|| bad_params(&format!("the parameter '{name}' is missing")))
    }

    fn raw(&self, position: usize, name: &str) -> Option<&'a RawValue> {
        match self {
            Self::Positional(values) => values.get(position).copied(),
            Self::Named(values) => values.get(name).copied(),
        }
    }
}

fn bad_params(message: &str) -> ServiceError {
    ServiceError::refused(ErrorCode::BadParams, message)
}

/// A JSON-RPC error of the service itself.
fn application_error(message: &str, data: Option<&RawValue>) -> ServiceError {
    #[derive(serde::Serialize)]
    struct ErrorObject<'a> {
        code: i32,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    match encode(&ErrorObject { code: -32000, message, data }) {
        Ok(bytes) => ServiceError::Application(bytes),
        Err(error) => error,
    }
}

fn encode(value: &impl serde::Serialize) -> ServiceResult {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| ServiceError::Failed {
        code: ErrorCode::Internal,
        executed: Executed::Yes,
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_tokio::{Answer, CallError, CallRequest, Published};

    struct Alice;

    impl Caller for Alice {
        fn node_id(&self) -> String {
            "alice.home".to_owned()
        }

        fn call(&self, _: CallRequest) -> BoxFuture<Result<Answer, CallError>> {
            panic!("a demo calls nobody")
        }

        fn publish(&self, _: &str, _: &[u8]) -> Result<Published, CallError> {
            panic!("a demo publishes nothing")
        }
    }

    pub(super) fn open(demo: Demo) -> Arc<dyn Service> {
        demo.open(Arc::new(Alice))
    }

    pub(super) async fn call(service: &dyn Service, method: &str, body: &str) -> ServiceResult {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let deadline = std::time::Duration::from_secs(60);
        let request = ServiceRequest {
            method: method.to_owned(),
            body,
            deadline,
            idempotent: false,
            headers: Vec::new(),
            stream: None,
        };
        service.call(request).await
    }

    #[tokio::test]
    async fn every_demo_announces_what_it_answers() {
        for demo in Demo::ALL {
            let service = open(*demo);
            for method in service.methods() {
                let answer = call(service.as_ref(), &method, "").await;
                assert_ne!(answer, Err(ServiceError::no_such_method(&method)), "{demo:?}");
            }
            let answer = call(service.as_ref(), "nope", "").await;
            assert_eq!(answer, Err(ServiceError::no_such_method("nope")));
        }
    }

    #[tokio::test]
    async fn hostile_parameters_are_refused() {
        let counter = open(Demo::Counter);
        for body in ["[1", "7", "{\"by\":\"x\"}", "[1e400]", "[9223372036854775808]", "\"\""] {
            let error = call(counter.as_ref(), "increment", body).await.unwrap_err();
            let ServiceError::Failed { code, executed, .. } = error else { panic!("{body}") };
            assert_eq!((code, executed), (ErrorCode::BadParams, Executed::No), "{body}");
        }
        assert_eq!(call(counter.as_ref(), "get_count", "").await.unwrap(), "0");
    }
}
