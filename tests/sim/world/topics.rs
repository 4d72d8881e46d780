//! Hosts that say things on topics, and hosts that hear them.

use super::{Phase, World};
use crate::dice::Dice;
use crate::queue::Event;
use crate::said::{TOPICS, patterns_of};
use crate::step::{HostStep, PublishStep, Step};
use relay_core::{ErrorCode, Publication, Publish, Role};
use std::time::Duration;

impl World {
    /// Whether topics are used in this world. A node that is recorded does without them.
    pub(super) fn has_topics(&self) -> bool {
        self.plan.traffic.publications_per_second > 0.0 && self.recorder.is_none()
    }

    /// A host that has just started subscribes.
    pub(super) fn subscribe_all(&mut self, at: usize) {
        self.hosts[at].hearing = crate::said::Hearing::default();
        if self.has_topics() {
            for pattern in patterns_of(self.plan.seed, at) {
                self.subscribe(at, pattern);
            }
        }
    }

    fn subscribe(&mut self, at: usize, pattern: &'static str) {
        let local = self.local(at);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        host.hearing.patterns.insert(pattern);
        if let Err(error) = node.subscribe(pattern, local, &mut host.out) {
            self.checker.blame("S13", None, &format!("{pattern} was not subscribed to: {error}"));
        }
    }

    pub(super) fn apply_topic_step(&mut self, step: &Step) {
        match step {
            Step::Publish(publish) => drop(self.publish(*publish)),
            Step::Subscribe(step) => self.change_subscription(*step, true),
            Step::Unsubscribe(step) => self.change_subscription(*step, false),
            _ => {}
        }
    }

    /// Gives up one pattern, or takes up again what was given up.
    fn change_subscription(&mut self, step: HostStep, is_on: bool) {
        let at = usize::from(step.host);
        if self.hosts[at].condition.asleep_until > self.now || !self.has_topics() {
            return;
        }
        let Some(pattern) = patterns_of(self.plan.seed, at).first().copied() else { return };
        let local = self.local(at);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        if is_on {
            self.subscribe(at, pattern);
        } else if host.hearing.patterns.contains(pattern) {
            host.hearing.unsubscribe(pattern);
            if !node.unsubscribe(pattern, local, &mut host.out) {
                self.checker.blame("S13", None, "what was subscribed to could not be given up");
            }
            self.tally.mark("a subscription was given up");
        }
        self.apply(at);
    }

    /// A host says something, unless it is down or asleep. Returns the number of what was said.
    fn publish(&mut self, step: PublishStep) -> Option<u32> {
        let at = usize::from(step.host);
        let local = self.local(at);
        if self.hosts[at].condition.asleep_until > self.now || !self.has_topics() {
            return None;
        }
        let host = &mut self.hosts[at];
        let node = host.node.as_mut()?;
        let (uid, body) = self.said.say(step.host, host.life, step.topic, step.body);
        let topic = TOPICS[usize::from(step.topic)];
        let publish = Publish { topic, body: &body, ..Publish::default() };
        let published = node.publish(publish, local, &mut host.out);
        match published {
            Ok(_) => {
                self.tally.mark("something was published");
                self.apply(at);
                Some(uid)
            }
            Err(error) => {
                self.said.unsay();
                let usual = [ErrorCode::Unavailable, ErrorCode::Overloaded, ErrorCode::TooLarge];
                if !usual.contains(&error.code) {
                    self.checker.blame("S13", None, &format!("told '{error}' of a publication"));
                }
                None
            }
        }
    }

