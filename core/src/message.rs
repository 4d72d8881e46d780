//! What payloads say: postcard envelopes in front of opaque bodies, and control messages.
//!
//! Everything borrows from the payload; nothing is allocated by a declared count. Lists travel as
//! one byte string of packed texts ([`Texts`]) for that reason.

use crate::error::{CallError, ErrorCode, Executed, Retry};
use crate::name::{NameInvalid, is_method, is_node_id, is_service};
use alloc::vec::Vec;
use bytes::BytesMut;
use serde::{Deserialize, Serialize};

mod chunk;
mod control;
mod hops;
mod priority;
mod publication;
mod reader;
mod record;

pub use chunk::{
    CHUNK_BYTES_MAX, CHUNK_OVERHEAD_BYTES, ChunkEnvelope, Credit, STREAM_BYTES_MAX, Towards,
    chunk_cost,
};
pub use control::ControlMessage;
pub use hops::{HOPS_BYTES_MAX, Hop, HopList};
pub use priority::Priority;
pub use publication::PublicationEnvelope;
use reader::Reader;
pub(crate) use record::{INTEREST, Page, interest, is_labels};
pub use record::{PAGE_BYTES_MAX, Record, records};

/// A payload that does not say what its kind promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MessageError {
    /// The bytes are not a message of this kind.
    Malformed,
    /// A name breaks its rules.
    Name(NameInvalid),
    /// Reserved option bits are set.
    Options(u8),
    /// Too many headers, too long, out of order, twice the same, or with control characters.
    Headers,
}

impl MessageError {
    /// The code the sender is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Name(_) => ErrorCode::NameInvalid,
            Self::Malformed | Self::Options(_) | Self::Headers => ErrorCode::BadRequest,
        }
    }
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("the bytes are not a message of this kind"),
            Self::Name(invalid) => invalid.fmt(f),
            Self::Options(bits) => write!(f, "option bits {bits:#04x} have no meaning"),
            Self::Headers => f.write_str("at most 32 headers in 8 KiB, sorted, none twice"),
        }
    }
}

impl core::error::Error for MessageError {}

/// Who and what a call is for. Written by the first node, read by every node on the way.
///
/// Written by serde and read by hand, because this is the one message that each forwarded call
/// costs; tests/wire compares both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct RequestEnvelope<'a> {
    /// The node that must answer; empty when any instance may.
    pub node: &'a str,
    /// The service.
    pub service: &'a str,
    /// The method.
    pub method: &'a str,
    /// Milliseconds left when the message was written.
    pub deadline_ms: u32,
    /// [`OPTION_IDEMPOTENT`] and its like; bits without a meaning are zero.
    pub options: u8,
    /// The TTL the message started with: less the TTL of the frame, it is the hops so far.
    pub ttl: u8,
    /// What the body is: 0 for JSON.
    pub content: u8,
    /// Packed pairs of key and value, keys in strictly rising order. See [`Texts`].
    pub headers: Texts<'a>,
    /// The Mains that the message crosses behind the first one, in their order; on the wire only
    /// with [`OPTION_PATH`], and there only when there are at least two of them.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub path: Texts<'a>,
    /// A bit for each compression that the answer may have; on the wire only with
    /// [`OPTION_READS`], and there never zero.
    #[serde(skip_serializing_if = "is_zero")]
    pub reads: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// The caller declares that running the call twice does no harm.
pub const OPTION_IDEMPOTENT: u8 = 1;
/// Every node on the way adds to the answer how long it waited for it.
pub const OPTION_TRACE: u8 = 1 << 1;
/// Where there is no room for all calls this one comes first.
pub const OPTION_HIGH: u8 = 1 << 2;
/// Where there is no room for all calls this one comes last.
pub const OPTION_LOW: u8 = 1 << 3;
/// The envelope ends with a path.
pub const OPTION_PATH: u8 = 1 << 4;
/// The call has streams beside request and answer.
pub const OPTION_STREAM: u8 = 1 << 5;
/// The envelope tells which compressions the answer and its stream may have.
pub const OPTION_READS: u8 = 1 << 6;
const OPTIONS: u8 = OPTION_IDEMPOTENT
    | OPTION_TRACE
    | OPTION_HIGH
    | OPTION_LOW
    | OPTION_PATH
    | OPTION_STREAM
    | OPTION_READS;

