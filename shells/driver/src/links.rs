//! What shells and engine share about each link: frames to write, and a partial frame read.

use crate::endpoint::TransportKind;
use bytes::{Bytes, BytesMut};
use relay_core::frame::Kind;
use relay_core::{CloseReason, Instant, LinkId};
use std::collections::VecDeque;
use std::task::Waker;

/// What the task of a link has to do.
#[derive(Debug)]
pub enum WriteOrder {
    /// Write what was put into the queue, then report it by
    /// [`Engine::flushed`](crate::Engine::flushed).
    Write,
    /// Write what was put into the queue, then close the connection.
    Close(CloseReason),
}

/// The links of an engine, by slot.
#[derive(Debug, Default)]
pub(crate) struct LinkTable {
    slots: Vec<Option<LinkIo>>,
}

#[derive(Debug)]
pub(crate) struct LinkIo {
    pub(crate) id: LinkId,
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) queued_bytes: usize,
    pub(crate) closing: Option<CloseReason>,
    pub(crate) waker: Option<Waker>,
    /// Of whoever waits until the connection takes more, and would otherwise not hear of the end.
    pub(crate) close_waker: Option<Waker>,
    /// The start of a frame whose rest has not come.
    pub(crate) tail: BytesMut,
    /// What carries it, where the shell says so.
    pub(crate) transport: Option<TransportKind>,
    /// When a frame of a call last passed.
    pub(crate) busy_at: Instant,
    /// What came over it, and what was handed to it.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl LinkIo {
    /// Notices that a frame passes which begins with these bytes. Pings, and what keeps registries
    /// up to date, pass over idle links too.
    pub(crate) fn passes(&mut self, frame: &[u8], now: Instant) {
        let is_of_a_call = |flags: &u8| flags & 15 >= Kind::Request as u8;
        if frame.get(FLAGS_AT).is_some_and(is_of_a_call) {
            self.busy_at = now;
        }
    }
}

/// Where the byte is whose low half is the kind of a frame.
const FLAGS_AT: usize = 4;

impl LinkTable {
    pub(crate) fn insert(&mut self, id: LinkId, now: Instant) {
        let slot = id.slot();
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(LinkIo {
            id,
            queue: VecDeque::new(),
            queued_bytes: 0,
            closing: None,
            waker: None,
            close_waker: None,
            tail: BytesMut::new(),
            transport: None,
            busy_at: now,
            bytes_in: 0,
            bytes_out: 0,
        });
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<&LinkIo> {
        self.slots.get(id.slot())?.as_ref().filter(|link| link.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut LinkIo> {
        self.slots.get_mut(id.slot())?.as_mut().filter(|link| link.id == id)
    }

    /// Forgets a link. One that has its slot by now stays.
    pub(crate) fn remove(&mut self, id: LinkId) {
        if self.get_mut(id).is_some() {
            self.slots[id.slot()] = None;
        }
    }

    /// Links whose connection is still in use, closing ones included.
    pub(crate) fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}
