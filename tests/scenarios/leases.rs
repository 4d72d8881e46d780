//! A registration ends when its Home stays silent, and lives as long as the Home refreshes it.

use bytes::BytesMut;
use relay_core::{Config, Identity, Instant, LinkId, Node, NodeId, Outbox, Output, Role, Side};
use std::time::Duration;

/// Two linked nodes and the bytes between them.
struct Pair {
    nodes: [Node; 2],
    links: [LinkId; 2],
    wires: [BytesMut; 2],
    now: Instant,
}

impl Pair {
    /// A Main and a Home with the service `blog`, linked.
    fn new(change: impl Fn(&mut Config)) -> Self {
        let node = |role, name: &str, key: u8| {
            let mut config = Config::new(role);
            change(&mut config);
            let identity = Identity::new(&[key; 32], NodeId::new(name).ok()).expect("legal");
            Node::new(config, identity, [key; 32])
        };
        let mut nodes = [node(Role::Main, "main", 1), node(Role::Home, "home", 2)];
        let (mut out, now) = (Outbox::default(), Instant::ZERO);
        nodes[1].register("blog", &["get"], now, &mut out).expect("legal");
        let dial = nodes[1].dial("main", now, &mut out);
        out.drain().for_each(drop);
        let accepted = nodes[0].open_link(Side::Accepted, now, &mut out).expect("room");
        let dialled = nodes[1].open_link(Side::Dialled(dial), now, &mut out).expect("room");
        let wires = [BytesMut::new(), BytesMut::new()];
        let mut pair = Self { nodes, links: [accepted, dialled], wires, now };
        pair.carry(1, &mut out);
        pair.settle();
        pair
    }

    fn carry(&mut self, from: usize, out: &mut Outbox) {
        for output in out.drain() {
            if let Output::Transmit { frame, .. } = output {
                self.wires[1 - from].extend_from_slice(&frame);
            }
        }
    }

    fn settle(&mut self) {
        while let Some(at) = (0..2).find(|at| !self.wires[*at].is_empty()) {
            let mut out = Outbox::default();
            let (link, now) = (self.links[at], self.now);
            self.nodes[at].handle_received(link, &mut self.wires[at], now, &mut out);
            self.carry(at, &mut out);
        }
    }

    /// Lets time pass for the Main and, unless it is paused, for the Home.
    fn pass(&mut self, time: Duration, home_runs: bool) {
        let end = self.now.after(time);
        while self.now < end {
            let awake = &self.nodes[..if home_runs { 2 } else { 1 }];
            let next = awake.iter().filter_map(Node::poll_timeout).fold(end, Instant::min);
            self.now = self.now.max(next);
            for at in 0..if home_runs { 2 } else { 1 } {
                let mut out = Outbox::default();
                self.nodes[at].handle_timeout(self.now, &mut out);
                self.carry(at, &mut out);
            }
            if home_runs {
                self.settle();
            }
        }
    }

    fn offers(&self) -> u32 {
        self.nodes[0].control().registry().len()
    }
}

#[test]
fn a_registration_that_is_refreshed_outlives_its_ttl() {
    let mut pair = Pair::new(|config| config.limits.registry_ttl = Duration::from_secs(60));
    assert_eq!(pair.offers(), 1);
    pair.pass(Duration::from_mins(10), true);
    assert_eq!(pair.offers(), 1);
}

#[test]
fn a_registration_that_nobody_refreshes_ends_with_its_ttl() {
    // The link itself is held to be alive for longer than the lease, so only the lease can end it.
    let mut pair = Pair::new(|config| {
        config.limits.registry_ttl = Duration::from_secs(60);
        config.limits.keepalive_after = Duration::from_hours(1);
        config.limits.idle_timeout = Duration::from_hours(2);
    });
    pair.pass(Duration::from_secs(59), false);
    assert_eq!(pair.offers(), 1);
    pair.pass(Duration::from_secs(2), false);
    assert_eq!(pair.offers(), 0);
}

#[test]
fn a_silent_link_is_given_up_after_the_idle_time() {
    let mut pair = Pair::new(|_| {});
    pair.pass(Duration::from_secs(14), false);
    assert_eq!(pair.offers(), 1);
    pair.pass(Duration::from_secs(2), false);
    assert_eq!(pair.offers(), 0, "the service left with its link");
}
