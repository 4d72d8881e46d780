//! Who is not let in, and every way in which a connection ends.

use crate::support::Client;
use crate::world::{Server, Ws, failure, request, until, within};
use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt;
use relay_server::http::{ClientLimits, GatewayConfig};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends bytes behind the upgrade and gives the code of the close that follows.
async fn code_after(server: &Server, frames: &[u8]) -> u16 {
    let mut client = Client::connect(server.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.unwrap().status, 101);
    client.send(frames).await;
    let mut bytes = Vec::new();
    while !bytes.contains(&0x88) {
        within(client.stream.read_buf(&mut bytes)).await.unwrap();
    }
    // Once it was heard, the server closes the connection, too. It may be gone already.
    let _ = client.stream.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await;
    within(client.stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(client.is_closed_within(Duration::from_secs(60)).await);
    let at = bytes.iter().position(|&byte| byte == 0x88).expect("a close frame");
    u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])
}

/// A frame as a client sends it; the mask is zero.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], body].concat()
}

#[tokio::test]
async fn w13_w14_what_breaks_the_protocol_is_told_so() {
    let server = Server::start().await;
    for (frames, code) in [
        (b"\x81\x02{}".to_vec(), 1002),
        (frame(0x83, b""), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x80, b""), 1002),
        (frame(0xC1, b""), 1002),
        (frame(0x82, b"x"), 1003),
        (frame(0x81, b"\xff"), 1007),
        // A length of 2 MiB, of which nothing has come yet.
        (vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0], 1009),
        // In two parts, each of them within the limit.
        (
            [
                &[0x01, 0xFF, 0, 0, 0, 0, 0, 0x0F, 0, 0, 0, 0, 0, 0][..],
                &vec![b' '; 0x0F_0000],
                &[0x80, 0xFF, 0, 0, 0, 0, 0, 0x0F, 0, 0, 0, 0, 0, 0],
                &vec![b' '; 0x0F_0000],
            ]
            .concat(),
            1009,
        ),
        (frame(0x88, &1000_u16.to_be_bytes()), 1000),
    ] {
        assert_eq!(code_after(&server, &frames).await, code, "{:?}", &frames[..2]);
    }
}

#[tokio::test]
async fn w15_a_few_pings_are_answered_and_a_flood_is_not() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.socket.send(Message::Ping("hello"[..].into())).await.unwrap();
    let pong = within(client.socket.next()).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("hello"[..].into()));
    let flood = frame(0x89, b"").repeat(10_000);
    assert_eq!(code_after(&server, &flood).await, 1008);
}

#[tokio::test]
async fn w03_w04_pages_of_others_are_not_let_in() {
    let server = Server::with(GatewayConfig {
        allowed_origins: vec!["https://good.example".parse().unwrap()],
        ..GatewayConfig::default()
    })
    .await;
    for origin in ["https://evil", "null", "https://good.example.evil", "http://localhost:1"] {
        let refused = Ws::connect(server.address, &[("origin", origin)]).await;
        assert_eq!(refused.err(), Some(403), "{origin}");
    }
    let own = format!("http://127.0.0.1:{}", server.address.port());
    for origin in ["https://good.example", own.as_str()] {
        assert!(Ws::connect(server.address, &[("origin", origin)]).await.is_ok(), "{origin}");
    }
    assert_eq!(server.get("/ws").await.status, 426);
}

fn with_token() -> GatewayConfig {
    GatewayConfig { token: Some("secret".to_owned()), ..GatewayConfig::default() }
}

