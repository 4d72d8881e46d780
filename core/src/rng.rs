//! The only randomness of the core: ChaCha12, seeded by the driver.

use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded generator. The same seed and the same inputs give the same run.
#[derive(Clone, Debug)]
pub(crate) struct Generator(ChaCha12Rng);

impl Generator {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `bound`, which must not be zero. The bias for bounds below 2^32 is under
    /// 2^-32 (Lemire, "Fast Random Integer Generation in an Interval").
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.next() as u32) * u64::from(bound);
        (wide >> 32) as u32
    }

    /// A time between zero and `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.next() % (nanos + 1))
    }
}
