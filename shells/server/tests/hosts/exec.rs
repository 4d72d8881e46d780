//! Child processes: the Python example, and children that misbehave.

use super::{EXAMPLES, LONG, application, call, failure, open, text, until};
use relay_server::hosts::{HostError, ServiceSpec};
use relay_tokio::{ErrorCode, Executed, Service, ServiceRequest};
use std::path::Path;
use std::sync::Arc;

#[tokio::test]
async fn the_python_child_answers() {
    let service = child().await;
    assert_eq!(service.methods(), ["add", "crash", "slow", "upper", "whoami"]);
    assert_eq!(text(call(&*service, "upper", "[\"a\\nb\"]").await), "\"A\\nB\"");
    // A raw line end between values must not end the line of the request.
    assert_eq!(text(call(&*service, "add", "[\r\n 1,\n 2\n]\r\n").await), "3");
    assert_eq!(text(call(&*service, "add", r#"{"a":1,"b":1}"#).await), "2");
    assert_eq!(application(call(&*service, "nope", "").await)["code"], -32601);
    let broken = call(&*service, "add", "[1],\"id\":7").await;
    assert_eq!(failure(broken), (ErrorCode::BadParams, Executed::No));
    let large = format!("[\"{}\"]", "x".repeat(16 * 1024 * 1024));
    let answer = call(&*service, "upper", large).await;
    assert_eq!(failure(answer), (ErrorCode::TooLarge, Executed::No));
}

#[tokio::test]
async fn many_calls_are_answered_in_any_order() {
    let service = child().await;
    let slow = start(&service, "slow", "[60000]");
    let calls: Vec<_> =
        (0..100).map(|n| (n, start(&service, "add", &format!("[{n}, 1]")))).collect();
    for (n, answer) in calls {
        let answer = tokio::time::timeout(LONG, answer).await.unwrap().unwrap();
        assert_eq!(text(answer), (n + 1).to_string());
    }
    assert!(!slow.is_finished(), "the slow call came first, and holds up nobody");
    slow.abort();
}

#[tokio::test]
async fn a_child_that_dies_is_started_again() {
    let service = child().await;
    let first = pid(&*service).await.unwrap();
    let waiting = start(&service, "slow", "[60000]");
    // Asked after it, answered before it: the slow call is in the child by now.
    text(call(&*service, "add", "[1, 2]").await);
    kill(first);
    let lost = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(failure(lost), (ErrorCode::LinkLost, Executed::Unknown));
    let mut second = None;
    until("the child comes back", async || {
        second = match call(&*service, "whoami", "").await {
            Ok(_) => pid(&*service).await,
            Err(error) => {
                assert!(matches!(
                    failure(Err(error)),
                    (ErrorCode::Unavailable, Executed::No)
                        | (ErrorCode::LinkLost, Executed::Unknown)
                ));
                None
            }
        };
        second.is_some()
    })
    .await;
    assert_ne!(second, Some(first));
    assert!(!is_alive(first), "the dead child was reaped");
}

#[tokio::test]
async fn a_crash_in_mid_call_is_told() {
    let service = child().await;
    let answer = call(&*service, "crash", "[]").await;
    assert_eq!(failure(answer), (ErrorCode::LinkLost, Executed::Unknown));
}

#[tokio::test]
async fn a_dropped_service_takes_its_child_along() {
    let service = child().await;
    let pid = pid(&*service).await.unwrap();
    assert!(is_alive(pid));
    drop(service);
    until("the child is killed and reaped", async || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_line_that_was_never_written_never_ran() {
    // Answers rpc.discover, then stops reading.
    let script = r#"import sys,time; sys.stdin.buffer.raw.read(65536)
print('{"jsonrpc":"2.0","id":0,"result":["m"]}', flush=True)
import os; print('pid', os.getpid(), file=open(sys.argv[1], 'w'), flush=True)
time.sleep(600)"#;
    let file = std::env::temp_dir().join(format!("relay-hosts-{}", std::process::id()));
    let service =
        open(&format!("x=exec:python3 -c \"{}\" {}", escaped(script), file.display())).await;
    assert_eq!(service.methods(), ["m"]);
    // More than a pipe holds, so the first line is never through and the second never begun.
    let body = format!("[\"{}\"]", "x".repeat(4 * 1024 * 1024));
    let first = start(&service, "m", &body);
    tokio::task::yield_now().await;
    let second = start(&service, "m", &body);
    let mut pid = None;
    until("the child says who it is", async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        pid = text.strip_prefix("pid ").and_then(|pid| pid.trim().parse().ok());
        pid.is_some()
    })
    .await;
    kill(pid.unwrap());
    let first = tokio::time::timeout(LONG, first).await.unwrap().unwrap();
    let second = tokio::time::timeout(LONG, second).await.unwrap().unwrap();
    assert_eq!(failure(first), (ErrorCode::LinkLost, Executed::Unknown));
    assert_eq!(failure(second), (ErrorCode::Unavailable, Executed::No));
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn noise_and_nonsense_of_a_child_stay_its_own() {
    let service = scripted(
        r#"import sys, json
for line in sys.stdin:
    call = json.loads(line); id = call['id']; method = call['method']
    print('debug output'); print('{}'); print('x' * 100000, file=sys.stderr)
    print('{"jsonrpc":"2.0","id":999,"result":1}')
    head = '{"jsonrpc":"2.0","id":%d,' % id
    if method == 'both': print(head + '"result":1,"error":{"code":1,"message":""}}')
    elif method == 'broken': print(head + '"result":')
    elif method == 'large': print(head + '"result":"%s"}' % ('x' * (16 << 20)))
    elif method == 'exact': print(head + '"result": [1e400,{"a":1,"a":-0}] }')
    else: print(head + '"error":{"code":7,"message":"m","data":1e400}}')
    sys.stdout.flush()"#,
    )
    .await;
    for _ in 0..3 {
        for (method, code) in [
            ("both", ErrorCode::BadResponse),
            ("broken", ErrorCode::BadResponse),
            ("large", ErrorCode::TooLarge),
        ] {
            let answer = call(&*service, method, "[]").await;
            assert_eq!(failure(answer), (code, Executed::Unknown), "{method}");
        }
        assert_eq!(text(call(&*service, "exact", "").await), r#"[1e400,{"a":1,"a":-0}]"#);
        let error = call(&*service, "other", "").await.unwrap_err();
        let object = r#"{"code":7,"message":"m","data":1e400}"#;
        assert_eq!(error, relay_tokio::ServiceError::Application(object.into()));
    }
}

#[tokio::test]
async fn what_a_child_said_before_its_end_counts() {
    let service = scripted(
        r#"import sys, json
for line in sys.stdin:
    call = json.loads(line)
    print('{"jsonrpc":"2.0","id":%d,"result":"last words"}' % call['id'], flush=True)
    if call['method'] == 'bye': break"#,
    )
    .await;
    assert_eq!(text(call(&*service, "bye", "").await), "\"last words\"");
    until("the child comes back", async || call(&*service, "bye", "").await.is_ok()).await;
}

#[tokio::test]
async fn a_dropped_call_is_forgotten() {
    let service = child().await;
    for _ in 0..20 {
        let waiting = start(&service, "slow", "[1]");
        tokio::task::yield_now().await;
        waiting.abort();
        let n = text(call(&*service, "add", "[1, 2]").await);
        assert_eq!(n, "3", "a late answer reaches nobody");
    }
}

#[tokio::test]
async fn a_command_that_cannot_start_is_an_error() {
    let spec = ServiceSpec::parse("x=exec:/nonexistent/program --flag").unwrap();
    let error = spec.open().await.err().unwrap();
    assert!(matches!(error, HostError::Spawn { .. }));
    assert!(error.to_string().contains("/nonexistent/program"), "{error}");
}

async fn child() -> Arc<dyn Service> {
    open(&format!("x=exec:python3 '{EXAMPLES}/child.py'")).await
}

async fn scripted(script: &str) -> Arc<dyn Service> {
    open(&format!("x=exec:python3 -c \"{}\"", escaped(script))).await
}

fn escaped(script: &str) -> String {
    script.replace('\\', "\\\\").replace('"', "\\\"")
}

fn start(
    service: &Arc<dyn Service>,
    method: &str,
    body: &str,
) -> tokio::task::JoinHandle<relay_tokio::ServiceResult> {
    let body = bytes::Bytes::copy_from_slice(body.as_bytes());
    let method = method.to_owned();
    tokio::spawn(service.call(ServiceRequest {
        method,
        body,
        deadline: LONG,
        idempotent: false,
        headers: Vec::new(),
        stream: None,
    }))
}

async fn pid(service: &dyn Service) -> Option<u32> {
    let answer = call(service, "whoami", "").await.ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).ok()?;
    answer["pid"].as_u64()?.try_into().ok()
}

fn kill(pid: u32) {
    let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
