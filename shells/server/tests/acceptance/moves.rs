//! A Main that stops, with others to go to: nobody notices.

use crate::world::{Main, call, until};
use relay_tokio::{Answer, CallRequest, Endpoint, Node, NodeConfig, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A Home and a caller that know two Mains move to the other one when theirs is told to stop, while
/// calls run all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stopped_main_costs_no_call() {
    let b = Main::named("relay-b", &["--port", "0"]);
    let a = Main::named("relay-a", &["--port", "0", "--peers", &b.url(), "--shutdown-grace", "4s"]);
    let mains = format!("{},{}", a.url(), b.url());
    let flags = ["--connect", &mains, "--node-id", "bob.home", "--service", "echo=demo:echo"];
    let home = crate::process::Process::relay(&flags);
    a.until_offered("echo", "bob.home").await;
    let caller = caller(&[a.url(), b.url()]).await;
    let traffic = Traffic::start(&caller);
    traffic.until_answered(50).await;

    a.process.signal("TERM");
    a.process.lines_until("serving on until everyone has moved");
    b.until_offered("echo", "bob.home").await;
    traffic.until_answered(200).await;
    let (code, lines) = a.process.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    // Now there is only the other one.
    traffic.until_answered(100).await;
    assert_eq!(traffic.stop().await, Vec::<String>::new());
    home.lines_until("peer=relay-b");
    let response = b.rpc(&call("bob.home@relay-b.echo.echo", "1", "[1]")).await.json();
    assert!(response.get("result").is_some(), "{response}");
}

async fn caller(mains: &[String]) -> Node {
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = mains.iter().map(|main| Endpoint::parse(main).unwrap()).collect();
    let caller = Node::start(config).unwrap();
    caller.connected().await;
    caller
}

/// Calls without end, several at a time.
struct Traffic {
    answered: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Traffic {
    fn start(caller: &Node) -> Self {
        let (answered, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let tasks = (0..4).map(|_| {
            let (caller, answered, is_over) = (caller.clone(), answered.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    match caller.call(CallRequest::new("echo", "echo", &b"[1]"[..])).await {
                        Ok(Answer::Result(_)) => {}
                        other => failures.push(format!("{other:?}")),
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                failures
            })
        });
        let tasks = tasks.collect();
        Self { answered, is_over, tasks }
    }

    async fn until_answered(&self, more: usize) {
        let wanted = self.answered.load(Ordering::SeqCst) + more;
        until("calls go on", async || self.answered.load(Ordering::SeqCst) >= wanted).await;
    }

    /// What failed.
    async fn stop(self) -> Vec<String> {
        self.is_over.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.unwrap());
        }
        failures
    }
}
