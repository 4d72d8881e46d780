//! Numbers under the names that were used last, in bounded memory.

use crate::holdings::Holdings;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

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

    /// Forgets keys that begin with `prefix` and do not matter any more. Where that are more than
    /// `most`, everything is forgotten, which costs each key once and not once for each look.
    pub(crate) fn retain(
        &mut self,
        prefix: &[u8],
        most: usize,
        mut matters: impl FnMut(&[u8]) -> bool,
    ) {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let mut gone = Vec::new();
        let mut too_many = false;
        for generation in [&self.young, &self.old] {
            let keys = generation.range::<[u8], _>(range).map(|(key, _)| key);
            let mut keys = keys.take_while(|key| key.starts_with(prefix));
            gone.extend(keys.by_ref().take(most).filter(|key| !matters(key)).cloned());
            too_many |= keys.next().is_some();
        }
        if too_many {
            return self.forget_all();
        }
        for key in gone {
            self.young.remove(&key);
            self.old.remove(&key);
        }
    }

    fn forget_all(&mut self) {
        let (young, old) = (core::mem::take(&mut self.young), core::mem::take(&mut self.old));
        self.forgotten = self.forgotten.max(young.into_values().chain(old.into_values()).max());
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
        recent.retain(&[0], 4, |key| key == 0_u64.to_be_bytes());
        assert_eq!(recent.young.len() + recent.old.len(), 1);
        recent.insert(&[1], 1_000);
        recent.retain(&[1], 0, |_| true);
        assert_eq!(recent.young.len() + recent.old.len(), 0, "too many to be looked at");
        assert_eq!(recent.forgotten(), Some(1_000));
    }
}
