//! Peers as people write them: the address of one Main, or a DNS name that stands for several.

use relay_tokio::{Endpoint, EndpointError};
use std::fmt;
use std::str::FromStr;

/// One Main by its address, or all Mains that a DNS name leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// One Main.
    Endpoint(Endpoint),
    /// Whatever the records of a name say.
    Dns(DnsName),
}

/// A DNS name whose records are peers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DnsName {
    /// `dns+srv://NAME`: the target and port of each SRV record is a peer.
    Srv {
        /// The name, in lower case.
        name: String,
    },
    /// `dns://NAME:PORT`: each address of the name is a peer at that port.
    Address {
        /// The name, in lower case.
        name: String,
        /// The port of every peer.
        port: u16,
    },
}

/// A text that names no peer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerInvalid {
    /// Not the address of a Main.
    Endpoint(EndpointError),
    /// Not a DNS name that could have peers.
    Dns {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Peer {
    /// Reads `dns+srv://name`, `dns://name:port` and all that [`Endpoint::parse`] reads.
    ///
    /// # Errors
    /// [`PeerInvalid`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, PeerInvalid> {
        let refuse = |why| PeerInvalid::Dns { text: text.chars().take(100).collect(), why };
        let (is_srv, rest) = match text.split_once("://") {
            Some(("dns+srv", rest)) => (true, rest),
            Some(("dns", rest)) => (false, rest),
            Some(_) | None => return Endpoint::parse(text).map(Self::Endpoint).map_err(Into::into),
        };
        let name = if is_srv {
            if rest.contains(':') {
                return Err(refuse("SRV records hold the ports: leave out the port"));
            }
            DnsName::Srv { name: rest.to_ascii_lowercase() }
        } else {
            let parts = rest.rsplit_once(':');
            let (name, port) = parts.ok_or_else(|| refuse("add the port, as in dns://h:8080"))?;
            let port = port.parse().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| refuse("its port is not a number from 1 to 65535"))?;
            DnsName::Address { name: name.to_ascii_lowercase(), port }
        };
        if !is_name(name.name()) {
            return Err(refuse("it is not a DNS name of labels of a-z 0-9 _ - with dots between"));
        }
        if ends_in_a_number(name.name()) {
            return Err(refuse("an IP address needs no DNS: write ws://IP:PORT"));
        }
        Ok(Self::Dns(name))
    }
}

impl DnsName {
    /// The name to look up.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Srv { name } | Self::Address { name, .. } => name,
        }
    }
}

/// Whether `name` is made of labels that names of hosts and of services have; a dot may end it.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_legal);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether resolvers would read `name` as an IPv4 address, in any of its old notations.
pub(super) fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || is_hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl FromStr for Peer {
    type Err = PeerInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<EndpointError> for PeerInvalid {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Dns(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Srv { name } => write!(f, "dns+srv://{name}"),
            Self::Address { name, port } => write!(f, "dns://{name}:{port}"),
        }
    }
}

impl fmt::Display for PeerInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Dns { text, why } => {
                write!(f, "'{}' names no peers: {why}", text.escape_debug())
            }
        }
    }
}

impl std::error::Error for PeerInvalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e12_names_and_addresses_have_one_form() {
        for (text, expected) in [
            ("dns+srv://_relay._tcp.example.com", "dns+srv://_relay._tcp.example.com"),
            ("dns+srv://_Relay._TCP.Example.com.", "dns+srv://_relay._tcp.example.com."),
            ("dns://relays.example.com:8080", "dns://relays.example.com:8080"),
            ("dns://relays:1", "dns://relays:1"),
            ("relay.example.com", "ws://relay.example.com:8080/ws/p2p"),
            ("tcp://127.0.0.1:9000", "tcp://127.0.0.1:9000"),
        ] {
            let peer = Peer::parse(text).map(|peer| peer.to_string());
            assert_eq!(peer, Ok(expected.to_owned()), "{text}");
            assert_eq!(Peer::parse(expected).map(|peer| peer.to_string()), peer);
        }
    }

    #[test]
    fn e12_other_texts_are_refused_with_a_reason() {
        let long = format!("dns+srv://{}", "a.".repeat(200));
        for (text, why) in [
            ("dns+srv://", "labels"),
            ("dns+srv://a..b", "labels"),
            ("dns+srv://.", "labels"),
            ("dns+srv://a b", "labels"),
            ("dns+srv://a/b", "labels"),
            ("dns+srv://ä.example", "labels"),
            ("dns+srv://user@h", "labels"),
            (&long, "labels"),
            ("dns+srv://_relay._tcp.example.com:80", "leave out the port"),
            ("dns://relays.example.com", "port"),
            ("dns://relays.example.com:0", "port"),
            ("dns://relays.example.com:70000", "port"),
            ("dns://:80", "labels"),
            ("dns://10.0.0.1:80", "ws://IP:PORT"),
            ("dns://0x7f.0x1:80", "ws://IP:PORT"),
            ("dns://[::1]:80", "labels"),
            ("DNS://h:80", "none of"),
            ("dnssrv://h:80", "none of"),
        ] {
            let error = Peer::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.len() < 400);
        }
    }
}
