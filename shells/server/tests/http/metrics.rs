//! What scrapers read, held against what docs/metrics.md promises.

use crate::client::{Response, Server};
use relay_tokio::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test]
async fn c18_j2_the_document_and_the_output_say_the_same() {
    let server = Server::start().await;
    exercise(&server).await;
    let families = families(&scrape(&server, OPEN_METRICS).await.body);
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let rows = rows(&document);
    let names = |map: &BTreeMap<String, Family>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&rows), names(&families), "document (left) and output (right)");
    for (name, row) in &rows {
        let family = &families[name];
        assert_eq!(row.of, family.of, "the type of {name}");
        let labels = |family: &Family| family.labels.keys().cloned().collect::<Vec<_>>();
        assert_eq!(labels(row), labels(family), "the labels of {name}");
        let help = family.help.trim_end_matches('.');
        assert!(row.help.starts_with(help), "{name}: {:?} and {help:?}", row.help);
        let closed = family.labels.iter().filter(|(label, _)| CLOSED.contains(&label.as_str()));
        let values: BTreeSet<String> = closed.flat_map(|(_, values)| values.clone()).collect();
        assert_eq!(code_spans(&row.help), values, "the values of labels of {name}");
    }
    let codes = &families["relay_gateway_calls_total"].labels["code"];
    let all = ErrorCode::ALL.iter().map(|code| code.name().to_owned());
    assert_eq!(*codes, all.chain([String::new()]).collect());
}

/// An alert that asks for a metric or a label that is not there would never ring.
#[test]
fn h13_alerts_ask_for_what_there_is() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (rows, rules) = (rows(&document), std::fs::read_to_string(RULES).unwrap());
    let alerts: Vec<&str> = rules.split("      - alert: ").skip(1).collect();
    assert!(alerts.len() >= 10, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let line = |key: &str| {
            let mut found = alert.lines().filter_map(|line| line.trim().strip_prefix(key));
            found.next().unwrap_or_else(|| panic!("{name} has no {key:?}"))
        };
        for key in ["severity: ", "summary: \"", "description: \""] {
            assert!(!line(key).is_empty(), "{name}: {key}");
        }
        assert!(document.contains(&format!("| `{name}` | ")), "{name} is not explained");
        for (metric, selector) in metrics_of(line("expr: ")) {
            let row = rows.get(metric).unwrap_or_else(|| panic!("{name}: there is no {metric}"));
            for matcher in selector.split("\",").filter(|matcher| !matcher.is_empty()) {
                let (label, value) = matcher.split_once(['=', '!']).unwrap();
                assert!(row.labels.contains_key(label), "{name}: {metric} has no label {label}");
                let value = value.trim_matches(['=', '~', '"']);
                let is_code = |word| ErrorCode::ALL.iter().any(|code| code.name() == word);
                let is_there = row.help.contains(&format!("`{value}`"));
                assert!(is_there || value.split('|').all(is_code), "{name}: no {label} is {value}");
            }
        }
    }
}

/// The metrics of Relay in an expression, each with what stands between its braces.
fn metrics_of(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("relay_").map(|(at, _)| &expression[at..]);
    let split = starts.map(|rest| {
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let (metric, rest) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        (metric, braces.unwrap_or_default())
    });
    split.collect()
}

#[tokio::test]
async fn c18_names_and_types_are_as_openmetrics_wants_them() {
    let server = Server::start().await;
    exercise(&server).await;
    let response = scrape(&server, OPEN_METRICS).await;
    assert_eq!(response.header("content-type"), Some(OPEN_METRICS));
    assert!(response.body.ends_with("\n# EOF\n"));
    for (name, family) in families(&response.body) {
        assert!(name.starts_with("relay_"), "{name}");
        assert_eq!(family.of == "counter", name.ends_with("_total"), "{name}");
        for unit in ["_ms", "_millis", "_milliseconds", "_kib", "_kilobytes"] {
            assert!(!name.contains(unit), "{name} is not in a base unit");
        }
    }
    let response = scrape(&server, "text/plain;version=0.0.4;q=0.5,*/*;q=0.1").await;
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(plain));
    assert!(response.body.contains("# TYPE relay_link_bytes_total counter\n"));
    assert!(!response.body.contains("# EOF"));
    assert_eq!(server.get("/metrics").await.header("content-type"), Some(plain));
}

