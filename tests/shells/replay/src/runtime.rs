//! A runtime whose clock, chance and connections are those of a trace, and whose tasks run on a
//! real executor.

use crate::task::{Tally, Task, lock};
use crate::transport::Pipe;
use relay_driver::{BoxFuture, Endpoint, Runtime, Transport};
use relay_sim::golden::Log;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Where tasks run.
pub trait Executor: 'static {
    /// Runs a future to its end, on the executor that runs the caller.
    fn spawn(future: BoxFuture<()>);
}

/// The world of one node.
pub(crate) struct Virtual<E> {
    pub(crate) around: Arc<Around>,
    executor: PhantomData<fn() -> E>,
}

/// What is around a node and what came out of it.
#[derive(Default)]
pub(crate) struct Around {
    pub(crate) tally: Arc<Tally>,
    pub(crate) log: Mutex<Log>,
    clock: Mutex<Clock>,
    connects: Mutex<VecDeque<Arc<Connect>>>,
    #[cfg(test)]
    pub(crate) planted: Option<crate::transport::Planted>,
}

#[derive(Default)]
struct Clock {
    now: Duration,
    unix: Duration,
    random: [u8; 32],
    sleepers: BTreeMap<(Duration, u64), Waker>,
    last: u64,
}

/// An attempt to connect.
struct Connect {
    address: String,
    state: Mutex<(Option<io::Result<Pipe>>, Option<Waker>)>,
}

impl Around {
    pub(crate) fn now(&self) -> Duration {
        lock(&self.clock).now
    }

    pub(crate) fn set_random(&self, random: [u8; 32]) {
        lock(&self.clock).random = random;
    }

    pub(crate) fn set_unix_time(&self, seconds: u64) {
        lock(&self.clock).unix = Duration::from_secs(seconds);
    }

    /// Sets the clock to the next moment at which somebody wants to be woken, if that is not after
    /// `to`, and wakes him. Tells whether there was one.
    pub(crate) fn advance(&self, to: Duration) -> bool {
        let mut clock = lock(&self.clock);
        let Some((due, _)) = clock.sleepers.keys().next().copied().filter(|(due, _)| *due <= to)
        else {
            clock.now = to.max(clock.now);
            return false;
        };
        clock.now = due.max(clock.now);
        let latest = (clock.now, u64::MAX);
        let rest = clock.sleepers.split_off(&latest);
        let woken = std::mem::replace(&mut clock.sleepers, rest);
        drop(clock);
        woken.into_values().for_each(Waker::wake);
        true
    }

    /// Ends the oldest attempt to connect to an address. Tells whether there was one.
    pub(crate) fn connected(&self, address: &str, outcome: io::Result<Pipe>) -> bool {
        let mut connects = lock(&self.connects);
        let Some(at) = connects.iter().position(|it| it.address == address) else { return false };
        let connect = connects.remove(at);
        drop(connects);
        if let Some(connect) = connect {
            let mut state = lock(&connect.state);
            state.0 = Some(outcome);
            let waker = state.1.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
        true
    }

    /// Ends all attempts to connect.
    pub(crate) fn refuse_all(&self) {
        while let Some(address) = { lock(&self.connects).front().map(|it| it.address.clone()) } {
            self.connected(&address, Err(io::ErrorKind::ConnectionRefused.into()));
        }
    }
}

impl<E: Executor> Virtual<E> {
    pub(crate) const fn new(around: Arc<Around>) -> Self {
        Self { around, executor: PhantomData }
    }
}

impl<E: Executor> Runtime for Virtual<E> {
    fn current() -> Self {
        Self::new(Arc::default())
    }

    fn now(&self) -> Duration {
        self.around.now()
    }

    fn unix_time(&self) -> Duration {
        lock(&self.around.clock).unix
    }

    fn random(&self) -> Option<[u8; 32]> {
        Some(lock(&self.around.clock).random)
    }

    fn spawn(&self, future: BoxFuture<()>) {
        E::spawn(Box::pin(Task::new(future, &self.around.tally)));
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        let around = Arc::clone(&self.around);
        let mut clock = lock(&around.clock);
        clock.last += 1;
        let key = (clock.now + pause, clock.last);
        drop(clock);
        Box::pin(Sleep { around, key })
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let address = endpoint.to_string();
        lock(&self.around.log).dialled(&address);
        let connect = Arc::new(Connect { address, state: Mutex::default() });
        lock(&self.around.connects).push_back(Arc::clone(&connect));
        Box::pin(poll_fn(move |cx| {
            let mut state = lock(&connect.state);
            if let Some(outcome) = state.0.take() {
                return Poll::Ready(outcome.map(|pipe| Box::new(pipe) as Box<dyn Transport>));
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        }))
    }
}

struct Sleep {
    around: Arc<Around>,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut clock = lock(&self.around.clock);
        if clock.now >= self.key.0 {
            return Poll::Ready(());
        }
        clock.sleepers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.around.clock).sleepers.remove(&self.key);
    }
}
