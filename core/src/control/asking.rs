//! What a Home or a caller asks of its Main: the topics that its own application wants. The Main is
//! told the difference between what is wanted and what it was told, and no faster than it reads
//! small messages, so that many subscribers who come and go at this node cost it no link.

use super::Control;
use crate::error::ErrorCode;
use crate::event::Event;
use crate::holdings::Holdings;
use crate::mail::{MailBody, MailTo};
use crate::message::ControlMessage;
use crate::outbox::{Delivery, LinkId, Outbox, Output};
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// What the Main of this node was told.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The link to the Main that was told.
    main: Option<LinkId>,
    told: BTreeMap<Arc<str>, Told>,
    /// Patterns that are to be looked at, each once, in the order in which they were changed.
    queue: VecDeque<Arc<str>>,
    /// Messages in the window that began then.
    said: u32,
    since: Instant,
}

/// What the Main was told of a pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The last word was that it is wanted.
    is_wanted: bool,
    is_queued: bool,
    /// Answers that are still to come: only the last one is about the subscription that there is
    /// now.
    awaited: u32,
}

impl Asking {
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = self.main.is_some() && !self.queue.is_empty();
        waits.then(|| self.since.after(WINDOW))
    }

    /// Patterns of which something is remembered.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    pub(super) fn holdings(&self) -> Holdings {
        let told = Holdings::default().entries::<(Arc<str>, Told)>(self.told.len());
        told.entries::<Arc<str>>(self.queue.len())
    }

    fn may_speak(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= WINDOW {
            (self.since, self.said) = (now, 0);
        }
        self.said += 1;
        self.said <= MESSAGES_PER_WINDOW
    }

    fn enqueue(&mut self, pattern: &Arc<str>) {
        let told = self.told.entry(Arc::clone(pattern)).or_default();
        if !told.is_queued {
            told.is_queued = true;
            self.queue.push_back(Arc::clone(pattern));
        }
    }

    fn forget_if_empty(&mut self, pattern: &str) {
        let is_empty = |told: &Told| !told.is_wanted && !told.is_queued && told.awaited == 0;
        if self.told.get(pattern).is_some_and(is_empty) {
            self.told.remove(pattern);
        }
    }
}

impl Control {
    /// The node may have another Main than before: that one knows nothing yet.
    pub(super) fn topics_follow(&mut self, now: Instant, out: &mut Outbox) {
        let main = self.upstream();
        if self.asking.main == main {
            return;
        }
        self.asking = Asking { main, ..Asking::default() };
        if planted!("resubscribe_forgotten") {
            return;
        }
        for pattern in self.subscriptions.own() {
            self.asking.enqueue(pattern);
        }
        self.tell_topics(now, out);
    }

    /// The local application wants a pattern, or not any more.
    pub(super) fn want_changed(&mut self, pattern: &Arc<str>, now: Instant, out: &mut Outbox) {
        if self.asking.main.is_some() {
            self.asking.enqueue(pattern);
            self.tell_topics(now, out);
        }
    }

    /// Tells the Main as much as may be told now.
    pub(super) fn tell_topics(&mut self, now: Instant, out: &mut Outbox) {
        let Some(main) = self.asking.main else { return };
        while let Some(pattern) = self.asking.queue.front().cloned() {
            let is_wanted = self.subscriptions.is_own(&pattern);
            let told = self.asking.told.get(&pattern).copied().unwrap_or_default();
            if told.is_wanted != is_wanted && !self.asking.may_speak(now) {
                return;
            }
            self.asking.queue.pop_front();
            let awaited = told.awaited + u32::from(is_wanted && !told.is_wanted);
            let now_told = Told { is_wanted, is_queued: false, awaited };
            self.asking.told.insert(Arc::clone(&pattern), now_told);
            match (told.is_wanted, is_wanted) {
                (false, true) => {
                    self.send(main, &ControlMessage::Subscribe { pattern: &pattern }, out);
                }
                (true, false) => {
                    self.send(main, &ControlMessage::Unsubscribe { pattern: &pattern }, out);
                }
                // It was given up and wanted again before the Main was told of either.
                (true, true) if told.awaited == 0 => {
                    out.event(Event::Subscribed { pattern: String::from(&*pattern) });
                }
                (true, true) | (false, false) => {}
            }
            self.asking.forget_if_empty(&pattern);
        }
    }

    /// What a Main says of topics to those who dialled it. False for what is not for it to say.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, it may not say")]
    pub(super) fn handle_topics(
        &mut self,
        link: LinkId,
        message: ControlMessage<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        match message {
            ControlMessage::Subscribed { pattern } => {
                if self.is_about_now(link, pattern, true) {
                    out.event(Event::Subscribed { pattern: String::from(pattern) });
                }
            }
            ControlMessage::Unsubscribed { .. } => {}
            ControlMessage::NotSubscribed { pattern, code, message } => {
                if !self.is_about_now(link, pattern, false) {
                    return true;
                }
                self.drop_own(pattern, now, out);
                let code = ErrorCode::from_wire(code).unwrap_or(ErrorCode::Internal);
                let (pattern, message) = (String::from(pattern), String::from(message));
                out.event(Event::SubscriptionRefused { pattern, code, message });
            }
            ControlMessage::Missed { count } => {
                out.push(Output::Deliver(Delivery::Missed { count }));
            }
            ControlMessage::NotPublished { count, code } => {
                let code = ErrorCode::from_wire(code).unwrap_or(ErrorCode::Internal);
                // One that is too large says nothing about the others.
                if code == ErrorCode::RateLimited {
                    out.mail(MailTo::Shard(link.shard), MailBody::NotPublished { link, code });
                }
                out.event(Event::NotPublished { count, code });
            }
            _ => return false,
        }
        true
    }

    /// Whether an answer is about the subscription that there is now: what was given up in the
    /// meantime is answered as well, and so is what was asked over an older link.
    fn is_about_now(&mut self, link: LinkId, pattern: &str, is_taken: bool) -> bool {
        if self.asking.main != Some(link) {
            return false;
        }
        let Some(told) = self.asking.told.get_mut(pattern) else { return false };
        let Some(awaited) = told.awaited.checked_sub(1) else { return false };
        told.awaited = awaited;
        if awaited > 0 {
            return false;
        }
        // What it refused it need not be told to give up.
        let was_wanted = told.is_wanted;
        told.is_wanted &= is_taken;
        self.asking.forget_if_empty(pattern);
        was_wanted && self.subscriptions.is_own(pattern)
    }
}

/// A Main takes 1,000 small messages in a second from a link, of any kind, and its answers are as
/// many.
const MESSAGES_PER_WINDOW: u32 = 50;
const WINDOW: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
