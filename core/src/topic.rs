//! Topics, patterns of topics, and who asked for which.
//!
//! A topic is up to [`LEVELS_MAX`] levels with dots between them, each `[A-Za-z0-9_-]{1,64}`:
//! `messages.user.42`. A pattern is a topic in which a level may be `*`, which stands for any one
//! level, and the last may be `**`, which stands for any number of them, none included. One
//! canonical form; anything else is refused, never normalised.

use crate::name::is_service as is_level;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Most levels of a topic. A lookup takes at most two ways at each of them.
pub const LEVELS_MAX: usize = 8;
/// Most bytes of a topic.
pub const TOPIC_BYTES_MAX: usize = 256;

/// Whether `text` is a legal topic.
#[must_use]
pub fn is_topic(text: &str) -> bool {
    text.len() <= TOPIC_BYTES_MAX
        && text.split('.').count() <= LEVELS_MAX
        && text.split('.').all(is_level)
}

/// Whether `text` is a legal pattern. Every topic is one.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let (first, last) = split_tail(text);
    let levels = first.split('.').count() + usize::from(last);
    let is_empty = first.is_empty() && last;
    text.len() <= TOPIC_BYTES_MAX
        && levels <= LEVELS_MAX
        && (is_empty || first.split('.').all(|level| level == ONE || is_level(level)))
}

/// Whether a legal topic is one of those that a legal pattern stands for.
#[must_use]
pub fn matches(pattern: &str, topic: &str) -> bool {
    let (first, has_tail) = split_tail(pattern);
    let mut levels = topic.split('.');
    if !first.is_empty() {
        for wanted in first.split('.') {
            match levels.next() {
                Some(level) if wanted == ONE || wanted == level => {}
                Some(_) | None => return false,
            }
        }
    }
    has_tail || levels.next().is_none()
}

/// What is in front of `**`, and whether there is one at the end.
fn split_tail(pattern: &str) -> (&str, bool) {
    match pattern.strip_suffix(TAIL) {
        Some("") => ("", true),
        Some(first) => match first.strip_suffix('.') {
            Some(first) if !first.is_empty() => (first, true),
            Some(_) | None => (pattern, false),
        },
        None => (pattern, false),
    }
}

const ONE: &str = "*";
const TAIL: &str = "**";

/// Who asked for which patterns, level by level, so that a topic finds them without looking at
/// patterns that it does not match. A lookup visits at most 2^[`LEVELS_MAX`] places, and no more
/// than there are.
#[derive(Clone, Debug)]
pub struct TopicTree<T> {
    root: Place,
    count: usize,
    who: PhantomData<T>,
}

/// Somebody who asks for topics, as a number. Trees keep numbers, so that a program with several
/// kinds of them has the code of a tree once: each copy is a hundredth of a browser's download.
pub trait Asker: Copy {
    /// The number, in the order of those who ask.
    fn number(self) -> u128;
    /// Whose number it is.
    fn of(number: u128) -> Self;
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// By name; `*` is a name like any other. Boxed: a map has room for eleven from the first on,
    /// and most places have one.
    next: BTreeMap<Box<str>, Box<Self>>,
    /// Whose pattern ends here.
    here: BTreeSet<u128>,
    /// Whose pattern goes on with `**`.
    tail: BTreeSet<u128>,
}

impl<T> Default for TopicTree<T> {
    fn default() -> Self {
        Self { root: Place::default(), count: 0, who: PhantomData }
    }
}

macro_rules! askers {
    ($($number:ty),*) => {
        $(impl Asker for $number {
            fn number(self) -> u128 {
                self as u128
            }

            fn of(number: u128) -> Self {
                number as Self
            }
        })*
    };
}

askers!(u32, u64, usize);

impl<T: Asker + Ord> TopicTree<T> {
    /// Adds a pattern of somebody. Tells whether it is new. The pattern must be legal.
    pub fn insert(&mut self, pattern: &str, who: T) -> bool {
        let added = self.root.insert(pattern, who.number());
        self.count += usize::from(added);
        added
    }

    /// Takes a pattern of somebody away. Tells whether it was there.
    pub fn remove(&mut self, pattern: &str, who: T) -> bool {
        let (first, has_tail) = split_tail(pattern);
        let mut rest = levels(first);
        let removed = self.root.remove(&mut rest, has_tail, who.number());
        self.count -= usize::from(removed);
        removed
    }

    /// Adds to `found` everybody with a pattern that stands for `topic`; in rising order, each
    /// once, if `found` was empty.
    pub fn find(&self, topic: &str, found: &mut Vec<T>) {
        if self.count == 0 {
            return;
        }
        let sets = self.root.find(topic.split('.'), &mut |who| found.push(T::of(who)), 0);
        if sets > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// Patterns, those of several people counted for each of them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody asked for anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Place {
    fn insert(&mut self, pattern: &str, who: u128) -> bool {
        let (first, has_tail) = split_tail(pattern);
        let mut place = self;
        for level in levels(first) {
            if !place.next.contains_key(level) {
                place.next.insert(Box::from(level), Box::default());
            }
            let Some(next) = place.next.get_mut(level) else { return false };
            place = next;
        }
        if has_tail { place.tail.insert(who) } else { place.here.insert(who) }
    }

    fn remove<'a>(
        &mut self,
        rest: &mut impl Iterator<Item = &'a str>,
        has_tail: bool,
        who: u128,
    ) -> bool {
        let Some(level) = rest.next() else {
            return if has_tail { self.tail.remove(&who) } else { self.here.remove(&who) };
        };
        let Some(next) = self.next.get_mut(level) else { return false };
        let removed = next.remove(rest, has_tail, who);
        if next.next.is_empty() && next.here.is_empty() && next.tail.is_empty() {
            self.next.remove(level);
        }
        removed
    }

    /// Returns how many sets were added so far.
    fn find<'a>(
        &self,
        mut levels: impl Iterator<Item = &'a str> + Clone,
        found: &mut impl FnMut(u128),
        mut sets: usize,
    ) -> usize {
        let mut add = |set: &BTreeSet<u128>| {
            set.iter().for_each(|who| found(*who));
            usize::from(!set.is_empty())
        };
        sets += add(&self.tail);
        let Some(level) = levels.next() else { return sets + add(&self.here) };
        for next in [self.next.get(level), self.next.get(ONE)].into_iter().flatten() {
            sets = next.find(levels.clone(), found, sets);
        }
        sets
    }
}

fn levels(first: &str) -> impl Iterator<Item = &str> {
    first.split('.').filter(|level| !level.is_empty())
}

#[cfg(test)]
mod tests;
