//! How a connection takes what is written to it, and when that is reported to the node.

use std::collections::VecDeque;

/// How much a connection takes: all, or so many bytes until there is room again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room(Option<usize>);

impl Room {
    /// No more than so many bytes.
    pub const fn stall(&mut self, bytes: usize) {
        self.0 = Some(bytes);
    }

    /// So many bytes more, or no bound from now on.
    pub fn grow(&mut self, bytes: usize, is_open: bool) {
        self.0 = self.0.filter(|_| !is_open).map(|room| room + bytes);
    }

    /// How much of so many bytes is taken now.
    pub fn take(&mut self, bytes: usize) -> usize {
        let Some(room) = &mut self.0 else { return bytes };
        let taken = bytes.min(*room);
        *room -= taken;
        taken
    }
}

/// When written bytes are reported: a driver takes all frames that wait, up to a bound, and reports
/// them together when the last of them is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    waiting: VecDeque<usize>,
    /// Bytes that were taken and are not reported.
    batch: usize,
    /// Bytes that the connection took and that are not reported.
    accepted: usize,
}

impl Writer {
    /// The node hands over a frame of so many bytes.
    pub(crate) fn queue(&mut self, bytes: usize) {
        self.waiting.push_back(bytes);
    }

    /// The connection takes so many bytes.
    pub(crate) const fn accept(&mut self, bytes: usize) {
        self.accepted += bytes;
    }

    /// Bytes to report now.
    pub(crate) fn report(&mut self) -> usize {
        let mut reported = 0;
        loop {
            if self.batch == 0 {
                while self.batch < WRITE_BYTES {
                    let Some(frame) = self.waiting.pop_front() else { break };
                    self.batch += frame;
                }
            }
            if self.batch == 0 || self.accepted < self.batch {
                return reported;
            }
            self.accepted -= self.batch;
            reported += std::mem::take(&mut self.batch);
        }
    }

    /// Whether everything was written and reported.
    pub(crate) fn is_idle(&self) -> bool {
        self.batch == 0 && self.waiting.is_empty()
    }
}

/// What the driver takes at a time.
const WRITE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_together_is_reported_together() {
        let mut writer = Writer::default();
        writer.queue(100);
        writer.queue(50);
        writer.accept(100);
        assert_eq!(writer.report(), 0);
        // Behind the batch, which is not written yet.
        writer.queue(7);
        writer.accept(50);
        assert_eq!((writer.report(), writer.is_idle()), (150, false));
        writer.accept(7);
        assert_eq!((writer.report(), writer.is_idle()), (7, true));
    }

    #[test]
    fn a_full_connection_takes_what_there_is_room_for() {
        let mut room = Room::default();
        assert_eq!(room.take(1_000), 1_000);
        room.stall(10);
        assert_eq!((room.take(7), room.take(7)), (7, 3));
        room.grow(5, false);
        assert_eq!(room.take(7), 5);
        room.grow(0, true);
        assert_eq!(room.take(1_000), 1_000);
    }
}
