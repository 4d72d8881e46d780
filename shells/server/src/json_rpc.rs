//! The JSON-RPC 2.0 front: bytes of a request body in, calls to make or refusals to send out.
//!
//! Pure: no sockets, no clock, no registry. It decides what is a request, which service and
//! method a name means, and how answers are written. It never looks into params or results
//! beyond checking that they are JSON: both, and ids, pass byte for byte.
//!
//! - Text that is not JSON, nests deeper than [`DEPTH_MAX`] or holds a lone surrogate is one
//!   `Parse error`, whatever else it holds.
//! - A member given twice in a request object makes it invalid: two readers could disagree on
//!   which one counts. Members that the specification does not know are ignored otherwise.
//! - The message of a specified error is the specification's own; our sentence is `data.detail`.

mod address;
mod answer;
mod discover;
mod method;
mod scan;
mod trace;

pub use address::{NodeAddress, NodeAddressInvalid, NodeKind};
pub(crate) use answer::{is_error_object, write_string};
pub use answer::{write_answer, write_error};
pub use discover::{DiscoverInfo, write_discover};
pub use method::{Call, CallOptions, TIMEOUT_MAX, Target};
pub use trace::{Trace, write_trace};

use bytes::Bytes;
use relay_tokio::{CallError, ErrorCode};
pub(crate) use scan::{Kind, Malformed, SCAN_DEPTH_MAX, Scanner, Value, one_value};
use scan::{check_utf8, unescape};
use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting of arrays and objects in a request body.
pub const DEPTH_MAX: u32 = 32;
/// Most requests in one batch.
pub const BATCH_ENTRIES_MAX: usize = 32;
/// Longest `id`, in bytes as the caller wrote it, quotes included.
pub const ID_BYTES_MAX: usize = 64;

/// What the parser knows beside the body.
#[derive(Clone, Copy, Debug)]
pub struct Front<'a> {
    /// This node, named in errors.
    pub node: &'a str,
    /// The service that the URL names; methods are then plain names.
    pub service: Option<&'a str>,
    /// What the caller asked for outside the body.
    pub options: CallOptions,
    /// The caller is connected for longer than one request, so that `rpc.*` can be about the
    /// connection itself: see [`Target::Control`].
    pub is_connected: bool,
}

/// A request body, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// One request, or one error that answers the whole body.
    Single(Entry),
    /// A batch of 1 to [`BATCH_ENTRIES_MAX`] entries, to be answered in an array.
    Batch(Vec<Entry>),
}

/// One request object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A call that wants an answer.
    Call {
        /// The id as the caller wrote it, to be echoed.
        id: Bytes,
        /// What to run.
        call: Call,
    },
    /// A call that wants none.
    Notification(Call),
    /// A notification that cannot run; the specification forbids telling.
    Ignored(CallError),
    /// A request to be answered with an error.
    Invalid {
        /// The id as the caller wrote it; none where it could not be read.
        id: Option<Bytes>,
        /// Why it cannot run.
        error: CallError,
    },
}

impl Parsed {
    /// Understands a request body. `body` is kept alive by the parts of it that are handed out.
    #[must_use]
    pub fn of(body: &Bytes, front: &Front<'_>) -> Self {
        match parse(body, front) {
            Ok(parsed) => parsed,
            Err(Malformed { at, what }) => {
                let detail = format!("{what}, at byte {at}");
                Self::Single(Entry::invalid(front.error(ErrorCode::Parse, detail)))
            }
        }
    }
}

impl Entry {
    const fn invalid(error: CallError) -> Self {
        Self::Invalid { id: None, error }
    }
}

impl Front<'_> {
    fn error(&self, code: ErrorCode, detail: impl Into<String>) -> CallError {
        CallError::new(code, self.node, detail)
    }
}

fn parse(body: &Bytes, front: &Front<'_>) -> Result<Parsed, Malformed> {
    check_utf8(body)?;
    let mut scanner = Scanner::new(body, DEPTH_MAX);
    let parsed = if scanner.peek_kind()? == Kind::Array {
        batch(&mut scanner, body, front)?
    } else {
        Parsed::Single(entry(&mut scanner, body, front)?)
    };
    scanner.end()?;
    Ok(parsed)
}

fn batch(scanner: &mut Scanner<'_>, body: &Bytes, front: &Front<'_>) -> Result<Parsed, Malformed> {
    let mut entries = Vec::new();
    let mut is_too_long = false;
    scanner.elements(|scanner| {
        // Entries beyond the bound still have to be JSON, but nothing of them is kept.
        if is_too_long || entries.len() == BATCH_ENTRIES_MAX {
            is_too_long = true;
            return scanner.value().map(drop);
        }
        let mut entry = entry(scanner, body, front)?;
        if let Entry::Call { id, .. } = &entry
            && entries.iter().any(|other| matches!(other, Entry::Call { id: o, .. } if *o == *id))
        {
            let detail = "this id is already in use by another request of the batch";
            let error = front.error(ErrorCode::BadRequest, detail);
            entry = Entry::Invalid { id: Some(id.clone()), error };
        }
        entries.push(entry);
        Ok(())
    })?;
    if is_too_long {
        let detail = format!("a batch holds at most {BATCH_ENTRIES_MAX} requests");
        let error = front.error(ErrorCode::BadRequest, detail);
        return Ok(Parsed::Single(Entry::invalid(error.with_limit(BATCH_ENTRIES_MAX as u64))));
    }
    if entries.is_empty() {
        let error = front.error(ErrorCode::BadRequest, "a batch holds at least one request");
        return Ok(Parsed::Single(Entry::invalid(error)));
    }
    Ok(Parsed::Batch(entries))
}

