//! A Main that looks for peers, and what it says of them over HTTP.

use crate::client::{Client, Response, post};
use crate::dns::Dns;
use crate::process::{Process, command};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) struct Main {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Main {
    /// A Main that has nobody to ask.
    pub(crate) fn start(id: &str) -> Self {
        Self::with(id, &[])
    }

    /// A Main that looks for peers by way of `dns`, five times a second.
    pub(crate) fn asking(dns: &Dns, id: &str, flags: &[&str]) -> Self {
        Self::with(id, &[&["--dns-server", &dns.address.to_string()], flags].concat())
    }

    fn with(id: &str, flags: &[&str]) -> Self {
        let flags = [&["--server", "--port", "0", "--node-id", id], flags].concat();
        let mut command = command(&flags);
        command.env("RELAY_REGISTRY__DISCOVERY_INTERVAL", "200ms");
        let process = Process::start(command);
        let lines = process.lines_until(" ready ");
        let address = lines.iter().find_map(|line| {
            let (_, rest) = line.split_once("WebSocket P2P endpoint: ws://")?;
            rest.strip_suffix("/ws/p2p")?.parse().ok()
        });
        Self { process, address: address.expect("the log tells the address") }
    }

    pub(crate) async fn request(&self, request: &str) -> Response {
        let mut client = Client::connect(self.address).await;
        client.send(request).await;
        client.response().await.expect("an answer")
    }

    /// All peers: the address, or the id if there is none, and whether the link is up.
    pub(crate) async fn peers(&self) -> BTreeMap<String, bool> {
        let answer = self.request("GET /registry/peers HTTP/1.1\r\nHost: x\r\n\r\n").await.json();
        let peers = answer.as_object().expect("an object").iter();
        peers
            .map(|(key, peer)| {
                let address = peer["address"].as_str().filter(|address| !address.is_empty());
                let is_healthy = peer["is_healthy"] == Value::Bool(true);
                (address.unwrap_or(key).to_owned(), is_healthy)
            })
            .collect()
    }

    /// Waits until the peers are those of `wanted`, whether they can be reached or not.
    pub(crate) async fn until_peers(&self, wanted: &[String]) {
        let wanted = wanted.iter().cloned().collect::<BTreeSet<String>>();
        self.until(
            "the peers",
            async || self.peers().await.into_keys().collect(),
            |peers: &BTreeSet<String>| *peers == wanted,
        )
        .await;
    }

    /// Waits until the links to all of `wanted` are up, and to nobody else.
    pub(crate) async fn until_linked(&self, wanted: &[&Self]) {
        let wanted = wanted.iter().map(|main| (main.peer_address(), true)).collect();
        self.until("the links", async || self.peers().await, |peers| *peers == wanted).await;
    }

    /// Waits until so many lines hold `text`.
    pub(crate) async fn until_said(&self, text: &str, times: usize) {
        self.until(text, async || self.said(text), |said| *said >= times).await;
    }

    pub(crate) fn said(&self, text: &str) -> usize {
        self.process.lines().iter().filter(|line| line.contains(text)).count()
    }

    async fn until<T: std::fmt::Debug>(
        &self,
        what: &str,
        look: impl AsyncFn() -> T,
        is_wanted: impl Fn(&T) -> bool,
    ) {
        let until = Instant::now() + LONG;
        loop {
            let seen = look().await;
            if is_wanted(&seen) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {seen:?}: {:#?}", self.process.lines());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How peers dial this Main.
    pub(crate) fn peer_address(&self) -> String {
        peer_at(self.address)
    }

    pub(crate) async fn add(&self, body: &str) -> Response {
        self.request(&post("/registry/peers/add", "", body)).await
    }

    pub(crate) async fn remove(&self, id: &str) -> Response {
        let body = format!("{{\"node_id\": \"{id}\"}}");
        let request = post("/registry/peers/remove", "", &body);
        self.request(&request.replacen("POST", "DELETE", 1)).await
    }
}

/// The form in which an address is dialled.
pub(crate) fn peer_at(address: impl std::fmt::Display) -> String {
    format!("ws://{address}/ws/p2p")
}

/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(60);
