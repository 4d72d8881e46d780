//! Labels where this node is the sender and keeps no table of its own.

use super::{FIRST_GENERATION, label, split};
use alloc::vec::Vec;

/// Labels for the calls of the local application, which is the sender on its own link.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Labels {
    pub(crate) fn allocate(&mut self, max: u32) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if (self.generations.len() as u32) < max => {
                self.generations.push(FIRST_GENERATION);
                self.generations.len() as u32 - 1
            }
            None => return None,
        };
        Some(label(index, self.generations[index as usize]))
    }

    pub(crate) fn release(&mut self, label: u64) {
        let (index, generation) = split(label);
        if let Some(next) = generation.checked_add(1) {
            self.generations[index as usize] = next;
            self.free.push(index);
        }
    }
}
