//! How many offers there are, and how many of them are services: that subscribers want a topic is
//! told in the same way, but nobody who counts services means that.

use super::Offer;
use crate::message::interest;

/// Offers of both kinds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    services: u32,
    interests: u32,
}

impl Count {
    pub(super) const fn all(self) -> u32 {
        self.services + self.interests
    }

    pub(super) const fn services(self) -> u32 {
        self.services
    }

    pub(super) fn add(&mut self, offer: &Offer) {
        *self.of(offer) += 1;
    }

    pub(super) fn remove(&mut self, offer: &Offer) {
        *self.of(offer) -= 1;
    }

    fn of(&mut self, offer: &Offer) -> &mut u32 {
        let is_interest = interest(&offer.service).is_some();
        if is_interest { &mut self.interests } else { &mut self.services }
    }
}
