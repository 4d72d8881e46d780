//! Calls of the application that wait for their answer.

use crate::engine::Engine;
use bytes::Bytes;
use relay_core::{Answer, LocalCallId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A call of the application.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// The node that must answer; any instance may when there is none.
    pub node: Option<String>,
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// The parameters, JSON by default; empty for none.
    pub body: Bytes,
    /// How long to wait for the answer.
    pub deadline: Duration,
    /// Running the call twice does no harm.
    pub idempotent: bool,
}

impl CallRequest {
    /// A call to any instance of `service`, with the default deadline of 60 s.
    pub fn new(
        service: impl Into<String>,
        method: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            node: None,
            service: service.into(),
            method: method.into(),
            body: body.into(),
            deadline: Duration::from_mins(1),
            idempotent: false,
        }
    }
}

/// Resolves to the one answer of a call. Dropping it cancels the call.
#[derive(Debug)]
pub struct CallFuture {
    pub(crate) engine: Arc<Engine>,
    pub(crate) call: Option<LocalCallId>,
}

impl Future for CallFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(call) = self.call else { return Poll::Pending };
        let answer = self.engine.poll_answer(call, cx);
        if answer.is_ready() {
            self.call = None;
        }
        answer
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.engine.cancel(call);
        }
    }
}

/// Calls that wait, by slot.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    slots: Vec<Option<Slot>>,
}

#[derive(Debug)]
struct Slot {
    call: LocalCallId,
    answer: Option<Answer>,
    waker: Option<Waker>,
}

impl Waiting {
    pub(crate) fn insert(&mut self, call: LocalCallId) {
        let slot = call.slot();
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Slot { call, answer: None, waker: None });
    }

    pub(crate) fn answer(&mut self, call: LocalCallId, answer: Answer, wakes: &mut Vec<Waker>) {
        if let Some(slot) = self.get_mut(call) {
            slot.answer = Some(answer);
            wakes.extend(slot.waker.take());
        }
    }

    pub(crate) fn poll(&mut self, call: LocalCallId, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(slot) = self.get_mut(call) else { return Poll::Pending };
        if let Some(answer) = slot.answer.take() {
            self.slots[call.slot()] = None;
            return Poll::Ready(answer);
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Forgets a call. Tells whether it was still without an answer.
    pub(crate) fn remove(&mut self, call: LocalCallId) -> bool {
        let Some(slot) = self.get_mut(call) else { return false };
        let waiting = slot.answer.is_none();
        self.slots[call.slot()] = None;
        waiting
    }

    fn get_mut(&mut self, call: LocalCallId) -> Option<&mut Slot> {
        self.slots.get_mut(call.slot())?.as_mut().filter(|slot| slot.call == call)
    }
}
