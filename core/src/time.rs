//! Time as the core sees it: nanoseconds since an origin the driver chose.
//!
//! No clock is read here. An owned integer serialises, replays and runs in a browser, which
//! `std::time::Instant` does not.

use core::time::Duration;

/// A point in monotonic time, in nanoseconds since the driver's own origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ZERO: Self = Self(0);

    /// Makes an instant from nanoseconds since the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant plus `duration`; stays at the far end of time instead of wrapping (584 years).
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// Time since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Converts seconds of wall time to and from [`Instant`], so that the core can check the time
/// stamp of a handshake without reading a clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock {
    unix_seconds: u64,
    at: Instant,
}

impl WallClock {
    pub(crate) const fn set(&mut self, unix_seconds: u64, at: Instant) {
        self.unix_seconds = unix_seconds;
        self.at = at;
    }

    pub(crate) const fn unix_seconds(&self, now: Instant) -> u64 {
        self.unix_seconds.saturating_add(now.since(self.at).as_secs())
    }
}

const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// A duration in whole milliseconds, saturating at the largest `u32` (49 days).
pub(crate) const fn millis(duration: Duration) -> u32 {
    let millis = duration.as_millis();
    if millis > u32::MAX as u128 { u32::MAX } else { millis as u32 }
}
