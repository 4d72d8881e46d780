//! Several links to the same Mains for a program that calls a lot.
//!
//! One link carries any number of calls side by side, up to what the Main grants to a caller. More
//! links help beyond that, and where large bodies would make small calls wait behind them in one
//! TCP connection. Mains among themselves keep one link: what they announce is an ordered stream.

use crate::call::CallRequest;
use crate::node::{Answer, Node, NodeConfig, StartError};
use crate::runtime::Runtime;
use futures_util::future::{join_all, select_all};
use relay_core::{CallError, Role};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Links that share the calls of a program. They are opened as calls need them, and closed when
/// they have been idle for long. Cheap to clone; dropping the last clone closes all of them.
pub struct Pool<R>(Arc<Shared<R>>);

/// How many links there are, and which one gets a call.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// What each link is made of: cluster, token, Mains. Each link is a caller of its own, so it
    /// names neither a node id nor a key.
    pub node: NodeConfig,
    /// Links that are kept whether they are used or not; at least 1.
    pub min: usize,
    /// Links that there are at most.
    pub max: usize,
    /// Which link gets a call.
    pub selection: Selection,
    /// Calls in flight on every link beyond which another one is opened.
    pub busy_at: u32,
    /// Links beyond `min` are closed when they have had no calls for so long.
    pub idle_timeout: Duration,
    /// How often that is looked at. Whether a link lives is up to its node, which sees that by its
    /// keepalive and dials again.
    pub health_interval: Duration,
}

/// Which link gets a call, among those that are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Selection {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest calls in flight.
    #[default]
    LeastLoaded,
    /// The first one that is not busy, so that few links do most of the work.
    FirstAvailable,
}

/// What a pool consists of, and what it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStats {
    /// Links that are kept, those that are being dialled included.
    pub links: usize,
    /// Links that are authenticated.
    pub connected: usize,
    /// Calls in flight.
    pub calls_in_flight: u32,
    /// Calls so far.
    pub calls: u64,
    /// Links opened so far.
    pub opened: u64,
    /// Links closed because they were idle.
    pub closed_idle: u64,
}

struct Shared<R> {
    config: PoolConfig,
    runtime: Arc<R>,
    state: Mutex<State<R>>,
}

struct State<R> {
    members: Vec<Member<R>>,
    turn: usize,
    calls: u64,
    opened: u64,
    closed_idle: u64,
}

struct Member<R> {
    node: Node<R>,
    used_at: Duration,
}

impl PoolConfig {
    /// One to ten links to the Mains of `node`; the least loaded one gets a call.
    #[must_use]
    pub fn new(node: NodeConfig) -> Self {
        Self {
            node,
            min: 1,
            max: 10,
            selection: Selection::default(),
            busy_at: 32,
            idle_timeout: Duration::from_mins(1),
            health_interval: Duration::from_secs(30),
        }
    }
}

impl<R: Runtime> Pool<R> {
    /// Begins to dial `min` links on the runtime of the caller.
    ///
    /// # Errors
    /// [`StartError::Pool`] when the numbers contradict each other or the links would not be
    /// callers of their own; otherwise as [`Node::start`].
    ///
    /// # Panics
    /// As [`Node::start`].
    pub fn start(config: PoolConfig) -> Result<Self, StartError> {
        Self::start_on(config, R::current())
    }

    /// The same on a runtime that was made for it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(config: PoolConfig, runtime: R) -> Result<Self, StartError> {
        let node = &config.node;
        let is_alike = node.node_id.is_none() && node.secret_key.is_none();
        if config.min == 0 || config.max < config.min || !is_alike || node.role != Role::Caller {
            return Err(StartError::Pool);
        }
        let (runtime, state) = (Arc::new(runtime), Mutex::new(State::default()));
        let shared = Arc::new(Shared { config, runtime, state });
        for _ in 0..shared.config.min {
            shared.open(&mut shared.lock())?;
        }
        let keeper = keep(Arc::downgrade(&shared), Arc::clone(&shared.runtime));
        shared.runtime.spawn(Box::pin(keeper));
        Ok(Self(shared))
    }

    /// Calls a service over one of the links. Dropping the future cancels the call.
    ///
    /// # Errors
    /// As [`Node::call`].
    pub async fn call(&self, request: CallRequest) -> Result<Answer, CallError> {
        self.pick().call(request).await
    }

    /// The node behind the link that is to get the next call: for streams and traces.
    #[must_use]
    pub fn pick(&self) -> Node<R> {
        let mut state = self.0.lock();
        let picked = self.0.choose(&mut state);
        state.calls += 1;
        let now = self.0.runtime.now();
        let member = &mut state.members[picked];
        member.used_at = now;
        member.node.clone()
    }

    /// The nodes behind all links that are kept.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node<R>> {
        self.0.lock().members.iter().map(|member| member.node.clone()).collect()
    }

    /// Waits until one of the links is authenticated.
    pub async fn connected(&self) {
        let nodes = self.nodes();
        select_all(nodes.iter().map(|node| Box::pin(node.connected()))).await;
    }

    /// What there is and what was done.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let state = self.0.lock();
        let members = &state.members;
        PoolStats {
            links: members.len(),
            connected: members.iter().filter(|member| member.node.is_connected()).count(),
            calls_in_flight: members.iter().map(|member| member.node.calls_in_flight()).sum(),
            calls: state.calls,
            opened: state.opened,
            closed_idle: state.closed_idle,
        }
    }

    /// Leaves in good order on every link. See [`Node::shutdown`].
    pub async fn shutdown(&self, grace: Duration) {
        let nodes = self.nodes();
        join_all(nodes.iter().map(|node| node.shutdown(grace))).await;
    }
}

