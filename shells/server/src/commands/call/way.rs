//! The way of a traced call, for a person and for a program.

use super::output::push_safe;
use crate::json_rpc::{Trace, write_trace};
use relay_tokio::{Answer, CallError, TraceHop};
use std::fmt::Write as _;
use std::time::Duration;

/// The nodes of the call below each other. Each has the time until it had its answer; between two
/// stands what the nearer one waited longer: both ways over the network, and the queues there.
/// `hops` are in the order of the answer: the caller itself comes last.
pub(super) fn tree(target: &str, hops: &[TraceHop], total: Duration, has_colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if has_colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let mut text = String::new();
    target.chars().for_each(|character| push_safe(&mut text, character));
    let _ = writeln!(text, "  {} ms", millis(total));
    let width = hops.iter().map(|hop| hop.node.len()).max().unwrap_or(0) + 2 * hops.len();
    let mut nearer: Option<&TraceHop> = None;
    for (depth, hop) in hops.iter().rev().enumerate() {
        if let Some(nearer) = nearer {
            let between = millis(nearer.took.saturating_sub(hop.took));
            let line = format!("{}│ {between} ms network", "  ".repeat(depth - 1));
            let _ = writeln!(text, "{}", paint(DIM, &line));
        }
        let branch = if depth == 0 { "" } else { "└ " };
        let indent = "  ".repeat(depth.saturating_sub(1));
        let padding = " ".repeat(
            width.saturating_sub(hop.node.len() + indent.len() + branch.chars().count()) + 2,
        );
        let took = format!("{:>10} ms", millis(hop.took));
        let role = match (depth, hops.len() - depth) {
            (0, _) => "  this caller",
            (_, 1) => "  ran it",
            _ => "",
        };
        let node = paint(BOLD, &hop.node);
        let _ = write!(text, "{indent}{branch}{node}{padding}{took}{role}");
        if hop.attempts > 1 {
            let _ = write!(text, "{}", paint(YELLOW, &format!("  {} attempts", hop.attempts)));
        }
        text.push('\n');
        nearer = Some(hop);
    }
    if hops.is_empty() {
        text.push_str("  no node told of the call\n");
    }
    text
}

/// `{"outcome", "code"?, "path", "hops", "total_ms"}` in one line. The outcome is `result`, `error`
/// (of the service itself) or `failed`, with the code of the failure.
pub(super) fn json(
    node: &str,
    answer: &Result<Answer, CallError>,
    hops: &[TraceHop],
    total: Duration,
) -> String {
    let outcome = match answer {
        Ok(Answer::Result(_)) => String::from("{\"outcome\":\"result\","),
        Ok(Answer::ApplicationError(_)) => String::from("{\"outcome\":\"error\","),
        Err(error) => format!("{{\"outcome\":\"failed\",\"code\":\"{}\",", error.code.name()),
    };
    let mut way = Vec::new();
    write_trace(&mut way, &Trace { node, hops, total });
    // The members of the way stand beside the outcome.
    let members = String::from_utf8_lossy(way.get(1..).unwrap_or_default()).into_owned();
    format!("{outcome}{members}\n")
}

fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

const BOLD: &str = "1";
const DIM: &str = "2";
const YELLOW: &str = "33";

#[cfg(test)]
mod tests {
    use super::*;

    fn hops() -> Vec<TraceHop> {
        [("bob.home", 900, 1), ("relay-a", 3_000, 2), ("0123456789abcdef", 4_500, 1)]
            .map(|(node, micros, attempts)| TraceHop {
                node: node.into(),
                took: Duration::from_micros(micros),
                attempts,
            })
            .to_vec()
    }

    #[test]
    fn the_tree_shows_times_and_what_is_between() {
        let text = tree("blog.get\u{1b}", &hops(), Duration::from_micros(4_600), false);
        let expected = "\
blog.get\\u001b  4.600 ms
0123456789abcdef             4.500 ms  this caller
│ 1.500 ms network
└ relay-a                    3.000 ms  2 attempts
  │ 2.100 ms network
  └ bob.home                 0.900 ms  ran it
";
        let squeezed = |text: &str| {
            let lines = text.lines().map(|line| {
                let indent = line.len() - line.trim_start().len();
                let words: Vec<&str> = line.split_whitespace().collect();
                format!("{}{}", " ".repeat(indent), words.join(" "))
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(squeezed(&text), squeezed(expected), "{text}");
        let of_nodes = text.lines().skip(1).filter(|line| !line.contains("network"));
        let columns =
            of_nodes.map(|line| line.split(" ms").next().map(|text| text.chars().count()));
        let columns: std::collections::BTreeSet<_> = columns.collect();
        assert_eq!(columns.len(), 1, "{text}");
        assert!(tree("a.b", &hops(), Duration::ZERO, true).contains("\u{1b}[1mrelay-a\u{1b}[0m"));
    }

    #[test]
    fn programs_get_one_object() {
        let answer = Ok(Answer::Result(bytes::Bytes::new()));
        let text = json("0123456789abcdef", &answer, &hops(), Duration::from_millis(5));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["outcome"], "result");
        let path = serde_json::json!(["0123456789abcdef", "relay-a", "bob.home"]);
        assert_eq!((&value["path"], &value["total_ms"]), (&path, &serde_json::json!(5.0)));
    }
}
