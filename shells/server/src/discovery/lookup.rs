//! One look at the records of a name: the DNS side of discovery.

use super::name::{DnsName, ends_in_a_number, is_name};
use super::watched::PEERS_MAX;
use futures_util::{StreamExt, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use relay_tokio::Endpoint;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What the records of a name say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Answer {
    /// Peers, the ones to prefer first.
    pub(super) peers: Vec<Endpoint>,
    /// Records that cannot be used, each with the reason.
    pub(super) complaints: Vec<String>,
    /// How long the records may be believed.
    pub(super) ttl: Duration,
    /// Some part could not be looked up, so that what is missing may still be there.
    pub(super) is_partial: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum LookupError {
    /// The configuration of the system cannot be read.
    System(NetError),
    /// No server answered in time.
    Timeout,
    /// There is no such name.
    NoSuchName,
    /// The name has no records of this kind.
    NoRecords(&'static str),
    /// The answer does not fit into a datagram and cannot be had by TCP.
    Truncated,
    /// The name is an alias of an alias, and so on.
    Aliases,
    /// The server answered with an error.
    Refused(ResponseCode),
    /// Everything else.
    Other(NetError),
}

/// Asks for the records of `name`: `servers`, or those that the system uses if there are none.
pub(super) async fn look_up(name: &DnsName, servers: &[SocketAddr]) -> Result<Answer, LookupError> {
    let answer = async {
        let resolver = resolver(servers)?;
        match name {
            DnsName::Srv { name } => srv(&resolver, name, !servers.is_empty()).await,
            DnsName::Address { name, port } => addresses(&resolver, name, *port).await,
        }
    };
    tokio::time::timeout(LOOKUP_TIMEOUT, answer).await.unwrap_or(Err(LookupError::Timeout))
}

/// A resolver made anew, because the system's servers change when a machine moves, and because
/// nothing may be answered from a cache when the records' time is over.
fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, LookupError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if servers.is_empty() {
        TokioResolver::builder(provider).map_err(LookupError::System)?
    } else {
        let servers = servers.iter().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = SERVER_TIMEOUT;
        options.use_hosts_file = ResolveHosts::Never;
        builder
    };
    builder.options_mut().cache_size = 0;
    builder.build().map_err(LookupError::System)
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

async fn srv(
    resolver: &TokioResolver,
    name: &str,
    has_own_servers: bool,
) -> Result<Answer, LookupError> {
    let (lookup, ttl) = srv_records(resolver, name).await?;
    let mut records: Vec<&SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None })
        // The root as target says that the service is not available (RFC 2782).
        .filter(|srv| !srv.target.is_root())
        .collect();
    let by_preference =
        |srv: &&SRV| (srv.priority, std::cmp::Reverse(srv.weight), srv.target.to_ascii(), srv.port);
    records.sort_by_cached_key(by_preference);
    let mut answer = Answer { ttl, ..Answer::default() };
    let mut targets = Vec::new();
    for srv in records {
        match host(&srv.target, srv.port) {
            Ok(host) => targets.push((host, srv.port)),
            Err(why) => {
                let (target, port) = (srv.target.to_ascii(), srv.port);
                answer.complaints.push(format!("SRV target {target} port {port}: {why}"));
            }
        }
    }
    let mut seen = BTreeSet::new();
    targets.retain(|target| seen.insert(target.clone()));
    if has_own_servers {
        resolve_targets(resolver, targets, &mut answer).await;
    } else {
        answer.peers.extend(targets.iter().filter_map(|(host, port)| endpoint(host, *port)));
    }
    Ok(answer)
}

/// The SRV records of a name and how long they may be believed. Where the name is an alias and its
/// records come in the same answer, the resolver takes their targets for the next alias and finds
/// nothing there, so aliases are followed here.
async fn srv_records(
    resolver: &TokioResolver,
    name: &str,
) -> Result<(Lookup, Duration), LookupError> {
    let mut alias_ttl = Duration::MAX;
    let mut name = name.to_owned();
    for _ in 0..ALIASES_MAX {
        let lookup = resolver.lookup(&name, RecordType::SRV).await;
        let error = match lookup.map_err(|error| LookupError::of(error, "SRV")) {
            Ok(lookup) => {
                let ttl = alias_ttl.min(ttl(&lookup));
                return Ok((lookup, ttl));
            }
            Err(error) if error.is_absence() => error,
            Err(error) => return Err(error),
        };
        let Ok(lookup) = resolver.lookup(&name, RecordType::CNAME).await else {
            return Err(error);
        };
        let mut aliases = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.to_ascii()),
            _ => None,
        });
        let Some(alias) = aliases.next_back() else { return Err(error) };
        alias_ttl = alias_ttl.min(ttl(&lookup));
        name = alias;
    }
    Err(LookupError::Aliases)
}

