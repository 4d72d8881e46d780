//! What the text of a setting means. Each function takes the text as the operator wrote it and
//! gives `None` for anything that is not allowed.

use super::{LogFormat, Mode};
use crate::discovery::Peer;
use relay_tokio::{Balance, Compression, Endpoint, is_node_id, is_service};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// A time with its unit: `250ms`, `15s`, `10m`, `24h`; one unit, whole numbers, at most 10 digits.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 10 {
        return None;
    }
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

/// The shortest text that [`duration`] reads back as `time`, which is in whole milliseconds.
#[must_use]
pub fn duration_text(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => String::from("0s"),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

pub(super) fn period(text: &str) -> Option<Duration> {
    duration(text).filter(|time| (Duration::from_millis(1)..=DAY).contains(time))
}

pub(super) fn registry_ttl(text: &str) -> Option<Duration> {
    duration(text).filter(|time| (Duration::from_secs(1)..=DAY).contains(time))
}

pub(super) fn duration_at_most_an_hour(text: &str) -> Option<Duration> {
    duration(text).filter(|time| *time <= Duration::from_hours(1))
}

pub(super) fn connect_timeout(text: &str) -> Option<Duration> {
    period(text).filter(|time| *time <= Duration::from_secs(10))
}

/// As the kernel counts for keepalive.
pub(super) fn whole_seconds(text: &str) -> Option<Duration> {
    let allowed = Duration::from_secs(1)..=Duration::from_hours(2);
    duration(text).filter(|time| time.subsec_nanos() == 0 && allowed.contains(time))
}

/// The same, or zero for never.
pub(super) fn keepalive(text: &str) -> Option<Duration> {
    duration(text).filter(Duration::is_zero).or_else(|| whole_seconds(text))
}

pub(super) fn buffer_bytes(text: &str) -> Option<u32> {
    byte_count(text).filter(|bytes| (1 << 10..=64 << 20).contains(bytes))
}

pub(super) fn backlog(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=65_535).contains(count))
}

pub(super) fn byte_count(text: &str) -> Option<u32> {
    let (number, factor) = match text {
        _ if text.ends_with("KiB") => (text.strip_suffix("KiB")?, 1 << 10),
        _ if text.ends_with("MiB") => (text.strip_suffix("MiB")?, 1 << 20),
        _ => (text, 1),
    };
    number.trim_end().parse::<u32>().ok()?.checked_mul(factor)
}

pub(super) fn body_bytes(text: &str) -> Option<usize> {
    let bytes = byte_count(text).filter(|bytes| (1 << 10..=64 << 20).contains(bytes))?;
    usize::try_from(bytes).ok()
}

pub(super) fn connection_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=1_000_000).contains(count))
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok()
}

pub(super) fn host(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    }
}

pub(super) fn socket_address(text: &str) -> Option<SocketAddr> {
    let (before, after) = text.rsplit_once(':')?;
    if before == "localhost" {
        return Some(SocketAddr::new(host(before)?, port(after)?));
    }
    text.parse().ok()
}

/// A name or an address with a port, as others can reach it.
pub(super) fn host_and_port(text: &str) -> Option<String> {
    let (name, after) = text.rsplit_once(':')?;
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    let is_name = (1..=253).contains(&name.len()) && name.bytes().all(is_legal);
    (is_name && port(after)? > 0).then(|| text.to_owned())
}

pub(super) fn node_id(text: &str) -> Option<String> {
    is_node_id(text).then(|| text.to_owned())
}

pub(super) fn mode(text: &str) -> Option<Mode> {
    Mode::from_name(text)
}

/// What bodies are compressed with, if they are.
pub(super) fn compression(text: &str) -> Option<Option<Compression>> {
    match text {
        "off" => Some(None),
        name => Compression::ALL.into_iter().find(|one| one.name() == name).map(Some),
    }
}

/// The name of a way to choose among instances; words may be joined by `_` too.
pub(super) fn balance(text: &str) -> Option<Balance> {
    let name = text.replace('_', "-");
    Balance::ALL.into_iter().find(|balance| balance.name() == name)
}

pub(super) fn failure_count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=1 << 20).contains(count))
}

pub(super) fn endpoint(text: &str) -> Option<Endpoint> {
    if text.is_empty() { None } else { Endpoint::parse(text).ok() }
}

pub(super) fn peer(text: &str) -> Option<Peer> {
    if text.is_empty() { None } else { Peer::parse(text).ok() }
}

