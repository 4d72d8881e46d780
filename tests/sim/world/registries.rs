//! What every Main must know in the end, and how soon (L2); what it may never go back on (S17).

use super::World;
use crate::plan::Federation;
use crate::queue::Event;
use crate::step::Service;
use relay_core::{Instant, NodeId, Role};
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// Looks whether all registries agree with the truth, until they do.
    pub(super) fn look_at_registries(&mut self) {
        let since = self.linked_at.max(self.healed_at());
        if self.registry_fault().is_some() {
            self.queue.push(self.now.after(LOOK_EVERY), Event::Converge);
            return;
        }
        let took = self.now.since(since);
        self.tally.convergence.add(took);
        if took > CONVERGE_MAX + self.longest_way() * 8 {
            let took = crate::Span(took);
            let text = format!("registries agreed only {took} after the last link came or went");
            self.checker.blame("L2", None, &text);
        }
    }

    fn healed_at(&self) -> Instant {
        Instant::ZERO.after(self.plan.duration.0)
    }

    /// In the end every registry is right (L2).
    pub(super) fn judge_registries(&mut self) {
        if let Some(fault) = self.registry_fault() {
            self.checker.blame("L2", None, &fault);
        }
    }

    /// What some sound Main knows wrongly or does not know, if there is anything.
    fn registry_fault(&self) -> Option<String> {
        let topology = self.plan.topology;
        for home in 0..topology.homes {
            let at = usize::from(topology.home(home));
            if !self.is_sound(at) {
                continue;
            }
            let main = self.main_now(at).filter(|main| self.is_sound(*main));
            let Some(main) = main else { continue };
            for service in self.offered_by(home) {
                if let Some(fault) = self.unknown_somewhere(main, at, &service) {
                    return Some(fault);
                }
            }
        }
        (0..usize::from(topology.mains)).find_map(|main| self.wrong_at(main))
    }

    /// The services that a Home offers at the moment.
    fn offered_by(&self, home: u16) -> Vec<String> {
        let topology = self.plan.topology;
        let withdrawn = self.hosts[usize::from(topology.home(home))].withdrawn;
        let shared = if withdrawn { 0 } else { topology.shared_services };
        let shared = (0..shared).map(Service::Shared);
        shared.chain([Service::Own(home)]).map(|service| service.to_string()).collect()
    }

    /// A sound Main that does not know a service of a Home that is attached to `main`.
    fn unknown_somewhere(&self, main: usize, home: usize, service: &str) -> Option<String> {
        let name = &self.hosts[home].name;
        let says =
            |at: usize| Some(format!("{} does not know {service} of {name}", self.hosts[at].name));
        if !self.is_offered(main, home, service) {
            return says(main);
        }
        if self.limits.services_per_peer_max < 100 {
            // Where little may be announced, not all is known everywhere.
            return None;
        }
        let origin = &self.hosts[main].name;
        for other in self.reached_from(main).into_iter().filter(|other| *other != main) {
            let Some(node) = &self.hosts[other].node else { continue };
            let mut known = node.control().federation().iter();
            let is_it =
                |(s, n, o): (&str, &NodeId, &NodeId)| s == service && n == name && o == origin;
            if !known.any(|(service, node, origin, _, _)| is_it((service, node, origin))) {
                return says(other);
            }
        }
        None
    }

    fn is_offered(&self, main: usize, home: usize, service: &str) -> bool {
        let Some(node) = &self.hosts[main].node else { return false };
        let name = &self.hosts[home].name;
        let mut offers = node.control().registry().offers(service);
        offers.any(|(node, offer)| node == name && self.hosts[main].joint(offer.link).is_some())
    }

    /// Something that a sound Main knows and that is not so.
    fn wrong_at(&self, main: usize) -> Option<String> {
        let host = &self.hosts[main];
        let node = host.node.as_ref()?;
        for (service, home, offer) in node.control().registry().iter() {
            if host.joint(offer.link).is_none() {
                return Some(format!("{} offers {service} of {home}, which is gone", host.name));
            }
            if self.is_false(service, home, main) {
                return Some(format!("{} offers {service} of {home}, which does not", host.name));
            }
        }
        if !self.is_sound(main) {
            return None;
        }
        for (service, home, origin, _, _) in node.control().federation().iter() {
            let Some(at) = self.host_named(origin) else { continue };
            if !self.is_sound(at) || self.is_false(service, home, at) {
                let text = format!("{} knows {service} of {home} at {origin}", host.name);
                return Some(format!("{text}, which is not so"));
            }
        }
        None
    }

    /// Whether it is false that a sound Home offers a service at this Main.
    fn is_false(&self, service: &str, home: &NodeId, main: usize) -> bool {
        let topology = self.plan.topology;
        let Some(at) = self.host_named(home).filter(|at| self.hosts[*at].role == Role::Home) else {
            return false;
        };
        let number = at as u16 - topology.mains;
        let offers = self.offered_by(number).iter().any(|offered| offered == service);
        let here = self.main_now(at).is_none_or(|now| now == main);
        self.is_sound(at) && self.is_sound(main) && (!offers || !here)
    }

    fn host_named(&self, name: &NodeId) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == *name)
    }

    /// The sound Mains that calls at `main` can reach over others that are sound.
    pub(super) fn reached_from(&self, main: usize) -> BTreeSet<usize> {
        let topology = self.plan.topology;
        let mut reached = BTreeSet::from([main]);
        if topology.federation == Federation::None {
            return reached;
        }
        let mut edge = vec![main];
        while let Some(at) = edge.pop() {
            for next in 0..usize::from(topology.mains) {
                let linked = topology.are_linked(at as u16, next as u16);
                if linked && self.is_sound(next) && reached.insert(next) {
                    edge.push(next);
                }
            }
        }
        reached
    }

    /// What a Main goes by never becomes older (S17). What it has not gone by for longer than any
    /// lease it may have forgotten.
    pub(super) fn judge_words(&mut self, at: usize) {
        let (now, lease) = (self.local(at), self.limits.registry_ttl);
        let host = &mut self.hosts[at];
        let Some(node) = &host.node else { return };
        host.newest.retain(|_, word| now.since(word.seen_at) <= lease);
        let mut older = None;
        for (service, home, origin, _, learned) in node.control().federation().iter() {
            let key = (service.to_owned(), home.clone(), origin.clone());
            let word = (learned.epoch, learned.seq);
            let newest = host.newest.entry(key).or_insert(Word { word, seen_at: now });
            if word < newest.word {
                let newest = newest.word;
                older = Some(format!("{service} of {home} at {origin}: {word:?} after {newest:?}"));
            }
            *newest = Word { word: word.max(newest.word), seen_at: now };
        }
        if let Some(text) = older {
            let text = format!("{} went back to an older word on {text}", self.hosts[at].name);
            self.checker.blame("S17", None, &text);
        }
    }
}

/// What a Main went by when it was last looked at.
#[derive(Debug)]
pub(super) struct Word {
    /// Epoch and seq.
    word: (u64, u64),
    /// On its own clock.
    seen_at: Instant,
}

/// Registries agree within this time after the last link came or went (L2).
const CONVERGE_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
