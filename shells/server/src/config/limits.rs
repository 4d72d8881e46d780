//! The section `limits`: one key for each bound of the node, with the node's own defaults and
//! ranges.

use super::keys::{self, Key, Shape};
use super::layers::Layers;
use super::mode::Mode;
use super::values;
use crate::cli::Failure;
use relay_tokio::Limits;

macro_rules! limits {
    ($($field:ident: $kind:ident;)+) => {
        /// The keys of the section `limits`.
        pub(super) const LIMIT_KEYS: &[Key] =
            &[$(limit(concat!("limits.", stringify!($field)), $kind::ALLOWED),)+];

        /// The default of each key.
        pub(super) fn defaults() -> Vec<(&'static str, String)> {
            let limits = Limits::default();
            vec![$((concat!("limits.", stringify!($field)), $kind::text(limits.$field)),)+]
        }

        fn read_all(layers: &Layers) -> Result<Limits, Failure> {
            let mut limits = Limits::default();
            $({
                let key = limit(concat!("limits.", stringify!($field)), $kind::ALLOWED);
                if let Some(value) = layers.optional(&key, $kind::parse)? {
                    limits.$field = value;
                }
            })+
            Ok(limits)
        }
    };
}

limits! {
    frame_bytes_max: bytes;
    caller_frame_bytes_max: bytes;
    handshake_frame_bytes_max: bytes;
    calls_per_link_max: count;
    calls_per_caller_max: count;
    local_calls_max: count;
    links_max: count;
    handshakes_max: count;
    services_per_link_max: count;
    services_max: count;
    methods_per_service_max: count;
    write_bytes_max: bytes;
    deadline_max: period;
    handshake_timeout: period;
    frame_timeout: period;
    keepalive_after: period;
    idle_timeout: period;
    clock_skew_max: period;
    reconnect_min: period;
    reconnect_max: period;
    publish_interval: period;
    hops_max: small;
    ttl: small;
    peer_keepalive_after: period;
    peer_idle_timeout: period;
    peer_reconnect_max: period;
    health_interval: period;
    services_per_peer_max: count;
    handshakes_per_second: count;
    breaker_failures: count;
    breaker_open: period;
    attempts_max: count;
    retry_percent: whole;
    retry_bytes_max: bytes;
    subscriptions_per_link_max: count;
    subscriptions_max: count;
    publication_bytes_max: bytes;
    publish_cost_per_second: bytes;
    topics_remembered: count;
}

/// The one bound that the mode of the node decides.
pub(super) const HOPS_MAX: &str = "limits.hops_max";
/// What it is in the mode p2p.
pub(super) const TTL: &str = "limits.ttl";

/// The bounds of the node, each in its range and all of them fitting together.
pub(super) fn read(layers: &Layers) -> Result<Limits, Failure> {
    let mut limits = read_all(layers)?;
    check_mode(layers, &limits)?;
    limits.registry_ttl = layers.required(&keys::REGISTRY_TTL, values::registry_ttl)?;
    limits.validate().map_err(|invalid| {
        let path = format!("limits.{}", invalid.field);
        let source = layers.source_of_path(&path);
        let (value, unit) = (invalid.value, unit_of(&path));
        Failure::usage(format!(
            "{path} = {value}{unit} ({source}) is not allowed: must be {}{unit} to {}{unit}",
            invalid.min, invalid.max
        ))
    })?;
    Ok(limits)
}

/// In the mode p2p the layers already hold the TTL as the bound of hops, unless somebody set it.
fn check_mode(layers: &Layers, limits: &Limits) -> Result<(), Failure> {
    let mode = layers.required(&keys::NODE_MODE, values::mode)?;
    if mode == Mode::P2p && limits.hops_max != limits.ttl {
        let (ttl, hops) = (limits.ttl, limits.hops_max);
        let source = layers.source_of_path(HOPS_MAX);
        return Err(Failure::usage(format!(
            "node.mode = \"p2p\" ({}) lets a message cross limits.ttl = {ttl} links, but \
             {HOPS_MAX} = {hops} ({source})",
            layers.source_of(&keys::NODE_MODE)
        ))
        .with_hint(format!("remove {HOPS_MAX}, or leave out p2p: a hub may have any {HOPS_MAX}")));
    }
    Ok(())
}

fn unit_of(path: &str) -> &'static str {
    let is_period = |key: &&Key| key.path == path && key.allowed == period::ALLOWED;
    if LIMIT_KEYS.iter().any(|key| is_period(&key)) { "ms" } else { "" }
}

const fn limit(path: &'static str, allowed: &'static str) -> Key {
    Key { path, flag: None, default: None, allowed, shape: Shape::One }
}

mod bytes {
    pub(super) use super::values::byte_count as parse;
    pub(super) const ALLOWED: &str = "a size in bytes, as in 65536, 64KiB or 16MiB";

    pub(super) fn text(bytes: u32) -> String {
        match bytes {
            _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
            _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
            _ => bytes.to_string(),
        }
    }
}

mod count {
    pub(super) const ALLOWED: &str = "a whole number above 0";

    pub(super) fn parse(text: &str) -> Option<u32> {
        text.parse().ok().filter(|count| *count > 0)
    }

    pub(super) fn text(count: u32) -> String {
        count.to_string()
    }
}

mod whole {
    pub(super) use super::count::text;
    pub(super) const ALLOWED: &str = "a whole number";

    pub(super) fn parse(text: &str) -> Option<u32> {
        text.parse().ok()
    }
}

mod small {
    pub(super) const ALLOWED: &str = "a whole number from 1 to 15";

    pub(super) fn parse(text: &str) -> Option<u8> {
        text.parse().ok().filter(|count| (1..=15).contains(count))
    }

    pub(super) fn text(count: u8) -> String {
        count.to_string()
    }
}

mod period {
    use std::time::Duration;

    pub(super) use super::values::duration_text as text;
    pub(super) const ALLOWED: &str = "a time, as in 15s, 250ms or 10m";

    pub(super) fn parse(text: &str) -> Option<Duration> {
        super::values::duration(text)
    }
}
