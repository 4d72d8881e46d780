//! Connections between hosts: ordered bytes with delays, cut at arbitrary places, that may break.

use crate::dice::Dice;
use bytes::{Bytes, BytesMut};
use relay_core::{Instant, LinkId};
use std::collections::VecDeque;

/// The host of a stranger: none of the world's. The same number on every platform, because chance
/// depends on it.
pub(crate) const NOBODY: usize = u32::MAX as usize;

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) host: usize,
    /// Which life of the host; bytes for an earlier one are lost.
    pub(crate) life: u32,
    /// The link there; a stranger has none.
    pub(crate) link: Option<LinkId>,
}

/// One connection. Its first end is the one that dialled.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    pub(crate) state: WireState,
    /// `lanes[0]` carries bytes to `ends[0]`.
    pub(crate) lanes: [Lane; 2],
    pub(crate) dice: Dice,
    /// Whether the end that accepted has authenticated the other.
    pub(crate) authenticated: bool,
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
    /// What the sender handed over and the buffers between the hosts had no room for.
    pub(crate) backlog: VecDeque<Bytes>,
    /// What arrived and was not consumed: the partial frame a driver would hold.
    pub(crate) tail: BytesMut,
    /// Nothing overtakes on a connection.
    pub(crate) last_at: Instant,
    /// When the front is to be looked at, if that is arranged.
    pub(crate) woken_at: Option<Instant>,
    /// Bytes among the pieces.
    pub(crate) in_flight: usize,
    pub(crate) ledger: Ledger,
}

/// Where every byte of a lane went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) frames: u64,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// Lost because the connection was closed, silent, or its receiver gone.
    pub(crate) dropped: u64,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The sender closed the connection after everything before this.
    End,
}

impl Wire {
    pub(crate) fn new(ends: [End; 2], dice: Dice) -> Self {
        Self {
            ends,
            state: WireState::Open,
            lanes: [Lane::default(), Lane::default()],
            dice,
            authenticated: false,
        }
    }

    /// Ends the connection; what was on its way is lost, and handed back.
    pub(crate) fn close(&mut self) -> [Vec<Bytes>; 2] {
        self.state = WireState::Closed;
        let lost = [self.lanes[0].drop_all(), self.lanes[1].drop_all()];
        self.lanes.iter_mut().for_each(|lane| lane.tail = BytesMut::new());
        lost
    }

    /// From now on bytes vanish.
    pub(crate) fn silence(&mut self) {
        self.state = WireState::HalfOpen;
        self.lanes.iter_mut().for_each(|lane| drop(lane.drop_all()));
    }
}

impl Lane {
    /// Loses everything that is on its way.
    pub(crate) fn drop_all(&mut self) -> Vec<Bytes> {
        let waiting: usize = self.backlog.iter().map(Bytes::len).sum();
        self.ledger.dropped += (self.in_flight + waiting) as u64;
        self.in_flight = 0;
        self.backlog.clear();
        let pieces = self.pieces.drain(..);
        let bytes = pieces.filter_map(|(_, piece)| match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::End => None,
        });
        bytes.collect()
    }

    /// Whether every byte is accounted for.
    pub(crate) fn balances(&self) -> bool {
        let waiting: usize = self.backlog.iter().map(Bytes::len).sum();
        let ledger = self.ledger;
        ledger.sent == ledger.delivered + ledger.dropped + (self.in_flight + waiting) as u64
    }
}
