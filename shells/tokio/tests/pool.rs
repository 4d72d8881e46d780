//! Links that share the calls of a program: when they are opened, which one is used, when they
//! are closed.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use relay_tokio::{
    Answer, CallRequest, Endpoint, Node, NodeConfig, Pool, PoolConfig, Role, Selection, StartError,
    Tcp, service_fn,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A Main with a service whose calls wait for the gate.
async fn main_with_gate() -> (Node, Endpoint, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("tcp://{}", listener.local_addr().expect("bound"));
    let main = Node::start(NodeConfig::new(Role::Main)).expect("starts");
    let accepting = main.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            accepting.accept(Tcp::new(socket));
        }
    });
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let service = service_fn(&["pass"], move |request| {
        let gate = Arc::clone(&waits);
        async move {
            if let Ok(permit) = gate.acquire().await {
                permit.forget();
            }
            Ok(request.body)
        }
    });
    main.register("gate", Arc::new(service)).expect("registers");
    (main, Endpoint::parse(&address).expect("valid"), gate)
}

fn config(endpoint: Endpoint, min: usize, max: usize, selection: Selection) -> PoolConfig {
    let mut node = NodeConfig::new(Role::Caller);
    node.upstreams = vec![endpoint];
    let mut config = PoolConfig::new(node);
    (config.min, config.max, config.selection, config.busy_at) = (min, max, selection, 2);
    config
}

async fn all_connected(pool: &Pool) {
    for node in pool.nodes() {
        node.connected().await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Begins calls that wait for the gate, and waits until each is in flight.
async fn begin(
    pool: &Pool,
    calls: u32,
) -> Vec<tokio::task::JoinHandle<Result<Answer, relay_tokio::CallError>>> {
    let mut begun = Vec::new();
    for _ in 0..calls {
        let before = pool.stats().calls_in_flight;
        let calling = pool.clone();
        let call = async move { calling.call(CallRequest::new("gate", "pass", "7")).await };
        begun.push(tokio::spawn(call));
        until(|| pool.stats().calls_in_flight > before).await;
        all_connected(pool).await;
    }
    begun
}

fn loads(pool: &Pool) -> Vec<u32> {
    pool.nodes().iter().map(Node::calls_in_flight).collect()
}

#[tokio::test]
async fn links_are_opened_while_all_are_busy_and_closed_when_idle() {
    let (main, endpoint, gate) = main_with_gate().await;
    let mut config = config(endpoint, 1, 3, Selection::LeastLoaded);
    config.idle_timeout = Duration::from_millis(50);
    config.health_interval = Duration::from_millis(20);
    let pool = Pool::start(config).expect("starts");
    pool.connected().await;
    assert_eq!((pool.stats().links, main.link_count()), (1, 1));

    // Two calls make a link busy; the third opens another one, and no link beyond the third.
    let begun = begin(&pool, 12).await;
    assert_eq!(pool.stats().links, 3, "{:?}", pool.stats());
    assert_eq!(loads(&pool).iter().sum::<u32>(), 12);
    // Calls that were in flight are nobody's idle time.
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(pool.stats().links, 3);

    gate.add_permits(12);
    for call in begun {
        assert_eq!(call.await.expect("no panic"), Ok(Answer::Result("7".into())));
    }
    until(|| pool.stats().links == 1 && main.link_count() == 1).await;
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.closed_idle, stats.calls), (3, 2, 12), "{stats:?}");
    drop(pool);
    until(|| main.link_count() == 0).await;
}

#[tokio::test]
async fn each_selection_spreads_calls_its_own_way() {
    for (selection, expected) in [
        (Selection::RoundRobin, [2, 2, 2]),
        (Selection::LeastLoaded, [2, 2, 2]),
        (Selection::FirstAvailable, [2, 2, 2]),
    ] {
        let (_main, endpoint, gate) = main_with_gate().await;
        let pool = Pool::start(config(endpoint, 3, 3, selection)).expect("starts");
        all_connected(&pool).await;
        let first = begin(&pool, 2).await;
        let so_far = match selection {
            Selection::FirstAvailable => [2, 0, 0],
            Selection::RoundRobin | Selection::LeastLoaded => [1, 1, 0],
        };
        assert_eq!(loads(&pool), so_far, "{selection:?}");
        let rest = begin(&pool, 4).await;
        assert_eq!(loads(&pool), expected, "{selection:?}");
        gate.add_permits(6);
        for call in first.into_iter().chain(rest) {
            assert_eq!(call.await.expect("no panic"), Ok(Answer::Result("7".into())));
        }
        pool.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_link_that_is_lost_gets_no_calls() {
    let (main, endpoint, gate) = main_with_gate().await;
    let pool = Pool::start(config(endpoint, 2, 2, Selection::RoundRobin)).expect("starts");
    all_connected(&pool).await;
    pool.nodes()[0].close(Duration::ZERO).await;
    until(|| main.link_count() == 1).await;
    let begun = begin_on_living(&pool, 3).await;
    assert_eq!(loads(&pool), [0, 3]);
    gate.add_permits(3);
    for call in begun {
        assert_eq!(call.await.expect("no panic"), Ok(Answer::Result("7".into())));
    }
}

async fn begin_on_living(
    pool: &Pool,
    calls: u32,
) -> Vec<tokio::task::JoinHandle<Result<Answer, relay_tokio::CallError>>> {
    let mut begun = Vec::new();
    for number in 0..calls {
        let calling = pool.clone();
        let call = async move { calling.call(CallRequest::new("gate", "pass", "7")).await };
        begun.push(tokio::spawn(call));
        until(|| pool.stats().calls_in_flight > number).await;
    }
    begun
}

#[tokio::test]
async fn a_pool_that_contradicts_itself_does_not_start() {
    let endpoint = Endpoint::parse("tcp://127.0.0.1:9").expect("valid");
    let usual = || config(endpoint.clone(), 1, 2, Selection::RoundRobin);
    let mut wrong = [usual(), usual(), usual(), usual()];
    wrong[0].min = 0;
    wrong[1].max = 0;
    wrong[2].node.node_id = Some("alice".into());
    wrong[3].node.role = Role::Home;
    for config in wrong {
        let started = Pool::start(config);
        assert!(matches!(started, Err(StartError::Pool)), "{started:?}");
    }
}
