//! What a connection shares with the calls on it: the queue of messages to write, and a table of
//! what is in flight in either direction. Both are bounded here and nowhere else.

use super::ClientLimits;
use super::text;
use bytes::Bytes;
use relay_tokio::{CHUNK_BYTES_MAX, ErrorCode, Executed, ServiceError, ServiceResult};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The shared half of one connection.
pub(super) struct Client {
    limits: ClientLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    close: Option<Close>,
    /// Nothing is written any more.
    is_over: bool,
    connection: Option<Waker>,
    /// Whoever has a chunk for the client, which has to read others first.
    full: Vec<Waker>,
    exchanges: BTreeMap<Bytes, Exchange>,
    calls: usize,
    served: usize,
    next_id: u64,
}

/// A message to write.
struct Outgoing {
    text: String,
    /// The call that is handed over with it.
    hands_over: Option<Bytes>,
}

/// One call in flight, by its id as it stands in messages.
#[derive(Default)]
struct Exchange {
    /// The client answers it.
    is_served: bool,
    /// It was handed to the client.
    is_written: bool,
    is_cancelled: bool,
    answer: Option<ServiceResult>,
    chunks: VecDeque<Chunk>,
    /// What the waiting chunks cost.
    waiting: u32,
    /// Passed on, and not granted again yet.
    passed_on: u32,
    is_last_in: bool,
    /// What may be sent to the client; without bound while it reads, when there is none.
    credit: Option<i64>,
    waker: Option<Waker>,
}

/// A part of a stream that the client sent.
pub(super) struct Chunk {
    /// One JSON value; empty for nothing but the end.
    pub(super) body: Bytes,
    /// No more come.
    pub(super) is_last: bool,
}

/// Why a connection is closed: a status code of RFC 6455, section 7.4.1, and a sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

/// Why a call of the client is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its id belongs to another call in flight.
    IdInUse,
    /// The id is of the form that belongs to the calls that the client answers.
    IdReserved,
    /// The client waits for too many calls already.
    TooMany(usize),
}

impl Client {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes on a call that the client makes. Without an id nobody can ask about it later.
    pub(super) fn begin(&self, id: Option<&Bytes>, credit: Option<u32>) -> Result<(), Refused> {
        let mut state = self.state();
        if let Some(id) = id {
            if id.starts_with(text::SERVED_ID) {
                return Err(Refused::IdReserved);
            }
            if state.exchanges.contains_key(id) {
                return Err(Refused::IdInUse);
            }
        }
        if state.calls >= self.limits.calls_max {
            return Err(Refused::TooMany(self.limits.calls_max));
        }
        state.calls += 1;
        if let Some(id) = id {
            let credit = credit.map(i64::from);
            state.exchanges.insert(id.clone(), Exchange { credit, ..Exchange::default() });
        }
        Ok(())
    }

    /// A call of the client is over.
    pub(super) fn end(&self, id: Option<&Bytes>) {
        let mut state = self.state();
        state.calls -= 1;
        if let Some(id) = id {
            state.exchanges.remove(id);
        }
    }

    /// Asks the client to answer a call; `write` is given the id that it goes by. Nothing is
    /// queued where the client is over a bound.
    pub(super) fn ask(
        &self,
        credit: Option<u32>,
        write: impl FnOnce(&Bytes) -> String,
    ) -> Result<Bytes, ServiceError> {
        let mut state = self.state();
        if state.is_over || state.close.is_some() {
            let message = "the client that offers this service is going away";
            return Err(ServiceError::refused(ErrorCode::Unavailable, message));
        }
        let is_full = state.queued_bytes > self.limits.queue_bytes_max / 2;
        if state.served >= self.limits.served_max || is_full {
            let message = "the client that offers this service has all the calls it can take";
            return Err(ServiceError::refused(ErrorCode::Overloaded, message));
        }
        state.next_id += 1;
        let id = text::served_id(state.next_id);
        let text = write(&id);
        if state.queued_bytes > 0 && state.queued_bytes + text.len() > self.limits.queue_bytes_max {
            let message = "the client that offers this service does not read fast enough";
            return Err(ServiceError::refused(ErrorCode::Overloaded, message));
        }
        let credit = credit.map(i64::from);
        let exchange = Exchange { is_served: true, credit, ..Exchange::default() };
        state.exchanges.insert(id.clone(), exchange);
        state.served += 1;
        state.put(Outgoing { text, hands_over: Some(id.clone()) });
        Ok(id)
    }

