//! What a shard knows of each instance of a service from the calls it sent there: how many are in
//! flight, how long they take, and whether they fail.
//!
//! An instance that failed several times in a row gets no calls for a while (Nygard, "Release It!",
//! circuit breaker); then one call finds out. Never more than half of the instances of a service
//! are shut out, because a fault that hits most of them is not theirs; a single one may be, so that
//! its callers are told at once.

use crate::config::ServiceRules;
use crate::error::ErrorCode;
use crate::event::BreakerState;
use crate::route::{Instance, Route};
use crate::slots::Slot;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// The instances that calls were sent to, by slot.
#[derive(Debug, Default)]
pub(crate) struct Instances(Vec<State>);

/// What is known of one instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    generation: u32,
    /// Calls that wait for an answer from there.
    pub(crate) in_flight: u32,
    /// Moving average of the time to an answer, in microseconds.
    latency: u32,
    measured_at: Instant,
    /// Failures since the last success.
    failures: u32,
    breaker: Breaker,
    /// Counts calls of the service where each instance gets its turn.
    pub(crate) turn: u32,
    /// Calls sent there, and those of them that failed.
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breaker {
    Closed,
    /// Until then; afterwards one call may try.
    Open(Instant),
    /// That call is in flight.
    HalfOpen,
}

/// How a call ended, as far as its instance is to blame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It was answered.
    Answered,
    /// The instance did not do its work.
    Failed,
    /// Nobody knows, or it was not for the instance to say.
    Neutral,
}

impl Ending {
    /// What an error that came as the answer says of the instance.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most errors are about the caller")]
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::LinkLost
            | ErrorCode::Deadline
            | ErrorCode::BadResponse
            | ErrorCode::Internal
            | ErrorCode::Unavailable => Self::Failed,
            ErrorCode::Overloaded
            | ErrorCode::CircuitOpen
            | ErrorCode::Draining
            | ErrorCode::NoSuchService
            | ErrorCode::Cancelled
            | ErrorCode::SlowConsumer
            | ErrorCode::RateLimited => Self::Neutral,
            // It answered that the caller is wrong.
            _ => Self::Answered,
        }
    }
}

impl State {
    const fn new(generation: u32) -> Self {
        Self {
            generation,
            in_flight: 0,
            latency: 0,
            measured_at: Instant::ZERO,
            failures: 0,
            breaker: Breaker::Closed,
            turn: 0,
            calls: 0,
            failed: 0,
        }
    }

    /// Whether a call may go there; while it is open, not before the time in the error.
    #[inline]
    pub(crate) fn allows(&self, now: Instant) -> Result<(), Instant> {
        match self.breaker {
            Breaker::Closed => Ok(()),
            Breaker::Open(until) if until <= now => Ok(()),
            Breaker::Open(until) => Err(until),
            Breaker::HalfOpen if planted!("probes_unbounded") => Ok(()),
            // The call that tries it will tell.
            Breaker::HalfOpen => Err(now.after(PROBE_PATIENCE)),
        }
    }

    /// The less, the better: calls in flight, weighed by the time that one takes. A time that is
    /// long past counts less and less, so that an instance that was slow is tried again.
    #[inline]
    pub(crate) fn score(&self, now: Instant) -> u64 {
        let age = now.since(self.measured_at).as_secs() / HALF_LIFE_SECONDS;
        let latency = self.latency.checked_shr(u32::try_from(age).unwrap_or(u32::MAX));
        u64::from(self.in_flight + 1) * u64::from(latency.unwrap_or(0) / LATENCY_STEP + 1)
    }

    /// The moving average, if there is one.
    pub(crate) const fn latency(&self) -> Option<Duration> {
        match self.latency {
            0 => None,
            micros => Some(Duration::from_micros(micros as u64)),
        }
    }

    pub(crate) const fn breaker(&self) -> BreakerState {
        match self.breaker {
            Breaker::Closed => BreakerState::Closed,
            Breaker::Open(_) => BreakerState::Open,
            Breaker::HalfOpen => BreakerState::HalfOpen,
        }
    }

    fn measure(&mut self, took: Duration, now: Instant) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).min(LATENCY_MAX);
        self.latency = if self.latency == 0 {
            micros.max(1)
        } else {
            let sum = u64::from(self.latency) * 7 + u64::from(micros);
            u32::try_from(sum / 8).unwrap_or(LATENCY_MAX).max(1)
        };
        self.measured_at = now;
    }
}

