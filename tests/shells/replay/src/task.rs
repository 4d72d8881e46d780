//! Tasks that know whether they are awake, so that a player knows when nothing happens any more on
//! an executor that does not tell.

use relay_driver::BoxFuture;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// How many tasks there are, and how many of them are to be run.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Count>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) alive: usize,
    pub(crate) awake: usize,
}

impl Tally {
    pub(crate) fn count(&self) -> MutexGuard<'_, Count> {
        lock(&self.0)
    }
}

/// A future that is counted.
pub(crate) struct Task {
    future: BoxFuture<()>,
    alarm: Arc<Alarm>,
}

struct Alarm {
    tally: Arc<Tally>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_awake: bool,
    is_over: bool,
    waker: Option<Waker>,
}

impl Task {
    /// A task that is awake, as the executor will run it.
    pub(crate) fn new(future: BoxFuture<()>, tally: &Arc<Tally>) -> Self {
        {
            let mut count = tally.count();
            (count.alive, count.awake) = (count.alive + 1, count.awake + 1);
        }
        let state = Mutex::new(State { is_awake: true, ..State::default() });
        Self { future, alarm: Arc::new(Alarm { tally: Arc::clone(tally), state }) }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let was_awake = {
            let mut state = lock(&self.alarm.state);
            state.waker = Some(cx.waker().clone());
            std::mem::take(&mut state.is_awake)
        };
        let waker = Waker::from(Arc::clone(&self.alarm));
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        // Counted until now, so that nobody thinks it asleep while it runs.
        if was_awake {
            self.alarm.tally.count().awake -= 1;
        }
        polled
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let was_awake = {
            let mut state = lock(&self.alarm.state);
            state.is_over = true;
            state.waker = None;
            std::mem::take(&mut state.is_awake)
        };
        let mut count = self.alarm.tally.count();
        count.alive -= 1;
        count.awake -= usize::from(was_awake);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let waker = {
            let mut state = lock(&self.state);
            if state.is_over {
                return;
            }
            if !std::mem::replace(&mut state.is_awake, true) {
                self.tally.count().awake += 1;
            }
            state.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Lets every other task run that is awake.
pub(crate) async fn let_others_run() {
    let mut is_second = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What a future gives at once, or nothing.
pub(crate) async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
