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
///
/// What is not read is kept up to 1,024 publications or 1 MiB of them; beyond that the oldest give
/// way, and [`Received::Missed`] says how many did.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    id: u64,
    engine: Weak<Engine>,
    queue: SharedQueue,
}

/// What a subscription yields.
#[derive(Clone, Debug)]
pub enum Received {
    /// Something was published. [`Publication::gap`] says what did not reach this node before it.
    Publication(Publication),
    /// So many publications were left out since this was said last, because they were not taken
    /// fast enough: by this node from its Main, which may be anyone's and which the gap of the next
    /// one on the same topic counts again, or by whoever reads this subscription, which no gap
    /// counts.
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
    /// Who waits for publications.
    readers: Waiters,
    /// Who waits for the Main.
    waiters: Waiters,
}

/// Tasks to wake. Several may wait for the same: each looks again and waits again if there is
/// nothing for it.
#[derive(Debug, Default)]
struct Waiters(Vec<Waker>);

impl Waiters {
    /// Nothing is dropped here: the last waker of a task may drop the task and all it holds, and
    /// the queue is locked.
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    fn wake(&mut self, wakes: &mut Vec<Waker>) {
        wakes.append(&mut self.0);
    }
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
    pub(crate) const fn new(id: u64, engine: Weak<Engine>, queue: SharedQueue) -> Self {
        Self { id, engine, queue }
    }

    /// Adds a pattern. Tells whether it is new here; nothing is where the node is gone.
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
    /// comes. Other Mains know of a pattern a moment later. A link that is lost afterwards and
    /// comes back is of no account here; `Event::Subscribed` is said again then.
    ///
    /// # Errors
    /// A [`CallError`] when it refused one; the others still stand.
    pub async fn ready(&self) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Ends it at once, for whoever waits as well: what has come already can still be taken, and
    /// then there is nothing any more. Patterns added from now on are ignored.
    pub fn end(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.end_subscription(self.id);
        }
    }

    /// The same as [`Self::ready`] for those who write futures by hand.
    ///
    /// # Errors
    /// As there.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        let mut queue = self.queue.lock();
        if let Some(error) = queue.refused.take() {
            return Poll::Ready(Err(error));
        }
        if queue.pending.is_empty() || queue.ended {
            return Poll::Ready(Ok(()));
        }
        queue.waiters.wait(cx);
        Poll::Pending
    }

    /// The next publication; nothing when it was ended or the node is gone. Each goes to one of
    /// those who wait.
    pub async fn next(&self) -> Option<Received> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for those who write futures by hand.
    pub fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Received>> {
        let mut queue = self.queue.lock();
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
        queue.readers.wait(cx);
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.close_subscription(self.id);
        }
    }
}

/// The queue of a subscription, as the engine sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedQueue(Arc<Mutex<Queue>>);

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All subscriptions of a node. Who is to be woken is handed out: to be woken, or just dropped,
/// once no lock is held.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// By their ids. The id of one that has ended goes to the next one that comes.
    all: Vec<Option<Subscriber>>,
    free: Vec<u64>,
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
    /// Who has it, in rising order.
    users: Vec<u64>,
    confirmed: bool,
}

impl Subscribers {
    /// A subscription to nothing.
    pub(crate) fn open(&mut self) -> (u64, SharedQueue) {
        let queue = SharedQueue::default();
        let subscriber = Subscriber { queue: queue.clone(), ..Subscriber::default() };
        let id = self.free.pop().unwrap_or(self.all.len() as u64);
        match self.all.get_mut(id as usize) {
            Some(place) => *place = Some(subscriber),
            None => self.all.push(Some(subscriber)),
        }
        (id, queue)
    }

    /// Whether anybody has this pattern.
    pub(crate) fn has(&self, pattern: &str) -> bool {
        self.patterns.contains_key(pattern)
    }

    /// Whether a subscription has this pattern.
    pub(crate) fn is_subscribed(&self, id: u64, pattern: &str) -> bool {
        let subscriber = self.all.get(id as usize).and_then(Option::as_ref);
        subscriber.is_some_and(|subscriber| subscriber.patterns.contains(pattern))
    }

