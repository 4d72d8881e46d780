//! The processes of a system: started, found ready, timed, and gone when the handle is gone.

use crate::{Failure, System};
use clap::ValueEnum;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Where a broker listens.
pub(crate) type Address = SocketAddr;

/// What a process is for its system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Role {
    /// Passes calls on
    Broker,
    /// Answers each call with its own body
    Responder,
}

/// A running process. It is killed when the handle is dropped.
pub(crate) struct Part {
    child: Child,
    address: Address,
}

impl Part {
    /// Starts this very program as a part of `system` and waits until it is ready.
    pub(crate) fn start(
        system: System,
        role: Role,
        broker: Option<Address>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("part").args(name(&system).into_iter().chain(name(&role)));
        command.args(broker.map(|address| address.to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let mut part = Self { child, address: unknown() };
        let line = first_line(output.ok_or("the part has no output")?)
            .map_err(|failure| format!("the {role:?} of {system}: {failure}"))?;
        part.address = line.strip_prefix(READY).ok_or("the part is not ready")?.parse()?;
        Ok(part)
    }

    /// Starts a program of someone else, told to listen at `address`, and waits until it does.
    pub(crate) fn start_foreign(command: &mut Command, address: Address) -> Result<Self, Failure> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut part = Self { child: silent.spawn()?, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = part.child.try_wait()? {
                return Err(format!("the program ended at once, {status}").into());
            }
            if begin.elapsed() > READY_TIMEOUT {
                return Err(format!("the program does not listen at {address}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(part)
    }

    /// Where the broker listens; for a responder, where its broker does.
    pub(crate) const fn address(&self) -> Address {
        self.address
    }

    /// Processor time of all threads since the start.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .map_err(|error| format!("the broker is gone: {error}"))?;
        ticks(&stat).map(|ticks| TICK * ticks).ok_or_else(|| "/proc/PID/stat reads oddly".into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing more to do about it either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the process that started this one that the part is ready.
pub(crate) fn say_ready(address: Address) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{READY}{address}")?;
    output.flush()
}

/// Ends this process when the one that started it is gone, however that ended: the pipe to it
/// closes.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// An address of the loopback that nobody listens at. Someone could take it before it is used;
/// then the program that was to use it says so.
pub(crate) fn free_address() -> io::Result<Address> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Any free port of the loopback.
pub(crate) const fn unknown() -> Address {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

fn name<T: ValueEnum>(value: &T) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

fn first_line(output: impl Read + Send + 'static) -> Result<String, Failure> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output.take(LINE_BYTES_MAX)).read_line(&mut line);
        // Nobody listens any more when it came too late.
        let _ = sender.send(read.map(|_| line.trim_end().to_owned()));
    });
    let line = receiver.recv_timeout(READY_TIMEOUT).map_err(|_| "it does not get ready")??;
    if line.is_empty() { Err("it ended before it was ready".into()) } else { Ok(line) }
}

/// User and system time, fields 14 and 15 of proc(5). The second field may hold spaces.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

const READY: &str = "ready ";
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const LINE_BYTES_MAX: u64 = 256;
/// `USER_HZ` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

#[test]
fn processor_time_is_found_behind_any_program_name() {
    let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 5 6 7";
    assert_eq!(ticks(stat), Some(200));
    assert_eq!(ticks("7 (a) S 1"), None);
}

#[test]
fn a_part_that_says_nothing_is_not_ready() {
    assert!(first_line(io::empty()).is_err());
    assert_eq!(first_line(&b"ready x\nmore"[..]).ok().as_deref(), Some("ready x"));
}
