//! Which Mains want publications on which topics, as the data plane sees it: an immutable snapshot,
//! replaced whole.

use crate::name::NodeId;
use crate::outbox::LinkId;
use crate::topic::TopicTree;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What other Mains asked for.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    patterns: TopicTree<u32>,
    ways: Vec<Way>,
}

/// The way to a Main.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Way {
    /// The Mains on it; the one that it leads to is the last.
    pub(crate) path: Arc<[NodeId]>,
    /// The link to the first of them.
    pub(crate) link: LinkId,
}

impl Interests {
    /// Adds a Main that wants what these patterns stand for.
    pub(crate) fn add<'a>(&mut self, way: Way, patterns: impl Iterator<Item = &'a str>) {
        let number = self.ways.len() as u32;
        self.ways.push(way);
        for pattern in patterns {
            self.patterns.insert(pattern, number);
        }
    }

    /// Patterns, those of several Mains counted for each of them.
    pub(crate) const fn len(&self) -> u32 {
        self.patterns.len() as u32
    }

    /// The Mains that want a topic, each once.
    pub(crate) fn find(&self, topic: &str, found: &mut Vec<u32>) {
        self.patterns.find(topic, found);
    }

    /// The way to one of them.
    pub(crate) fn way(&self, number: u32) -> Option<&Way> {
        self.ways.get(number as usize)
    }
}
