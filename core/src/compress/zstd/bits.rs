//! Bits in bytes: read from the front or from the back, written for both.

use super::InflateError;
use alloc::vec::Vec;

/// Up to 32 bits from bit `at` on; what is behind the end is zero.
#[inline]
fn peek(bytes: &[u8], at: usize, count: u32) -> u32 {
    let rest = bytes.get(at / 8..).unwrap_or_default();
    let word = match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    ((word >> (at % 8)) & ((1_u64 << count) - 1)) as u32
}

/// Reads from the first bit on, lowest bit of each byte first.
pub(super) struct Forward<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Forward<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: u32) -> Result<u32, InflateError> {
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(InflateError::Malformed);
        }
        let bits = peek(self.bytes, self.at, count);
        self.at = end;
        Ok(bits)
    }

    /// The last bit that was taken is to be taken again.
    pub(super) const fn untake(&mut self) {
        self.at -= 1;
    }

    /// Bytes that were begun.
    pub(super) const fn bytes_used(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// Reads from the last bit on: below the highest one of the last byte, which marks the end.
pub(super) struct Backward<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Backward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, InflateError> {
        let last = bytes.last().filter(|last| **last != 0).ok_or(InflateError::Malformed)?;
        Ok(Self { bytes, left: bytes.len() * 8 - 1 - last.leading_zeros() as usize })
    }

    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u32, InflateError> {
        self.skip(count)?;
        Ok(peek(self.bytes, self.left, count))
    }

    /// The next bits, which stay; zeros follow the last of them.
    #[inline]
    pub(super) fn look(&self, count: u32) -> u32 {
        match self.left.checked_sub(count as usize) {
            Some(at) => peek(self.bytes, at, count),
            None => peek(self.bytes, 0, self.left as u32) << (count - self.left as u32),
        }
    }

    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), InflateError> {
        self.left = self.left.checked_sub(count as usize).ok_or(InflateError::Malformed)?;
        Ok(())
    }

    pub(super) const fn has(&self, count: u32) -> bool {
        self.left >= count as usize
    }

    /// Every bit has to be used.
    pub(super) const fn end(&self) -> Result<(), InflateError> {
        if self.left == 0 { Ok(()) } else { Err(InflateError::Malformed) }
    }
}

/// Appends bits, lowest first, for a reader that begins at their end.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    count: u32,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, word: 0, count: 0 }
    }

    /// Appends the lowest `count` bits, at most 32, of a number that has no others.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.word |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.word as u8);
            self.word >>= 8;
            self.count -= 8;
        }
    }

    /// Fills the last byte up with zeros, where it was begun.
    pub(super) fn fill(mut self) {
        self.put(0, (8 - self.count) % 8);
    }

    /// Marks the end for a reader that begins there.
    pub(super) fn end(mut self) {
        self.put(1, 1);
        self.fill();
    }
}