impl<'a> RequestEnvelope<'a> {
    /// Reads the envelope and returns it with the body behind it.
    ///
    /// # Errors
    /// [`MessageError`] when any field breaks its rules.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<(Self, &'a [u8]), MessageError> {
        let mut reader = Reader(payload);
        let envelope = reader.request().ok_or(MessageError::Malformed)?;
        let body = reader.0;
        if !envelope.node.is_empty() && !is_target(envelope.node) {
            return Err(MessageError::Name(NameInvalid::Node));
        }
        if !is_service(envelope.service) {
            return Err(MessageError::Name(NameInvalid::Service));
        }
        if !is_method(envelope.method) {
            return Err(MessageError::Name(NameInvalid::Method));
        }
        let both = OPTION_HIGH | OPTION_LOW;
        if envelope.options & !OPTIONS != 0 || envelope.options & both == both {
            return Err(MessageError::Options(envelope.options));
        }
        if !envelope.headers.0.is_empty() {
            envelope.headers.check_headers()?;
        }
        if !envelope.path.0.is_empty() {
            envelope.path.check_path()?;
        }
        Ok((envelope, body))
    }

    /// How much the call matters.
    #[must_use]
    #[inline]
    pub const fn priority(&self) -> Priority {
        Priority::of(self.options)
    }
}

/// Whether `text` names a node, as `ID` or as `ID@MAIN`.
#[must_use]
pub fn is_target(text: &str) -> bool {
    match text.split_once('@') {
        Some((node, main)) => is_node_id(node) && is_node_id(main),
        None => is_node_id(text),
    }
}

/// What is in front of the body of an answer from a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResponseEnvelope {
    /// Whether the body is a result or an error of the application.
    pub status: Status,
    /// What the body is: 0 for JSON.
    pub content: u8,
}

/// How a handler answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    /// The body is the result.
    Result = 0,
    /// The body is an error object of the application, passed on as it is.
    ApplicationError = 1,
    /// As [`Self::Result`], with a list of hops before the body.
    TracedResult = 2,
    /// As [`Self::ApplicationError`], with a list of hops before the body.
    TracedApplicationError = 3,
}

impl Status {
    /// The same outcome with a list of hops.
    #[must_use]
    pub const fn traced(self) -> Self {
        match self {
            Self::Result | Self::TracedResult => Self::TracedResult,
            Self::ApplicationError | Self::TracedApplicationError => Self::TracedApplicationError,
        }
    }

    /// Whether a list of hops is before the body.
    #[must_use]
    pub const fn is_traced(self) -> bool {
        matches!(self, Self::TracedResult | Self::TracedApplicationError)
    }
}

impl ResponseEnvelope {
    /// Reads the envelope and returns it with the hops of a traced call and the body behind them.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<(Self, HopList<'_>, &[u8]), MessageError> {
        let (envelope, rest): (Self, _) = take(payload)?;
        if !envelope.status.is_traced() {
            return Ok((envelope, HopList::default(), rest));
        }
        let (hops, body) = take(rest)?;
        Ok((envelope, HopList::checked(hops)?, body))
    }
}

/// The answer of a relay that could not get one from a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorEnvelope<'a> {
    /// [`ErrorCode`] as a number.
    pub code: u16,
    /// Whether the handler ran.
    pub executed: Executed,
    /// Whether to try again.
    pub retry: Retry,
    /// The limit that was hit.
    pub limit: Option<u64>,
    /// The node that decided.
    pub node: &'a str,
    /// One sentence for a person.
    pub message: &'a str,
}

impl ErrorEnvelope<'_> {
    /// Reads an error answer, and the hops of a traced call behind it.
    ///
    /// # Errors
    /// [`MessageError`] when it is malformed, too long or names no node.
    pub fn decode(payload: &[u8]) -> Result<(CallError, HopList<'_>), MessageError> {
        let (envelope, rest): (ErrorEnvelope<'_>, _) = take(payload)?;
        if !is_for_people(envelope.message) {
            return Err(MessageError::Malformed);
        }
        if !is_node_id(envelope.node) {
            return Err(MessageError::Name(NameInvalid::Node));
        }
        let hops = match rest {
            [] => HopList::default(),
            _ => match take(rest)? {
                (hops, []) => HopList::checked(hops)?,
                _ => return Err(MessageError::Malformed),
            },
        };
        let error = CallError {
            // A newer peer may know more codes; what it says about the outcome still holds.
            code: ErrorCode::from_wire(envelope.code).unwrap_or(ErrorCode::Internal),
            executed: envelope.executed,
            retry: envelope.retry,
            node: envelope.node.into(),
            message: envelope.message.into(),
            limit: envelope.limit,
        };
        Ok((error, hops))
    }
}

