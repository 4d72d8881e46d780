//! Finds what repeats itself, by a table of where each four bytes were seen last.

use super::ZSTD_WINDOW_BYTES_MAX;
use alloc::vec;
use alloc::vec::Vec;

/// So many bytes as they are, and then some that were there before.
pub(super) struct Match {
    pub(super) literals: usize,
    pub(super) length: usize,
    pub(super) distance: usize,
}

pub(super) struct Finder {
    /// Places in the whole text, counted from one.
    seen: Vec<u32>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { seen: vec![0; 1 << SEEN_BITS] }
    }

    /// The matches in a block of `text`, which starts at `at`. The rest of it is literals.
    pub(super) fn find(&mut self, text: &[u8], mut at: usize, end: usize) -> Vec<Match> {
        let text = &text[..end];
        let (mut told, mut misses) = (at, 0);
        let mut matches = Vec::new();
        while let Some(word) = first_four(text, at) {
            let slot = (word.wrapping_mul(HASH) >> (32 - SEEN_BITS)) as usize;
            let place = core::mem::replace(&mut self.seen[slot], at as u32 + 1) as usize;
            let found = place
                .checked_sub(1)
                .filter(|place| at - place <= WINDOW && first_four(text, *place) == Some(word));
            let Some(found) = found else {
                // Where nothing repeats itself for long it is looked at less closely.
                at += 1 + (misses >> 6);
                misses += 1;
                continue;
            };
            let pairs = text[found..].iter().zip(&text[at..]);
            let length = pairs.take_while(|(then, now)| then == now).count();
            matches.push(Match { literals: at - told, length, distance: at - found });
            at += length;
            (told, misses) = (at, 0);
        }
        matches
    }
}

#[inline]
fn first_four(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

const WINDOW: usize = ZSTD_WINDOW_BYTES_MAX as usize;
const SEEN_BITS: u32 = 13;
/// Odd, and about half of its bits set: the fractional part of the golden ratio.
const HASH: u32 = 0x9e37_79b1;
