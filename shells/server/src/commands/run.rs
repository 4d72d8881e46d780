//! `relay`: runs a node until it is told to stop.

mod certificates;
mod events;
mod gateway;
mod listeners;
mod offers;
mod signals;

pub(super) use gateway::{Listening, bind, serve};
pub(super) use signals::StopSignals;

use super::block_on;
use crate::cli::{Failure, RunArgs, print};
use crate::config::{self, Config, Environment, Mode, NodeType};
use crate::discovery::{DiscoveryConfig, Peers};
use crate::hosts::Program;
use crate::log::{self, LogWriter};
use certificates::{Certificates, watch};
use listeners::Listeners;
use relay_tokio::{Endpoint, Node, NodeConfig, Role, Tokio, quic};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Runs a node until a signal stops it.
///
/// # Errors
/// [`Failure`] when the settings are wrong or the node cannot start.
pub fn execute(args: &RunArgs) -> Result<ExitCode, Failure> {
    let config = Config::load(args, &Environment::of_process())?;
    if args.print_config {
        return print(&config.listing());
    }
    let Some(node_type) = config.node_type()? else { return Ok(say_what_to_try(args)) };
    let program = offers::load_program(config.node.program.as_deref())?;
    let log = log::start(&config.log)?;
    raise_file_limit();
    block_on(run(config, node_type, program, &log))
}

