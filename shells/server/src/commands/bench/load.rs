//! Who makes the calls, and when.
//!
//! As many workers as calls may be in flight take one number after the other. In a closed loop the
//! next call is made when one has ended. In an open loop a call is due at a fixed time: when no
//! worker is free it waits, and the wait is a part of its latency, so that a slow answer is not
//! hidden by the calls that were never made meanwhile.

use super::answer::Answer;
use super::tally::Tally;
use super::targets::{Ended, Targets};
use crate::cli::Failure;
use crate::commands::run::StopSignals;
use relay_tokio::Executed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// When calls are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// Whenever one has ended, until so many are made or the time is over.
    Closed { calls: Option<u64>, time: Option<Duration> },
    /// So many each second.
    Open { rate: u64, calls: u64 },
}

/// What a load came to.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) tally: Tally,
    pub(super) took: Duration,
    /// Calls that were due, in an open loop.
    pub(super) due: Option<u64>,
    pub(super) is_interrupted: bool,
}

/// Makes loads, one after the other.
#[derive(Debug)]
pub(super) struct Workers {
    targets: Arc<Targets>,
    /// The number of the next call: no two calls of a process have the same.
    next: u64,
}

impl Workers {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets: Arc::new(targets), next: 0 }
    }

    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Makes calls until there are enough, a signal comes or `watch` has seen enough. What is in
    /// flight then is cut off.
    pub(super) async fn run(
        &mut self,
        pace: Pace,
        concurrency: u32,
        signals: &mut StopSignals,
        watch: &mut dyn FnMut(&Tally, Duration) -> bool,
    ) -> Result<Finished, Failure> {
        let load = Arc::new(Load::new(Arc::clone(&self.targets), pace, self.next));
        let mut workers = JoinSet::new();
        for _ in 0..u64::from(concurrency).min(pace.calls().unwrap_or(u64::MAX)) {
            workers.spawn(Arc::clone(&load).work());
        }
        if let Pace::Open { .. } = pace {
            let load = Arc::clone(&load);
            let spawned = std::thread::Builder::new().spawn(move || load.release());
            spawned.map_err(|error| Failure::work(format!("cannot start a thread: {error}")))?;
        }
        let mut looks = interval(LOOK_EVERY);
        let is_interrupted = loop {
            tokio::select! {
                biased;
                () = signals.next() => break true,
                ended = workers.join_next() => match ended {
                    None => break false,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        return Err(Failure::work(format!("a defect of this program: {error}")));
                    }
                },
                _ = looks.tick() => if !watch(&load.tally(), load.began.elapsed()) {
                    break false;
                },
            }
        };
        let took = load.began.elapsed();
        load.is_over.store(true, Ordering::Relaxed);
        workers.shutdown().await;
        self.next += load.next.load(Ordering::Relaxed);
        let tally = std::mem::take(&mut *load.tally());
        Ok(Finished { tally, took, due: pace.due_after(took), is_interrupted })
    }
}

impl Pace {
    const fn calls(self) -> Option<u64> {
        match self {
            Self::Closed { calls, .. } => calls,
            Self::Open { calls, .. } => Some(calls),
        }
    }

    /// How many calls are due when so much time has passed. The first is due at once.
    fn due_after(self, passed: Duration) -> Option<u64> {
        let Self::Open { rate, calls } = self else { return None };
        let before = passed.as_nanos() * u128::from(rate) / NANOS_EACH_SECOND;
        Some(u64::try_from(before + 1).unwrap_or(u64::MAX).min(calls))
    }

