//! Times counted in buckets whose width grows with the time: exact to one part in sixteen.

use serde::{Serialize, Serializer};
use std::time::Duration;

/// Counts of times, for percentiles.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Histogram {
    /// Counts one time.
    pub fn add(&mut self, time: Duration) {
        let at = bucket(time.as_micros() as u64);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.longest = self.longest.max(time);
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// Times counted.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The longest time, exactly.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// The time that this share of all times does not exceed, rounded up to its bucket; zero when
    /// there is none. `share` is in parts of a thousand.
    #[must_use]
    pub fn percentile(&self, per_mille: u64) -> Duration {
        let wanted = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(end_of(at)).min(self.longest);
            }
        }
        self.longest
    }

    /// Each bucket that is not empty: the end of its times, and how many there were.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(at, count)| (Duration::from_micros(end_of(at)), *count))
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Histogram", 5)?;
        let millis = |time: Duration| time.as_micros() as f64 / 1_000.0;
        out.serialize_field("count", &self.total)?;
        out.serialize_field("p50_ms", &millis(self.percentile(500)))?;
        out.serialize_field("p99_ms", &millis(self.percentile(990)))?;
        out.serialize_field("p999_ms", &millis(self.percentile(999)))?;
        out.serialize_field("max_ms", &millis(self.longest))?;
        out.end()
    }
}

/// Sixteen buckets for each doubling; exact below sixteen.
const fn bucket(value: u64) -> usize {
    if value < 16 {
        return value as usize;
    }
    let doubling = value.ilog2() as usize - 4;
    16 * (doubling + 1) + ((value >> doubling) as usize - 16)
}

const fn end_of(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let (doubling, part) = (bucket / 16 - 1, bucket % 16);
    ((17 + part as u64) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
        for value in (0..5_000).chain([1 << 20, (1 << 40) - 1, 1 << 40]) {
            let at = bucket(value);
            assert!(value <= end_of(at) && (at == 0 || value > end_of(at - 1)), "{value}");
        }
    }

    #[test]
    fn percentiles_are_near() {
        let mut times = Histogram::default();
        (1..=1_000).for_each(|n| times.add(Duration::from_millis(n)));
        let p50 = times.percentile(500).as_millis();
        assert!((500..=532).contains(&p50), "{p50}");
        assert_eq!(times.percentile(1_000), Duration::from_secs(1));
        assert_eq!(Histogram::default().percentile(500), Duration::ZERO);
    }
}
