//! What is said on topics: who says what, who wants to hear it, and what must have come (S15, L8).

use crate::dice::Dice;
use relay_core::topic::matches;
use relay_core::{Gap, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// All topics there are.
pub(crate) const TOPICS: [&str; 4] = ["t.0", "t.1", "t.2", "u.a.b"];
/// What hosts subscribe to.
const PATTERNS: [&str; 9] = ["t.0", "t.1", "t.*", "*.1", "**", "u.**", "u.*.b", "t.2.**", "none.*"];

/// Every publication of a run.
#[derive(Debug)]
pub(crate) struct Said {
    seed: u64,
    all: Vec<Publication>,
    /// By host, life and topic: how many.
    counts: BTreeMap<(u16, u32, u8), u64>,
    /// Publications that must reach a host, and until when.
    expected: BTreeMap<(u32, u16), Instant>,
}

/// One publication, as a bystander sees it.
#[derive(Clone, Copy, Debug)]
struct Publication {
    from: u16,
    life: u32,
    topic: u8,
    /// Its number among those of this life on this topic.
    number: u64,
    body: u32,
}

/// What a life of a host subscribed to and heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearing {
    pub(crate) patterns: BTreeSet<&'static str>,
    /// The last number heard, by publisher, its life, and topic.
    last: BTreeMap<(u16, u32, u8), u64>,
}

impl Said {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, all: Vec::new(), counts: BTreeMap::new(), expected: BTreeMap::new() }
    }

    /// Somebody is about to say something. Returns its number in the run and its body.
    pub(crate) fn say(&mut self, from: u16, life: u32, topic: u8, body: u32) -> (u32, Vec<u8>) {
        let uid = self.all.len() as u32;
        let number = self.counts.entry((from, life, topic)).or_default();
        *number += 1;
        self.all.push(Publication { from, life, topic, number: *number, body });
        (uid, self.body(uid))
    }

    /// The number that the next one will have.
    pub(crate) const fn following(&self) -> u32 {
        self.all.len() as u32
    }

    /// It was not accepted.
    pub(crate) fn unsay(&mut self) {
        let Some(publication) = self.all.pop() else { return };
        let key = (publication.from, publication.life, publication.topic);
        *self.counts.entry(key).or_default() -= 1;
    }

    /// It must reach `to` by then.
    pub(crate) fn expect(&mut self, uid: u32, to: u16, by: Instant) {
        self.expected.insert((uid, to), by);
    }

    fn body(&self, uid: u32) -> Vec<u8> {
        let lot = Dice::new(self.seed, &[SAID, u64::from(uid)]).next();
        let mut body = uid.to_be_bytes().to_vec();
        body.extend_from_slice(&lot.to_be_bytes());
        let padding = self.all.get(uid as usize).map_or(0, |publication| publication.body);
        body.resize(12 + padding as usize, uid as u8 ^ 0x3c);
        body
    }

    /// Who said it, if it is something that was said.
    pub(crate) fn publisher_of(&self, topic: &str, body: &[u8]) -> Option<(u32, u16)> {
        let uid = body.first_chunk::<4>().map(|uid| u32::from_be_bytes(*uid))?;
        let publication = self.all.get(uid as usize)?;
        let is_it = TOPICS[usize::from(publication.topic)] == topic && body == self.body(uid);
        is_it.then_some((uid, publication.from))
    }

    /// A publication reached `at`. Returns the oracle that is broken and how, if one is.
    pub(crate) fn heard(
        &mut self,
        (uid, at): (u32, u16),
        gap: Gap,
        hearing: &mut Hearing,
        now: Instant,
    ) -> Option<(&'static str, String)> {
        let Publication { from, life, topic, number, .. } = self.all[uid as usize];
        let name = TOPICS[usize::from(topic)];
        if !hearing.wants(name) {
            return Some(("S15", format!("host {at} did not subscribe to {name}")));
        }
        let last = hearing.last.insert((from, life, topic), number);
        let missing = match last {
            Some(last) if number <= last => {
                let text = format!("{name} {number} of host {from} came to {at} after {last}");
                return Some(("S15", text));
            }
            Some(last) => number - last - 1,
            None => 0,
        };
        let told = match gap {
            Gap::None => Some(0),
            Gap::Of(count) => Some(count),
            Gap::Unknown => None,
        };
        if told != Some(missing) {
            let text = format!(
                "{missing} of {name} are missing at {at} before {number} of host {from} after \
                 {last:?}, it was told {gap:?}"
            );
            return Some(("S15", text));
        }
        match self.expected.remove(&(uid, at)) {
            Some(by) if now > by => {
                Some(("L8", format!("{name} {number} of host {from} came too late to {at}")))
            }
            Some(_) | None => None,
        }
    }

    /// Something that never came, if there is anything.
    pub(crate) fn missing(&self) -> Option<String> {
        let ((uid, to), _) = self.expected.first_key_value()?;
        let Publication { from, topic, .. } = self.all[*uid as usize];
        let name = TOPICS[usize::from(topic)];
        Some(format!("all was well, and what host {from} said on {name} never came to host {to}"))
    }
}

impl Hearing {
    /// Whether any of its patterns stands for the topic.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, topic))
    }

    /// It gave a pattern up: what it does not want any more it starts anew if it wants it again.
    pub(crate) fn unsubscribe(&mut self, pattern: &str) {
        self.patterns.remove(pattern);
        let patterns = &self.patterns;
        let wants = |topic: &str| patterns.iter().any(|pattern| matches(pattern, topic));
        self.last.retain(|(_, _, topic), _| wants(TOPICS[usize::from(*topic)]));
    }
}

/// What a host subscribes to, in each of its lives: nothing, or up to three patterns.
pub(crate) fn patterns_of(seed: u64, at: usize) -> Vec<&'static str> {
    let dice = &mut Dice::new(seed, &[PATTERN, at as u64]);
    let count = dice.pick(&[0, 1, 1, 2, 3]);
    let mut patterns: Vec<&str> = (0..count).map(|_| dice.pick(&PATTERNS)).collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

const SAID: u64 = 20;
const PATTERN: u64 = 21;
