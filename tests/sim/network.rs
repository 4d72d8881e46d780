//! Connections between hosts: ordered bytes with delays, cut at arbitrary places, that may break.

use bytes::{Bytes, BytesMut};
use relay_core::{Instant, LinkId};
use std::collections::VecDeque;
use std::time::Duration;

/// How unkind the network and the hosts are. Probabilities are in parts of a million per event.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A delivery breaks its connection for both ends.
    pub reset: u32,
    /// A delivery is the last one that arrives, and neither end is told.
    pub half_open: u32,
    /// A host crashes when it is about to act, and comes back later without its state.
    pub crash: u32,
    /// Largest one-way delay.
    pub delay_max: Duration,
    /// Largest piece in which bytes arrive; pieces are of random size up to it.
    pub chunk_max: usize,
}

impl Faults {
    /// Nothing goes wrong, and bytes arrive whole.
    pub const NONE: Self = Self {
        reset: 0,
        half_open: 0,
        crash: 0,
        delay_max: Duration::from_millis(5),
        chunk_max: 64 << 10,
    };
}

impl Faults {
    /// Whether nothing can break.
    pub(crate) const fn are_none(&self) -> bool {
        self.reset == 0 && self.half_open == 0 && self.crash == 0
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) host: usize,
    /// Which life of the host; bytes for an earlier one are lost.
    pub(crate) life: u32,
    pub(crate) link: LinkId,
}

/// One connection: what is on its way to each end.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    pub(crate) state: WireState,
    pub(crate) lanes: [Lane; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireState {
    Open,
    /// Bytes vanish, nobody is told.
    HalfOpen,
    Closed,
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) pieces: VecDeque<(Instant, Piece)>,
    /// What arrived and was not consumed: the partial frame a driver would hold.
    pub(crate) tail: BytesMut,
    /// Nothing overtakes on a connection.
    pub(crate) last_at: Instant,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The sender closed the connection after everything before this.
    End,
}

impl Wire {
    pub(crate) fn new(ends: [End; 2]) -> Self {
        Self { ends, state: WireState::Open, lanes: [Lane::default(), Lane::default()] }
    }

    /// Which end a link of a host is, if it is of this wire.
    pub(crate) fn side(&self, host: usize, link: LinkId) -> Option<usize> {
        self.ends.iter().position(|end| end.host == host && end.link == link)
    }
}
