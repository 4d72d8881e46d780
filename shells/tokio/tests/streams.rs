//! Streams from a service to a caller through a Main, and back.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking, too")]

use bytes::Bytes;
use futures_util::StreamExt;
use relay_tokio::{
    Answer, CallRequest, Client, ErrorCode, Home, Node, NodeConfig, Role, ServiceError,
    ServiceRequest, StreamError, Tcp, service_fn,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

struct World {
    _home: Home,
    client: Client,
    sent: Arc<AtomicU32>,
}

impl World {
    /// A Main, a Home that offers `flow`, and a caller.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("tcp://{}", listener.local_addr().expect("bound"));
        let mut config = NodeConfig::new(Role::Main);
        config.limits.publish_interval = Duration::ZERO;
        let main = Node::start(config).expect("starts");
        let accepting = main.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepting.accept(Tcp::new(socket));
            }
        });
        let sent = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&sent);
        let flow = service_fn(&[], move |request| serve(request, Arc::clone(&counted)));
        let home = Home::connect(&address).raw_service("flow", flow).start().await.expect("starts");
        let client = Client::connect(&address).await.expect("connects");
        while !main.is_offered("flow") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { _home: home, client, sent }
    }

    fn request(method: &str) -> CallRequest {
        CallRequest { deadline: Duration::from_secs(60), ..CallRequest::new("flow", method, "") }
    }
}

async fn serve(request: ServiceRequest, sent: Arc<AtomicU32>) -> Result<Bytes, ServiceError> {
    let refused = |error: StreamError| ServiceError::failed(ErrorCode::Internal, error.to_string());
    let Some(stream) = request.stream else { return Ok("\"no stream\"".into()) };
    match request.method.as_str() {
        "many" => {
            for number in 0..CHUNKS {
                let mut chunk = vec![b'x'; 1_000];
                chunk[..4].copy_from_slice(&number.to_be_bytes());
                stream.send(chunk).await.map_err(refused)?;
                sent.fetch_add(1, Ordering::SeqCst);
            }
            Ok("\"done\"".into())
        }
        "sum" => {
            let mut sum = 0;
            while let Some(chunk) = stream.next().await {
                sum += chunk.len();
            }
            Ok(sum.to_string().into())
        }
        "large" => {
            let too_large = stream.send(vec![0; (64 << 10) + 1]).await;
            assert_eq!(too_large, Err(StreamError::TooLarge { limit: 64 << 10 }));
            for _ in 0..20 {
                stream.send(vec![7; 64 << 10]).await.map_err(refused)?;
            }
            stream.send_last("end").await.map_err(refused)?;
            assert_eq!(stream.send("more").await, Err(StreamError::StreamEnded));
            Ok("1".into())
        }
        other => Err(ServiceError::no_such_method(other)),
    }
}

#[tokio::test]
async fn chunks_come_in_order_and_no_faster_than_they_are_read() {
    let world = World::start().await;
    let node = world.client.node();
    let (mut stream, answer) = node.call_streaming(&World::request("many")).expect("accepted");
    let first = stream.next().await.expect("a chunk");
    assert_eq!(first[..4], 0_u32.to_be_bytes());
    // It stands still now: what was granted is 256 KiB, and a chunk costs 1,032 bytes of it.
    let mut seen = 0;
    while seen < WINDOW_CHUNKS {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen = world.sent.load(Ordering::SeqCst);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(world.sent.load(Ordering::SeqCst) <= WINDOW_CHUNKS, "no more than the window");
    for number in 1..CHUNKS {
        // By the trait this time.
        let chunk = StreamExt::next(&mut stream).await.expect("a chunk");
        assert_eq!((&chunk[..4], chunk.len()), (&number.to_be_bytes()[..], 1_000));
    }
    assert!(stream.next().await.is_none(), "the stream ends with the call");
    assert_eq!(answer.await, Ok(Answer::Result("\"done\"".into())));
}

#[tokio::test]
async fn who_does_not_read_gets_the_answer_all_the_same() {
    let world = World::start().await;
    let node = world.client.node();
    let (stream, answer) = node.call_streaming(&World::request("many")).expect("accepted");
    drop(stream);
    assert_eq!(answer.await, Ok(Answer::Result("\"done\"".into())));
    // A call without streams has none, and one that is given up ends its stream.
    let plain = node.call(World::request("many")).await;
    assert_eq!(plain, Ok(Answer::Result("\"no stream\"".into())));
    let (stream, answer) = node.call_streaming(&World::request("many")).expect("accepted");
    assert!(stream.next().await.is_some());
    drop(answer);
    while stream.next().await.is_some() {}
    assert_eq!(stream.send("x").await, Err(StreamError::CallEnded));
    while node.calls_in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn large_chunks_pass_and_too_large_ones_are_refused() {
    let world = World::start().await;
    let request = World::request("large");
    let (stream, answer) = world.client.node().call_streaming(&request).expect("accepted");
    let mut lengths = Vec::new();
    while let Some(chunk) = stream.next().await {
        lengths.push(chunk.len());
    }
    assert_eq!(lengths, [vec![64 << 10; 20], vec![3]].concat());
    assert_eq!(answer.await, Ok(Answer::Result("1".into())));
}

#[tokio::test]
async fn a_caller_streams_to_its_handler() {
    let world = World::start().await;
    let request = World::request("sum");
    let (stream, answer) = world.client.node().call_streaming(&request).expect("accepted");
    for _ in 0..CHUNKS {
        stream.send(vec![1; 1_000]).await.expect("taken");
    }
    stream.send_last("").await.expect("taken");
    let sum = (CHUNKS * 1_000).to_string();
    assert_eq!(answer.await, Ok(Answer::Result(sum.into())));
}

const CHUNKS: u32 = 1_000;
/// Chunks of 1,032 bytes in 256 KiB. The one that was read is not granted again yet.
const WINDOW_CHUNKS: u32 = (256 << 10) / 1_032;
