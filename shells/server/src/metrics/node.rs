//! What the node knows of itself, asked for at each scrape.

use super::CallMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use relay_tokio::{BreakerView, Census, Happenings, Node, PeerStatus, Role, Scope, Stats};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct NodeCollector {
    node: Node,
    calls: Arc<CallMetrics>,
    started_at: Instant,
}

impl NodeCollector {
    pub(super) const fn new(node: Node, calls: Arc<CallMetrics>, started_at: Instant) -> Self {
        Self { node, calls, started_at }
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let census = self.node.census();
        build(&mut encoder, &self.node)?;
        let help = "Time since this node started";
        seconds(&mut encoder, "uptime", help, self.started_at.elapsed())?;
        let help = "Time since a call last began or ended at a gateway";
        seconds(&mut encoder, "gateway_idle", help, self.calls.idle())?;
        let help = "The longest of the round trips to the linked Mains, as measured last";
        let longest = census.peer_round_trip.unwrap_or_default();
        seconds(&mut encoder, "peer_round_trip", help, longest)?;
        gauges(&mut encoder, &census)?;
        happenings(&mut encoder, census.happenings)?;
        counters(&mut encoder, census.stats)
    }
}

fn build(encoder: &mut DescriptorEncoder<'_>, node: &Node) -> fmt::Result {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("node_id", node.id().as_str()),
        ("node_type", node.role().name()),
    ];
    let help = "What runs here; always 1";
    let mut metric = describe(encoder, "build", help, None, MetricType::Info)?;
    metric.encode_info(&labels)
}

