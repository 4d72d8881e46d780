//! Hub or p2p: how far a message may go.

/// The shape of the network (`--mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Homes around Mains that know each other: `limits.hops_max` links at most.
    Hub,
    /// Chains of Mains: as many links as a message has TTL.
    P2p,
}

impl Mode {
    /// The mode of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "hub" => Some(Self::Hub),
            "p2p" => Some(Self::P2p),
            _ => None,
        }
    }

    /// The word used in settings and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::P2p => "p2p",
        }
    }
}
