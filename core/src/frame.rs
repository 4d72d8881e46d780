//! One frame of a link: where its fields are, and which headers are refused.
//!
//! ```text
//! +--------+--------+------------+---------+----------+
//! | Length | Flags  | Message ID | Payload | Checksum |   all numbers big-endian; Length counts
//! | 4 bytes| 2 bytes| 8 bytes    | N bytes | 4 bytes  |   every byte after itself
//! +--------+--------+------------+---------+----------+
//! Flags: bits 0-3 version (1), 4-6 compression of the body, 7 checksum present,
//!        8-11 kind, 12-15 TTL (forwards left; only requests and publishes have one)
//! ```
//!
//! The checksum is CRC-32/ISO-HDLC over the payload, xor the parity of the header: the exclusive
//! or of its 32-bit words, counted from its end. Hops patch id and TTL in place and the checksum
//! with them, by the bits that they changed: a header that was damaged before stays wrong. They
//! never read, copy or checksum the payload again, so integrity holds from writer to reader.

use crate::compress::Compression;
use bytes::{BufMut, Bytes, BytesMut};
use core::fmt;

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 14;
/// Bytes after the payload when the checksum flag is set.
pub const CHECKSUM_BYTES: usize = 4;
/// The only version of the frame so far.
pub const FRAME_VERSION: u16 = 1;

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// One of the four messages that open a link.
    Handshake = 0,
    /// Asks for a pong, to see that the peer lives.
    Ping = 1,
    /// Answers a ping with its payload.
    Pong = 2,
    /// Registrations and goodbyes.
    Control = 3,
    /// A call.
    Request = 4,
    /// The answer of a handler.
    Response = 5,
    /// The answer of a relay that could not get one from a handler.
    Error = 6,
    /// A part of a stream.
    Stream = 7,
    /// Leave to send more of a stream.
    Credit = 8,
    /// The caller gave up.
    Cancel = 9,
    /// A message for the subscribers of a topic.
    Publish = 10,
    /// Opaque to relays that do not know it.
    Extension = 11,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Handshake,
        Self::Ping,
        Self::Pong,
        Self::Control,
        Self::Request,
        Self::Response,
        Self::Error,
        Self::Stream,
        Self::Credit,
        Self::Cancel,
        Self::Publish,
        Self::Extension,
    ];

    const fn from_nibble(nibble: u16) -> Option<Self> {
        if (nibble as usize) < Self::ALL.len() { Some(Self::ALL[nibble as usize]) } else { None }
    }

    const fn has_ttl(self) -> bool {
        matches!(self, Self::Request | Self::Publish)
    }

    /// Whether its body may be compressed.
    const fn has_body(self) -> bool {
        matches!(self, Self::Request | Self::Response | Self::Stream)
    }
}

/// A header that is refused. The link closes; nothing after it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The length leaves no room for the header (and the checksum, when there is one).
    TooShort {
        /// The declared length.
        length: u32,
    },
    /// The declared length is over the limit of the link.
    TooLarge {
        /// The declared length.
        length: u32,
        /// The limit of the link.
        limit: u32,
    },
    /// Another frame version.
    Version {
        /// The version of the frame.
        version: u8,
    },
    /// A kind without meaning.
    UnknownKind {
        /// Its number.
        kind: u8,
    },
    /// A compression that was not negotiated, a TTL on a kind that has none, or no checksum.
    Flags {
        /// The flags as they came.
        flags: u16,
    },
    /// The checksum does not fit the frame.
    Checksum,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { length } => write!(f, "a frame of {length} bytes has no header"),
            Self::TooLarge { length, limit } => {
                write!(f, "a frame of {length} bytes is over the limit of {limit}")
            }
            Self::Version { version } => write!(f, "frame version {version} is not spoken here"),
            Self::UnknownKind { kind } => write!(f, "frame kind {kind} has no meaning"),
            Self::Flags { flags } => write!(f, "flags {flags:#06x} were not negotiated"),
            Self::Checksum => f.write_str("the checksum does not fit the frame"),
        }
    }
}

impl core::error::Error for FrameError {}

/// One whole frame with a header that was checked.
#[derive(Debug)]
pub struct Frame {
    bytes: BytesMut,
}

