//! A Main and its Homes, each a process of its own, and the ways to reach them.

use crate::client::{Client, Response, post};
use crate::process::{Process, command};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub(crate) struct Main {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Main {
    pub(crate) fn start() -> Self {
        Self::with(&["--port", "0"])
    }

    /// A Main where an earlier one was.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        Self::with(&["--port", &address.port().to_string()])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        Self::named("main-a", flags)
    }

    pub(crate) fn named(id: &str, flags: &[&str]) -> Self {
        let flags = [&["--server", "--node-id", id], flags].concat();
        let process = Process::relay(&flags);
        let lines = process.lines_until(" ready ");
        let address = lines.iter().find_map(|line| {
            let (_, rest) = line.split_once("WebSocket P2P endpoint: ws://")?;
            rest.strip_suffix("/ws/p2p")?.parse().ok()
        });
        Self { process, address: address.expect("the log tells the address") }
    }

    /// A Home of this Main, once all that it offers can be called.
    pub(crate) async fn home(&self, id: &str, flags: &[&str], offers: &[&str]) -> Process {
        let home = start_home(self.address, id, flags);
        for service in offers {
            self.until_offered(service, id).await;
        }
        home
    }

    /// Waits until the Main lists the service and can route to it: the registry knows of a
    /// change some milliseconds before calls do.
    pub(crate) async fn until_offered(&self, service: &str, node: &str) {
        until(&format!("{service} of {node} is offered"), async || {
            let probe = call(&format!("{node}.{service}.is_there"), "1", "[]");
            self.lists(service, node).await
                && failure(&self.rpc(&probe).await.json()).0 != "NO_SUCH_SERVICE"
        })
        .await;
    }

    pub(crate) async fn lists(&self, service: &str, node: &str) -> bool {
        let mut client = Client::connect(self.address).await;
        client.send("GET /registry HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let registry = client.response().await.unwrap().json();
        let first = &registry["servers"][service];
        let others = first["instances"].as_array().into_iter().flatten();
        std::iter::once(first).chain(others).any(|instance| instance["node_id"] == node)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One call on a connection of its own.
    pub(crate) async fn rpc(&self, body: &str) -> Response {
        let mut client = self.connect().await;
        client.send(post("/rpc", "", body)).await;
        client.response().await.expect("closed without an answer")
    }

    /// One call with headers, as JSON.
    pub(crate) async fn rpc_with(&self, headers: &str, body: &str) -> Value {
        let mut client = self.connect().await;
        client.send(post("/rpc", headers, body)).await;
        client.response().await.expect("closed without an answer").json()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The same beside the test.
    pub(crate) fn spawn_rpc(&self, body: &str) -> JoinHandle<Response> {
        let (address, request) = (self.address, post("/rpc", "", body));
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            client.send(request).await;
            client.response().await.expect("closed without an answer")
        })
    }

    /// The body that the real curl gets.
    pub(crate) fn curl(&self, path: &str, body: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let output = Command::new("curl")
            .args(["-sS", "-X", "POST", &url, "-H", "Content-Type: application/json"])
            .args(["--data-binary", body])
            .output()
            .expect("curl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// `relay call` with these arguments, as a command to run or to start.
    pub(crate) fn relay_call(&self, arguments: &[&str]) -> Command {
        let url = format!("ws://{}", self.address);
        command(&[&["call", "--connect", &url, "--timeout", "30s"], arguments].concat())
    }

    /// What a tool that asks over HTTP prints, as in `relay peers`.
    pub(crate) fn asked(&self, tool: &str, arguments: &[&str]) -> String {
        let url = format!("http://{}", self.address);
        let arguments = [&[tool, "--connect", &url], arguments].concat();
        let output = command(&arguments).output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What `relay call` prints.
    pub(crate) fn called(&self, arguments: &[&str]) -> String {
        let output = self.relay_call(arguments).output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// What only these tests ask of a process.
impl Process {
    pub(crate) fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most it ever held.
    pub(crate) fn resident_peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A settings file that is gone with the test.
pub(crate) struct Settings(std::path::PathBuf);

impl Settings {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let name = format!("relay-acceptance-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("ASCII")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

pub(crate) fn start_home(main: SocketAddr, id: &str, flags: &[&str]) -> Process {
    let url = format!("ws://{main}");
    Process::relay(&[&["--connect", &url, "--node-id", id], flags].concat())
}

pub(crate) fn call(method: &str, id: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":{id}}}"#)
}

pub(crate) fn answer(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#)
}

/// Code and outcome of a failure that the relay tells.
pub(crate) fn failure(response: &Value) -> (&str, &str) {
    let data = &response["error"]["data"];
    (data["code"].as_str().unwrap_or_default(), data["executed"].as_str().unwrap_or_default())
}

/// Tries until `done` holds and tells how long that took.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

/// Far more than any step takes, so that only what hangs is ended.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// What must happen "within 1 s" on a machine that has nothing else to do. Tests run beside each
/// other, so they allow more, but far less than any deadline or timeout in play.
pub(crate) const SOON: Duration = Duration::from_secs(5);
pub(crate) const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
