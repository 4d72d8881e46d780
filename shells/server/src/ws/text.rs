//! The messages that the relay writes by itself. Values of others are spliced in as they came.

use crate::json_rpc::write_string;
use crate::json_rpc::{SCAN_DEPTH_MAX, one_value};
use bytes::Bytes;
use data_encoding::BASE64;
use relay_tokio::ServiceRequest;

/// How ids of calls that a client is asked to answer begin. Clients give no such ids to calls of
/// their own, so an id alone says which call is meant.
pub(super) const SERVED_ID: &[u8] = b"\"relay:";

/// The id of the `number`th call that a client is asked to answer.
pub(super) fn served_id(number: u64) -> Bytes {
    Bytes::from(format!("\"relay:{number}\""))
}

/// A call for the client to answer. The params must be JSON.
pub(super) fn request(id: &[u8], service: &str, request: &ServiceRequest) -> String {
    let mut out = Vec::with_capacity(request.body.len() + 160);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"method\":");
    write_string(&mut out, &format!("{service}.{}", request.method));
    if !request.body.is_empty() {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(&request.body);
    }
    out.extend_from_slice(b",\"relay\":{\"timeout_ms\":");
    out.extend_from_slice(request.deadline.as_millis().to_string().as_bytes());
    if request.idempotent {
        out.extend_from_slice(b",\"idempotent\":true");
    }
    if request.stream.is_some() {
        out.extend_from_slice(b",\"stream\":true");
    }
    if !request.headers.is_empty() {
        out.extend_from_slice(b",\"headers\":{");
        for (index, (key, value)) in request.headers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&mut out, key);
            out.push(b':');
            write_string(&mut out, value);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
    finish(out)
}

/// Nobody waits for the answer to a call any more.
pub(super) fn cancel(id: &[u8]) -> String {
    notification("rpc.cancel", id, b"")
}

/// More of a stream may be sent.
pub(super) fn credit(id: &[u8], bytes: u32) -> String {
    notification("rpc.credit", id, format!(",\"bytes\":{bytes}").as_bytes())
}

/// A part of a stream. What is not JSON comes as text in base64.
pub(super) fn chunk(id: &[u8], body: &[u8]) -> String {
    if one_value(body, SCAN_DEPTH_MAX).is_ok() {
        notification("rpc.chunk", id, &[b",\"chunk\":", body].concat())
    } else {
        let text = format!(",\"base64\":\"{}\"", BASE64.encode(body));
        notification("rpc.chunk", id, text.as_bytes())
    }
}

/// Nothing more of a stream comes.
pub(super) fn last_chunk(id: &[u8]) -> String {
    notification("rpc.chunk", id, b",\"last\":true")
}

/// A text from parts that were checked to be UTF-8 when they were read.
pub(super) fn finish(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap_or_else(|error| {
        tracing::error!(%error, "a message is not UTF-8");
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    })
}

fn notification(method: &str, id: &[u8], rest: &[u8]) -> String {
    let mut out = Vec::with_capacity(id.len() + rest.len() + 64);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\",\"params\":{\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(rest);
    out.extend_from_slice(b"}}");
    finish(out)
}
