//! One node behind one lock, and the effects of each batch after it is released.

use crate::call::Waiting;
use crate::census::{self, Census};
use crate::endpoint::TransportKind;
use crate::events::{EventStream, Listeners};
use crate::handlers::{Handlers, Job};
use crate::happenings::Happenings;
use crate::links::{LinkTable, WriteOrder};
use crate::runtime::Runtime;
use crate::service::Service;
use crate::stream::Streams;
use crate::topics::Subscribers;
use crate::view::{self, RegistryView};
use bytes::{Bytes, BytesMut};
use relay_core::frame::Frame;
use relay_core::{
    CallEnd, CallError, CloseReason, DialId, Instant, LinkId, LinkLimitReached, Node, NodeId, Open,
    Outbox, Output, Side, Stats,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

mod calls;
mod dials;
mod streams;
mod topics;

/// One node and everything a shell needs to drive it.
pub struct Engine {
    id: NodeId,
    runtime: Arc<dyn Runtime>,
    /// What the clock of the runtime said when the node was new.
    origin: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    node: Node,
    out: Outbox,
    links: LinkTable,
    waiting: Waiting,
    streams: Streams,
    subscribers: Subscribers,
    /// The link to the Main that confirms what they asked for, where this node has one.
    main: Option<LinkId>,
    handlers: Handlers,
    listeners: Listeners,
    happenings: Happenings,
    dials: VecDeque<Open>,
    /// Why the last attempt of a dial failed, or its last link ended.
    troubles: BTreeMap<DialId, String>,
    dial_waker: Option<Waker>,
    timer: TimerState,
    /// Where bytes of links without a partial frame are taken apart.
    scratch: BytesMut,
    change_wakers: Vec<Waker>,
    address: String,
    draining: bool,
}

#[derive(Default)]
struct TimerState {
    /// What the shell's timer sleeps for.
    armed: Option<Instant>,
    waker: Option<Waker>,
}

/// What the shell's timer has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerChange {
    /// Sleep so long, unless another change comes first.
    Sleep(Duration),
    /// Nothing is due; wait for another change.
    Idle,
}

/// What to do when the lock is released.
#[derive(Default)]
struct Effects {
    wakes: Vec<Waker>,
    jobs: Vec<Job>,
    grants: Vec<(CallEnd, u32)>,
}

impl Engine {
    /// Takes over `node`. `address` is what the node calls itself in its registry.
    #[must_use]
    pub fn new(node: Node, address: String, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let inner = Inner {
            node,
            out: Outbox::with_capacity(OUTPUTS_USUAL),
            links: LinkTable::default(),
            waiting: Waiting::default(),
            streams: Streams::default(),
            subscribers: Subscribers::default(),
            main: None,
            handlers: Handlers::default(),
            listeners: Listeners::default(),
            happenings: Happenings::default(),
            dials: VecDeque::new(),
            troubles: BTreeMap::new(),
            dial_waker: None,
            timer: TimerState::default(),
            scratch: BytesMut::new(),
            change_wakers: Vec::new(),
            address,
            draining: false,
        };
        let id = inner.node.id().clone();
        let origin = runtime.now();
        Arc::new(Self { id, runtime, origin, inner: Mutex::new(inner) })
    }

    /// The id of the node.
    pub const fn id(&self) -> &NodeId {
        &self.id
    }

    /// Adds a link over a fresh connection.
    ///
    /// # Errors
    /// [`LinkLimitReached`]: close the connection.
    pub fn open_link(self: &Arc<Self>, side: Side) -> Result<LinkId, LinkLimitReached> {
        self.run(|inner, now| {
            inner.node.set_wall_clock(self.runtime.unix_time().as_secs(), now);
            let link = inner.node.open_link(side, now, &mut inner.out)?;
            inner.links.insert(link, now);
            Ok(link)
        })
    }

    /// Takes bytes that came over a link.
    pub fn received(self: &Arc<Self>, link: LinkId, bytes: &[u8]) {
        self.run(|inner, now| inner.received(link, bytes, now));
    }

