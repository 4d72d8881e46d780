//! `relay demo`: a Main and two Homes in one process, and the commands to try on them.

use super::block_on;
use super::run::{StopSignals, bind, serve};
use crate::cli::{DemoArgs, Failure, print};
use crate::config::{LogFormat, LogSettings};
use crate::discovery::{DiscoveryConfig, Peers};
use crate::hosts::Demo;
use crate::http::GatewayConfig;
use crate::log;
use relay_tokio::{Endpoint, Node, NodeConfig, Role};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// [`Failure`] when nothing can be listened on or a Home does not get through to the Main.
pub fn execute(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let settings = LogSettings { level: String::from("warn"), format: LogFormat::Text };
    let _log = log::start(&settings)?;
    let port = args.port;
    block_on(run(port))
}

/// Everything worth trying on a demo whose Main is at `main`, each line a command of its own.
/// `relay` is how the program was called.
#[must_use]
pub fn commands(relay: &str, main: SocketAddr) -> Vec<String> {
    let relay = shell_word(relay);
    let rpc = |method: &str, params: &str| {
        format!(
            "curl -s http://{main}/rpc -H 'Content-Type: application/json' \
             -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}'"
        )
    };
    let call = |rest: &str| format!("{relay} call --connect ws://{main} {rest}");
    vec![
        format!("{relay} services --connect http://{main}"),
        call("echo.echo text=hello"),
        call("counter.increment by=5"),
        call(&format!("{ALICE}.counter.get_count")),
        call(&format!("{BOB}.counter.get_count")),
        call("kv.set key=colour value=green"),
        call("kv.get key=colour"),
        rpc("counter.increment", "{\"by\":10}"),
        rpc(&format!("{BOB}.counter.get_info"), "{}"),
        format!("curl -s http://{main}/health"),
        format!("curl -s http://{main}/registry"),
    ]
}

async fn run(port: u16) -> Result<ExitCode, Failure> {
    let mut signals = StopSignals::install()?;
    let (listener, address) = listen(port)?;
    let main = start(Role::Main, MAIN, address, None)?;
    let peers = Peers::new(main.clone(), DiscoveryConfig::default());
    let gateway = serve(peers, GatewayConfig::default(), listener)?;
    let alice = home(ALICE, address, ALICE_OFFERS)?;
    let bob = home(BOB, address, BOB_OFFERS)?;
    let connected = async {
        alice.connected().await;
        bob.connected().await;
        settled(&main).await;
    };
    tokio::select! {
        connected = tokio::time::timeout(CONNECT_MAX, connected) => {
            connected.map_err(|_| Failure::work("the Homes did not get through to the Main"))?;
        }
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    }
    print(&welcome(port, address))?;
    signals.next().await;
    gateway.close();
    let stop = async {
        alice.shutdown(GRACE).await;
        bob.shutdown(GRACE).await;
        main.shutdown(GRACE).await;
        gateway.finish(Instant::now() + GRACE).await;
    };
    tokio::select! {
        () = stop => {}
        () = signals.next() => return Ok(ExitCode::from(130)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Listens on `port`, or on any free one when it is taken.
fn listen(port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match bind(at(port)) {
        Ok(listening) => Ok(listening),
        Err(_) if port != 0 => bind(at(0)),
        Err(failure) => Err(failure),
    }
}

fn start(
    role: Role,
    id: &str,
    address: SocketAddr,
    main: Option<Endpoint>,
) -> Result<Node, Failure> {
    let mut settings = NodeConfig::new(role);
    settings.node_id = Some(id.to_owned());
    settings.upstreams = main.into_iter().collect();
    settings.address = address.to_string();
    Node::start(settings).map_err(|error| Failure::work(format!("cannot start {id}: {error}")))
}

fn home(id: &str, main: SocketAddr, offers: &[Demo]) -> Result<Node, Failure> {
    let endpoint = Endpoint::parse(&format!("ws://{main}"))
        .map_err(|error| Failure::work(format!("no address for {id}: {error}")))?;
    let node = start(Role::Home, id, main, Some(endpoint))?;
    for demo in offers {
        let name = demo.name();
        node.register(name, demo.open(Arc::new(node.clone())))
            .map_err(|error| Failure::work(format!("cannot offer {name} on {id}: {error}")))?;
    }
    Ok(node)
}

/// Resolves once the Main lists every service of both Homes.
async fn settled(main: &Node) {
    while main.registry().services.len() < ALICE_OFFERS.len() + BOB_OFFERS.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn welcome(wanted: u16, address: SocketAddr) -> String {
    let relay = std::env::args().next().unwrap_or_else(|| String::from("relay"));
    let mut text = String::new();
    if wanted != 0 && wanted != address.port() {
        text.push_str(&format!("Port {wanted} is taken, so this demo uses {}.\n", address.port()));
    }
    text.push_str(&format!(
        "A Main ({MAIN}) listens on {address}. Two Homes are attached:\n  {ALICE:<11} offers \
         counter and echo\n  {BOB:<11} offers counter and kv\n\nTry in another terminal:\n\n"
    ));
    for command in commands(&relay, address) {
        text.push_str(&format!("  {command}\n"));
    }
    text.push_str("\nCtrl-C ends the demo.\n");
    text
}

/// `text` as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

const MAIN: &str = "main.demo";
const ALICE: &str = "alice.home";
const BOB: &str = "bob.home";
const ALICE_OFFERS: &[Demo] = &[Demo::Counter, Demo::Echo];
const BOB_OFFERS: &[Demo] = &[Demo::Counter, Demo::Kv];
/// Longest wait for the Homes.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long calls in flight may take when the demo ends.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_real_port_and_program() {
        let lines = commands("/opt/my relay's/relay", SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert!(lines.iter().all(|line| line.contains("127.0.0.1:4711")), "{lines:?}");
        let calls = lines.iter().filter(|line| line.contains(" call "));
        for line in calls {
            assert!(line.starts_with("'/opt/my relay'\\''s/relay' call "), "{line}");
        }
    }
}
