//! Bodies that travel compressed: each on its own, inflated only by the node that reads them.
//!
//! A compressed body is the length of the plain one in four bytes, lowest first, and then what the
//! algorithm made of it: for LZ4 one block, for Zstd one frame. With LZ4 this is what libraries
//! call "block with its size in front". The length is a claim: it is compared with the limit before
//! anything else, and with what the compressed bytes amount to before anything is allocated.
//! Nothing is shared between bodies, so one caller's text never tells about another's (CRIME).

use alloc::vec::Vec;
use core::fmt;

#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "zstd")]
mod zstd;

/// A way to compress bodies. The number is the one in the flags of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Compression {
    /// LZ4: cheap at both ends.
    Lz4 = 1,
    /// Zstandard (RFC 8878): smaller, and dearer.
    Zstd = 2,
}

impl Compression {
    /// Every way, in the order of its number.
    pub const ALL: [Self; 2] = [Self::Lz4, Self::Zstd];

    /// The bits of all ways, as in [`Capabilities`](crate::handshake::Capabilities).
    pub const BITS: u8 = Self::Lz4.bit() | Self::Zstd.bit();

    /// The bits of the ways that this build can read and write.
    pub const BUILT: u8 = {
        let lz4 = if cfg!(feature = "lz4") { Self::Lz4.bit() } else { 0 };
        let zstd = if cfg!(feature = "zstd") { Self::Zstd.bit() } else { 0 };
        lz4 | zstd
    };

    /// Its bit in a set of compressions.
    #[must_use]
    #[inline]
    pub const fn bit(self) -> u8 {
        1 << (self as u8 - 1)
    }

    /// The word used in configuration and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A compressed body that is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InflateError {
    /// The plain body would be longer than the limit.
    TooLarge {
        /// The limit.
        limit: u32,
    },
    /// A decoder would need more memory than this one spends.
    Window {
        /// The window that is asked for.
        bytes: u64,
    },
    /// The bytes are not what the flags and the length in front say.
    Malformed,
    /// This build has no decoder for it.
    NotBuilt,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body inflates to more than {limit} bytes"),
            Self::Window { bytes } => {
                write!(f, "a window of {bytes} bytes; at most {ZSTD_WINDOW_BYTES_MAX} are taken")
            }
            Self::Malformed => f.write_str("the compressed body is malformed"),
            Self::NotBuilt => f.write_str("this node has no decoder for the body"),
        }
    }
}

impl core::error::Error for InflateError {}

/// The length that a compressed body claims for the plain one; nothing where it cannot be true,
/// because whatever does not shrink is sent plain.
#[must_use]
#[inline]
pub fn plain_length(body: &[u8]) -> Option<u32> {
    let length = u32::from_le_bytes(*body.first_chunk()?);
    (length as usize > body.len()).then_some(length)
}

/// Compresses a body, unless that makes it no shorter or this build cannot.
#[must_use]
pub fn deflate(body: &[u8], compression: Compression) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok()?;
    let out = Vec::from(length.to_le_bytes());
    let packed = match compression {
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::deflate(body, out),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::deflate(body, out).ok(),
        #[cfg(not(all(feature = "lz4", feature = "zstd")))]
        _ => Some(out).filter(|_| false),
    };
    packed.filter(|packed| packed.len() < body.len())
}

/// Inflates a body to at most `limit` bytes, behind a copy of `head`. Beside the result it takes
/// less than 64 KiB of memory, whatever the body says.
///
/// # Errors
/// [`InflateError`]; nothing of the output is left then.
pub fn inflate(
    body: &[u8],
    compression: Compression,
    limit: u32,
    head: &[u8],
) -> Result<Vec<u8>, InflateError> {
    let length = plain_length(body).ok_or(InflateError::Malformed)?;
    if length > limit {
        return Err(InflateError::TooLarge { limit });
    }
    let packed = &body[LENGTH_BYTES..];
    match compression {
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::inflate(packed, length as usize, head),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::inflate(packed, length as usize, head),
        #[cfg(not(all(feature = "lz4", feature = "zstd")))]
        _ => {
            let _ = (packed, head);
            Err(InflateError::NotBuilt)
        }
    }
}

/// Largest window of a Zstd frame that is taken: that of DEFLATE.
pub const ZSTD_WINDOW_BYTES_MAX: u32 = 32 << 10;

const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests;
