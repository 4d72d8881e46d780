//! What the node and its gateways have done, in numbers, for Prometheus and its kin.
//!
//! - Every name, type, label and meaning is in `docs/metrics.md`; a test holds both together.
//! - Labels are closed sets or bounded: names of services come from outside, so only so many get
//!   a label of their own (`calls::SERVICES_MAX`) and the rest is counted as one.
//! - The hot path touches counters only. What the node knows by itself is asked for when somebody
//!   scrapes, by [`Node::census`](relay_tokio::Node::census), which copies nothing.

mod calls;
mod node;

pub(crate) use calls::{CallMetrics, CallTimer, Outcome};

use crate::ws::Clients;
use node::NodeCollector;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use relay_tokio::Node;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// All metrics of a process.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Arc<CallMetrics>,
    requests: Family<RequestLabels, Counter>,
    clients: Gauge,
    connected: OnceLock<Arc<Clients>>,
}

/// The two text forms that scrapers read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// OpenMetrics 1.0, for whoever asks for it.
    OpenMetrics,
    /// The older text form, for everyone else.
    Prometheus,
}

impl Format {
    /// What the `Accept` header of a scraper asks for.
    pub(crate) fn of(accept: &str) -> Self {
        let is_asked_for = |one: &str| {
            let mut parts = one.split(';').map(str::trim);
            let is_it = parts
                .next()
                .is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
            // A quality of zero is the one way to refuse a type by naming it.
            let is_refused = |part: &str| {
                let quality = part.strip_prefix("q=").and_then(|text| text.parse::<f32>().ok());
                quality.is_some_and(|quality| quality <= 0.0)
            };
            is_it && !parts.any(is_refused)
        };
        if accept.split(',').any(is_asked_for) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type` of the answer.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Metrics {
    pub(crate) fn new(node: &Node, started_at: Instant) -> Self {
        let mut registry = Registry::with_prefix("relay");
        let offers = node.clone();
        let calls = CallMetrics::new(Box::new(move |service| offers.is_offered(service)));
        let calls = Arc::new(calls);
        calls.register(&mut registry);
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "http_requests",
            "HTTP requests answered, by route and status",
            requests.clone(),
        );
        let clients = Gauge::default();
        let help = "Clients connected to /ws";
        registry.register("websocket_clients", help, clients.clone());
        registry.register_collector(Box::new(NodeCollector::new(
            node.clone(),
            Arc::clone(&calls),
            started_at,
        )));
        Self { registry, calls, requests, clients, connected: OnceLock::new() }
    }

    /// The calls that came in by a gateway.
    pub(crate) const fn calls(&self) -> &Arc<CallMetrics> {
        &self.calls
    }

    /// Counts these clients from now on.
    pub(crate) fn watch_clients(&self, clients: &Arc<Clients>) {
        self.connected.get_or_init(|| Arc::clone(clients));
    }

    /// Counts an HTTP request. `route` must be one of a fixed few.
    pub(crate) fn count_request(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    /// Writes everything.
    pub(crate) fn write(&self, format: Format) -> Result<String, fmt::Error> {
        let clients = self.connected.get().map_or(0, |clients| clients.count());
        self.clients.set(i64::try_from(clients).unwrap_or(i64::MAX));
        let mut out = String::with_capacity(TEXT_BYTES_USUAL);
        match format {
            Format::OpenMetrics => text::encode(&mut out, &self.registry)?,
            Format::Prometheus => prometheus_text::encode(&mut out, &self.registry)?,
        }
        // Behind the scrape, so that the last numbers of a service that left were seen.
        self.calls.make_room();
        Ok(out)
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

const TEXT_BYTES_USUAL: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_the_form_they_ask_for() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain;version=0.0.4;q=0.3,*/*;q=0.2", Format::Prometheus),
            ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
                Format::OpenMetrics,
            ),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text;q=0, text/plain", Format::Prometheus),
            ("application/openmetrics-texts", Format::Prometheus),
        ] {
            assert_eq!(Format::of(accept), format, "{accept}");
        }
    }
}
