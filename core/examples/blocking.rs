//! Two nodes over blocking `std::net` threads, with no async runtime at all.
//!
//! A Main listens, a Home dials it and offers `greet`, and the Main's own application calls it:
//!
//! ```sh
//! cargo run -p relay-core --example blocking
//! ```
//!
//! Each node lives in one thread that owns it. A second thread for each node only reads the
//! socket and hands the bytes over; that is all the driver there is.

use bytes::BytesMut;
use relay_core::{
    Answer, Call, Config, Delivery, Identity, Instant, LinkId, Node, NodeId, Outbox, Output, Reply,
    Role, Side,
};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    println!("the Main listens on {address}");
    let home = thread::spawn(move || run_home(TcpStream::connect(address)?));

    let (socket, _) = listener.accept()?;
    let mut driver = Driver::new(node(Role::Main, "main")?, socket, None)?;
    // The Home registers its service right after the handshake; wait until the Main knows it.
    while driver.node.control().registry().is_empty() {
        driver.turn()?;
    }
    let deadline = Duration::from_secs(5);
    let (service, method, body) = ("greet", "hello", &br#"["world"]"#[..]);
    let call = Call { service, method, body, deadline, ..Call::default() };
    driver.node.call(call, driver.now(), &mut driver.out)?;
    let answer = loop {
        if let Some(answer) = driver.turn()? {
            break answer;
        }
    };
    match answer {
        Answer::Result(body) => println!("greet.hello answered {}", String::from_utf8_lossy(&body)),
        other => println!("greet.hello failed: {other:?}"),
    }
    driver.node.close_all(relay_core::CloseReason::Shutdown, driver.now(), &mut driver.out);
    driver.flush()?;
    drop(driver);
    home.join().map_err(|_| "the Home panicked")?
}

/// Offers `greet` until the Main closes the link.
fn run_home(socket: TcpStream) -> Outcome<()> {
    let mut node = node(Role::Home, "greeter")?;
    let mut out = Outbox::default();
    node.register("greet", &["hello"], Instant::ZERO, &mut out)?;
    let dial = node.dial("main", Instant::ZERO, &mut out);
    let mut driver = Driver::new(node, socket, Some(dial))?;
    while !driver.ended {
        driver.turn()?;
    }
    println!("the Main said goodbye");
    Ok(())
}

/// A node, its one connection and a thread that reads it.
struct Driver {
    node: Node,
    link: LinkId,
    out: Outbox,
    socket: TcpStream,
    received: Receiver<Vec<u8>>,
    tail: BytesMut,
    started: std::time::Instant,
    ended: bool,
}

impl Driver {
    fn new(mut node: Node, socket: TcpStream, dial: Option<relay_core::DialId>) -> Outcome<Self> {
        let mut out = Outbox::default();
        let side = dial.map_or(Side::Accepted, Side::Dialled);
        let link = node.open_link(side, Instant::ZERO, &mut out)?;
        let (sender, received) = channel();
        let mut reader = socket.try_clone()?;
        thread::spawn(move || {
            let mut space = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut space) {
                if sender.send(space[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (tail, started) = (BytesMut::new(), std::time::Instant::now());
        let mut driver = Self { node, link, out, socket, received, tail, started, ended: false };
        driver.flush()?;
        Ok(driver)
    }

    fn now(&self) -> Instant {
        Instant::ZERO.after(self.started.elapsed())
    }

    /// Waits for bytes or for the next deadline, tells the node, and does what it asks for.
    fn turn(&mut self) -> Outcome<Option<Answer>> {
        self.flush()?;
        let wait = self.node.poll_timeout().map_or(Duration::from_secs(1), |at| {
            at.since(self.now()).max(Duration::from_millis(1))
        });
        match self.received.recv_timeout(wait.min(Duration::from_millis(100))) {
            Ok(bytes) => {
                self.tail.extend_from_slice(&bytes);
                let now = self.now();
                self.node.handle_received(self.link, &mut self.tail, now, &mut self.out);
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = self.now();
                self.node.handle_timeout(now, &mut self.out);
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                let now = self.now();
                self.node.handle_closed(self.link, "end of stream", now, &mut self.out);
            }
        }
        self.flush()
    }

    /// Empties the outbox into the world. Returns the answer of a call, if one came.
    fn flush(&mut self) -> Outcome<Option<Answer>> {
        let mut answered = None;
        while !self.out.is_empty() {
            let outputs: Vec<Output> = self.out.drain().collect();
            for output in outputs {
                match output {
                    Output::Transmit { link, frame } => {
                        self.socket.write_all(&frame)?;
                        self.node.handle_flushed(link, frame.len() as u32);
                    }
                    Output::Close { .. } => {
                        self.socket.shutdown(std::net::Shutdown::Both)?;
                        self.ended = true;
                    }
                    Output::Deliver(Delivery::Request(call)) => {
                        let name =
                            String::from_utf8_lossy(&call.body()).replace(['[', ']', '"'], "");
                        let result = format!("\"hello, {name}\"");
                        let now = self.now();
                        self.node.reply(
                            call.call,
                            Reply::Result(result.as_bytes()),
                            now,
                            &mut self.out,
                        );
                    }
                    Output::Deliver(Delivery::Answer { answer, .. }) => answered = Some(answer),
                    _ => {}
                }
            }
        }
        Ok(answered)
    }
}

/// A node with fixed keys, which is fine for an example and for nothing else.
fn node(role: Role, name: &str) -> Outcome<Node> {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    let identity = Identity::new(&seed, Some(NodeId::new(name)?))?;
    let mut node = Node::new(Config::new(role), identity, seed);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH)?;
    node.set_wall_clock(unix.as_secs(), Instant::ZERO);
    Ok(node)
}
