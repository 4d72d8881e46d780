//! The only way anything leaves the core: an ordered list that the driver owns and drains.

use crate::close::CloseReason;
use crate::error::CallError;
use crate::event::Event;
use crate::mail::{Mail, MailBody, MailTo};
use crate::message::{
    Hop, HopList, OPTION_IDEMPOTENT, OPTION_STREAM, PublicationEnvelope, RequestEnvelope, Texts,
};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// What must happen in the world, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: Vec<Output>,
    /// Apart from the rest, so that a [`Node`](crate::Node) finds its own without a search.
    mail: Vec<Mail>,
    /// How much of the mail is for Control.
    for_control: usize,
}

impl Outbox {
    /// An outbox with room for `outputs`; it grows when needed and is meant to be reused.
    #[must_use]
    pub fn with_capacity(outputs: usize) -> Self {
        Self { outputs: Vec::with_capacity(outputs), mail: Vec::new(), for_control: 0 }
    }

    /// Takes everything out, oldest first. Memory is kept.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.for_control = 0;
        self.outputs.drain(..).chain(self.mail.drain(..).map(Output::Mail))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.outputs.is_empty() && self.mail.is_empty()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn mail(&mut self, to: MailTo, body: MailBody) {
        self.for_control += usize::from(to == MailTo::Control);
        self.mail.push(Mail { to, body });
    }

    /// Whether there is mail for Control.
    pub(crate) const fn awaits_control(&self) -> bool {
        self.for_control > 0
    }

    /// Takes the oldest mail for Control or for the shard `own`.
    pub(crate) fn take_mail(&mut self, own: u16) -> Option<Mail> {
        let mine =
            |mail: &Mail| matches!(mail.to, MailTo::Control) || mail.to == MailTo::Shard(own);
        let at = self.mail.iter().position(mine)?;
        let mail = self.mail.remove(at);
        self.for_control -= usize::from(mail.to == MailTo::Control);
        Some(mail)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(Box::new(event)));
    }
}

/// One thing to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Connect to this address, then call `open_link` with the same dial, or `handle_dial_failed`.
    Open(Open),
    /// Write these bytes to the link, then report them by `handle_flushed`.
    Transmit {
        /// The link.
        link: LinkId,
        /// A whole frame.
        frame: Bytes,
    },
    /// Write what was queued before this, then close the link. The core has already forgotten it.
    Close {
        /// The link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Something for the local application.
    Deliver(Delivery),
    /// Something for logs and metrics.
    Event(Box<Event>),
    /// Carry this to another machine of the same node.
    Mail(Mail),
}

const _: () = assert!(size_of::<Output>() <= 96, "the outbox is copied through; keep it small");

/// An address to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Which dial this is for.
    pub dial: DialId,
    /// The address, opaque to the core.
    pub address: String,
}

/// Something for the local application.
#[derive(Debug)]
pub enum Delivery {
    /// A call for a local service. Answer it by `reply`.
    Request(IncomingCall),
    /// The caller is gone, gave up or ran out of time: no answer is expected any more.
    Cancelled {
        /// The call.
        call: CallId,
    },
    /// A part of a stream. Everything that [`grant`](crate::Shard::grant) allowed may come.
    Chunk {
        /// The call.
        call: CallEnd,
        /// Its number: 0, 1, 2 and so on.
        number: u32,
        /// Whether no other follows.
        is_last: bool,
        /// The content.
        body: Bytes,
    },
    /// The other end allows to send more of a stream: whatever waited may be tried again.
    Credit {
        /// The call.
        call: CallEnd,
        /// By how much more.
        bytes: u32,
    },
    /// The answer to a call of the local application.
    Answer {
        /// The call.
        call: LocalCallId,
        /// Its one answer.
        answer: Answer,
        /// The nodes it crossed, if it was traced: who served it first, this node last.
        trace: Vec<TraceHop>,
    },
    /// Something was published on a topic that the local application subscribed to.
    Publication(Publication),
    /// So many publications were not passed on to this node, because it took them too slowly.
    Missed {
        /// How many, since this was said last.
        count: u32,
    },
}