    /// Adds a legal pattern to a subscription. Tells whether it is new there.
    pub(crate) fn add(&mut self, id: u64, pattern: &str) -> bool {
        let Some(subscriber) = subscriber(&mut self.all, id) else { return false };
        let pattern = Arc::<str>::from(pattern);
        if !subscriber.patterns.insert(Arc::clone(&pattern)) {
            return false;
        }
        self.by_topic.insert(&pattern, id);
        let known = self.patterns.entry(Arc::clone(&pattern)).or_default();
        if let Err(at) = known.users.binary_search(&id) {
            known.users.insert(at, id);
        }
        if !known.confirmed {
            subscriber.queue.lock().pending.insert(pattern);
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
        let Some(subscriber) = subscriber(&mut self.all, id) else { return (false, false) };
        if !subscriber.patterns.remove(pattern) {
            return (false, false);
        }
        subscriber.queue.lock().settled(pattern, wakes);
        self.by_topic.remove(pattern, id);
        let Some(known) = self.patterns.get_mut(pattern) else { return (true, false) };
        if let Ok(at) = known.users.binary_search(&id) {
            known.users.remove(at);
        }
        let is_last = known.users.is_empty();
        if is_last {
            self.patterns.remove(pattern);
        }
        (true, is_last)
    }

    /// Whether a subscription was ended.
    pub(crate) fn is_ended(&mut self, id: u64) -> bool {
        subscriber(&mut self.all, id).is_none_or(|subscriber| subscriber.queue.lock().ended)
    }

    /// Ends a subscription. Returns its patterns that nobody else has. Its id stays its own until
    /// it is closed.
    pub(crate) fn end(&mut self, id: u64, wakes: &mut Vec<Waker>) -> Vec<Arc<str>> {
        let Some(ending) = subscriber(&mut self.all, id) else { return Vec::new() };
        let mut patterns = Vec::from_iter(ending.patterns.iter().cloned());
        patterns.retain(|pattern| self.remove(id, pattern, wakes).1);
        if let Some(ended) = subscriber(&mut self.all, id) {
            ended.queue.lock().end(wakes);
        }
        patterns
    }

    /// Ends a subscription and forgets it. Returns its patterns that nobody else has.
    pub(crate) fn close(&mut self, id: u64, wakes: &mut Vec<Waker>) -> Vec<Arc<str>> {
        let patterns = self.end(id, wakes);
        if self.all.get_mut(id as usize).is_some_and(|place| place.take().is_some()) {
            self.free.push(id);
        }
        patterns
    }

    /// The Main passes on what this pattern stands for.
    pub(crate) fn confirmed(&mut self, pattern: &str, wakes: &mut Vec<Waker>) {
        let Some(known) = self.patterns.get_mut(pattern) else { return };
        known.confirmed = true;
        for id in &known.users {
            let Some(subscriber) = subscriber(&mut self.all, *id) else { continue };
            subscriber.queue.lock().settled(pattern, wakes);
        }
    }

    /// The Main does not: nobody has this pattern any more.
    pub(crate) fn refused(&mut self, pattern: &str, error: &CallError, wakes: &mut Vec<Waker>) {
        let users = self.patterns.get(pattern).map(|known| known.users.clone());
        for id in users.into_iter().flatten() {
            self.remove(id, pattern, wakes);
            if let Some(subscriber) = subscriber(&mut self.all, id) {
                let mut queue = subscriber.queue.lock();
                queue.refused = Some(error.clone());
                // Nobody may wait for the Main any more: it had confirmed the pattern before.
                queue.readers.wake(wakes);
            }
        }
    }

    /// How many want a topic.
    pub(crate) fn count(&mut self, topic: &str) -> usize {
        self.found.clear();
        self.by_topic.find(topic, &mut self.found);
        self.found.len()
    }

    /// No Main passes anything on: the one that confirmed patterns is gone.
    pub(crate) fn main_changed(&mut self) {
        self.patterns.values_mut().for_each(|known| known.confirmed = false);
    }

    /// Hands a publication to everybody who wants it. Returns how many those are.
    pub(crate) fn deliver(&mut self, publication: &Publication, wakes: &mut Vec<Waker>) -> usize {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.by_topic.find(publication.topic(), &mut found);
        let count = found.len();
        for id in found.drain(..) {
            let Some(subscriber) = subscriber(&mut self.all, id) else { continue };
            subscriber.queue.lock().push(publication.clone(), wakes);
        }
        self.found = found;
        count
    }

    /// Some were not passed on to this node: that may be anyone's.
    pub(crate) fn missed(&self, count: u32, wakes: &mut Vec<Waker>) {
        let all = self.all.iter().flatten();
        for subscriber in all.filter(|subscriber| !subscriber.patterns.is_empty()) {
            let mut queue = subscriber.queue.lock();
            queue.missed += u64::from(count);
            queue.readers.wake(wakes);
        }
    }
}

impl Queue {
    /// The Main has said what it says of a pattern, or nobody wants to know any more.
    fn settled(&mut self, pattern: &str, wakes: &mut Vec<Waker>) {
        self.pending.remove(pattern);
        self.waiters.wake(wakes);
    }

    fn end(&mut self, wakes: &mut Vec<Waker>) {
        self.ended = true;
        self.readers.wake(wakes);
        self.waiters.wake(wakes);
    }

    fn push(&mut self, publication: Publication, wakes: &mut Vec<Waker>) {
        let is_behind = self.publications.len() >= SHARED_MAX;
        let publication = if is_behind { publication.detached() } else { publication };
        self.readers.wake(wakes);
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
        for subscriber in self.all.iter().flatten() {
            subscriber.queue.lock().end(&mut wakes);
        }
        wakes.into_iter().for_each(Waker::wake);
    }
}

fn subscriber(all: &mut [Option<Subscriber>], id: u64) -> Option<&mut Subscriber> {
    all.get_mut(id as usize)?.as_mut()
}

fn cost(publication: &Publication) -> usize {
    publication.length() + OVERHEAD_BYTES
}

/// Publications kept for a subscription that does not read them.
const QUEUE_MAX: usize = 1_024;
/// Bytes of them, unless it is a single one.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// What a publication costs besides its bytes.
const OVERHEAD_BYTES: usize = 256;
/// Publications of a queue that may keep alive whatever was read together with them. Beyond that
/// each has memory of its own, so that the bound on bytes holds.
const SHARED_MAX: usize = 16;

#[cfg(test)]
mod tests;
