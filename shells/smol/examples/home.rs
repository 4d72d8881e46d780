//! A Home on smol: it offers the service `text` at a Main, however often the link is lost.
//!
//! ```sh
//! cargo run -p relay-smol --example home -- ws://127.0.0.1:8080
//! relay call text.upper '"hello"'
//! ```

use relay_smol::{Event, Home, JsonError};
use serde_json::Value;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (main, node_id) = match arguments.as_slice() {
        [main] => (main, "smol.home"),
        [main, node_id] => (main, node_id.as_str()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match smol::block_on(run(main, node_id)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("home: {error}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run(main: &str, node_id: &str) -> Result<(), Box<dyn Error>> {
    let home = Home::connect(main).node_id(node_id).service("text", answer).start().await?;
    let mut events = home.node().events();
    while let Some(event) = events.next().await {
        match event {
            Event::LinkUp { node, .. } => println!("linked to {node}"),
            Event::LinkDown { reason, detail, .. } => println!("link lost: {reason} {detail}"),
            Event::RegistrationRefused { service, message, .. } => {
                println!("{service} was refused: {message}");
            }
            _ => {}
        }
    }
    Ok(())
}

async fn answer(method: String, params: Value) -> Result<Value, JsonError> {
    let text = match &params {
        Value::String(text) => text,
        Value::Array(list) if list.len() == 1 && list[0].is_string() => {
            list[0].as_str().unwrap_or_default()
        }
        _ => return Err(JsonError { code: -32_602, message: "one text, please".into() }),
    };
    match method.as_str() {
        "upper" => Ok(text.to_uppercase().into()),
        "count" => Ok(text.chars().count().into()),
        _ => Err(JsonError { code: -32_601, message: "there are upper and count".into() }),
    }
}

const USAGE: &str = "\
Usage: home MAIN [NODE_ID]

  MAIN     where the Main is: ws://127.0.0.1:8080, tcp://127.0.0.1:9000
  NODE_ID  what the Home is called (smol.home)";