    /// When a call is due, counted from the start; none in a closed loop.
    fn due_at(self, index: u64) -> Option<Duration> {
        let Self::Open { rate, .. } = self else { return None };
        // Rounded up, so that a call is never made before `due_after` counts it.
        let nanos = (u128::from(index) * NANOS_EACH_SECOND).div_ceil(u128::from(rate));
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// What the workers share.
struct Load {
    targets: Arc<Targets>,
    pace: Pace,
    /// The number of the first call.
    first: u64,
    began: Instant,
    /// Numbers taken so far, due or not.
    next: AtomicU64,
    /// Calls that are due and not yet taken.
    due: Semaphore,
    is_over: AtomicBool,
    tally: Mutex<Tally>,
}

impl Load {
    fn new(targets: Arc<Targets>, pace: Pace, first: u64) -> Self {
        Self {
            targets,
            pace,
            first,
            began: Instant::now(),
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            is_over: AtomicBool::new(false),
            tally: Mutex::default(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One worker.
    async fn work(self: Arc<Self>) {
        while let Some((number, due)) = self.take().await {
            self.tally().started();
            let until = due + self.targets.timeout();
            let ended = if Instant::now() < until {
                self.targets.call(number, until).await
            } else {
                let message = "no call in flight ended before it was too late for this one";
                let answer = Answer::failed("NOT_SENT", Executed::No, message);
                Ended { answer, first: 0, tried: 0, urls: 1 }
            };
            let wrong = match &ended.answer {
                Answer::Result(result) => self.targets.question().check(number, result).err(),
                Answer::Strange(what) => Some(what.clone()),
                Answer::Failed(_) | Answer::Lost => None,
            };
            let (latency, passed) = (due.elapsed(), self.began.elapsed());
            self.tally().ended(&ended, wrong, latency, passed);
        }
    }

    /// The next number, and when its call is due; none when there are no more.
    async fn take(&self) -> Option<(u64, Instant)> {
        if let Pace::Closed { time: Some(time), .. } = self.pace
            && self.began.elapsed() >= time
        {
            return None;
        }
        let calls = self.pace.calls().unwrap_or(u64::MAX);
        let taken = |index: u64| (index < calls).then_some(index + 1);
        let index = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        let number = self.first + index;
        let Some(due_at) = self.pace.due_at(index) else { return Some((number, Instant::now())) };
        self.due.acquire().await.ok()?.forget();
        Some((number, self.began + due_at))
    }

    /// Lets workers go on when calls are due. On a thread of its own, because the timer of the
    /// runtime is exact to a millisecond only, which is longer than many calls take.
    fn release(&self) {
        let calls = self.pace.calls().unwrap_or(0);
        let mut released = 0;
        while released < calls && !self.is_over.load(Ordering::Relaxed) {
            let passed = self.began.elapsed();
            let due = self.pace.due_after(passed).unwrap_or(calls);
            if let Ok(count) = usize::try_from(due - released)
                && count > 0
            {
                self.due.add_permits(count);
            }
            released = due;
            let next = self.pace.due_at(due).unwrap_or(passed);
            std::thread::sleep(next.saturating_sub(passed).clamp(SLEEP_MIN, SLEEP_MAX));
        }
    }
}

const NANOS_EACH_SECOND: u128 = 1_000_000_000;
/// How often the one who watches is asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Calls that are due within so short a time are released together.
const SLEEP_MIN: Duration = Duration::from_micros(50);
/// How soon a thread notices that nobody needs it any more.
const SLEEP_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_and_counts_agree() {
        for rate in [1, 3, 7, 1_000, 9_999_991] {
            let pace = Pace::Open { rate, calls: 1_000 };
            for index in 0..1_000 {
                let at = pace.due_at(index).expect("open");
                assert!(pace.due_after(at) >= Some(index + 1), "{rate} {index}");
                let before = at.saturating_sub(Duration::from_nanos(1));
                assert!(index == 0 || pace.due_after(before) <= Some(index), "{rate} {index}");
            }
            assert_eq!(pace.due_after(Duration::from_hours(1_000)), Some(1_000));
        }
        let closed = Pace::Closed { calls: Some(1), time: None };
        assert_eq!((closed.due_after(Duration::ZERO), closed.due_at(5)), (None, None));
    }
}
