//! The way of a traced call as JSON, in the order of travel.

use super::answer::write_string;
use relay_tokio::TraceHop;
use std::time::Duration;

/// The way of one call.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// The node that was asked: the way begins there, and it may end there.
    pub node: &'a str,
    /// What the nodes said of the call, in the order in which they answered: the one that asked
    /// first comes last.
    pub hops: &'a [TraceHop],
    /// From when the call came in until its answer was there.
    pub total: Duration,
}

/// Writes `{"path": […], "hops": [{"node", "ms", "attempts"}…], "total_ms"}`. A node that refused
/// the call before it sent it anywhere is the whole path, without hops.
pub fn write_trace(out: &mut Vec<u8>, trace: &Trace<'_>) {
    out.extend_from_slice(b"{\"path\":[");
    if trace.hops.is_empty() {
        write_string(out, trace.node);
    }
    for (index, hop) in trace.hops.iter().rev().enumerate() {
        separate(out, index);
        write_string(out, &hop.node);
    }
    out.extend_from_slice(b"],\"hops\":[");
    for (index, hop) in trace.hops.iter().rev().enumerate() {
        separate(out, index);
        out.extend_from_slice(b"{\"node\":");
        write_string(out, &hop.node);
        out.extend_from_slice(b",\"ms\":");
        write_millis(out, hop.took);
        let attempts = format!(",\"attempts\":{}}}", hop.attempts);
        out.extend_from_slice(attempts.as_bytes());
    }
    out.extend_from_slice(b"],\"total_ms\":");
    write_millis(out, trace.total);
    out.push(b'}');
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Milliseconds with three places, in whole microseconds.
fn write_millis(out: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros();
    let text = format!("{}.{:03}", micros / 1_000, micros % 1_000);
    out.extend_from_slice(text.as_bytes());
}
