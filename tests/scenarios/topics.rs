//! Topics where the simulator does not go: a Main of two shards, and what its numbers are worth
//! when little is remembered.

use bytes::BytesMut;
use relay_core::{
    Config, Delivery, Gap, Identity, Instant, LinkId, Node, NodeId, Outbox, Output, Publish, Role,
    Side,
};
use relay_sim::{Machine, place_of};
use std::collections::VecDeque;

const NOW: Instant = Instant::ZERO;

fn identity(name: &str, key: u8) -> Identity {
    Identity::new(&[key; 32], NodeId::new(name).ok()).expect("legal")
}

/// A Main of two shards and nodes that are linked to one of them each, without threads.
struct World {
    shards: [Machine; 2],
    nodes: Vec<Peer>,
    /// What the application of the Main heard.
    heard: Vec<(String, u64, Gap)>,
}

struct Peer {
    node: Node,
    link: LinkId,
    /// The shard, and its link to this node.
    at: (usize, LinkId),
    heard: Vec<(String, u64, Gap)>,
}

/// Something on its way.
enum Flight {
    ToShard(usize, Output),
    ToPeer(usize, Output),
}

impl World {
    fn new(peers: &[(&str, Role, usize)], change: impl Fn(&mut Config)) -> Self {
        let mut config = Config::new(Role::Main);
        change(&mut config);
        let (first, mut siblings) = Node::with_shards(config, identity("main", 1), [1; 32], 2);
        let second = siblings.pop().expect("two shards");
        let shards = [Machine::First(Box::new(first)), Machine::Other(Box::new(second))];
        let mut world = Self { shards, nodes: Vec::new(), heard: Vec::new() };
        for (key, (name, role, shard)) in (2..).zip(peers) {
            let mut config = Config::new(*role);
            change(&mut config);
            let mut node = Node::new(config, identity(name, key), [key; 32]);
            let mut out = Outbox::default();
            let dial = node.dial("main", NOW, &mut out);
            let link = node.open_link(Side::Dialled(dial), NOW, &mut out).expect("room");
            let mut there = Outbox::default();
            let at = world.shards[*shard].open_link(Side::Accepted, NOW, &mut there);
            let at = (*shard, at.expect("room"));
            world.nodes.push(Peer { node, link, at, heard: Vec::new() });
            let number = world.nodes.len() - 1;
            world.settle(out.drain().map(|output| Flight::ToShard(number, output)).collect());
        }
        world
    }

    /// Lets a node do something, and then everything that follows.
    fn act<T>(&mut self, number: usize, act: impl FnOnce(&mut Node, &mut Outbox) -> T) -> T {
        let mut out = Outbox::default();
        let done = act(&mut self.nodes[number].node, &mut out);
        self.settle(out.drain().map(|output| Flight::ToShard(number, output)).collect());
        done
    }

    fn act_main<T>(&mut self, act: impl FnOnce(&mut Node, &mut Outbox) -> T) -> T {
        let mut out = Outbox::default();
        let Machine::First(node) = &mut self.shards[0] else { panic!("the first shard") };
        let done = act(node, &mut out);
        self.settle(out.drain().map(|output| Flight::ToPeer(0, output)).collect());
        done
    }

    /// `ToShard` holds outputs of nodes, `ToPeer` those of shards.
    fn settle(&mut self, mut flights: VecDeque<Flight>) {
        let mut out = Outbox::default();
        while let Some(flight) = flights.pop_front() {
            match flight {
                Flight::ToShard(number, Output::Transmit { frame, .. }) => {
                    let peer = &mut self.nodes[number];
                    peer.node.handle_flushed(peer.link, frame.len() as u32);
                    let (shard, link) = peer.at;
                    let mut input = BytesMut::from(&frame[..]);
                    self.shards[shard].handle_received(link, &mut input, NOW, &mut out);
                    flights.extend(out.drain().map(|output| Flight::ToPeer(shard, output)));
                }
                Flight::ToShard(number, Output::Deliver(Delivery::Publication(heard))) => {
                    let topic = heard.topic().to_owned();
                    self.nodes[number].heard.push((topic, heard.seq, heard.gap));
                }
                Flight::ToPeer(shard, Output::Transmit { link, frame }) => {
                    self.shards[shard].handle_flushed(link, frame.len() as u32);
                    let to = self.nodes.iter().position(|peer| peer.at == (shard, link));
                    let Some(number) = to else { continue };
                    let peer = &mut self.nodes[number];
                    let mut input = BytesMut::from(&frame[..]);
                    peer.node.handle_received(peer.link, &mut input, NOW, &mut out);
                    flights.extend(out.drain().map(|output| Flight::ToShard(number, output)));
                }
                Flight::ToPeer(_, Output::Mail(mail)) => {
                    let shard = place_of(&mail);
                    self.shards[shard].handle_mail(mail, NOW, &mut out);
                    flights.extend(out.drain().map(|output| Flight::ToPeer(shard, output)));
                }
                Flight::ToPeer(_, Output::Deliver(Delivery::Publication(heard))) => {
                    self.heard.push((heard.topic().to_owned(), heard.seq, heard.gap));
                }
                Flight::ToPeer(_, Output::Close { reason, .. })
                | Flight::ToShard(_, Output::Close { reason, .. }) => {
                    panic!("a link closed: {reason}");
                }
                Flight::ToShard(..) | Flight::ToPeer(..) => {}
            }
        }
    }
}

