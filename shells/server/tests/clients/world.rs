//! Relays and the folders in which programs run, beside their packages.

use crate::process::Process;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A folder with the programs, so that they find the packages and nothing is written to the tree.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let packages = Path::new(ROOT).join("target/clients");
        for needed in ["python/websockets", "node_modules/ws", "node_modules/react-test-renderer"] {
            assert!(
                packages.join(needed).is_dir(),
                "target/clients/{needed} is missing: `cargo xtask test --only test` installs it"
            );
        }
        let folder = packages.join(format!("run-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let folder = Self(folder.canonicalize().expect("it is there"));
        folder.copy(&Path::new(ROOT).join("examples/clients"));
        folder.copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients"));
        folder.write("package.json", r#"{"type":"module"}"#);
        let hook = folder.0.join("useWebSocket.jsx");
        // It holds no markup, so it is a module as it stands.
        std::fs::copy(hook, folder.0.join("useWebSocket.mjs")).expect("copied");
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        let mut mode = std::fs::metadata(&path).expect("there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
        std::fs::set_permissions(&path, mode).expect("its owner's");
        path.display().to_string()
    }

    /// Serves the folder to browsers, and tells the port.
    pub(crate) fn serve(&self) -> (Process, u16) {
        let server = self.run("python3", &["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        let line = server.lines_until("Serving HTTP").pop().expect("that line");
        let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
        (server, port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}")))
    }

    pub(crate) fn bash(&self, script: &str, arguments: &[&str]) -> Process {
        self.run("bash", &[&[script], arguments].concat())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).stdin(std::process::Stdio::null());
        command.env("PYTHONPATH", Path::new(ROOT).join("target/clients/python"));
        Process::start(command)
    }

    fn copy(&self, from: &Path) {
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_file() {
                std::fs::copy(entry.path(), self.0.join(entry.file_name())).expect("copied");
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left would only be in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn python(folder: &Folder, program: &str, arguments: &[&str]) -> Process {
    folder.run("python3", &[&["-u", program], arguments].concat())
}

pub(crate) fn node(folder: &Folder, program: &str, arguments: &[&str]) -> Process {
    folder.run("node", &[&[program], arguments].concat())
}

/// A Main on a free port.
pub(crate) struct Relay {
    process: Process,
    address: String,
}

impl Relay {
    pub(crate) fn start(more: &[&str]) -> Self {
        let port: &[&str] = if more.contains(&"--port") { &[] } else { &["--port", "0"] };
        let arguments = [&["--server", "--node-id", "main-a"], port, more].concat();
        let process = Process::relay(&arguments);
        let line = process.lines_until("WebSocket P2P endpoint").pop().expect("that line");
        process.lines_until("ready");
        let address = line.split("ws://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, address }
    }

    pub(crate) fn ws(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    pub(crate) fn stop(self) {
        self.process.signal("TERM");
        self.process.ended();
    }

    /// The body of the answer to a call.
    pub(crate) fn rpc(&self, method: &str, params: &str) -> String {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        self.ask(&format!(
            "POST /rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Calls until the answer holds `wanted`.
    pub(crate) fn rpc_until(&self, method: &str, params: &str, wanted: &str) {
        until(wanted, || self.rpc(method, params));
    }

    /// Publishes until somebody has subscribed: once to each subscriber.
    pub(crate) fn until_handed(&self, topic: &str, body: &str) {
        let request = format!(
            "POST /publish/{topic} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {}\r\nContent-Type: application/json\r\n\r\n{body}",
            body.len()
        );
        until("\"links\":1", || self.ask(&request));
    }

    /// Waits until a metric is there.
    pub(crate) fn metric_until(&self, wanted: &str) {
        let scrape = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        until(wanted, || self.ask(scrape));
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("taken");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("UTF-8");
        response
    }
}

fn until(wanted: &str, ask: impl Fn() -> String) {
    let started = Instant::now();
    loop {
        let answer = ask();
        if answer.contains(wanted) {
            return;
        }
        assert!(started.elapsed() < LONG, "no {wanted} in {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(120);
