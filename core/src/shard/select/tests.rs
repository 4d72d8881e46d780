//! Each way to choose by what no other one does.

use super::*;
use crate::config::{Config, Limits, Role};
use crate::handshake::{Capabilities, Peer};
use crate::name::NodeId;
use crate::shard::instances::Ending;
use crate::shard::links::{End, Network, Phase};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

const NOW: Instant = Instant::from_nanos(1);

/// A service of four instances behind links with room for all calls, and what is known of each.
struct Service {
    links: Links,
    instances: Instances,
    all: Vec<Instance>,
    generator: Generator,
}

impl Service {
    fn new() -> Self {
        let (limits, config) = (Limits::default(), Config::new(Role::Main));
        let mut links = Links::new(0, 1, &limits);
        let node = NodeId::new("home").expect("a legal name");
        let instance = |index: u32| {
            let peer = Arc::new(Peer {
                node: node.clone(),
                key: [0; 32],
                mark: [0; 8],
                role: Role::Home,
                version: 1,
                capabilities: Capabilities::new(&config, Role::Home),
                session: [0; 16],
                epoch: 1,
            });
            let network = Network::new(Phase::Open(peer), None, &limits, NOW);
            let link = links.insert(Link::new(End::Network(network), 100, 100, u32::MAX));
            let (node, slot) = (node.clone(), Slot { index, generation: 1 });
            Instance { node, link, slot, tier: 0, path: None, compressions: 0 }
        };
        let all = (0..4).map(instance).collect();
        let (instances, generator) = (Instances::default(), Generator::new([5; 32]));
        Self { links, instances, all, generator }
    }

    /// So many calls are in flight at each instance.
    fn busy(mut self, calls: [u32; 4]) -> Self {
        for (instance, calls) in self.all.iter().zip(calls) {
            for _ in 0..calls {
                self.instances.sent(instance.slot);
            }
        }
        self
    }

    /// An instance has just answered a call, after this time.
    fn answered(mut self, instance: usize, took: Duration) -> Self {
        let slot = self.all[instance].slot;
        self.instances.sent(slot);
        self.instances.ended(slot, Ending::Answered, took, None, NOW);
        self
    }

    /// An instance takes no calls: no label of its link is free.
    fn full(mut self, instance: usize) -> Self {
        let link = self.all[instance].link;
        self.links.get_mut(link).expect("open").outbound_max = 0;
        self
    }

    fn choose(&mut self, balance: Balance, turn: u32) -> usize {
        let select = Select {
            links: &self.links,
            instances: &self.instances,
            own: 0,
            write_bytes_max: 1 << 20,
            caller: self.links.local(),
            now: NOW,
            priority: Priority::Normal,
            node: "",
            main: "",
            except: Slot::NONE,
            packed: 0,
        };
        let chosen = select.choose(&self.all, balance, turn, &mut self.generator);
        chosen.expect("there is room").slot.index as usize
    }

    /// Who is chosen in each of so many turns; nobody gets busier by it.
    fn turns(&mut self, balance: Balance, count: u32) -> Vec<usize> {
        (0..count).map(|turn| self.choose(balance, turn)).collect()
    }

    /// How often each one is chosen in a thousand turns.
    fn shares(&mut self, balance: Balance) -> [u32; 4] {
        let mut shares = [0; 4];
        self.turns(balance, 1_000).into_iter().for_each(|chosen| shares[chosen] += 1);
        shares
    }
}

/// Of each pair that is drawn the better one: the best in half of all cases, the worst in none, and
/// those between them by their place.
#[test]
fn of_two_drawn_by_lot_the_better_one_is_chosen() {
    let [best, second, third, worst] =
        Service::new().busy([0, 1, 2, 3]).shares(Balance::TwoChoices);
    assert!((450..550).contains(&best), "{best}");
    assert!((283..383).contains(&second), "{second}");
    assert!((117..217).contains(&third), "{third}");
    assert_eq!(worst, 0);
}

/// The time to an answer counts as well as the calls: one of four that is free and slow loses to
/// those that have three calls each and are quick.
#[test]
fn two_choices_weigh_calls_by_the_time_that_one_takes() {
    let mut service = Service::new().answered(0, Duration::from_secs(1)).busy([0, 3, 3, 3]);
    assert_eq!(service.shares(Balance::TwoChoices)[0], 0);
    assert_eq!(service.shares(Balance::LeastConnections)[0], 1_000);
}

#[test]
fn each_in_turn_however_busy_it_is() {
    let mut service = Service::new().busy([9, 0, 5, 1]);
    assert_eq!(service.turns(Balance::RoundRobin, 8), [0, 1, 2, 3, 0, 1, 2, 3]);
    // Who is full is passed over, and the next one has two turns.
    let mut service = Service::new().full(1);
    assert_eq!(service.turns(Balance::RoundRobin, 8), [0, 2, 2, 3, 0, 2, 2, 3]);
}

#[test]
fn the_fewest_calls_win_and_equals_have_their_turns() {
    let mut service = Service::new().busy([4, 2, 7, 3]);
    assert_eq!(service.turns(Balance::LeastConnections, 8), [1; 8]);
    let mut service = Service::new().busy([1, 0, 1, 0]);
    assert_eq!(service.turns(Balance::LeastConnections, 8), [1, 1, 3, 3, 1, 1, 3, 3]);
    let mut service = Service::new().busy([0, 3, 2, 2]).full(0);
    assert_eq!(service.turns(Balance::LeastConnections, 4), [2, 2, 2, 3]);
}

/// Everyone gets a fourth, the busiest too, and nobody can tell who is next: as often as not in
/// four turns it is the same one again.
#[test]
fn by_lot_everyone_gets_the_same_in_no_order() {
    let mut service = Service::new().busy([0, 1, 2, 30]);
    let turns = service.turns(Balance::Random, 1_000);
    for instance in 0..4 {
        let count = turns.iter().filter(|chosen| **chosen == instance).count();
        assert!((200..300).contains(&count), "{instance}: {count}");
    }
    let again = turns.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((200..300).contains(&again), "{again}");
    let mut service = Service::new().full(2);
    assert_eq!(service.shares(Balance::Random)[2], 0);
}

/// Whatever the way, nearer ones come first, and those behind them when all of these are full.
#[test]
fn the_next_tier_is_asked_when_the_nearest_one_is_full() {
    for balance in Balance::ALL {
        let mut service = Service::new().busy([9, 9, 0, 0]);
        (service.all[2].tier, service.all[3].tier) = (1, 1);
        let near = service.turns(balance, 50);
        assert!(near.iter().all(|chosen| *chosen < 2), "{balance:?}: {near:?}");
        let mut service = service.full(0).full(1);
        let far = service.turns(balance, 50);
        assert!(far.iter().all(|chosen| *chosen >= 2), "{balance:?}: {far:?}");
    }
}
