//! The flags of the tools that publish and subscribe.

use super::TlsArgs;
use clap::Args;
use std::path::PathBuf;

/// The flags of `relay pub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PUB_EXAMPLES)]
pub struct PubArgs {
    /// The topic: 1 to 8 levels with dots between them, as in messages.user.42
    pub topic: String,
    /// What to say, as JSON; read from the input when it is not given, or is -
    #[arg(allow_negative_numbers = true)]
    pub json: Option<String>,
    /// Send a header along to the subscribers, as in tenant=acme (can be repeated)
    #[arg(long, value_name = "K=V")]
    pub header: Vec<String>,
    /// Which Main, and as whom.
    #[command(flatten)]
    pub link: LinkArgs,
}

/// The flags of `relay sub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SUB_EXAMPLES)]
pub struct SubArgs {
    /// Topics to hear; a level may be *, and the last one ** for any number of levels
    #[arg(required = true, value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// Stop after so many publications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Which Main, and as whom.
    #[command(flatten)]
    pub link: LinkArgs,
}

/// The link of a tool to its Main.
#[derive(Args, Clone, Debug)]
pub struct LinkArgs {
    /// The Main, or the first of several that answers (a list, can be repeated)
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = "ws://127.0.0.1:8080")]
    pub connect: Vec<String>,
    /// How long to wait for the Main
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
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

const PUB_EXAMPLES: &str = "\
Examples:
  relay pub messages.user.42 '{\"text\":\"hello\"}'
  relay pub --connect ws://relay.example.com:8080 --header tenant=acme orders.new '[1, 2]'
  date +%s | relay pub clock

Exit code 0: the Main took it. That subscribers received it nobody says: see docs/topics.md.
1: it was not taken. 2: wrong command line.";

const SUB_EXAMPLES: &str = "\
Examples:
  relay sub messages.user.42
  relay sub 'messages.*' 'orders.**'
  relay sub '**' | jq .data
  relay sub --count 1 --connect wss://relay.example.com --token-file token orders.new

Each publication is a line of JSON on the standard output: topic, data, publisher, seq, and missed
where so many are missing before it. What else there is to know is on the standard error output:
gaps, and when the link to the Main breaks and comes back.
Exit code 0: --count is reached, Ctrl-C, or nobody reads on. 1: no Main was reached, or it refused a
pattern. 2: wrong command line.";
