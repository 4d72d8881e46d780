//! Every bound and every period of a node, in one place, checked once.

use crate::compress::Compression;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Bounds and periods. There is no "unlimited": every field is a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest frame on a link between relays, in bytes after the length field.
    pub frame_bytes_max: u32,
    /// Largest frame accepted from a caller.
    pub caller_frame_bytes_max: u32,
    /// Largest frame before the peer is authenticated.
    pub handshake_frame_bytes_max: u32,
    /// Calls in flight that a peer may have on one link.
    pub calls_per_link_max: u32,
    /// Calls in flight that a caller may have on one link.
    pub calls_per_caller_max: u32,
    /// Calls in flight of the local application.
    pub local_calls_max: u32,
    /// Calls that each place in the table of a link may serve before its labels are used up.
    pub labels_per_slot: u32,
    /// Links of one shard, handshaking ones included.
    pub links_max: u32,
    /// Links of one shard that are not authenticated yet.
    pub handshakes_max: u32,
    /// Services one node may register.
    pub services_per_link_max: u32,
    /// Registrations in the whole registry.
    pub services_max: u32,
    /// Methods one service may announce.
    pub methods_per_service_max: u32,
    /// Bytes handed to a link and not yet written; a link beyond it takes no new calls, and one
    /// beyond four times as much is closed as a slow consumer.
    pub write_bytes_max: u32,
    /// Longest deadline a caller may ask for.
    pub deadline_max: Duration,
    /// Time to authenticate.
    pub handshake_timeout: Duration,
    /// Time for one frame to arrive, plus a second for each 64 KiB of it that came.
    pub frame_timeout: Duration,
    /// Silence after which a ping is sent.
    pub keepalive_after: Duration,
    /// Silence after which the link is given up.
    pub idle_timeout: Duration,
    /// Life of a registration that is not refreshed.
    pub registry_ttl: Duration,
    /// Largest difference between the wall clocks of two nodes.
    pub clock_skew_max: Duration,
    /// Smallest pause before dialling again.
    pub reconnect_min: Duration,
    /// Largest pause before dialling again.
    pub reconnect_max: Duration,
    /// Shortest time between two route tables of more than a thousand offers.
    pub publish_interval: Duration,
    /// Relay links a message may cross.
    pub hops_max: u8,
    /// Forwards a message starts with (at most 15).
    pub ttl: u8,
    /// Silence on a link between Mains after which a ping is sent.
    pub peer_keepalive_after: Duration,
    /// Silence after which a link between Mains is given up.
    pub peer_idle_timeout: Duration,
    /// Largest pause before a Main dials another Main again.
    pub peer_reconnect_max: Duration,
    /// How often a Main confirms to its peers all that it announced to them.
    pub health_interval: Duration,
    /// Services that one peer Main may announce.
    pub services_per_peer_max: u32,
    /// Handshakes that one shard begins in a second; who comes beyond is told when to come again.
    pub handshakes_per_second: u32,
    /// Failures in a row after which an instance gets no calls for [`Self::breaker_open`].
    pub breaker_failures: u32,
    /// How long an instance that failed gets no calls; then one call tries it.
    pub breaker_open: Duration,
    /// Instances that a call is sent to at most, where it provably did not run at the one before.
    pub attempts_max: u32,
    /// Retries for each hundred calls.
    pub retry_percent: u32,
    /// Bytes of calls in flight that one shard keeps, to be able to send them elsewhere.
    pub retry_bytes_max: u32,
    /// Shortest body that is sent compressed, where bodies are.
    pub deflate_bytes_min: u32,
    /// Longest body that a compressed one may inflate to.
    pub inflate_bytes_max: u32,
    /// Patterns of topics that one link may subscribe to.
    pub subscriptions_per_link_max: u32,
    /// Subscriptions of all links together.
    pub subscriptions_max: u32,
    /// Largest publication in bytes, and how many bytes handed to a subscriber may wait to be
    /// written before publications are not passed on to it. Between Mains the latter is a quarter
    /// of [`Self::write_bytes_max`].
    pub publication_bytes_max: u32,
    /// What one link may publish in a second: the bytes of each publication and 512 more, counted
    /// once and again for each subscriber that it is handed to. A Main, which passes on what many
    /// publish, may do so 16 times.
    pub publish_cost_per_second: u32,
    /// Topics, and publishers on topics, of which a node remembers the last number; more only cost
    /// gaps that may be none.
    pub topics_remembered: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 16 << 20,
            caller_frame_bytes_max: 1 << 20,
            handshake_frame_bytes_max: 16 << 10,
            calls_per_link_max: 16_384,
            calls_per_caller_max: 4_096,
            local_calls_max: 65_536,
            labels_per_slot: u32::MAX,
            links_max: 65_536,
            handshakes_max: 1_024,
            services_per_link_max: 64,
            services_max: 100_000,
            methods_per_service_max: 256,
            write_bytes_max: 8 << 20,
            deadline_max: Duration::from_mins(10),
            handshake_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(10),
            keepalive_after: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
            registry_ttl: Duration::from_mins(10),
            clock_skew_max: Duration::from_mins(5),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(30),
            publish_interval: Duration::from_millis(10),
            hops_max: 3,
            ttl: 10,
            peer_keepalive_after: Duration::from_secs(3),
            peer_idle_timeout: Duration::from_secs(5),
            peer_reconnect_max: Duration::from_secs(3),
            health_interval: Duration::from_secs(30),
            services_per_peer_max: 100_000,
            handshakes_per_second: 10_000,
            breaker_failures: 5,
            breaker_open: Duration::from_secs(30),
            attempts_max: 2,
            retry_percent: 10,
            retry_bytes_max: 64 << 20,
            deflate_bytes_min: 1 << 10,
            inflate_bytes_max: 16 << 20,
            subscriptions_per_link_max: 256,
            subscriptions_max: 1 << 20,
            publication_bytes_max: 1 << 20,
            publish_cost_per_second: 256 << 20,
            topics_remembered: 65_536,
        }
    }
}

