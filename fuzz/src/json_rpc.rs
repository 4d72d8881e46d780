//! The JSON-RPC front of the server, with serde_json as the second opinion on what JSON is.

use bytes::Bytes;
use relay_server::json_rpc::{
    BATCH_ENTRIES_MAX, Call, CallOptions, Entry, Front, ID_BYTES_MAX, Parsed, write_answer,
    write_error,
};
use relay_tokio::{Answer, CallError, ErrorCode};
use serde::de::IgnoredAny;

/// The text of a JSON-RPC request, as it comes over HTTP or a WebSocket. A first byte of 0 means
/// that the URL named the service already.
pub fn json_rpc(data: &[u8]) {
    let (service, text) = match data.split_first() {
        Some((0, rest)) => (Some("counter"), rest),
        Some(_) | None => (None, data),
    };
    let options = CallOptions::default();
    let front = Front { node: NODE, service, options, is_connected: false };
    let entries = match Parsed::of(&Bytes::copy_from_slice(text), &front) {
        Parsed::Single(entry) => vec![entry],
        Parsed::Batch(entries) => entries,
    };
    assert!((1..=BATCH_ENTRIES_MAX).contains(&entries.len()), "{} entries", entries.len());
    if !entries.iter().any(is_parse_error) {
        assert!(is_json(text), "taken for JSON, which it is not");
    }
    entries.iter().for_each(check_entry);
}

/// What is handed on is JSON, and what is answered is JSON with the id it came with.
fn check_entry(entry: &Entry) {
    let mut out = Vec::new();
    let id = match entry {
        Entry::Call { id, call } => {
            check_call(call);
            let result = Ok(Answer::Result(call.params.clone()));
            assert_eq!(write_answer(&mut out, id, &result, None, NODE), None, "params as a result");
            Some(id)
        }
        Entry::Invalid { id, error } => {
            check_error(error);
            write_error(&mut out, id.as_deref(), error);
            id.as_ref()
        }
        Entry::Notification(call) => return check_call(call),
        Entry::Ignored(error) => return check_error(error),
    };
    assert!(is_json(&out), "an answer is not JSON: {}", String::from_utf8_lossy(&out));
    if let Some(id) = id {
        assert!(is_json(id) && id.len() <= ID_BYTES_MAX.max("null".len()), "{id:?}");
        let ending = [b"\"id\":", id.as_ref(), b"}"].concat();
        let is_echoed = out.ends_with(&ending)
            || out.windows(ending.len() - 1).any(|part| part == &ending[..ending.len() - 1]);
        assert!(is_echoed, "the id is not echoed: {}", String::from_utf8_lossy(&out));
    }
}

fn check_call(call: &Call) {
    assert!(call.params.is_empty() || is_json(&call.params), "params that are not JSON");
    assert!(
        call.params.is_empty() || matches!(call.params[0], b'{' | b'['),
        "params are an object or an array"
    );
}

fn check_error(error: &CallError) {
    assert_eq!(error.node, NODE, "an error names the node that decided");
}

fn is_parse_error(entry: &Entry) -> bool {
    matches!(entry, Entry::Invalid { error, .. } if error.code == ErrorCode::Parse)
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok() && std::str::from_utf8(text).is_ok()
}

const NODE: &str = "main-1";
