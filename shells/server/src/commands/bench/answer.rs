//! What came of one call.

use bytes::Bytes;
use relay_tokio::{CallError, Executed, Retry};
use serde::Deserialize;

/// What came of one attempt at a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The service answered.
    Result(Bytes),
    /// An answer that belongs to another call.
    Strange(String),
    /// It failed, and somebody said so.
    Failed(Failed),
    /// Nobody answered, not even to say that it is too late.
    Lost,
}

/// How a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    /// The name of a code of Relay, the number of a code of the service, or a word for what
    /// happened here.
    pub(super) code: String,
    pub(super) executed: Executed,
    /// The same call would fail the same way anywhere.
    pub(super) is_final: bool,
    pub(super) message: String,
}

impl Answer {
    pub(super) fn failed(code: &str, executed: Executed, message: impl Into<String>) -> Self {
        let message = short(&message.into(), MESSAGE_CHARS_MAX);
        Self::Failed(Failed { code: code.to_owned(), executed, is_final: false, message })
    }

    /// What a relay says.
    pub(super) fn of_relay(error: &CallError) -> Self {
        let text = if error.message.is_empty() { error.code.meaning() } else { &error.message };
        Self::Failed(Failed {
            code: error.code.name().to_owned(),
            executed: error.executed,
            is_final: error.retry == Retry::Never,
            message: short(text, MESSAGE_CHARS_MAX),
        })
    }

    /// The error object of a service, which ran to write it.
    pub(super) fn of_service(object: &[u8]) -> Self {
        let Ok(error) = serde_json::from_slice::<ErrorObject>(object) else {
            let message = "the service answered with an error that has no code";
            return Self::failed("BAD_RESPONSE", Executed::Yes, message);
        };
        Self::Failed(Failed {
            code: error.code.to_string(),
            executed: Executed::Yes,
            is_final: true,
            message: short(&error.message, MESSAGE_CHARS_MAX),
        })
    }

    /// The error object of a relay, as it comes over HTTP.
    pub(super) fn of_gateway(object: &[u8]) -> Self {
        let Ok(error) = serde_json::from_slice::<RelayObject>(object) else {
            let message = "a relay answered with an error that lacks its data";
            return Self::failed("BAD_RESPONSE", Executed::Unknown, message);
        };
        let executed = match error.data.executed.as_str() {
            "no" => Executed::No,
            "yes" => Executed::Yes,
            _ => Executed::Unknown,
        };
        Self::Failed(Failed {
            code: short(&error.data.code, CODE_CHARS_MAX),
            executed,
            is_final: error.data.retry == "never",
            message: short(error.data.detail.as_ref().unwrap_or(&error.message), MESSAGE_CHARS_MAX),
        })
    }

    /// Whether the call provably did not run here, and might elsewhere.
    pub(super) fn may_move(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.executed == Executed::No && !failed.is_final)
    }
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct RelayObject {
    message: String,
    data: RelayData,
}

#[derive(Deserialize)]
struct RelayData {
    code: String,
    executed: String,
    retry: String,
    detail: Option<String>,
}

/// The start of a text from another machine.
pub(super) fn short(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

const CODE_CHARS_MAX: usize = 40;
const MESSAGE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use relay_tokio::ErrorCode;

    #[test]
    fn only_what_did_not_run_moves_on() {
        for (code, moves) in [
            (ErrorCode::Unavailable, true),
            (ErrorCode::NoSuchService, true),
            (ErrorCode::NoSuchMethod, false),
            (ErrorCode::LinkLost, false),
            (ErrorCode::Deadline, false),
        ] {
            let error = CallError::new(code, "a", "");
            assert_eq!(Answer::of_relay(&error).may_move(), moves, "{code}");
        }
        let in_flight = CallError::new(ErrorCode::Unavailable, "a", "");
        let in_flight = in_flight.with_executed(Executed::Unknown);
        assert!(!Answer::of_relay(&in_flight).may_move());
        assert!(!Answer::Lost.may_move());
        assert!(!Answer::of_service(br#"{"code":-1,"message":"x"}"#).may_move());
    }

    #[test]
    fn a_gateway_says_the_same_as_a_link() {
        let error = CallError::new(ErrorCode::NoSuchService, "a", "no node offers x");
        let mut text = Vec::new();
        crate::json_rpc::write_error(&mut text, Some(b"1"), &error);
        let object: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let object = object["error"].to_string();
        assert_eq!(Answer::of_gateway(object.as_bytes()), Answer::of_relay(&error));
    }

    #[test]
    fn errors_that_cannot_be_read_are_errors_all_the_same() {
        for bytes in [&b""[..], b"{}", b"[1]", b"{\"code\":\"x\"}", b"\xff"] {
            assert!(matches!(Answer::of_service(bytes), Answer::Failed(_)));
            assert!(!Answer::of_gateway(bytes).may_move());
        }
    }
}
