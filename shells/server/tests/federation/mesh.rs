//! Mains that know each other, each a process of its own with an address that stays.

use crate::http;
use crate::process::{Process, command};
use relay_tokio::Endpoint;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Three Mains with links to each other. Each is told of all others, so that two Mains dial each
/// other and keep one of the two links.
pub(crate) struct Mesh {
    addresses: [SocketAddr; 3],
    flags: Vec<String>,
    processes: [Option<Process>; 3],
}

impl Mesh {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| String::from(*flag)).collect();
        let addresses = [(); 3].map(|()| own_address());
        let mut mesh = Self { addresses, flags, processes: [None, None, None] };
        (0..3).for_each(|main| mesh.run(main));
        mesh
    }

    pub(crate) const fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }

    /// Starts a Main, at its address as ever.
    pub(crate) fn run(&mut self, main: usize) {
        let others = self.addresses.iter().enumerate().filter(|(at, _)| *at != main);
        let peers: Vec<String> = others.map(|(_, address)| format!("ws://{address}")).collect();
        let (id, peers) = (main_id(main), peers.join(","));
        let mut flags = vec!["--node-id", &id];
        flags.extend(["--peers", &peers]);
        flags.extend(self.flags.iter().map(String::as_str));
        self.processes[main] = Some(start_main(self.addresses[main], &flags, &[]));
    }

    /// Ends a Main without a word.
    pub(crate) async fn kill(&mut self, main: usize) {
        let process = self.processes[main].take().expect("it runs");
        process.signal("KILL");
        assert_eq!(ended(process).await.0, None, "killed by the signal");
    }

    /// Asks a Main to stop and waits until it has. Gives what it said.
    pub(crate) async fn stop(&mut self, main: usize) -> Vec<String> {
        let process = self.processes[main].take().expect("it runs");
        process.signal("TERM");
        let (code, lines) = ended(process).await;
        assert_eq!(code, Some(0), "{lines:#?}");
        lines
    }

    /// Waits until every Main is linked to both others and lists the services of these nodes and
    /// no others.
    pub(crate) async fn until_joined(&self, nodes: &BTreeSet<String>) {
        for (main, address) in self.addresses.iter().enumerate() {
            until(&format!("Main {main} is part of the mesh"), async || {
                let health = http::json(*address, "/federation/health").await;
                let registry = http::json(*address, "/federation/registry").await;
                let (Some(health), Some(registry)) = (health, registry) else { return false };
                health["connected_peers"] == 2 && nodes_of(&registry) == *nodes
            })
            .await;
        }
    }

    /// The Mains in the order in which the nth node is to try them. Of six nodes each has another
    /// order, and those whose numbers differ by three begin at different Mains.
    pub(crate) fn order(&self, nth: usize) -> Vec<Endpoint> {
        let (first, step) = ((nth + nth / 3) % 3, 1 + nth / 3 % 2);
        let order = (0..3).map(|at| self.addresses[(first + at * step) % 3]);
        order.map(endpoint).collect()
    }
}

pub(crate) fn main_id(main: usize) -> String {
    format!("main-{}", ["a", "b", "c"][main])
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::parse(&format!("ws://{address}")).unwrap()
}

/// Starts a Main and waits until it is ready.
pub(crate) fn start_main(
    address: SocketAddr,
    flags: &[&str],
    settings: &[(&str, &str)],
) -> Process {
    let listen = address.to_string();
    let mut main = command(&[&["--server", "--listen", &listen], flags].concat());
    main.envs(settings.iter().copied());
    let process = Process::start(main);
    process.lines_until(" ready ");
    process
}

/// Waits for the end of a process without holding up the runtime.
pub(crate) async fn ended(process: Process) -> (Option<i32>, Vec<String>) {
    tokio::task::spawn_blocking(|| process.ended()).await.unwrap()
}

/// The nodes that offer anything, as a page of the registry tells.
pub(crate) fn nodes_of(registry: &Value) -> BTreeSet<String> {
    let services = registry["servers"].as_object().into_iter().flatten();
    let instances = services.flat_map(|(_, first)| {
        let others = first["instances"].as_array().into_iter().flatten();
        std::iter::once(first).chain(others)
    });
    instances.filter_map(|instance| instance["node_id"].as_str().map(String::from)).collect()
}

/// An address that nothing else uses, not even as the near end of a connection: of the network
/// 127.0.0.0/8 a part that goes with the process, and a port below those the system gives away.
pub(crate) fn own_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(7_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 64 | a & 63, b, c);
    SocketAddr::new(IpAddr::V4(host), PORT.fetch_add(1, Ordering::Relaxed))
}

/// Tries until `done` holds and tells how long that took.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// The value below which this share of the values is.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}

/// Far more than any step takes, so that only what hangs is ended.
pub(crate) const LONG: Duration = Duration::from_secs(60);
