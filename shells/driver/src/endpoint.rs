//! Addresses of Mains, as people write them.

use std::fmt;
use std::str::FromStr;

/// Where a Main can be reached, and how.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Endpoint {
    /// A WebSocket: host with port, and path.
    WebSocket {
        /// `host:port`.
        authority: String,
        /// Starts with a slash.
        path: String,
    },
    /// A WebSocket over TLS.
    SecureWebSocket {
        /// `host:port`.
        authority: String,
        /// Starts with a slash.
        path: String,
    },
    /// Frames over plain TCP.
    Tcp {
        /// `host:port`.
        authority: String,
    },
    /// Frames over TLS.
    Tls {
        /// `host:port`.
        authority: String,
    },
    /// Frames over one stream of QUIC.
    Quic {
        /// `host:port`.
        authority: String,
    },
}

/// What carries a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransportKind {
    /// A WebSocket.
    WebSocket,
    /// A WebSocket over TLS.
    SecureWebSocket,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// QUIC, which always encrypts.
    Quic,
}

impl TransportKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::WebSocket, Self::SecureWebSocket, Self::Tcp, Self::Tls, Self::Quic];

    /// The scheme of its addresses, which is also the word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
        }
    }

    /// Whether nobody on the way can read or change what passes.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::SecureWebSocket | Self::Tls | Self::Quic)
    }
}

/// An address that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointError {
    text: String,
    why: &'static str,
}

impl Endpoint {
    /// Reads `ws://host:port/path`, `wss://host:port/path`, `tcp://host:port`, `tls://host:port`,
    /// `quic://host:port`, `http://host:port`, `https://host:port` or `host:port`. Without a path a
    /// WebSocket goes to `/ws/p2p`. Without a port a URL goes to 80, over TLS to 443, as RFC 6455
    /// has it, and a bare host to 8080, where a Main listens unless it is told otherwise.
    ///
    /// # Errors
    /// [`EndpointError`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = |why| EndpointError { text: text.chars().take(100).collect(), why };
        let (scheme, rest, usual_port) = match text.split_once("://") {
            Some((scheme @ ("wss" | "https"), rest)) => (scheme, rest, "443"),
            Some((scheme, rest)) => (scheme, rest, "80"),
            None => ("ws", text, "8080"),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        let legal =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if authority.is_empty() || !authority.chars().all(legal) {
            return Err(refuse("it names no host"));
        }
        if !path.chars().all(|c| c.is_ascii_graphic()) {
            return Err(refuse("its path holds characters that belong in no URL"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
            return Err(refuse("write an IPv6 address in brackets, like [::1]:8080"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(refuse("its port is not a number up to 65535"));
        }
        let with_port = || format!("{host}:{}", port.unwrap_or(usual_port));
        match scheme {
            "ws" | "http" => Ok(Self::WebSocket { authority: with_port(), path: link_path(path) }),
            "wss" | "https" => {
                Ok(Self::SecureWebSocket { authority: with_port(), path: link_path(path) })
            }
            "tcp" | "tls" | "quic" if port.is_none() => {
                Err(refuse("an address with tcp://, tls:// or quic:// needs a port"))
            }
            "tcp" | "tls" | "quic" if path.len() > 1 => {
                Err(refuse("an address with tcp://, tls:// or quic:// has no path"))
            }
            "tcp" => Ok(Self::Tcp { authority: authority.into() }),
            "tls" => Ok(Self::Tls { authority: authority.into() }),
            "quic" => Ok(Self::Quic { authority: authority.into() }),
            _ => Err(refuse(
                "it starts with none of ws://, wss://, http://, https://, tcp://, tls://, quic://",
            )),
        }
    }

    /// `host:port` to connect to.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self {
            Self::WebSocket { authority, .. }
            | Self::SecureWebSocket { authority, .. }
            | Self::Tcp { authority }
            | Self::Tls { authority }
            | Self::Quic { authority } => authority,
        }
    }

    /// The host alone, an IPv6 address without its brackets: the name that a certificate must hold.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.authority();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// What carries a link to it.
    #[must_use]
    pub const fn transport(&self) -> TransportKind {
        match self {
            Self::WebSocket { .. } => TransportKind::WebSocket,
            Self::SecureWebSocket { .. } => TransportKind::SecureWebSocket,
            Self::Tcp { .. } => TransportKind::Tcp,
            Self::Tls { .. } => TransportKind::Tls,
            Self::Quic { .. } => TransportKind::Quic,
        }
    }
}

fn link_path(path: String) -> String {
    if path.len() > 1 { path } else { String::from("/ws/p2p") }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.transport().name(), self.authority());
        match self {
            Self::WebSocket { path, .. } | Self::SecureWebSocket { path, .. } => {
                write!(f, "{scheme}://{authority}{path}")
            }
            Self::Tcp { .. } | Self::Tls { .. } | Self::Quic { .. } => {
                write!(f, "{scheme}://{authority}")
            }
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no address of a Main: {}", self.text.escape_debug(), self.why)
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, expected) in [
            ("ws://relay.example.com:8080", "ws://relay.example.com:8080/ws/p2p"),
            ("ws://h:1/", "ws://h:1/ws/p2p"),
            ("ws://h:1/other?x=1", "ws://h:1/other?x=1"),
            ("http://192.168.1.100:8080", "ws://192.168.1.100:8080/ws/p2p"),
            ("localhost:8080", "ws://localhost:8080/ws/p2p"),
            ("ws://h", "ws://h:80/ws/p2p"),
            ("relay.example.com", "ws://relay.example.com:8080/ws/p2p"),
            ("[::1]:9", "ws://[::1]:9/ws/p2p"),
            ("tcp://127.0.0.1:9000", "tcp://127.0.0.1:9000"),
            ("wss://h", "wss://h:443/ws/p2p"),
            ("https://h/x", "wss://h:443/x"),
            ("wss://h:8443", "wss://h:8443/ws/p2p"),
            ("tls://h:1", "tls://h:1"),
            ("quic://[::1]:1", "quic://[::1]:1"),
        ] {
            assert_eq!(Endpoint::parse(text).map(|e| e.to_string()), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn a_certificate_must_hold_the_host() {
        for (text, host) in
            [("wss://relay.example.com", "relay.example.com"), ("quic://[::1]:1", "::1")]
        {
            assert_eq!(Endpoint::parse(text).expect(text).host(), host);
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_reason() {
        for (text, why) in [
            ("", "host"),
            ("ws://", "host"),
            ("ws://a b:1", "host"),
            ("ws://h:port", "port"),
            ("ws://h:70000", "port"),
            ("ws://::1:80", "brackets"),
            ("tcp://h", "port"),
            ("tcp://h:1/x", "path"),
            ("quic://h", "port"),
            ("tls://h:1/x", "path"),
            ("ftp://h", "ws://"),
            ("ws://h/\u{7}", "path"),
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