/// The host that an SRV record names, without the dot at its end.
fn host(target: &Name, port: u16) -> Result<String, &'static str> {
    let text = target.to_ascii();
    if !is_name(&text) || ends_in_a_number(&text) {
        return Err("not the name of a host");
    }
    if port == 0 {
        return Err("no port");
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

/// Names that the chosen servers know need not be known to the system, which dials: they are
/// resolved here. One address stands for each target, for two would be one Main linked twice.
async fn resolve_targets(
    resolver: &TokioResolver,
    targets: Vec<(String, u16)>,
    answer: &mut Answer,
) {
    let left_out = targets.len().saturating_sub(PEERS_MAX);
    let looked_up = targets.into_iter().take(PEERS_MAX).map(|(host, port)| async move {
        (addresses(resolver, &format!("{host}."), port).await, host)
    });
    let mut looked_up = stream::iter(looked_up).buffered(LOOKUPS_AT_ONCE);
    while let Some((result, host)) = looked_up.next().await {
        match result {
            // With one family unknown, the address that stands for the target might be another.
            Ok(found) if found.is_partial => answer.is_partial = true,
            Ok(found) => {
                answer.ttl = answer.ttl.min(found.ttl);
                answer.peers.extend(found.peers.into_iter().next());
            }
            Err(why) => {
                answer.is_partial |= !why.is_absence();
                answer.complaints.push(format!("SRV target {host}: {why}"));
            }
        }
    }
    if left_out > 0 {
        answer.complaints.push(format!("{left_out} targets beyond {PEERS_MAX} are left out"));
    }
}

/// Each address of a host at `port`. One family is enough: many networks have no other.
async fn addresses(resolver: &TokioResolver, name: &str, port: u16) -> Result<Answer, LookupError> {
    let (v4, v6) =
        tokio::join!(resolver.lookup(name, RecordType::A), resolver.lookup(name, RecordType::AAAA));
    let mut answer = Answer { ttl: Duration::MAX, ..Answer::default() };
    let mut found: Vec<IpAddr> = Vec::new();
    let mut failures = Vec::new();
    for result in [v4, v6] {
        match result.map_err(|error| LookupError::of(error, "A or AAAA")) {
            Ok(lookup) => {
                answer.ttl = answer.ttl.min(ttl(&lookup));
                found.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()));
            }
            Err(error) => failures.push(error),
        }
    }
    if failures.len() == 2 {
        // A family without records says less than one that could not be asked for.
        let worst = failures.iter().position(|error| !error.is_absence()).unwrap_or(0);
        return Err(failures.swap_remove(worst));
    }
    answer.is_partial = failures.iter().any(|error| !error.is_absence());
    // In one order whatever the server rotates, so that a bound always leaves out the same ones.
    found.sort_unstable();
    found.dedup();
    for ip in found {
        if ip.is_unspecified() || ip.is_multicast() {
            answer.complaints.push(format!("{ip} is the address of no host"));
        } else {
            answer.peers.extend(endpoint(&ip_text(ip), port));
        }
    }
    Ok(answer)
}

fn endpoint(host: &str, port: u16) -> Option<Endpoint> {
    Endpoint::parse(&format!("ws://{host}:{port}")).ok()
}

fn ip_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn ttl(lookup: &Lookup) -> Duration {
    let seconds = lookup.answers().iter().map(|record| record.ttl).min();
    Duration::from_secs(seconds.unwrap_or(0).into())
}

impl LookupError {
    fn of(error: NetError, kind: &'static str) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Self::NoSuchName,
                ResponseCode::NoError => Self::NoRecords(kind),
                code => Self::Refused(code),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Refused(code),
            NetError::Timeout => Self::Timeout,
            NetError::Truncated => Self::Truncated,
            other => Self::Other(other),
        }
    }

    /// The server knows that there is nothing.
    const fn is_absence(&self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoRecords(_))
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => {
                write!(f, "the DNS configuration of the system cannot be used: {error}")
            }
            Self::Timeout => f.write_str("no DNS server answered in time"),
            Self::NoSuchName => f.write_str("there is no such name (NXDOMAIN)"),
            Self::NoRecords(kind) => write!(f, "the name has no {kind} records"),
            Self::Truncated => f.write_str("the answer is truncated, and TCP gives no more"),
            Self::Aliases => write!(f, "more than {ALIASES_MAX} aliases (CNAME) lead on"),
            Self::Refused(code) => write!(f, "the DNS server answers {code}"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

/// Bounds a lookup with everything that belongs to it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Bounds one question to one of the chosen servers.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest chain of aliases.
const ALIASES_MAX: usize = 8;
/// Targets resolved at the same time.
const LOOKUPS_AT_ONCE: usize = 8;
