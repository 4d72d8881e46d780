//! The flags and subcommands, as clap reads them. Values stay text: `config` checks them together
//! with what files and the environment say, so that one message fits all sources.

mod callers;
mod topics;

pub use callers::{BenchArgs, CallArgs, CallerArgs, RequestArgs, TlsArgs, TraceArgs};
pub use topics::{LinkArgs, PubArgs, SubArgs};

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use relay_tokio::ErrorCode;
use std::ffi::OsStr;
use std::path::PathBuf;

/// Services that run anywhere, callable by name from everywhere.
#[derive(Parser, Debug)]
#[command(
    name = "relay",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = RUN_EXAMPLES
)]
pub struct Cli {
    /// What to do; without it a node runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings of the node.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The client tools.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start a Main and two Homes in one process and print what to try
    Demo(DemoArgs),
    /// Call a method of a service and print its result
    Call(CallArgs),
    /// Call a method of a service and print the way of the call instead of its result
    Trace(TraceArgs),
    /// Publish something on a topic
    Pub(PubArgs),
    /// Subscribe to topics and print what is published there
    Sub(SubArgs),
    /// Call a method many times and measure how fast, and how rightly, answers come
    Bench(BenchArgs),
    /// List the services that a node knows
    #[command(after_help = SERVICES_EXAMPLES)]
    Services(NodeArgs),
    /// List the other Mains of a node, and how the links to them stand
    #[command(after_help = PEERS_EXAMPLES)]
    Peers(NodeArgs),
    /// Draw the nodes that a node knows of as a tree, with the ways to them
    #[command(after_help = TOPOLOGY_EXAMPLES)]
    Topology(NodeArgs),
    /// Say what an error code means, what causes it and what to do
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        /// The name, the number or the JSON-RPC code of an error; without it all are listed
        #[arg(allow_negative_numbers = true, value_parser = ErrorCodeParser)]
        #[arg(hide_possible_values = true)]
        code: Option<String>,
    },
    /// Simulate a topology with its traffic and faults, and judge every call
    Sim(SimArgs),
    /// Print the completion script of a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The flags of a node. Each overrides the environment, which overrides the file.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub struct RunArgs {
    /// Program in Rhai whose functions become a service (file.rhai)
    pub program: Option<PathBuf>,
    /// Be a Main: listen for Homes, peers and callers
    #[arg(long)]
    pub server: bool,
    /// Be a Home: dial this Main (ws://HOST:PORT, wss://HOST, tcp://, tls:// or quic://HOST:PORT),
    /// or the first of several that answers (a list, can be repeated)
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub connect: Vec<String>,
    /// Other Mains to federate with, also by DNS (dns+srv://NAME, dns://NAME:PORT)
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub peers: Vec<String>,
    /// One more Main to federate with (can be repeated)
    #[arg(long, value_name = "URL")]
    pub add_peer: Vec<String>,
    /// DNS server to ask for peers [default: those of the system] (can be repeated)
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',')]
    pub dns_server: Vec<String>,
    /// Offer a service, as in blog=http://127.0.0.1:9000/rpc or echo=exec:./echo (can be repeated)
    #[arg(long, value_name = "NAME=SPEC")]
    pub service: Vec<String>,
    /// Configuration file (TOML); $RELAY_CONFIG names one too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Port of the HTTP and WebSocket listener; 0 takes any free one [default: 8080]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub port: Option<String>,
    /// Address of the HTTP and WebSocket listener [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub host: Option<String>,
    /// IP:PORT of the HTTP and WebSocket listener; lets a Home listen too
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// IP:PORT of a listener for relay links over plain TCP
    #[arg(long, value_name = "ADDR")]
    pub listen_tcp: Option<String>,
    /// IP:PORT of a listener for relay links over TLS (tls://)
    #[arg(long, value_name = "ADDR")]
    pub listen_tls: Option<String>,
    /// IP:PORT of a listener for relay links over QUIC (quic://, UDP)
    #[arg(long, value_name = "ADDR")]
    pub listen_quic: Option<String>,
    /// Certificate of this node with its chain (PEM); HTTP and WebSocket become https:// and
    /// wss://. Read again when the file changes, and at SIGHUP
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// CAs to believe when dialling wss://, tls:// and quic:// (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<String>,
    /// Let in only those who show a certificate that one of these CAs signed (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// Name of this node [default: 16 hex digits derived from its key]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// main or home; otherwise detected from --server and --connect
    #[arg(long, value_name = "main|home")]
    pub node_type: Option<String>,
    /// How far messages go: hub (Home, Main, Main, Home) or p2p (chains of Mains, as far as the
    /// TTL reaches) [default: hub]
    #[arg(long, value_name = "hub|p2p")]
    pub mode: Option<String>,
    /// Which of several instances gets a call: p2c, round-robin, least-connections or random
    /// [default: p2c]
    #[arg(long, value_name = "HOW")]
    pub balance: Option<String>,
    /// Where this node is; instances in the same zone come first
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// Compress longer bodies that this node sends, where their readers can: off, lz4 or zstd
    /// [default: off]
    #[arg(long, value_name = "off|lz4|zstd")]
    pub compression: Option<String>,
    /// Name of the federation; only nodes of the same one connect [default: default]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// File with the token that nodes show each other
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// File with the secret key of this node; made when it is missing
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<String>,
    /// How long what is registered stands unless it is confirmed [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub registry_ttl: Option<String>,
    /// Do not serve the registry over HTTP
    #[arg(long)]
    pub disable_registry: bool,
    /// Origins that browsers may call from: a list, '*', or 'off'
    #[arg(long, value_name = "ORIGINS")]
    pub cors: Option<String>,
    /// Add a header to each HTTP response, as in 'X-Frame-Options: DENY' (can be repeated)
    #[arg(long, value_name = "K: V")]
    pub header: Vec<String>,
    /// Form of the log lines [default: text]
    #[arg(long, value_name = "text|json")]
    pub log_format: Option<String>,
    /// What to log: error, warn, info, debug, trace, or a filter as in relay=debug
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Listen on a public address although nothing encrypts, or nobody is asked for a token
    #[arg(long)]
    pub insecure_public: bool,
    /// How long calls in flight may take after a stop signal [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub shutdown_grace: Option<String>,
    /// Print each setting with its source, then stop
    #[arg(long)]
    pub print_config: bool,
}