impl Frame {
    /// Takes one frame off the front of `input`, or nothing while it is not whole.
    ///
    /// The header is judged as soon as it is there, before the payload arrives: what is never
    /// going to be accepted is never waited or allocated for. `compressions` has a bit for each
    /// compression that the other side may use.
    ///
    /// # Errors
    /// [`FrameError`] when the header is refused; `input` is then of no further use.
    #[inline]
    pub fn take(
        input: &mut BytesMut,
        length_max: u32,
        compressions: u8,
    ) -> Result<Option<Self>, FrameError> {
        let Some(length) = input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        if length > length_max {
            return Err(FrameError::TooLarge { length, limit: length_max });
        }
        if (length as usize) < HEADER_BYTES - LENGTH_BYTES {
            return Err(FrameError::TooShort { length });
        }
        let Some([_, _, _, _, high, low]) = input.first_chunk::<6>() else { return Ok(None) };
        check_flags(u16::from_be_bytes([*high, *low]), length, compressions)?;
        let total = LENGTH_BYTES + length as usize;
        if input.len() < total {
            return Ok(None);
        }
        Ok(Some(Self { bytes: input.split_to(total) }))
    }

    /// How many bytes are missing from `input` until the frame at its front is whole, or its length
    /// is known. For drivers: what lies behind a large frame in the same memory keeps it alive.
    #[must_use]
    pub fn missing(input: &[u8]) -> usize {
        let whole = input
            .first_chunk::<LENGTH_BYTES>()
            .map_or(0, |length| usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX));
        whole.saturating_add(LENGTH_BYTES).saturating_sub(input.len())
    }

    /// What the frame is for.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_nibble((self.flags() >> 8) & 15).unwrap_or(Kind::Extension)
    }

    /// How the body is compressed.
    #[must_use]
    #[inline]
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_number((self.flags() & COMPRESSION_MASK) >> COMPRESSION_SHIFT)
    }

    /// The label of the call, local to the link and the direction.
    #[must_use]
    #[inline]
    pub fn id(&self) -> u64 {
        let mut id = [0; 8];
        id.copy_from_slice(&self.bytes[6..HEADER_BYTES]);
        u64::from_be_bytes(id)
    }

    /// Forwards left.
    #[must_use]
    #[inline]
    pub fn ttl(&self) -> u8 {
        ttl_of(&self.bytes)
    }

    /// Bytes on the wire, the length field included.
    #[must_use]
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The value of the length field, which limits are about.
    #[must_use]
    #[inline]
    pub fn length(&self) -> u32 {
        (self.bytes.len() - LENGTH_BYTES) as u32
    }

    /// Envelope and body.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        payload_of(&self.bytes)
    }

    /// Compares the checksum with header and payload.
    ///
    /// # Errors
    /// [`FrameError::Checksum`] when it differs.
    pub fn verify(&self) -> Result<(), FrameError> {
        verify(&self.bytes)
    }

    /// Rewrites the label in place.
    #[inline]
    pub fn set_id(&mut self, id: u64) {
        let changed = self.id() ^ id;
        self.bytes[6..HEADER_BYTES].copy_from_slice(&id.to_be_bytes());
        self.patch_checksum((changed >> 32) as u32 ^ changed as u32);
    }

    /// Rewrites the forwards left in place (the low four bits of `ttl`).
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        let changed = (self.ttl() ^ ttl) & 15;
        self.bytes[4] ^= changed << 4;
        self.patch_checksum(u32::from(changed) << 12);
    }

    /// Envelope and body, sharing the memory of the frame.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        let end = self.bytes.len() - CHECKSUM_BYTES;
        self.freeze().slice(HEADER_BYTES..end)
    }

    /// A frame of its own with the bytes of one that was sent.
    pub(crate) fn copy(frame: &[u8]) -> Self {
        Self { bytes: BytesMut::from(frame) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes to send.
    #[must_use]
    #[inline]
    pub fn freeze(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Follows a change of the header by these bits of its parity.
    #[inline]
    fn patch_checksum(&mut self, changed: u32) {
        let changed = if planted!("header_unprotected") { 0 } else { changed };
        if let Some(checksum) = self.bytes.last_chunk_mut() {
            *checksum = (u32::from_be_bytes(*checksum) ^ changed).to_be_bytes();
        }
    }

    #[inline]
    fn flags(&self) -> u16 {
        u16::from_be_bytes([self.bytes[4], self.bytes[5]])
    }
}

/// Reusable space in which a node writes the frames that it makes itself.
#[derive(Debug, Default)]
pub struct FrameWriter {
    space: BytesMut,
}

impl FrameWriter {
    /// Writes one frame: `envelope` appends the first part of the payload, `body` follows.
    ///
    /// Frames share one chunk of memory until it is full, so a small frame costs no allocation.
    pub fn write(
        &mut self,
        kind: Kind,
        id: u64,
        ttl: u8,
        envelope: impl FnOnce(&mut BytesMut),
        body: &[u8],
    ) -> Frame {
        self.write_packed(kind, id, ttl, envelope, body, None)
    }

    /// The same for a body that is compressed already.
    pub fn write_packed(
        &mut self,
        kind: Kind,
        id: u64,
        ttl: u8,
        envelope: impl FnOnce(&mut BytesMut),
        body: &[u8],
        compression: Option<Compression>,
    ) -> Frame {
        let likely = HEADER_BYTES + ENVELOPE_BYTES_USUAL + body.len() + CHECKSUM_BYTES;
        if self.space.capacity() < likely {
            self.space.reserve(likely.max(CHUNK_BYTES));
        }
        let out = &mut self.space;
        out.put_u32(0);
        let ttl = if kind.has_ttl() { u16::from(ttl & 15) } else { 0 };
        let packed = compression.map_or(0, |compression| compression as u16) << COMPRESSION_SHIFT;
        let kind = u16::from(kind as u8) << 8;
        out.put_u16(ttl << 12 | kind | CHECKSUM_FLAG | packed | FRAME_VERSION);
        out.put_u64(id);
        envelope(out);
        out.put_slice(body);
        let length = out.len() + CHECKSUM_BYTES - LENGTH_BYTES;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32fast::hash(&out[HEADER_BYTES..]) ^ parity(out);
        out.put_u32(checksum);
        Frame { bytes: out.split() }
    }
}

/// Envelope and body of a whole frame.
#[inline]
pub(crate) fn payload_of(frame: &[u8]) -> &[u8] {
    &frame[HEADER_BYTES..frame.len() - CHECKSUM_BYTES]
}

/// See [`Frame::ttl`].
#[inline]
pub(crate) fn ttl_of(frame: &[u8]) -> u8 {
    frame[4] >> 4
}

/// See [`Frame::verify`].
pub(crate) fn verify(frame: &[u8]) -> Result<(), FrameError> {
    let expected = crc32fast::hash(payload_of(frame)) ^ parity(frame);
    let checksum = frame.last_chunk().map_or(0, |found| u32::from_be_bytes(*found));
    // A fuzzer cannot guess checksums; what lies behind them must be reached all the same.
    if cfg!(fuzzing) || checksum == expected { Ok(()) } else { Err(FrameError::Checksum) }
}

/// The exclusive or of the 32-bit words of the header, counted from its end: any wrong bits within
/// a stretch of 32 change it.
#[inline]
fn parity(frame: &[u8]) -> u32 {
    let Some(header) = frame.first_chunk::<HEADER_BYTES>() else { return 0 };
    if planted!("header_unprotected") {
        return 0;
    }
    let word = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&header[at..at + 4]);
        u32::from_be_bytes(word)
    };
    let first = u32::from(u16::from_be_bytes([header[0], header[1]]));
    first ^ word(2) ^ word(6) ^ word(10)
}

