//! An answer waits for its caller, whatever the node does meanwhile.

use bytes::Bytes;
use relay_tokio::{Answer, CallRequest, Node, NodeConfig, Role, service_fn};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

#[tokio::test]
async fn an_answer_is_kept_when_a_later_call_gets_its_slot() {
    let node = Node::start(NodeConfig::new(Role::Main)).expect("starts");
    let service = service_fn(&["echo"], |request| async move {
        tokio::task::yield_now().await;
        Ok::<Bytes, _>(request.body)
    });
    node.register("blog", Arc::new(service)).expect("registers");
    let mut first = pin!(node.call(CallRequest::new("blog", "echo", "[1]")));
    let polled = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_ready())).await;
    assert!(!polled, "the handler yields once");
    while node.calls_in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    // The node has answered the first call and may use its label again.
    let second = node.call(CallRequest::new("blog", "echo", "[2]")).await.expect("answers");
    assert!(matches!(second, Answer::Result(body) if body == "[2]"));
    let first = tokio::time::timeout(Duration::from_secs(5), first).await.expect("not lost");
    assert!(matches!(first.expect("answers"), Answer::Result(body) if body == "[1]"));
}