fn gauges(encoder: &mut DescriptorEncoder<'_>, census: &Census) -> fmt::Result {
    let alone = |value: usize| [(&[] as &[(&str, &str)], value)];
    gauge(
        encoder,
        "draining",
        "1 while this node is leaving and takes no new calls, else 0",
        &alone(usize::from(census.is_draining)),
    )?;
    gauge(
        encoder,
        "calls_in_flight",
        "Calls that wait for an answer: made here, served here or passing through",
        &alone(census.calls_in_flight as usize),
    )?;
    let links = census.links;
    gauge(
        encoder,
        "links",
        "Authenticated links, by the role of the other side",
        &[
            (&[("role", Role::Main.name())], links.mains),
            (&[("role", Role::Home.name())], links.homes),
            (&[("role", Role::Caller.name())], links.callers),
        ],
    )?;
    let labelled = |name, values: [&'static str; 3], counts: [usize; 3]| {
        [0, 1, 2].map(|at| ([(name, values[at])], counts[at]))
    };
    let dials = labelled("state", PeerStatus::ALL.map(PeerStatus::name), census.dials);
    let help = "Nodes that this node dials, by how the link to them stands";
    gauge(encoder, "dials", help, &dials.each_ref().map(|(labels, count)| (&labels[..], *count)))?;
    let services = labelled("scope", Scope::ALL.map(Scope::name), census.services);
    let help = "Instances of services in the registry, by where they are";
    let services = services.each_ref().map(|(labels, count)| (&labels[..], *count));
    gauge(encoder, "services", help, &services)?;
    let breakers = labelled("state", BreakerView::ALL.map(BreakerView::name), census.breakers);
    let help = "Instances of services, by the state of their circuit breaker";
    let breakers = breakers.each_ref().map(|(labels, count)| (&labels[..], *count));
    gauge(encoder, "breakers", help, &breakers)?;
    let help = "Different patterns of topics that are subscribed to at this node";
    gauge(encoder, "subscribed_patterns", help, &alone(census.patterns))?;
    let help = "Subscriptions: each pattern once for each link that asked for it, and this node \
                itself is one";
    gauge(encoder, "subscriptions", help, &alone(census.subscriptions as usize))?;
    let help = "Bytes of the tables of this node, of frames that it keeps and of such that are not \
                written yet";
    let mut held = describe(encoder, "held", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    held.encode_gauge(&census.held_bytes)
}

/// The pattern names every field here, too.
fn happenings(encoder: &mut DescriptorEncoder<'_>, happened: Happenings) -> fmt::Result {
    let Happenings { handshakes_failed, redials, breakers_opened, resyncs, announcements_refused } =
        happened;
    for (name, help, value) in [
        (
            "handshakes_failed",
            "Connections that ended before the other side had authenticated",
            handshakes_failed,
        ),
        (
            "redials",
            "Attempts to dial that failed and dialled links that ended, each followed by another \
             attempt",
            redials,
        ),
        ("breakers_opened", "Times that an instance of a service was shut out", breakers_opened),
        (
            "resyncs",
            "Times that what a peer announced did not fit its digest and was asked for again",
            resyncs,
        ),
        (
            "announcements_refused",
            "Times that a peer began to announce more than it may",
            announcements_refused,
        ),
    ] {
        counter(encoder, name, help, value)?;
    }
    Ok(())
}

/// The pattern names every field, so that a new counter of the core cannot be forgotten here.
fn counters(encoder: &mut DescriptorEncoder<'_>, stats: Stats) -> fmt::Result {
    let Stats {
        frames_in,
        bytes_in,
        frames_out,
        bytes_out,
        calls_forwarded,
        calls_answered,
        calls_failed,
        calls_cancelled,
        calls_retried,
        calls_sent_plain,
        bodies_deflated,
        bodies_inflated,
        answers_late,
        answers_stray,
        chunks_forwarded,
        chunks_late,
        publications,
        publications_passed_on,
        publications_missed,
        publications_refused,
        publications_ignored,
        extensions_ignored,
        links_opened,
        links_closed,
        links_refused,
    } = stats;
    traffic(encoder, [frames_in, frames_out], [bytes_in, bytes_out])?;
    for (name, help, value) in [
        (
            "calls_forwarded",
            "Calls passed on to a link or to a service of this node",
            calls_forwarded,
        ),
        (
            "calls_answered",
            "Calls answered by their service, with a result or an error of its own",
            calls_answered,
        ),
        (
            "calls_failed",
            "Calls answered with an error of a relay, this one or one behind it",
            calls_failed,
        ),
        (
            "calls_cancelled",
            "Calls that ended because the caller cancelled or vanished",
            calls_cancelled,
        ),
        (
            "calls_retried",
            "Calls sent to another instance after the first one did not run them",
            calls_retried,
        ),
    ] {
        counter(encoder, name, help, value)?;
    }
    bodies(encoder, [calls_sent_plain, bodies_deflated, bodies_inflated])?;
    let [passed_on, missed] = [publications_passed_on, publications_missed];
    let [refused, ignored] = [publications_refused, publications_ignored];
    topics(encoder, [publications, passed_on, missed, refused, ignored])?;
    let late = [answers_late, answers_stray, chunks_forwarded, chunks_late, extensions_ignored];
    leftovers(encoder, late)?;
    links(encoder, [links_opened, links_closed, links_refused])
}

/// Answers and streams, and what belongs to nothing.
fn leftovers(
    encoder: &mut DescriptorEncoder<'_>,
    [answers_late, answers_stray, chunks_forwarded, chunks_late, extensions_ignored]: [u64; 5],
) -> fmt::Result {
    for (name, help, value) in [
        ("answers_late", "Answers that came after their call had ended", answers_late),
        ("answers_stray", "Answers to nothing that was asked", answers_stray),
        ("chunks_forwarded", "Parts of streams passed on", chunks_forwarded),
        ("chunks_late", "Parts of streams that came after their call had ended", chunks_late),
        ("extensions_ignored", "Extension frames ignored", extensions_ignored),
    ] {
        counter(encoder, name, help, value)?;
    }
    Ok(())
}

fn links(encoder: &mut DescriptorEncoder<'_>, [opened, closed, refused]: [u64; 3]) -> fmt::Result {
    counter(encoder, "links_opened", "Links authenticated", opened)?;
    counter(encoder, "links_closed", "Links ended, authenticated or not", closed)?;
    let help = "Connections refused because a bound of links was reached";
    counter(encoder, "links_refused", help, refused)
}

fn bodies(
    encoder: &mut DescriptorEncoder<'_>,
    [sent_plain, deflated, inflated]: [u64; 3],
) -> fmt::Result {
    let help = "Calls sent again, and plain, because no instance took them compressed";
    counter(encoder, "calls_sent_plain", help, sent_plain)?;
    counter(encoder, "bodies_deflated", "Bodies compressed here", deflated)?;
    counter(encoder, "bodies_inflated", "Bodies inflated here", inflated)
}

/// What was published: how often, how many copies went on and did not, and what was turned away.
fn topics(
    encoder: &mut DescriptorEncoder<'_>,
    [publications, passed_on, missed, refused, ignored]: [u64; 5],
) -> fmt::Result {
    for (name, help, value) in [
        ("publications", "Publications made here or that came over a link", publications),
        (
            "publications_passed_on",
            "Copies of publications handed to a link or to this node itself",
            passed_on,
        ),
        ("publications_missed", "Copies of publications left out for want of room", missed),
        (
            "publications_refused",
            "Publications of links that publish more than they may, or that could not be passed on",
            refused,
        ),
        ("publications_ignored", "Publications that came to this node again, or damaged", ignored),
    ] {
        counter(encoder, name, help, value)?;
    }
    Ok(())
}

/// What came over links and what went.
fn traffic(
    encoder: &mut DescriptorEncoder<'_>,
    [frames_in, frames_out]: [u64; 2],
    [bytes_in, bytes_out]: [u64; 2],
) -> fmt::Result {
    let both = |incoming, outgoing| [("in", incoming), ("out", outgoing)];
    let help = "Frames taken off links and handed to links";
    directions(encoder, "link_frames", help, None, both(frames_in, frames_out))?;
    let help = "Bytes of the frames taken off links and handed to links";
    directions(encoder, "link", help, Some(&Unit::Bytes), both(bytes_in, bytes_out))
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = describe(encoder, name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn seconds(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    time: Duration,
) -> fmt::Result {
    let metric = describe(encoder, name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
    ConstGauge::new(time.as_secs_f64()).encode(metric)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[(&[(&str, &str)], usize)],
) -> fmt::Result {
    let mut metric = describe(encoder, name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        if labels.is_empty() {
            metric.encode_gauge(value)?;
        } else {
            metric.encode_family(labels)?.encode_gauge(value)?;
        }
    }
    Ok(())
}

fn directions(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: [(&str, u64); 2],
) -> fmt::Result {
    let mut metric = describe(encoder, name, help, unit, MetricType::Counter)?;
    for (direction, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&[("direction", direction)])?)?;
    }
    Ok(())
}

/// As metrics of a registry are: the help is a sentence.
fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
    of: MetricType,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, &format!("{help}."), unit, of)
}
