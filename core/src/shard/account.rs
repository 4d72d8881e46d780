//! What is remembered of the publications of a link, and of those for it: what it may still say,
//! what it was not told, and what it was refused.

use super::Shard;
use super::links::{Network, Phase};
use crate::config::{Limits, Role};
use crate::error::ErrorCode;
use crate::message::ControlMessage;
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use core::time::Duration;

impl Shard {
    /// Whether what this link published so far leaves it something to publish more.
    pub(super) fn may_publish(&mut self, link: LinkId, now: Instant) -> bool {
        let limit = self.config.limits.publish_cost_per_second;
        let Some(network) = self.links.network(link) else { return false };
        let role = network.peer().map_or(Role::Caller, |peer| peer.role);
        network.account().budget.admits(rate(limit, role), now)
    }

    /// Charges a link for a publication of so many bytes that came over it and was handed to so
    /// many. What the local application does with one, handing it to subscribers of its own, is for
    /// whoever drives this shard to charge: it counts as one before.
    pub fn charge_publication(&mut self, link: LinkId, bytes: usize, copies: u64) {
        if let Some(network) = self.links.network(link) {
            network.account().budget.spend(bytes, copies);
        }
    }

    /// A link publishes what cannot be passed on.
    #[cold]
    pub(super) fn refuse_publication(
        &mut self,
        link: LinkId,
        code: ErrorCode,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.stats.publications_refused += 1;
        let Some(network) = self.links.network(link) else { return };
        network.account().refused.add(code);
        self.tell_refused(link, now, out);
    }

    /// Tells a publisher, at most once in a second, what was refused.
    pub(super) fn tell_refused(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(link) else { return };
        let Some(account) = &mut network.account else { return };
        match account.refused.take(now) {
            Ok(None) => {}
            Ok(Some((count, code))) => {
                let message = ControlMessage::NotPublished { count, code: code as u16 };
                self.write_control(link, &message, out);
            }
            Err(at) => self.wake_by(link, at),
        }
    }

    /// The Main refused what was published here: nothing more is sent to it for as long as it is
    /// silent about refusals, so that whoever publishes next is told so at once.
    pub(super) fn hold_publications(&mut self, link: LinkId, code: ErrorCode, now: Instant) {
        if let Some(network) = self.links.network(link) {
            network.account().held = Some((now.after(REFUSED_PAUSE), code));
        }
    }

    /// Tells a subscriber what it missed, once there is room again.
    pub(super) fn tell_missed(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let limits = &self.config.limits;
        let Some(network) = self.links.network(link) else { return };
        if network.account.is_none() || !network.takes_publication(0, limits) {
            return;
        }
        // Between Mains the numbers have to do.
        if network.between_mains {
            return;
        }
        match network.account().missed.take(now) {
            Ok(count) if count > 0 => {
                self.write_control(link, &ControlMessage::Missed { count }, out);
            }
            Ok(_) => {}
            Err(at) => self.wake_by(link, at),
        }
    }
}

impl Network {
    pub(super) fn account(&mut self) -> &mut Account {
        self.account.get_or_insert_default()
    }

    /// Whether a publication of so many bytes may be queued: they leave most of the room to calls,
    /// those of low priority among them. One may be as large as all of that room, so it is taken
    /// where half of it is free.
    pub(super) fn takes_publication(&self, bytes: usize, limits: &Limits) -> bool {
        let quarter = limits.write_bytes_max / 4;
        let most =
            if self.between_mains { quarter } else { limits.publication_bytes_max.min(quarter) };
        let fits =
            self.write_bytes <= most / 2 || self.write_bytes as usize + bytes <= most as usize;
        matches!(self.phase, Phase::Open(_)) && fits
    }
}

/// The publications of a link and those for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) missed: Missed,
    pub(super) refused: Refused,
    pub(super) budget: Budget,
    /// The Main at the other end refuses what is published here.
    pub(super) held: Option<(Instant, ErrorCode)>,
}

/// What was not passed on to a subscriber since it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    count: u32,
    told_at: Option<Instant>,
}

