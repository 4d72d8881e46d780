//! Hosts turn something that is no Rust code of ours into a service: an HTTP upstream, a child
//! process, a Rhai program or a built-in demo. Decides how they are named on the command line and
//! what is checked before any of them starts; what a call means is each host's own business.

mod demo;
mod envelope;
mod exec;
mod http_upstream;
mod rhai;
mod words;

pub use demo::Demo;
pub use exec::ExecService;
pub use http_upstream::HttpUpstream;
pub use rhai::{NamedServices, Program};
pub use words::WordsError;

use relay_tokio::{
    Answer, BoxFuture, CallError, CallRequest, ErrorCode, NameInvalid, Node, Published, Service,
    is_service,
};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

/// The node as its hosts see it: who it is, and how they call others.
pub trait Caller: Send + Sync + 'static {
    /// The id of the node; empty while a [`LateNode`] has none.
    fn node_id(&self) -> String;

    /// Calls a service anywhere in the network. Dropping the future cancels the call.
    fn call(&self, request: CallRequest) -> BoxFuture<Result<Answer, CallError>>;

    /// Says something on a topic. Inside of a runtime.
    ///
    /// # Errors
    /// A [`CallError`] when nothing was handed to anyone.
    fn publish(&self, topic: &str, body: &[u8]) -> Result<Published, CallError>;
}

impl Caller for Node {
    fn node_id(&self) -> String {
        self.id().to_string()
    }

    fn call(&self, request: CallRequest) -> BoxFuture<Result<Answer, CallError>> {
        let node = self.clone();
        Box::pin(async move { Self::call(&node, request).await })
    }

    fn publish(&self, topic: &str, body: &[u8]) -> Result<Published, CallError> {
        Self::publish(self, topic, body)
    }
}

/// A node that starts after its hosts, so that a service that cannot be opened stops the start.
#[derive(Default)]
pub struct LateNode(OnceLock<Node>);

impl LateNode {
    /// Tells the hosts their node. The first one stays.
    pub fn set(&self, node: Node) {
        let _first = self.0.get_or_init(|| node);
    }
}

impl Caller for LateNode {
    fn node_id(&self) -> String {
        self.0.get().map(Caller::node_id).unwrap_or_default()
    }

    fn call(&self, request: CallRequest) -> BoxFuture<Result<Answer, CallError>> {
        match self.0.get() {
            Some(node) => Caller::call(node, request),
            None => Box::pin(std::future::ready(Err(not_started()))),
        }
    }

    fn publish(&self, topic: &str, body: &[u8]) -> Result<Published, CallError> {
        self.0.get().map_or_else(|| Err(not_started()), |node| node.publish(topic, body))
    }
}

fn not_started() -> CallError {
    CallError::new(ErrorCode::Unavailable, "", "this node has not started yet")
}

/// What `--service` asks for: a name and what answers under it.
#[derive(Clone)]
pub struct ServiceSpec {
    name: String,
    target: Target,
    node: Option<Arc<dyn Caller>>,
}

/// What a service of `--service` is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A JSON-RPC 2.0 server that takes HTTP POST.
    Http(hyper::Uri),
    /// A program speaking JSON-RPC lines on its standard input and output, with its arguments.
    Exec(Vec<String>),
    /// A built-in service to try things out.
    Demo(Demo),
}

impl ServiceSpec {
    /// Reads `name=http://host:port/path`, `name=exec:CMD args…` or `name=demo:counter`.
    ///
    /// # Errors
    /// A [`HostError`] that says what to write instead. Nothing is started or connected.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (name, target) =
            text.split_once('=').ok_or_else(|| HostError::NoName(shortened(text)))?;
        Self::new(name, target)
    }

    /// The same with the name apart, as in a settings file: `name = "http://host:port/path"`.
    ///
    /// # Errors
    /// A [`HostError`] that says what to write instead. Nothing is started or connected.
    pub fn new(name: &str, target: &str) -> Result<Self, HostError> {
        if !is_service(name) {
            return Err(HostError::BadName(shortened(name)));
        }
        let target = match target.split_once(':') {
            Some(("exec", command)) => {
                let words = words::split(command).map_err(HostError::Command)?;
                if words.first().is_none_or(String::is_empty) {
                    return Err(HostError::NoCommand);
                }
                Target::Exec(words)
            }
            Some(("demo", kind)) => Target::Demo(
                Demo::from_name(kind).ok_or_else(|| HostError::NoDemo(shortened(kind)))?,
            ),
            Some(("http", _)) => Target::Http(http_upstream::parse_url(target)?),
            Some(("https", _)) => return Err(HostError::Https),
            Some(_) | None => return Err(HostError::BadTarget(shortened(target))),
        };
        Ok(Self { name: name.to_owned(), target, node: None })
    }

    /// The name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What answers under the name.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The same service as part of `node`. Demo services need it: their answers name the node.
    #[must_use]
    pub fn for_node(mut self, node: Arc<dyn Caller>) -> Self {
        self.node = Some(node);
        self
    }

    /// Starts what stands behind the service. An upstream that is down is no error, its calls are
    /// answered `UNAVAILABLE` until it is up; a command that cannot be started is one.
    ///
    /// # Errors
    /// A [`HostError`] that says what to do.
    pub async fn open(self) -> Result<Arc<dyn Service>, HostError> {
        match self.target {
            Target::Http(url) => Ok(Arc::new(HttpUpstream::open(url).await)),
            Target::Exec(words) => Ok(Arc::new(ExecService::open(&self.name, words).await?)),
            Target::Demo(demo) => Ok(demo.open(self.node.ok_or(HostError::NoNode)?)),
        }
    }
}

