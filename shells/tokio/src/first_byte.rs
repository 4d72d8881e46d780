//! What the first byte of a connection tells: the mistakes in writing an address are few, and each
//! has its own first byte.

/// What begins with a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    /// A record of TLS: an alert (21) or a handshake (22).
    Tls,
    /// A request or an answer of HTTP: a capital letter.
    Http,
    /// Anything else. A frame of a relay begins with 0 or 1, the highest byte of a length of at
    /// most 16 MiB.
    Other,
}

impl Speaks {
    pub(crate) const fn of(first: u8) -> Self {
        match first {
            21 | 22 => Self::Tls,
            b'A'..=b'Z' => Self::Http,
            _ => Self::Other,
        }
    }
}

/// Whose first byte it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum From {
    /// Of a peer that dialled here.
    Dialler,
    /// Of a peer that was dialled.
    Dialled,
}

/// Why a link of bare frames that begins with `first` cannot be one.
pub(crate) const fn why_no_link(first: u8, from: From) -> Option<&'static str> {
    match (Speaks::of(first), from) {
        (Speaks::Tls, From::Dialler) => Some(
            "TLS came to a port without TLS: dial tcp:// there, or let the node listen on tls://",
        ),
        (Speaks::Http, From::Dialler) => Some(
            "HTTP came to a port for relay links alone: dial the HTTP port for ws:// and http://",
        ),
        (Speaks::Tls, From::Dialled) => Some("TLS is spoken there: dial tls:// instead of tcp://"),
        (Speaks::Http, From::Dialled) => {
            Some("HTTP is spoken there: dial ws:// (wss:// over TLS) instead")
        }
        (Speaks::Other, _) => None,
    }
}
