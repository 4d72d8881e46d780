//! Latencies, counted in buckets that are 1.6 % wide: exact enough for percentiles, and constant
//! in size however long a measurement takes.

use std::time::Duration;

/// How often each latency was seen.
pub(crate) struct Tally {
    counts: Vec<u64>,
    total: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// How many latencies were added.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The smallest latency that at least `per_mille` of all did not exceed; zero without any.
    pub(crate) fn percentile(&self, per_mille: u64) -> Duration {
        let wanted = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(middle(at));
            }
        }
        Duration::ZERO
    }
}

/// Values below `STEPS` have a bucket each; above, every power of two is cut into `STEPS`.
const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS_LOG2;
    ((shift as u64 + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// The middle of the values of a bucket.
const fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let low = (STEPS + bucket % STEPS) << shift;
    low + (1 << shift) / 2
}

const STEPS_LOG2: u32 = 6;
const STEPS: u64 = 1 << STEPS_LOG2;
const BUCKETS: usize = bucket(u64::MAX) + 1;

#[test]
fn a_bucket_holds_values_that_are_nearly_its_middle() {
    let mut last = 0;
    for power in 0..64 {
        for value in [1_u64 << power, (1 << power) + (1 << power) / 3, u64::MAX >> (63 - power)] {
            let at = bucket(value);
            assert!(at >= last && at < BUCKETS, "{value}");
            assert!(middle(at).abs_diff(value) <= value / 64, "{value}: {}", middle(at));
            last = at;
        }
    }
}

#[test]
fn percentiles_are_found() {
    let mut tally = Tally::new();
    assert_eq!(tally.percentile(500), Duration::ZERO);
    for micros in 1..=1_000 {
        tally.add(Duration::from_micros(micros));
    }
    for (per_mille, micros) in [(500, 500.0), (990, 990.0), (1_000, 1_000.0)] {
        let found = tally.percentile(per_mille).as_secs_f64() * 1e6;
        assert!((found / micros - 1.0).abs() < 0.016, "{per_mille}: {found}");
    }
    assert_eq!(tally.total(), 1_000);
}