impl FromStr for ServiceSpec {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl fmt::Debug for ServiceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceSpec")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Why a host could not be set up.
#[derive(Debug)]
pub enum HostError {
    /// `--service` without `name=`.
    NoName(String),
    /// The name breaks the naming rules.
    BadName(String),
    /// What follows `name=` is no known kind of service.
    BadTarget(String),
    /// `https://`, which is not built in.
    Https,
    /// A URL that is no `http://host[:port][/path]`.
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `exec:` without a command.
    NoCommand,
    /// The command cannot be split into words.
    Command(WordsError),
    /// The command cannot be started.
    Spawn {
        /// The program, the first word of the command.
        program: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// `demo:` with an unknown name.
    NoDemo(String),
    /// A demo service was opened before it was told its node.
    NoNode,
    /// The program file cannot be read.
    File {
        /// The path as given.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The program file is too large.
    FileTooLarge {
        /// The path as given.
        path: String,
        /// The largest size in bytes.
        limit: u64,
    },
    /// The program does not compile, or fails while it declares its services.
    Program {
        /// The path as given.
        path: String,
        /// What is wrong, with line and position where they are known.
        message: String,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(text) => write!(f, "the service '{text}' has no name; write {FORMS}"),
            Self::BadName(name) => {
                write!(f, "'{name}' cannot name a service: {}", NameInvalid::Service)
            }
            Self::BadTarget(target) => {
                write!(f, "'{target}' is no kind of service; write {FORMS}")
            }
            Self::Https => f.write_str(
                "https:// upstreams are not built in; use http:// and put a TLS proxy in front of \
                 the upstream",
            ),
            Self::BadUrl { url, reason } => {
                write!(f, "'{url}': {reason}; write http://host:port/path")
            }
            Self::NoCommand => f.write_str(
                "exec: needs a command; write for example name=exec:python3 examples/child.py",
            ),
            Self::Command(error) => write!(f, "the command cannot be split into words: {error}"),
            Self::Spawn { program, error } => write!(
                f,
                "'{program}' cannot be started: {error}; check the path and that it is executable",
            ),
            Self::NoDemo(kind) => {
                write!(f, "there is no demo service '{kind}'; choose one of")?;
                Demo::ALL.iter().try_for_each(|demo| write!(f, " {}", demo.name()))
            }
            Self::NoNode => f.write_str(
                "a demo service names its node in its answers; call ServiceSpec::for_node first",
            ),
            Self::File { path, error } => write!(f, "the program '{path}' cannot be read: {error}"),
            Self::FileTooLarge { path, limit } => {
                write!(f, "the program '{path}' is larger than {limit} bytes; split it in two")
            }
            Self::Program { path, message } => write!(f, "{path}: {message}"),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn { error, .. } | Self::File { error, .. } => Some(error),
            Self::Command(error) => Some(error),
            Self::NoName(_)
            | Self::BadName(_)
            | Self::BadTarget(_)
            | Self::Https
            | Self::BadUrl { .. }
            | Self::NoCommand
            | Self::NoDemo(_)
            | Self::NoNode
            | Self::FileTooLarge { .. }
            | Self::Program { .. } => None,
        }
    }
}

/// Text of others as it may stand in a message: no control characters, not too long.
fn shortened(text: &str) -> String {
    let mut escaped: String = text.chars().take(SHOWN_CHARS_MAX + 1).collect();
    if escaped.chars().count() > SHOWN_CHARS_MAX {
        escaped.pop();
        escaped.push('…');
    }
    escaped
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

const FORMS: &str = "name=http://host:port/path, name=exec:COMMAND or name=demo:counter";
const SHOWN_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let spec = ServiceSpec::parse("blog=http://127.0.0.1:3000/rpc?a=b").unwrap();
        assert_eq!(spec.name(), "blog");
        assert!(matches!(spec.target(), Target::Http(url) if url.path() == "/rpc"));
        let spec: ServiceSpec = "up=exec:python3 'my child.py' --flag=1".parse().unwrap();
        let words = ["python3", "my child.py", "--flag=1"].map(str::to_owned);
        assert_eq!(spec.target(), &Target::Exec(words.to_vec()));
        for demo in Demo::ALL {
            let spec = ServiceSpec::parse(&format!("x=demo:{}", demo.name())).unwrap();
            assert_eq!(spec.target(), &Target::Demo(*demo));
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (text, hint) in [
            ("http://host:1/", "'http://host:1/' has no name; write name=http://"),
            ("=demo:echo", "cannot name a service: a service name is 1 to 64"),
            ("a.b=demo:echo", "cannot name a service"),
            ("a=demo:nope", "choose one of counter echo kv"),
            ("a=exec:", "exec: needs a command"),
            ("a=exec:''", "exec: needs a command"),
            ("a=exec:x 'y", "opened but not closed"),
            ("a=https://host/", "put a TLS proxy"),
            ("a=http:///path", "write http://host:port/path"),
            ("a=http://user:secret@host/", "write http://host:port/path"),
            ("a=ftp://host/", "is no kind of service"),
            ("a=\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            let message = ServiceSpec::parse(text).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
            assert!(!message.contains("secret") && !message.contains('\u{1b}'), "{message}");
        }
        let long = ServiceSpec::parse(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 400, "{long}");
    }

    #[tokio::test]
    async fn a_demo_needs_its_node() {
        let opened = ServiceSpec::parse("a=demo:counter").unwrap().open().await;
        assert!(matches!(opened.err(), Some(HostError::NoNode)));
    }
}
