//! Callers that call all the time, by links and by HTTP, and note what they are told.

use crate::http::{self, Kept, Trouble};
use crate::mesh::{Mesh, until};
use crate::record::{Call, Told, service_of};
use relay_tokio::{Answer, CallRequest, Executed, Node, NodeConfig, Role};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Callers, until they are told to stop.
#[derive(Default)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    callers: Vec<Caller>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    is_over: AtomicBool,
}

/// One of them, with its calls in the order of their ends.
struct Caller {
    /// None for one that calls by HTTP.
    node: Option<Node>,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// How calls are made.
enum Way {
    Link(Node),
    Http(HttpCaller),
}

/// Calls the Main at this place of the list as long as it takes them.
struct HttpCaller {
    mains: [SocketAddr; 3],
    at: usize,
    /// Uses a connection for many calls.
    keeps: bool,
    kept: Kept,
}

impl Traffic {
    /// Callers with a link to one of the Mains, each by another order; once all are linked.
    pub(crate) async fn add_linked(&mut self, mesh: &Mesh, count: usize) {
        for nth in 0..count {
            let mut config = NodeConfig::new(Role::Caller);
            config.upstreams = mesh.order(nth);
            let node = Node::start(config).unwrap();
            node.connected().await;
            let ways = (0..CALLS_AT_ONCE).map(|_| Way::Link(node.clone()));
            self.add(Some(node.clone()), ways);
        }
    }

    /// Callers by HTTP that stay with a Main as long as it takes their calls, and then go to the
    /// next one; half of them with a connection for each call.
    pub(crate) fn add_http(&mut self, mesh: &Mesh, count: usize) {
        for nth in 0..count {
            let (mains, at, keeps) = (mesh.addresses(), nth % 3, nth.is_multiple_of(2));
            self.add(None, [Way::Http(HttpCaller { mains, at, keeps, kept: None })]);
        }
    }

    fn add(&mut self, node: Option<Node>, ways: impl IntoIterator<Item = Way>) {
        let calls = Arc::default();
        for way in ways {
            let (shared, calls) = (Arc::clone(&self.shared), Arc::clone(&calls));
            self.tasks.push(tokio::spawn(async move { shared.keep_calling(way, &calls).await }));
        }
        self.callers.push(Caller { node, calls });
    }

    /// Waits until every caller has a result of a call that it began after `then`.
    pub(crate) async fn until_all_succeed_after(&self, then: Instant) {
        for caller in &self.callers {
            until("a call succeeds", async || caller.first_success(then).is_some()).await;
        }
    }

    /// Which callers go by the Main at this address now.
    pub(crate) fn linked_to(&self, main: SocketAddr) -> Vec<bool> {
        let main = format!("//{main}");
        let is_linked = |node: &Node| {
            let peers = node.registry().peers;
            peers.iter().any(|peer| peer.is_healthy && peer.address.contains(&main))
        };
        self.callers.iter().map(|caller| caller.node.as_ref().is_some_and(is_linked)).collect()
    }

    /// How long after `then` each caller had the first result of a call begun after it.
    pub(crate) fn first_successes(&self, then: Instant) -> Vec<Duration> {
        let first = self.callers.iter().map(|caller| caller.first_success(then));
        first.map(|ended| ended.expect("waited for").duration_since(then)).collect()
    }

    /// Ends the callers once each has its last answer, and gives all calls.
    pub(crate) async fn stop(self) -> Vec<Call> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.callers.iter().flat_map(|caller| std::mem::take(&mut *caller.calls())).collect()
    }
}

impl Caller {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_success(&self, then: Instant) -> Option<Instant> {
        let calls = self.calls();
        let since = calls.partition_point(|call| call.ended < then);
        let succeeded = |call: &&Call| call.begun >= then && matches!(call.told, Told::Result);
        calls[since..].iter().find(succeeded).map(|call| call.ended)
    }
}

impl Shared {
    /// Calls until the end. Every second call is idempotent, where callers can say so.
    async fn keep_calling(&self, mut way: Way, calls: &Mutex<Vec<Call>>) {
        while !self.is_over.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let is_idempotent = matches!(way, Way::Link(_)) && number.is_multiple_of(2);
            let begun = Instant::now();
            let answer = async {
                match &mut way {
                    Way::Link(node) => call(node, number, is_idempotent).await,
                    Way::Http(caller) => caller.call(number).await,
                }
            };
            let told = tokio::time::timeout(DEADLINE * 3, answer).await.unwrap_or(Told::Nothing);
            let call = Call { number, is_idempotent, begun, ended: Instant::now(), told };
            calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn call(node: &Node, number: u64, idempotent: bool) -> Told {
    let params = format!("[{number}]");
    let mut request = CallRequest::new(service_of(number), "run", params.clone());
    request.idempotent = idempotent;
    request.deadline = DEADLINE;
    match node.call(request).await {
        Ok(Answer::Result(body)) if body == params => Told::Result,
        Ok(answer) => Told::Wrong(format!("{answer:?}")),
        Err(error) => Told::Failed(error.executed, error.to_string()),
    }
}

impl HttpCaller {
    /// One call. The next Main is asked only if the call provably did not run at the one before,
    /// and no Main is asked twice.
    async fn call(&mut self, number: u64) -> Told {
        let method = format!("{}.run", service_of(number));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{number}]}}"#);
        let mut last = String::new();
        for _ in self.mains {
            let (at, main) = (self.at, self.mains[self.at]);
            match http::rpc(&mut self.kept, self.keeps, main, &body).await {
                Ok(answer) if answer["result"] == json!([number]) => return Told::Result,
                Ok(answer) => {
                    let executed = match answer["error"]["data"]["executed"].as_str() {
                        Some("no") => Executed::No,
                        Some("yes") => Executed::Yes,
                        Some("unknown") => Executed::Unknown,
                        Some(_) | None => return Told::Wrong(answer.to_string()),
                    };
                    last = format!("Main {at} answered {answer}");
                    if executed != Executed::No {
                        return Told::Failed(executed, last);
                    }
                }
                Err(Trouble::Refused(error)) => last = format!("Main {at}: {error}"),
                Err(Trouble::Lost(why)) => {
                    let how = if self.keeps { "kept connection" } else { "new connection" };
                    return Told::Failed(Executed::Unknown, format!("Main {at}, {how}: {why}"));
                }
            }
            self.at = (at + 1) % self.mains.len();
        }
        Told::Failed(Executed::No, format!("no Main took the call; the last one: {last}"))
    }
}

const DEADLINE: Duration = Duration::from_secs(20);
const CALLS_AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);
