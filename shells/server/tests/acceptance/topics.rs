//! Pub/sub of real processes: the command line, HTTP, and two Mains.

use crate::client::{Client, post};
use crate::process::{Process, command};
use crate::world::{Main, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Output, Stdio};

impl Main {
    /// `relay sub`, once it has subscribed.
    fn sub(&self, arguments: &[&str]) -> Process {
        let sub = Process::relay(
            &[&["sub", "--connect", &self.url(), "--timeout", "30s"], arguments].concat(),
        );
        sub.lines_until("subscribed at ");
        sub
    }

    fn publish(&self, arguments: &[&str]) -> Output {
        let flags = ["pub", "--connect", &self.url(), "--timeout", "30s"];
        command(&[&flags[..], arguments].concat()).output().expect("runs")
    }

    async fn post(&self, path: &str, body: &str) -> crate::client::Response {
        let mut client = Client::connect(self.address).await;
        client.send(post(path, "", body)).await;
        client.response().await.expect("closed without an answer")
    }

    async fn topics(&self, query: &str) -> Value {
        let mut client = Client::connect(self.address).await;
        client.send(format!("GET /topics{query} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        client.response().await.unwrap().json()
    }

    /// Waits until this Main knows of a subscriber of the topic at another one.
    async fn until_wanted(&self, topic: &str) {
        until("the other Main has told what it wants", async || {
            self.post(&format!("/publish/{topic}"), "0").await.json()["mains"] == 1
        })
        .await;
    }
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The publications among the lines of a process.
fn publications(lines: &[String]) -> Vec<Value> {
    let lines = lines.iter().filter(|line| line.starts_with("{\""));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn what_one_program_publishes_another_prints() {
    let main = Main::start();
    let sub = main.sub(&["--count", "3", "messages.*", "orders.**"]);
    let said =
        stdout(&main.publish(&["messages.a", r#"{"n": [1,  2]}"#, "--header", "tenant=acme"]));
    assert_eq!(said, "messages.a: 14 bytes handed to 1 Main, main-a\n");
    stdout(&main.publish(&["nobody.hears.it", "1"]));
    let flags = ["pub", "--connect", &main.url(), "--timeout", "30s", "orders"];
    let mut piped = command(&flags).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"{\n  \"n\": 2\n}\n").unwrap();
    assert!(piped.wait().unwrap().success());
    stdout(&main.publish(&["messages.b", "-5"]));
    let (code, lines) = sub.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(r#""data":{"n": [1,  2]},"#)), "{lines:#?}");
    let heard = publications(&lines);
    let of = |at: usize| (heard[at]["topic"].as_str().unwrap(), &heard[at]["data"]);
    assert_eq!(of(0), ("messages.a", &json!({ "n": [1, 2] })));
    assert_eq!(heard[0]["headers"], json!({ "tenant": "acme" }));
    assert_eq!((of(1), of(2)), (("orders", &json!({ "n": 2 })), ("messages.b", &json!(-5))));
    assert_eq!(heard.len(), 3, "{lines:#?}");
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_dialled() {
    // Nobody listens there.
    let nowhere = ["--connect", "ws://127.0.0.1:1"];
    for (arguments, wanted) in [
        (&["pub", "a.*", "1"][..], "no topic"),
        (&["pub", "a", "{"], "not JSON"),
        (&["pub", "a"], "not JSON"),
        (&["pub", "a", "1", "--header", "x"], "K=V"),
        (&["sub", "a.**.b"], "no pattern"),
        (&["sub", "a", "--count", "0"], "count"),
        (&["sub"], "PATTERN"),
    ] {
        let output = command(&[arguments, &nowhere].concat()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(
            errors.starts_with("error: ") && errors.contains(wanted),
            "{arguments:?}: {errors}"
        );
    }
    let output = command(&["pub", "a", "1", "--timeout", "100ms", nowhere[0], nowhere[1]]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no Main answered"));
}

#[tokio::test]
async fn a_subscriber_comes_back_with_its_main_and_ends_by_ctrl_c() {
    let main = Main::start();
    let address = main.address;
    let sub = main.sub(&["messages.*"]);
    main.process.signal("TERM");
    main.process.ended();
    sub.lines_until("dialling again");
    let main = Main::start_at(address);
    sub.lines_until("subscribed again");
    stdout(&main.publish(&["messages.a", "\"back\""]));
    sub.lines_until("\"data\":\"back\"");
    sub.signal("INT");
    let (code, lines) = sub.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    until("nobody is subscribed", async || main.topics("").await["count"] == 0).await;
}

#[tokio::test]
async fn a_reader_that_went_away_ends_the_subscriber() {
    let main = Main::start();
    let script =
        format!("'{}' sub --connect {} '**' | head -n 1", env!("CARGO_BIN_EXE_relay"), main.url());
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &script]);
    let head = Process::start(bash);
    head.lines_until("subscribed at ");
    until("both have ended", async || {
        main.post("/publish/a", "1").await;
        main.topics("").await["count"] == 0
    })
    .await;
    let (code, lines) = head.ended();
    assert_eq!((code, publications(&lines).len()), (Some(0), 1), "{lines:#?}");
}

#[tokio::test]
async fn http_publishes_and_lists_what_is_subscribed_to() {
    let main = Main::start();
    assert_eq!(main.topics("").await["topics"], json!([]));
    let nobody = main.post("/publish/messages.a", "1").await;
    assert_eq!((nobody.status, nobody.json()), (202, json!({ "links": 0, "mains": 0 })));
    let sub = main.sub(&["--count", "1", "messages.*", "other", "a.**"]);
    let topics = main.topics("").await;
    let row = |pattern: &str| json!({ "pattern": pattern, "links": 1 });
    assert_eq!(topics["topics"], json!([row("a.**"), row("messages.*"), row("other")]));
    assert_eq!((&topics["count"], topics.get("next")), (&json!(3), None));
    let first = main.topics("?limit=2").await;
    assert_eq!(first["topics"], json!([row("a.**"), row("messages.*")]));
    assert_eq!(first["next"], "messages.*");
    let rest = main.topics("?limit=2&after=messages.%2A").await;
    assert_eq!((&rest["topics"], rest.get("next")), (&json!([row("other")]), None));
    assert_eq!(main.topics("?limit=0").await["error"], "Bad Request");

    let body = r#"{"b" : 1e400, "b":[ ]}"#;
    let said = main.post("/publish/messages.a", body).await;
    assert_eq!((said.status, said.json()), (202, json!({ "links": 1, "mains": 0 })));
    let (code, lines) = sub.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(&format!("\"data\":{body},"))), "{lines:#?}");

    for (path, body, status, error) in [
        ("/publish/messages.*", "1", 400, "NAME_INVALID"),
        ("/publish/a..b", "1", 400, "NAME_INVALID"),
        ("/publish/a", "{", 400, "Bad Request"),
        ("/publish/a", "", 400, "Bad Request"),
        ("/publish/a", "\u{0}", 400, "Bad Request"),
    ] {
        let refused = main.post(path, body).await;
        assert_eq!((refused.status, &refused.json()["error"]), (status, &json!(error)), "{path}");
        let code = refused.header("relay-error");
        assert_eq!(code, (error == "NAME_INVALID").then_some("NAME_INVALID"), "{path}");
    }
    let large = main.post("/publish/a", &format!("\"{}\"", "x".repeat(1 << 20))).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn k15_publications_cross_from_main_to_main() {
    let b = Main::named("main-b", &["--port", "0"]);
    let a = Main::with(&["--port", "0", "--peers", &b.url()]);
    let (at_a, at_b) = (a.sub(&["messages.**"]), b.sub(&["messages.user.*"]));
    a.until_wanted("messages.user.probe").await;
    b.until_wanted("messages.user.probe").await;
    stdout(&b.publish(&["messages.user.1", "\"from b\""]));
    at_a.lines_until("from b");
    at_b.lines_until("from b");
    let said = a.post("/publish/messages.user.2", "\"from a\"").await.json();
    assert_eq!(said, json!({ "links": 1, "mains": 1 }));
    at_a.lines_until("from a");
    at_b.lines_until("from a");
    // Only who wants it gets it, however far it came.
    stdout(&b.publish(&["messages.other", "\"for a alone\""]));
    at_a.lines_until("for a alone");
    stdout(&b.publish(&["messages.user.3", "\"end\""]));
    let lines = at_b.lines_until("\"end\"");
    assert!(!lines.iter().any(|line| line.contains("for a alone")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("gap")), "{lines:#?}");
}
