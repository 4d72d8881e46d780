//! A Main on smol: it takes relay links over WebSockets and over TCP.
//!
//! ```sh
//! cargo run -p relay-smol --example main_relay
//! cargo run -p relay-smol --example main_relay -- 0.0.0.0:8080 0.0.0.0:9000
//! ```

use relay_smol::{Node, NodeConfig, Role, Tcp, WebSocket};
use smol::net::{TcpListener, TcpStream};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (websockets, tcp) = match arguments.as_slice() {
        [] => ("127.0.0.1:8080", "127.0.0.1:9000"),
        [websockets, tcp] => (websockets.as_str(), tcp.as_str()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match smol::block_on(run(websockets, tcp)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("main_relay: {error}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run(websockets: &str, tcp: &str) -> Result<(), Box<dyn Error>> {
    let node = Node::start(NodeConfig::new(Role::Main))?;
    let websockets = TcpListener::bind(websockets).await?;
    let tcp = TcpListener::bind(tcp).await?;
    println!("ws://{}", websockets.local_addr()?);
    println!("tcp://{}", tcp.local_addr()?);

    let upgrading = node.clone();
    let over_websockets = accept(websockets, move |socket| {
        // The upgrade takes as long as the peer likes, so that each has a task of its own.
        let node = upgrading.clone();
        smol::spawn(async move {
            match WebSocket::upgrade(socket).await {
                Ok(socket) => node.accept(socket),
                Err(error) => eprintln!("no link: {error}"),
            }
        })
        .detach();
    });
    let over_tcp = accept(tcp, move |socket| node.accept(Tcp::new(socket)));
    smol::future::zip(over_websockets, over_tcp).await;
    Ok(())
}

async fn accept(listener: TcpListener, take: impl Fn(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => take(socket),
            Err(error) => {
                // Out of file descriptors, most likely; some come back when links end.
                eprintln!("cannot accept: {error}");
                smol::Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

const USAGE: &str = "\
Usage: main_relay [WEBSOCKETS TCP]

  WEBSOCKETS  address and port for links over WebSockets (127.0.0.1:8080)
  TCP         address and port for links over TCP (127.0.0.1:9000)

A port of 0 is a free one. The first two lines printed are the addresses to dial.";
