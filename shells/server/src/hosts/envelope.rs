//! JSON-RPC 2.0 as a host speaks it to what stands behind it. Decides what counts as an answer:
//! anything that leaves a doubt is refused. Parameters, results and errors are never re-serialised;
//! they pass byte for byte.

use bytes::Bytes;
use relay_tokio::{ErrorCode, Executed, ServiceError, ServiceResult, is_method};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Largest answer taken from an upstream or a child, and largest line sent to a child.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Checks that `body` can stand as `params`: nothing, or one JSON array or object. Without the
/// check a crafted body could close the envelope and add members of its own.
pub(super) fn check_params(body: &[u8]) -> Result<(), ServiceError> {
    if body.is_empty() {
        return Ok(());
    }
    let bad = |message: String| ServiceError::refused(ErrorCode::BadParams, message);
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| bad(format!("the parameters are not JSON: {error}")))?;
    if raw.get().starts_with(['[', '{']) {
        Ok(())
    } else {
        Err(bad("the parameters must be a JSON array or object".to_owned()))
    }
}

/// One request. `params` must have passed [`check_params`].
pub(super) fn request(method: &str, params: &[u8], id: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(params.len() + method.len() + 72);
    text.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    text.extend_from_slice(serde_json::Value::from(method).to_string().as_bytes());
    if !params.is_empty() {
        text.extend_from_slice(br#","params":"#);
        text.extend_from_slice(params);
    }
    text.extend_from_slice(format!(r#","id":{id}}}"#).as_bytes());
    text
}

/// A JSON-RPC response whose envelope could be read.
#[derive(Debug)]
pub(super) struct Response {
    /// The `id`, when it is a number of ours.
    pub(super) id: Option<u64>,
    /// The result, the error object, or why it is neither.
    pub(super) result: ServiceResult,
}

/// Reads one response. `Err` says why `bytes` is not one at all.
pub(super) fn response(bytes: &Bytes) -> Result<Response, String> {
    let members: Members<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("not a JSON-RPC answer: {error}"))?;
    if members.jsonrpc.is_none_or(|version| version.get() != r#""2.0""#) {
        return Err(r#"not a JSON-RPC answer: "jsonrpc" is not "2.0""#.to_owned());
    }
    let id = members.id.and_then(|id| id.get().parse().ok());
    let result = match (members.result, members.error) {
        (Some(result), None) => Ok(bytes.slice_ref(result.get().as_bytes())),
        (None, Some(error)) if is_error_object(error) => {
            Err(ServiceError::Application(bytes.slice_ref(error.get().as_bytes())))
        }
        (None, Some(_)) => {
            Err(bad_response(r#""error" is not an object with an integer code and a message"#))
        }
        (Some(_), Some(_)) => Err(bad_response(r#"the answer has both "result" and "error""#)),
        (None, None) => Err(bad_response(r#"the answer has neither "result" nor "error""#)),
    };
    Ok(Response { id, result })
}

/// The `id` in front of the place where a broken or cut answer stops being JSON.
pub(super) fn id_of_broken(bytes: &[u8]) -> Option<u64> {
    let mut id = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match reader.deserialize_map(FindId(&mut id)) {
        Ok(()) | Err(_) => id,
    }
}

/// The service answered, but not with an answer: nobody knows what it did.
pub(super) fn bad_response(message: impl Into<String>) -> ServiceError {
    ServiceError::failed(ErrorCode::BadResponse, message)
}

/// The answer is over the limit; the call itself may well have run.
pub(super) fn answer_too_large() -> ServiceError {
    ServiceError::Failed {
        code: ErrorCode::TooLarge,
        executed: Executed::Unknown,
        message: format!("the answer is larger than {MESSAGE_BYTES_MAX} bytes"),
    }
}

/// The names in the result of `rpc.discover`: an OpenRPC document, `{"methods": [...]}` or a plain
/// list, of names or of objects with a `name`. What is no legal method name is left out.
pub(super) fn discovered(result: &[u8]) -> Vec<String> {
    let Ok(Discovered::List(listed) | Discovered::Document { methods: listed }) =
        serde_json::from_slice(result)
    else {
        return Vec::new();
    };
    let mut names: Vec<String> = listed
        .into_iter()
        .map(|named| match named {
            Named::Plain(name) | Named::Object { name } => name,
        })
        .filter(|name| is_method(name))
        .take(METHODS_MAX)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorMembers<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Discovered {
    List(Vec<Named>),
    Document { methods: Vec<Named> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Plain(String),
    Object { name: String },
}

/// Keeps `null` apart from an absent member, which `Option` alone does not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn is_error_object(error: &RawValue) -> bool {
    // Sequences would do for serde as well.
    error.get().starts_with('{')
        && serde_json::from_str::<ErrorMembers<'_>>(error.get()).is_ok_and(|members| {
            members.code.get().parse::<i64>().is_ok() && members.message.get().starts_with('"')
        })
}

struct FindId<'a>(&'a mut Option<u64>);

impl<'de> Visitor<'de> for FindId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "id" {
                *self.0 = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// More methods than this are not announced; they can still be called by name.
const METHODS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Response {
        response(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn values_pass_byte_for_byte() {
        for value in [
            "1e400",
            "1152921504606846976",
            "-0",
            r#"{"a":1,"a":2}"#,
            "\"\u{1F600}\"",
            r#""\ud83d\ude00 \u0000 \ud800""#,
            "null",
            "[ 1 ,\n 2 ]",
            "123456789012345678901234567890.10",
        ] {
            let answer = parsed(&format!(r#"{{"jsonrpc":"2.0", "result": {value} ,"id":7}}"#));
            assert_eq!(answer.id, Some(7));
            assert_eq!(answer.result.unwrap(), value.as_bytes());
            let error = format!(r#"{{"code":-1,"message":"m","data":{value}}}"#);
            let answer = parsed(&format!(r#"{{"id":7,"error":{error},"jsonrpc":"2.0"}}"#));
            assert_eq!(answer.result, Err(ServiceError::Application(error.into_bytes().into())));
        }
    }

    #[test]
    fn whatever_leaves_a_doubt_is_refused() {
        for text in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"jsonrpc":"1.0","result":1,"id":7}"#,
            r#"{"jsonrpc":"2.0","result":1,"id":7"#,
            r#"{"jsonrpc":"2.0","result":1,"id":7} x"#,
            r#"{"jsonrpc":"2.0","result":1,"result":2,"id":7}"#,
            r#"{"jsonrpc":"2.0","result":01,"id":7}"#,
            "{\"jsonrpc\":\"2.0\",\"result\":\"\u{1}\",\"id\":7}",
        ] {
            assert!(response(&Bytes::copy_from_slice(text.as_bytes())).is_err(), "{text}");
        }
        assert!(
            response(&Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"result\":\"\xff\"}")).is_err()
        );
        for members in [
            r#""result":1,"error":{"code":1,"message":"m"}"#,
            r#""result":null,"error":null"#,
            r#""error":null"#,
            r#""error":[1,"m"]"#,
            r#""error":{"code":1.5,"message":"m"}"#,
            r#""error":{"code":1}"#,
            r#""error":"text""#,
            r#""other":1"#,
        ] {
            let answer = parsed(&format!(r#"{{"jsonrpc":"2.0","id":7,{members}}}"#));
            let Err(ServiceError::Failed { code, executed, .. }) = answer.result else {
                panic!("{members} was taken")
            };
            assert_eq!((code, executed), (ErrorCode::BadResponse, Executed::Unknown));
        }
        for id in ["\"7\"", "null", "-7", "7.0", "7e0", "18446744073709551616"] {
            let text = format!(r#"{{"jsonrpc":"2.0","result":1,"id":{id}}}"#);
            assert_eq!(parsed(&text).id, None);
        }
    }

    #[test]
    fn a_body_cannot_break_out_of_the_envelope() {
        check_params(b"").unwrap();
        check_params(b" [1, {\"a\": 1e400}] ").unwrap();
        for body in [&b"1"[..], b"[1],\"id\":9", b"{}{}", b"nul", b"\"a\"", b"[\"\xff\"]"] {
            assert!(check_params(body).is_err(), "{body:?}");
        }
        assert_eq!(
            request("a", b"[1]", 3),
            br#"{"jsonrpc":"2.0","method":"a","params":[1],"id":3}"#
        );
        assert_eq!(request("a\"", b"", 3), br#"{"jsonrpc":"2.0","method":"a\"","id":3}"#);
    }

    #[test]
    fn the_id_of_a_broken_answer_is_found() {
        assert_eq!(id_of_broken(br#"{"jsonrpc":"2.0","id":5,"result":"aaa"#), Some(5));
        assert_eq!(id_of_broken(br#"{"jsonrpc":"2.0","id":5,"result":oops}"#), Some(5));
        assert_eq!(id_of_broken(br#"{"result":"aaa"#), None);
        assert_eq!(id_of_broken(br#"{"result":{"id":4},"#), None);
        assert_eq!(id_of_broken(b"id 5"), None);
    }

    #[test]
    fn methods_are_read_from_every_usual_form() {
        for text in [
            r#"["b","a","a","not legal"]"#,
            r#"{"openrpc":"1.2.6","methods":[{"name":"b","params":[]},{"name":"a"}]}"#,
            r#"{"methods":["a","b"]}"#,
        ] {
            assert_eq!(discovered(text.as_bytes()), ["a", "b"], "{text}");
        }
        for text in ["null", "7", r#"{"methods":7}"#, "[[]]"] {
            assert!(discovered(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
