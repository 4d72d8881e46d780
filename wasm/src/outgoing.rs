//! Calls that JavaScript makes.

use crate::fields::{object, promise};
use crate::node::failure;
use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable};
use js_sys::Array;
use relay_core::{CallError, TraceHop};
use relay_driver::{Answer, CallStream};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use wasm_bindgen::prelude::*;

/// What a call ends with.
pub(crate) type Ended = (Result<Answer, CallError>, Vec<TraceHop>);
type Ending = Pin<Box<dyn Future<Output = Ended>>>;

/// A call that was made.
#[wasm_bindgen]
pub struct Outgoing {
    ending: Cell<Option<Abortable<Ending>>>,
    abort: AbortHandle,
    chunks: Cell<Option<CallStream>>,
}

impl Outgoing {
    pub(crate) fn new(
        ending: impl Future<Output = Ended> + 'static,
        chunks: Option<CallStream>,
    ) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        let ending = Abortable::new(Box::pin(ending) as Ending, registration);
        Self { ending: Cell::new(Some(ending)), abort, chunks: Cell::new(chunks) }
    }
}

#[wasm_bindgen]
impl Outgoing {
    /// The one answer: `{ result }` or `{ application }` as JSON text, or `{ failure }`, with
    /// `trace` where one was asked for. Nothing when the call was cancelled. To be asked for once.
    pub fn answer(&self) -> js_sys::Promise {
        let ending = self.ending.take();
        promise(async move {
            let Some(ending) = ending else { return Ok(JsValue::UNDEFINED) };
            let Ok((answer, trace)) = ending.await else { return Ok(JsValue::UNDEFINED) };
            let (kind, value) = match answer {
                Ok(Answer::Result(body)) if body.is_empty() => ("result", "null".into()),
                Ok(Answer::Result(body)) => ("result", text(&body)),
                Ok(Answer::ApplicationError(body)) => ("application", text(&body)),
                Err(error) => ("failure", failure(&error)),
            };
            Ok(object(&[(kind, value), ("trace", hops(&trace))]))
        })
    }

    /// The streams of the call, where it was made with some. To be asked for once.
    pub fn chunks(&self) -> Option<Chunks> {
        self.chunks.take().map(Chunks::new)
    }

    /// Cancels the call, unless it has ended.
    pub fn cancel(&self) {
        self.abort.abort();
        // A call whose answer nobody asked for is held here.
        drop(self.ending.take());
    }
}

/// One end of the streams of a call.
#[wasm_bindgen]
pub struct Chunks(CallStream);

impl Chunks {
    pub(crate) const fn new(stream: CallStream) -> Self {
        Self(stream)
    }
}

#[wasm_bindgen]
impl Chunks {
    /// The next chunk from the other end; nothing after the last one.
    pub fn next(&self) -> js_sys::Promise {
        let stream = self.0.clone();
        promise(
            async move { Ok(stream.next().await.map_or(JsValue::UNDEFINED, |chunk| text(&chunk))) },
        )
    }

    /// Sends a chunk, or the end of the stream. Ready once the other end has room for it; false
    /// when nobody takes it any more.
    pub fn send(&self, chunk: Option<String>) -> js_sys::Promise {
        let stream = self.0.clone();
        promise(async move {
            let sent = match chunk {
                Some(chunk) => stream.send(chunk).await,
                None => stream.send_last(Bytes::new()).await,
            };
            match sent {
                Ok(()) => Ok(true.into()),
                Err(relay_core::StreamError::TooLarge { limit }) => {
                    let text = format!("a chunk has at most {limit} bytes");
                    Err(js_sys::RangeError::new(&text).into())
                }
                Err(_) => Ok(false.into()),
            }
        })
    }
}

fn text(bytes: &[u8]) -> JsValue {
    JsValue::from_str(&String::from_utf8_lossy(bytes))
}

fn hops(trace: &[TraceHop]) -> JsValue {
    let hop = |hop: &TraceHop| {
        object(&[
            ("node", hop.node.as_str().into()),
            ("ms", (hop.took.as_secs_f64() * 1_000.0).into()),
            ("attempts", hop.attempts.into()),
        ])
    };
    trace.iter().map(hop).collect::<Array>().into()
}
