//! What is asked in each call, and what a right answer is.

use super::answer::short;
use crate::cli::Failure;
use bytes::Bytes;
use relay_tokio::CallRequest;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One method with its parameters.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The call, without its parameters.
    pub(super) request: CallRequest,
    /// The call as JSON-RPC names it.
    pub(super) method: String,
    params: Params,
    expected: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Params {
    Same(Bytes),
    /// An object whose last member is told apart: what comes before the id of a call.
    Unique {
        before: Vec<u8>,
        /// Drawn once for each process, so that two of them never ask the same.
        run: u64,
    },
}

impl Question {
    /// Always the same parameters; `expected` is what each result must be.
    ///
    /// # Errors
    /// [`Failure`] when `expected` is no JSON.
    pub(super) fn same(
        request: CallRequest,
        params: Vec<u8>,
        expected: Option<&str>,
    ) -> Result<Self, Failure> {
        if let Some(text) = expected {
            serde_json::from_str::<&RawValue>(text).map_err(|error| {
                Failure::usage(format!("--expect {text:?} is no JSON: {error}"))
                    .with_hint("write a string with its quotes, as in --expect '\"hello\"'")
            })?;
        }
        let expected = expected.map(|text| text.trim().as_bytes().to_vec());
        Ok(Self::of(request, Params::Same(params.into()), expected))
    }

    /// Parameters that hold an id of their own in each call.
    ///
    /// # Errors
    /// [`Failure`] when `params` leave no room for it.
    pub(super) fn unique(request: CallRequest, params: &[u8], run: u64) -> Result<Self, Failure> {
        let params = if params.is_empty() { b"{}" } else { params };
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_slice(params).map_err(|_| {
                Failure::usage("--unique adds a member to the parameters, which must be an object")
                    .with_hint("write them as '{\"name\":\"value\"}' or name=value")
            })?;
        if members.contains_key(UID) {
            return Err(Failure::usage("the parameters hold a \"uid\" already")
                .with_hint("leave it out: --unique adds it"));
        }
        let mut before = params.trim_ascii_end().to_vec();
        before.pop();
        if !members.is_empty() {
            before.push(b',');
        }
        before.extend_from_slice(format!("\"{UID}\":\"").as_bytes());
        Ok(Self::of(request, Params::Unique { before, run }, None))
    }

    fn of(request: CallRequest, params: Params, expected: Option<Vec<u8>>) -> Self {
        let node = request.node.as_ref().map(|node| format!("{node}.")).unwrap_or_default();
        let method = format!("{node}{}.{}", request.service, request.method);
        Self { request, method, params, expected }
    }

    /// The parameters of a call; empty for none.
    pub(super) fn params(&self, number: u64) -> Bytes {
        match &self.params {
            Params::Same(params) => params.clone(),
            Params::Unique { before, run } => {
                let mut params = Vec::with_capacity(before.len() + 40);
                params.extend_from_slice(before);
                params.extend_from_slice(uid(*run, number).as_bytes());
                params.extend_from_slice(b"\"}");
                params.into()
            }
        }
    }

    /// Looks at the result of a call. Says what is wrong with it.
    ///
    /// # Errors
    /// A sentence that quotes the result.
    pub(super) fn check(&self, number: u64, result: &[u8]) -> Result<(), String> {
        let result = if result.is_empty() { b"null" } else { result.trim_ascii() };
        let shown = || short(&String::from_utf8_lossy(result), SHOWN_CHARS_MAX);
        if let Params::Unique { run, .. } = &self.params {
            let uid = uid(*run, number);
            if !result.windows(uid.len()).any(|part| part == uid.as_bytes()) {
                return Err(format!("{} lacks {uid}", shown()));
            }
        }
        match &self.expected {
            Some(expected) if result != expected => Err(format!("{} was not expected", shown())),
            Some(_) | None => Ok(()),
        }
    }
}

/// Always of one length: no id is a part of another.
fn uid(run: u64, number: u64) -> String {
    format!("{run:016x}-{number:016x}")
}

const UID: &str = "uid";
const SHOWN_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> CallRequest {
        CallRequest::new("echo", "echo", Bytes::new())
    }

    #[test]
    fn every_call_has_an_id_of_its_own() {
        for (params, start) in [
            ("", "{\"uid\":\""),
            ("{ }", "{ \"uid\":\""),
            ("{\"a\":[1]}", "{\"a\":[1],\"uid\":\""),
            ("{\"a\":1e400} ", "{\"a\":1e400,\"uid\":\""),
        ] {
            let question = Question::unique(request(), params.as_bytes(), 7).expect(params);
            let (one, other) = (question.params(1), question.params(0x11));
            let text = String::from_utf8(one.to_vec()).expect("UTF-8");
            assert!(text.starts_with(start) && text.ends_with("01\"}"), "{text}");
            assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "{text}");
            assert_eq!(question.check(1, &one), Ok(()));
            assert!(question.check(1, &other).is_err() && question.check(0x11, &one).is_err());
            assert!(question.check(1, b"").is_err());
        }
        for params in ["[1]", "{\"uid\":1}", "{\"\\u0075id\":1}"] {
            let refused = Question::unique(request(), params.as_bytes(), 7).expect_err(params);
            assert_eq!(refused.exit_code(), 2);
        }
    }

    #[test]
    fn what_is_expected_is_compared_byte_for_byte() {
        let question = |expected| Question::same(request(), Vec::new(), Some(expected));
        let numbers = question("[1, 2.0]").expect("JSON");
        assert_eq!(numbers.check(1, b" [1, 2.0]\n"), Ok(()));
        assert_eq!(numbers.check(1, b"[1,2.0]"), Err("[1,2.0] was not expected".into()));
        assert_eq!(question("null").expect("JSON").check(1, b""), Ok(()));
        assert_eq!(question("hello").expect_err("no JSON").exit_code(), 2);
    }

    #[test]
    fn the_method_names_the_node() {
        let mut request = request();
        request.node = Some("alice.home".into());
        let question = Question::same(request, Vec::new(), None).expect("nothing to check");
        assert_eq!(question.method, "alice.home.echo.echo");
    }
}
