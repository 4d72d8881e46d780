//! Three Mains on three hosts that are network namespaces. One of them is cut off and comes back.
//! Nothing leaves the namespaces, and nothing outside of them is changed.

use crate::mesh::{main_id, nodes_of, until};
use crate::process::{Process, command};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

/// A host that is cut off takes its services with it, and nobody else; it goes on by itself. Calls
/// to it fail honestly. When the network heals, all know the same again and calls cross it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_is_cut_off_and_comes_back() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            println!("SKIPPED: a_host_is_cut_off_and_comes_back needs network namespaces: {why}");
            return;
        }
    };
    let hosts = [0, 1, 2].map(|nth| Host::start(&network, nth));
    let everyone: BTreeSet<String> = (0..HOSTS).map(home_id).collect();
    for (host, name) in hosts.iter().zip(["a", "b", "c"]) {
        until(&format!("host {name} knows everyone"), async || host.nodes() == everyone).await;
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        assert_eq!(hosts[from].call(to), Ok(to.to_string()), "from {from} to {to}");
    }

    network.cut_off(2);
    let cut = Instant::now();
    // Nobody has noticed yet: what is sent now is lost on the way.
    let first = hosts[0].call(2).expect_err("the host is cut off");
    println!("a call right after the cut: {first} after {:?}", cut.elapsed());
    assert!(matches!(first.executed.as_str(), "no" | "unknown"), "{first}");
    let rest: BTreeSet<String> = (0..2).map(home_id).collect();
    for host in &hosts[..2] {
        until("the services of the lost host are gone", async || host.nodes() == rest).await;
    }
    println!("services of the lost host gone after {:?}", cut.elapsed());
    assert!(cut.elapsed() < NOTICED_MAX, "{:?}", cut.elapsed());
    for (from, to) in [(0, 1), (1, 0), (2, 2)] {
        assert_eq!(hosts[from].call(to), Ok(to.to_string()), "from {from} to {to}");
    }
    until("the lost host sees that it is alone", async || hosts[2].nodes().len() == 1).await;
    for (from, to) in [(0, 2), (1, 2), (2, 1)] {
        let refused = hosts[from].call(to).expect_err("the host is cut off");
        assert_eq!(refused.executed, "no", "from {from} to {to}: {refused}");
    }

    network.heal(2);
    let healed = Instant::now();
    for host in &hosts {
        until("everyone is there again", async || host.nodes() == everyone).await;
    }
    println!("registries agree {:?} after the network healed", healed.elapsed());
    for (from, to) in [(0, 2), (1, 2), (2, 0), (2, 1), (0, 1)] {
        assert_eq!(hosts[from].call(to), Ok(to.to_string()), "from {from} to {to}");
    }
}

/// A Main and a Home of it, on a host of their own.
struct Host {
    namespace: String,
    _main: Process,
    _home: Process,
}

/// The error of a call, as the caller is told.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    executed: String,
    text: String,
}

impl Host {
    fn start(network: &Network, nth: usize) -> Self {
        let namespace = network.host(nth);
        let others = (0..HOSTS).filter(|other| *other != nth);
        let peers: Vec<String> = others.map(|other| format!("ws://{}:8080", ip(other))).collect();
        let (id, peers) = (main_id(nth), peers.join(","));
        let flags = ["--server", "--listen", "0.0.0.0:8080", "--insecure-public", "--node-id", &id];
        let main = inside(&namespace, &[&flags[..], &["--peers", &peers]].concat());
        main.lines_until(" ready ");
        let home_id = home_id(nth);
        let flags = ["--connect", "ws://127.0.0.1:8080", "--node-id", &home_id];
        let home = inside(&namespace, &[&flags[..], &["--service", "echo=demo:echo"]].concat());
        Self { namespace, _main: main, _home: home }
    }

