//! How much a node holds, for those who want to see that it does not grow.

use core::mem::size_of;

/// What a node holds, added up from the lengths of its tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// Links over bytes.
    pub links: u64,
    /// Calls in flight.
    pub calls: u64,
    /// Everything that has an entry in some table, places for calls that are free included.
    pub entries: u64,
    /// Bytes of those entries, of frames not written yet, and of frames that are kept. What an
    /// entry points to (names, keys) and what an allocator adds is not in it.
    pub bytes: u64,
}

impl Holdings {
    /// So many entries of one kind.
    pub(crate) const fn entries<T>(mut self, count: usize) -> Self {
        self.entries += count as u64;
        self.bytes += (count * size_of::<T>()) as u64;
        self
    }

    /// Bytes besides entries.
    pub(crate) const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes += bytes;
        self
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            links: self.links + other.links,
            calls: self.calls + other.calls,
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
        }
    }
}
