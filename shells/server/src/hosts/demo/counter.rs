//! `demo:counter`: one number and how often it moved.

use super::super::Caller;
use super::{Answers, Params, application_error, encode};
use relay_tokio::{ServiceError, ServiceResult};
use std::sync::{Arc, Mutex, PoisonError};

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
    const METHODS: &'static [&'static str] = &["get_count", "get_info", "increment", "reset"];

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
    }
}
