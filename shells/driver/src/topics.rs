//! What was published, for whoever subscribed: each subscription has its own bounded queue, and
//! where it is not read fast enough, the oldest publications give way and are counted.

use crate::engine::Engine;
use crate::node::Node;
use crate::runtime::Runtime;
use relay_core::topic::TopicTree;
use relay_core::{CallError, Publication, Publish, Published};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// What is published on the topics of some patterns, each publication once, however many of them
/// stand for its topic. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    engine: Weak<Engine>,
    queue: Arc<Mutex<Queue>>,
}

/// What a subscription yields.
#[derive(Clone, Debug)]
pub enum Received {
    /// Something was published. [`Publication::gap`] says what is missing before it.
    Publication(Publication),
    /// So many publications were left out here, because they were not taken fast enough. Those on
    /// one topic are counted again by the gap of the next one there.
    Missed {
        /// How many.
        count: u64,
    },
}

#[derive(Debug, Default)]
struct Queue {
    publications: VecDeque<Publication>,
    bytes: usize,
    missed: u64,
    /// Patterns that the Main has not confirmed.
    pending: BTreeSet<Arc<str>>,
    refused: Option<CallError>,
    ended: bool,
    /// Of who waits for publications, and of who waits for the Main.
    wakers: [Option<Waker>; 2],
}

impl<R: Runtime> Node<R> {
    /// Says something on a topic to all who subscribed to it, at most once to each of them. Nobody
    /// says that it was received.
    ///
    /// # Errors
    /// A [`CallError`] when nothing was handed to anyone: a name is invalid, there is no link to a
    /// Main, or no room on it.
    pub fn publish(&self, topic: &str, body: &[u8]) -> Result<Published, CallError> {
        self.publish_with(Publish { topic, body, ..Publish::default() })
    }

    /// The same with headers.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_with(&self, publish: Publish<'_>) -> Result<Published, CallError> {
        self.engine.publish(publish)
    }

    /// Subscribes to all topics that `pattern` stands for: a level may be `*`, which stands for any
    /// one, and the last may be `**`, which stands for any number of them.
    ///
    /// ```no_run
    /// # use relay_driver::{Node, Received, Runtime};
    /// # async fn example(node: Node<impl Runtime>) -> Result<(), relay_core::CallError> {
    /// let messages = node.subscribe("messages.user.*")?;
    /// messages.ready().await?;
    /// node.publish("messages.user.42", br#"{"text":"hello"}"#)?;
    /// while let Some(Received::Publication(message)) = messages.next().await {
    ///     println!("{}: {:?}", message.topic(), message.body());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A [`CallError`] when it is not a pattern or a bound is reached.
    pub fn subscribe(&self, pattern: &str) -> Result<Subscription, CallError> {
        let subscription = self.engine.subscription();
        subscription.add(pattern)?;
        Ok(subscription)
    }

    /// A subscription to nothing yet: patterns are added and taken away one by one.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        self.engine.subscription()
    }

    /// Patterns that are subscribed to at this node, each with the number of links that asked for
    /// it; the node itself is one.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(String, u32)> {
        self.engine.subscriptions()
    }

    /// The same in parts, for those who show them: at most `most` patterns behind `after`, in the
    /// order of their bytes. The first part is behind the empty text.
    #[must_use]
    pub fn subscriptions_after(&self, after: &str, most: usize) -> Vec<(String, u32)> {
        self.engine.subscriptions_after(after, most)
    }
}

impl Subscription {
    pub(crate) fn new(id: u64, engine: &Arc<Engine>, queue: SharedQueue) -> Self {
        Self { id, engine: Arc::downgrade(engine), queue: queue.0 }
    }

    /// Adds a pattern. Tells whether it is new here.
    ///
    /// # Errors
    /// A [`CallError`] when it is not a pattern or a bound is reached.
    pub fn add(&self, pattern: &str) -> Result<bool, CallError> {
        let engine = self.engine.upgrade();
        engine.map_or(Ok(false), |engine| engine.add_pattern(self.id, pattern))
    }

