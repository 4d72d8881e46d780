//! Numbers of publications: given where they are made, compared where they end.
//!
//! Each life of a publisher counts what it says on each topic. Whoever subscribed to a topic gets
//! all of that, so whatever is missing, comes late or comes twice shows itself at the end of the
//! way, wherever on it that happened. Memory for it is bounded at both ends; what is forgotten can
//! make a gap look larger than it is, and never hides one.

use crate::message::PublicationEnvelope;
use crate::outbox::Gap;
use crate::recent::Recent;
use alloc::vec::Vec;

/// What this node said last on each topic.
#[derive(Debug)]
pub(super) struct Numbers(Recent);

impl Numbers {
    pub(super) const fn new(topics_remembered: u32) -> Self {
        Self(Recent::new(topics_remembered as usize))
    }

    /// The number of the next publication on a topic. On one that is not remembered it is higher
    /// than any that was forgotten.
    pub(super) fn following(&mut self, topic: &[u8]) -> u64 {
        let last = self.0.get(topic).copied();
        last.or_else(|| self.0.forgotten()).unwrap_or(0) + 1
    }

    /// It was given.
    pub(super) fn set(&mut self, topic: &[u8], number: u64) {
        match self.0.get(topic) {
            Some(last) => *last = number,
            None => self.0.insert(topic, number),
        }
    }

    pub(super) fn holdings(&self) -> crate::Holdings {
        self.0.holdings()
    }
}

/// What the local application heard last from each life of each publisher on each topic.
#[derive(Debug)]
pub(super) struct Heard {
    last: Recent,
    key: Vec<u8>,
}

impl Heard {
    pub(super) const fn new(topics_remembered: u32) -> Self {
        Self { last: Recent::new(topics_remembered as usize), key: Vec::new() }
    }

