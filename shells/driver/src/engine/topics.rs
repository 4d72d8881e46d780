//! What is published, and who subscribed.

use super::{Engine, Inner};
use crate::topics::{Subscribers, Subscription};
use relay_core::{CallError, Event, Publish, Published};
use std::sync::Arc;
use std::task::Waker;

impl Engine {
    /// Says something on a topic.
    ///
    /// # Errors
    /// A [`CallError`] when nothing was handed to anyone.
    pub fn publish(self: &Arc<Self>, publish: Publish<'_>) -> Result<Published, CallError> {
        self.run(|inner, now| {
            let mut published = inner.node.publish(publish, now, &mut inner.out)?;
            if published.links > 0 {
                published.subscriptions = inner.subscribers.count(publish.topic) as u32;
            }
            Ok(published)
        })
    }

    /// A subscription to nothing yet.
    pub fn subscription(self: &Arc<Self>) -> Subscription {
        let (id, queue) = self.lock().subscribers.open();
        Subscription::new(id, Arc::downgrade(self), queue)
    }

    /// Patterns that are subscribed to at this node, each with the number of links.
    pub fn subscriptions(&self) -> Vec<(String, u32)> {
        let inner = self.lock();
        let all = inner.node.control().subscriptions();
        all.map(|(pattern, links)| (String::from(pattern), links)).collect()
    }

    /// The first of them behind `after`.
    pub fn subscriptions_after(&self, after: &str, most: usize) -> Vec<(String, u32)> {
        let inner = self.lock();
        let behind = inner.node.control().subscriptions_after(after).take(most);
        behind.map(|(pattern, links)| (String::from(pattern), links)).collect()
    }

    pub(crate) fn has_pattern(&self, id: u64, pattern: &str) -> bool {
        self.lock().subscribers.is_subscribed(id, pattern)
    }

    pub(crate) fn add_pattern(self: &Arc<Self>, id: u64, pattern: &str) -> Result<bool, CallError> {
        self.run(|inner, now| {
            if inner.subscribers.is_ended(id) {
                return Ok(false);
            }
            if !inner.subscribers.has(pattern) {
                inner.node.subscribe(pattern, now, &mut inner.out)?;
            }
            Ok(inner.subscribers.add(id, pattern))
        })
    }

    pub(crate) fn remove_pattern(self: &Arc<Self>, id: u64, pattern: &str) -> bool {
        let mut wakes = Vec::new();
        let was_there = self.run(|inner, now| {
            let (was_there, is_last) = inner.subscribers.remove(id, pattern, &mut wakes);
            if is_last {
                inner.node.unsubscribe(pattern, now, &mut inner.out);
            }
            was_there
        });
        wakes.into_iter().for_each(Waker::wake);
        was_there
    }

    pub(crate) fn end_subscription(self: &Arc<Self>, id: u64) {
        self.unsubscribe(|subscribers, wakes| subscribers.end(id, wakes));
    }

    pub(crate) fn close_subscription(self: &Arc<Self>, id: u64) {
        self.unsubscribe(|subscribers, wakes| subscribers.close(id, wakes));
    }

    fn unsubscribe(
        self: &Arc<Self>,
        end: impl FnOnce(&mut Subscribers, &mut Vec<Waker>) -> Vec<Arc<str>>,
    ) {
        let mut wakes = Vec::new();
        self.run(|inner, now| {
            for pattern in end(&mut inner.subscribers, &mut wakes) {
                inner.node.unsubscribe(&pattern, now, &mut inner.out);
            }
        });
        wakes.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// Tells subscriptions what the Main said of their patterns.
    pub(super) fn note_topics(&mut self, event: &Event, wakes: &mut Vec<Waker>) {
        if let Event::LinkUp { .. } | Event::LinkDown { .. } = event {
            let main = self.node.control().upstream();
            if self.main != main {
                self.main = main;
                self.subscribers.main_changed();
            }
        }
        if let Event::Subscribed { pattern } = event {
            self.subscribers.confirmed(pattern, wakes);
        }
        if let Event::SubscriptionRefused { pattern, code, message } = event {
            let error = CallError::new(*code, self.node.id().as_str(), message.clone());
            self.subscribers.refused(pattern, &error, wakes);
        }
    }
}
