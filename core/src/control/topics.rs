//! Who subscribed to which topics here, and what other Mains are told of it.
//!
//! Peers learn which patterns are wanted, not by whom: each pattern is announced once, as if it
//! were a service of this Main. When there are too many of them, everything is asked for instead,
//! which costs publications that nobody wants, but keeps all tables bounded.

use super::{Control, LOCAL};
use crate::error::{CallError, ErrorCode};
use crate::event::Event;
use crate::federation::Offer;
use crate::holdings::Holdings;
use crate::interests::{Interests, Way};
use crate::mail::{MailBody, MailTo};
use crate::message::{ControlMessage, INTEREST, interest};
use crate::name::{NameInvalid, NodeId};
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use crate::topic::is_pattern;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

/// Everything that is subscribed to at this node.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// By the local application.
    own: BTreeSet<Arc<str>>,
    /// By anybody.
    patterns: BTreeMap<Arc<str>, Asked>,
    /// Patterns, those of several links counted for each of them.
    count: u32,
    /// Peers are told that everything is wanted; the number of that word.
    all: Option<u64>,
}

/// One pattern.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Links that asked for it.
    links: u32,
    /// The number of the word that it is wanted.
    seq: u64,
}

impl Subscriptions {
    pub(super) fn holdings(&self) -> Holdings {
        let all = Holdings::default().entries::<(Arc<str>, Asked)>(self.patterns.len());
        all.entries::<(LinkId, Arc<str>)>(self.count as usize)
    }

    /// What the local application wants.
    pub(super) fn own(&self) -> impl Iterator<Item = &Arc<str>> {
        self.own.iter()
    }

    /// Whether the local application wants this pattern.
    pub(super) fn is_own(&self, pattern: &str) -> bool {
        self.own.contains(pattern)
    }

    /// The number of the word that peers are told of this pattern, if they are told of it.
    pub(super) fn announced(&self, pattern: &str) -> Option<u64> {
        match self.all {
            Some(seq) => (pattern == EVERYTHING).then_some(seq),
            None => self.patterns.get(pattern).map(|asked| asked.seq),
        }
    }
}

impl Control {
    /// Subscribes the local application to all topics that `pattern` stands for. What is published
    /// on them comes as [`Delivery::Publication`](crate::Delivery::Publication);
    /// [`Event::Subscribed`] says from when on.
    ///
    /// # Errors
    /// A [`CallError`] when the pattern is not one or a bound is reached.
    pub fn subscribe(
        &mut self,
        pattern: &str,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        if !is_pattern(pattern) {
            let text = NameInvalid::Pattern.to_string();
            return Err(CallError::new(ErrorCode::NameInvalid, self.node.as_str(), text));
        }
        if self.subscriptions.own.contains(pattern) {
            return Ok(());
        }
        let is_main = self.config.is_main();
        let limits = &self.config.limits;
        let most = if is_main { u32::MAX } else { limits.subscriptions_per_link_max };
        // A Main that does not answer must not let the list of its answers grow.
        if self.asking.len() >= most.saturating_mul(ANSWERS_EACH) as usize {
            let text = "the Main answers too slowly";
            return Err(CallError::new(ErrorCode::Overloaded, self.node.as_str(), text));
        }
        if self.subscriptions.own.len() >= most as usize {
            let error = CallError::new(ErrorCode::Overloaded, self.node.as_str(), TOO_MANY);
            return Err(error.with_limit(u64::from(most)));
        }
        let pattern = Arc::<str>::from(pattern);
        self.add_subscription(LOCAL, &pattern, now, out)
            .map_err(|code| CallError::new(code, self.node.as_str(), TOO_MANY))?;
        self.subscriptions.own.insert(Arc::clone(&pattern));
        if is_main {
            out.event(Event::Subscribed { pattern: String::from(&*pattern) });
        } else {
            self.want_changed(&pattern, now, out);
        }
        Ok(())
    }

