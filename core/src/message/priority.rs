//! How much a call matters, as its options say it.

use super::{OPTION_HIGH, OPTION_LOW};

/// How much a call matters where there is no room for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Priority {
    /// It comes last.
    Low,
    /// As most calls.
    #[default]
    Normal,
    /// It comes first.
    High,
}

impl Priority {
    /// Every priority, the least one first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The word used in JSON and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// What the options of a request say.
    #[inline]
    pub(crate) const fn of(options: u8) -> Self {
        match options & (OPTION_HIGH | OPTION_LOW) {
            OPTION_HIGH => Self::High,
            OPTION_LOW => Self::Low,
            _ => Self::Normal,
        }
    }

    /// Its bits among the options of a request.
    pub(crate) const fn options(self) -> u8 {
        match self {
            Self::Low => OPTION_LOW,
            Self::Normal => 0,
            Self::High => OPTION_HIGH,
        }
    }
}
