//! The member `relay` of a request: how the call is to be run.

use crate::json_rpc::{CallOptions, TIMEOUT_MAX};
use crate::trace_context::{TRACEPARENT, TRACESTATE, is_traceparent, is_tracestate};
use serde::Deserialize;
use std::time::Duration;

/// What a request says beside its call and its options.
#[derive(Default)]
pub(super) struct Extension {
    /// What goes along with the call, up to the service.
    pub(super) headers: Vec<(String, String)>,
    /// Chunks may come before the answer, and go to the service.
    pub(super) streams: bool,
    /// What may be sent of them before the client grants more; all that it reads, when none.
    pub(super) credit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    timeout: Option<String>,
    timeout_ms: Option<u64>,
    idempotent: Option<bool>,
    priority: Option<String>,
    trace: Option<bool>,
    stream: Option<bool>,
    credit: Option<u32>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Extension {
    /// Reads the member as it stands in the message. What is not understood is refused: a
    /// misspelt option must not be silently without effect.
    pub(super) fn of(text: &[u8], options: &mut CallOptions) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let members: Members =
            serde_json::from_slice(text).map_err(|error| format!("the member 'relay': {error}"))?;
        match (members.timeout, members.timeout_ms) {
            (Some(_), Some(_)) => {
                return Err("'timeout' and 'timeout_ms' say the same: send one of them".to_owned());
            }
            (Some(text), None) => {
                let rule = "'timeout' is a text with a unit, as in \"5s\", at most \"600s\"";
                options.timeout = Some(CallOptions::timeout_of(&text).ok_or(rule)?);
            }
            (None, Some(millis)) => {
                let timeout = Duration::from_millis(millis);
                let is_legal = millis > 0 && timeout <= TIMEOUT_MAX;
                let rule = "'timeout_ms' is a whole number from 1 to 600000";
                options.timeout = Some(is_legal.then_some(timeout).ok_or(rule)?);
            }
            (None, None) => {}
        }
        if let Some(text) = &members.priority {
            let priority = CallOptions::priority_of(text);
            options.priority = priority.ok_or("'priority' is \"low\", \"normal\" or \"high\"")?;
        }
        options.is_idempotent = members.idempotent.unwrap_or(options.is_idempotent);
        options.is_traced = members.trace.unwrap_or(options.is_traced);
        let mut headers = Vec::new();
        // A bad one is left out, as its specification demands.
        if let Some(parent) = members.traceparent.filter(|text| is_traceparent(text)) {
            headers.push((TRACEPARENT.to_owned(), parent));
            if let Some(state) = members.tracestate.filter(|text| is_tracestate(text)) {
                headers.push((TRACESTATE.to_owned(), state));
            }
        }
        let streams = members.stream.unwrap_or_else(|| members.credit.is_some());
        Ok(Self { headers, streams, credit: members.credit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_tokio::Priority;

    fn read(text: &str) -> Result<(Extension, CallOptions), String> {
        let mut options = CallOptions::default();
        Extension::of(text.as_bytes(), &mut options).map(|extension| (extension, options))
    }

    #[test]
    fn every_option_is_read() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let text = format!(
            r#"{{"timeout":"5s","idempotent":true,"priority":"high","trace":true,"credit":9,
                "traceparent":"{parent}","tracestate":"a=1"}}"#
        );
        let (extension, options) = read(&text).unwrap();
        let timeout = Some(Duration::from_secs(5));
        let priority = Priority::High;
        let expected = CallOptions { timeout, is_idempotent: true, is_traced: true, priority };
        assert_eq!(options, expected);
        assert!(extension.streams && extension.credit == Some(9));
        let pairs = [("traceparent", parent), ("tracestate", "a=1")];
        assert_eq!(extension.headers, pairs.map(|(key, value)| (key.into(), value.into())));
        let (extension, options) = read(r#"{"timeout_ms":1,"stream":true}"#).unwrap();
        assert_eq!(options.timeout, Some(Duration::from_millis(1)));
        assert!(extension.streams && extension.credit.is_none());
        let (extension, _) = read(r#"{"traceparent":"none","tracestate":"a=1"}"#).unwrap();
        assert!(extension.headers.is_empty() && !extension.streams);
        assert!(read("").is_ok() && read("{}").is_ok());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, named) in [
            ("[]", "'relay'"),
            ("null", "'relay'"),
            (r#"{"time_out":"5s"}"#, "time_out"),
            (r#"{"timeout":5}"#, "'relay'"),
            (r#"{"timeout":"5"}"#, "'timeout'"),
            (r#"{"timeout":"1h"}"#, "'timeout'"),
            (r#"{"timeout_ms":0}"#, "'timeout_ms'"),
            (r#"{"timeout_ms":600001}"#, "'timeout_ms'"),
            (r#"{"timeout":"5s","timeout_ms":1}"#, "one of them"),
            (r#"{"priority":"urgent"}"#, "'priority'"),
            (r#"{"idempotent":1}"#, "'relay'"),
            (r#"{"credit":-1}"#, "'relay'"),
            (r#"{"trace":true,"trace":true}"#, "trace"),
        ] {
            let refusal = read(text).map(|_| ()).unwrap_err();
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
    }
}
