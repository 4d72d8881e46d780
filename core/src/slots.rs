//! Numbers for instances: small, so that shards keep what they know of an instance in an array, and
//! never the same one twice.

use alloc::vec::Vec;

/// Where a shard keeps what it knows of an instance of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Slot {
    /// No place at all.
    pub(crate) const NONE: Self = Self { index: u32::MAX, generation: 0 };

    pub(crate) const fn is_none(self) -> bool {
        self.index == u32::MAX
    }
}

/// Hands slots out and takes them back.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Slots {
    pub(crate) fn take(&mut self) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        let generation = &mut self.generations[index as usize];
        *generation += 1;
        Slot { index, generation: *generation }
    }

    pub(crate) fn give_back(&mut self, slot: Slot) {
        // An index whose generations are used up is never handed out again.
        if !slot.is_none() && slot.generation < u32::MAX {
            self.free.push(slot.index);
        }
    }

    /// As many slots as were ever in use at once.
    pub(crate) const fn len(&self) -> usize {
        self.generations.len()
    }
}