    /// Takes a pattern away. Tells whether it was there. Nothing that only it stands for comes
    /// behind what has come already.
    #[must_use]
    pub fn remove(&self, pattern: &str) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.remove_pattern(self.id, pattern))
    }

    /// Whether this pattern is one of this subscription: added, and neither taken away nor refused
    /// by the Main.
    #[must_use]
    pub fn has(&self, pattern: &str) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.has_pattern(self.id, pattern))
    }

    /// Waits until the Main has confirmed all patterns: whatever is published there from then on
    /// comes. Other Mains know of a pattern a moment later.
    ///
    /// # Errors
    /// A [`CallError`] when it refused one; the others still stand.
    pub async fn ready(&self) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The same for those who write futures by hand. The one that asked last is woken.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        let mut queue = self.lock();
        if let Some(error) = queue.refused.take() {
            return Poll::Ready(Err(error));
        }
        if queue.pending.is_empty() || queue.ended {
            return Poll::Ready(Ok(()));
        }
        queue.wakers[1] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next publication; nothing when the node is gone.
    pub async fn next(&self) -> Option<Received> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for those who write futures by hand.
    pub fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Received>> {
        let mut queue = self.lock();
        if queue.missed > 0 {
            let count = std::mem::take(&mut queue.missed);
            return Poll::Ready(Some(Received::Missed { count }));
        }
        if let Some(publication) = queue.publications.pop_front() {
            queue.bytes -= cost(&publication);
            return Poll::Ready(Some(Received::Publication(publication)));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.wakers[0] = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.unsubscribe(self.id);
        }
    }
}

/// The queue of a subscription, as the engine sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedQueue(Arc<Mutex<Queue>>);

impl SharedQueue {
    fn change(&self, wakes: &mut Vec<Waker>, waits_for: usize, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queue);
        wakes.extend(queue.wakers[waits_for].take());
    }
}

/// All subscriptions of a node.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    last_id: u64,
    all: BTreeMap<u64, Subscriber>,
    patterns: BTreeMap<Arc<str>, Pattern>,
    by_topic: TopicTree<u64>,
    found: Vec<u64>,
}

#[derive(Debug, Default)]
struct Subscriber {
    patterns: BTreeSet<Arc<str>>,
    queue: SharedQueue,
}

#[derive(Debug, Default)]
struct Pattern {
    users: BTreeSet<u64>,
    confirmed: bool,
}

impl Subscribers {
    /// A subscription to nothing.
    pub(crate) fn open(&mut self) -> (u64, SharedQueue) {
        self.last_id += 1;
        let queue = SharedQueue::default();
        let subscriber = Subscriber { queue: queue.clone(), ..Subscriber::default() };
        self.all.insert(self.last_id, subscriber);
        (self.last_id, queue)
    }

    /// Whether anybody has this pattern.
    pub(crate) fn has(&self, pattern: &str) -> bool {
        self.patterns.contains_key(pattern)
    }

    /// Whether a subscription has this pattern.
    pub(crate) fn is_subscribed(&self, id: u64, pattern: &str) -> bool {
        self.all.get(&id).is_some_and(|subscriber| subscriber.patterns.contains(pattern))
    }

    /// Adds a legal pattern to a subscription. Tells whether it is new there.
    pub(crate) fn add(&mut self, id: u64, pattern: &str) -> bool {
        let Some(subscriber) = self.all.get_mut(&id) else { return false };
        let pattern = Arc::<str>::from(pattern);
        if !subscriber.patterns.insert(Arc::clone(&pattern)) {
            return false;
        }
        self.by_topic.insert(&pattern, id);
        let known = self.patterns.entry(Arc::clone(&pattern)).or_default();
        known.users.insert(id);
        if !known.confirmed {
            subscriber.queue.change(&mut Vec::new(), 1, |queue| {
                queue.pending.insert(pattern);
            });
        }
        true
    }

