//! A Main, a Home and a caller in one process, over real sockets.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use relay_tokio::{
    CallFailure, Client, ErrorCode, Executed, Home, JsonError, Node, NodeConfig, Role, Tcp,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

async fn main_over_tcp() -> (Node, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("tcp://{}", listener.local_addr().expect("bound"));
    let main = Node::start(NodeConfig::new(Role::Main)).expect("starts");
    let accepting = main.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            accepting.accept(Tcp::new(socket));
        }
    });
    (main, address)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_service_is_callable_by_name_and_ends_with_its_home() {
    let (main, address) = main_over_tcp().await;
    let home = Home::connect(&address)
        .node_id("alice.home")
        .service("blog", |method: String, params: Value| async move {
            match method.as_str() {
                "echo" => Ok(params),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(json!("done"))
                }
                "hang" => std::future::pending().await,
                "panic" => panic!("on purpose"),
                _ => Err(JsonError::new("no such thing")),
            }
        })
        .start()
        .await
        .expect("starts");
    let client = Client::connect(&address).await.expect("connects");
    until("blog is registered", || main.registry().services.len() == 1).await;
    let view = main.registry();
    assert_eq!(
        (view.services[0].name.as_str(), view.services[0].node.as_str()),
        ("blog", "alice.home")
    );

    let answer: Value = client.call("blog", "echo", &json!([1, "ä"])).await.expect("answered");
    assert_eq!(answer, json!([1, "ä"]));
    let answer: Value = client.call("blog", "slow", &Value::Null).await.expect("answered");
    assert_eq!(answer, json!("done"));
    let large = "x".repeat(300_000);
    let answer: String = client.call("blog", "echo", &large).await.expect("answered");
    assert_eq!(answer, large);
    let failure = client.call::<Value>("blog", "panic", &1).await.expect_err("panicked");
    assert!(matches!(failure, CallFailure::Relay(error) if error.code == ErrorCode::Internal));
    let failure = client.call::<Value>("blog", "other", &1).await.expect_err("an error");
    assert!(matches!(&failure, CallFailure::Application(o) if o.get().contains("no such thing")));
    let failure = client.call::<Value>("shop", "get", &1).await.expect_err("unknown");
    let CallFailure::Relay(error) = failure else { panic!("{failure}") };
    assert_eq!((error.code, error.executed), (ErrorCode::NoSuchService, Executed::No));

    let hanging = client.clone();
    let lost = tokio::spawn(async move { hanging.call::<Value>("blog", "hang", &1).await });
    until("the call is in flight", || main.calls_in_flight() > 0).await;
    home.shutdown(Duration::ZERO).await;
    let failure = lost.await.expect("no panic").expect_err("lost");
    let CallFailure::Relay(error) = failure else { panic!("{failure}") };
    assert_eq!((error.code, error.executed), (ErrorCode::LinkLost, Executed::Unknown));
    until("blog is gone", || main.registry().services.is_empty()).await;
}

#[tokio::test]
async fn dropping_a_call_cancels_its_handler() {
    struct Running(Arc<AtomicU32>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (main, address) = main_over_tcp().await;
    let running = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&running);
    let _home = Home::connect(&address)
        .service("slow", move |_: String, _: Value| {
            counter.fetch_add(1, Ordering::SeqCst);
            let guard = Running(Arc::clone(&counter));
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
        .start()
        .await
        .expect("starts");
    let client = Client::connect(&address).await.expect("connects");
    until("registered", || main.registry().services.len() == 1).await;
    let call = tokio::spawn(async move { client.call::<Value>("slow", "hang", &1).await });
    until("the handler runs", || running.load(Ordering::SeqCst) == 1).await;
    call.abort();
    until("the handler was dropped", || running.load(Ordering::SeqCst) == 0).await;
    until("nothing is left", || main.calls_in_flight() == 0).await;
}
/// The core reuses the id of an answered call while its answer may still wait to be taken.
#[tokio::test]
async fn every_one_of_many_calls_at_a_time_gets_its_own_answer() {
    let (main, address) = main_over_tcp().await;
    let _home = Home::connect(&address)
        .service("blog", |_: String, params: Value| async move { Ok(params) })
        .start()
        .await
        .expect("starts");
    let client = Client::connect(&address).await.expect("connects");
    until("registered", || main.registry().services.len() == 1).await;
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..32 {
        let client = client.clone();
        lanes.spawn(async move {
            for turn in 0..50 {
                let asked = json!([lane, turn]);
                let answer: Value = client.call("blog", "echo", &asked).await.expect("answered");
                assert_eq!(answer, asked);
            }
        });
    }
    let all = async {
        while let Some(lane) = lanes.join_next().await {
            lane.expect("no panic");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("no answer is lost");
}
