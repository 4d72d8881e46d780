//! Counts for the report, kept while the world runs.

use crate::histogram::Histogram;
use crate::report::{Calls, LinkTraffic, Moment, Report};
use relay_core::{Holdings, Instant};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts for the report.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) frames: u64,
    pub(crate) largest_frame: u64,
    pub(crate) calls: Calls,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) told: BTreeMap<&'static str, u64>,
    pub(crate) latency: Histogram,
    pub(crate) recovery: Histogram,
    pub(crate) convergence: Histogram,
    /// By sender and receiver.
    pub(crate) links: BTreeMap<(usize, usize), Traffic>,
    pub(crate) linked: u32,
    /// Frames sent before the world was left alone.
    pub(crate) idle_from: u64,
    faults: BTreeMap<&'static str, u64>,
    marks: BTreeMap<&'static str, u64>,
    moments: Vec<Part>,
    each: Duration,
    trace: u64,
}

/// One part of the time.
#[derive(Debug, Default)]
struct Part {
    moment: Moment,
    latency: Histogram,
    /// Hosts linked after the last change in it.
    linked: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
}

impl Tally {
    pub(crate) fn new(duration: Duration) -> Self {
        let each = duration / MOMENTS;
        let part =
            |at| Part { moment: Moment { at: each * at, ..Moment::default() }, ..Part::default() };
        Self {
            events: 0,
            frames: 0,
            largest_frame: 0,
            calls: Calls::default(),
            errors: BTreeMap::new(),
            told: BTreeMap::new(),
            latency: Histogram::default(),
            recovery: Histogram::default(),
            convergence: Histogram::default(),
            links: BTreeMap::new(),
            linked: 0,
            idle_from: 0,
            faults: BTreeMap::new(),
            marks: BTreeMap::new(),
            moments: (0..MOMENTS).map(part).collect(),
            each: each.max(Duration::from_nanos(1)),
            trace: 0,
        }
    }

    /// Puts a word into the digest.
    pub(crate) const fn note(&mut self, word: u64) {
        self.trace = (self.trace ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// A situation occurred that tests are to reach.
    /// Whether a situation occurred.
    pub(crate) fn was(&self, mark: &str) -> bool {
        self.marks.contains_key(mark)
    }

    pub(crate) fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, what: &'static str, now: Instant) {
        *self.faults.entry(what).or_default() += 1;
        if let Some(part) = self.part(now) {
            part.moment.faults += 1;
        }
    }

    pub(crate) fn succeeded(&mut self, took: Duration, now: Instant) {
        self.calls.succeeded += 1;
        self.latency.add(took);
        if let Some(part) = self.part(now) {
            part.moment.succeeded += 1;
            part.latency.add(took);
        }
    }

    pub(crate) fn failed(&mut self, code: &'static str, told: &'static str, now: Instant) {
        self.calls.failed += 1;
        *self.errors.entry(code).or_default() += 1;
        *self.told.entry(told).or_default() += 1;
        if let Some(part) = self.part(now) {
            part.moment.failed += 1;
        }
    }

    /// A call failed that could not but fail.
    pub(crate) fn failed_as_expected(&mut self, now: Instant) {
        self.calls.failed_as_expected += 1;
        if let Some(part) = self.part(now) {
            part.moment.failed -= 1;
        }
    }

    pub(crate) fn count_linked(&mut self, change: i32, now: Instant) {
        self.linked = self.linked.saturating_add_signed(change);
        let linked = self.linked;
        if let Some(part) = self.part(now) {
            part.linked = Some(linked);
        }
    }

    /// Notes what the nodes hold, for the part of the time that ends now.
    pub(crate) fn sampled(&mut self, held: Holdings, now: Instant) {
        let just_before = Instant::from_nanos(now.as_nanos().saturating_sub(1));
        if let Some(part) = self.part(just_before) {
            (part.moment.held_bytes, part.moment.held_calls) = (held.bytes, held.calls);
        }
    }

    /// When the part of the time ends that this moment is in.
    pub(crate) fn next_sample(&self, now: Instant) -> Instant {
        let each = self.each.as_nanos() as u64;
        Instant::from_nanos((now.as_nanos() / each + 1) * each)
    }

    fn part(&mut self, now: Instant) -> Option<&mut Part> {
        let at = now.as_nanos() / self.each.as_nanos() as u64;
        self.moments.get_mut(at as usize)
    }

    /// Everything counted, as a report that lacks what only the world knows.
    pub(crate) fn into_report(mut self, name: impl Fn(usize) -> String) -> Report {
        let mut linked = 0;
        for part in &mut self.moments {
            // Where nothing changed, as many are linked as before.
            linked = part.linked.unwrap_or(linked);
            part.moment.linked = linked;
            part.moment.p99_micros = part.latency.percentile(990).as_micros() as u64;
        }
        let links = self.links.into_iter().map(|((from, to), traffic)| LinkTraffic {
            from: name(from),
            to: name(to),
            frames: traffic.frames,
            bytes: traffic.bytes,
            connections: traffic.connections,
        });
        Report {
            events: self.events,
            frames: self.frames,
            calls: self.calls,
            errors: self.errors,
            told: self.told,
            latency: self.latency,
            recovery: self.recovery,
            convergence: self.convergence,
            links: links.collect(),
            faults: self.faults,
            marks: self.marks,
            timeline: self.moments.into_iter().map(|part| part.moment).collect(),
            trace_hash: self.trace,
            ..Report::default()
        }
    }
}

const MOMENTS: u32 = 200;
