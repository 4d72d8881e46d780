//! What ran and what callers were told, held against each other.

use crate::mesh::{Mesh, until};
use relay_tokio::{Executed, Node, NodeConfig, Role, Service, service_fn};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often each call ran, by the number it carries.
#[derive(Default)]
pub(crate) struct Record(Mutex<BTreeMap<u64, u32>>);

/// One call of a caller, and what became of it.
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) is_idempotent: bool,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) told: Told,
}

/// What a caller was told.
pub(crate) enum Told {
    Result,
    Failed(Executed, String),
    /// An answer that is not the one of this call.
    Wrong(String),
    /// No answer, long after the deadline.
    Nothing,
}

/// How many calls ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: usize,
    pub(crate) results: usize,
    pub(crate) no: usize,
    pub(crate) yes: usize,
    pub(crate) unknown: usize,
    /// Idempotent calls that ran twice, which they may.
    pub(crate) twice: usize,
}

impl Record {
    /// A service whose method `run` notes the call and answers with what it carries, its number.
    /// Every fourth call takes some time, so that there are always calls that run.
    fn service(self: &Arc<Self>) -> impl Service + use<> {
        let record = Arc::clone(self);
        service_fn(&["run"], move |request| {
            let [number]: [u64; 1] = serde_json::from_slice(&request.body).unwrap();
            *record.runs().entry(number).or_default() += 1;
            async move {
                if number.is_multiple_of(4) {
                    tokio::time::sleep(WORK).await;
                }
                Ok(request.body)
            }
        })
    }

    /// Homes that go by the Mains in different orders. Each service is offered by two of them, at
    /// different Mains at first, so that calls cross Mains and have somewhere else to go.
    pub(crate) fn homes(self: &Arc<Self>, mesh: &Mesh, count: usize) -> Vec<Node> {
        let homes = (0..count).map(|nth| {
            let mut config = NodeConfig::new(Role::Home);
            config.node_id = Some(format!("home-{nth}"));
            config.upstreams = mesh.order(nth);
            let home = Node::start(config).unwrap();
            home.register(&service_of(nth as u64), Arc::new(self.service())).unwrap();
            home
        });
        homes.collect()
    }

    /// Waits until nothing runs any more in these Homes, and ends them.
    pub(crate) async fn close(&self, homes: Vec<Node>) {
        for home in homes {
            until("calls end", async || home.calls_in_flight() == 0).await;
            home.shutdown(Duration::ZERO).await;
        }
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds every call against what ran. Gives the counts, and a line for each broken promise.
    pub(crate) fn judge(&self, calls: &[Call]) -> (Counts, Vec<String>) {
        let mut counts = Counts::default();
        let mut broken = Vec::new();
        let runs = self.runs();
        for call in calls {
            let ran = runs.get(&call.number).copied().unwrap_or_default();
            let runs_max = if call.is_idempotent { ATTEMPTS_MAX } else { 1 };
            counts.calls += 1;
            counts.twice += usize::from(ran == 2 && call.is_idempotent);
            let holds = match &call.told {
                Told::Result => {
                    counts.results += 1;
                    ran >= 1
                }
                Told::Failed(Executed::No, _) => {
                    counts.no += 1;
                    ran == 0
                }
                Told::Failed(Executed::Yes, _) => {
                    counts.yes += 1;
                    ran >= 1
                }
                Told::Failed(Executed::Unknown, _) => {
                    counts.unknown += 1;
                    true
                }
                Told::Wrong(_) | Told::Nothing => false,
            };
            if !holds || ran > runs_max {
                broken.push(format!("ran {ran} times: {call}"));
            }
        }
        let made: BTreeSet<u64> = calls.iter().map(|call| call.number).collect();
        assert_eq!(made.len(), calls.len(), "every call has one number and one answer");
        broken.extend(
            runs.keys()
                .filter(|number| !made.contains(number))
                .map(|number| format!("call {number} ran, but nobody made it")),
        );
        (counts, broken)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.ended.duration_since(self.begun);
        let kind = if self.is_idempotent { "idempotent " } else { "" };
        write!(f, "{kind}call {}, told after {took:?}: ", self.number)?;
        match &self.told {
            Told::Result => f.write_str("its result"),
            Told::Failed(_, why) => f.write_str(why),
            Told::Wrong(answer) => write!(f, "a wrong answer, {answer}"),
            Told::Nothing => f.write_str("nothing"),
        }
    }
}

/// The service that a call with this number goes to.
pub(crate) fn service_of(number: u64) -> String {
    format!("record-{}", number % 3)
}

const WORK: Duration = Duration::from_millis(4);
/// `Limits::attempts_max`.
const ATTEMPTS_MAX: u32 = 2;