/// Writes packed hops, to be read by [`HopList`].
pub(crate) fn encode_hops(hops: &[u8], out: &mut BytesMut) {
    encode(hops, out);
}

/// Longest text of an error, in bytes; longer ones are cut where they are written.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;

/// Whether a text of another node may be shown and logged: short, and on one line.
fn is_for_people(text: &str) -> bool {
    text.len() <= ERROR_MESSAGE_BYTES_MAX && !text.contains(char::is_control)
}

/// `text` as other nodes accept it: on one line, cut where it is too long.
pub(crate) fn for_people(text: &str) -> alloc::string::String {
    cut(text, ERROR_MESSAGE_BYTES_MAX).replace(char::is_control, " ")
}

/// Writes `error` as the payload of an error frame.
pub(crate) fn encode_error(error: &CallError, out: &mut BytesMut) {
    encode(
        &ErrorEnvelope {
            code: error.code as u16,
            executed: error.executed,
            retry: error.retry,
            limit: error.limit,
            node: &error.node,
            message: &for_people(&error.message),
        },
        out,
    );
}

/// A list of texts in one byte string: each a varint length and its UTF-8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Texts<'a>(#[serde(borrow)] pub &'a [u8]);

impl<'a> Texts<'a> {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Packs `texts` into `space` and borrows the result.
    pub fn pack<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, space: &'a mut Vec<u8>) -> Self {
        space.clear();
        for text in texts {
            push(text.as_ref(), space);
        }
        Self(space)
    }

    /// The texts in order; the first malformed one ends the list.
    pub fn iter(self) -> impl Iterator<Item = Result<&'a str, MessageError>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            match take(rest) {
                Ok((text, after)) => {
                    rest = after;
                    Some(Ok(text))
                }
                Err(error) => {
                    rest = &[];
                    Some(Err(error))
                }
            }
        })
    }

    /// A path is short, and every name in it is the id of a node. That none is in it twice is for
    /// the Mains on it to say.
    fn check_path(self) -> Result<(), MessageError> {
        let mut count = 0;
        for node in self.iter() {
            count += 1;
            if count > PATH_MAX || !node.is_ok_and(is_node_id) {
                return Err(MessageError::Name(NameInvalid::Node));
            }
        }
        Ok(())
    }

    pub(crate) fn check_headers(self) -> Result<(), MessageError> {
        if self.0.len() > HEADER_BYTES_MAX {
            return Err(MessageError::Headers);
        }
        let mut last: Option<&str> = None;
        let mut texts = self.iter();
        let mut count = 0;
        while let Some(key) = texts.next() {
            let (Ok(key), Some(Ok(value))) = (key, texts.next()) else {
                return Err(MessageError::Headers);
            };
            count += 1;
            let rising = last.is_none_or(|last| last < key);
            let control = |text: &str| text.bytes().any(|byte| byte < 0x20 || byte == 0x7f);
            if count > HEADERS_MAX || !rising || key.is_empty() || control(key) || control(value) {
                return Err(MessageError::Headers);
            }
            last = Some(key);
        }
        Ok(())
    }
}

/// Most Mains on a path: a message crosses at most 15 links.
pub const PATH_MAX: usize = 13;
/// Most headers of one call.
pub const HEADERS_MAX: usize = 32;
/// Most bytes of all headers of one call.
pub const HEADER_BYTES_MAX: usize = 8 << 10;

/// Reads one postcard value off the front of `bytes`.
#[inline]
pub(crate) fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), MessageError> {
    postcard::take_from_bytes(bytes).map_err(|_| MessageError::Malformed)
}

/// Appends `value` in postcard's encoding.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut BytesMut) {
    // The flavour below cannot fail, and no type of this crate refuses to be written.
    let _ = postcard::serialize_with_flavor::<T, _, _>(value, Append(out));
}

struct Append<'a>(&'a mut BytesMut);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.extend_from_slice(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The longest start of `text` within `bytes_max` that ends between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn push(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;
