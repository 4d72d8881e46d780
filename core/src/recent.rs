//! Numbers under the names that were used last, in bounded memory.

use crate::holdings::Holdings;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// A number for each of the keys that were used last. There are two generations: what is used is
/// in the young one, and when that is full, what is still in the old one is forgotten.
#[derive(Debug)]
pub(crate) struct Recent {
    young: BTreeMap<Box<[u8]>, u64>,
    old: BTreeMap<Box<[u8]>, u64>,
    /// The length of a generation.
    most: usize,
    /// The largest number that was forgotten.
    forgotten: Option<u64>,
}

impl Recent {
    /// Keeps at least `most` keys, and at most twice as many.
    pub(crate) const fn new(most: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), most, forgotten: None }
    }

    /// The number of a key that is remembered.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&mut u64> {
        if !self.young.contains_key(key) {
            let (key, number) = self.old.remove_entry(key)?;
            self.put(key, number);
        }
        self.young.get_mut(key)
    }

    /// Remembers the number of a key that was not remembered.
    pub(crate) fn insert(&mut self, key: &[u8], number: u64) {
        self.put(Box::from(key), number);
    }

    fn put(&mut self, key: Box<[u8]>, number: u64) {
        if self.young.len() >= self.most {
            let old = core::mem::replace(&mut self.old, core::mem::take(&mut self.young));
            self.forgotten = self.forgotten.max(old.into_values().max());
        }
        self.young.insert(key, number);
    }

    /// The largest number that was ever forgotten for want of room.
    pub(crate) const fn forgotten(&self) -> Option<u64> {
        self.forgotten
    }

    /// Forgets keys that do not matter any more.
    pub(crate) fn retain(&mut self, mut matters: impl FnMut(&[u8]) -> bool) {
        self.young.retain(|key, _| matters(key));
        self.old.retain(|key, _| matters(key));
    }

    pub(crate) fn holdings(&self) -> Holdings {
        let count = self.young.len() + self.old.len();
        Holdings::default().entries::<(Box<[u8]>, u64)>(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_remembered_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(4);
        for n in 0..100_u64 {
            recent.insert(&n.to_be_bytes(), n);
            assert_eq!(recent.get(&0_u64.to_be_bytes()).copied(), Some(0), "used all the time");
            assert!(recent.young.len() <= 4 && recent.old.len() <= 4);
        }
        assert!(recent.get(&50_u64.to_be_bytes()).is_none());
        assert!(recent.forgotten().is_some_and(|largest| largest > 80));
        recent.retain(|key| key == 0_u64.to_be_bytes());
        assert_eq!(recent.young.len() + recent.old.len(), 1);
    }
}
