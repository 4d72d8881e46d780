//! What a world is made of, before anything happens in it. This is also the file of `relay sim`.

use crate::span::Span;
use relay_core::Limits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who is in the world, what they do, and what goes wrong. Everything else follows from the seed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Virtual time during which calls are made and faults happen. Afterwards the world heals, and
    /// everything must come to rest.
    pub duration: Span,
    /// Who is there.
    pub topology: Topology,
    /// How bytes travel.
    pub network: Network,
    /// Who calls what, how often.
    pub traffic: Traffic,
    /// What goes wrong, how often.
    pub faults: Faults,
    /// Bounds and periods that differ from the defaults.
    pub limits: Bounds,
}

/// Who is in the world. Homes and callers keep to one Main each, in turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// Main relays.
    pub mains: u16,
    /// Home relays; Home `n` offers `service-n`, and all offer the shared services.
    pub homes: u16,
    /// Hosts that only call.
    pub callers: u16,
    /// Services that every Home offers.
    pub shared_services: u16,
    /// How Mains are linked to each other.
    pub federation: Federation,
    /// Other Mains that each Home and caller goes to when its own one is gone.
    pub fallbacks: u16,
}

/// How Mains are linked to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Federation {
    /// Not at all: each is alone with its Homes and callers.
    #[default]
    None,
    /// Each to each other one.
    Mesh,
    /// Each to the next one; calls cross as many as there are (`--mode p2p`).
    Chain,
    /// Each to each other one, and calls cross several of them where they must.
    Web,
}

/// How bytes travel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Least one-way delay.
    pub delay_min: Span,
    /// Mean one-way delay beyond the least.
    pub delay_mean: Span,
    /// Share of Homes and callers that are far away: their mean delay is 250 ms.
    pub far: f64,
    /// Largest piece in which bytes arrive; pieces are of random size up to it.
    pub chunk_max: u32,
    /// Bytes that fit into the buffers between two hosts, in each direction.
    pub window: u32,
}

/// Who calls what, how often.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Calls each caller makes in a second.
    pub calls_per_second: f64,
    /// Calls each Home makes in a second, as a caller.
    pub home_calls_per_second: f64,
    /// How uneven services are called: 0 all alike, 1 as Zipf found for words, 2 steeper.
    pub skew: u32,
    /// How many times as many calls the first caller makes as any other one.
    pub greedy: f64,
    /// Calls made at one moment.
    pub burst: u32,
    /// How many times as many calls are made in windows of overload.
    pub overload: f64,
    /// Share of the time that is such a window; each lasts five seconds.
    pub overloaded: f64,
    /// Shortest time a caller waits.
    pub deadline_min: Span,
    /// Longest time a caller waits.
    pub deadline_max: Span,
    /// Largest body of a call or an answer; small ones are as likely as large ones.
    pub body_max: u32,
    /// Mean time a handler takes.
    pub handler: Span,
    /// Share of calls whose handler takes up to eight seconds.
    pub slow: f64,
    /// Share of calls that the caller gives up.
    pub cancelled: f64,
    /// Share of calls to services that nobody offers.
    pub unknown: f64,
    /// Share of calls that name the node that must answer.
    pub by_node: f64,
    /// Share of calls that may run twice.
    pub idempotent: f64,
    /// Share of calls that ask for the way they took.
    pub traced: f64,
    /// Share of calls whose handler sends a stream before its answer.
    pub streamed: f64,
    /// Share of hosts that compress what they send. Where there are any, others do not take that.
    pub compressed: f64,
    /// What each host says on topics in a second. Where any is said, hosts subscribe as well.
    pub publications_per_second: f64,
}