fn entry(scanner: &mut Scanner<'_>, body: &Bytes, front: &Front<'_>) -> Result<Entry, Malformed> {
    if scanner.peek_kind()? != Kind::Object {
        scanner.value()?;
        return Ok(Entry::invalid(front.error(ErrorCode::BadRequest, "a request is an object")));
    }
    let mut envelope = Envelope::default();
    scanner.members(|key, value| envelope.take(key, value))?;
    Ok(envelope.into_entry(body, front))
}

/// The members of one request object, before they are judged.
#[derive(Default)]
struct Envelope<'a> {
    version: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    id: Option<Value>,
    extension: Option<Value>,
    unknown: Vec<&'a [u8]>,
    fault: Option<&'static str>,
    has_two_ids: bool,
}

impl<'a> Envelope<'a> {
    fn take(&mut self, key: &'a [u8], value: Value) {
        let name = if key.contains(&b'\\') { unescape(key) } else { None };
        let name = name.as_deref().map_or(key, str::as_bytes);
        let slot = match name {
            b"jsonrpc" => &mut self.version,
            b"method" => &mut self.method,
            b"params" => &mut self.params,
            b"id" => &mut self.id,
            b"relay" => &mut self.extension,
            _ => return self.take_unknown(key),
        };
        if slot.replace(value).is_some() {
            self.fault = Some("a member is given twice");
            self.has_two_ids |= name == b"id";
        }
    }

    fn take_unknown(&mut self, key: &'a [u8]) {
        if self.unknown.contains(&key) {
            self.fault = Some("a member is given twice");
        } else if self.unknown.len() == UNKNOWN_MEMBERS_MAX {
            self.fault = Some("too many members that are not part of a request");
        } else {
            self.unknown.push(key);
        }
    }

    fn into_entry(self, body: &Bytes, front: &Front<'_>) -> Entry {
        let slice = |span: &Range<usize>| body.slice(span.clone());
        let id = match &self.id {
            Some(_) if self.has_two_ids => None,
            Some(id) if is_id(id) => Some(slice(&id.span)),
            Some(_) | None => None,
        };
        let method = match self.fault.or_else(|| self.judge(body)) {
            None => self.method.as_ref().and_then(|method| string(method, body)).ok_or(NO_METHOD),
            Some(fault) => Err(fault),
        };
        let method = match method {
            Ok(method) => method,
            Err(detail) => {
                return Entry::Invalid { id, error: front.error(ErrorCode::BadRequest, detail) };
            }
        };
        let params = self.params.map(|params| slice(&params.span)).unwrap_or_default();
        let extension = self.extension.map(|value| slice(&value.span)).unwrap_or_default();
        let call = Call::of(&method, params, front).map(|call| Call { extension, ..call });
        match (call, id) {
            (Ok(call), Some(id)) => Entry::Call { id, call },
            (Ok(call), None) => Entry::Notification(call),
            (Err(error), Some(id)) => Entry::Invalid { id: Some(id), error },
            (Err(error), None) => Entry::Ignored(error),
        }
    }

    /// The first rule of the specification that the members break.
    fn judge(&self, body: &Bytes) -> Option<&'static str> {
        let version = self.version.as_ref().and_then(|version| string(version, body));
        let is_version = version.as_deref() == Some("2.0");
        if !is_version {
            return Some("'jsonrpc' must be \"2.0\"");
        }
        if self.method.as_ref().is_none_or(|method| method.kind != Kind::String) {
            return Some(NO_METHOD);
        }
        let is_structure = |value: &Value| matches!(value.kind, Kind::Object | Kind::Array);
        if self.params.as_ref().is_some_and(|params| !is_structure(params)) {
            return Some("'params' must be an object or an array; leave it out for none");
        }
        if self.id.as_ref().is_some_and(|id| !is_id(id)) {
            return Some("'id' must be a string, a number or null, of at most 64 bytes");
        }
        None
    }
}

/// The text of a value that is a string.
fn string<'a>(value: &Value, body: &'a [u8]) -> Option<Cow<'a, str>> {
    let is_string = value.kind == Kind::String;
    is_string.then(|| unescape(&body[value.span.start + 1..value.span.end - 1])).flatten()
}

fn is_id(value: &Value) -> bool {
    match value.kind {
        Kind::String | Kind::Number => value.span.len() <= ID_BYTES_MAX,
        Kind::Null => true,
        Kind::Object | Kind::Array | Kind::Bool => false,
    }
}

const NO_METHOD: &str = "'method' must be a string";
/// Members outside the specification that one request may carry.
const UNKNOWN_MEMBERS_MAX: usize = 16;

#[cfg(test)]
mod tests;
