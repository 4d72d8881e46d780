//! How answers are written: one response object at the end of a buffer, results spliced in as
//! they came.
//!
//! A result is checked to be exactly one JSON value first: what a Home sends is as hostile as
//! what a caller sends, and one broken result must not break the batch around it.

use super::scan::{Kind, SCAN_DEPTH_MAX, Scanner, check_utf8, one_value};
use super::trace::{Trace, write_trace};
use relay_tokio::{Answer, CallError, ErrorCode, Retry};

/// Writes the response to a call. Says why the relay failed it, if the relay did.
///
/// The way of a traced call stands beside the result or the error of the service, which stay as
/// they came, and inside `error.data` of an error of the relay's own. `node` is this node; it is
/// named where an answer of another node is refused.
pub fn write_answer(
    out: &mut Vec<u8>,
    id: &[u8],
    answer: &Result<Answer, CallError>,
    trace: Option<&Trace<'_>>,
    node: &str,
) -> Option<ErrorCode> {
    let detail = match answer {
        Ok(Answer::Result(result)) if result.is_empty() => {
            write_member(out, "result", b"null", trace, id);
            return None;
        }
        Ok(Answer::Result(result)) => match one_value(result, SCAN_DEPTH_MAX) {
            Ok(_) => {
                write_member(out, "result", result, trace, id);
                return None;
            }
            Err(error) => format!("the result is not JSON: {} at byte {}", error.what, error.at),
        },
        Ok(Answer::ApplicationError(error)) if is_error_object(error) => {
            write_member(out, "error", error, trace, id);
            return None;
        }
        Ok(Answer::ApplicationError(_)) => {
            "the error is not an object with an integer 'code' and a string 'message'".to_owned()
        }
        Err(error) => {
            write_failure(out, Some(id), error, trace);
            return Some(error.code);
        }
    };
    let error = CallError::new(ErrorCode::BadResponse, node, detail);
    write_failure(out, Some(id), &error, trace);
    Some(ErrorCode::BadResponse)
}

/// Writes a response that tells of a failure; `id` is none where it could not be read.
pub fn write_error(out: &mut Vec<u8>, id: Option<&[u8]>, error: &CallError) {
    write_failure(out, id, error, None);
}

fn write_failure(
    out: &mut Vec<u8>,
    id: Option<&[u8]>,
    error: &CallError,
    trace: Option<&Trace<'_>>,
) {
    let sentence = if error.message.is_empty() { error.code.meaning() } else { &error.message };
    let number = error.code.json_rpc();
    let specified = specified_message(error.code);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":");
    out.extend_from_slice(number.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    write_string(out, specified.unwrap_or(sentence));
    out.extend_from_slice(b",\"data\":{\"code\":");
    write_string(out, error.code.name());
    out.extend_from_slice(b",\"executed\":");
    write_string(out, error.executed.name());
    out.extend_from_slice(b",\"retry\":");
    write_string(out, error.retry.name());
    if let Retry::AfterMs(millis) = error.retry {
        write_number(out, b",\"retry_after_ms\":", u64::from(millis));
    }
    out.extend_from_slice(b",\"node\":");
    write_string(out, &error.node);
    if let Some(limit) = error.limit {
        write_number(out, b",\"limit\":", limit);
    }
    if specified.is_some() {
        out.extend_from_slice(b",\"detail\":");
        write_string(out, sentence);
    }
    if let Some(trace) = trace {
        out.extend_from_slice(b",\"trace\":");
        write_trace(out, trace);
    }
    out.extend_from_slice(b"}},\"id\":");
    out.extend_from_slice(id.unwrap_or(b"null"));
    out.push(b'}');
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory cannot fail.
    let _infallible = serde_json::to_writer(out, text);
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &[u8], trace: Option<&Trace<'_>>, id: &[u8]) {
    out.reserve(value.len() + id.len() + 40);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value);
    if let Some(trace) = trace {
        out.extend_from_slice(b",\"trace\":");
        write_trace(out, trace);
    }
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    out.push(b'}');
}

fn write_number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(number.to_string().as_bytes());
}

/// The fixed message where the specification has one, or where callers match on ours.
fn specified_message(code: ErrorCode) -> Option<&'static str> {
    if code == ErrorCode::NoSuchService {
        return Some("Service not found");
    }
    match code.json_rpc() {
        -32700 => Some("Parse error"),
        -32600 => Some("Invalid Request"),
        -32601 => Some("Method not found"),
        -32602 => Some("Invalid params"),
        -32603 => Some("Internal error"),
        _ => None,
    }
}

/// Whether these bytes are an error object as the specification has it.
pub(crate) fn is_error_object(bytes: &[u8]) -> bool {
    let (mut codes, mut messages) = (0, 0);
    let mut is_right = check_utf8(bytes).is_ok();
    let mut scanner = Scanner::new(bytes, SCAN_DEPTH_MAX);
    let walked = scanner.members(|key, value| match key {
        b"code" => {
            let text = &bytes[value.span];
            is_right &= value.kind == Kind::Number
                && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
            codes += 1;
        }
        b"message" => {
            is_right &= value.kind == Kind::String;
            messages += 1;
        }
        _ => {}
    });
    is_right && walked.is_ok() && scanner.end().is_ok() && (codes, messages) == (1, 1)
}
