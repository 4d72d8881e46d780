//! Calls of the application that wait for their answer.

use crate::engine::Engine;
use bytes::Bytes;
use relay_core::{Answer, LocalCallId, Priority, TraceHop};
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
    /// How much it matters where there is no room for all.
    pub priority: Priority,
    /// The answer tells which nodes it crossed, and how long each of them waited.
    pub trace: bool,
    /// Pairs of key and value that reach the handler, such as a W3C `traceparent`.
    pub headers: Vec<(String, String)>,
}

/// The one answer of a call, and the nodes it crossed if it was traced.
pub type Answered = (Answer, Vec<TraceHop>);

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
            priority: Priority::Normal,
            trace: false,
            headers: Vec::new(),
        }
    }
}

/// Resolves to the one answer of a call. Dropping it cancels the call.
#[derive(Debug)]
pub struct CallFuture {
    pub(crate) engine: Arc<Engine>,
    pub(crate) ticket: Option<Ticket>,
}

/// Where the answer of a call is put down. The core gives the id of an answered call to the next
/// one, while the answer may still wait here to be taken; so a ticket has a place of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    place: u32,
    pub(crate) call: LocalCallId,
}

impl Future for CallFuture {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let answer = self.engine.poll_answer(ticket, cx);
        if answer.is_ready() {
            self.ticket = None;
        }
        answer
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.engine.cancel(ticket);
        }
    }
}

/// Calls whose answer has not come, or has come and was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    places: Vec<Place>,
    free: Vec<u32>,
    /// The place of each call in flight, by slot.
    in_flight: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    /// `None` when the place is free.
    call: Option<LocalCallId>,
    answer: Option<Answered>,
    waker: Option<Waker>,
}

impl Waiting {
    pub(crate) fn insert(&mut self, call: LocalCallId) -> Ticket {
        let taken = Place { call: Some(call), answer: None, waker: None };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = taken;
                place
            }
            None => {
                self.places.push(taken);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let slot = call.slot();
        if slot >= self.in_flight.len() {
            self.in_flight.resize(slot + 1, 0);
        }
        self.in_flight[slot] = place;
        Ticket { place, call }
    }

    pub(crate) fn answer(&mut self, call: LocalCallId, answer: Answered, wakes: &mut Vec<Waker>) {
        let Some(place) = self.in_flight.get(call.slot()) else { return };
        let place = self.places.get_mut(*place as usize).filter(|place| place.call == Some(call));
        if let Some(place) = place {
            place.answer = Some(answer);
            wakes.extend(place.waker.take());
        }
    }

    pub(crate) fn poll(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Answered> {
        let Some(place) = self.get_mut(ticket) else { return Poll::Pending };
        if let Some(answer) = place.answer.take() {
            self.release(ticket);
            return Poll::Ready(answer);
        }
        if !place.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            place.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether the answer to this call is still awaited.
    pub(crate) fn is_waiting(&self, call: LocalCallId) -> bool {
        let place = self.in_flight.get(call.slot()).and_then(|at| self.places.get(*at as usize));
        place.is_some_and(|place| place.call == Some(call) && place.answer.is_none())
    }

    /// Forgets a call. Tells whether it was still without an answer.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(place) = self.get_mut(ticket) else { return false };
        let waiting = place.answer.is_none();
        self.release(ticket);
        waiting
    }

    fn release(&mut self, ticket: Ticket) {
        self.places[ticket.place as usize] = Place { call: None, answer: None, waker: None };
        self.free.push(ticket.place);
    }

    fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Place> {
        let place = self.places.get_mut(ticket.place as usize);
        place.filter(|place| place.call == Some(ticket.call))
    }
}