    /// A call that the client was asked to answer is over. It is told where it still works on it.
    pub(super) fn end_served(&self, id: &Bytes) {
        let mut state = self.state();
        state.served -= 1;
        let works_on_it = state
            .exchanges
            .remove(id)
            .is_some_and(|exchange| exchange.is_written && exchange.answer.is_none());
        state.wake_connection();
        drop(state);
        if works_on_it {
            self.push(text::cancel(id));
        }
    }

    /// How many calls its services are asked to answer now.
    pub(super) fn load(&self) -> usize {
        self.state().served
    }

    /// Nothing is in flight, and nothing waits to be written.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.calls == 0 && state.served == 0 && state.queue.is_empty()
    }

    /// Queues a message that must not be left out. A client that has not read enough to take it
    /// is closed.
    pub(super) fn push(&self, text: String) {
        let mut state = self.state();
        if state.is_over {
            return;
        }
        if state.queued_bytes > self.limits.queue_bytes_max {
            state.queue.clear();
            state.queued_bytes = 0;
            state.close = Some(Close::SLOW);
            state.is_over = true;
            state.wake_connection();
            return;
        }
        state.put(Outgoing { text, hands_over: None });
    }

    /// Closes the connection once the queue is written; the first reason stays.
    pub(super) fn close(&self, close: Close) {
        let mut state = self.state();
        state.close.get_or_insert(close);
        state.wake_connection();
    }

    /// Whether it is known already why the connection ends.
    pub(super) fn is_closing(&self) -> bool {
        self.state().close.is_some()
    }

    /// The next message to write; `Err` says that there are none any more. A call that is handed
    /// over with it counts as run from here on.
    pub(super) fn poll_text(&self, cx: &mut Context<'_>) -> Poll<Result<String, Close>> {
        let mut state = self.state();
        while let Some(next) = state.queue.pop_front() {
            state.queued_bytes -= next.text.len();
            if state.queued_bytes <= ROOM_BYTES {
                state.full.drain(..).for_each(Waker::wake);
            }
            match next.hands_over {
                None => return Poll::Ready(Ok(next.text)),
                Some(id) => {
                    if let Some(exchange) = state.exchanges.get_mut(&id) {
                        exchange.is_written = true;
                        return Poll::Ready(Ok(next.text));
                    }
                }
            }
        }
        if let Some(close) = state.close {
            return Poll::Ready(Err(close));
        }
        keep(&mut state.connection, cx);
        Poll::Pending
    }

    /// The connection is gone, and with it whoever could answer.
    pub(super) fn lost(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.queue.clear();
        state.queued_bytes = 0;
        state.full.drain(..).for_each(Waker::wake);
        for exchange in state.exchanges.values_mut().filter(|exchange| exchange.is_served) {
            let executed = if exchange.is_written { Executed::Unknown } else { Executed::No };
            exchange.settle(Err(ServiceError::Failed {
                code: ErrorCode::LinkLost,
                executed,
                message: "the client that offers this service is gone".to_owned(),
            }));
        }
    }

    /// Takes the answer of the client to a call. Late ones and guesses find nobody.
    pub(super) fn handle_answer(&self, id: &Bytes, result: ServiceResult) -> bool {
        let mut state = self.state();
        let exchange = state.exchanges.get_mut(id).filter(|exchange| exchange.is_written);
        let Some(exchange) = exchange else { return false };
        exchange.settle(result);
        true
    }

    /// Takes a part of a stream from the client. One that breaks the rules ends its call.
    pub(super) fn handle_chunk(&self, id: &Bytes, chunk: Chunk) -> bool {
        let limits = &self.limits;
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return false };
        if exchange.is_last_in || exchange.answer.is_some() {
            return false;
        }
        let fault = if chunk.body.len() > CHUNK_BYTES_MAX {
            Some((ErrorCode::TooLarge, format!("a chunk has at most {CHUNK_BYTES_MAX} bytes")))
        } else if exchange.waiting >= limits.window_bytes {
            let message = "chunks were sent faster than they are read: wait for rpc.credit";
            Some((ErrorCode::Overloaded, message.to_owned()))
        } else {
            None
        };
        if let Some((code, message)) = fault {
            exchange.chunks.clear();
            exchange.settle(Err(ServiceError::Failed { code, executed: Executed::Yes, message }));
            if exchange.is_served {
                drop(state);
                self.push(text::cancel(id));
            }
            return false;
        }
        exchange.waiting += cost(chunk.body.len());
        exchange.is_last_in = chunk.is_last;
        exchange.chunks.push_back(chunk);
        wake(&mut exchange.waker);
        true
    }

    /// The client reads on.
    pub(super) fn handle_credit(&self, id: &Bytes, bytes: u32) -> bool {
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return false };
        let Some(credit) = &mut exchange.credit else { return false };
        *credit = credit.saturating_add(i64::from(bytes)).min(CREDIT_MAX);
        wake(&mut exchange.waker);
        true
    }

    /// The client has lost interest in a call of its own.
    pub(super) fn handle_cancel(&self, id: &Bytes) -> bool {
        let mut state = self.state();
        let exchange = state.exchanges.get_mut(id).filter(|exchange| !exchange.is_served);
        let Some(exchange) = exchange else { return false };
        exchange.is_cancelled = true;
        wake(&mut exchange.waker);
        true
    }

    /// Why a call of the client must stop, once it must: it cancelled the call, or broke the rules
    /// of its stream.
    pub(super) fn poll_stopped(&self, id: &Bytes, cx: &Context<'_>) -> Poll<Option<ServiceError>> {
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return Poll::Pending };
        match &exchange.answer {
            _ if exchange.is_cancelled => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(error.clone())),
            Some(Ok(_)) | None => {
                keep(&mut exchange.waker, cx);
                Poll::Pending
            }
        }
    }

    /// The answer of the client.
    pub(super) fn poll_answer(&self, id: &Bytes, cx: &Context<'_>) -> Poll<ServiceResult> {
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return Poll::Pending };
        match &exchange.answer {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                keep(&mut exchange.waker, cx);
                Poll::Pending
            }
        }
    }

    /// The next part of a stream of the client; nothing behind the last one.
    pub(super) fn poll_chunk(&self, id: &Bytes, cx: &Context<'_>) -> Poll<Option<Chunk>> {
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return Poll::Ready(None) };
        if let Some(chunk) = exchange.chunks.pop_front() {
            return Poll::Ready(Some(chunk));
        }
        if exchange.is_last_in || exchange.answer.is_some() {
            return Poll::Ready(None);
        }
        keep(&mut exchange.waker, cx);
        Poll::Pending
    }

    /// A part of a stream of the client was passed on: it may send more.
    pub(super) fn passed_on(&self, id: &Bytes, bytes: usize) {
        let mut state = self.state();
        let Some(exchange) = state.exchanges.get_mut(id) else { return };
        exchange.waiting = exchange.waiting.saturating_sub(cost(bytes));
        exchange.passed_on += cost(bytes);
        let is_enough = exchange.passed_on >= self.limits.window_bytes / 4;
        if !is_enough || exchange.is_last_in || exchange.answer.is_some() {
            return;
        }
        let granted = std::mem::take(&mut exchange.passed_on);
        drop(state);
        self.push(text::credit(id, granted));
    }

    /// Waits until the client takes a part of a stream, and counts it.
    pub(super) fn poll_room(&self, id: &Bytes, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_over {
            return Poll::Pending;
        }
        let has_room = state.queued_bytes <= ROOM_BYTES;
        let Some(exchange) = state.exchanges.get_mut(id) else { return Poll::Pending };
        if exchange.credit.is_some_and(|credit| credit <= 0) {
            keep(&mut exchange.waker, cx);
            return Poll::Pending;
        }
        if has_room {
            if let Some(credit) = &mut exchange.credit {
                *credit -= i64::from(cost(bytes));
            }
            return Poll::Ready(());
        }
        if !state.full.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.full.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, outgoing: Outgoing) {
        self.queued_bytes += outgoing.text.len();
        self.queue.push_back(outgoing);
        self.wake_connection();
    }

    fn wake_connection(&mut self) {
        wake(&mut self.connection);
    }
}

impl Exchange {
    /// The first answer stays.
    fn settle(&mut self, answer: ServiceResult) {
        self.answer.get_or_insert(answer);
        wake(&mut self.waker);
    }
}

impl Close {
    /// The client does not read what it is sent.
    pub(super) const SLOW: Self =
        Self { code: 1008, reason: "SLOW_CONSUMER: too much waits to be read by this client" };
}

/// What a part of a stream costs of the credit: tiny ones are not for nothing.
pub(super) fn cost(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(CHUNK_OVERHEAD_BYTES)
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

/// Parts of streams wait while more than this waits to be written: they come in any number, and
/// answers should not queue behind them.
const ROOM_BYTES: usize = 64 << 10;
const CHUNK_OVERHEAD_BYTES: u32 = 32;
const CREDIT_MAX: i64 = 1 << 40;

#[cfg(test)]
mod tests;
