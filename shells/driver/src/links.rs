//! What shells and engine share about each link: frames to write, and a partial frame read.

use bytes::{Bytes, BytesMut};
use relay_core::{CloseReason, LinkId};
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
}

impl LinkTable {
    pub(crate) fn insert(&mut self, id: LinkId) {
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
        });
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