/// The flags of the tools that ask a node over HTTP.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// The node to ask (http:// or https://)
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub connect: String,
    /// Whom to believe.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Print the answer of the node as it came
    #[arg(long)]
    pub json: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
}

/// Takes any text, and tells completion scripts the names of all errors.
#[derive(Clone, Debug)]
struct ErrorCodeParser;

impl TypedValueParser for ErrorCodeParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let text = value.to_str().map(str::to_owned);
        text.ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(ErrorCode::ALL.iter().map(|code| PossibleValue::new(code.name()))))
    }
}

/// The flags of `relay demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = DEMO_EXAMPLES)]
pub struct DemoArgs {
    /// Port of the Main; another one is taken when it is in use
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub port: u16,
}

/// The flags of `relay sim`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = SIM_EXAMPLES)]
pub struct SimArgs {
    /// What to simulate (TOML); without a file the options describe it
    pub file: Option<PathBuf>,
    /// Main relays
    #[arg(long, value_name = "M")]
    pub mains: Option<u16>,
    /// Home relays, shared among the Mains
    #[arg(long, value_name = "H")]
    pub homes: Option<u16>,
    /// Hosts that only call
    #[arg(long, value_name = "C")]
    pub callers: Option<u16>,
    /// Virtual minutes during which calls are made and faults happen
    #[arg(long, value_name = "VIRTUAL")]
    pub minutes: Option<f64>,
    /// Share of the time that each Home and caller is down, cut off or asleep (0 to 0.9)
    #[arg(long, value_name = "SHARE")]
    pub faults: Option<f64>,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Go on with the seeds N, N+1, … for so many seconds of real time
    #[arg(long, value_name = "WALL", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// Worlds to run at the same time [default: one for each core]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Run each seed twice and compare the hashes of everything that happened
    #[arg(long)]
    pub verify_determinism: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where to write the page with the plots [default: NAME.html, after the name of FILE; none
    /// with --seconds or --json]
    #[arg(long, value_name = "PATH", conflicts_with = "no_page")]
    pub page: Option<PathBuf>,
    /// Write no page
    #[arg(long)]
    pub no_page: bool,
    /// Run a schedule that was written earlier
    #[arg(long, value_name = "FILE", conflicts_with_all = WORLD_OPTIONS)]
    pub replay: Option<PathBuf>,
    /// Where to write the shortened schedule of a violation [default: sim-SEED.toml]
    #[arg(long, value_name = "PATH")]
    pub schedule: Option<PathBuf>,
}

/// A schedule holds all of these already.
const WORLD_OPTIONS: [&str; 8] =
    ["file", "mains", "homes", "callers", "minutes", "faults", "seed", "seconds"];

const RUN_EXAMPLES: &str = "\
Examples:
  relay demo                                          a Main and two Homes to play with
  relay --server                                      a Main on 127.0.0.1:8080
  relay blog.rhai --connect ws://localhost:8080       a Home that offers a program
  relay --connect ws://localhost:8080 --service blog=http://127.0.0.1:9000/rpc
  relay blog.rhai --connect ws://a.example.com:8080,ws://b.example.com:8080
  relay --server --node-id relay-b --port 8081 --peers ws://localhost:8080
  relay --server --peers dns+srv://_relay._tcp.example.com
  relay --server --listen 0.0.0.0:443 --tls-cert relay.crt --tls-key relay.key --token-file token
  relay blog.rhai --connect wss://relay.example.com --tls-ca ca.crt --token-file token
  relay call blog.get_posts                           call it from anywhere
  relay sub 'messages.*'                              hear what others publish

A single dash before a long flag works too: relay -server -node-type main -port 8080
Settings come from --config FILE or $RELAY_CONFIG, then from the environment
(http.port is RELAY_HTTP__PORT), then from flags; relay --print-config lists them all.";

const SERVICES_EXAMPLES: &str = "\
Examples:
  relay services
  relay services --connect https://relay.example.com --tls-ca ca.crt
  relay services --json";

const PEERS_EXAMPLES: &str = "\
Examples:
  relay peers
  relay peers --connect http://relay.example.com:8080
  relay peers --json";

const TOPOLOGY_EXAMPLES: &str = "\
Examples:
  relay topology
  relay topology --connect http://relay.example.com:8080
  relay topology --json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  relay explain                                       all errors in a table
  relay explain CIRCUIT_OPEN
  relay explain 402                                   the number on the wire
  relay explain -32012                                the code of a JSON-RPC error
Exit code 2: there is no such error.";

const DEMO_EXAMPLES: &str = "\
Examples:
  relay demo
  relay demo --port 9000";

const SIM_EXAMPLES: &str = "\
Examples:
  relay sim examples/sim/chaos-1h.toml                one virtual hour; writes chaos-1h.html
  relay sim --mains 1 --homes 20 --callers 12 --minutes 60 --faults 0.1 --seed 7 --json
  relay sim examples/sim/laptop.toml --seconds 60     seed after seed on every core
  relay sim --seed 7 --verify-determinism
  relay sim --replay sim-7.toml                       a violation, shortened, once more

An option overrides what FILE says; without either it is 1 Main, 3 Homes and 2 callers for one
minute without faults. Every field of FILE is described in docs/simulator.md.
Exit code 0: every promise was kept. 1: one was broken, or two runs of one seed differed.
2: wrong command line or file. 130: Ctrl-C; the figures are of the runs that were finished.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  relay completions bash > ~/.local/share/bash-completion/completions/relay
  relay completions zsh > ~/.zfunc/_relay
  relay completions fish > ~/.config/fish/completions/relay.fish";