    /// Moves frames to be written to the end of `queue`, at most about `bytes_max`, or waits until
    /// there are some.
    pub fn poll_writes(
        &self,
        link: LinkId,
        queue: &mut VecDeque<Bytes>,
        bytes_max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<WriteOrder> {
        let mut inner = self.lock();
        let Some(io) = inner.links.get_mut(link) else {
            return Poll::Ready(WriteOrder::Close(CloseReason::PeerClosed));
        };
        let mut taken = 0;
        while taken < bytes_max {
            let Some(frame) = io.queue.pop_front() else { break };
            taken += frame.len();
            queue.push_back(frame);
        }
        io.queued_bytes -= taken;
        match io.closing {
            _ if taken > 0 => Poll::Ready(WriteOrder::Write),
            Some(reason) => Poll::Ready(WriteOrder::Close(reason)),
            None => {
                if !io.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    io.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Why the node has closed a link, if it has; otherwise wakes `cx` when it does.
    pub(crate) fn closing(&self, link: LinkId, cx: &Context<'_>) -> Option<CloseReason> {
        let mut inner = self.lock();
        let io = inner.links.get_mut(link)?;
        if io.closing.is_none() {
            io.close_waker = Some(cx.waker().clone());
        }
        io.closing
    }

    /// Reports that bytes of a link were written. Tells how many still wait in its queue.
    pub fn flushed(&self, link: LinkId, bytes: usize) -> usize {
        let mut inner = self.lock();
        inner.node.handle_flushed(link, u32::try_from(bytes).unwrap_or(u32::MAX));
        let queued = inner.links.get_mut(link).map_or(0, |io| io.queued_bytes);
        let waiting = inner.streams.take_full();
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        queued
    }

    /// Reports that the connection of a link ended, and forgets the link.
    pub fn closed(self: &Arc<Self>, link: LinkId, detail: &str) {
        self.run(|inner, now| {
            inner.links.remove(link);
            inner.node.handle_closed(link, detail, now, &mut inner.out);
        });
    }

    /// Notes what carries a link, for those who look.
    pub(crate) fn carried_by(&self, link: LinkId, transport: Option<TransportKind>) {
        if let Some(io) = self.lock().links.get_mut(link) {
            io.transport = transport;
        }
    }

    /// Does what is due and tells how long to sleep; wakes `cx` when that gets shorter.
    pub fn poll_timer(self: &Arc<Self>, cx: &mut Context<'_>) -> TimerChange {
        let now = self.now();
        self.run(|inner, now| {
            if inner.node.poll_timeout().is_some_and(|at| at <= now) {
                inner.node.handle_timeout(now, &mut inner.out);
            }
        });
        let mut inner = self.lock();
        inner.timer.armed = inner.node.poll_timeout();
        inner.timer.waker = Some(cx.waker().clone());
        inner.timer.armed.map_or(TimerChange::Idle, |at| TimerChange::Sleep(at.since(now)))
    }

    /// Offers a service to everyone.
    ///
    /// # Errors
    /// A [`CallError`] when the name is invalid or a bound is reached.
    pub fn register(
        self: &Arc<Self>,
        name: &str,
        service: Arc<dyn Service>,
    ) -> Result<(), CallError> {
        let methods = service.methods();
        self.run(|inner, now| {
            inner.node.register(name, &methods, now, &mut inner.out)?;
            inner.handlers.insert(name, service);
            Ok(())
        })
    }

    /// Takes a service back. Tells whether it was offered.
    pub fn withdraw(self: &Arc<Self>, name: &str) -> bool {
        self.run(|inner, now| {
            inner.handlers.remove(name);
            inner.node.withdraw(name, now, &mut inner.out)
        })
    }

    /// Ready when `condition` holds of the node; looked at again after each event.
    pub fn poll_until(&self, condition: impl Fn(&Node) -> bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if condition(&inner.node) {
            return Poll::Ready(());
        }
        inner.change_wakers.push(cx.waker().clone());
        Poll::Pending
    }

    /// Copies what the node knows of services and peers.
    pub fn registry(&self) -> RegistryView {
        let inner = self.lock();
        view::registry(&inner.node, &inner.links, &inner.troubles, &inner.address, self.now())
    }

    /// Counts links, services, dials and calls without copying any of them.
    pub fn census(&self) -> Census {
        let inner = self.lock();
        census::census(&inner.node, &inner.handlers, inner.happenings, inner.draining)
    }

    /// Whether some node offers this service, as far as this node knows.
    pub fn is_offered(&self, service: &str) -> bool {
        self.lock().node.control().registry().offers(service).next().is_some()
    }

    /// Whether this node itself offers this service.
    pub fn is_own(&self, service: &str) -> bool {
        self.lock().handlers.contains(service)
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.lock().node.stats()
    }

    /// Events from now on.
    pub fn events(&self) -> EventStream {
        self.lock().listeners.subscribe()
    }

    /// Announces that the node is about to leave; calls go on.
    pub fn leave(self: &Arc<Self>) {
        self.run(|inner, now| {
            inner.draining = true;
            inner.node.leave(now, &mut inner.out);
        });
    }

    /// Authenticated and other links over bytes.
    pub fn link_count(&self) -> u32 {
        self.lock().node.link_count()
    }

    /// Starts to leave: new calls are refused, calls in flight go on.
    pub fn drain(self: &Arc<Self>) {
        self.run(|inner, now| {
            inner.draining = true;
            inner.node.drain(now, &mut inner.out);
        });
    }

    /// Whether the node is leaving.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Calls in flight.
    pub fn calls_in_flight(&self) -> u32 {
        self.lock().node.calls_in_flight()
    }

    /// Says goodbye on every link and closes it.
    pub fn close_all(self: &Arc<Self>) {
        self.run(|inner, now| {
            inner.node.close_all(CloseReason::Shutdown, now, &mut inner.out);
        });
    }

    /// Connections that still have something to write or wait to be closed.
    pub fn connection_count(&self) -> usize {
        self.lock().links.count()
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO.after(self.runtime.now().saturating_sub(self.origin))
    }

    /// Runs one batch under the lock, then its effects without it.
    fn run<T>(self: &Arc<Self>, batch: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        let mut effects = Effects::default();
        let mut inner = self.lock();
        let now = self.now();
        let result = batch(&mut inner, now);
        inner.apply(&mut effects, now);
        drop(inner);
        for waker in effects.wakes {
            waker.wake();
        }
        if !effects.grants.is_empty() {
            self.grant_all(effects.grants);
        }
        if !effects.jobs.is_empty() {
            crate::handlers::run(self, effects.jobs);
        }
        result
    }

    /// A panic under the lock would be a defect of the core; other links still get served.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn received(&mut self, link: LinkId, mut bytes: &[u8], now: Instant) {
        let Some(io) = self.links.get_mut(link) else { return };
        if io.closing.is_some() {
            return;
        }
        io.bytes_in += bytes.len() as u64;
        // A frame that came in parts has memory of its own, of which nothing else keeps it alive.
        while !io.tail.is_empty() && !bytes.is_empty() {
            let (rest, others) = bytes.split_at(Frame::missing(&io.tail).clamp(1, bytes.len()));
            io.tail.extend_from_slice(rest);
            self.node.handle_received(link, &mut io.tail, now, &mut self.out);
            if io.tail.is_empty() {
                io.tail = BytesMut::new();
            }
            bytes = others;
        }
        if bytes.is_empty() {
            return;
        }
        io.passes(bytes, now);
        let scratch = &mut self.scratch;
        if scratch.capacity() < bytes.len() {
            scratch.reserve(bytes.len().max(SCRATCH_BYTES));
        }
        scratch.extend_from_slice(bytes);
        self.node.handle_received(link, scratch, now, &mut self.out);
        if !scratch.is_empty() {
            io.tail.extend_from_slice(scratch);
            scratch.clear();
        }
    }

    /// Turns outputs into effects until there are none.
    fn apply(&mut self, effects: &mut Effects, now: Instant) {
        let mut changed = false;
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain() {
            match output {
                Output::Transmit { link, frame } => {
                    self.queue(link, frame, &mut effects.wakes, now);
                }
                Output::Close { link, reason } => {
                    if let Some(io) = self.links.get_mut(link) {
                        io.closing = Some(reason);
                        // Both are of the task of the link, which may wait for either.
                        let waker = io.waker.take().or_else(|| io.close_waker.take());
                        effects.wakes.extend(waker);
                    }
                }
                Output::Deliver(delivery) => self.deliver(delivery, effects, now),
                Output::Event(event) => {
                    changed = true;
                    self.happenings.note(&event);
                    self.note_topics(&event, &mut effects.wakes);
                    self.listeners.publish(&event, &mut effects.wakes);
                }
                Output::Open(open) => {
                    self.dials.push_back(open);
                    effects.wakes.extend(self.dial_waker.take());
                }
                Output::Mail(_) => debug_assert!(false, "a node of one shard writes no mail"),
                _ => debug_assert!(false, "an output this shell does not know"),
            }
        }
        self.out = out;
        if changed {
            effects.wakes.append(&mut self.change_wakers);
        }
        let next = self.node.poll_timeout();
        let earlier = next.is_some_and(|next| self.timer.armed.is_none_or(|armed| next < armed));
        if earlier {
            effects.wakes.extend(self.timer.waker.take());
        }
    }

    fn queue(&mut self, link: LinkId, frame: Bytes, wakes: &mut Vec<Waker>, now: Instant) {
        if let Some(io) = self.links.get_mut(link) {
            io.passes(&frame, now);
            io.queued_bytes += frame.len();
            io.bytes_out += frame.len() as u64;
            io.queue.push_back(frame);
            wakes.extend(io.waker.take());
        }
    }
}

impl Drop for Engine {
    /// Lets the tasks of the node find out that it is gone: nothing else would wake them.
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let wakers = [inner.dial_waker.take(), inner.timer.waker.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.id)
    }
}

const OUTPUTS_USUAL: usize = 256;
/// Bytes taken at a time for frames on their way through.
const SCRATCH_BYTES: usize = 64 << 10;