    /// Something that was published reached a host (S15).
    pub(super) fn hear(&mut self, at: usize, publication: &Publication) {
        let (topic, body) = (publication.topic(), publication.body());
        let known = self.said.publisher_of(topic, &body);
        let named = self.hosts.iter().position(|h| h.name.as_str() == publication.publisher());
        let Some((uid, from)) = known.filter(|(_, from)| named == Some(usize::from(*from))) else {
            // A hostile host may say what it likes in its own name.
            if !named.is_some_and(|named| self.hosts[named].hostile) {
                let text = format!("{topic} of {} was never published", publication.publisher());
                self.checker.blame("S3", None, &text);
            }
            return;
        };
        self.note(u64::from(uid) << 32 | at as u64);
        self.tally.mark("a publication was heard");
        if publication.gap != relay_core::Gap::None {
            self.tally.mark("a subscriber was told of a gap");
        }
        // What a hostile host says beside its node may bear any number.
        let is_hostile = self.hosts[usize::from(from)].hostile;
        let hearing = &mut self.hosts[at].hearing;
        let broken = self.said.heard((uid, at as u16), publication.gap, hearing, self.now);
        if let Some((oracle, text)) = broken.filter(|_| !is_hostile) {
            self.checker.blame(oracle, None, &text);
        }
    }

    /// What is to be said when all is well again: it must reach everybody who wants it (L8).
    pub(super) fn plan_sayings(&mut self) {
        // Where little may be announced, not all is known everywhere. And a link whose labels are
        // used up is dialled anew though all is well: what is on its way then is lost.
        let (few, ends) =
            (self.limits.services_per_peer_max < 100, self.limits.labels_per_slot != u32::MAX);
        if !self.has_topics() || few || ends {
            return;
        }
        let dice = &mut Dice::new(self.plan.seed, &[SAYINGS]);
        let hosts = 0..self.hosts.len() as u16;
        let all = hosts.flat_map(|host| (0..TOPICS.len() as u8).map(move |topic| (host, topic)));
        let mut all: Vec<(u16, u8)> =
            all.filter(|(host, _)| self.main_of(*host).is_some()).collect();
        while all.len() > SAYINGS_MAX {
            all.swap_remove(dice.below(all.len() as u64) as usize);
        }
        self.sayings = all;
    }

    /// Says the next of these. Tells whether there was one.
    pub(super) fn say_next(&mut self) -> bool {
        let Some((host, topic)) = self.sayings.pop() else { return false };
        debug_assert!(self.phase == Phase::Probe, "all is well only then");
        let reached = self.main_of(host).map(|main| self.reached_from(main)).unwrap_or_default();
        let name = TOPICS[usize::from(topic)];
        let hears = |to: &u16| {
            let main = self.main_of(*to).filter(|main| reached.contains(main));
            main.is_some() && self.hosts[usize::from(*to)].hearing.wants(name)
        };
        let listeners: Vec<u16> = (0..self.hosts.len() as u16).filter(hears).collect();
        // Expected before it is said: at a Main that hears itself it has come when that is over.
        let by = self.now.after(SAYING_TIME_MAX + self.longest_way() * 8);
        let uid = self.said.following();
        for to in listeners {
            self.tally.mark("a publication had to be heard");
            self.said.expect(uid, to, by);
        }
        if self.publish(PublishStep { host, topic, body: 8 }).is_none() {
            let text = format!("all was well, and host {host} could not say anything on {name}");
            self.checker.blame("L8", None, &text);
        }
        self.queue.push(self.now.after(BETWEEN_SAYINGS), Event::Probe);
        true
    }

    /// The Main of a host that is well, if that is well too.
    fn main_of(&self, host: u16) -> Option<usize> {
        let at = usize::from(host);
        let main = match self.hosts[at].role {
            Role::Main => Some(at),
            Role::Home | Role::Caller => self.main_now(at),
        };
        main.filter(|main| self.is_sound(*main) && self.is_sound(at))
    }

    /// At the end everything has come (L8).
    pub(super) fn judge_sayings(&mut self) {
        if let Some(text) = self.said.missing() {
            self.checker.blame("L8", None, &text);
        }
    }
}

/// A publication reaches its subscribers within this time and that of the way (L8).
const SAYING_TIME_MAX: Duration = Duration::from_secs(2);
const BETWEEN_SAYINGS: Duration = Duration::from_millis(20);
const SAYINGS_MAX: usize = 24;
const SAYINGS: u64 = 22;
