//! Connections of a trace: they give what was received, take what there is room for, and note it.

use crate::runtime::Around;
use crate::task::lock;
use bytes::Bytes;
use relay_core::CloseReason;
use relay_driver::Transport;
use relay_sim::golden::{BROKEN, Room};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// One connection, held by its link and by the player.
#[derive(Clone)]
pub(crate) struct Pipe {
    number: u32,
    around: Arc<Around>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    received: VecDeque<Vec<u8>>,
    room: Room,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Closed,
    Broken,
}

/// Defects that a test must notice.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Planted {
    /// Frames that are written together change places.
    Reordered,
    /// What was written is not reported.
    UnreportedWrites,
    /// Bytes come twice.
    ReceivedTwice,
    /// Nobody is woken when there is room again.
    RoomUnnoticed,
    /// No byte is taken, as of a peer that does not read.
    TakesNothing,
}

impl Pipe {
    pub(crate) fn new(number: u32, around: &Arc<Around>) -> Self {
        Self { number, around: Arc::clone(around), state: Arc::default() }
    }

    /// Whether its link still holds it.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        Arc::strong_count(&self.state) > 1
    }

    pub(crate) fn receive(&self, bytes: &[u8]) {
        self.change(|state| state.received.push_back(bytes.to_vec()));
        #[cfg(test)]
        if self.around.planted == Some(Planted::ReceivedTwice) {
            self.change(|state| state.received.push_back(bytes.to_vec()));
        }
    }

    /// From now on no more than so many bytes are taken.
    pub(crate) fn stall(&self, bytes: usize) {
        lock(&self.state).room.stall(bytes);
    }

    pub(crate) fn grow(&self, bytes: usize, is_open: bool) {
        #[cfg(test)]
        if self.around.planted == Some(Planted::RoomUnnoticed) {
            return lock(&self.state).room.grow(bytes, is_open);
        }
        self.change(|state| state.room.grow(bytes, is_open));
    }

    pub(crate) fn end(&self, is_broken: bool) {
        let ending = if is_broken { Ending::Broken } else { Ending::Closed };
        self.change(|state| state.ending = Some(ending));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes what there is room for off the front of the queue. Tells whether it is empty.
    fn take(&self, queue: &mut VecDeque<Bytes>) -> bool {
        #[cfg(test)]
        if self.around.planted == Some(Planted::Reordered) {
            queue.make_contiguous().reverse();
        }
        #[cfg(test)]
        if self.around.planted == Some(Planted::TakesNothing) {
            return false;
        }
        let mut state = lock(&self.state);
        while let Some(frame) = queue.front_mut() {
            let taken = state.room.take(frame.len());
            if taken == 0 {
                return false;
            }
            lock(&self.around.log).wrote(self.number, &frame.split_to(taken));
            queue.pop_front_if(|frame| frame.is_empty());
        }
        #[cfg(test)]
        if self.around.planted == Some(Planted::UnreportedWrites) {
            return false;
        }
        true
    }
}

impl Transport for Pipe {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        let mut state = lock(&self.state);
        if let Some(bytes) = state.received.pop_front() {
            drop(state);
            take(&bytes);
            return Poll::Ready(Ok(true));
        }
        match state.ending {
            Some(Ending::Closed) => Poll::Ready(Ok(false)),
            Some(Ending::Broken) => Poll::Ready(Err(io::Error::other(BROKEN))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        if self.take(queue) {
            return Poll::Ready(Ok(()));
        }
        lock(&self.state).waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_close(&mut self, reason: CloseReason, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.around.log).closed(self.number, reason);
        Poll::Ready(Ok(()))
    }
}