impl Limits {
    /// Links between Mains that a call, and so an announcement, may cross: all but the first one
    /// and the last one.
    #[must_use]
    pub const fn mains_max(&self) -> usize {
        let between = self.hops_max.saturating_sub(2);
        if between == 0 { 1 } else { between as usize }
    }

    /// Checks each bound and the relations between them.
    ///
    /// # Errors
    /// [`LimitsInvalid`] names the first field that is out of range and what is allowed.
    pub fn validate(&self) -> Result<(), LimitsInvalid> {
        let bytes = 4 << 10..=64_u32 << 20;
        let counts = 1..=1_u32 << 20;
        for (field, value, range) in [
            ("frame_bytes_max", self.frame_bytes_max, bytes.clone()),
            ("caller_frame_bytes_max", self.caller_frame_bytes_max, bytes),
            ("handshake_frame_bytes_max", self.handshake_frame_bytes_max, 1 << 10..=32 << 10),
            ("calls_per_link_max", self.calls_per_link_max, counts.clone()),
            ("calls_per_caller_max", self.calls_per_caller_max, counts.clone()),
            ("local_calls_max", self.local_calls_max, counts.clone()),
            ("links_max", self.links_max, counts.clone()),
            ("handshakes_max", self.handshakes_max, counts.clone()),
            ("services_per_link_max", self.services_per_link_max, counts.clone()),
            ("services_per_peer_max", self.services_per_peer_max, 1..=1 << 24),
            ("handshakes_per_second", self.handshakes_per_second, counts.clone()),
            ("breaker_failures", self.breaker_failures, counts),
            ("attempts_max", self.attempts_max, 1..=10),
            ("retry_percent", self.retry_percent, 0..=100),
            ("retry_bytes_max", self.retry_bytes_max, 0..=1 << 30),
            ("deflate_bytes_min", self.deflate_bytes_min, 16..=64 << 20),
            ("inflate_bytes_max", self.inflate_bytes_max, 1 << 10..=64 << 20),
            ("subscriptions_per_link_max", self.subscriptions_per_link_max, 1..=1 << 16),
            ("subscriptions_max", self.subscriptions_max, 1..=1 << 24),
            ("publication_bytes_max", self.publication_bytes_max, 4 << 10..=1 << 30),
            ("publish_cost_per_second", self.publish_cost_per_second, 1 << 10..=u32::MAX),
            ("topics_remembered", self.topics_remembered, 16..=1 << 24),
            ("services_max", self.services_max, 1..=1 << 24),
            ("methods_per_service_max", self.methods_per_service_max, 1..=4_096),
            ("labels_per_slot", self.labels_per_slot, 1..=u32::MAX),
            ("write_bytes_max", self.write_bytes_max, 4 << 10..=1 << 30),
            ("hops_max", u32::from(self.hops_max), 1..=15),
            ("ttl", u32::from(self.ttl), 1..=15),
        ] {
            let (min, max) = (u64::from(*range.start()), u64::from(*range.end()));
            in_range(field, u64::from(value), min, max)?;
        }
        let (ms, day) = (Duration::from_millis(1), Duration::from_hours(24));
        for (field, value, min) in [
            ("deadline_max", self.deadline_max, ms),
            ("handshake_timeout", self.handshake_timeout, ms),
            ("frame_timeout", self.frame_timeout, ms),
            ("keepalive_after", self.keepalive_after, ms),
            ("idle_timeout", self.idle_timeout, self.keepalive_after + ms),
            ("registry_ttl", self.registry_ttl, Duration::from_secs(1)),
            ("clock_skew_max", self.clock_skew_max, Duration::from_secs(1)),
            ("reconnect_min", self.reconnect_min, ms),
            ("reconnect_max", self.reconnect_max, self.reconnect_min),
            ("publish_interval", self.publish_interval, Duration::ZERO),
            ("peer_keepalive_after", self.peer_keepalive_after, ms),
            ("peer_idle_timeout", self.peer_idle_timeout, self.peer_keepalive_after + ms),
            ("peer_reconnect_max", self.peer_reconnect_max, self.reconnect_min),
            ("health_interval", self.health_interval, Duration::from_millis(100)),
            ("breaker_open", self.breaker_open, ms),
        ] {
            let millis =
                |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            in_range(field, millis(value), millis(min), millis(day))?;
        }
        Ok(())
    }
}

