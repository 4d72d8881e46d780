//! HTTP upstreams: the Python example, and servers that break the rules.

use super::{EXAMPLES, LONG, application, call, failure, open, text};
use relay_tokio::{ErrorCode, Executed, ServiceError, ServiceResult};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn the_python_upstream_answers() {
    let (_upstream, url) = python().await;
    let service = open(&format!("math={url}")).await;
    assert_eq!(service.methods(), ["add", "echo", "fail", "slow"]);
    assert_eq!(text(call(&*service, "add", "[2, 3]").await), "5");
    assert_eq!(text(call(&*service, "add", r#"{"a":1,"b":1}"#).await), "2");
    assert_eq!(text(call(&*service, "slow", r#"{"ms":1}"#).await), r#"{"slept_ms": 1}"#);
    let error = application(call(&*service, "fail", "").await);
    assert_eq!(
        (&error["code"], &error["message"]),
        (&(-32000).into(), &"failed, as you asked".into())
    );
    assert_eq!(application(call(&*service, "nope", "[]").await)["code"], -32601);
}

#[tokio::test]
async fn bytes_pass_unchanged_through_the_python_upstream() {
    let (_upstream, url) = python().await;
    let service = open(&format!("math={url}")).await;
    for body in [
        "[1e400, 1152921504606846976, -0, 123456789012345678901234567890]",
        r#"{"a":1,"a" : 2,"emoji":"😀 \ud83d\ude00 \u0000"}"#,
        "[ ]",
    ] {
        assert_eq!(text(call(&*service, "echo", body).await), body);
    }
    let large = format!("[\"{}\"]", "x".repeat(4 * 1024 * 1024));
    assert_eq!(text(call(&*service, "echo", large.clone()).await), large);
}

#[tokio::test]
async fn an_upstream_that_is_down_proves_that_nothing_ran() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("x=http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let service = open(&url).await;
    assert!(service.methods().is_empty());
    let answer = call(&*service, "add", "[]").await;
    assert_eq!(failure(answer), (ErrorCode::Unavailable, Executed::No));
}

#[tokio::test]
async fn answers_that_leave_a_doubt_are_refused() {
    let ok = |body: &str| http(200, body);
    for (answer, expected) in [
        (ok(r#"{"jsonrpc":"2.0","result":1,"id":ID"#), ErrorCode::BadResponse),
        (ok(r#"{"jsonrpc":"2.0","result":1,"id":999999}"#), ErrorCode::BadResponse),
        (ok(r#"{"jsonrpc":"2.0","result":1,"id":"ID"}"#), ErrorCode::BadResponse),
        (ok(r#"{"jsonrpc":"2.0","id":ID}"#), ErrorCode::BadResponse),
        (
            ok(r#"{"jsonrpc":"2.0","result":1,"error":{"code":1,"message":""},"id":ID}"#),
            ErrorCode::BadResponse,
        ),
        (ok(r#"{"jsonrpc":"2.0","result":1,"id":ID}{}"#), ErrorCode::BadResponse),
        (ok("<html>hello</html>"), ErrorCode::BadResponse),
        (ok(""), ErrorCode::BadResponse),
        (http(500, "oops"), ErrorCode::BadResponse),
        (http(204, ""), ErrorCode::BadResponse),
        (http(302, r#"{"to":"elsewhere"}"#), ErrorCode::BadResponse),
        (String::new(), ErrorCode::LinkLost),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"".to_owned(),
            ErrorCode::LinkLost,
        ),
        ("nonsense\r\n\r\n".to_owned(), ErrorCode::LinkLost),
    ] {
        let answered = answered_with(answer.clone()).await;
        assert_eq!(failure(answered), (expected, Executed::Unknown), "{answer}");
    }
    let ServiceError::Failed { message, .. } = answered_with(http(503, "busy")).await.unwrap_err()
    else {
        panic!("an application error out of nothing")
    };
    assert!(message.contains("503"), "{message}");
}

#[tokio::test]
async fn results_and_errors_pass_byte_for_byte() {
    for value in ["1e400", r#"{"a":1,"a":[ 1152921504606846976 ]}"#, "null", r#""\ud800 😀""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","result":{value},"id":ID}}"#);
        assert_eq!(text(answered_with(http(200, &body)).await), value);
        let error = format!(r#"{{"code":-1,"message":"m","data":{value}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","error":{error},"id":ID}}"#);
        // Some servers use a status of their own for errors.
        for status in [200, 400, 500] {
            let answer = answered_with(http(status, &body)).await;
            assert_eq!(answer, Err(ServiceError::Application(error.clone().into())));
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_not_read_to_its_end() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{";
    let answer = answered_with(announced.to_owned()).await;
    assert_eq!(failure(answer), (ErrorCode::TooLarge, Executed::Unknown));

    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let url = serve(move |mut socket, _| {
        let counted = Arc::clone(&counted);
        async move {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            let mut sending = socket.write_all(head).await;
            while sending.is_ok() && counted.load(Ordering::Relaxed) < 1 << 30 {
                sending = socket.write_all(&chunk).await;
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    let service = open(&format!("x={url}")).await;
    sent.store(0, Ordering::Relaxed);
    let answer = call(&*service, "m", "[]").await;
    assert_eq!(failure(answer), (ErrorCode::TooLarge, Executed::Unknown));
    assert!(sent.load(Ordering::Relaxed) < 1 << 29, "the answer was read on and on");
}

#[tokio::test]
async fn connections_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let url = serve(move |mut socket, first| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut request = Some(first);
            while let Some(id) = request {
                let body = format!(r#"{{"jsonrpc":"2.0","result":{id},"id":{id}}}"#);
                socket.write_all(filled(&http(200, &body), id).as_bytes()).await.unwrap();
                request = read_request(&mut socket).await;
            }
        }
    })
    .await;
    let service = open(&format!("x={url}")).await;
    for _ in 0..20 {
        text(call(&*service, "m", "[]").await);
    }
    // Giving a connection back races with the next call, so a few more are no fault.
    assert!(connections.load(Ordering::Relaxed) < 10, "{connections:?}");
}

#[tokio::test]
async fn a_body_cannot_forge_a_request() {
    let (_upstream, url) = python().await;
    let service = open(&format!("math={url}")).await;
    for body in ["[1,2],\"method\":\"fail\"", "7", "[1", "\"text\""] {
        let answer = call(&*service, "add", body).await;
        assert_eq!(failure(answer), (ErrorCode::BadParams, Executed::No), "{body}");
    }
}

async fn python() -> (tokio::process::Child, String) {
    let mut child = tokio::process::Command::new("python3")
        .args([&format!("{EXAMPLES}/upstream.py"), "0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    tokio::time::timeout(LONG, output.read_line(&mut port)).await.unwrap().unwrap();
    (child, format!("http://127.0.0.1:{}/", port.trim()))
}

fn http(status: u16, body: &str) -> String {
    // The length is written where the id is known.
    format!("HTTP/1.1 {status} X\r\ncontent-length: LENGTH\r\n\r\n{body}")
}

/// The outcome of one call to a server that answers every request with `answer` and hangs up.
async fn answered_with(answer: String) -> ServiceResult {
    let url = serve(move |mut socket, id| {
        let answer = answer.clone();
        async move {
            let answer = filled(&answer, id);
            // The client may hang up first, when it has seen enough.
            let _sent = socket.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let service = open(&format!("x={url}")).await;
    call(&*service, "m", "[1]").await
}

fn filled(answer: &str, id: u64) -> String {
    let answer = answer.replace("ID", &id.to_string());
    let body = answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    answer.replace("LENGTH", &body.to_string())
}

/// A server that hands each connection to `handle`, with the id of the request it began with.
async fn serve<F, Fut>(handle: F) -> String
where
    F: Fn(TcpStream, u64) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/rpc", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            if let Some(id) = read_request(&mut socket).await {
                tokio::spawn(handle(socket, id));
            }
        }
    });
    url
}

/// Reads one request and gives its id; `None` at the end of the connection.
async fn read_request(socket: &mut TcpStream) -> Option<u64> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1)?;
            let length: usize = length.split("\r\n").next()?.parse().ok()?;
            if body.len() == length {
                let body: serde_json::Value = serde_json::from_str(body).ok()?;
                return body["id"].as_u64();
            }
        }
        if socket.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