/// What goes wrong: how often a minute it befalls each Home and caller. A Main is hit a tenth as
/// often, because all its Homes are hit with it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of the time in which a Home or caller is down, cut off or asleep. Instead of the
    /// rates below: it sets crash, pause, half_open, clog, partition and reset.
    pub share: f64,
    /// The process dies, and starts again later without its state.
    pub crash: f64,
    /// The process is stopped and goes on later, as by SIGSTOP.
    pub pause: f64,
    /// The connection breaks, and both ends are told.
    pub reset: f64,
    /// Bytes vanish in both directions, and nobody is told.
    pub half_open: f64,
    /// Bytes wait in one or both directions, and go on later.
    pub clog: f64,
    /// A random set of hosts is clogged one after the other and freed in another order.
    pub swizzle: f64,
    /// A random set of hosts is cut off, in one or both directions.
    pub partition: f64,
    /// A host reads what it is sent at a few KiB a second.
    pub slow_reader: f64,
    /// One byte of a connection is changed on the way.
    pub corrupt: f64,
    /// The wall clock of a host jumps by up to two minutes.
    pub clock_jump: f64,
    /// A Home takes a shared service back for a time.
    pub withdraw: f64,
    /// Somebody without a key connects to a Main and sends bytes.
    pub stranger: f64,
    /// A hostile Home sends frames that no honest node would.
    pub hostile: f64,
    /// Nothing gets from one Main to another, in one or both directions, for each pair.
    pub sever: f64,
    /// The connection between two Mains breaks, for each pair.
    pub peer_reset: f64,
    /// Bytes between two Mains vanish, and neither is told, for each pair.
    pub peer_half_open: f64,
    /// A Main leaves in good order and is started again, for each Main.
    pub leave: f64,
    /// Mean time that a fault lasts, where it lasts.
    pub outage: Span,
    /// Clocks of hosts run up to this much too fast or too slow, in parts of a million.
    pub drift_ppm: u32,
    /// Timers of a host fire up to this much too late.
    pub late_timers: Span,
}

/// Bounds and periods that differ from the defaults of a node; zero where they do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Calls in flight on one link.
    pub calls_per_link_max: u32,
    /// Calls in flight on the link of a caller.
    pub calls_per_caller_max: u32,
    /// Calls in flight of the application of one node.
    pub local_calls_max: u32,
    /// Bytes handed to a link and not yet written.
    pub write_bytes_max: u32,
    /// Largest frame.
    pub frame_bytes_max: u32,
    /// Life of a registration that is not refreshed.
    pub registry_ttl: Span,
    /// Silence after which a link is given up; a ping is sent after two thirds of it.
    pub idle_timeout: Span,
    /// Longest pause before dialling again.
    pub reconnect_max: Span,
    /// Calls that each place in the table of a link may serve before its labels are used up.
    pub labels_per_slot: u32,
    /// Handshakes that a Main begins in a second.
    pub handshakes_per_second: u32,
    /// Failures after which an instance gets no calls for a while.
    pub breaker_failures: u32,
    /// For how long.
    pub breaker_open: Span,
    /// How often a Main confirms to its peers what it announced.
    pub health_interval: Span,
    /// Services that one Main may announce to another.
    pub services_per_peer_max: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            duration: Span::seconds(60),
            topology: Topology::default(),
            network: Network::default(),
            traffic: Traffic::default(),
            faults: Faults::default(),
            limits: Bounds::default(),
        }
    }
}

impl Default for Topology {
    fn default() -> Self {
        let (federation, fallbacks) = (Federation::None, 0);
        Self { mains: 1, homes: 3, callers: 2, shared_services: 1, federation, fallbacks }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay_min: Span::millis(1),
            delay_mean: Span::millis(4),
            far: 0.0,
            chunk_max: 64 << 10,
            window: 256 << 10,
        }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            calls_per_second: 5.0,
            home_calls_per_second: 0.0,
            skew: 1,
            greedy: 1.0,
            burst: 1,
            overload: 1.0,
            overloaded: 0.0,
            deadline_min: Span::seconds(1),
            deadline_max: Span::seconds(30),
            body_max: 1 << 10,
            handler: Span::millis(5),
            slow: 0.0,
            cancelled: 0.0,
            unknown: 0.0,
            by_node: 0.0,
            idempotent: 0.0,
            traced: 0.0,
            streamed: 0.0,
            compressed: 0.0,
            publications_per_second: 0.0,
        }
    }
}

impl Faults {
    /// Faults such that each Home and caller is down, cut off or asleep for this share of the time.
    #[must_use]
    pub fn share(share: f64) -> Self {
        Self { share, outage: Span::seconds(6), ..Self::default() }
    }

