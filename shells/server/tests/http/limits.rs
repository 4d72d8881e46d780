//! Bounds of the gateway: size, time, framing, content type, number of connections.

use crate::client::{Server, post};
use relay_server::http::GatewayConfig;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"demo.echo","params":[1]}"#;
const MOMENT: Duration = Duration::from_millis(200);

fn brisk() -> GatewayConfig {
    GatewayConfig {
        head_timeout: MOMENT,
        read_timeout: MOMENT,
        write_timeout: MOMENT,
        idle_timeout: MOMENT,
        ..GatewayConfig::default()
    }
}

#[tokio::test]
async fn w02_heads_are_bounded() {
    let server = Server::start().await;
    let many = |count: usize| (0..count).map(|n| format!("X-H{n}: v\r\n")).collect::<String>();
    let get = |headers: String| format!("GET /health HTTP/1.1\r\n{headers}\r\n");
    assert_eq!(server.request(&get(many(64))).await.status, 200);
    for headers in [many(65), many(101), format!("X: {}\r\n", "x".repeat(16 << 10))] {
        let mut client = server.connect().await;
        client.send(get(headers)).await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status, response.header("connection")), (431, Some("close")));
    }
    for headers in [many(10_000), format!("X: {}\r\n", "x".repeat(1 << 20))] {
        let mut client = server.connect().await;
        // The server may close before it has read all of it.
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client.stream, get(headers).as_bytes()).await;
        if let Some(response) = client.response().await {
            assert_eq!(response.status, 431);
        }
    }
    let mut client = server.connect().await;
    for byte in get(many(3)).as_bytes() {
        client.send([*byte]).await;
    }
    assert_eq!(client.response().await.unwrap().status, 200, "one byte in each packet");
}

#[tokio::test]
async fn w09_only_json_is_taken() {
    let server = Server::start().await;
    for (content_type, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("", 415),
        ("Content-Type: application/json; charset=utf-8\r\n", 200),
    ] {
        let request =
            post("/rpc", "", CALL).replace("Content-Type: application/json\r\n", content_type);
        assert_eq!(server.request(&request).await.status, status, "{content_type}");
    }
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn w10_slow_heads_bodies_and_idle_connections_end() {
    let server = Server::with(brisk()).await;
    let mut silent = server.connect().await;
    assert!(silent.is_closed_within(Duration::from_secs(3)).await);
    let mut trickle = server.connect().await;
    let begun = Instant::now();
    for byte in "GET /health HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".bytes() {
        tokio::time::sleep(MOMENT / 10).await;
        if tokio::io::AsyncWriteExt::write_all(&mut trickle.stream, &[byte]).await.is_err() {
            break;
        }
    }
    assert!(trickle.is_closed_within(MOMENT).await, "still open after {:?}", begun.elapsed());
    let mut slow = server.connect().await;
    let request = post("/rpc", "", CALL);
    slow.send(&request[..request.len() - 1]).await;
    let response = slow.response().await.unwrap();
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    let mut idle = server.connect().await;
    idle.send(&request).await;
    assert_eq!(idle.response().await.unwrap().status, 200);
    assert!(idle.is_closed_within(Duration::from_secs(3)).await);
}

#[tokio::test]
async fn w10_a_response_nobody_reads_ends_the_connection() {
    let server = Server::with(brisk()).await;
    let call = CALL.replace("echo", "big");
    let mut client = server.connect().await;
    // Far more than the buffers of both sides hold.
    client.send(post("/rpc", "", &call).repeat(100)).await;
    tokio::time::sleep(MOMENT * 5).await;
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert!(ended.is_ok(), "the connection is still open");
    assert!((1..20_000_000).contains(&rest.len()), "{} bytes of 30 million", rest.len());
}

#[tokio::test]
async fn w10_a_slow_handler_is_not_a_slow_client() {
    let server = Server::with(brisk()).await;
    let response = server.rpc(&CALL.replace("echo", "slow")).await;
    assert!(response.body.contains("slept"), "{response:?}");
}

#[tokio::test]
async fn w11_framing_that_can_be_read_in_two_ways_is_refused() {
    let server = Server::start().await;
    let chunked = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
    let length = chunked.len();
    for (headers, body) in [
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), chunked.as_str()),
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked),
        (format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", CALL.len()), CALL),
        (format!("Content-Length: {}\r\nContent-Length: 1\r\n", CALL.len()), CALL),
        (format!("Content-Length: +{}\r\n", CALL.len()), CALL),
        (format!("Content-Length: {} 0\r\n", CALL.len()), CALL),
        ("Content-Length: -1\r\n".to_owned(), CALL),
        (format!("Content-Length: {}\r\nX: a\r\n b\r\n", CALL.len()), CALL),
        (format!("Content-Length : {}\r\n", CALL.len()), CALL),
        ("Transfer-Encoding: chunked, gzip\r\n".to_owned(), &chunked),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), &chunked),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "zz\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "2\r\n{}XX0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut client = server.connect().await;
        client
            .send(format!(
                "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
            ))
            .await;
        let response = client.response().await.unwrap_or_else(|| panic!("no answer to {headers}"));
        assert_eq!(response.status, 400, "{headers} {body}");
        assert!(client.is_closed_within(Duration::from_secs(3)).await, "{headers}");
    }
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 0, "nothing ran");
}

