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
    /// Plain TCP: `host:port`.
    Tcp {
        /// `host:port`.
        authority: String,
    },
}

/// An address that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointError {
    text: String,
    why: &'static str,
}

impl Endpoint {
    /// Reads `ws://host:port/path`, `tcp://host:port`, `http://host:port` or `host:port`. Without
    /// a path a WebSocket goes to `/ws/p2p`. Without a port a URL goes to 80, as RFC 6455 has it,
    /// and a bare host to 8080, where a Main listens unless it is told otherwise.
    ///
    /// # Errors
    /// [`EndpointError`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = |why| EndpointError { text: text.chars().take(100).collect(), why };
        let (scheme, rest, usual_port) = match text.split_once("://") {
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
        match scheme {
            "ws" | "http" => {
                let path = if path.len() > 1 { path } else { String::from("/ws/p2p") };
                let port = port.unwrap_or(usual_port);
                Ok(Self::WebSocket { authority: format!("{host}:{port}"), path })
            }
            "tcp" if port.is_none() => Err(refuse("a tcp:// address needs a port")),
            "tcp" if path.len() > 1 => Err(refuse("a tcp:// address has no path")),
            "tcp" => Ok(Self::Tcp { authority: authority.into() }),
            "wss" | "https" => Err(refuse("TLS is not part of this version; use ws://")),
            _ => Err(refuse("it starts with none of ws://, http:// and tcp://")),
        }
    }

    /// `host:port` to connect to.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self {
            Self::WebSocket { authority, .. } | Self::Tcp { authority } => authority,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket { authority, path } => write!(f, "ws://{authority}{path}"),
            Self::Tcp { authority } => write!(f, "tcp://{authority}"),
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
        ] {
            assert_eq!(Endpoint::parse(text).map(|e| e.to_string()), Ok(expected.into()), "{text}");
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
            ("wss://h", "TLS"),
            ("ftp://h", "ws://"),
            ("ws://h/\u{7}", "path"),
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