    /// The rates that `share` stands for, spelled out.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let mut rates = self.clone();
        if rates.outage == Span::default() {
            rates.outage = Span::seconds(6);
        }
        if self.share > 0.0 {
            // Each of these lasts one outage: share = rate per minute × outage / 60 s.
            let outages = self.share.min(0.9) * 60.0 / rates.outage.0.as_secs_f64();
            (rates.crash, rates.pause, rates.reset) = (outages * 0.3, outages * 0.2, outages * 0.2);
            (rates.half_open, rates.clog) = (outages * 0.2, outages * 0.2);
            // A partition takes about half of the hosts, so that half as many hit as many.
            rates.partition = outages * 0.1;
            // The links between Mains are as bad as the others.
            (rates.sever, rates.peer_reset) = (outages * 0.4, outages * 0.3);
            rates.peer_half_open = outages * 0.3;
            rates.share = 0.0;
        }
        rates
    }
}

impl Bounds {
    /// The limits of a node.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let set = |to: &mut u32, from: u32| {
            if from != 0 {
                *to = from;
            }
        };
        set(&mut limits.calls_per_link_max, self.calls_per_link_max);
        set(&mut limits.calls_per_caller_max, self.calls_per_caller_max);
        set(&mut limits.local_calls_max, self.local_calls_max);
        set(&mut limits.labels_per_slot, self.labels_per_slot);
        set(&mut limits.handshakes_per_second, self.handshakes_per_second);
        set(&mut limits.breaker_failures, self.breaker_failures);
        set(&mut limits.services_per_peer_max, self.services_per_peer_max);
        set(&mut limits.write_bytes_max, self.write_bytes_max);
        set(&mut limits.frame_bytes_max, self.frame_bytes_max);
        set(&mut limits.caller_frame_bytes_max, self.frame_bytes_max.min(1 << 20));
        if self.registry_ttl != Span::default() {
            limits.registry_ttl = self.registry_ttl.0;
        }
        if self.idle_timeout != Span::default() {
            limits.idle_timeout = self.idle_timeout.0;
            limits.keepalive_after = self.idle_timeout.0 * 2 / 3;
        }
        if self.reconnect_max != Span::default() {
            limits.reconnect_max = self.reconnect_max.0;
        }
        if self.breaker_open != Span::default() {
            limits.breaker_open = self.breaker_open.0;
        }
        if self.health_interval != Span::default() {
            limits.health_interval = self.health_interval.0;
        }
        limits
    }
}

/// Why a plan cannot be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanInvalid(String);

impl fmt::Display for PlanInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlanInvalid {}