    /// Ends a subscription of the local application: nothing is delivered from now on that only
    /// this pattern stands for. Tells whether there was one.
    pub fn unsubscribe(&mut self, pattern: &str, now: Instant, out: &mut Outbox) -> bool {
        let Some(pattern) = self.subscriptions.own.take(pattern) else { return false };
        self.remove_subscription(LOCAL, &pattern, now, out);
        if !self.config.is_main() {
            self.want_changed(&pattern, now, out);
        }
        true
    }

    /// The Main refuses a pattern of the local application.
    pub(super) fn drop_own(&mut self, pattern: &str, now: Instant, out: &mut Outbox) {
        if let Some(pattern) = self.subscriptions.own.take(pattern) {
            self.remove_subscription(LOCAL, &pattern, now, out);
        }
    }

    /// Patterns that are subscribed to at this node, each with the number of links that asked for
    /// it (the local application is one).
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.subscriptions.patterns.iter().map(|(pattern, asked)| (&**pattern, asked.links))
    }

    /// The same for patterns behind `after` in the order of their bytes: there may be a great many,
    /// to be looked at in parts.
    pub fn subscriptions_after(&self, after: &str) -> impl Iterator<Item = (&str, u32)> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let patterns = self.subscriptions.patterns.range::<str, _>(behind);
        patterns.map(|(pattern, asked)| (&**pattern, asked.links))
    }

    /// How many different patterns are subscribed to at this node, and how many subscriptions there
    /// are: a pattern counts once for each link that asked for it.
    #[must_use]
    pub fn subscription_counts(&self) -> (usize, u32) {
        (self.subscriptions.patterns.len(), self.subscriptions.count)
    }

    /// What those who dialled this Main say of topics. False for what is not for them to say.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, it may not say")]
    pub(super) fn handle_subscriber(
        &mut self,
        link: LinkId,
        message: ControlMessage<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        match message {
            ControlMessage::Subscribe { pattern } => self.subscribe_remote(link, pattern, now, out),
            ControlMessage::Unsubscribe { pattern } => {
                let linked = self.links.get_mut(&link);
                if let Some(pattern) = linked.and_then(|linked| linked.patterns.take(pattern)) {
                    self.remove_subscription(link, &pattern, now, out);
                }
                self.send(link, &ControlMessage::Unsubscribed { pattern }, out);
            }
            _ => return false,
        }
        true
    }

    /// A link ended, and with it what it had subscribed to.
    pub(super) fn topics_down(
        &mut self,
        link: LinkId,
        patterns: BTreeSet<Arc<str>>,
        now: Instant,
        out: &mut Outbox,
    ) {
        for pattern in patterns {
            self.remove_subscription(link, &pattern, now, out);
        }
    }

    fn subscribe_remote(&mut self, link: LinkId, pattern: &str, now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get(&link) else { return };
        let most = self.config.limits.subscriptions_per_link_max as usize;
        if !linked.patterns.contains(pattern) {
            let shared = Arc::<str>::from(pattern);
            let added = if linked.patterns.len() >= most {
                Err(ErrorCode::Overloaded)
            } else {
                self.add_subscription(link, &shared, now, out)
            };
            if let Err(code) = added {
                let message = &format!("{TOO_MANY} (at {})", self.node);
                let refused = ControlMessage::NotSubscribed { pattern, code: code as u16, message };
                return self.send(link, &refused, out);
            }
            if let Some(linked) = self.links.get_mut(&link) {
                linked.patterns.insert(shared);
            }
        }
        self.send(link, &ControlMessage::Subscribed { pattern }, out);
    }

    fn add_subscription(
        &mut self,
        link: LinkId,
        pattern: &Arc<str>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), ErrorCode> {
        if self.subscriptions.count >= self.config.limits.subscriptions_max {
            return Err(ErrorCode::Overloaded);
        }
        self.subscriptions.count += 1;
        let (pattern, is_on) = (Arc::clone(pattern), true);
        let to = MailTo::Shard(link.shard);
        out.mail(to, MailBody::Subscription { link, pattern: Arc::clone(&pattern), is_on });
        if let Some(asked) = self.subscriptions.patterns.get_mut(&pattern) {
            asked.links += 1;
            return Ok(());
        }
        let asked = Asked { links: 1, seq: self.announcer.next_seq() };
        self.subscriptions.patterns.insert(Arc::clone(&pattern), asked);
        self.interest_changed(&pattern, now, out);
        Ok(())
    }

    fn remove_subscription(
        &mut self,
        link: LinkId,
        pattern: &Arc<str>,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.subscriptions.count -= 1;
        let (pattern, is_on) = (Arc::clone(pattern), false);
        let to = MailTo::Shard(link.shard);
        out.mail(to, MailBody::Subscription { link, pattern: Arc::clone(&pattern), is_on });
        let Some(asked) = self.subscriptions.patterns.get_mut(&pattern) else { return };
        asked.links -= 1;
        if asked.links == 0 {
            self.subscriptions.patterns.remove(&pattern);
            self.announcer.next_seq();
            self.interest_changed(&pattern, now, out);
        }
    }

    /// A pattern is wanted here for the first time, or not any more.
    fn interest_changed(&mut self, pattern: &str, now: Instant, out: &mut Outbox) {
        if !self.config.is_main() {
            return;
        }
        let patterns = self.subscriptions.patterns.len();
        match self.subscriptions.all {
            None if patterns > INTERESTS_MAX => {
                self.subscriptions.all = Some(self.announcer.next_seq());
            }
            Some(_) if patterns <= FEW => {
                self.subscriptions.all = None;
                self.announcer.next_seq();
                for asked in self.subscriptions.patterns.values_mut() {
                    asked.seq = self.announcer.next_seq();
                }
            }
            Some(_) => return,
            None => return self.own_changed(&interest_name(pattern), &self.node.clone(), now, out),
        }
        let changed: Vec<Offer> = self.own_interests().chain([self.interest_in(pattern)]).collect();
        self.tell_peers_of(changed, now, out);
    }

    /// Every pattern that peers may have been told of, whether they are to be told of it or not.
    pub(super) fn own_interests(&self) -> impl Iterator<Item = Offer> {
        let patterns = self.subscriptions.patterns.keys().map(|pattern| &**pattern);
        patterns.chain([EVERYTHING]).map(|pattern| self.interest_in(pattern))
    }

    fn interest_in(&self, pattern: &str) -> Offer {
        let service = Arc::from(interest_name(pattern));
        Offer { service, node: self.node.clone(), origin: self.node.clone() }
    }

    /// What other Mains want, and the shortest way to each of them.
    pub(super) fn interests(&self) -> Interests {
        let mut mains: BTreeMap<&NodeId, (Way, BTreeSet<&str>)> = BTreeMap::new();
        for (pattern, origin, link, learned) in self.federation.interests() {
            let way = Way { path: Arc::clone(&learned.path), link };
            let length = |way: &Way| way.path.len();
            let known = mains.entry(origin).or_insert_with(|| (way.clone(), BTreeSet::new()));
            if (length(&way), &way) < (length(&known.0), &known.0) {
                known.0 = way;
            }
            known.1.insert(pattern);
        }
        let mut interests = Interests::default();
        for (way, patterns) in mains.into_values() {
            interests.add(way, patterns.into_iter());
        }
        interests
    }
}

/// How a pattern is called among the offers of Mains.
fn interest_name(pattern: &str) -> String {
    format!("{INTEREST}{pattern}")
}

/// Whether an offer of a Main is none of a service.
pub(super) fn is_interest(offer: &Offer) -> bool {
    interest(&offer.service).is_some()
}

/// Answers of a Main that may be awaited, for each subscription that there may be.
const ANSWERS_EACH: u32 = 4;
const EVERYTHING: &str = "**";
const TOO_MANY: &str = "too many subscriptions";
/// Different patterns that are announced one by one.
const INTERESTS_MAX: usize = 1_024;
/// So few are announced one by one again: they fit into one message, so that no publication comes
/// between what is taken back and what takes its place.
const FEW: usize = 32;