impl<R: Runtime> Shared<R> {
    fn open(&self, state: &mut State<R>) -> Result<(), StartError> {
        let node = Node::start_shared(self.config.node.clone(), Arc::clone(&self.runtime))?;
        state.members.push(Member { node, used_at: self.runtime.now() });
        state.opened += 1;
        Ok(())
    }

    /// The member that gets the next call. Opens a link where all are busy.
    fn choose(&self, state: &mut State<R>) -> usize {
        let members = &state.members;
        let loads: Vec<Option<u32>> = members
            .iter()
            .map(|Member { node, .. }| node.is_connected().then(|| node.calls_in_flight()))
            .collect();
        let is_free = |load: &Option<u32>| load.is_some_and(|load| load < self.config.busy_at);
        let least = || {
            let loaded = loads.iter().enumerate().filter_map(|(at, load)| Some(((*load)?, at)));
            loaded.min().map_or(0, |(_, at)| at)
        };
        let picked = match self.config.selection {
            Selection::LeastLoaded => least(),
            Selection::FirstAvailable => loads.iter().position(is_free).unwrap_or_else(least),
            Selection::RoundRobin => {
                let in_turn = (0..loads.len()).map(|next| (state.turn + next) % loads.len());
                let next = in_turn.clone().find(|at| loads[*at].is_some());
                next.unwrap_or_default()
            }
        };
        state.turn = picked + 1;
        // One that is being dialled will take its share soon.
        let all_busy = loads.iter().all(|load| load.is_some() && !is_free(load));
        if all_busy && loads.len() < self.config.max {
            // A node like the others: what could be wrong with it would have been wrong before.
            let opened = self.open(state);
            debug_assert!(opened.is_ok(), "{opened:?}");
        }
        picked
    }

    /// Takes out the links that have been idle for too long, the newest ones first.
    fn take_idle(&self) -> Vec<Node<R>> {
        let mut state = self.lock();
        let now = self.runtime.now();
        let mut idle = Vec::new();
        for at in (0..state.members.len()).rev() {
            let Member { node, used_at } = &state.members[at];
            let is_idle = node.calls_in_flight() == 0
                && now.saturating_sub(*used_at) >= self.config.idle_timeout;
            if is_idle && state.members.len() > self.config.min {
                idle.push(state.members.remove(at).node);
                state.closed_idle += 1;
            }
        }
        idle
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes idle links, until the pool is gone.
async fn keep<R: Runtime>(pool: Weak<Shared<R>>, runtime: Arc<R>) {
    loop {
        let Some(pause) = pool.upgrade().map(|pool| pool.config.health_interval) else { return };
        runtime.sleep(pause.max(INTERVAL_LEAST)).await;
        let idle = pool.upgrade().map(|pool| pool.take_idle()).unwrap_or_default();
        for node in idle {
            node.shutdown(GOODBYE_GRACE).await;
        }
    }
}

impl<R> Drop for Shared<R> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for member in &state.members {
            member.node.close_now();
        }
    }
}

impl<R> Clone for Pool<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { members: Vec::new(), turn: 0, calls: 0, opened: 0, closed_idle: 0 }
    }
}

impl<R: Runtime> std::fmt::Debug for Pool<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.stats()).finish()
    }
}

const INTERVAL_LEAST: Duration = Duration::from_millis(1);
/// An idle link has nothing to wait for but its goodbye.
const GOODBYE_GRACE: Duration = Duration::from_millis(100);