/// The address of a DNS server; without a port, the one of DNS.
pub(super) fn dns_server(text: &str) -> Option<SocketAddr> {
    let address = text.parse().ok().map(|ip| SocketAddr::new(ip, DNS_PORT));
    address.or_else(|| text.parse().ok()).filter(|address| address.port() > 0)
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

pub(super) fn log_filter(text: &str) -> Option<String> {
    let is_filter = !text.trim().is_empty() && EnvFilter::builder().parse(text).is_ok();
    // A word that is no level parses as the name of a target, and would silence everything else.
    let is_meant = |part: &str| {
        part.contains(['=', '[', ':'])
            || ["error", "warn", "info", "debug", "trace", "off"]
                .contains(&part.trim().to_ascii_lowercase().as_str())
    };
    (is_filter && text.split(',').all(is_meant)).then(|| text.to_owned())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// `*`, or a scheme, a host and perhaps a port: what a browser sends as `Origin`.
pub(super) fn origin(text: &str) -> Option<String> {
    if text == "*" { Some(text.to_owned()) } else { plain_origin(text) }
}

pub(super) fn plain_origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_host = !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    (is_scheme && is_host && text.len() <= 300).then(|| text.to_owned())
}

pub(super) fn header(name: &str, value: &str) -> Option<String> {
    let is_name = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
    let is_value = value.len() <= 8_192 && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_name && is_value).then(|| value.to_owned())
}

pub(super) fn service(name: &str, specification: &str) -> Option<String> {
    (is_service(name) && !specification.is_empty()).then(|| specification.to_owned())
}

const DNS_PORT: u16 = 53;
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in
            [("250ms", 250), ("15s", 15_000), ("10m", 600_000), ("24h", 86_400_000), ("0s", 0)]
        {
            let time = duration(text);
            assert_eq!(time, Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(time.map(duration_text).as_deref(), Some(text));
        }
        for text in ["", "15", "s", "-1s", "1.5s", " 1s", "1 s", "1d", "99999999999s", "1s2", "１s"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("16MiB", Some(16 << 20)),
            ("5000MiB", None),
            ("1MB", None),
            ("-1", None),
            ("", None),
            ("KiB", None),
        ] {
            assert_eq!(byte_count(text), bytes, "{text}");
        }
    }

    #[test]
    fn addresses_are_read_whole_or_not_at_all() {
        assert!(socket_address("localhost:80").is_some_and(|address| address.ip().is_loopback()));
        assert!(socket_address("[::1]:80").is_some_and(|address| address.ip().is_loopback()));
        for text in ["", ":80", "localhost", "1.2.3.4", "1.2.3.4:70000", "relay.com:80"] {
            assert_eq!(socket_address(text), None, "{text}");
        }
        assert!(host_and_port("relay.com:80").is_some() && host_and_port("relay.com:0").is_none());
        assert!(host_and_port("a b:80").is_none() && host_and_port("relay.com").is_none());
    }

    #[test]
    fn dns_servers_are_addresses() {
        for (text, address) in [
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("10.0.0.2", "10.0.0.2:53"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(dns_server(text).map(|got| got.to_string()).as_deref(), Some(address));
        }
        for text in ["", "dns.example.com", "10.0.0.2:0", "10.0.0.2:x", "udp://10.0.0.2"] {
            assert_eq!(dns_server(text), None, "{text}");
        }
    }

    #[test]
    fn filters_are_levels_or_name_a_target() {
        for good in ["info", "WARN", "off", "info,relay_tokio=debug", "relay::http=trace"] {
            assert!(log_filter(good).is_some(), "{good}");
        }
        for bad in ["", "verbose", "info,loud", "a=b=c"] {
            assert!(log_filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn origins_and_headers_cannot_split_a_response() {
        for good in ["*", "https://app.example.com", "http://localhost:3000", "http://[::1]:80"] {
            assert!(origin(good).is_some(), "{good}");
        }
        for bad in ["", "null", "app.example.com", "https://a/b", "https://", "https://a\r\nx: y"] {
            assert!(origin(bad).is_none(), "{bad:?}");
        }
        assert!(header("X-Frame-Options", "DENY").is_some());
        for (name, value) in [("", "x"), ("a b", "x"), ("x", "a\r\nb"), ("x", "ü")] {
            assert!(header(name, value).is_none(), "{name:?} {value:?}");
        }
    }
}
