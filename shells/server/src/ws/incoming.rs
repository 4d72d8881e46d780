//! What a text message is: requests, an answer, or a message with a `type`.

use crate::json_rpc::{Kind, Malformed, SCAN_DEPTH_MAX, Scanner, Value, is_error_object};
use bytes::Bytes;
use relay_tokio::{ErrorCode, ServiceError, ServiceResult};

/// A text message, told apart.
pub(super) enum Incoming {
    /// A request, a notification or a batch of them; or nothing that is known, which is refused in
    /// the same words.
    Requests,
    /// The answer to a call.
    Answer {
        /// Whose, as it stands in the message.
        id: Bytes,
        /// What the client says.
        result: ServiceResult,
    },
    /// `{"type": …}`, as older clients write.
    Typed,
}

#[derive(Default)]
struct Members {
    has_method: bool,
    has_version: bool,
    has_type: bool,
    id: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    is_doubtful: bool,
}

impl Incoming {
    pub(super) fn of(text: &Bytes) -> Self {
        // Broken text is refused where requests are read, which says what is wrong and where.
        let Ok(Some(members)) = Members::of(text) else { return Self::Requests };
        if members.has_type && !members.has_version {
            return Self::Typed;
        }
        if members.has_method || (members.result.is_none() && members.error.is_none()) {
            return Self::Requests;
        }
        let Some(id) = &members.id else { return Self::Requests };
        let id = text.slice(id.span.clone());
        Self::Answer { id, result: members.answer(text) }
    }
}

impl Members {
    fn of(text: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut scanner = Scanner::new(text, SCAN_DEPTH_MAX);
        if scanner.peek_kind()? != Kind::Object {
            return Ok(None);
        }
        let mut members = Self::default();
        scanner.members(|key, value| members.take(key, value))?;
        scanner.end()?;
        Ok(Some(members))
    }

    fn take(&mut self, key: &[u8], value: Value) {
        let slot = match key {
            b"id" => &mut self.id,
            b"result" => &mut self.result,
            b"error" => &mut self.error,
            b"method" => return self.has_method = true,
            b"jsonrpc" => return self.has_version = true,
            b"type" | b"Type" => return self.has_type = true,
            _ => return,
        };
        self.is_doubtful |= slot.replace(value).is_some();
    }

    /// Anything that leaves a doubt is no answer.
    fn answer(&self, text: &Bytes) -> ServiceResult {
        let bad = |message: &str| Err(ServiceError::failed(ErrorCode::BadResponse, message));
        match (&self.result, &self.error) {
            _ if self.is_doubtful => bad("a member of the answer is given twice"),
            _ if !self.has_version => bad("the answer has no \"jsonrpc\":\"2.0\""),
            (Some(_), Some(_)) => bad("the answer has both \"result\" and \"error\""),
            (Some(result), None) => Ok(text.slice(result.span.clone())),
            (None, Some(error)) => {
                let error = text.slice(error.span.clone());
                if is_error_object(&error) {
                    Err(ServiceError::Application(error))
                } else {
                    bad("\"error\" is not an object with an integer code and a message")
                }
            }
            (None, None) => bad("the answer has neither \"result\" nor \"error\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Incoming {
        Incoming::of(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn messages_are_told_apart() {
        for text in [
            "",
            "{",
            "1",
            "{}",
            "[{\"type\":1}]",
            r#"{"jsonrpc":"2.0","method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","method":"a.b","result":1,"id":1}"#,
            r#"{"jsonrpc":"2.0","type":"x"}"#,
            r#"{"jsonrpc":"2.0","result":1}"#,
        ] {
            assert!(matches!(of(text), Incoming::Requests), "{text}");
        }
        assert!(matches!(of(r#"{"type":"ping"}"#), Incoming::Typed));
        assert!(matches!(of(r#"{"Type":"request","Method":"x"}"#), Incoming::Typed));
    }

    #[test]
    fn answers_pass_byte_for_byte() {
        for value in ["1e400", r#"{"a":1,"a":2}"#, "null", "[ 1 ]"] {
            let text = format!(r#"{{ "id" : "relay:1", "result": {value} ,"jsonrpc":"2.0"}}"#);
            let Incoming::Answer { id, result } = of(&text) else { panic!("{text}") };
            assert_eq!((&id[..], &result.unwrap()[..]), (&b"\"relay:1\""[..], value.as_bytes()));
            let error = format!(r#"{{"code":-1,"message":"m","data":{value}}}"#);
            let text = format!(r#"{{"jsonrpc":"2.0","error":{error},"id":1}}"#);
            let Incoming::Answer { result, .. } = of(&text) else { panic!("{text}") };
            assert_eq!(result, Err(ServiceError::Application(error.into_bytes().into())));
        }
    }

    #[test]
    fn doubtful_answers_are_none() {
        for members in [
            r#""jsonrpc":"2.0","result":1,"error":{"code":1,"message":"m"}"#,
            r#""jsonrpc":"2.0","result":1,"result":2"#,
            r#""jsonrpc":"2.0","error":null"#,
            r#""jsonrpc":"2.0","error":{"code":1.5,"message":"m"}"#,
            r#""result":1"#,
        ] {
            let Incoming::Answer { result, .. } = of(&format!("{{{members},\"id\":1}}")) else {
                panic!("{members}")
            };
            let Err(ServiceError::Failed { code, .. }) = result else { panic!("{members}") };
            assert_eq!(code, ErrorCode::BadResponse, "{members}");
        }
    }
}