impl Missed {
    pub(super) const fn add(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// How many there are to be told now; or when they may be told.
    pub(super) fn take(&mut self, now: Instant) -> Result<u32, Instant> {
        match self.told_at.map(|at| at.after(MISSED_PAUSE)) {
            Some(at) if self.count > 0 && now < at => Err(at),
            _ if self.count == 0 => Ok(0),
            _ => {
                self.told_at = Some(now);
                Ok(core::mem::take(&mut self.count))
            }
        }
    }
}

/// What was refused to a publisher since it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refused {
    count: u32,
    code: Option<ErrorCode>,
    told_at: Option<Instant>,
}

impl Refused {
    pub(super) const fn add(&mut self, code: ErrorCode) {
        self.count = self.count.saturating_add(1);
        self.code = Some(code);
    }

    /// How many there are to be told now, and why: at most once in a second. Or when they may be.
    pub(super) fn take(&mut self, now: Instant) -> Result<Option<(u32, ErrorCode)>, Instant> {
        let Some(code) = self.code.filter(|_| self.count > 0) else { return Ok(None) };
        match self.told_at.map(|at| at.after(REFUSED_PAUSE)).filter(|at| now < *at) {
            Some(at) => Err(at),
            None => {
                self.told_at = Some(now);
                Ok(Some((core::mem::take(&mut self.count), code)))
            }
        }
    }
}

/// What may be spent in a second; what costs more than there is left is a debt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    spent: u64,
    at: Instant,
}

impl Budget {
    /// Whether another publication may be made at `rate` a second.
    pub(super) fn admits(&mut self, rate: u64, now: Instant) -> bool {
        let nanos = u128::from(now.as_nanos().saturating_sub(self.at.as_nanos()));
        let back = u64::try_from(nanos * u128::from(rate) / NANOS).unwrap_or(u64::MAX);
        self.spent = self.spent.saturating_sub(back);
        // The time that does not come to a whole byte counts the next time.
        let used = u128::from(back) * NANOS / u128::from(rate.max(1));
        let used = Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
        self.at = self.at.after(used);
        self.spent < rate
    }

    /// Takes the cost of a publication of so many bytes, for so many who got it.
    pub(super) const fn spend(&mut self, bytes: usize, copies: u64) {
        let each = (bytes as u64).saturating_add(PUBLICATION_COST);
        self.spent = self.spent.saturating_add(each.saturating_mul(copies));
    }
}

/// What a link to a node of this role may publish in a second.
pub(super) const fn rate(cost_per_second: u32, role: Role) -> u64 {
    let times = match role {
        Role::Main => PUBLISHERS_BEHIND_A_MAIN,
        Role::Home | Role::Caller => 1,
    };
    cost_per_second as u64 * times
}

/// What a publication costs besides its bytes: even an empty one has to be looked up, queued and
/// written.
const PUBLICATION_COST: u64 = 512;
/// A Main may pass on what so many publish as fast as they may.
const PUBLISHERS_BEHIND_A_MAIN: u64 = 16;
/// How often a subscriber is told what it missed: the telling must not be what is too much for it.
const MISSED_PAUSE: Duration = Duration::from_millis(10);
/// How often a publisher is told that it publishes too much, and for how long it then holds back.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(1);
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    #[test]
    fn a_budget_comes_back_however_often_it_is_asked() {
        let mut budget = Budget::default();
        assert!(budget.admits(1_024, at(0)));
        budget.spend(512, 2);
        let mut micros = 0;
        while !budget.admits(1_024, at(micros)) {
            micros += 10;
        }
        // It spent 2,048 bytes and may spend again when less than 1,024 of them are left.
        assert!((1_000_000..1_002_000).contains(&micros), "{micros}");
    }

    #[test]
    fn an_empty_publication_costs_something_for_each_who_gets_it() {
        let mut budget = Budget::default();
        budget.spend(0, 10);
        assert!(!budget.admits(10 * PUBLICATION_COST, at(0)));
        assert!(budget.admits(10 * PUBLICATION_COST + 1, at(0)));
    }

    #[test]
    fn what_was_missed_is_told_whole_and_seldom() {
        let mut missed = Missed::default();
        assert_eq!(missed.take(at(0)), Ok(0));
        missed.add();
        assert_eq!(missed.take(at(5)), Ok(1));
        missed.add();
        missed.add();
        assert_eq!(missed.take(at(9_000)), Err(at(10_005)));
        missed.add();
        assert_eq!(missed.take(at(10_005)), Ok(3));
    }
}
