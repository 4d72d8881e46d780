//! docs/websocket.md: its dialogues, played, and its numbers.

use crate::world::{Server, Ws};
use relay_server::hosts::{Caller, ServiceSpec};
use relay_server::http::{ClientLimits, GatewayConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

const DOCUMENT: &str = include_str!("../../../../docs/websocket.md");

/// The messages of each block of text; a line that is indented belongs to the one above it.
fn dialogues() -> Vec<Vec<String>> {
    let blocks = DOCUMENT.split("\n```text\n").skip(1);
    let texts = blocks.map(|block| block.split("\n```").next().unwrap());
    let whole = |text: &str| {
        let mut messages: Vec<String> = Vec::new();
        for line in text.lines() {
            match messages.last_mut() {
                Some(message) if line.starts_with(' ') => message.push_str(line.trim_start()),
                _ => messages.push(line.to_owned()),
            }
        }
        messages
    };
    texts.map(whole).collect()
}

#[tokio::test]
async fn r8_every_dialogue_goes_as_it_stands_there() {
    let dialogues = dialogues();
    assert!(dialogues.len() >= 6, "{} dialogues", dialogues.len());
    for dialogue in dialogues {
        let server = start(dialogue.iter().any(|line| line.contains("\"token\""))).await;
        let mut clients: BTreeMap<String, Ws> = BTreeMap::new();
        for line in &dialogue {
            let (head, text) = line.split_once(' ').unwrap();
            let (name, direction) = head.split_at(head.len() - 1);
            if !clients.contains_key(name) {
                clients.insert(name.to_owned(), server.client().await);
            }
            let client = clients.get_mut(name).unwrap();
            match direction {
                ">" => client.send(text).await,
                "<" => {
                    let came = client.text().await;
                    assert!(fits(&came, text), "{name} got {came}\ninstead of {text}");
                }
                other => panic!("{other:?} in {line}"),
            }
        }
    }
}

async fn start(has_token: bool) -> Server {
    let token = has_token.then(|| "secret".to_owned());
    let server = Server::with(GatewayConfig { token, ..GatewayConfig::default() }).await;
    let node: Arc<dyn Caller> = Arc::new(server.node.clone());
    let echo = ServiceSpec::parse("echo=demo:echo").unwrap().for_node(node);
    server.node.register("echo", echo.open().await.unwrap()).unwrap();
    server
}

/// Whether a text is as it was written down, where an ellipsis stands for anything.
fn fits(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('…') else { return text == pattern };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices().any(|(at, _)| fits(&rest[at..], tail)) || tail.is_empty()
}

#[test]
fn the_limits_are_those_of_the_document() {
    let (clients, gateway) = (ClientLimits::default(), GatewayConfig::default());
    for (row, number) in [
        ("calls that you wait for", clients.calls_max),
        ("calls that you are asked to answer", clients.served_max),
        ("services of a connection", clients.services_max),
        ("chunks without credit", clients.window_bytes as usize >> 10),
        ("bytes that wait to be read by you", clients.queue_bytes_max >> 20),
        ("a message from you", gateway.body_bytes_max >> 20),
        ("silence", usize::try_from(gateway.idle_timeout.as_secs()).unwrap()),
        ("no progress in reading", usize::try_from(gateway.write_timeout.as_secs()).unwrap()),
        ("a chunk", relay_tokio::CHUNK_BYTES_MAX >> 10),
    ] {
        let line = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {row}")));
        let words = line.unwrap_or_else(|| panic!("no row {row:?}")).split([' ', ',']);
        assert!(words.clone().any(|word| word == number.to_string()), "{row}: {number}");
    }
}

#[test]
fn patterns_fit_what_they_should() {
    assert!(fits("abc", "abc") && fits("abc", "a…c") && fits("abc", "…") && fits("abc", "ab…"));
    assert!(!fits("abc", "abd") && !fits("abcd", "a…c") && !fits("abc", "b…"));
}
