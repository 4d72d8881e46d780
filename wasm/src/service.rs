//! A service written in JavaScript: one function that gets every call as an object and promises
//! the result as JSON text.

use crate::fields::{Fields, object};
use crate::outgoing::Chunks;
use bytes::Bytes;
use js_sys::{Array, Function, Promise};
use relay_core::{ErrorCode, Executed};
use relay_driver::{BoxFuture, Service, ServiceError, ServiceRequest, ServiceResult};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

/// See the module.
pub(crate) struct JsService {
    methods: Vec<String>,
    function: SendWrapper<Function>,
}

impl JsService {
    pub(crate) fn new(methods: Vec<String>, function: Function) -> Self {
        Self { methods, function: SendWrapper::new(function) }
    }

    fn start(&self, request: ServiceRequest) -> Result<Running, ServiceError> {
        let params = String::from_utf8(request.body.into())
            .map_err(|_| ServiceError::refused(ErrorCode::BadParams, "the params are no text"))?;
        let controller = AbortController::new().map_err(|error| thrown(&error))?;
        let headers: Array = request
            .headers
            .iter()
            .map(|(key, value)| Array::of2(&key.into(), &value.into()))
            .collect();
        let stream = request.stream.map_or(JsValue::UNDEFINED, |stream| Chunks::new(stream).into());
        let request = object(&[
            ("method", request.method.into()),
            ("params", params.into()),
            ("deadline", (request.deadline.as_secs_f64() * 1_000.0).into()),
            ("idempotent", request.idempotent.into()),
            ("headers", headers.into()),
            ("signal", controller.signal().into()),
            ("stream", stream),
        ]);
        let promised = self.function.call1(&JsValue::UNDEFINED, &request);
        let promise = Promise::resolve(&promised.map_err(|error| thrown(&error))?);
        Ok(Running { controller, answer: JsFuture::from(promise), is_done: false })
    }
}

impl Service for JsService {
    fn methods(&self) -> Vec<String> {
        self.methods.clone()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        match self.start(request) {
            Ok(running) => Box::pin(SendWrapper::new(running.end())),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// A call that JavaScript works on. Its signal fires when this is dropped before the answer came:
/// the caller cancelled, its deadline passed, or the link is gone.
struct Running {
    controller: AbortController,
    answer: JsFuture,
    is_done: bool,
}

impl Running {
    async fn end(mut self) -> ServiceResult {
        let answer = (&mut self.answer).await;
        self.is_done = true;
        let answer = answer.map_err(|error| thrown(&error))?;
        let text = answer.as_string().ok_or_else(|| {
            ServiceError::failed(ErrorCode::BadResponse, "the service promised no JSON text")
        })?;
        Ok(Bytes::from(text))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_done {
            self.controller.abort();
        }
    }
}

/// What was thrown: `{ application }` with an error object as JSON text, `{ code, executed,
/// message }` in the words of the relay, or anything.
fn thrown(error: &JsValue) -> ServiceError {
    let fields = Fields(error);
    if let Some(text) = fields.text("application") {
        return ServiceError::Application(Bytes::from(text));
    }
    let message = fields.text("message").unwrap_or_else(|| "the handler failed".into());
    let code = fields.text("code").and_then(|name| code_named(&name));
    let Some(code) = code else { return ServiceError::failed(ErrorCode::Internal, message) };
    let executed = match fields.text("executed").as_deref() {
        Some("no") => Executed::No,
        Some("yes") => Executed::Yes,
        Some("unknown") => Executed::Unknown,
        _ => code.executed(),
    };
    ServiceError::Failed { code, executed, message }
}

fn code_named(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.name() == name)
}
