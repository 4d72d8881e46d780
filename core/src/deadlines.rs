//! When which slot wants to be woken: ordered, at most one entry for each slot, ties by slot.

use crate::time::Instant;
use alloc::collections::BTreeSet;

/// A timer for each slot that wants one.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    ordered: BTreeSet<(Instant, u32)>,
}

impl Deadlines {
    /// Moves the timer of `slot` from `before` (what it was set to, if anything) to `at`.
    pub(crate) fn set(&mut self, slot: u32, before: Option<Instant>, at: Option<Instant>) {
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.ordered.remove(&(before, slot));
        }
        if let Some(at) = at {
            self.ordered.insert((at, slot));
        }
    }

    /// Slots that want to be woken.
    pub(crate) fn len(&self) -> usize {
        self.ordered.len()
    }

    /// The earliest timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.ordered.first()?;
        if at > now {
            return None;
        }
        self.ordered.remove(&(at, slot));
        Some(slot)
    }
}
