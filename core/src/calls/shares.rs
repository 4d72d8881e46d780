//! Who has how many of the calls in flight over a link, so that nobody takes all of it.
//!
//! A caller gets no more than twice of what is left for the others (Choudhury and Hahne, "Dynamic
//! Queue Length Thresholds"): `n` callers that all want more have `2 / (2n + 1)` of the link each,
//! and who has little always finds room. A caller that is alone has all of it.

use crate::outbox::LinkId;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// The calls of each caller, counted while a good part of the link is in use.
#[derive(Debug)]
pub(crate) struct Shares {
    /// By the slot of the link over which they came.
    counts: Vec<u32>,
    /// They are counted as long as there are more than this.
    counted_above: Option<u32>,
    /// Until then somebody is expected who was refused because others had everything.
    claimed_until: Option<Instant>,
}

impl Shares {
    pub(crate) const fn new() -> Self {
        Self { counts: Vec::new(), counted_above: None, claimed_until: None }
    }

    /// Whether calls are counted at the moment.
    #[inline]
    pub(crate) const fn is_counting(&self) -> bool {
        self.counted_above.is_some()
    }

    /// Places for callers.
    pub(crate) const fn len(&self) -> usize {
        self.counts.len()
    }

    /// From now on calls are counted, until there are no more than `least`.
    #[cold]
    pub(crate) fn start(&mut self, callers: impl Iterator<Item = LinkId>, least: u32) {
        self.counts.clear();
        self.counted_above = Some(least);
        callers.for_each(|caller| self.add(caller));
    }

    /// There is one more.
    #[inline]
    pub(crate) fn add(&mut self, caller: LinkId) {
        let at = caller.slot as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    /// There is one less, and `left` in all.
    #[inline]
    pub(crate) fn remove(&mut self, caller: LinkId, left: u32) {
        let Some(least) = self.counted_above else { return };
        if left <= least {
            (self.counted_above, self.claimed_until) = (None, None);
            return self.counts.clear();
        }
        if let Some(count) = self.counts.get_mut(caller.slot as usize) {
            *count -= 1;
        }
    }

    /// Whether a caller may have one more of a link where `live` calls are in flight and `free`
    /// more fit.
    #[inline]
    pub(crate) fn allow(&self, caller: LinkId, live: u32, free: u32, now: Instant) -> bool {
        let most = free.saturating_mul(2);
        if live < most || planted!("first_come_first_served") {
            return true;
        }
        let own = self.of(caller);
        let is_alone = own == live && self.claimed_until.is_none_or(|until| until <= now);
        own < most || is_alone
    }

    /// A caller was refused. It may come again: until then nobody has everything.
    #[cold]
    pub(crate) fn claim(&mut self, caller: LinkId, live: u32, now: Instant) {
        if self.is_counting() && self.of(caller) != live {
            self.claimed_until = Some(now.after(EXPECTED_FOR));
        }
    }

    /// The calls of a caller, if they are counted.
    fn of(&self, caller: LinkId) -> u32 {
        self.counts.get(caller.slot as usize).copied().unwrap_or_default()
    }

    /// Whether these are the callers, if they are counted.
    pub(crate) fn agrees(&self, callers: impl Iterator<Item = LinkId>) -> bool {
        let mut anew = Self::new();
        anew.start(callers, 0);
        let counted = |shares: &Self, at: usize| shares.counts.get(at).copied().unwrap_or_default();
        let places = self.counts.len().max(anew.counts.len());
        !self.is_counting() || (0..places).all(|at| counted(self, at) == counted(&anew, at))
    }
}

/// Who was refused is expected to come again within this time.
const EXPECTED_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const fn link(slot: u32) -> LinkId {
        LinkId { shard: 0, slot, generation: 1 }
    }

    /// Takes as many as are allowed of a link for `max`; returns how many there are then.
    fn fill(shares: &mut Shares, caller: LinkId, live: &mut u32, max: u32, now: Instant) -> u32 {
        while *live < max && shares.allow(caller, *live, max - *live, now) {
            shares.add(caller);
            *live += 1;
        }
        shares.of(caller)
    }

    #[test]
    fn l3_who_is_alone_has_all_until_somebody_else_comes() {
        let (mut shares, mut live, now) = (Shares::new(), 0, Instant::ZERO);
        shares.start(core::iter::empty(), 0);
        assert_eq!(fill(&mut shares, link(1), &mut live, 30, now), 30);
        shares.claim(link(1), live, now);
        shares.remove(link(1), 29);
        live = 29;
        assert_eq!(fill(&mut shares, link(1), &mut live, 30, now), 30, "nobody else came");
        shares.claim(link(2), live, now);
        for left in (0..30).rev() {
            live = left;
            shares.remove(link(1), left);
            if shares.allow(link(1), live, 30 - live, now) {
                break;
            }
        }
        assert_eq!(live, 19, "twice of what is left is all that one has");
        assert_eq!(fill(&mut shares, link(2), &mut live, 30, now), 8);
        shares.claimed_until = None;
        assert!(!shares.allow(link(1), live, 30 - live, now.after(EXPECTED_FOR)));
    }

    #[test]
    fn l3_every_caller_has_more_than_half_of_its_fair_share() {
        for (callers, max) in [(2, 8), (3, 9), (4, 64), (16, 64), (10, 1_000)] {
            let (mut shares, mut live, now) = (Shares::new(), 0, Instant::ZERO);
            shares.start(core::iter::empty(), 0);
            shares.claim(link(9_999), 1, now);
            // Each takes all that it may before the next one comes; then the greedy ones end a few
            // and all try again, until nothing changes.
            for _ in 0..max {
                for caller in 0..callers {
                    fill(&mut shares, link(caller), &mut live, max, now);
                }
                for caller in 0..callers {
                    if shares.of(link(caller)) > max / callers {
                        live -= 1;
                        shares.remove(link(caller), live);
                    }
                }
            }
            let least = (0..callers).map(|caller| shares.of(link(caller))).min();
            let fair = max / callers;
            assert!(least >= Some(fair / 2), "{callers} on {max}: {:?}", shares.counts);
        }
    }

    #[test]
    fn counts_end_when_there_is_room_for_all() {
        let mut shares = Shares::new();
        shares.start([link(1), link(2), link(1)].into_iter(), 1);
        assert_eq!((shares.of(link(1)), shares.of(link(2))), (2, 1));
        shares.remove(link(1), 2);
        assert!(shares.agrees([link(2), link(1)].into_iter()));
        assert!(!shares.agrees([link(2)].into_iter()));
        shares.remove(link(2), 1);
        assert!(!shares.is_counting() && shares.counts.is_empty());
    }
}