#[tokio::test]
async fn a_token_is_shown_in_a_header_or_in_a_message() {
    let server = Server::with(with_token()).await;
    for value in ["Bearer wrong", "Bearer secret2", "Bearer ", "Basic secret"] {
        let refused = Ws::connect(server.address, &[("authorization", value)]).await;
        assert_eq!(refused.err(), Some(401), "{value}");
    }
    let shown = [("authorization", "bearer secret")];
    let mut client = Ws::connect(server.address, &shown).await.unwrap();
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
    let mut client = server.client().await;
    for method in ["demo.echo", "rpc.register", "rpc.discover", "rpc.cancel"] {
        let answer = client.call(method, json!({ "service": "a" })).await;
        assert_eq!(failure(&answer), ("UNAUTHENTICATED", "no"), "{method}");
    }
    client.send(r#"{"type":"heartbeat"}"#).await;
    assert_eq!(client.json().await["code"], "UNAUTHENTICATED");
    let answer = client.call("rpc.auth", json!({ "token": "secret" })).await;
    assert_eq!(answer["result"], json!({ "node": "main-a" }));
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
    let mut client = server.client().await;
    let answer = client.call("rpc.auth", json!({ "token": "wrong" })).await;
    assert_eq!(failure(&answer), ("UNAUTHENTICATED", "no"));
    assert_eq!(client.closed().await, 1008);
}

#[tokio::test]
async fn a_token_that_is_not_shown_in_time_ends_the_connection() {
    let config = GatewayConfig { head_timeout: Duration::from_millis(500), ..with_token() };
    let server = Server::with(config).await;
    let mut client = server.client().await;
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.closed().await, 1008);
    let shown = [("authorization", "Bearer secret")];
    let mut client = Ws::connect(server.address, &shown).await.unwrap();
    let mut other = server.client().await;
    assert_eq!(other.closed().await, 1008);
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_closed() {
    let config =
        GatewayConfig { idle_timeout: Duration::from_millis(300), ..GatewayConfig::default() };
    let server = Server::with(config).await;
    // One that does not answer pings, because it does not read.
    let mut client = Client::connect(server.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.unwrap().status, 101);
    let mut bytes = Vec::new();
    within(client.stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(bytes[..2], [0x89, 0], "a ping comes first");
    assert_eq!((bytes[2], u16::from_be_bytes([bytes[4], bytes[5]])), (0x88, 1008));
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let config = GatewayConfig { idle_timeout: Duration::from_secs(4), ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let mut client = server.client().await;
    // Longer than it may be silent: reading is enough to answer.
    for _ in 0..3 {
        let ping = within(client.socket.next()).await.unwrap().unwrap();
        assert_eq!(ping, Message::Ping(Vec::new().into()));
    }
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let limits = ClientLimits { queue_bytes_max: 1 << 20, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut client = server.client().await;
    // Far more than sockets hold.
    for id in 0..100 {
        client.send_json(&request(id, "demo.big", json!([]), json!({}))).await;
    }
    until(|| server.node.calls_in_flight() == 0).await;
    assert_eq!(client.closed().await, 1008);
    let mut other = server.client().await;
    assert_eq!(other.call("demo.echo", json!([1])).await["result"], json!([1]));
}

#[tokio::test]
async fn a_client_that_stalls_is_cut() {
    let clients = ClientLimits { queue_bytes_max: usize::MAX, ..ClientLimits::default() };
    let write_timeout = Duration::from_millis(300);
    let config = GatewayConfig { clients, write_timeout, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let mut client = server.client().await;
    client.register("job").await;
    for id in 100..200 {
        client.send_json(&request(id, "demo.big", json!([]), json!({}))).await;
    }
    // It is not even told, because it reads nothing.
    until(|| !server.node.is_offered("job")).await;
    until(|| server.node.calls_in_flight() == 0).await;
}

#[tokio::test]
async fn clients_are_counted_and_one_more_is_not_let_in() {
    let config = GatewayConfig { connections_max: 2, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let first = server.client().await;
    let _second = server.client().await;
    assert_eq!(Ws::connect(server.address, &[]).await.err(), Some(503));
    drop(first);
    let again = async {
        while Ws::connect(server.address, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(again).await;
}

#[tokio::test]
async fn a_node_that_stops_says_goodbye_once_nothing_is_in_flight() {
    let mut server = Server::start().await;
    let (mut idle, mut caller) = (server.client().await, server.client().await);
    let mut service = server.client().await;
    service.register("job").await;
    caller.send_json(&request(90, "job.run", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    server.begin_stop();
    assert_eq!(idle.closed().await, 1001);
    until(|| !server.node.is_offered("job")).await;
    let answer = service.call("rpc.register", json!({ "service": "more" })).await;
    assert_eq!(failure(&answer), ("DRAINING", "no"));
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 1 })).await;
    assert_eq!(caller.answer(90).await["result"], 1);
    assert_eq!((caller.closed().await, service.closed().await), (1001, 1001));
    server.stopped().await;
}

#[tokio::test]
async fn a_node_that_stops_does_not_wait_for_ever() {
    let config =
        GatewayConfig { shutdown_grace: Duration::from_millis(200), ..GatewayConfig::default() };
    let mut server = Server::with(config).await;
    let mut caller = server.client().await;
    caller.send_json(&request(90, "demo.never", json!([]), json!({}))).await;
    caller.call("demo.echo", json!([])).await;
    server.begin_stop();
    assert_eq!(caller.closed().await, 1001);
    server.stopped().await;
}

#[tokio::test]
async fn w14_who_reads_nothing_is_cut_off_whatever_it_sends() {
    let limits = ClientLimits { queue_bytes_max: 64 << 10, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut client = Client::connect(server.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.unwrap().status, 101);
    let requests = frame(0x81, br#"{"jsonrpc":"2.0","id":1,"method":"nobody.here"}"#).repeat(100);
    // Its answers fill all buffers on the way, and then what is queued for it here.
    while within(client.stream.write_all(&requests)).await.is_ok() {}
}