/// A bound that is out of range. Durations are in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsInvalid {
    /// The field of [`Limits`].
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The smallest value allowed.
    pub min: u64,
    /// The largest value allowed.
    pub max: u64,
}

impl fmt::Display for LimitsInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, min, max } = self;
        write!(f, "{field} is {value}, allowed are {min} to {max}")
    }
}

impl core::error::Error for LimitsInvalid {}

const fn in_range(
    field: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), LimitsInvalid> {
    if value < min || value > max {
        return Err(LimitsInvalid { field, value, min, max });
    }
    Ok(())
}

/// What a node is.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum Role {
    /// Accepts links, routes between them.
    Main,
    /// Dials a Main and offers services.
    Home,
    /// Dials a Main and only calls.
    Caller,
}

impl Role {
    /// The word used in JSON, logs and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Home => "home",
            Self::Caller => "caller",
        }
    }

    /// Whether this program has what such a node does: Mains need the feature `main`.
    #[must_use]
    pub const fn is_built(self) -> bool {
        cfg!(feature = "main") || !matches!(self, Self::Main)
    }
}

/// Which of several instances of a service gets a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// Of two instances drawn by lot the one with less to do, in calls and in time (Mitzenmacher,
    /// "The Power of Two Choices").
    #[default]
    TwoChoices,
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest calls in flight.
    LeastConnections,
    /// Any, by lot.
    Random,
}

impl Balance {
    /// Every way, in the order of the documents.
    pub const ALL: [Self; 4] =
        [Self::TwoChoices, Self::RoundRobin, Self::LeastConnections, Self::Random];

    /// The word used in configuration and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwoChoices => "p2c",
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
        }
    }
}

/// How the instances of one service are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceRules {
    /// Among instances that are equally near.
    pub balance: Balance,
    /// Whether instances in the zone of this node come before others at the same distance.
    pub prefer_zone: bool,
    /// [`Limits::breaker_failures`] for this service.
    pub breaker_failures: u32,
    /// [`Limits::breaker_open`] for this service.
    pub breaker_open: Duration,
}

/// How instances are chosen, service by service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Balancing {
    /// For services without rules of their own.
    pub balance: Balance,
    /// Rules of single services.
    pub services: BTreeMap<String, ServiceRules>,
}

/// What a node is called, belongs to and allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// What the node is.
    pub role: Role,
    /// The federation it belongs to; both sides of a link must name the same.
    pub cluster: String,
    /// The secret shown when dialling, and asked for when accepting.
    pub token: Option<String>,
    /// Where the node is; instances in the same zone are preferred. Empty when nobody cares.
    pub zone: String,
    /// How instances are chosen.
    pub balancing: Balancing,
    /// What longer bodies that this node writes are compressed with, where who reads them can: with
    /// Zstd also LZ4, where only that is read.
    pub compression: Option<Compression>,
    /// A bit for each compression that frames to this node may have. A Main takes all of them,
    /// because it passes them on unread; others take what they can read.
    pub compressions: u8,
    /// Bounds and periods.
    pub limits: Limits,
}

impl Config {
    /// Whether the node is a Main, which it can be with the feature `main` only.
    pub(crate) const fn is_main(&self) -> bool {
        self.role.is_built() && matches!(self.role, Role::Main)
    }

    /// The rules for one service.
    #[must_use]
    pub fn rules(&self, service: &str) -> ServiceRules {
        self.balancing.services.get(service).copied().unwrap_or(ServiceRules {
            balance: self.balancing.balance,
            prefer_zone: true,
            breaker_failures: self.limits.breaker_failures,
            breaker_open: self.limits.breaker_open,
        })
    }

    /// A node with default limits in the cluster `default`, without a token.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            cluster: String::from("default"),
            token: None,
            zone: String::new(),
            balancing: Balancing::default(),
            compression: None,
            compressions: match role {
                Role::Main => Compression::BITS,
                Role::Home | Role::Caller => Compression::BUILT,
            },
            limits: Limits::default(),
        }
    }
}