#[tokio::test]
async fn h7_calls_are_counted_by_service_and_by_outcome() {
    let server = Server::start().await;
    exercise(&server).await;
    let text = scrape(&server, OPEN_METRICS).await.body;
    for (sample, expected) in [
        (r#"relay_gateway_calls_total{outcome="result",code=""}"#, 3),
        (r#"relay_gateway_calls_total{outcome="application_error",code=""}"#, 1),
        (r#"relay_gateway_calls_total{outcome="failed",code="NO_SUCH_METHOD"}"#, 1),
        (r#"relay_gateway_calls_total{outcome="failed",code="NO_SUCH_SERVICE"}"#, 1),
        (r#"relay_gateway_calls_total{outcome="failed",code="BAD_RESPONSE"}"#, 1),
        (r#"relay_gateway_calls_total{outcome="failed",code="PARSE"}"#, 1),
        (r#"relay_gateway_service_calls_total{service="demo",outcome="result"}"#, 2),
        (r#"relay_gateway_service_calls_total{service="demo",outcome="application_error"}"#, 1),
        (r#"relay_gateway_service_calls_total{service="demo",outcome="failed"}"#, 2),
        (r#"relay_gateway_service_calls_total{service="(other)",outcome="failed"}"#, 1),
        (r#"relay_gateway_service_call_duration_seconds_count{service="demo"}"#, 5),
        (r#"relay_http_requests_total{route="/rpc",status="200"}"#, 6),
        (r#"relay_http_requests_total{route="/rpc/{service}",status="200"}"#, 2),
        (r#"relay_http_requests_total{route="(other)",status="404"}"#, 2),
        (r#"relay_services{scope="node"}"#, 1),
        ("relay_draining", 0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample}\n{text}");
    }
    assert!(!text.contains("nobody") && !text.contains("etc/passwd"), "strangers make no labels");
    server.gateway.drain();
}

#[tokio::test]
async fn a_caller_that_goes_away_counts_as_cancelled() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"demo.never"}"#;
    client.send(crate::client::post("/rpc", "", call)).await;
    while server.calls.begun.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let text = scrape(&server, OPEN_METRICS).await.body;
    assert_eq!(value(&text, "relay_calls_in_flight"), Some(1));
    drop(client);
    let sample = r#"relay_gateway_calls_total{outcome="failed",code="CANCELLED"}"#;
    while value(&scrape(&server, OPEN_METRICS).await.body, sample) != Some(1) {
        tokio::task::yield_now().await;
    }
}

/// One request of each kind.
async fn exercise(server: &Server) {
    for (path, body) in [
        ("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"demo.echo","params":[1]}"#),
        ("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"demo.fail"}"#),
        ("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"demo.broken"}"#),
        ("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"nobody.there"}"#),
        ("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#),
        ("/rpc", "{"),
        ("/rpc/demo", r#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#),
        ("/rpc/demo", r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#),
    ] {
        let response = server.request(&crate::client::post(path, "", body)).await;
        assert_eq!(response.status, 200, "{body}");
    }
    for path in ["/nobody", "/../../etc/passwd"] {
        assert_eq!(server.get(path).await.status, 404);
    }
}

async fn scrape(server: &Server, accept: &str) -> Response {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
    let response = server.request(&request).await;
    assert_eq!(response.status, 200);
    response
}

fn value(text: &str, sample: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// A metric, as the output or the document has it.
#[derive(Default, Debug)]
struct Family {
    of: String,
    help: String,
    /// The values of each label; none where the document tells them in words.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// The metrics of the output, each by the name that its samples begin with.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut helps: BTreeMap<&str, &str> = BTreeMap::new();
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (family, help) = rest.split_once(' ').unwrap();
            helps.insert(family, help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, of) = rest.split_once(' ').unwrap();
            let ending = match of {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            name = format!("{family}{ending}");
            let (of, help) = (of.to_owned(), helps[family].to_owned());
            let added = families.insert(name.clone(), Family { of, help, ..Family::default() });
            assert!(added.is_none(), "{name} is there twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&name), "{line} stands under {name}");
            let labels =
                line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once("=\"").unwrap();
                if label != "le" {
                    let family = families.get_mut(&name).unwrap();
                    let values = family.labels.entry(label.to_owned()).or_default();
                    values.insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
    }
    families
}

/// The rows of the table of the document.
fn rows(document: &str) -> BTreeMap<String, Family> {
    let (_, rest) = document.split_once("<!-- metrics: begin -->").unwrap();
    let (table, _) = rest.split_once("<!-- metrics: end -->").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, of, labels, meaning] = cells[..] else { panic!("not four cells: {row}") };
        let labels = code_spans(labels).into_iter().map(|label| (label, BTreeSet::new()));
        let (of, help) = (of.to_owned(), meaning.to_owned());
        let name = name.trim_matches('`').to_owned();
        (name, Family { of, help, labels: labels.collect() })
    })
    .collect()
}

fn code_spans(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Labels whose values the document lists.
const CLOSED: [&str; 5] = ["role", "state", "scope", "direction", "outcome"];
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/relay.rules.yml");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
