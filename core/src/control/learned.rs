//! What peers tell this Main: taken, passed on, and confirmed or asked for again.

use super::topics::is_interest;
use super::{Control, Stale};
use crate::config::Role;
use crate::event::Event;
use crate::federation::{Change, Offer};
use crate::message::{ControlMessage, Record, records};
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Control {
    /// Something that other Mains offer has changed.
    pub(super) fn learned_changed(&mut self, offers: Vec<Offer>, now: Instant, out: &mut Outbox) {
        if offers.is_empty() {
            return;
        }
        let is_about_topics = offers.iter().any(is_interest);
        let is_about_services = !offers.iter().all(is_interest);
        for Offer { service, node, origin } in offers.iter().filter(|offer| !is_interest(offer)) {
            let (service, node, origin) = (Arc::clone(service), node.clone(), origin.clone());
            out.event(Event::RouteChanged { service, node, origin });
        }
        if self.config.limits.mains_max() > 1 {
            self.tell_peers_of(offers, now, out);
        }
        if is_about_topics && !planted!("interests_ignored") {
            self.interests_changed(now, out);
        }
        if is_about_services {
            self.changed(now, out);
        }
    }

    /// Takes a page of a peer.
    pub(super) fn announced(&mut self, link: LinkId, page: &[u8], now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get(&link) else { return };
        let (peer, own) = (linked.peer.node.clone(), self.node.clone());
        let (mut changed, mut is_new_life) = (Vec::new(), false);
        for record in records(page) {
            let limits = &self.config.limits;
            let who = (link, &peer, &own);
            let (offer, change) =
                self.federation.announced(who, &record, limits, now, &mut self.slots);
            match change {
                Change::None => {}
                Change::Routes | Change::Life => {
                    self.judge_name(&offer, &record, out);
                    is_new_life |= change == Change::Life;
                    changed.push(offer);
                }
                Change::OverQuota => {
                    let (service, node) = (offer.service, offer.node);
                    out.event(Event::AnnouncementRefused {
                        link,
                        peer: peer.clone(),
                        service,
                        node,
                    });
                }
                Change::Broken => {
                    let reason = crate::CloseReason::Fault(crate::ErrorCode::BadRequest);
                    self.close(link, reason, out);
                    break;
                }
            }
        }
        // What ended with a life is of both kinds, whatever the record was about that told it.
        if is_new_life {
            self.stale = Stale { routes: true, interests: true };
        }
        self.learned_changed(changed, now, out);
    }

    /// The name of a node belongs to one key. Where two Mains took it for two keys while they did
    /// not see each other, both keep the same one: the one whose mark is lower.
    fn judge_name(&self, offer: &Offer, record: &Record<'_>, out: &mut Outbox) {
        let Record::Up { key, .. } = record else { return };
        if is_interest(offer) {
            return;
        }
        let Some(link) = self.nodes.get(&offer.node) else { return };
        let Some(linked) = self.links.get(link).filter(|linked| linked.peer.mark > *key) else {
            return;
        };
        if linked.peer.role == Role::Home {
            self.close(*link, crate::CloseReason::Fault(crate::ErrorCode::NameConflict), out);
        }
    }

    /// A peer confirms all that it announced.
    pub(super) fn digested(
        &mut self,
        link: LinkId,
        digest: (u32, u64),
        now: Instant,
        out: &mut Outbox,
    ) {
        let pause = self.confirm_every() / 2;
        let forgotten = self.federation.digest(link, digest, pause, now, &mut self.slots);
        if let Some(linked) = self.links.get_mut(&link) {
            linked.confirmed_at = now;
        }
        if let Some(offers) = forgotten {
            self.send(link, &ControlMessage::Resync, out);
            let node = self.links.get(&link).map(|linked| linked.peer.node.clone());
            if let Some(node) = node {
                out.event(Event::Resync { link, node });
            }
            self.learned_changed(offers, now, out);
        }
    }
}
