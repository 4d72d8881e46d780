//! What a federation costs as it grows: bytes for each change, bytes when nothing happens, and the
//! time to find a service among many.
//!
//! `cargo run --release -p relay-sim --bin scale -- [MAINS] [SERVICES] [LOOKUP_SERVICES]`

use bytes::{Bytes, BytesMut};
use relay_core::{
    Call, Config, DialId, Identity, Instant, LinkId, Node, NodeId, Outbox, Output, Role, Side,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Mains in a full mesh whose bytes arrive at once, on one virtual clock.
struct Mesh {
    nodes: Vec<Node>,
    out: Outbox,
    now: Instant,
    /// The other end of each link.
    ends: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    queue: VecDeque<(usize, LinkId, Bytes)>,
    frames: u64,
    bytes: u64,
}

impl Mesh {
    fn new(mains: usize, services: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let mut mesh = Self {
            nodes: Vec::new(),
            out: Outbox::default(),
            now: Instant::ZERO,
            ends: BTreeMap::new(),
            queue: VecDeque::new(),
            frames: 0,
            bytes: 0,
        };
        for main in 0..mains {
            let mut key = [7; 32];
            key[..8].copy_from_slice(&(main as u64).to_be_bytes());
            let identity = Identity::new(&key, Some(NodeId::new(&format!("main-{main}"))?))?;
            let mut config = Config::new(Role::Main);
            config.limits.services_per_link_max = 1 << 20;
            config.limits.services_max = 1 << 24;
            let mut node = Node::new(config, identity, key);
            node.set_wall_clock(1_800_000_000, mesh.now);
            for service in 0..services {
                let name = format!("service-{main}-{service}");
                node.register(&name, &["run"], mesh.now, &mut mesh.out)?;
            }
            mesh.nodes.push(node);
            mesh.settle(main);
        }
        Ok(mesh)
    }

    fn connect(&mut self) {
        for from in 0..self.nodes.len() {
            for to in 0..from {
                let address = format!("main-{to}");
                let _ = self.nodes[from].dial(&address, self.now, &mut self.out);
                self.settle(from);
            }
        }
    }

    /// Lets everything happen that follows from what a node has put into its outbox.
    fn settle(&mut self, at: usize) {
        self.collect(at);
        while let Some((to, link, bytes)) = self.queue.pop_front() {
            let mut input = BytesMut::from(&bytes[..]);
            self.nodes[to].handle_received(link, &mut input, self.now, &mut self.out);
            self.collect(to);
        }
    }

    fn collect(&mut self, at: usize) {
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            match output {
                Output::Transmit { link, frame } => {
                    (self.frames, self.bytes) = (self.frames + 1, self.bytes + frame.len() as u64);
                    self.nodes[at].handle_flushed(link, frame.len() as u32);
                    if let Some((to, there)) = self.ends.get(&(at, link)) {
                        self.queue.push_back((*to, *there, frame));
                    }
                }
                Output::Open(open) => self.open(at, open.dial, &open.address),
                _ => {}
            }
        }
    }

    fn open(&mut self, from: usize, dial: DialId, address: &str) {
        let to = address.strip_prefix("main-").and_then(|number| number.parse::<usize>().ok());
        let Some(to) = to else { return };
        let there = self.nodes[to].open_link(Side::Accepted, self.now, &mut self.out);
        self.collect(to);
        let here = self.nodes[from].open_link(Side::Dialled(dial), self.now, &mut self.out);
        if let (Ok(here), Ok(there)) = (here, there) {
            self.ends.insert((from, here), (to, there));
            self.ends.insert((to, there), (from, here));
        }
        self.collect(from);
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let due = self.nodes.iter().filter_map(Node::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            for at in 0..self.nodes.len() {
                if self.nodes[at].poll_timeout().is_some_and(|at| at <= self.now) {
                    self.nodes[at].handle_timeout(self.now, &mut self.out);
                    self.settle(at);
                }
            }
        }
        self.now = self.now.max(end);
    }

    /// Frames and bytes since the last time.
    fn traffic(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.frames), std::mem::take(&mut self.bytes))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |at: usize, usual: usize| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (mains, services, many) = (number(1, 100), number(2, 100), number(3, 1_000_000));
    announcements(mains, services)?;
    lookups(many)
}

fn announcements(mains: usize, services: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut mesh = Mesh::new(mains, services)?;
    mesh.connect();
    mesh.run_until(mesh.now.after(Duration::from_secs(1)));
    let known = mesh
        .nodes
        .iter()
        .all(|node| node.control().federation().len() as usize == (mains - 1) * services);
    let (frames, bytes) = mesh.traffic();
    println!("{mains} Mains with {services} services each, a full mesh; all know all: {known}");
    println!("linking and telling everything: {frames} frames, {bytes} bytes");
    let now = mesh.now;
    mesh.nodes[0].register("one-more", &["run"], now, &mut mesh.out)?;
    mesh.settle(0);
    mesh.run_until(now.after(Duration::from_millis(50)));
    let (frames, bytes) = mesh.traffic();
    println!("one service comes: {frames} frames, {bytes} bytes ({} peers)", mains - 1);
    let now = mesh.now;
    mesh.nodes[0].withdraw("one-more", now, &mut mesh.out);
    mesh.settle(0);
    mesh.run_until(now.after(Duration::from_millis(50)));
    let (frames, bytes) = mesh.traffic();
    println!("it goes: {frames} frames, {bytes} bytes");
    mesh.run_until(mesh.now.after(Duration::from_mins(10)));
    mesh.traffic();
    mesh.run_until(mesh.now.after(Duration::from_hours(1)));
    let (frames, bytes) = mesh.traffic();
    let links = (mains * (mains - 1) / 2).max(1) as u64;
    println!(
        "an hour in which nothing happens: {frames} frames, {bytes} bytes, for each of {links} \
         links {} frames and {} bytes",
        frames / links,
        bytes / links
    );
    Ok(())
}

/// A call to a service of the node itself is a lookup, a frame written and one delivered; what it
/// takes longer among many services is the lookup.
fn lookups(many: usize) -> Result<(), Box<dyn std::error::Error>> {
    for services in [1, 1_000, many] {
        let mut mesh = Mesh::new(1, services)?;
        mesh.run_until(mesh.now.after(Duration::from_secs(1)));
        let names: Vec<String> =
            (0..LOOKUPS).map(|n| format!("service-0-{}", n * STRIDE % services)).collect();
        let started = std::time::Instant::now();
        for name in &names {
            let call = Call { service: name, method: "run", ..Call::default() };
            let call = mesh.nodes[0].call(call, mesh.now, &mut mesh.out)?;
            mesh.nodes[0].cancel(call, mesh.now, &mut mesh.out);
            mesh.out.drain().for_each(drop);
        }
        let each = started.elapsed().as_nanos() / LOOKUPS as u128;
        println!("{services} services: {each} ns for a call made and cancelled");
    }
    Ok(())
}

const LOOKUPS: usize = 200_000;
/// Prime, so that the names come in no order.
const STRIDE: usize = 7_919;