#[tokio::test]
async fn w11_a_body_under_another_coding_is_not_read() {
    let server = Server::start().await;
    let chunked = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
    for coding in ["gzip, chunked", "chunked, chunked", "identity,chunked"] {
        let mut client = server.connect().await;
        let head = "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding:";
        client.send(format!("{head} {coding}\r\n\r\n{chunked}")).await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status, response.header("connection")), (501, Some("close")));
        assert!(client.is_closed_within(Duration::from_secs(3)).await, "{coding}");
    }
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 0, "nothing ran");
}

#[tokio::test]
async fn w11_w12_a_chunked_request_is_the_last_on_its_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let chunked = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
    let head = "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}{chunked}{}", post("/rpc", "", CALL))).await;
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert!(client.response().await.is_none());
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 1, "the request behind it did not run");
}

#[tokio::test]
async fn w12_nothing_behind_an_unread_body_runs() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let smuggled = post("/rpc", "", CALL);
    let plain = post("/rpc", "", &smuggled).replacen("application/json", "text/plain", 1);
    client.send(plain).await;
    assert_eq!(client.response().await.unwrap().status, 415);
    assert!(client.response().await.is_none());
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn bodies_are_bounded_by_length_and_while_reading() {
    let server = Server::with(GatewayConfig { body_bytes_max: 1000, ..Default::default() }).await;
    let mut client = server.connect().await;
    let head = "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\n";
    client.send(format!("{head}Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")).await;
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    let mut client = server.connect().await;
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    client.send(format!("200\r\n{0}\r\n200\r\n{0}\r\n", "x".repeat(0x200))).await;
    assert_eq!(client.response().await.unwrap().status, 413);
    // The answer arrives though the client sends all of a large body first.
    let mut client = server.connect().await;
    client.send(post("/rpc", "", &" ".repeat(1 << 20))).await;
    assert_eq!(client.response().await.unwrap().status, 413);
    let body = CALL.replace("[1]", &format!("[{}1]", " ".repeat(1000 - CALL.len())));
    assert_eq!((body.len(), server.rpc(&body).await.status), (1000, 200));
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for piece in post("/rpc", "", CALL).as_bytes().chunks(7) {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.response().await.unwrap().body, r#"{"jsonrpc":"2.0","result":[1],"id":1}"#);
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = Server::with(GatewayConfig { connections_max: 2, ..Default::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(post("/rpc", "", CALL)).await;
        assert_eq!(client.response().await.unwrap().status, 200);
        held.push(client);
    }
    assert_eq!(server.connect().await.response().await.unwrap().status, 503);
    held.pop();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(server.rpc(CALL).await.status, 200, "room again");
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    idle.send(post("/rpc", "", CALL)).await;
    assert_eq!(idle.response().await.unwrap().status, 200);
    let mut busy = server.connect().await;
    busy.send(post("/rpc", "", &CALL.replace("echo", "slow"))).await;
    while server.calls.begun.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.begin_stop();
    assert!(idle.is_closed_within(MOMENT).await);
    assert!(busy.response().await.unwrap().body.contains("slept"));
    let address = server.address;
    server.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
