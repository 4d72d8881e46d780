//! The same work against Relay, nats-server and a blind WebSocket hub of our own, side by side:
//! caller → broker → responder → back.
//!
//! Every system gets the same footing: its broker and its responder are processes of their own, the
//! load comes from this process, everything stays on the loopback. Systems alternate within a round
//! and the order rotates, so that a machine which gets slower is slower for all. Bare figures move
//! with the machine; the ratios are what counts.

mod hub;
mod line;
mod load;
mod mux;
mod nats;
mod process;
mod pump;
mod relay;
mod report;
mod tally;

use crate::load::{Measurement, Settings};
use crate::process::{Address, Part, Role};
use crate::report::Report;
use clap::{Parser, Subcommand, ValueEnum};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Why a comparison cannot go on.
type Failure = Box<dyn Error + Send + Sync>;

/// Compares Relay with nats-server and with a blind WebSocket hub, the same work in one run
#[derive(Parser)]
#[command(
    name = "peers",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Command>,
    /// Seconds that each measurement counts, after half a second to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often every system does every row
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Rows: connections × calls in flight on each
    #[arg(long, value_delimiter = ',', default_value = "p50,64,16x16")]
    rows: Vec<Row>,
    /// Bytes in each request and each answer
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=262_144))]
    payload: u32,
    /// Systems to compare
    #[arg(long, value_delimiter = ',', default_value = "relay,nats,hub")]
    peers: Vec<System>,
    /// Also write every measurement to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Is one process of a system; the comparison starts these by itself
    #[command(hide = true)]
    Part { system: System, role: Role, address: Option<Address> },
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
enum System {
    /// A Main of this repository, over WebSockets
    Relay,
    /// The program nats-server, over its own protocol
    Nats,
    /// A hub that does nothing but pass messages on: the floor
    Hub,
}

/// How many calls wait at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
enum Row {
    /// One connection, one call in flight: the latency
    #[value(name = "p50")]
    Latency,
    /// One connection, 64 calls in flight
    #[value(name = "64")]
    OneBy64,
    /// 16 connections, 16 calls in flight on each
    #[value(name = "16x16")]
    SixteenBy16,
}

const EXAMPLES: &str = "\
Examples:
  peers                              the three rows, three rounds, every system
  peers --rows p50 --rounds 9        only the latency, more often
  peers --peers relay,hub            without nats-server
  peers --payload 16384 --rows 16x16 larger bodies
  peers --json peers.json            keep every measurement

Build it in release, or the figures mean nothing:
  cargo run --release -p relay-benches --bin peers -- --rounds 3";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.part {
        Some(Command::Part { system, role, address }) => be_part(system, role, address),
        None => compare(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(mut arguments: Arguments) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        eprintln!("peers: THIS IS A DEBUG BUILD, its figures mean nothing: use --release");
    }
    sort(&mut arguments.peers);
    sort(&mut arguments.rows);
    let nats = nats::find();
    if nats.is_none() && arguments.peers.contains(&System::Nats) {
        eprintln!(
            "peers: THERE IS NO nats-server ON THIS MACHINE, it is left out and nothing is \
             compared with it: install the package nats-server"
        );
        arguments.peers.retain(|system| *system != System::Nats);
    }
    if arguments.peers.is_empty() {
        return Err("there is nothing to measure".into());
    }
    let settings = Settings {
        payload: usize::try_from(arguments.payload)?,
        duration: Duration::from_secs(arguments.seconds),
    };
    let mut report = Report::new(&settings, arguments.rounds, nats.as_ref());
    for round in 0..arguments.rounds {
        for (at, row) in arguments.rows.iter().enumerate() {
            let shift = (usize::try_from(round)? + at) % arguments.peers.len();
            let (last, first) = arguments.peers.split_at(shift);
            for system in first.iter().chain(last) {
                let measured = measure(*system, *row, &settings, nats.as_ref())
                    .map_err(|failure| format!("{system}, {row}: {failure}"))?;
                eprintln!("round {} of {}, {row}, {system}: {measured}", round + 1, report.rounds);
                report.add(*row, *system, measured);
            }
        }
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.to_json())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    print!("{report}");
    Ok(())
}

/// Each value once, in the order of the table.
fn sort<T: Ord>(values: &mut Vec<T>) {
    values.sort_unstable();
    values.dedup();
}

/// One system, one row, once: fresh processes, a fresh runtime, and nothing left behind.
fn measure(
    system: System,
    row: Row,
    settings: &Settings,
    nats: Option<&nats::Program>,
) -> Result<Measurement, Failure> {
    let (connections, in_flight) = row.shape();
    let broker = match system {
        System::Relay | System::Hub => Part::start(system, Role::Broker, None)?,
        System::Nats => nats.ok_or("there is no nats-server")?.start()?,
    };
    let address = broker.address();
    let _responder = Part::start(system, Role::Responder, Some(address))?;
    run_until_interrupted(async {
        match system {
            System::Relay => {
                let callers = relay::connect(address, connections).await?;
                load::run(&callers, in_flight, settings, &broker).await
            }
            System::Nats => {
                let callers = nats::connect(address, connections).await?;
                load::run(&callers, in_flight, settings, &broker).await
            }
            System::Hub => {
                let callers = hub::connect(address, connections).await?;
                load::run(&callers, in_flight, settings, &broker).await
            }
        }
    })
}

/// Is the broker or the responder of a system until the process that started it is gone.
fn be_part(system: System, role: Role, address: Option<Address>) -> Result<(), Failure> {
    process::end_with_parent();
    let needed = || address.ok_or("a responder needs the address of its broker");
    run_until_interrupted(async {
        match (system, role) {
            (System::Relay, Role::Broker) => relay::serve().await,
            (System::Relay, Role::Responder) => relay::respond(needed()?).await,
            (System::Nats, Role::Broker) => Err("the broker of nats is nats-server".into()),
            (System::Nats, Role::Responder) => nats::respond(needed()?).await,
            (System::Hub, Role::Broker) => hub::serve().await,
            (System::Hub, Role::Responder) => hub::respond(needed()?).await,
        }
    })
}

/// Runs on one thread: on two cores that are shared by three processes, more would only fight.
fn run_until_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminate.recv() => Err("asked to end".into()),
        }
    })
}

impl Row {
    /// Connections, and calls in flight on each.
    const fn shape(self) -> (usize, usize) {
        match self {
            Self::Latency => (1, 1),
            Self::OneBy64 => (1, 64),
            Self::SixteenBy16 => (16, 16),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, in_flight) = self.shape();
        write!(f, "{connections} × {in_flight}")
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "Relay",
            Self::Nats => "nats-server",
            Self::Hub => "blind hub",
        })
    }
}
