//! The streams of calls under the lock of the engine.

use super::{Engine, Inner};
use crate::call::{CallFuture, CallRequest};
use crate::stream::CallStream;
use bytes::Bytes;
use relay_core::{CallEnd, CallError, Instant, StreamError};
use std::sync::Arc;
use std::task::{Context, Poll};

impl Engine {
    /// Calls a service that answers with a stream before its result. `window` is how much of it may
    /// come before it is read, at least 96 KiB.
    ///
    /// # Errors
    /// A [`CallError`] when the call is not accepted at all.
    pub fn call_streaming(
        self: &Arc<Self>,
        request: &CallRequest,
        window: u32,
    ) -> Result<(CallStream, CallFuture), CallError> {
        let ticket = self.run(|inner, now| {
            let ticket = inner.call(request, true, now)?;
            let end = CallEnd::Caller(ticket.call);
            inner.streams.insert(end, window);
            inner.grant_first(end, now);
            Ok::<_, CallError>(ticket)
        })?;
        let answer = CallFuture { engine: Arc::clone(self), ticket: Some(ticket) };
        Ok((CallStream::new(Arc::clone(self), ticket.call.into()), answer))
    }

    /// The next chunk of a stream.
    pub(crate) fn poll_chunk(
        self: &Arc<Self>,
        end: CallEnd,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        self.run(|inner, now| {
            // Whoever never reads gets nothing sent.
            inner.grant_first(end, now);
            inner.streams.take(end, cx).map(|taken| {
                let (chunk, granted) = taken?;
                inner.grant(end, granted, now);
                Some(chunk)
            })
        })
    }

    /// Sends a chunk, or waits until it may be sent.
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        end: CallEnd,
        body: &Bytes,
        is_last: bool,
        cx: &Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.run(|inner, now| match inner.node.send(end, body, is_last, now, &mut inner.out) {
            Err(StreamError::NoCredit { .. }) if inner.streams.wait_for_credit(end, cx) => {
                Poll::Pending
            }
            Err(StreamError::LinkFull) => {
                inner.streams.wait_for_room(cx);
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        })
    }

    /// The last handle on one end of a stream is gone.
    pub(crate) fn drop_stream(self: &Arc<Self>, end: CallEnd) {
        self.run(|inner, now| {
            let is_awaited = match end {
                CallEnd::Caller(call) => inner.waiting.is_waiting(call),
                CallEnd::Handler(_) => false,
            };
            let granted = inner.streams.dropped(end, is_awaited);
            inner.grant(end, granted, now);
        });
    }

    /// Lets ends send more whose chunks nobody reads.
    pub(super) fn grant_all(self: &Arc<Self>, grants: Vec<(CallEnd, u32)>) {
        self.run(|inner, now| {
            for (end, bytes) in grants {
                inner.grant(end, Some(bytes), now);
            }
        });
    }
}

impl Inner {
    fn grant_first(&mut self, end: CallEnd, now: Instant) {
        let window = self.streams.first_grant(end);
        self.grant(end, window, now);
    }

    fn grant(&mut self, end: CallEnd, bytes: Option<u32>, now: Instant) {
        let Some(bytes) = bytes else { return };
        let granted = self.node.grant(end, bytes, now, &mut self.out);
        // The call may have ended before its stream was read.
        debug_assert!(matches!(granted, Ok(()) | Err(StreamError::CallEnded)), "{granted:?}");
    }
}