impl Instances {
    /// What is known of the instance in this slot, if a call was ever sent there.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&State> {
        self.0.get(slot.index as usize).filter(|state| state.generation == slot.generation)
    }

    /// The instance in this slot; of the one that had it before nothing is left.
    #[inline]
    pub(crate) fn entry(&mut self, slot: Slot) -> Option<&mut State> {
        if slot.is_none() {
            return None;
        }
        let index = slot.index as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, State::new(0));
        }
        let state = &mut self.0[index];
        if state.generation < slot.generation {
            *state = State::new(slot.generation);
        }
        Some(state).filter(|state| state.generation == slot.generation)
    }

    /// As many instances as were ever in use at once.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The slots of all instances that do not get calls as usual, and how they stand.
    pub(crate) fn troubled(&self) -> impl Iterator<Item = (Slot, BreakerState)> {
        (0..)
            .zip(&self.0)
            .filter(|(_, state)| state.breaker != Breaker::Closed)
            .map(|(index, state)| (Slot { index, generation: state.generation }, state.breaker()))
    }

    /// A call goes to this instance. Tells how its breaker stands, if that changes.
    #[inline]
    pub(crate) fn sent(&mut self, slot: Slot) -> Option<BreakerState> {
        let state = self.entry(slot)?;
        state.in_flight += 1;
        state.calls += 1;
        if matches!(state.breaker, Breaker::Open(_)) {
            state.breaker = Breaker::HalfOpen;
            return Some(BreakerState::HalfOpen);
        }
        None
    }

    /// A call to this instance has ended. `route` is that of its service. Tells how the breaker
    /// stands, if that changes.
    #[inline]
    pub(crate) fn ended(
        &mut self,
        slot: Slot,
        ending: Ending,
        took: Duration,
        route: Option<Route<'_>>,
        now: Instant,
    ) -> Option<BreakerState> {
        let state = self.0.get_mut(slot.index as usize)?;
        if state.generation != slot.generation {
            return None;
        }
        state.in_flight = state.in_flight.saturating_sub(1);
        match ending {
            Ending::Answered => {
                state.measure(took, now);
                state.failures = 0;
                let closes = state.breaker != Breaker::Closed;
                state.breaker = Breaker::Closed;
                closes.then_some(BreakerState::Closed)
            }
            // Whoever tried it gave up: the next one may.
            Ending::Neutral if state.breaker == Breaker::HalfOpen => {
                state.breaker = Breaker::Open(now);
                Some(BreakerState::Open)
            }
            Ending::Neutral => None,
            Ending::Failed => {
                state.failed += 1;
                state.failures = state.failures.saturating_add(1);
                state.measure(took.max(FAILURE_COUNTS_AS), now);
                self.failed(slot, route?, now)
            }
        }
    }

    #[cold]
    fn failed(&mut self, slot: Slot, route: Route<'_>, now: Instant) -> Option<BreakerState> {
        let ServiceRules { breaker_failures, breaker_open, .. } = route.rules;
        let state = self.get(slot)?;
        let again = state.breaker == Breaker::HalfOpen;
        let opens =
            again || (state.breaker == Breaker::Closed && state.failures >= breaker_failures);
        if !opens || (!again && !self.may_shut_out(route)) {
            return None;
        }
        let state = self.entry(slot)?;
        state.breaker = if planted!("breaker_never_probes") {
            Breaker::Open(Instant::from_nanos(u64::MAX))
        } else {
            Breaker::Open(now.after(breaker_open))
        };
        Some(BreakerState::Open)
    }

    /// Whether one more instance of a service may be shut out: never more than half of them.
    fn may_shut_out(&self, route: Route<'_>) -> bool {
        if planted!("all_shut_out") {
            return true;
        }
        let is_out = |instance: &&Instance| {
            self.get(instance.slot).is_some_and(|state| state.breaker != Breaker::Closed)
        };
        // Instances behind one peer share what is known of the way there.
        let mut slots: Vec<Slot> = Vec::new();
        let (mut all, mut out) = (0_usize, 0_usize);
        for instance in route.near.iter().chain(route.far) {
            if !slots.contains(&instance.slot) {
                slots.push(instance.slot);
                all += 1;
                out += usize::from(is_out(&instance));
            }
        }
        all <= 1 || (out + 1) * 2 <= all
    }
}

/// How soon to ask again while one call tries an instance.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);
const HALF_LIFE_SECONDS: u64 = 2;
/// Differences below this, in microseconds, are noise.
const LATENCY_STEP: u32 = 64;
const LATENCY_MAX: u32 = 60_000_000;
/// A failure must not make an instance look fast.
const FAILURE_COUNTS_AS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