/// Many systems start programs with 1,024 files, and every connection is one. What the system
/// grants beyond that needs no right, so it is taken.
pub(super) fn raise_file_limit() {
    match rlimit::increase_nofile_limit(FILES_WANTED) {
        Ok(files) => tracing::debug!(files, "open files allowed"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

async fn run(
    config: Config,
    node_type: NodeType,
    program: Option<Program>,
    log: &LogWriter,
) -> Result<ExitCode, Failure> {
    let mut signals = StopSignals::install()?;
    let running = tokio::select! {
        running = Running::start(&config, node_type, program) => running?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    signals.next().await;
    let grace = config.node.shutdown_grace;
    let shown = config::duration_text(grace);
    tracing::info!(grace = %shown, "stopping; a second signal stops at once");
    tokio::select! {
        () = running.stop(grace) => tracing::info!("stopped"),
        () = second_signal(&mut signals) => {
            tracing::warn!("stopped at once");
            log.flush();
            return Ok(ExitCode::from(SECOND_SIGNAL));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Resolves at a signal that is not part of the first one: `timeout` and some supervisors signal
/// the process and then its group.
async fn second_signal(signals: &mut StopSignals) {
    let first = Instant::now();
    loop {
        signals.next().await;
        if first.elapsed() >= SAME_STOP {
            return;
        }
    }
}

/// A node with its listeners and its services.
struct Running {
    node: Node,
    /// DNS names are watched as long as these are here.
    peers: Peers,
    gateway: Option<Listening>,
    quic: Option<quic::Listener>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start(
        config: &Config,
        node_type: NodeType,
        program: Option<Program>,
    ) -> Result<Self, Failure> {
        let Certificates { runtime, server } = Certificates::load(config)?;
        let serves_http = node_type == NodeType::Main || config.http.is_home_listening;
        let mut listeners = Listeners::bind(config, serves_http, server.as_ref())?;
        let http = listeners.http.take();
        let listening = http.as_ref().map(|(_, address)| *address);
        let gateway_settings = gateway::settings(config, listeners.http_tls.take())?;
        let node = start_node(config, node_type, listening, runtime)?;
        announce(&node, config, node_type, listening);
        let mut tasks = vec![tokio::spawn(events::log_events(node.clone()))];
        offers::open(config, program, &node).await?;
        let peers = add_peers(config, &node)?;
        let gateway = match http {
            Some((listener, _)) => Some(serve(peers.clone(), gateway_settings, listener)?),
            None => None,
        };
        let (accepting, quic) = listeners.serve(&node);
        tasks.extend(accepting);
        if let Some(server) = server {
            let watching = watch(server.certificate().clone(), config.tls.watch_interval);
            tasks.push(tokio::spawn(watching));
        }
        if !config.node.connect.is_empty() {
            tasks.push(tokio::spawn(log_connected(node.clone(), config.node.connect.clone())));
        }
        let address = listening.map(|address| address.to_string());
        tracing::info!(node_id = %node.id(), address, "ready");
        Ok(Self { node, peers, gateway, quic, tasks })
    }

    /// A Main goes on serving for up to half of `grace`, while others move away. Then the
    /// listeners close, and calls in flight may finish for the rest of it.
    async fn stop(self, grace: Duration) {
        let until = Instant::now() + grace;
        if self.node.role() == Role::Main {
            let patience = config::duration_text(half_of(grace));
            tracing::info!(
                patience,
                "not ready any more; serving on until everyone has moved to another Main"
            );
            let all_left = self.node.leave(half_of(grace)).await;
            let text = if all_left { "everyone has left" } else { "some have not left" };
            tracing::info!(links = self.node.link_count(), "{text}");
        }
        if let Some(gateway) = &self.gateway {
            gateway.close();
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        self.quic.iter().for_each(quic::Listener::stop);
        drop(self.peers);
        let in_flight = self.node.calls_in_flight();
        tracing::info!(in_flight, "no new calls any more; finishing those in flight");
        self.node.close(until.saturating_duration_since(Instant::now())).await;
        tracing::info!(unfinished = self.node.calls_in_flight(), "all links are closed");
        if let Some(gateway) = self.gateway {
            gateway.finish(until.max(Instant::now() + FLUSH_MIN)).await;
        }
    }
}

/// In whole milliseconds, as times are written.
fn half_of(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis() / 2).unwrap_or(u64::MAX))
}

fn start_node(
    config: &Config,
    node_type: NodeType,
    listening: Option<SocketAddr>,
    runtime: Tokio,
) -> Result<Node, Failure> {
    let node = &config.node;
    let mut settings = NodeConfig::new(node_type.role());
    settings.node_id.clone_from(&node.id);
    settings.secret_key = node.key_file.as_deref().map(config::secret_key).transpose()?;
    settings.token = node.token_file.as_deref().map(config::read_token).transpose()?;
    settings.cluster.clone_from(&node.cluster);
    settings.limits = config.limits.clone();
    settings.upstreams.clone_from(&node.connect);
    settings.compression = node.compression;
    settings.zone = node.zone.clone().unwrap_or_default();
    settings.balancing = config.balancing.clone();
    settings.address = match (&node.address, listening) {
        (Some(address), _) => address.clone(),
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    };
    Node::start_on(settings, runtime)
        .map_err(|error| Failure::work(format!("cannot start the node: {error}")))
}

fn add_peers(config: &Config, node: &Node) -> Result<Peers, Failure> {
    let discovery = DiscoveryConfig {
        dns_servers: config.registry.dns_servers.clone(),
        interval: config.registry.discovery_interval,
    };
    let peers = Peers::new(node.clone(), discovery);
    for peer in &config.node.peers {
        tracing::info!(%peer, "adding peer");
        let added = peers.add(peer);
        added.map_err(|error| Failure::usage(format!("node.peers: {error}")))?;
    }
    Ok(peers)
}

fn announce(node: &Node, config: &Config, node_type: NodeType, listening: Option<SocketAddr>) {
    let (id, cluster) = (node.id(), &config.node.cluster);
    match (node_type, &config.node.id) {
        (NodeType::Main, None) => {
            let text = "Starting as Main Relay with auto-generated node ID";
            tracing::info!(node_id = %id, %cluster, "{text}");
        }
        (NodeType::Home, None) => {
            let text = "Starting as Home Relay with auto-generated node ID";
            tracing::info!(node_id = %id, %cluster, "{text}");
        }
        (NodeType::Main, Some(_)) => {
            tracing::info!(node_id = %id, %cluster, "Starting as Main Relay with node ID");
        }
        (NodeType::Home, Some(_)) => {
            tracing::info!(node_id = %id, %cluster, "Starting as Home Relay with node ID");
        }
    }
    tracing::info!("WebSocket P2P system started for node {id}");
    if config.node.mode == Mode::P2p {
        let hops_max = config.limits.hops_max;
        tracing::info!(hops_max, "mode p2p: messages may cross chains of Mains");
    }
    if let Some(address) = listening {
        let scheme = if config.tls.certificate.is_some() { "wss" } else { "ws" };
        tracing::info!("WebSocket P2P endpoint: {scheme}://{address}/ws/p2p");
    }
}

async fn log_connected(node: Node, mains: Vec<Endpoint>) {
    let listed: Vec<String> = mains.iter().map(Endpoint::to_string).collect();
    tracing::info!(main = listed.join(", "), "connecting to the Main Relay");
    node.connected().await;
    let linked = node.registry().peers.into_iter().find(|peer| listed.contains(&peer.address));
    let main = linked.map(|peer| peer.address).unwrap_or_default();
    tracing::info!(main, "connected to the Main Relay");
}

/// Without anything to run: what to try. Exit code 2, as nothing was started.
fn say_what_to_try(args: &RunArgs) -> ExitCode {
    if *args != RunArgs::default() {
        return Failure::usage("nothing says whether this node is a Main or a Home")
            .with_hint("add --server to be a Main, or --connect ws://HOST:PORT to be a Home")
            .report();
    }
    // With nobody reading, the exit code is all that is left to say.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), WHAT_TO_TRY.as_bytes());
    ExitCode::from(2)
}

const WHAT_TO_TRY: &str = "\
Relay makes a service that runs anywhere callable by name from everywhere.

Try one of:
  relay demo        a Main and two Homes in one process, with commands to paste
  relay --server    a Main on 127.0.0.1:8080

relay --help explains the rest.
";

/// Signals so close to the first one are the same request to stop.
const SAME_STOP: Duration = Duration::from_millis(250);
/// Answers that are ready get at least this long to be written.
const FLUSH_MIN: Duration = Duration::from_millis(250);
/// The exit code of a process that a second signal stopped.
const SECOND_SIGNAL: u8 = 130;
/// More than any bound of connections this program has.
const FILES_WANTED: u64 = 1 << 20;
