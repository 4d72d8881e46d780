//! How many handshakes are begun in a second, and when the others are to come again.

use crate::time::{Instant, millis};
use core::time::Duration;

/// Lets a bounded number of handshakes through and gives everyone else a turn of his own, so that
/// those who come back come one after the other (a virtual scheduling clock, ITU-T I.371).
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two turns.
    turn: Duration,
    /// How far turns may be used ahead of their time: those nobody used are not lost at once.
    ahead: Duration,
    /// When the next turn is.
    next_at: Instant,
    /// The last turn that was promised.
    promised_at: Instant,
}

impl Pace {
    /// At most `per_second` in any second.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = per_second.max(2);
        let burst = (per_second / BURST_SHARE).max(1);
        let turn = Duration::from_secs(1) / (per_second - burst);
        let ahead = turn * (burst - 1);
        Self { turn, ahead, next_at: Instant::ZERO, promised_at: Instant::ZERO }
    }

    /// Takes a turn now, or tells in how many milliseconds to come again.
    pub(super) fn refuses(&mut self, now: Instant) -> Option<u32> {
        if self.next_at <= now.after(self.ahead) || planted!("handshakes_unpaced") {
            self.next_at = self.next_at.max(now).after(self.turn);
            return None;
        }
        let at = self.promised_at.max(self.next_at).after(self.turn);
        // Whoever floods a Main must not keep others away for long.
        self.promised_at = at.min(now.after(WAIT_MAX));
        Some(millis(self.promised_at.since(now)).max(1))
    }

    /// How long the nth of those who are sent away together is to wait.
    pub(super) fn pause_of(&self, nth: u32) -> Duration {
        self.turn.saturating_mul(nth).min(WAIT_MAX)
    }
}

/// The share of a second's turns that may be used at once.
const BURST_SHARE: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    #[test]
    fn everyone_gets_a_turn_and_no_second_has_too_many() {
        for (nodes, per_second) in [(1_000, 200), (50, 5), (3_000, 1_000)] {
            let mut pace = Pace::new(per_second);
            let mut coming: BTreeSet<(Instant, u32)> =
                (0..nodes).map(|n| (Instant::from_nanos(u64::from(n) * 1_000), n)).collect();
            let mut begun = Vec::new();
            while let Some((now, node)) = coming.pop_first() {
                match pace.refuses(now) {
                    None => begun.push(now),
                    Some(wait) => {
                        let again = now.after(Duration::from_millis(u64::from(wait)));
                        coming.insert((again, node));
                    }
                }
            }
            let second = Duration::from_secs(1);
            for (at, first) in begun.iter().enumerate() {
                let within = begun[at..].partition_point(|then| then.since(*first) < second);
                assert!(within <= per_second as usize, "{within} of {per_second}");
            }
            let last = begun.last().expect("some").since(Instant::ZERO);
            let least = Duration::from_secs(u64::from(nodes.div_ceil(per_second)));
            assert!(last <= least * 5 / 4 + second, "{last:?} for {least:?}");
        }
    }
}
