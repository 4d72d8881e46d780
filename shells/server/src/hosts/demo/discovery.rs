//! `demo:discovery`: a log of discovery events, the newest thousand.

use super::super::Caller;
use super::{Answers, Params, bad_params, encode};
use relay_tokio::{ServiceError, ServiceResult};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Discovery {
    node: Arc<dyn Caller>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    events: VecDeque<Entry>,
    recorded: u64,
}

#[derive(Serialize)]
struct Entry {
    number: u64,
    at_ms: u64,
    event: Box<RawValue>,
}

impl Discovery {
    pub(super) fn new(node: Arc<dyn Caller>) -> Self {
        Self { node, log: Mutex::default() }
    }
}

impl Answers for Discovery {
    const METHODS: &'static [&'static str] = &["get_events", "get_stats", "record_event"];

    fn answer(&self, method: &str, params: &Params<'_>) -> ServiceResult {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "record_event" => {
                let event =
                    params.raw(0, "event").ok_or_else(|| bad_params("'event' is missing"))?;
                if event.get().len() > EVENT_BYTES_MAX {
                    return Err(bad_params(&format!(
                        "an event has at most {EVENT_BYTES_MAX} bytes"
                    )));
                }
                encode(&log.record(event.to_owned()))
            }
            "get_events" => {
                let last: usize = params.find(0, "last")?.unwrap_or(LAST_DEFAULT);
                let skipped = log.events.len().saturating_sub(last);
                encode(&log.events.range(skipped..).collect::<Vec<_>>())
            }
            "get_stats" => encode(&serde_json::json!({
                "recorded": log.recorded,
                "kept": log.events.len(),
                "node_id": self.node.node_id(),
            })),
            _ => Err(ServiceError::no_such_method(method)),
        }
    }
}

impl Log {
    fn record(&mut self, event: Box<RawValue>) -> u64 {
        self.recorded += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        self.events.push_back(Entry { number: self.recorded, at_ms, event });
        self.recorded
    }
}

const EVENTS_MAX: usize = 1000;
const EVENT_BYTES_MAX: usize = 4096;
const LAST_DEFAULT: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::Demo;
    use super::super::tests::{call, open};
    use super::*;

    #[tokio::test]
    async fn the_newest_events_are_kept() {
        let log = open(Demo::Discovery);
        for number in 0..=EVENTS_MAX {
            call(log.as_ref(), "record_event", &format!("[{{\"peer\":{number}}}]")).await.unwrap();
        }
        let events = call(log.as_ref(), "get_events", "[5000]").await.unwrap();
        let events: Vec<serde_json::Value> = serde_json::from_slice(&events).unwrap();
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!((&events[0]["number"], &events[0]["event"]["peer"]), (&2.into(), &1.into()));
        let stats = call(log.as_ref(), "get_stats", "").await.unwrap();
        assert_eq!(stats, r#"{"kept":1000,"node_id":"alice.home","recorded":1001}"#);
        let large = format!("[\"{}\"]", "x".repeat(EVENT_BYTES_MAX));
        assert!(call(log.as_ref(), "record_event", &large).await.is_err());
    }
}
