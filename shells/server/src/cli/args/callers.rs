//! The flags of the tools that call services.

use clap::Args;
use std::path::PathBuf;

/// The flags of `relay call`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CALL_EXAMPLES)]
pub struct CallArgs {
    /// What to call.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Print the result byte for byte, even on a terminal
    #[arg(long)]
    pub raw: bool,
    /// Print the way of the call, with the time of each hop, behind the result (to stderr)
    #[arg(long)]
    pub trace: bool,
    /// Print each chunk that the service sends before its result, as a line as soon as it comes
    #[arg(long, conflicts_with = "trace")]
    pub stream: bool,
}

/// The flags of `relay trace`.
#[derive(Args, Clone, Debug)]
#[command(after_help = TRACE_EXAMPLES)]
pub struct TraceArgs {
    /// What to call.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// One call, as the command line describes it.
#[derive(Args, Clone, Debug)]
pub struct RequestArgs {
    /// The Main to ask, or the first of several that answers (a list, can be repeated)
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = "ws://127.0.0.1:8080")]
    pub connect: Vec<String>,
    /// The node to call, as ID or ID@MAIN; otherwise the Main picks an instance
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// How long to wait, connecting included
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// How much the call matters where there is no room for all: low, normal or high
    #[arg(long, value_name = "P", default_value = "normal")]
    pub priority: String,
    /// Send a header along to the service, as in traceparent=00-… (can be repeated)
    #[arg(long, value_name = "K=V")]
    pub header: Vec<String>,
    /// What to call, and as whom.
    #[command(flatten)]
    pub caller: CallerArgs,
}

/// What all calls of one command have in common.
#[derive(Args, Clone, Debug)]
pub struct CallerArgs {
    /// The method, as SERVICE.METHOD or NODE.SERVICE.METHOD
    #[arg(value_name = "SERVICE.METHOD")]
    pub target: String,
    /// Parameters: a JSON object or array, key=value pairs, or - to read JSON from the input
    #[arg(allow_negative_numbers = true)]
    pub params: Vec<String>,
    /// Calling twice does no harm: the Main may try another instance
    #[arg(long)]
    pub idempotent: bool,
    /// Name of the federation
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// File with the token that the Main asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Whom to believe.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Certificates to believe and to show, for the tools that dial.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// CAs to believe over TLS and QUIC (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE", env = "RELAY_TLS__CA", hide_env_values = true)]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show where one is asked for (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// The flags of `relay bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// Mains to share the load among: ws://, wss://, tcp://, tls:// and quic:// are relay links,
    /// http:// and https:// are POST /rpc
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = "ws://127.0.0.1:8080")]
    pub connect: Vec<String>,
    /// Stop after so many calls [default: 1000, unless --seconds or --find-rate is given]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub calls: Option<u64>,
    /// Most calls in flight [default: 50; 1024 with --rate or --find-rate]
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub concurrency: Option<u32>,
    /// Calls due each second, whether answers come or not; latency counts from when a call is due
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Look for the highest rate that holds, then measure at 80 % of it for --seconds (10)
    #[arg(long, conflicts_with_all = ["rate", "calls"])]
    pub find_rate: bool,
    /// With --find-rate: a rate holds while 99 % of its calls take no longer [default: 100ms]
    #[arg(long, value_name = "TIME", requires = "find_rate")]
    pub p99: Option<String>,
    /// How long a call may take, and how long to wait for the first link
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// Relay links to each URL that is not http:// or https://
    #[arg(long, value_name = "K", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub links: u16,
    /// Most of them: more are opened while every one has 32 calls in flight [default: as --links]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub links_max: Option<u16>,
    /// Each result must be this JSON, byte for byte
    #[arg(long, value_name = "JSON", conflicts_with = "unique")]
    pub expect: Option<String>,
    /// Give each call a member "uid" of its own, which its result must contain (for an echo)
    #[arg(long)]
    pub unique: bool,
    /// Do not make a call that provably did not run again at the next URL
    #[arg(long)]
    pub no_failover: bool,
    /// Exit with 0 in spite of errors; wrong and missing answers still fail
    #[arg(long)]
    pub allow_errors: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// What to call, and as whom.
    #[command(flatten)]
    pub caller: CallerArgs,
}

const CALL_EXAMPLES: &str = "\
Examples:
  relay call counter.increment by=5
  relay call echo.echo '{\"text\":\"hello\"}'
  relay call --connect ws://relay.example.com:8080 --timeout 10s blog.get_posts
  relay call alice.home.counter.get
  relay call --node bob.home@relay-b.com --trace blog.get_posts
  relay call --connect ws://a.example.com:8080,ws://b.example.com:8080 blog.get_posts
  relay call --connect wss://relay.example.com --tls-ca ca.crt --token-file token blog.get_posts
  echo '[1,2]' | relay call echo.echo -

Exit code 0: the result is on the standard output. 1: the call failed. 2: wrong command line.";

const TRACE_EXAMPLES: &str = "\
Examples:
  relay trace blog.get_posts
  relay trace --json --node bob.home counter.increment by=5

The call runs as any other one. Exit code 0: it was answered. 1: it failed; what is known of its way
is printed all the same. 2: wrong command line.";

const BENCH_EXAMPLES: &str = "\
Examples:
  relay bench echo.echo --unique                      1,000 calls, 50 in flight
  relay bench echo.echo '[1]' --expect '[1]' --calls 100000 --concurrency 200
  relay bench echo.echo --rate 500 --seconds 30       calls due at fixed times
  relay bench echo.echo --find-rate --seconds 60      the highest rate that holds, then 80 % of it
  relay bench echo.echo --unique --connect http://127.0.0.1:8080,http://127.0.0.1:8081

Exit code 0: no error and no wrong answer. 1: there were some, or calls never came back.
2: wrong command line. 130: Ctrl-C; the figures are of what was done until then.";