    /// Takes a pattern away from a subscription. Tells whether it was there, and whether it was the
    /// last one to have it.
    pub(crate) fn remove(
        &mut self,
        id: u64,
        pattern: &str,
        wakes: &mut Vec<Waker>,
    ) -> (bool, bool) {
        let Some(subscriber) = self.all.get_mut(&id) else { return (false, false) };
        if !subscriber.patterns.remove(pattern) {
            return (false, false);
        }
        subscriber.queue.change(wakes, 1, |queue| {
            queue.pending.remove(pattern);
        });
        self.by_topic.remove(pattern, id);
        let Some(known) = self.patterns.get_mut(pattern) else { return (true, false) };
        known.users.remove(&id);
        let is_last = known.users.is_empty();
        if is_last {
            self.patterns.remove(pattern);
        }
        (true, is_last)
    }

    /// Ends a subscription. Returns its patterns that nobody else has.
    pub(crate) fn close(&mut self, id: u64) -> Vec<Arc<str>> {
        let patterns = self.all.get(&id).map(|subscriber| subscriber.patterns.clone());
        let mut patterns = Vec::from_iter(patterns.unwrap_or_default());
        patterns.retain(|pattern| self.remove(id, pattern, &mut Vec::new()).1);
        self.all.remove(&id);
        patterns
    }

    /// The Main passes on what this pattern stands for.
    pub(crate) fn confirmed(&mut self, pattern: &str, wakes: &mut Vec<Waker>) {
        let Some(known) = self.patterns.get_mut(pattern) else { return };
        known.confirmed = true;
        for subscriber in known.users.iter().filter_map(|id| self.all.get(id)) {
            subscriber.queue.change(wakes, 1, |queue| {
                queue.pending.remove(pattern);
            });
        }
    }

    /// The Main does not: nobody has this pattern any more.
    pub(crate) fn refused(&mut self, pattern: &str, error: &CallError, wakes: &mut Vec<Waker>) {
        let users = self.patterns.get(pattern).map(|known| known.users.clone());
        for id in users.into_iter().flatten() {
            self.remove(id, pattern, wakes);
            if let Some(subscriber) = self.all.get(&id) {
                subscriber.queue.change(wakes, 1, |queue| queue.refused = Some(error.clone()));
                // Nobody may wait for the Main any more: it had confirmed the pattern before.
                subscriber.queue.change(wakes, 0, |_| {});
            }
        }
    }

    /// Hands a publication to everybody who wants it.
    pub(crate) fn deliver(&mut self, publication: &Publication, wakes: &mut Vec<Waker>) {
        let mut found = std::mem::take(&mut self.found);
        self.by_topic.find(publication.topic(), &mut found);
        for subscriber in found.drain(..).filter_map(|id| self.all.get(&id)) {
            subscriber.queue.change(wakes, 0, |queue| queue.push(publication.clone()));
        }
        self.found = found;
    }

    /// Some were not passed on to this node: that may be anyone's.
    pub(crate) fn missed(&self, count: u32, wakes: &mut Vec<Waker>) {
        for subscriber in self.all.values() {
            subscriber.queue.change(wakes, 0, |queue| queue.missed += u64::from(count));
        }
    }
}

impl Queue {
    fn push(&mut self, publication: Publication) {
        self.bytes += cost(&publication);
        self.publications.push_back(publication);
        while self.publications.len() > QUEUE_MAX
            || (self.bytes > QUEUE_BYTES_MAX && self.publications.len() > 1)
        {
            let Some(oldest) = self.publications.pop_front() else { break };
            self.bytes -= cost(&oldest);
            self.missed += 1;
        }
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        let mut wakes = Vec::new();
        for subscriber in self.all.values() {
            for waits_for in 0..2 {
                subscriber.queue.change(&mut wakes, waits_for, |queue| queue.ended = true);
            }
        }
        wakes.into_iter().for_each(Waker::wake);
    }
}

fn cost(publication: &Publication) -> usize {
    publication.body().len() + OVERHEAD_BYTES
}

/// Publications kept for a subscription that does not read them.
const QUEUE_MAX: usize = 1_024;
/// Bytes of them, unless it is a single one.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// What a publication costs besides its body.
const OVERHEAD_BYTES: usize = 256;
