//! Many calls over one connection, for the protocols that have no client here: requests are
//! written together, an answer finds its call by a number. The shape is that of Relay's own client
//! (a lock, a slot for each call, one task for the connection), so that the clients cost the same.

use crate::Failure;
use crate::line::Line;
use crate::load::Caller;
use crate::pump::{self, Handler};
use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How a protocol writes requests and reads answers.
pub(crate) trait Wire: Send + 'static {
    /// Puts a request behind `output`.
    fn request(&self, call: CallId, body: &[u8], output: &mut BytesMut);

    /// Takes the next message off `input`. What has to be said about it goes behind `output`.
    fn take(&self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Taken, Failure>;
}

/// The number of a call: slot and generation.
pub(crate) type CallId = u64;

/// What was read.
pub(crate) enum Taken {
    /// The answer of a call.
    Answer(CallId, Bytes),
    /// Something else, which is dealt with.
    Nothing,
    /// The rest has not come.
    Incomplete,
}

/// A connection with calls on it.
pub(crate) struct Mux<W> {
    shared: Arc<Mutex<Shared<W>>>,
}

struct Shared<W> {
    wire: W,
    slots: Vec<Slot>,
    free: Vec<u32>,
    output: BytesMut,
    /// Of the task that writes.
    waker: Option<Waker>,
    failure: Option<String>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    answer: Option<Bytes>,
    waker: Option<Waker>,
}

impl<W: Wire> Mux<W> {
    /// Takes over a connection that is ready for requests.
    pub(crate) fn start(wire: W, mut line: impl Line + Send + 'static, read: BytesMut) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            wire,
            slots: Vec::new(),
            free: Vec::new(),
            output: BytesMut::new(),
            waker: None,
            failure: None,
        }));
        let mut receiver = Receiver { shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            let ended = pump::run(&mut line, &mut receiver, read).await;
            let closed = || String::from("the broker closed the connection");
            lock(&receiver.shared)
                .fail(ended.map_or_else(|error| error.to_string(), |()| closed()));
        });
        Self { shared }
    }
}

impl<W> Clone for Mux<W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<W: Wire> Caller for Mux<W> {
    fn call(&self, body: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send {
        let call = lock(&self.shared).begin(&body);
        Waiting { shared: Arc::clone(&self.shared), call }
    }
}

/// Resolves to the answer of a call. Dropping it gives the slot back.
struct Waiting<W> {
    shared: Arc<Mutex<Shared<W>>>,
    call: CallId,
}

impl<W> Future for Waiting<W> {
    type Output = Result<Bytes, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = lock(&self.shared);
        if let Some(failure) = &shared.failure {
            return Poll::Ready(Err(failure.clone().into()));
        }
        let Some(slot) = shared.slot(self.call) else { return Poll::Pending };
        if let Some(answer) = slot.answer.take() {
            return Poll::Ready(Ok(answer));
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<W> Drop for Waiting<W> {
    fn drop(&mut self) {
        lock(&self.shared).end(self.call);
    }
}

impl<W> Shared<W> {
    fn slot(&mut self, call: CallId) -> Option<&mut Slot> {
        let (at, generation) = (call as u32, (call >> 32) as u32);
        self.slots.get_mut(at as usize).filter(|slot| slot.generation == generation)
    }

    fn end(&mut self, call: CallId) {
        if let Some(slot) = self.slot(call) {
            *slot = Slot { generation: slot.generation.wrapping_add(1), ..Slot::default() };
            self.free.push(call as u32);
        }
    }

    fn fail(&mut self, failure: String) {
        self.failure = Some(failure);
        for slot in &mut self.slots {
            slot.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl<W: Wire> Shared<W> {
    fn begin(&mut self, body: &[u8]) -> CallId {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let call = u64::from(self.slots[at as usize].generation) << 32 | u64::from(at);
        self.wire.request(call, body, &mut self.output);
        self.waker.take().into_iter().for_each(Waker::wake);
        call
    }
}

/// The task of the connection.
struct Receiver<W> {
    shared: Arc<Mutex<Shared<W>>>,
}

impl<W: Wire> Handler for Receiver<W> {
    fn take(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        let mut shared = lock(&self.shared);
        loop {
            let Shared { wire, output, .. } = &mut *shared;
            match wire.take(input, output)? {
                Taken::Answer(call, body) => {
                    // Nobody waits any more for a call that was given up.
                    if let Some(slot) = shared.slot(call) {
                        slot.answer = Some(body);
                        slot.waker.take().into_iter().for_each(Waker::wake);
                    }
                }
                Taken::Nothing => {}
                Taken::Incomplete => return Ok(()),
            }
        }
    }

    fn poll_output(&mut self, output: &mut BytesMut, cx: &mut Context<'_>) {
        let mut shared = lock(&self.shared);
        pump::append(output, &mut shared.output);
        shared.waker = Some(cx.waker().clone());
    }
}

fn lock<W>(shared: &Mutex<Shared<W>>) -> MutexGuard<'_, Shared<W>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
