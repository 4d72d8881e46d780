//! What a run was like, as numbers.

use crate::checker::Verdict;
use crate::histogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a run was like.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// The seed that gives this run again.
    pub seed: u64,
    /// Broken promises; none in a good run.
    pub verdicts: Vec<Verdict>,
    /// A digest of everything that happened, in order.
    pub trace_hash: u64,
    /// Hosts in the world.
    pub nodes: u32,
    /// Virtual time that passed.
    #[serde(serialize_with = "seconds")]
    pub virtual_time: Duration,
    /// Things that happened: arrivals, timers, steps.
    pub events: u64,
    /// Frames that nodes sent.
    pub frames: u64,
    /// What became of the calls.
    pub calls: Calls,
    /// Failed calls by the name of their error code.
    pub errors: BTreeMap<&'static str, u64>,
    /// What callers were told of failed calls: whether the handler ran.
    pub told: BTreeMap<&'static str, u64>,
    /// Time from a call to its result.
    pub latency: Histogram,
    /// Time for which a Home or caller was not linked, from one link to the next.
    pub recovery: Histogram,
    /// From when all was well, or the last link up after that, until all registries agreed.
    pub convergence: Histogram,
    /// What was sent from host to host.
    pub links: Vec<LinkTraffic>,
    /// Faults that happened, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// The run in equal parts of the time.
    pub timeline: Vec<Moment>,
    /// Situations that occurred, and how often.
    pub marks: BTreeMap<&'static str, u64>,
}

/// What became of the calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Calls {
    /// Calls made.
    pub made: u64,
    /// Answered with a result.
    pub succeeded: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Of those, calls to services that nobody offers.
    pub failed_as_expected: u64,
    /// Given up by the caller.
    pub cancelled: u64,
    /// Made by hosts that died before the answer.
    pub orphaned: u64,
}

/// What one host sent to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LinkTraffic {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// Frames sent.
    pub frames: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Connections there were.
    pub connections: u64,
}

/// One part of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Moment {
    /// When it began.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// Calls answered with a result in it.
    pub succeeded: u32,
    /// Calls answered with an error in it, those to unknown services left out.
    pub failed: u32,
    /// Faults that began in it.
    pub faults: u32,
    /// Homes and callers linked at its end.
    pub linked: u32,
    /// What all nodes held at its end, in bytes: their tables and what they had not sent yet.
    pub held_bytes: u64,
    /// Calls in flight at its end, at every node that they cross.
    pub held_calls: u64,
    /// The latency that 99 % of its results did not exceed, in microseconds.
    pub p99_micros: u64,
}

impl Report {
    /// The share of calls to services that exist which were answered with a result; calls that
    /// were given up, or whose caller died, are left out. One when there was none.
    #[must_use]
    pub fn availability(&self) -> f64 {
        let Calls { succeeded, failed, failed_as_expected, .. } = self.calls;
        let asked = succeeded + failed - failed_as_expected;
        if asked == 0 { 1.0 } else { succeeded as f64 / asked as f64 }
    }

    /// The mean of what the nodes held in bytes, and of the calls in flight, in the quarters of the
    /// run; of those parts of the time that were sampled.
    #[must_use]
    pub fn held_in_quarters(&self) -> [(u64, u64); 4] {
        let parts = self.timeline.len();
        std::array::from_fn(|quarter| {
            let part = &self.timeline[parts * quarter / 4..parts * (quarter + 1) / 4];
            let sampled = part.iter().filter(|moment| moment.held_bytes > 0);
            let sum = sampled.fold((0, 0, 0), |(bytes, calls, count), moment| {
                (bytes + moment.held_bytes, calls + moment.held_calls, count + 1)
            });
            (sum.0 / sum.2.max(1), sum.1 / sum.2.max(1))
        })
    }

    /// Calls whose end was judged by the oracles.
    #[must_use]
    pub const fn calls_checked(&self) -> u64 {
        self.calls.made
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