impl Plan {
    /// Checks every number.
    ///
    /// # Errors
    /// [`PlanInvalid`] names the first field that is out of range and what is allowed.
    pub fn validate(&self) -> Result<(), PlanInvalid> {
        let (topology, traffic, faults) = (&self.topology, &self.traffic, &self.faults);
        let whole = |name: &str, value: u64, low: u64, high: u64| {
            let text = || format!("{name} is {value}, allowed are {low} to {high}");
            if (low..=high).contains(&value) { Ok(()) } else { Err(PlanInvalid(text())) }
        };
        whole("topology.mains", u64::from(topology.mains), 1, 100)?;
        whole("topology.homes", u64::from(topology.homes), 1, 2_000)?;
        whole("topology.callers", u64::from(topology.callers), 0, 2_000)?;
        whole("topology.shared_services", u64::from(topology.shared_services), 0, 60)?;
        whole("topology.fallbacks", u64::from(topology.fallbacks), 0, 99)?;
        if topology.federation == Federation::Chain {
            whole("topology.mains, in a chain,", u64::from(topology.mains), 1, 9)?;
        }
        whole("network.chunk_max", u64::from(self.network.chunk_max), 1, 1 << 20)?;
        whole("network.window", u64::from(self.network.window), 1 << 10, 1 << 30)?;
        whole("traffic.skew", u64::from(traffic.skew), 0, 2)?;
        whole("traffic.burst", u64::from(traffic.burst), 1, 10_000)?;
        whole("traffic.body_max", u64::from(traffic.body_max), 0, 1 << 20)?;
        whole("faults.drift_ppm", u64::from(faults.drift_ppm), 0, 1_000)?;
        let number = |name: &str, value: f64, high: f64| {
            let text = || format!("{name} is {value}, allowed are 0 to {high}");
            if (0.0..=high).contains(&value) { Ok(()) } else { Err(PlanInvalid(text())) }
        };
        for (name, value, high) in [
            ("network.far", self.network.far, 1.0),
            ("traffic.calls_per_second", traffic.calls_per_second, 100_000.0),
            ("traffic.home_calls_per_second", traffic.home_calls_per_second, 100_000.0),
            ("traffic.greedy", traffic.greedy, 1_000.0),
            ("traffic.overload", traffic.overload, 1_000.0),
            ("traffic.overloaded", traffic.overloaded, 1.0),
            ("traffic.slow", traffic.slow, 1.0),
            ("traffic.cancelled", traffic.cancelled, 1.0),
            ("traffic.unknown", traffic.unknown, 1.0),
            ("traffic.by_node", traffic.by_node, 1.0),
            ("traffic.idempotent", traffic.idempotent, 1.0),
            ("traffic.traced", traffic.traced, 1.0),
            ("traffic.streamed", traffic.streamed, 1.0),
            ("traffic.compressed", traffic.compressed, 1.0),
            ("traffic.publications_per_second", traffic.publications_per_second, 1_000.0),
            ("faults.share", faults.share, 0.9),
        ] {
            number(name, value, high)?;
        }
        for (name, rate) in faults.rates() {
            number(&format!("faults.{name}"), rate, 10_000.0)?;
        }
        faults.check_share()?;
        let spans = [
            ("duration", self.duration, Span::seconds(1), Span::seconds(30 * 86_400)),
            ("traffic.deadline_min", traffic.deadline_min, Span::millis(1), traffic.deadline_max),
            ("traffic.deadline_max", traffic.deadline_max, Span::millis(1), Span::seconds(600)),
            ("network.delay_mean", self.network.delay_mean, Span::default(), Span::seconds(10)),
            ("network.delay_min", self.network.delay_min, Span::default(), Span::seconds(10)),
            ("traffic.handler", traffic.handler, Span::default(), Span::seconds(600)),
            ("faults.outage", faults.outage, Span::default(), Span::seconds(3_600)),
            ("faults.late_timers", faults.late_timers, Span::default(), Span::seconds(1)),
        ];
        for (name, span, low, high) in spans {
            if span < low || span > high {
                return Err(PlanInvalid(format!("{name} is {span}, allowed are {low} to {high}")));
            }
        }
        let limits = self.limits.limits().validate();
        limits.map_err(|invalid| PlanInvalid(format!("limits.{invalid}")))
    }

    /// Nodes in all.
    #[must_use]
    pub const fn nodes(&self) -> u32 {
        let Topology { mains, homes, callers, .. } = self.topology;
        mains as u32 + homes as u32 + callers as u32
    }
}

impl Faults {
    /// What the share sets must not be set beside it.
    fn check_share(&self) -> Result<(), PlanInvalid> {
        let double = |(name, rate): &(&str, f64)| *rate > 0.0 && SET_BY_SHARE.contains(name);
        let rates = self.rates();
        match rates.into_iter().find(double).filter(|_| self.share > 0.0) {
            Some((name, _)) => Err(PlanInvalid(format!(
                "faults.{name} stands beside faults.share, which sets it: keep one"
            ))),
            None => Ok(()),
        }
    }

    /// Every rate with its name.
    #[must_use]
    pub const fn rates(&self) -> [(&'static str, f64); 17] {
        [
            ("crash", self.crash),
            ("pause", self.pause),
            ("reset", self.reset),
            ("half_open", self.half_open),
            ("clog", self.clog),
            ("swizzle", self.swizzle),
            ("partition", self.partition),
            ("slow_reader", self.slow_reader),
            ("corrupt", self.corrupt),
            ("clock_jump", self.clock_jump),
            ("withdraw", self.withdraw),
            ("stranger", self.stranger),
            ("hostile", self.hostile),
            ("sever", self.sever),
            ("peer_reset", self.peer_reset),
            ("peer_half_open", self.peer_half_open),
            ("leave", self.leave),
        ]
    }
}

/// The rates that [`Faults::share`] stands for.
const SET_BY_SHARE: [&str; 9] = [
    "crash",
    "pause",
    "reset",
    "half_open",
    "clog",
    "partition",
    "sever",
    "peer_reset",
    "peer_half_open",
];
