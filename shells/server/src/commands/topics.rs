//! `relay pub` and `relay sub`: publications through a Main, as a caller of its own.

mod listen;
mod printer;
mod publish;

pub use listen::execute as listen;
pub use publish::execute as publish;

use super::call::{endpoint_of, settings_of, start};
use super::timeout_of;
use crate::cli::{Failure, LinkArgs};
use relay_tokio::tls::ClientTls;
use relay_tokio::{CallError, Endpoint, Node, NodeConfig, Role};
use std::time::Duration;

/// Where a tool connects to, and as whom. Nothing is dialled yet.
struct Link {
    mains: Vec<Endpoint>,
    settings: NodeConfig,
    tls: ClientTls,
    timeout: Duration,
}

impl Link {
    fn of(args: &LinkArgs) -> Result<Self, Failure> {
        let urls = args.connect.iter().filter(|text| !text.is_empty());
        let mains: Vec<Endpoint> = urls.map(|text| endpoint_of(text)).collect::<Result<_, _>>()?;
        let mut settings = settings_of(&args.cluster, args.token_file.as_deref())?;
        settings.upstreams.clone_from(&mains);
        let (tls, timeout) = (super::tls::of_args(&args.tls)?, timeout_of(&args.timeout)?);
        Ok(Self { mains, settings, tls, timeout })
    }

    /// Starts the node, which dials. Inside of a runtime.
    fn start(&self) -> Result<Node, Failure> {
        start(self.settings.clone(), self.tls.clone())
    }

    /// Waits for a Main and gives its name.
    async fn reach(&self, node: &Node) -> Result<String, Failure> {
        super::call::reach(node, &self.mains, self.timeout).await?;
        let peers = node.registry().peers;
        let main = peers.into_iter().find(|peer| peer.is_healthy && peer.role == Some(Role::Main));
        Ok(main.and_then(|main| main.node).unwrap_or_else(|| "the Main".to_owned()))
    }
}

fn failed(error: &CallError) -> Failure {
    Failure::work(error.to_string())
}

/// How long closing the link may take.
const GOODBYE_MAX: Duration = Duration::from_millis(250);