fn said(topic: &str) -> Publish<'_> {
    Publish { topic, body: b"1", ..Publish::default() }
}

#[test]
fn what_is_said_on_one_shard_is_heard_on_both() {
    let peers = [("ears", Role::Home, 0), ("eyes", Role::Caller, 1), ("mouth", Role::Home, 1)];
    let mut world = World::new(&peers, |_| {});
    for number in 0..3 {
        world.act(number, |node, out| node.subscribe("news.*", NOW, out)).expect("legal");
    }
    world.act_main(|node, out| node.subscribe("**", NOW, out)).expect("legal");
    for _ in 0..100 {
        for number in 0..3 {
            let topic = format!("news.{number}");
            world.act(number, |node, out| node.publish(said(&topic), NOW, out)).expect("linked");
        }
        world.act_main(|node, out| node.publish(said("news.main"), NOW, out)).expect("accepted");
    }
    let mut expected = Vec::new();
    for seq in 1..=100 {
        for topic in ["news.0", "news.1", "news.2", "news.main"] {
            expected.push((topic.to_owned(), seq, Gap::None));
        }
    }
    assert_eq!(world.heard, expected, "the application of the Main");
    for peer in &world.nodes {
        assert_eq!(peer.heard, expected, "{}", peer.node.id());
    }
    world.act(1, |node, out| node.unsubscribe("news.*", NOW, out));
    world.act(2, |node, out| node.publish(said("news.2"), NOW, out)).expect("linked");
    assert_eq!(world.nodes[1].heard.len(), 400);
    assert_eq!(world.nodes[0].heard.len(), 401);
}

/// More publications than may be on the way from one shard to the other, while that one sleeps: it
/// is not mail without end, and the numbers tell what is missing.
#[test]
fn a_shard_that_sleeps_misses_something_and_its_subscribers_are_told() {
    let peers = [("ears", Role::Home, 0), ("mouth", Role::Home, 1)];
    let mut world = World::new(&peers, |config| config.limits.write_bytes_max = 4 << 10);
    world.act(0, |node, out| node.subscribe("news", NOW, out)).expect("legal");
    let mut asleep = VecDeque::new();
    let body = [b'x'; 1_000];
    for _ in 0..20 {
        let (mut out, mut there) = (Outbox::default(), Outbox::default());
        let peer = &mut world.nodes[1];
        let publish = Publish { body: &body, ..said("news") };
        peer.node.publish(publish, NOW, &mut out).expect("linked");
        for output in out.drain() {
            let Output::Transmit { link, frame } = output else { continue };
            peer.node.handle_flushed(link, frame.len() as u32);
            let mut input = BytesMut::from(&frame[..]);
            world.shards[1].handle_received(peer.at.1, &mut input, NOW, &mut there);
        }
        asleep.extend(there.drain().map(|output| Flight::ToPeer(1, output)));
    }
    assert!((4..=6).contains(&asleep.len()), "{}", asleep.len());
    world.settle(asleep);
    let first = world.nodes[0].heard.len() as u64;
    world.act(1, |node, out| node.publish(said("news"), NOW, out)).expect("linked");
    let last = world.nodes[0].heard.last().cloned();
    assert_eq!(last, Some(("news".to_owned(), 21, Gap::Of(20 - first))));
}

/// With more topics than are remembered nothing is lost, nothing comes twice, and no gap is told
/// where there is none, but for "perhaps".
#[test]
fn with_more_topics_than_are_remembered_there_are_no_false_numbers() {
    let peers = [("ears", Role::Home, 0), ("mouth", Role::Home, 1)];
    let mut world = World::new(&peers, |config| config.limits.topics_remembered = 16);
    world.act(0, |node, out| node.subscribe("**", NOW, out)).expect("legal");
    for round in 0..10 {
        for number in 0..100 {
            let topic = format!("t.{}", (number * 7 + round) % 100);
            world.act(1, |node, out| node.publish(said(&topic), NOW, out)).expect("linked");
        }
    }
    let heard = &world.nodes[0].heard;
    assert_eq!(heard.len(), 1_000);
    assert!(heard.iter().any(|(_, _, gap)| *gap == Gap::Unknown));
    let mut last = std::collections::BTreeMap::new();
    for (topic, seq, _) in heard {
        let before = last.insert(topic.clone(), *seq);
        assert!(before.is_none_or(|before| before < *seq), "{topic} {before:?} {seq}");
    }
}