/// What one node says of a traced call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceHop {
    /// The node.
    pub node: String,
    /// From when it passed the call on until it had the answer; at the end of the way the time of
    /// the handler.
    pub took: Duration,
    /// Instances it tried.
    pub attempts: u8,
}

impl TraceHop {
    pub(crate) fn list(hops: HopList<'_>) -> Vec<Self> {
        let hop = |hop: Hop<'_>| Self {
            node: hop.node.into(),
            took: Duration::from_micros(hop.micros),
            attempts: hop.attempts,
        };
        hops.iter().map(hop).collect()
    }
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The handler's result.
    Result(Bytes),
    /// The handler's own error object, as it wrote it.
    ApplicationError(Bytes),
    /// A relay's error.
    Failed(Box<CallError>),
}

/// A call for a local service, as it came: names and body are read out of the frame.
#[derive(Debug)]
pub struct IncomingCall {
    /// Names the call in `reply`.
    pub call: CallId,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// The caller declares that running the call twice does no harm.
    pub idempotent: bool,
    /// The caller takes a stream before the answer, and may send one, as far as each end grants it.
    pub streams: bool,
    payload: Bytes,
    names_at: [u32; 4],
    headers_at: [u32; 2],
    body_at: u32,
}

impl IncomingCall {
    /// `payload` must be that of a request, with a plain body.
    pub(crate) fn new(call: CallId, deadline: Instant, payload: Bytes) -> Option<Self> {
        let (envelope, body) = RequestEnvelope::decode(&payload).ok()?;
        let (service, method) = (envelope.service.as_bytes(), envelope.method.as_bytes());
        let [service, method, headers] =
            [service, method, envelope.headers.0].map(|text| place_in(&payload, text));
        let ([a, b], [c, d], headers_at) = (service?, method?, headers?);
        let names_at = [a, b, c, d];
        let body_at = u32::try_from(payload.len() - body.len()).ok()?;
        let idempotent = envelope.options & OPTION_IDEMPOTENT != 0;
        let streams = envelope.options & OPTION_STREAM != 0;
        Some(Self { call, deadline, idempotent, streams, payload, names_at, headers_at, body_at })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        text_at(&self.payload, self.names_at[0], self.names_at[1])
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        text_at(&self.payload, self.names_at[2], self.names_at[3])
    }

    /// What the caller sent along, as pairs of key and value, ordered by key.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs_at(&self.payload, self.headers_at)
    }

    /// The parameters, sharing the memory of the frame.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.payload.slice(self.body_at as usize..)
    }
}

/// What was published on a topic, as it came: the names are read out of the frame. Those of one
/// life of a publisher on one topic come in their order and none comes twice.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its number among those of this life of the publisher on this topic.
    pub seq: u64,
    /// What is missing before it.
    pub gap: Gap,
    /// The link that it came over, if it was not said here.
    pub via: Option<LinkId>,
    payload: Bytes,
    /// Topic and publisher come first, and are short.
    names_at: [u16; 4],
    headers_at: [u32; 2],
    body_at: u32,
}

/// What is missing between a publication and the one before it on the same topic by the same
/// publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Nothing.
    None,
    /// At most so many.
    Of(u64),
    /// Perhaps some: there were so many topics and publishers that the last number is not
    /// remembered.
    Unknown,
}