    /// Takes a publication. Nothing if it is not newer than the last one, otherwise what is missing
    /// between them.
    pub(super) fn hear(&mut self, publication: &PublicationEnvelope<'_>) -> Option<Gap> {
        // The topic comes first, so that those of a pattern lie together.
        self.key.clear();
        self.key.extend_from_slice(publication.topic.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(publication.publisher.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(&publication.key);
        self.key.extend_from_slice(&publication.life.to_be_bytes());
        let Some(last) = self.last.get(&self.key) else {
            self.last.insert(&self.key, publication.seq);
            // Before the very first one nothing can be missing.
            let is_known = publication.seq == 1 || self.last.forgotten().is_none();
            return Some(if is_known { Gap::None } else { Gap::Unknown });
        };
        if publication.seq <= *last {
            return planted!("repeated_is_delivered").then_some(Gap::None);
        }
        let missing = publication.seq - *last - 1;
        *last = publication.seq;
        let is_whole = missing == 0 || planted!("gap_unsaid");
        Some(if is_whole { Gap::None } else { Gap::Of(missing) })
    }

    /// Forgets topics that `pattern` stands for, unless they are still `wanted`. Where it would
    /// have to look at too many, it forgets all: what comes next may then be told as a gap.
    pub(super) fn forget(&mut self, pattern: &str, mut wanted: impl FnMut(&str) -> bool) {
        let prefix = match pattern.split_once('*') {
            None => [pattern.as_bytes(), &[0]].concat(),
            // `a.**` stands for `a` as well.
            Some((first, "*")) => Vec::from(first.strip_suffix('.').unwrap_or(first)),
            Some((first, _)) => Vec::from(first),
        };
        self.last.retain(&prefix, LOOKED_AT_MAX, |key| {
            topic_of(key)
                .is_some_and(|topic| !crate::topic::matches(pattern, topic) || wanted(topic))
        });
    }

    pub(super) fn holdings(&self) -> crate::Holdings {
        self.last.holdings()
    }
}

/// The topic in a key: everything up to the first zero.
fn topic_of(key: &[u8]) -> Option<&str> {
    let end = key.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(&key[..end]).ok()
}

/// Topics that the end of a subscription may cost a look at; more take longer than a node should
/// stand still.
const LOOKED_AT_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Texts;
    use alloc::format;

    fn said(topic: &'static str, life: u64, seq: u64) -> PublicationEnvelope<'static> {
        let (headers, path) = (Texts::default(), Texts::default());
        let key = [7; 8];
        PublicationEnvelope { topic, publisher: "p", key, life, seq, content: 0, headers, path }
    }

    #[test]
    fn gaps_are_counted_and_nothing_comes_twice() {
        let mut heard = Heard::new(16);
        assert_eq!(heard.hear(&said("a", 1, 5)), Some(Gap::None), "the first one says nothing");
        assert_eq!(heard.hear(&said("a", 1, 6)), Some(Gap::None));
        assert_eq!(heard.hear(&said("a", 1, 9)), Some(Gap::Of(2)));
        assert_eq!(heard.hear(&said("a", 1, 7)), None, "late");
        assert_eq!(heard.hear(&said("a", 1, 9)), None, "twice");
        assert_eq!(heard.hear(&said("a", 2, 1)), Some(Gap::None), "another life");
        assert_eq!(heard.hear(&said("b", 1, 1)), Some(Gap::None), "another topic");
    }

    #[test]
    fn what_was_unsubscribed_leaves_no_gap() {
        let mut heard = Heard::new(16);
        heard.hear(&said("a.x", 1, 1));
        heard.hear(&said("a.y", 1, 1));
        heard.forget("a.*", |topic| topic == "a.y");
        assert_eq!(heard.hear(&said("a.x", 1, 9)), Some(Gap::None));
        assert_eq!(heard.hear(&said("a.y", 1, 9)), Some(Gap::Of(7)));
    }

    #[test]
    fn nobody_counts_for_another_key() {
        let mut heard = Heard::new(16);
        assert_eq!(heard.hear(&said("a", 1, 1)), Some(Gap::None));
        let forged = PublicationEnvelope { key: [8; 8], ..said("a", 1, u64::MAX) };
        assert_eq!(heard.hear(&forged), Some(Gap::None), "the first one of somebody else");
        assert_eq!(heard.hear(&said("a", 1, 2)), Some(Gap::None), "it goes on");
    }

    #[test]
    fn an_exact_pattern_ends_its_own_topic_only() {
        let mut heard = Heard::new(16);
        for topic in ["a", "a.x", "a.xy", "a.x.z"] {
            heard.hear(&said(topic, 1, 1));
        }
        heard.forget("a.x", |_| false);
        for topic in ["a", "a.xy", "a.x.z"] {
            assert_eq!(heard.hear(&said(topic, 1, 3)), Some(Gap::Of(1)), "{topic}");
        }
        assert_eq!(heard.hear(&said("a.x", 1, 3)), Some(Gap::None));
    }

    #[test]
    fn a_pattern_ends_the_topics_that_it_stands_for() {
        let topics = ["a", "a.x", "a.x.y", "ab", "a.x.y.z", "b.x"];
        for pattern in ["a.**", "a.x.**", "a.*", "*.x", "**", "a.*.y", "a", "ab"] {
            let mut heard = Heard::new(16);
            for topic in topics {
                heard.hear(&said(topic, 1, 1));
            }
            heard.forget(pattern, |_| false);
            for topic in topics {
                let is_over = crate::topic::matches(pattern, topic);
                let gap = if is_over { Gap::None } else { Gap::Of(1) };
                assert_eq!(heard.hear(&said(topic, 1, 3)), Some(gap), "{pattern} {topic}");
            }
        }
    }

    #[test]
    fn where_too_many_topics_would_be_looked_at_all_are_forgotten() {
        let mut heard = Heard::new(65_536);
        let topics: Vec<&'static str> =
            (0..=LOOKED_AT_MAX + 1).map(|n| &*format!("a.t{n}").leak()).collect();
        for topic in &topics {
            heard.hear(&said(topic, 1, 1));
        }
        heard.hear(&said("b", 1, 5));
        heard.forget("a.t7", |_| false);
        assert_eq!(heard.hear(&said("b", 1, 7)), Some(Gap::Of(1)), "a single topic costs little");
        heard.forget("a.*", |_| false);
        assert_eq!(heard.hear(&said("b", 1, 9)), Some(Gap::Unknown));
        assert_eq!(heard.hear(&said("a.t9", 2, 1)), Some(Gap::None), "the very first one");
    }

    #[test]
    fn what_is_forgotten_makes_gaps_larger_and_hides_none() {
        let topics: [&'static str; 6] = ["a", "b", "c", "d", "e", "f"];
        let (mut numbers, mut heard) = (Numbers::new(2), Heard::new(2));
        let mut last = [0; 6];
        let mut unknown = 0;
        for round in 0..50 {
            for (n, topic) in topics.iter().enumerate().skip(round % 3) {
                let seq = numbers.following(topic.as_bytes());
                numbers.set(topic.as_bytes(), seq);
                assert!(seq > last[n], "never lower than before");
                last[n] = seq;
                if (round + n) % 4 == 0 {
                    continue; // lost on the way
                }
                let gap = heard.hear(&said(topic, 1, seq));
                unknown += u32::from(gap == Some(Gap::Unknown));
                let known = heard.last.forgotten().is_none();
                assert!(known || gap != Some(Gap::None) || (round + n) % 4 != 1);
            }
        }
        assert!(unknown > 0);
    }
}
