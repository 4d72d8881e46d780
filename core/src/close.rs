//! Why a link ends, as both sides and the log are told.

use crate::error::ErrorCode;
use core::fmt;

/// Why a link is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The local application asked for it.
    Requested,
    /// The node shuts down.
    Shutdown,
    /// The peer ended the link.
    PeerClosed,
    /// Nothing was heard for the idle time.
    IdleTimeout,
    /// The peer did not authenticate in time.
    HandshakeTimeout,
    /// The same node opened a newer link.
    Superseded,
    /// The peer broke the protocol, was refused or did not keep up.
    Fault(ErrorCode),
}

impl CloseReason {
    /// Its number in a goodbye: below 100 for ordinary ends, an [`ErrorCode`] above.
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::Requested => 0,
            Self::Shutdown => 1,
            Self::PeerClosed => 2,
            Self::IdleTimeout => 3,
            Self::HandshakeTimeout => 4,
            Self::Superseded => 5,
            Self::Fault(code) => code as u16,
        }
    }

    /// The reason of this number; numbers without meaning are an internal fault of the peer.
    #[must_use]
    pub const fn from_wire(code: u16) -> Self {
        match code {
            0 => Self::Requested,
            1 => Self::Shutdown,
            2 => Self::PeerClosed,
            3 => Self::IdleTimeout,
            4 => Self::HandshakeTimeout,
            5 => Self::Superseded,
            _ => match ErrorCode::from_wire(code) {
                Some(code) => Self::Fault(code),
                None => Self::Fault(ErrorCode::Internal),
            },
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("closed on request"),
            Self::Shutdown => f.write_str("the node shuts down"),
            Self::PeerClosed => f.write_str("the peer closed the link"),
            Self::IdleTimeout => f.write_str("nothing was heard for too long"),
            Self::HandshakeTimeout => f.write_str("no authentication in time"),
            Self::Superseded => f.write_str("the same node opened a newer link"),
            Self::Fault(code) => write!(f, "{code}: {}", code.meaning()),
        }
    }
}
