//! Mains among themselves: who dials whom, and what comes between them.

use super::World;
use crate::plan::{Federation, Topology};
use crate::step::{Pair, Sever};
use relay_core::{DialState, Instant, LinkId, Role};
use std::time::Duration;

impl World {
    /// The addresses that a host dials, each list for one link.
    pub(super) fn dials_of(&self, at: usize) -> Vec<Vec<String>> {
        let topology = self.plan.topology;
        let address = |main: u16| format!("tcp://main-{main}:1");
        if self.hosts[at].role == Role::Main {
            let own = at as u16;
            let peers = (0..topology.mains).filter(|peer| self.dials_peer(own, *peer));
            return peers.map(|peer| vec![address(peer)]).collect();
        }
        vec![topology.mains_of(at as u16).map(address).collect()]
    }

    /// Whether a Main dials another one: always the one with the higher number the other, and in
    /// every second world both.
    fn dials_peer(&self, own: u16, peer: u16) -> bool {
        let topology = self.plan.topology;
        let both = self.plan.seed % 2 == 1;
        own != peer && topology.are_linked(own, peer) && (peer < own || both)
    }

    /// The Main that an address stands for.
    pub(super) fn main_at(&self, address: &str) -> Option<usize> {
        let number =
            address.strip_prefix("tcp://main-")?.strip_suffix(":1")?.parse::<u16>().ok()?;
        (number < self.plan.topology.mains).then_some(usize::from(number))
    }

    /// The Main over which the calls of a Home or a caller go.
    pub(super) fn main_now(&self, at: usize) -> Option<usize> {
        let host = &self.hosts[at];
        let mut dials = host.node.as_ref()?.control().dials();
        let up = dials.find_map(|(_, dial)| match dial.state {
            DialState::Up(link, _) => Some(link),
            _ => None,
        })?;
        self.other_end(at, up)
    }

    /// The host at the other end of a link.
    pub(super) fn other_end(&self, at: usize, link: LinkId) -> Option<usize> {
        let joint = self.hosts[at].joint(link)?;
        let end = self.wires[joint.wire as usize].ends[1 - usize::from(joint.side)];
        (end.host < self.hosts.len()).then_some(end.host)
    }

    /// The open wires between two Mains, about which something is about to happen.
    pub(super) fn trouble_pair(&mut self, pair: Pair) -> Vec<usize> {
        let (a, b) = (usize::from(pair.host), usize::from(pair.peer));
        if b >= usize::from(self.plan.topology.mains) {
            return Vec::new();
        }
        for at in [a, b] {
            let condition = &mut self.hosts[at].condition;
            condition.trouble(self.now, Duration::ZERO);
        }
        let joints = self.hosts[a].links.iter().flatten();
        let wires = joints.filter(|joint| self.other_end(a, joint.link) == Some(b));
        wires.map(|joint| joint.wire as usize).collect()
    }

    pub(super) fn sever(&mut self, sever: &Sever) {
        let (a, b) = (sever.host, sever.peer);
        if a.max(b) >= self.plan.topology.mains {
            return;
        }
        for at in [a, b] {
            self.hosts[usize::from(at)].condition.trouble(self.now, sever.lasts.0);
        }
        let until = self.now.after(sever.lasts.0);
        let ways = if sever.both { vec![(a, b), (b, a)] } else { vec![(a, b)] };
        for way in ways {
            let edge = self.edges.entry(way).or_insert(until);
            *edge = until.max(*edge);
        }
    }

    /// Until when nothing gets from one Main to another.
    pub(super) fn severed_until(&self, from: usize, to: usize) -> Instant {
        let mains = usize::from(self.plan.topology.mains);
        if from >= mains || to >= mains || self.edges.is_empty() {
            return Instant::ZERO;
        }
        self.edges.get(&(from as u16, to as u16)).copied().unwrap_or(Instant::ZERO)
    }
}

impl Topology {
    /// The Mains that a Home or a caller goes to, the first one first.
    pub fn mains_of(&self, host: u16) -> impl Iterator<Item = u16> + use<> {
        let (first, mains) = (self.main_of(host), self.mains);
        (0..=self.fallbacks.min(mains - 1)).map(move |next| (first + next) % mains)
    }

    /// Whether two Mains are linked when all is well.
    #[must_use]
    pub const fn are_linked(&self, a: u16, b: u16) -> bool {
        match self.federation {
            Federation::None => false,
            Federation::Mesh | Federation::Web => a != b,
            Federation::Chain => a.abs_diff(b) == 1,
        }
    }

    /// The numbers, among the Homes, of those that calls at a Main can reach when all is well.
    pub fn homes_for(&self, main: u16) -> impl Iterator<Item = u16> + Clone + use<> {
        let (first, step) = match self.federation {
            Federation::None => (main, usize::from(self.mains)),
            Federation::Mesh | Federation::Chain | Federation::Web => (0, 1),
        };
        (first..self.homes).step_by(step)
    }
}
