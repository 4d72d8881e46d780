//! Calls under the lock of the engine: made, delivered, answered.

use super::{Effects, Engine, Inner};
use crate::call::{Answered, CallFuture, CallRequest, Ticket};
use crate::service::BoxFuture;
use crate::stream::STREAM_WINDOW;
use relay_core::{Call, CallEnd, CallError, CallId, Delivery, Instant};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

impl Engine {
    /// Calls a service.
    ///
    /// # Errors
    /// A [`CallError`] when the call is not accepted at all.
    pub fn call(self: &Arc<Self>, request: &CallRequest) -> Result<CallFuture, CallError> {
        let ticket = self.run(|inner, now| inner.call(request, false, now))?;
        Ok(CallFuture { engine: Arc::clone(self), ticket: Some(ticket) })
    }

    pub(crate) fn poll_answer(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Answered> {
        self.lock().waiting.poll(ticket, cx)
    }

    pub(crate) fn cancel(self: &Arc<Self>, ticket: Ticket) {
        let mut wakes = Vec::new();
        self.run(|inner, now| {
            if inner.waiting.remove(ticket) {
                inner.node.cancel(ticket.call, now, &mut inner.out);
                inner.streams.ended(CallEnd::Caller(ticket.call), &mut wakes);
            }
        });
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Hands answers of services to the node.
    pub(crate) fn reply(self: &Arc<Self>, replies: &[(CallId, crate::ServiceResult)]) {
        let mut wakes = Vec::new();
        self.run(|inner, now| {
            for (call, result) in replies {
                inner.handlers.forget(*call);
                inner.node.reply(*call, crate::handlers::reply(result), now, &mut inner.out);
                inner.streams.ended(CallEnd::Handler(*call), &mut wakes);
            }
        });
        wakes.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn spawn(&self, future: BoxFuture<()>) {
        self.runtime.spawn(future);
    }

    /// Keeps what stops a handler, or stops it if its caller has gone since it was started.
    pub(crate) fn keep_abort(&self, call: CallId, abort: futures_util::future::AbortHandle) {
        let mut inner = self.lock();
        if inner.node.is_awaited(call) {
            inner.handlers.keep(call, abort);
        } else {
            abort.abort();
        }
    }
}

impl Inner {
    pub(super) fn call(
        &mut self,
        request: &CallRequest,
        stream: bool,
        now: Instant,
    ) -> Result<Ticket, CallError> {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let call = Call {
            node: request.node.as_deref().unwrap_or_default(),
            service: &request.service,
            method: &request.method,
            body: &request.body,
            deadline: request.deadline,
            idempotent: request.idempotent,
            priority: request.priority,
            trace: request.trace,
            stream,
            headers: &headers,
        };
        let call = self.node.call(call, now, &mut self.out)?;
        Ok(self.waiting.insert(call))
    }

    pub(super) fn deliver(&mut self, delivery: Delivery, effects: &mut Effects, now: Instant) {
        match delivery {
            Delivery::Answer { call, answer, trace } => {
                self.streams.ended(CallEnd::Caller(call), &mut effects.wakes);
                self.waiting.answer(call, (answer, trace), &mut effects.wakes);
            }
            Delivery::Request(call) => {
                if call.streams {
                    self.streams.insert(CallEnd::Handler(call.call), STREAM_WINDOW);
                }
                effects.jobs.push(self.handlers.job(call, now));
            }
            Delivery::Cancelled { call } => {
                self.streams.ended(CallEnd::Handler(call), &mut effects.wakes);
                self.handlers.abort(call);
            }
            Delivery::Chunk { call, is_last, body, .. } => {
                let granted = self.streams.put(call, body, is_last, &mut effects.wakes);
                effects.grants.extend(granted.map(|bytes| (call, bytes)));
            }
            Delivery::Credit { call, .. } => self.streams.credited(call, &mut effects.wakes),
            Delivery::Publication(publication) => {
                let copies = self.subscribers.deliver(&publication, &mut effects.wakes);
                // The core has charged one of them.
                if let (Some(link), 2..) = (publication.via, copies) {
                    let bytes = publication.length();
                    self.node.charge_publication(link, bytes, copies as u64 - 1);
                }
            }
            Delivery::Missed { count } => self.subscribers.missed(count, &mut effects.wakes),
        }
    }
}
