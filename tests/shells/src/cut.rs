//! Connections that a scenario can cut: on any shell and over any transport, without a socket of
//! its own.

use bytes::Bytes;
use relay_driver::Runtime;
use relay_driver::api::{BoxFuture, CloseReason, Endpoint, Transport};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The runtime of a shell whose connections end in the middle when they are cut.
pub(crate) struct Cuttable<R> {
    inner: R,
    scissors: Scissors,
}

/// What cuts the connections of a runtime.
#[derive(Clone, Default)]
pub(crate) struct Scissors(Arc<Mutex<Cuts>>);

#[derive(Default)]
struct Cuts {
    /// How often was cut.
    count: u32,
    is_apart: bool,
    waiting: Vec<Waker>,
}

impl Scissors {
    /// Ends every connection there is, without a word, and lets nobody connect.
    pub(crate) fn cut(&self) {
        let mut cuts = self.lock();
        cuts.count += 1;
        cuts.is_apart = true;
        let waiting = std::mem::take(&mut cuts.waiting);
        drop(cuts);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets everybody connect again.
    pub(crate) fn mend(&self) {
        self.lock().is_apart = false;
    }

    fn lock(&self) -> MutexGuard<'_, Cuts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> Cuttable<R> {
    pub(crate) fn new(inner: R, scissors: Scissors) -> Self {
        Self { inner, scissors }
    }
}

impl<R: Runtime> Runtime for Cuttable<R> {
    fn current() -> Self {
        Self::new(R::current(), Scissors::default())
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn unix_time(&self) -> Duration {
        self.inner.unix_time()
    }

    fn random(&self) -> Option<[u8; 32]> {
        self.inner.random()
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.inner.spawn(future);
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        self.inner.sleep(pause)
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let scissors = self.scissors.clone();
        let connecting = self.inner.connect(endpoint);
        Box::pin(async move {
            let cuts = scissors.lock().count;
            let transport = Thread { inner: connecting.await?, scissors, cuts };
            transport.check()?;
            Ok(Box::new(transport) as Box<dyn Transport>)
        })
    }
}

/// One connection.
struct Thread {
    inner: Box<dyn Transport>,
    scissors: Scissors,
    /// How often had been cut when it was made.
    cuts: u32,
}

impl Thread {
    fn check(&self) -> io::Result<()> {
        let cuts = self.scissors.lock();
        if cuts.is_apart || cuts.count > self.cuts {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut"));
        }
        Ok(())
    }

    fn watch(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut cuts = self.scissors.lock();
        if !cuts.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            cuts.waiting.push(cx.waker().clone());
        }
        drop(cuts);
        self.check()
    }
}

impl Transport for Thread {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        self.watch(cx)?;
        self.inner.poll_receive(cx, take)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        self.watch(cx)?;
        self.inner.poll_send(cx, queue)
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx)?;
        self.inner.poll_close(reason, cx)
    }
}
