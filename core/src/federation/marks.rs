//! The newest word of each origin on each of its offers: what is older does not count, whoever
//! says it and however late it comes.

use super::Offer;
use crate::holdings::Holdings;
use crate::name::NodeId;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

/// The newest words, by origin.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<NodeId, Life>);

/// The newest life of an origin.
#[derive(Debug, Default)]
struct Life {
    epoch: u64,
    /// The last word of it.
    heard_at: Instant,
    offers: BTreeMap<(Arc<str>, NodeId), Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: u64,
    /// The offer ended with it.
    is_end: bool,
    heard_at: Instant,
}

/// What a word is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// A newer one is known, or the offer ended with it.
    Old,
    /// It is the newest one, or says the same.
    New,
    /// The first one of a newer life of the origin.
    NewLife,
}

impl Marks {
    /// Takes a word of an origin.
    pub(super) fn hear(
        &mut self,
        offer: &Offer,
        (epoch, seq): (u64, u64),
        is_end: bool,
        now: Instant,
    ) -> Word {
        if self.0.len() >= ORIGINS_MAX && !self.0.contains_key(&offer.origin) {
            return Word::Old;
        }
        let life = self.0.entry(offer.origin.clone()).or_default();
        if epoch < life.epoch {
            return Word::Old;
        }
        life.heard_at = now;
        // Of an origin that nothing was heard of there is no earlier life.
        let ends_another = epoch > life.epoch && life.epoch != 0;
        if epoch > life.epoch {
            life.epoch = epoch;
            life.offers.clear();
        }
        let mark = Mark { seq, is_end, heard_at: now };
        let key = (Arc::clone(&offer.service), offer.node.clone());
        match life.offers.get(&key) {
            Some(known) => {
                let same = seq == known.seq && is_end == known.is_end;
                if seq < known.seq || (seq == known.seq && !same) {
                    return Word::Old;
                }
            }
            None if life.offers.len() >= OFFERS_MAX => return Word::Old,
            None => {}
        }
        life.offers.insert(key, mark);
        if ends_another { Word::NewLife } else { Word::New }
    }

    /// What all words take.
    pub(super) fn holdings(&self) -> Holdings {
        let words = self.0.values().map(|life| life.offers.len()).sum();
        let all = Holdings::default().entries::<(NodeId, Life)>(self.0.len());
        all.entries::<((Arc<str>, NodeId), Mark)>(words)
    }

    /// The newest life of an origin, or 0.
    pub(super) fn epoch_of(&self, origin: &NodeId) -> u64 {
        self.0.get(origin).map_or(0, |life| life.epoch)
    }

    /// The word with which an offer ended.
    pub(super) fn ended(&self, offer: &Offer) -> Option<(u64, u64)> {
        let life = self.0.get(&offer.origin)?;
        let mark = life.offers.get(&(Arc::clone(&offer.service), offer.node.clone()))?;
        mark.is_end.then_some((life.epoch, mark.seq))
    }

    /// An offer was there until now.
    pub(super) fn touch(&mut self, offer: &Offer, now: Instant) {
        let life = self.0.get_mut(&offer.origin);
        let key = (Arc::clone(&offer.service), offer.node.clone());
        if let Some(mark) = life.and_then(|life| life.offers.get_mut(&key)) {
            mark.heard_at = now;
        }
    }

    /// Forgets words older than `life` on offers that are not there any more.
    pub(super) fn sweep(&mut self, life: Duration, now: Instant, stands: impl Fn(&Offer) -> bool) {
        for (origin, known) in &mut self.0 {
            known.offers.retain(|(service, node), mark| {
                let offer = Offer {
                    service: Arc::clone(service),
                    node: node.clone(),
                    origin: origin.clone(),
                };
                now.since(mark.heard_at) <= life || stands(&offer)
            });
        }
        // A life is remembered after its offers, as long as a lease of an earlier one might stand.
        self.0.retain(|_, known| !known.offers.is_empty() || now.since(known.heard_at) <= life);
    }
}

/// Mains that are remembered; more than any federation has.
const ORIGINS_MAX: usize = 4_096;
/// Words of one origin that are remembered, more than it may announce.
const OFFERS_MAX: usize = 1 << 18;
