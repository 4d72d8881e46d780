//! What is compared: everything that a node lets happen, step by step.

use super::Fnv;
use bytes::Bytes;
use relay_core::{CallError, CloseReason, Event, Stats, StreamError, TraceHop};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// Everything that comes out of a node while a trace is replayed.
///
/// A step is all that follows from one input, or from what was due at one moment. Steps out of
/// which something came are put into the digest in their order, each with its time. Within a step
/// the bytes of each connection keep their order, as do events, and what each call and each request
/// hears. Between different connections, calls and requests there is no order within a step: which
/// task runs first is for the executor to choose.
#[derive(Debug, Default)]
pub struct Log {
    hash: Fnv,
    steps: u64,
    written: BTreeMap<u32, (u64, Fnv)>,
    closed: BTreeMap<u32, CloseReason>,
    dialled: Vec<String>,
    heard: BTreeMap<(Side, u32), Vec<String>>,
    events: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Call,
    Request,
    Service,
}

/// What a replay came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The digest.
    pub hash: u64,
    /// Steps out of which something came.
    pub steps: u64,
}

/// Something that the application hears of a call, a request or a service.
#[derive(Debug)]
pub enum Heard<'a> {
    /// The call ended with this result.
    Result(&'a Bytes, &'a [TraceHop]),
    /// The call ended with an error that the handler wrote.
    ApplicationError(&'a Bytes, &'a [TraceHop]),
    /// The call ended without a result, or was not accepted.
    Failed(&'a CallError, &'a [TraceHop]),
    /// The next chunk of its stream, or the end of it.
    Chunk(Option<&'a Bytes>),
    /// No chunk has come.
    NoChunk,
}

impl Log {
    /// A connection took bytes.
    pub fn wrote(&mut self, link: u32, bytes: &[u8]) {
        let (count, hash) = self.written.entry(link).or_default();
        *count += bytes.len() as u64;
        hash.add(bytes);
    }

    /// The node closed a connection, and everything before was written.
    pub fn closed(&mut self, link: u32, reason: CloseReason) {
        self.closed.insert(link, reason);
    }

    /// The node asked for a connection.
    pub fn dialled(&mut self, address: &str) {
        self.dialled.push(address.into());
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        self.events.push(format!("{event:?}"));
    }

    /// A caller heard something.
    pub fn caller(&mut self, call: u32, heard: &Heard<'_>) {
        self.hear(Side::Call, call, heard);
    }

    /// A request came.
    pub fn request(&mut self, request: u32, asked: &Asked<'_>) {
        self.hear(Side::Request, request, asked);
    }

    /// A request is not awaited any more.
    pub fn cancelled(&mut self, request: u32) {
        self.hear(Side::Request, request, &"cancelled");
    }

    /// A handler tried to send: done, not now, or why it never will be.
    pub fn sent(&mut self, request: u32, outcome: Option<Result<(), StreamError>>) {
        self.hear(Side::Request, request, &outcome);
    }

    /// A service was registered or refused, or withdrawn if it was there.
    pub fn service(&mut self, outcome: &Result<bool, CallError>) {
        self.hear(Side::Service, 0, outcome);
    }

    fn hear(&mut self, side: Side, number: u32, what: &impl Debug) {
        self.heard.entry((side, number)).or_default().push(format!("{what:?}"));
    }

    /// Everything that follows from an input is there.
    pub fn end_step(&mut self, now: Duration) {
        let is_empty = self.written.is_empty()
            && self.closed.is_empty()
            && self.dialled.is_empty()
            && self.heard.is_empty()
            && self.events.is_empty();
        if is_empty {
            return;
        }
        self.steps += 1;
        self.dialled.sort_unstable();
        let hash = &mut self.hash;
        hash.word(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        hash.word(self.written.len() as u64);
        for (link, (count, bytes)) in std::mem::take(&mut self.written) {
            hash.word(u64::from(link));
            hash.word(count);
            hash.word(bytes.value());
        }
        hash.word(self.closed.len() as u64);
        for (link, reason) in std::mem::take(&mut self.closed) {
            hash.word(u64::from(link));
            hash.text(&format!("{reason:?}"));
        }
        hash.word(self.heard.len() as u64);
        for ((side, number), heard) in std::mem::take(&mut self.heard) {
            hash.word(side as u64);
            hash.word(u64::from(number));
            hash.word(heard.len() as u64);
            heard.iter().for_each(|heard| hash.text(heard));
        }
        for texts in [&mut self.dialled, &mut self.events] {
            hash.word(texts.len() as u64);
            texts.drain(..).for_each(|text| hash.text(&text));
        }
    }

    /// The node has lived, and counted what it did.
    #[must_use]
    pub fn finish(mut self, now: Duration, stats: Stats) -> Outcome {
        self.end_step(now);
        self.hash.text(&format!("{stats:?}"));
        Outcome { hash: self.hash.value(), steps: self.steps }
    }
}

/// A request as a handler sees it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The parameters.
    pub body: &'a Bytes,
    /// How long its caller waits.
    pub deadline: Duration,
    /// Whether it may run twice.
    pub idempotent: bool,
    /// Whether its caller takes a stream.
    pub streams: bool,
    /// What its caller sent along.
    pub headers: Vec<(String, String)>,
}
