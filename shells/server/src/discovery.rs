//! Whom a Main federates with: peers from flags, files and HTTP, and peers found by DNS, which
//! come and go with the records. A peer that several sources name is dialled once, and stays
//! until the last of them lets go of it.

mod lookup;
mod name;
mod own;
mod watched;

pub use name::{DnsName, Peer, PeerInvalid};

use relay_tokio::{Endpoint, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use watched::{Change, Watched, pause_after_answer};

/// How names are looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoveryConfig {
    /// The DNS servers to ask; those of the system when there are none.
    pub dns_servers: Vec<SocketAddr>,
    /// Longest pause between two lookups of a name.
    pub interval: Duration,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { dns_servers: Vec::new(), interval: Duration::from_secs(30) }
    }
}

/// The peers of a node. Cheap to clone; names are watched until the last clone is gone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

/// Why a name is not watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyNames;

struct Inner {
    node: Node,
    config: DiscoveryConfig,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Who wants a link to which address.
    holders: BTreeMap<String, BTreeSet<Holder>>,
    names: BTreeMap<DnsName, Watch>,
    /// Looks for addresses that lead to this node itself, once there are names.
    own_watch: Option<AbortHandle>,
}

/// Who wants a peer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// A person: by flag, file or HTTP.
    Person,
    /// The records of a name.
    Name(DnsName),
}

struct Watch {
    task: AbortHandle,
    watched: Watched,
}

impl Peers {
    /// No peers yet.
    #[must_use]
    pub fn new(node: Node, config: DiscoveryConfig) -> Self {
        Self(Arc::new(Inner { node, config, book: Mutex::default() }))
    }

    /// The node whose peers these are.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// Keeps a link to each peer that `peer` stands for. Has to be called on a tokio runtime.
    ///
    /// # Errors
    /// [`TooManyNames`] when a bound is reached.
    pub fn add(&self, peer: &Peer) -> Result<(), TooManyNames> {
        match peer {
            Peer::Endpoint(endpoint) => {
                self.0.book().hold(&self.0.node, endpoint, Holder::Person);
                Ok(())
            }
            Peer::Dns(name) => self.watch(name),
        }
    }

    /// Forgets a peer by its address, its id or its DNS name, whoever named it. Tells whether
    /// there was one. What DNS found stays forgotten as long as the records name it.
    #[must_use]
    pub fn remove(&self, address_or_id: &str) -> bool {
        if let Ok(Peer::Dns(name)) = Peer::parse(address_or_id) {
            return self.unwatch(&name);
        }
        let view = self.0.node.registry();
        let by_id = view.peers.iter().find(|peer| peer.node.as_deref() == Some(address_or_id));
        let mut book = self.0.book();
        if let Some(peer) = by_id {
            book.holders.remove(&peer.address);
        }
        book.holders.remove(address_or_id);
        self.0.node.remove_peer(address_or_id)
    }

    fn watch(&self, name: &DnsName) -> Result<(), TooManyNames> {
        let mut book = self.0.book();
        if book.names.contains_key(name) {
            return Ok(());
        }
        if book.names.len() >= NAMES_MAX {
            return Err(TooManyNames);
        }
        if book.own_watch.is_none() {
            let task = tokio::spawn(own::watch(self.0.node.events(), Arc::downgrade(&self.0)));
            book.own_watch = Some(task.abort_handle());
        }
        let config = self.0.config.clone();
        let task = tokio::spawn(follow(name.clone(), config, Arc::downgrade(&self.0)));
        let watch = Watch { task: task.abort_handle(), watched: Watched::default() };
        book.names.insert(name.clone(), watch);
        Ok(())
    }

    fn unwatch(&self, name: &DnsName) -> bool {
        let mut book = self.0.book();
        let Some(watch) = book.names.remove(name) else { return false };
        watch.task.abort();
        for peer in watch.watched.into_peers() {
            book.release(&self.0.node, &peer, name);
        }
        true
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies what a lookup gave. Gives the pause before the next one, or nothing when the name
    /// is no longer watched.
    fn take(
        &self,
        name: &DnsName,
        result: &Result<lookup::Answer, lookup::LookupError>,
    ) -> Option<Duration> {
        let interval = self.config.interval;
        let mut book = self.book();
        let watched = &mut book.names.get_mut(name)?.watched;
        match result {
            Ok(answer) => {
                let change = watched.answered(answer);
                self.apply(&mut book, name, &change);
                Some(pause_after_answer(answer.ttl, interval))
            }
            Err(why) => {
                // Without randomness the pause is its least, which is only less polite.
                let pause = watched.failed(interval, getrandom::u32().unwrap_or(0));
                let (keeps, retry_ms) = (watched.len(), pause.as_millis());
                tracing::warn!(%name, %why, keeps, retry_ms, "cannot look up peers by DNS");
                Some(pause)
            }
        }
    }

    fn apply(&self, book: &mut Book, name: &DnsName, change: &Change) {
        for why in &change.complaints {
            tracing::warn!(%name, why, "DNS records are left out");
        }
        for peer in &change.added {
            tracing::info!(%peer, %name, why = "in the DNS answer", "peer added");
            book.hold(&self.node, peer, Holder::Name(name.clone()));
        }
        for peer in &change.removed {
            tracing::info!(%peer, %name, why = "missing in two DNS answers", "peer removed");
            book.release(&self.node, peer, name);
        }
    }

    /// Stops dialling an address that leads to this node. What a person named is left to the
    /// person; what DNS named stays in the book, so that the next answer does not add it again.
    fn is_own(&self, address: &str) {
        let book = self.book();
        let is_found = book
            .holders
            .get(address)
            .is_some_and(|holders| !holders.is_empty() && !holders.contains(&Holder::Person));
        if is_found && self.node.remove_peer(address) {
            let why = "it is this node itself, or another with a copy of its key";
            tracing::info!(peer = address, why, "peer found by DNS is not dialled");
        }
    }
}

impl Book {
    fn hold(&mut self, node: &Node, endpoint: &Endpoint, holder: Holder) {
        let holders = self.holders.entry(endpoint.to_string()).or_default();
        let is_dialled = !holders.is_empty();
        holders.insert(holder);
        if !is_dialled {
            node.add_peer(endpoint);
        }
    }

    fn release(&mut self, node: &Node, endpoint: &Endpoint, name: &DnsName) {
        let address = endpoint.to_string();
        let Some(holders) = self.holders.get_mut(&address) else { return };
        holders.remove(&Holder::Name(name.clone()));
        if holders.is_empty() {
            self.holders.remove(&address);
            // It may have turned out to be this node, and is not dialled then.
            let _was_dialled = node.remove_peer(&address);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let book = self.book.get_mut().unwrap_or_else(PoisonError::into_inner);
        book.names.values().for_each(|watch| watch.task.abort());
        if let Some(task) = &book.own_watch {
            task.abort();
        }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl fmt::Display for TooManyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAMES_MAX} DNS names are watched already: remove one first")
    }
}

impl std::error::Error for TooManyNames {}

/// Looks the name up again and again, until nobody wants to know.
async fn follow(name: DnsName, config: DiscoveryConfig, peers: Weak<Inner>) {
    loop {
        let result = lookup::look_up(&name, &config.dns_servers).await;
        let pause = peers.upgrade().and_then(|peers| peers.take(&name, &result));
        let Some(pause) = pause else { return };
        tokio::time::sleep(pause).await;
    }
}

/// Most names watched at once.
const NAMES_MAX: usize = 64;
