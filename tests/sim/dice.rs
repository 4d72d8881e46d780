//! The one source of chance: small, fast, and the same on every machine.
//!
//! Only integers: a logarithm or a power may differ in the last bit between platforms, and one
//! bit is another world.

use std::time::Duration;

/// A seeded stream of chance (SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom
/// Number Generators").
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed and a purpose. Other purposes of the same seed are independent of it,
    /// so taking one thing out of a world leaves the chance of all others as it was.
    #[must_use]
    pub fn new(seed: u64, purpose: &[u64]) -> Self {
        let mut state = Self(seed ^ GOLDEN);
        for word in purpose {
            state.0 = state.next() ^ word.wrapping_mul(GOLDEN);
        }
        state
    }

    /// The next 64 random bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero if `bound` is.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// One of `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Whether something of this probability happens, in parts of a million.
    pub const fn happens(&mut self, parts_of_a_million: u32) -> bool {
        self.below(1_000_000) < parts_of_a_million as u64
    }

    /// One of several.
    pub const fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A time from zero to `most`.
    pub const fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.between(0, most.as_nanos() as u64))
    }

    /// A time whose mean is `mean`, most often shorter, seldom much longer: the exponential
    /// distribution by straight pieces between the powers of two, cut at 22 times the mean.
    pub fn about(&mut self, mean: Duration) -> Duration {
        let bits = self.next();
        let halvings = (bits.leading_zeros() as u64).min(31);
        let fraction = bits & 0xffff_ffff;
        // Halvings have the mean 1 and the fraction 1/2, hence two thirds.
        let scaled = ((halvings << 32) | fraction) as u128 * mean.as_nanos() * 2 / 3;
        Duration::from_nanos((scaled >> 32) as u64)
    }

    /// A number from `low` to `high`, each doubling as likely as the next.
    pub const fn spread(&mut self, low: u64, high: u64) -> u64 {
        if low >= high {
            return low;
        }
        let (low, high) = (low + 1, high + 1);
        let first = low.ilog2() as u64;
        let exponent = self.between(first, high.ilog2() as u64);
        let number = (1_u64 << exponent) + self.below(1 << exponent);
        let number = if number < low { low } else { number };
        (if number > high { high } else { number }) - 1
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_by_purpose() {
        let first = |purpose: &[u64]| Dice::new(7, purpose).next();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert!(first(&[1, 2]) != first(&[2, 1]) && first(&[1]) != first(&[1, 0]));
    }

    #[test]
    fn times_have_their_mean() {
        let (mut dice, mean) = (Dice::new(1, &[]), Duration::from_secs(6));
        let sum: Duration = (0..100_000).map(|_| dice.about(mean)).sum();
        let found = sum.as_secs_f64() / 100_000.0;
        assert!((5.8..6.2).contains(&found), "{found}");
    }

    #[test]
    fn spread_numbers_stay_in_range_and_reach_both_ends() {
        let mut dice = Dice::new(3, &[]);
        let drawn: Vec<u64> = (0..10_000).map(|_| dice.spread(3, 900)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&900)));
        assert!(drawn.iter().filter(|n| **n < 100).count() > 4_000);
    }
}
