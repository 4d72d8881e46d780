//! What the caller is told when a program fails: a JSON-RPC error object of the program's own when
//! it threw one, else the text and place of the mistake.

use super::json::to_json;
use bytes::Bytes;
use relay_tokio::{ErrorCode, ServiceError};
use rhai::{Dynamic, EvalAltResult, ImmutableString, Map};
use serde_json::value::RawValue;

/// The outcome of a call whose function ended with `error`.
pub(super) fn service_error(error: &EvalAltResult) -> ServiceError {
    let cause = error.unwrap_inner();
    if let EvalAltResult::ErrorRuntime(value, _) = cause {
        thrown(value)
    } else if matches!(cause, EvalAltResult::ErrorTerminated(..)) {
        let message = "the program was stopped at the deadline of the call";
        ServiceError::failed(ErrorCode::Deadline, message)
    } else {
        object(CODE_DEFAULT, &text(error), None)
    }
}

/// The mistake and its place, on one line.
pub(super) fn text(error: &EvalAltResult) -> String {
    error.to_string().replace('\n', "; ")
}

fn thrown(value: &Dynamic) -> ServiceError {
    if let Some(message) = value.read_lock::<ImmutableString>() {
        return object(CODE_DEFAULT, &message, None);
    }
    if let Some(map) = value.read_lock::<Map>()
        && let Some(message) =
            map.get("message").and_then(|message| message.clone().into_immutable_string().ok())
    {
        let code = map.get("code").and_then(|code| code.as_int().ok()).unwrap_or(CODE_DEFAULT);
        return object(code, &message, map.get("data"));
    }
    object(CODE_DEFAULT, "the program threw an error", Some(value))
}

fn object(code: i64, message: &str, data: Option<&Dynamic>) -> ServiceError {
    #[derive(serde::Serialize)]
    struct ErrorObject<'a> {
        code: i64,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    // Data that JSON lacks must not hide the message.
    let data = data.and_then(|data| to_json(data).ok());
    let data = data.as_ref().and_then(|data| serde_json::from_slice(data).ok());
    match serde_json::to_vec(&ErrorObject { code, message, data }) {
        Ok(bytes) => ServiceError::Application(Bytes::from(bytes)),
        Err(error) => ServiceError::failed(ErrorCode::Internal, error.to_string()),
    }
}

/// The code of an error that names none.
pub(super) const CODE_DEFAULT: i64 = -32000;

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::Position;

    fn told(script: &str) -> String {
        let error = rhai::Engine::new().run(script).unwrap_err();
        match service_error(&error) {
            ServiceError::Application(object) => String::from_utf8(object.to_vec()).unwrap(),
            ServiceError::Failed { message, .. } => panic!("{message}"),
        }
    }

    #[test]
    fn what_is_thrown_is_told() {
        for (script, expected) in [
            ("throw \"no \\\"luck\\\"\"", r#"{"code":-32000,"message":"no \"luck\""}"#),
            (
                "throw #{ code: 7, message: \"m\", data: [1, 2.5] }",
                r#"{"code":7,"message":"m","data":[1,2.5]}"#,
            ),
            ("throw #{ message: \"m\", code: \"x\" }", r#"{"code":-32000,"message":"m"}"#),
            ("throw 42", r#"{"code":-32000,"message":"the program threw an error","data":42}"#),
            ("fn f() { throw \"deep\" } f()", r#"{"code":-32000,"message":"deep"}"#),
        ] {
            assert_eq!(told(script), expected, "{script}");
        }
        let mistake = told("let a = [1];\na[7]");
        assert!(mistake.contains("-32000") && mistake.contains("line 2"), "{mistake}");
    }

    #[test]
    fn a_stopped_program_is_a_deadline() {
        let error = EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE);
        let ServiceError::Failed { code, .. } = service_error(&error) else { panic!("{error}") };
        assert_eq!(code, ErrorCode::Deadline);
    }
}