    /// The nodes that offer the service, as the Main of this host knows them.
    fn nodes(&self) -> BTreeSet<String> {
        let registry = self.curl(&["http://127.0.0.1:8080/federation/registry"]);
        nodes_of(&registry)
    }

    /// Calls the Home of another host from this one.
    fn call(&self, to: usize) -> Result<String, Refused> {
        let method = format!("{}.echo.echo", home_id(to));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{to}]}}"#);
        let header = "Content-Type: application/json";
        let answer =
            self.curl(&["http://127.0.0.1:8080/rpc", "-H", header, "--data-binary", &body]);
        if answer["result"] == serde_json::json!([to]) {
            return Ok(to.to_string());
        }
        let executed = answer["error"]["data"]["executed"].as_str().unwrap_or_default();
        Err(Refused { executed: executed.into(), text: answer.to_string() })
    }

    fn curl(&self, arguments: &[&str]) -> Value {
        let mut curl = Command::new("ip");
        curl.args(["netns", "exec", &self.namespace, "curl", "-sS", "--max-time", "60"]);
        let output = curl.args(arguments).output().expect("ip and curl are installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "executed: {} ({})", self.executed, self.text)
    }
}

/// A `relay` inside a namespace.
fn inside(namespace: &str, arguments: &[&str]) -> Process {
    let relay = command(arguments);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(relay.get_program()).args(relay.get_args());
    command.stdin(std::process::Stdio::null());
    for (name, value) in relay.get_envs() {
        assert!(value.is_none(), "{name:?} is only ever taken away");
        command.env_remove(name);
    }
    Process::start(command)
}

/// Namespaces for hosts, and one for the bridge between them. Gone when it is dropped.
struct Network {
    name: String,
}

impl Network {
    fn new() -> Result<Self, String> {
        let network = Self { name: format!("relay-{}", std::process::id()) };
        let switch = network.switch();
        ip_command(&format!("netns add {switch}"))?;
        ip_command(&format!("-n {switch} link add bridge type bridge"))?;
        ip_command(&format!("-n {switch} link set bridge up"))?;
        for nth in 0..HOSTS {
            let (host, address) = (network.host(nth), ip(nth));
            ip_command(&format!("netns add {host}"))?;
            let near = format!("-n {switch} link add port{nth} type veth");
            ip_command(&format!("{near} peer name eth0 netns {host}"))?;
            ip_command(&format!("-n {switch} link set port{nth} master bridge up"))?;
            ip_command(&format!("-n {host} addr add {address}/24 dev eth0"))?;
            ip_command(&format!("-n {host} link set eth0 up"))?;
            ip_command(&format!("-n {host} link set lo up"))?;
        }
        // Making a namespace may be allowed where entering it is not.
        ip_command(&format!("netns exec {} true", network.host(0)))?;
        Ok(network)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn host(&self, nth: usize) -> String {
        format!("{}-{nth}", self.name)
    }

    /// Takes a host off the bridge: both ends of its cable stay up, and all that anyone notices is
    /// silence.
    fn cut_off(&self, nth: usize) {
        ip_command(&format!("-n {} link set port{nth} nomaster", self.switch())).unwrap();
    }

    fn heal(&self, nth: usize) {
        ip_command(&format!("-n {} link set port{nth} master bridge", self.switch())).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = (0..HOSTS).map(|nth| self.host(nth));
        for namespace in hosts.chain([self.switch()]) {
            // Some are not there if not all could be made.
            drop(ip_command(&format!("netns del {namespace}")));
        }
    }
}

fn ip_command(text: &str) -> Result<(), String> {
    let output = Command::new("ip").args(text.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {text}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn ip(nth: usize) -> String {
    format!("10.83.0.{}", nth + 1)
}

fn home_id(nth: usize) -> String {
    format!("home-{nth}")
}

const HOSTS: usize = 3;
/// Silence between Mains is noticed after 5 s; a busy machine may take longer.
const NOTICED_MAX: Duration = Duration::from_secs(30);
