//! `relay bench` against real processes. Nothing here depends on how fast they are.

use crate::process::{Process, command};
use crate::upstream::Upstream;
use crate::world::Main;
use serde_json::{Value, json};
use std::process::Output;

/// "1,000 calls with concurrency 50 all complete; unique answers are all right", over links and
/// over HTTP, and spread over all of them.
#[tokio::test]
async fn every_call_gets_its_own_answer() {
    let world = World::start().await;
    let (link, http, tcp) = (world.link(), world.http(), world.tcp());
    for urls in [link.clone(), http.clone(), tcp.clone(), format!("{link},{http},{tcp}")] {
        let report = json_of(&bench(&urls, "loud.echo --calls 1000 --concurrency 50 --unique"), 0);
        assert_eq!(counts(&report), [1000, 1000, 0, 0, 0, 0], "{report}");
        assert_eq!(report["failed_over"], 0, "{report}");
        assert_eq!(report["interrupted"], false);
        let latency = &report["latency"];
        let times = ["min_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"];
        let times = times.map(|name| latency[name].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{latency}");
        let calls: Vec<u64> = report["urls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| u["calls"].as_u64().unwrap())
            .collect();
        assert_eq!(calls.iter().sum::<u64>(), 1000, "{report}");
        assert!(calls.iter().max().unwrap() - calls.iter().min().unwrap() <= 1, "{report}");
    }
    let line = "alice.home.loud.echo [1,2.0] --links 3 --calls 90 --expect [1,2.0]";
    let report = json_of(&bench(&link, line), 0);
    assert_eq!(counts(&report), [90, 90, 0, 0, 0, 0], "{report}");
}

#[tokio::test]
async fn wrong_answers_are_noticed() {
    let world = World::start().await;
    for url in [world.link(), world.http()] {
        for line in ["loud.echo [1] --expect [2]", "loud.sleep ms=0 --unique"] {
            for allowed in ["", " --allow-errors"] {
                let report = json_of(&bench(&url, &format!("{line} --calls 20{allowed}")), 1);
                assert_eq!(counts(&report), [20, 0, 20, 0, 0, 0], "{report}");
            }
        }
    }
    let output = command(&["bench", "loud.echo", "[1]", "--expect", "2", "--calls", "3"])
        .args(["--connect", &world.http()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("first wrong     [1] was not expected"), "{text}");
    assert!(text.lines().any(|line| line == "wrong           3"), "{text}");
    assert!(output.stderr.is_empty(), "no progress where nobody watches");
}

/// "A service that answers errors is counted by code", and by what is known of its running.
#[tokio::test]
async fn errors_are_counted_by_code() {
    let world = World::start().await;
    for url in [world.link(), world.http()] {
        for (line, code, executed) in [
            ("loud.fail", "-32000", [0, 30, 0]),
            ("loud.nothing", "NO_SUCH_METHOD", [30, 0, 0]),
            ("nobody.echo", "NO_SUCH_SERVICE", [30, 0, 0]),
            ("loud.sleep ms=60000 --timeout 200ms", "DEADLINE", [0, 0, 30]),
        ] {
            let line = format!("{line} --calls 30 --concurrency 30");
            let report = json_of(&bench(&url, &line), 1);
            assert_eq!(counts(&report), [30, 0, 0, 30, 0, 0], "{report}");
            assert_eq!(report["errors_by_code"], json!({ code: 30 }), "{report}");
            let [no, yes, unknown] = executed;
            let executed = json!({ "no": no, "yes": yes, "unknown": unknown });
            assert_eq!(report["errors_by_executed"], executed, "{report}");
            assert_eq!(report["latency"], Value::Null);
            let report = json_of(&bench(&url, &format!("{line} --allow-errors")), 0);
            assert_eq!(report["errors"], 30);
        }
    }
}

/// "Open loop counts what was due", and measures from when it was.
#[tokio::test]
async fn an_open_loop_owes_each_call_its_time() {
    let world = World::start().await;
    for url in [world.link(), world.http()] {
        let report = json_of(&bench(&url, "loud.echo --unique --rate 500 --calls 100"), 0);
        assert_eq!(counts(&report), [100, 100, 0, 0, 0, 0], "{report}");
        assert_eq!((&report["due"], &report["rate"]), (&json!(100), &json!(500)));
        let duration = report["duration_seconds"].as_f64().unwrap();
        assert!(duration >= 0.198, "the last is due after 198 ms: {report}");
    }
    // One after the other, each for 50 ms or more: the last of ten waits for all others.
    let line = "loud.sleep ms=50 --rate 1000 --calls 10 --concurrency 1";
    let report = json_of(&bench(&world.link(), line), 0);
    assert!(report["latency"]["max_ms"].as_f64().unwrap() >= 490.0, "{report}");
    let line = "loud.sleep ms=60000 --rate 1000 --calls 10 --concurrency 1 --timeout 300ms";
    let report = json_of(&bench(&world.link(), line), 1);
    assert_eq!(counts(&report), [10, 0, 0, 10, 0, 0], "{report}");
    let codes = report["errors_by_code"].as_object().unwrap();
    assert!(codes["DEADLINE"].as_u64() >= Some(1), "{report}");
    assert!(codes.keys().all(|code| code == "DEADLINE" || code == "NOT_SENT"), "{report}");
}

/// A call that provably did not run is made at the next URL, unless that is not wanted.
#[tokio::test]
async fn calls_move_only_when_it_is_safe() {
    let world = World::start().await;
    let empty = Main::start();
    let nowhere = String::from("http://127.0.0.1:1");
    let (link, http) = (format!("ws://{}", empty.address), format!("http://{}", empty.address));
    for (bad, code) in
        [(link, "NO_SUCH_SERVICE"), (http, "NO_SUCH_SERVICE"), (nowhere, "NOT_CONNECTED")]
    {
        let urls = format!("{bad},{}", world.link());
        let report = json_of(&bench(&urls, "loud.echo --unique --calls 100"), 0);
        assert_eq!(counts(&report), [100, 100, 0, 0, 0, 0], "{report}");
        assert_eq!(report["failed_over"], 50, "{report}");
        assert_eq!(
            (&report["urls"][0]["failed"], &report["urls"][1]["calls"]),
            (&json!(50), &json!(100))
        );
        let report = json_of(&bench(&urls, "loud.echo --unique --calls 100 --no-failover"), 1);
        assert_eq!(counts(&report), [100, 50, 0, 50, 0, 0], "{report}");
        assert_eq!(report["errors_by_code"], json!({ code: 50 }), "{report}");
        assert_eq!(report["failed_over"], 0, "{report}");
    }
    // It ran, so that it must not run once more.
    let urls = format!("{},{}", world.link(), world.http());
    let report = json_of(&bench(&urls, "loud.fail --calls 40"), 1);
    assert_eq!((&report["errors"], &report["failed_over"]), (&json!(40), &json!(0)), "{report}");
}

/// Calls that nobody answers are told apart from errors, and are never allowed.
#[tokio::test]
async fn calls_that_never_come_back_are_counted() {
    // Bound and never accepted from: connecting works, nothing ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let report = json_of(&bench(&url, "loud.echo --calls 3 --timeout 50ms --allow-errors"), 1);
    assert_eq!(counts(&report), [3, 0, 0, 0, 3, 0], "{report}");
}

/// A URL that is not reached is told about; the others carry the load.
#[tokio::test]
async fn a_url_that_is_not_reached_is_told() {
    let world = World::start().await;
    let output = bench(&format!("{},http://127.0.0.1:1", world.http()), "loud.echo --calls 4");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("warning: nothing answers at http://127.0.0.1:1/rpc: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(counts(&json_of(&output, 0)), [4, 4, 0, 0, 0, 0]);
}

/// "Ctrl-C by signal prints the summary".
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signal_ends_it_with_the_figures_so_far() {
    let main = Main::start();
    let upstream = Upstream::start().await;
    let _home = main.home("alice.home", &[&upstream.service("up")], &["up"]).await;
    let url = format!("ws://{}", main.address);
    let start = |line: &str| {
        let line = format!("bench up.hold --connect {url} {line}");
        Process::relay(&line.split_whitespace().collect::<Vec<_>>())
    };
    let bench = start("--seconds 3600 --concurrency 3 --timeout 10m");
    upstream.until_held(3).await;
    bench.signal("INT");
    let (code, lines) = bench.ended();
    assert_eq!(code, Some(130), "{lines:?}");
    for wanted in ["calls           3", "right           0", "cut off         3"] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("interrupted:")), "{lines:#?}");
    upstream.until_gone(3).await;

    let bench = start("--rate 1 --seconds 3600 --timeout 10m --json");
    upstream.until_held(4).await;
    bench.signal("TERM");
    let (code, lines) = bench.ended();
    let report: Value = serde_json::from_str(&lines.concat()).unwrap();
    assert_eq!((code, &report["interrupted"]), (Some(130), &json!(true)), "{report}");
    let calls = report["calls"].as_u64().unwrap();
    assert!(calls >= 1 && report["due"].as_u64() >= Some(calls), "{report}");
    assert_eq!(report["cut_off"], calls, "{report}");

    let bench = start("--find-rate --timeout 10m --json");
    let (held, _) = upstream.counts();
    upstream.until_held(held + 1).await;
    bench.signal("INT");
    let (code, lines) = bench.ended();
    let report: Value = serde_json::from_str(&lines.concat()).unwrap();
    assert_eq!((code, &report["search"]["sustainable_rate"]), (Some(130), &json!(0)), "{report}");
    assert!(report["calls"].is_null(), "there is no load to tell about: {report}");
}

/// "Finds the sustainable rate … afterwards runs at 80 % of that rate and reports."
///
/// One call in flight that takes 20 ms or more cannot be made 100 times a second, however fast
/// the machine.
#[tokio::test]
async fn a_rate_that_holds_is_found() {
    let world = World::start().await;
    let line = "loud.sleep ms=20 --find-rate --p99 300ms --seconds 1 --concurrency 1";
    let output = bench(&world.link(), line);
    let report = json_of(&output, 0);
    let found = report["search"]["sustainable_rate"].as_u64().unwrap();
    assert!((1..100).contains(&found), "{report}");
    let steps = report["search"]["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["rate"], &steps[0]["holds"]), (&json!(100), &json!(false)), "{report}");
    let rate = (found * 8 / 10).max(1);
    assert_eq!((&report["rate"], &report["due"]), (&json!(rate), &json!(rate)), "{report}");
    assert_eq!(counts(&report), [rate, rate, 0, 0, 0, 0], "{report}");
}

#[tokio::test]
async fn what_cannot_work_is_told() {
    let world = World::start().await;
    for (url, line, wanted) in [
        (world.http(), "loud.fail --find-rate", "error: no rate holds: 1 calls/s too fast"),
        (String::from("http://127.0.0.1:1"), "loud.echo", "error: nothing answers at http://"),
        (String::from("ws://127.0.0.1:1"), "loud.echo --timeout 100ms", "error: no Main answered"),
        (world.link(), "loud.echo --cluster other --timeout 500ms", "error: no Main answered"),
    ] {
        let output = bench(&url, line);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {text}");
        assert!(text.starts_with(wanted) && text.lines().count() == 2, "{line}: {text}");
    }
}

struct World {
    main: Main,
    _home: Process,
}

impl World {
    async fn start() -> Self {
        let main = Main::with(&["--port", "0", "--listen-tcp", "127.0.0.1:0"]);
        let home = main.home("alice.home", &["--service=loud=demo:echo"], &["loud"]).await;
        Self { main, _home: home }
    }

    fn link(&self) -> String {
        format!("ws://{}", self.main.address)
    }

    fn http(&self) -> String {
        format!("http://{}", self.main.address)
    }

    fn tcp(&self) -> String {
        let lines = self.main.process.lines();
        let address = lines.iter().find_map(|line| line.split_once("tcp://"));
        let (_, address) = address.expect("the log tells the address");
        format!("tcp://{}", address.split_whitespace().next().unwrap())
    }
}

fn bench(urls: &str, line: &str) -> Output {
    let mut arguments = vec!["bench", "--json", "--connect", urls];
    arguments.extend(line.split_whitespace());
    command(&arguments).output().expect("runs")
}

fn json_of(output: &Output, code: i32) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

/// Calls, and what became of them.
fn counts(report: &Value) -> [u64; 6] {
    ["calls", "ok", "wrong", "errors", "never_came_back", "cut_off"]
        .map(|name| report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}")))
}
