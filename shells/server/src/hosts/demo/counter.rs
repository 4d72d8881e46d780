//! `demo:counter`: one number and how often it moved.

use super::super::Caller;
use super::{Answers, Params, Synchronous, application_error, bad_params, encode};
use relay_tokio::{
    BoxFuture, CallStream, ErrorCode, Service, ServiceError, ServiceRequest, ServiceResult,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) struct Counter {
    node: Arc<dyn Caller>,
    count: Mutex<i64>,
}

impl Counter {
    pub(super) fn new(node: Arc<dyn Caller>) -> Self {
        Self { node, count: Mutex::new(0) }
    }
}

impl Answers for Counter {
    const METHODS: &'static [&'static str] =
        &["count_to", "get_count", "get_info", "increment", "reset"];

    fn answer(&self, method: &str, params: &Params<'_>) -> ServiceResult {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "increment" => {
                let by: i64 = params.find(0, "by")?.unwrap_or(1);
                let sum = count.checked_add(by);
                *count = sum.ok_or_else(|| application_error("the counter is full", None))?;
                encode(&serde_json::json!({
                    "increment": by,
                    "local_count": *count,
                    "node_id": self.node.node_id(),
                }))
            }
            "get_count" => encode(&*count),
            "get_info" => encode(&serde_json::json!({
                "name": "counter",
                "count": *count,
                "node_id": self.node.node_id(),
                "methods": Self::METHODS,
            })),
            "reset" => {
                *count = 0;
                encode(&*count)
            }
            _ => Err(ServiceError::no_such_method(method)),
        }
    }
}

/// The counter with a method that takes its time.
pub(super) struct Counting(Synchronous<Counter>);

impl Counting {
    pub(super) fn new(node: Arc<dyn Caller>) -> Self {
        Self(Synchronous(Counter::new(node)))
    }
}

impl Service for Counting {
    fn methods(&self) -> Vec<String> {
        self.0.methods()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        if request.method != "count_to" {
            return self.0.call(request);
        }
        Box::pin(async move {
            let params = Params::parse(&request.body)?;
            let (to, every_ms) = (params.need(0, "to")?, params.find(1, "every_ms")?);
            count_to(to, every_ms.unwrap_or(0), request.stream.as_ref()).await
        })
    }
}

/// Counts from one, aloud where the caller listens.
async fn count_to(to: u64, every_ms: u64, stream: Option<&CallStream>) -> ServiceResult {
    if to > COUNT_MAX || every_ms > PAUSE_MILLIS_MAX {
        let text = format!("'to' is at most {COUNT_MAX}, 'every_ms' at most {PAUSE_MILLIS_MAX}");
        return Err(bad_params(&text));
    }
    for number in 1..=to {
        if every_ms > 0 {
            tokio::time::sleep(Duration::from_millis(every_ms)).await;
        }
        if let Some(stream) = stream {
            let sent = stream.send(number.to_string()).await;
            sent.map_err(|error| ServiceError::failed(ErrorCode::Internal, error.to_string()))?;
        }
    }
    encode(&to)
}

const COUNT_MAX: u64 = 10_000;
const PAUSE_MILLIS_MAX: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::super::Demo;
    use super::super::tests::{call, open};

    #[tokio::test]
    async fn it_counts_and_names_its_node() {
        let counter = open(Demo::Counter);
        let expected = r#"{"increment":10,"local_count":10,"node_id":"alice.home"}"#;
        assert_eq!(call(counter.as_ref(), "increment", "[10]").await.unwrap(), expected);
        let expected = r#"{"increment":1,"local_count":11,"node_id":"alice.home"}"#;
        assert_eq!(call(counter.as_ref(), "increment", "").await.unwrap(), expected);
        call(counter.as_ref(), "increment", r#"{"by":-5}"#).await.unwrap();
        assert_eq!(call(counter.as_ref(), "get_count", "[]").await.unwrap(), "6");
        let full = format!("[{}]", i64::MAX);
        assert!(call(counter.as_ref(), "increment", &full).await.is_err());
        assert_eq!(call(counter.as_ref(), "get_count", "[]").await.unwrap(), "6");
        assert_eq!(call(counter.as_ref(), "reset", "{}").await.unwrap(), "0");
        assert_eq!(call(counter.as_ref(), "count_to", "[3]").await.unwrap(), "3");
        for body in ["", "[10001]", "[1,1001]", "[-1]"] {
            assert!(call(counter.as_ref(), "count_to", body).await.is_err(), "{body}");
        }
    }
}
