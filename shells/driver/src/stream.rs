//! Streams of calls: chunks before the answer, as fast as whoever reads them takes them.

use crate::engine::Engine;
use bytes::Bytes;
use futures_util::Stream;
use relay_core::message::{STREAM_BYTES_MAX, chunk_cost};
use relay_core::{CallEnd, StreamError};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// One end of the streams of a call. It reads what the other end sends, as a [`Stream`] that ends
/// with the last chunk or with the call, and sends to the other end.
///
/// What is not read is not sent for long: the other end waits once the window is full. Dropping
/// the last clone means that the rest is of no interest; it ends nothing.
#[derive(Clone, Debug)]
pub struct CallStream(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    engine: Arc<Engine>,
    end: CallEnd,
}

impl CallStream {
    pub(crate) fn new(engine: Arc<Engine>, end: CallEnd) -> Self {
        Self(Arc::new(Handle { engine, end }))
    }

    /// Sends a chunk to the other end of the call, once that has room for it.
    ///
    /// # Errors
    /// [`StreamError`] when the call has ended, the chunk is too large or the stream was ended.
    pub async fn send(&self, body: impl Into<Bytes>) -> Result<(), StreamError> {
        self.send_when_allowed(body.into(), false).await
    }

    /// Sends a chunk and ends the stream in this direction.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_last(&self, body: impl Into<Bytes>) -> Result<(), StreamError> {
        self.send_when_allowed(body.into(), true).await
    }

    /// The next chunk from the other end; nothing after the last one, or when the call has ended.
    pub async fn next(&self) -> Option<Bytes> {
        poll_fn(|cx| self.0.engine.poll_chunk(self.0.end, cx)).await
    }

    async fn send_when_allowed(&self, body: Bytes, is_last: bool) -> Result<(), StreamError> {
        poll_fn(|cx| self.0.engine.poll_send(self.0.end, &body, is_last, cx)).await
    }
}

impl Stream for CallStream {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.engine.poll_chunk(self.0.end, cx)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.engine.drop_stream(self.end);
    }
}

/// What came for the calls with streams and was not read yet, and who waits.
#[derive(Default)]
pub(crate) struct Streams {
    ends: BTreeMap<CallEnd, State>,
    /// Whoever waits until a link has room.
    full: Vec<Waker>,
}

/// One end of the streams of a call.
struct State {
    chunks: VecDeque<Bytes>,
    /// What the other end may send before anything is read.
    window: u32,
    is_granted: bool,
    /// Read, and not granted again yet.
    read: u32,
    /// No more chunks come.
    is_last: bool,
    /// Nobody reads any more.
    is_dropped: bool,
    reader: Option<Waker>,
    senders: Vec<Waker>,
}

impl Streams {
    /// Follows the streams of a call from now on.
    pub(crate) fn insert(&mut self, end: CallEnd, window: u32) {
        let state = State {
            chunks: VecDeque::new(),
            window: window.clamp(WINDOW_LEAST, STREAM_BYTES_MAX),
            is_granted: false,
            read: 0,
            is_last: false,
            is_dropped: false,
            reader: None,
            senders: Vec::new(),
        };
        self.ends.insert(end, state);
    }

    /// What to grant before the first chunk can come, once.
    pub(crate) fn first_grant(&mut self, end: CallEnd) -> Option<u32> {
        let state = self.ends.get_mut(&end)?;
        let first = !state.is_granted;
        state.is_granted = true;
        first.then_some(state.window)
    }

    /// Puts a chunk down. Returns what to grant at once, where nobody reads it.
    pub(crate) fn put(
        &mut self,
        end: CallEnd,
        body: Bytes,
        is_last: bool,
        wakes: &mut Vec<Waker>,
    ) -> Option<u32> {
        let state = self.ends.get_mut(&end)?;
        state.is_last |= is_last;
        if is_last && body.is_empty() {
            // Nothing but the end.
            wakes.extend(state.reader.take());
            return None;
        }
        if state.is_dropped {
            return state.count_read(chunk_cost(body.len()));
        }
        state.chunks.push_back(body);
        wakes.extend(state.reader.take());
        None
    }

    /// Takes the next chunk, with what to grant for it.
    pub(crate) fn take(
        &mut self,
        end: CallEnd,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Bytes, Option<u32>)>> {
        let Some(state) = self.ends.get_mut(&end) else { return Poll::Ready(None) };
        if let Some(chunk) = state.chunks.pop_front() {
            let granted = state.count_read(chunk_cost(chunk.len()));
            return Poll::Ready(Some((chunk, granted)));
        }
        if state.is_last {
            return Poll::Ready(None);
        }
        if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for leave to send. False when there is nothing to wait for.
    pub(crate) fn wait_for_credit(&mut self, end: CallEnd, cx: &Context<'_>) -> bool {
        let Some(state) = self.ends.get_mut(&end) else { return false };
        push_new(&mut state.senders, cx);
        true
    }

    /// Waits until something was written to any link.
    pub(crate) fn wait_for_room(&mut self, cx: &Context<'_>) {
        push_new(&mut self.full, cx);
    }

    /// The other end takes more.
    pub(crate) fn credited(&mut self, end: CallEnd, wakes: &mut Vec<Waker>) {
        if let Some(state) = self.ends.get_mut(&end) {
            wakes.append(&mut state.senders);
        }
    }

    /// Something was written.
    pub(crate) fn take_full(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.full)
    }

    /// The call has ended: what came is still there to be read, and nothing else comes.
    pub(crate) fn ended(&mut self, end: CallEnd, wakes: &mut Vec<Waker>) {
        let Some(state) = self.ends.get_mut(&end) else { return };
        state.is_last = true;
        wakes.extend(state.reader.take());
        wakes.append(&mut state.senders);
        if state.is_dropped {
            self.ends.remove(&end);
        }
    }

    /// Nobody reads any more. Returns what to grant, so that the call goes on: a caller that only
    /// waits for the answer gets it.
    pub(crate) fn dropped(&mut self, end: CallEnd, is_awaited: bool) -> Option<u32> {
        if !is_awaited {
            self.ends.remove(&end);
            return None;
        }
        let state = self.ends.get_mut(&end)?;
        state.is_dropped = true;
        let unread = state.chunks.drain(..).fold(0, |sum, chunk| sum + chunk_cost(chunk.len()));
        state.count_read(unread)
    }
}

impl State {
    /// Counts what was read. Granted again is a quarter of the window or more at a time, so that
    /// many small chunks do not cost as many grants.
    fn count_read(&mut self, cost: u32) -> Option<u32> {
        self.read += cost;
        let enough = self.read >= self.window / 4 && !self.is_last;
        enough.then(|| std::mem::take(&mut self.read))
    }
}

fn push_new(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

/// What the other end of a call may send before any of it was read.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// The longest chunk fits into three quarters of it, so a stream never stands still.
const WINDOW_LEAST: u32 = 96 << 10;
