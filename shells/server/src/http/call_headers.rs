//! What a caller asks for in headers, beside the body: it holds for every call of the body, and
//! `remote_call` may say otherwise for its own.

use crate::json_rpc::CallOptions;
use crate::trace_context::{TRACEPARENT, TRACESTATE, is_traceparent, is_tracestate};
use hyper::header::{HeaderMap, HeaderName};

/// What the headers of one request say.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) options: CallOptions,
    /// What goes along with each call, up to the service.
    pub(super) passed_on: Vec<(String, String)>,
}

/// Reads the headers of Relay and of Trace Context.
///
/// A header of Relay that is not understood is refused: its sender counts on it. A bad
/// `traceparent` is left out, as its specification demands.
pub(super) fn read(headers: &HeaderMap) -> Result<Asked, &'static str> {
    let mut options = CallOptions::default();
    if let Some(text) = text_of(headers, &TIMEOUT_MS) {
        let timeout = text.and_then(CallOptions::timeout_of_ms);
        options.timeout = Some(timeout.ok_or("'Relay-Timeout-Ms' is a number from 1 to 600000")?);
    }
    if let Some(text) = text_of(headers, &TIMEOUT) {
        if options.timeout.is_some() {
            return Err("'Relay-Timeout' and 'Relay-Timeout-Ms' say the same: send one of them");
        }
        let timeout = text.and_then(CallOptions::timeout_of);
        options.timeout =
            Some(timeout.ok_or("'Relay-Timeout' is a time with its unit, as in 5s or 250ms")?);
    }
    if let Some(text) = text_of(headers, &PRIORITY) {
        let priority = text.and_then(CallOptions::priority_of);
        options.priority = priority.ok_or("'Relay-Priority' is low, normal or high")?;
    }
    for (name, option, rule) in [
        (&IDEMPOTENT, &mut options.is_idempotent, "'Relay-Idempotent' is true or false"),
        (&TRACE, &mut options.is_traced, "'Relay-Trace' is 1 or 0"),
    ] {
        if let Some(text) = text_of(headers, name) {
            *option = text.and_then(flag).ok_or(rule)?;
        }
    }
    Ok(Asked { options, passed_on: trace_context(headers) })
}

/// The one value of a header, which is none where it is given twice or holds no text.
fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// What goes along of Trace Context.
pub(super) fn trace_context(headers: &HeaderMap) -> Vec<(String, String)> {
    let parent = text_of(headers, &HeaderName::from_static(TRACEPARENT)).flatten();
    let Some(parent) = parent.filter(|text| is_traceparent(text)) else { return Vec::new() };
    let mut pairs = vec![(TRACEPARENT.to_owned(), parent.to_owned())];
    let states: Option<Vec<&str>> =
        headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    let state = states.unwrap_or_default().join(",");
    if is_tracestate(&state) {
        pairs.push((TRACESTATE.to_owned(), state));
    }
    pairs
}

const TIMEOUT_MS: HeaderName = HeaderName::from_static("relay-timeout-ms");
const TIMEOUT: HeaderName = HeaderName::from_static("relay-timeout");
const PRIORITY: HeaderName = HeaderName::from_static("relay-priority");
const IDEMPOTENT: HeaderName = HeaderName::from_static("relay-idempotent");
const TRACE: HeaderName = HeaderName::from_static("relay-trace");

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use relay_tokio::Priority;
    use std::time::Duration;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Result<Asked, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        read(&headers)
    }

    #[test]
    fn headers_of_relay_are_understood_or_refused() {
        let options = asked(&[
            ("relay-timeout", "5s"),
            ("relay-priority", "low"),
            ("relay-idempotent", "true"),
            ("relay-trace", "1"),
        ])
        .unwrap()
        .options;
        let timeout = Some(Duration::from_secs(5));
        let priority = Priority::Low;
        let expected = CallOptions { timeout, is_idempotent: true, is_traced: true, priority };
        assert_eq!(options, expected);
        for (pairs, named) in [
            (&[("relay-timeout", "5")][..], "Relay-Timeout"),
            (&[("relay-timeout", "0s")], "Relay-Timeout"),
            (&[("relay-timeout", "1h")], "Relay-Timeout"),
            (&[("relay-timeout-ms", "5s")], "Relay-Timeout-Ms"),
            (&[("relay-timeout", "5s"), ("relay-timeout-ms", "1")], "one of them"),
            (&[("relay-timeout", "5s"), ("relay-timeout", "6s")], "Relay-Timeout"),
            (&[("relay-priority", "urgent")], "Relay-Priority"),
            (&[("relay-idempotent", "yes")], "Relay-Idempotent"),
            (&[("relay-trace", "")], "Relay-Trace"),
        ] {
            let refusal = asked(pairs).unwrap_err();
            assert!(refusal.contains(named), "{pairs:?}: {refusal}");
        }
    }

    #[test]
    fn trace_context_passes_whole_or_not_at_all() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passed = |pairs: &[_]| asked(pairs).unwrap().passed_on;
        let pairs = [("tracestate", "a=1"), ("traceparent", parent), ("tracestate", "b=2")];
        let expected = [("traceparent", parent), ("tracestate", "a=1,b=2")];
        assert_eq!(passed(&pairs), expected.map(|(key, value)| (key.into(), value.into())));
        assert!(passed(&[("tracestate", "a=1")]).is_empty());
        assert!(passed(&[("traceparent", "none"), ("tracestate", "a=1")]).is_empty());
        assert!(passed(&[("traceparent", parent), ("traceparent", parent)]).is_empty());
    }
}