fn check_flags(flags: u16, length: u32, compressions: u8) -> Result<(), FrameError> {
    let version = flags & 15;
    if version != FRAME_VERSION {
        return Err(FrameError::Version { version: version as u8 });
    }
    let Some(kind) = Kind::from_nibble((flags >> 8) & 15) else {
        return Err(FrameError::UnknownKind { kind: ((flags >> 8) & 15) as u8 });
    };
    let number = (flags & COMPRESSION_MASK) >> COMPRESSION_SHIFT;
    let unasked = number != 0 && !may_compress(number, kind, compressions);
    let stray_ttl = flags >> 12 != 0 && !kind.has_ttl();
    if unasked || stray_ttl || flags & CHECKSUM_FLAG == 0 {
        return Err(FrameError::Flags { flags });
    }
    if (length as usize) < HEADER_BYTES - LENGTH_BYTES + CHECKSUM_BYTES {
        return Err(FrameError::TooShort { length });
    }
    Ok(())
}

#[cold]
fn may_compress(number: u16, kind: Kind, compressions: u8) -> bool {
    let Some(compression) = Compression::from_number(number) else { return false };
    kind.has_body() && compressions & compression.bit() != 0
}

/// Whether flags say that a body is compressed, in whatever way.
pub(crate) const fn says_compressed(flags: u16) -> bool {
    flags & COMPRESSION_MASK != 0
}

const CHECKSUM_FLAG: u16 = 1 << 7;
const COMPRESSION_MASK: u16 = 7 << COMPRESSION_SHIFT;
const COMPRESSION_SHIFT: u32 = 4;
/// Names of usual length and the fixed fields fit; longer ones grow the buffer once.
const ENVELOPE_BYTES_USUAL: usize = 192;
/// Space taken at a time for frames that the node makes itself.
const CHUNK_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests;