impl Publication {
    pub(crate) fn new(payload: Bytes, seq: u64, gap: Gap, via: Option<LinkId>) -> Option<Self> {
        let (envelope, body) = PublicationEnvelope::decode(&payload).ok()?;
        let (topic, publisher) = (envelope.topic.as_bytes(), envelope.publisher.as_bytes());
        let [topic, publisher, headers] =
            [topic, publisher, envelope.headers.0].map(|text| place_in(&payload, text));
        let ([a, b], [c, d], headers_at) = (topic?, publisher?, headers?);
        let short = |at: u32| u16::try_from(at).ok();
        let names_at = [short(a)?, short(b)?, short(c)?, short(d)?];
        let body_at = u32::try_from(payload.len() - body.len()).ok()?;
        Some(Self { seq, gap, via, payload, names_at, headers_at, body_at })
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        text_at(&self.payload, self.names_at[0].into(), self.names_at[1].into())
    }

    /// Bytes of all of it: names, headers and content.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.payload.len()
    }

    /// The same in memory of its own. Otherwise it keeps alive whatever was read from the link
    /// together with it, which may be far more: do this before keeping many of them.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { payload: Bytes::copy_from_slice(&self.payload), ..self.clone() }
    }

    /// The node of the publisher.
    #[must_use]
    pub fn publisher(&self) -> &str {
        text_at(&self.payload, self.names_at[2].into(), self.names_at[3].into())
    }

    /// What the publisher sent along, as pairs of key and value, ordered by key.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs_at(&self.payload, self.headers_at)
    }

    /// The content, sharing the memory of the frame.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.payload.slice(self.body_at as usize..)
    }
}

/// Where `text`, a part of `payload`, begins and ends in it.
fn place_in(payload: &Bytes, text: &[u8]) -> Option<[u32; 2]> {
    let start = (text.as_ptr() as usize).checked_sub(payload.as_ptr() as usize)?;
    Some([u32::try_from(start).ok()?, u32::try_from(start + text.len()).ok()?])
}

fn text_at(payload: &Bytes, start: u32, end: u32) -> &str {
    core::str::from_utf8(&payload[start as usize..end as usize]).unwrap_or_default()
}

fn pairs_at(payload: &Bytes, [start, end]: [u32; 2]) -> impl Iterator<Item = (&str, &str)> {
    let mut texts = Texts(&payload[start as usize..end as usize]).iter().flatten();
    core::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
}

/// Names a link of this node; a reused slot has another generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId {
    pub(crate) shard: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl LinkId {
    /// Comes before every link.
    pub(crate) const LEAST: Self = Self { shard: 0, slot: 0, generation: 0 };

    /// The place of the link in its shard, for drivers that keep a table beside it.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Whether it stands for the local application of its shard.
    pub(crate) const fn is_local(self) -> bool {
        self.slot == 0
    }

    /// The shard that owns the link.
    #[must_use]
    pub const fn shard(self) -> u16 {
        self.shard
    }
}

impl crate::topic::Asker for LinkId {
    fn number(self) -> u128 {
        let low = u64::from(self.slot) << 32 | u64::from(self.generation);
        u128::from(self.shard) << 64 | u128::from(low)
    }

    fn of(number: u128) -> Self {
        let (shard, slot, generation) =
            ((number >> 64) as u16, (number >> 32) as u32, number as u32);
        Self { shard, slot, generation }
    }
}

impl core::fmt::Display for LinkId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.shard, self.slot, self.generation)
    }
}

/// Names a call that a local service must answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub(crate) u64);

impl CallId {
    /// The place of the call in a table; unique among the calls in flight.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// Names a call that the local application made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LocalCallId(pub(crate) u64);

impl LocalCallId {
    /// The place of the call in a table; unique among the calls in flight.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// The end of a call at which the local application is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallEnd {
    /// It made the call.
    Caller(LocalCallId),
    /// It serves the call.
    Handler(CallId),
}

impl From<LocalCallId> for CallEnd {
    fn from(call: LocalCallId) -> Self {
        Self::Caller(call)
    }
}

impl From<CallId> for CallEnd {
    fn from(call: CallId) -> Self {
        Self::Handler(call)
    }
}

/// Names an address that the node keeps dialling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialId(pub(crate) u32);
