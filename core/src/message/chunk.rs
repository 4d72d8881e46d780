//! Streams: the parts of a body that come before the answer, or after the request, and the leave
//! to send them.

use super::{MessageError, take};
use serde::{Deserialize, Serialize};

/// Which way a stream goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Towards {
    /// From the handler to the caller.
    Caller = 0,
    /// From the caller to the handler.
    Handler = 1,
}

impl Towards {
    /// The other way: where leave to send comes from.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Caller => Self::Handler,
            Self::Handler => Self::Caller,
        }
    }
}

/// What is in front of the body of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkEnvelope {
    /// Which way it goes.
    pub to: Towards,
    /// Its number in that direction: 0, 1, 2 and so on.
    pub number: u32,
    /// Whether no other follows in that direction.
    pub is_last: bool,
}

impl ChunkEnvelope {
    /// Reads the envelope and returns it with the body behind it.
    ///
    /// # Errors
    /// [`MessageError::Malformed`], also where the body is longer than [`CHUNK_BYTES_MAX`].
    #[inline]
    pub fn decode(payload: &[u8]) -> Result<(Self, &[u8]), MessageError> {
        let (envelope, body): (Self, _) = take(payload)?;
        if body.len() > CHUNK_BYTES_MAX {
            return Err(MessageError::Malformed);
        }
        Ok((envelope, body))
    }

    /// What it costs of what was granted, with a body of `bytes`. Only the end of a stream is
    /// free: there is one at most, and it must not have to wait.
    #[must_use]
    #[inline]
    pub const fn cost(&self, bytes: usize) -> u32 {
        if self.is_last && bytes == 0 { 0 } else { chunk_cost(bytes) }
    }
}

/// Leave to send more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credit {
    /// The direction in which more may be sent.
    pub to: Towards,
    /// By how many bytes more, at least one. See [`chunk_cost`].
    pub bytes: u32,
}

impl Credit {
    /// Reads the whole payload.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    #[inline]
    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        match take::<Self>(payload)? {
            (credit, []) if credit.bytes > 0 => Ok(credit),
            _ => Err(MessageError::Malformed),
        }
    }
}

/// What a chunk with a body of `bytes` costs of what was granted, if it is not an empty last one:
/// all that it takes on a link, so
/// that many small ones cannot fill a link beyond the grant.
#[must_use]
#[inline]
pub const fn chunk_cost(bytes: usize) -> u32 {
    let bytes = if bytes > CHUNK_BYTES_MAX { CHUNK_BYTES_MAX } else { bytes };
    bytes as u32 + CHUNK_OVERHEAD_BYTES
}

/// Longest body of a chunk: other frames have to wait behind it.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;
/// What each chunk costs beside its body: header, envelope and checksum, rounded up.
pub const CHUNK_OVERHEAD_BYTES: u32 = 32;
/// The most that may be granted and not used, for each call and direction.
pub const STREAM_BYTES_MAX: u32 = 16 << 20;
