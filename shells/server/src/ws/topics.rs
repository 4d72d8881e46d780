//! What one client subscribed to and what it publishes.
//!
//! Publications wait in the subscription of the client, which is bounded and lets the oldest give
//! way. They are taken out one by one, when nothing else waits to be written: so no answer queues
//! behind them, and a client that does not read costs others nothing.

use super::ClientLimits;
use crate::calls::Runner;
use crate::publication::{Budget, write_members};
use crate::ws::text::finish;
use bytes::Bytes;
use relay_tokio::{
    CallError, ErrorCode, Publish, Published, Received, Subscription, is_pattern, topic_matches,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The topics of one client.
pub(super) struct Topics {
    runner: Arc<Runner>,
    patterns_max: usize,
    subscription: Option<Subscription>,
    patterns: BTreeSet<String>,
    /// Patterns that the client waits to hear of.
    asked: Vec<Asked>,
    /// A pattern was taken away while publications of it may still have waited.
    has_leftovers: bool,
    budget: Budget,
}

/// A pattern that the client asked for, and the id that it gave to its question.
pub(super) struct Asked {
    pub(super) pattern: String,
    pub(super) id: Option<Bytes>,
}

/// What became of a question.
pub(super) struct Settled {
    pub(super) asked: Asked,
    pub(super) outcome: Result<(), CallError>,
}

impl Topics {
    pub(super) fn new(runner: &Arc<Runner>, limits: &ClientLimits) -> Self {
        Self {
            runner: Arc::clone(runner),
            patterns_max: limits.patterns_max,
            subscription: None,
            patterns: BTreeSet::new(),
            asked: Vec::new(),
            has_leftovers: false,
            budget: Budget::new(limits.publish_bytes_per_second),
        }
    }

    /// Adds a pattern. That it stands, or does not, [`Self::poll_settled`] tells later.
    pub(super) fn subscribe(&mut self, asked: Asked) -> Result<(), CallError> {
        let most = self.patterns_max;
        let is_new = !self.patterns.contains(&asked.pattern);
        if self.asked.len() >= most || (is_new && self.patterns.len() >= most) {
            let detail = "this connection has subscribed to as many patterns as it may";
            return Err(self.runner.error(ErrorCode::Overloaded, detail).with_limit(most as u64));
        }
        let node = &self.runner.node;
        let subscription = self.subscription.get_or_insert_with(|| node.subscription());
        subscription.add(&asked.pattern)?;
        self.patterns.insert(asked.pattern.clone());
        self.asked.push(asked);
        Ok(())
    }

    /// Takes a pattern away: nothing comes any more that only it stands for.
    pub(super) fn unsubscribe(&mut self, pattern: &str) -> Result<(), CallError> {
        if !is_pattern(pattern) {
            let detail = relay_tokio::NameInvalid::Pattern.to_string();
            return Err(self.runner.error(ErrorCode::NameInvalid, detail));
        }
        if self.patterns.remove(pattern) {
            self.has_leftovers = true;
            if let Some(subscription) = &self.subscription {
                let _was_there = subscription.remove(pattern);
            }
        }
        Ok(())
    }

    /// Publishes, unless the client has published too much of late.
    pub(super) fn publish(&mut self, publish: Publish<'_>) -> Result<Published, CallError> {
        if !self.budget.admits() {
            let detail = "this connection publishes more than it may";
            let error = self.runner.error(ErrorCode::RateLimited, detail);
            return Err(error.with_limit(u64::from(self.budget.bytes_per_second())));
        }
        let bytes = publish.body.len() + publish.topic.len();
        let published = self.runner.node.publish_with(publish)?;
        self.budget.spend(bytes, published);
        Ok(published)
    }

    /// The questions that are settled: all of them, once the Main has confirmed every pattern, or
    /// those that it refused, even such as it had confirmed.
    pub(super) fn poll_settled(&mut self, cx: &Context<'_>) -> Poll<Vec<Settled>> {
        let Some(subscription) = &self.subscription else { return Poll::Pending };
        let refused = match subscription.poll_ready(cx) {
            Poll::Ready(Ok(())) if self.asked.is_empty() => return Poll::Pending,
            Poll::Ready(Ok(())) => None,
            Poll::Ready(Err(error)) => Some(error),
            Poll::Pending => return Poll::Pending,
        };
        let mut settled = Vec::new();
        for asked in std::mem::take(&mut self.asked) {
            let outcome = match &refused {
                _ if !self.patterns.contains(&asked.pattern) => {
                    Err(self.runner.error(ErrorCode::Cancelled, "unsubscribed before it stood"))
                }
                Some(error) if !subscription.has(&asked.pattern) => Err(error.clone()),
                // Of those that still wait more is heard.
                Some(_) => {
                    self.asked.push(asked);
                    continue;
                }
                None => Ok(()),
            };
            settled.push(Settled { asked, outcome });
        }
        if let Some(error) = refused {
            // Another Main may refuse what the one before had confirmed.
            let is_told = |pattern: &str| settled.iter().any(|one| one.asked.pattern == pattern);
            let lost = self.patterns.extract_if(.., |pattern| !subscription.has(pattern));
            let lost: Vec<String> = lost.filter(|pattern| !is_told(pattern)).collect();
            settled.extend(lost.into_iter().map(|pattern| {
                let asked = Asked { pattern, id: None };
                Settled { asked, outcome: Err(error.clone()) }
            }));
        }
        Poll::Ready(settled)
    }

    /// The next message about publications.
    pub(super) fn poll_message(&mut self, cx: &Context<'_>) -> Poll<String> {
        let Some(subscription) = &self.subscription else { return Poll::Pending };
        loop {
            match subscription.poll_next(cx) {
                Poll::Ready(Some(Received::Publication(publication))) => {
                    let topic = publication.topic();
                    let is_wanted = |pattern: &String| topic_matches(pattern, topic);
                    if self.has_leftovers && !self.patterns.iter().any(is_wanted) {
                        continue;
                    }
                    let mut out = b"{\"type\":\"message\",".to_vec();
                    write_members(&mut out, &publication);
                    out.push(b'}');
                    return Poll::Ready(finish(out));
                }
                Poll::Ready(Some(Received::Missed { count })) => {
                    return Poll::Ready(format!("{{\"type\":\"missed\",\"count\":{count}}}"));
                }
                // The node is gone, and the connection ends with it.
                Poll::Ready(None) => return Poll::Pending,
                Poll::Pending => {
                    self.has_leftovers = false;
                    return Poll::Pending;
                }
            }
        }
    }
}
