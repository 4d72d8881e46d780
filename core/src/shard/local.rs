//! The local application: it calls, it serves, and it is a link like any other.

use super::Shard;
use super::instances::Ending;
use crate::calls::Answered;
use crate::compress::Compression;
use crate::error::{CallError, ErrorCode, Executed};
use crate::frame::{Frame, Kind};
use crate::message::{
    ErrorEnvelope, OPTION_IDEMPOTENT, OPTION_READS, OPTION_STREAM, OPTION_TRACE, Priority,
    RequestEnvelope, ResponseEnvelope, Status, Texts, encode, encode_error, is_target,
};
use crate::name::{NameInvalid, is_method, is_service};
use crate::outbox::{
    Answer, CallId, Delivery, IncomingCall, LocalCallId, Outbox, Output, TraceHop,
};
use crate::time::{Instant, millis};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

/// A call of the local application. What most calls leave as it is comes from the default.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The node that must answer, as `ID` or `ID@MAIN`; empty when any instance may.
    pub node: &'a str,
    /// The service.
    pub service: &'a str,
    /// The method.
    pub method: &'a str,
    /// The parameters.
    pub body: &'a [u8],
    /// How long to wait for the answer.
    pub deadline: Duration,
    /// Running the call twice does no harm.
    pub idempotent: bool,
    /// How much it matters where there is no room for all.
    pub priority: Priority,
    /// The answer tells which nodes it crossed, and how long each of them waited.
    pub trace: bool,
    /// The handler may send a stream before its answer and take one, as far as each end grants it:
    /// see [`Shard::grant`] and [`Shard::send`].
    pub stream: bool,
    /// Pairs of key and value that reach the handler, such as a W3C `traceparent`; in any order,
    /// no key twice.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            node: "",
            service: "",
            method: "",
            body: b"",
            deadline: Duration::from_mins(1),
            idempotent: false,
            priority: Priority::Normal,
            trace: false,
            stream: false,
            headers: &[],
        }
    }
}

/// The answer of a local service.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// Its result.
    Result(&'a [u8]),
    /// Its own error object.
    ApplicationError(&'a [u8]),
    /// It could not run the call, or not to the end.
    Failed {
        /// What went wrong.
        code: ErrorCode,
        /// Whether the handler ran.
        executed: Executed,
        /// One sentence for a person.
        message: &'a str,
    },
}

impl Shard {
    /// Calls a service. The answer comes as a [`Delivery::Answer`], possibly in this same outbox.
    ///
    /// # Errors
    /// A [`CallError`] when the call is not accepted at all: a name is invalid, or a bound of
    /// calls in flight is reached. Nothing is delivered then.
    pub fn call(
        &mut self,
        call: Call<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<LocalCallId, CallError> {
        if let Err(invalid) = check_names(&call) {
            return Err(self.error(ErrorCode::NameInvalid, format!("{invalid}")));
        }
        let limits = &self.config.limits;
        if call.body.len() > limits.frame_bytes_max as usize {
            let limit = u64::from(limits.frame_bytes_max);
            return Err(self.error(ErrorCode::TooLarge, "").with_limit(limit));
        }
        let mut packed = Vec::new();
        let mut pairs = Vec::from(call.headers);
        pairs.sort_unstable();
        let texts = pairs.iter().flat_map(|(key, value)| [*key, *value]);
        let headers = Texts::pack(texts, &mut packed);
        if let Err(invalid) = headers.check_headers() {
            return Err(self.error(ErrorCode::BadRequest, format!("{invalid}")));
        }
        let Some(label) = self.local_labels.allocate(limits.local_calls_max) else {
            let limit = u64::from(limits.local_calls_max);
            return Err(self.error(ErrorCode::Overloaded, "too many calls").with_limit(limit));
        };
        let (ttl, reads) = (limits.ttl, self.reads());
        let envelope = RequestEnvelope {
            node: call.node,
            service: call.service,
            method: call.method,
            deadline_ms: millis(call.deadline),
            options: options(&call) | if reads == 0 { 0 } else { OPTION_READS },
            ttl,
            content: 0,
            headers,
            path: Texts::default(),
            reads,
        };
        let write = |out: &mut bytes::BytesMut| encode(&envelope, out);
        let frame = self.writer.write(Kind::Request, label, ttl, write, call.body);
        self.handle_request(self.links.local(), frame, now, out);
        self.close_doomed(now, out);
        Ok(LocalCallId(label))
    }

    /// Gives up a call of the local application. Its answer will not be delivered.
    pub fn cancel(&mut self, call: LocalCallId, now: Instant, out: &mut Outbox) {
        let local = self.links.local();
        let known = self.links.get_mut(local).and_then(|link| link.inbound.release(call.0));
        if let Some(onward) = known {
            self.local_labels.release(call.0);
            self.cancel_onward(onward, now, out);
            self.close_doomed(now, out);
        }
    }

    /// Answers a call that was delivered. Tells whether anybody still waited for it.
    pub fn reply(
        &mut self,
        call: CallId,
        reply: Reply<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        if !matches!(reply, Reply::Failed { .. }) {
            self.end_stream(call, now, out);
        }
        let local = self.links.local();
        let Some(link) = self.links.get_mut(local) else { return false };
        let Answered::Live(waiting) = link.outbound.answered(call.0) else { return false };
        let compression = self.answer_compression(&waiting);
        let frame = match reply {
            Reply::Result(body) => self.write_response(call, Status::Result, body, compression),
            Reply::ApplicationError(body) => {
                self.write_response(call, Status::ApplicationError, body, compression)
            }
            Reply::Failed { code, executed, message } => {
                let error = self.error(code, message).with_executed(executed);
                let write = |out: &mut bytes::BytesMut| encode_error(&error, out);
                self.writer.write(Kind::Error, call.0, 0, write, &[])
            }
        };
        self.settle(&waiting, ending(&reply), now, out);
        self.send_answer(local, &waiting, frame, now, out);
        self.close_doomed(now, out);
        true
    }

    /// Whether anybody still waits for the answer to a call that was delivered.
    #[must_use]
    pub fn is_awaited(&self, call: CallId) -> bool {
        self.links.get(self.links.local()).is_some_and(|link| link.outbound.peek(call.0).is_some())
    }

    fn write_response(
        &mut self,
        call: CallId,
        status: Status,
        body: &[u8],
        compression: Option<Compression>,
    ) -> Frame {
        let envelope = ResponseEnvelope { status, content: 0 };
        let write = |out: &mut bytes::BytesMut| encode(&envelope, out);
        self.write_body(Kind::Response, call.0, write, body, compression)
    }

    /// Hands a frame to the local application. Here its payload is consumed, so here its checksum
    /// is compared.
    pub(super) fn deliver(&mut self, frame: Frame, now: Instant, out: &mut Outbox) {
        match frame.kind() {
            Kind::Request => self.deliver_request(frame, now, out),
            Kind::Cancel => {
                let call = CallId(frame.id());
                out.push(Output::Deliver(Delivery::Cancelled { call }));
            }
            Kind::Stream => self.deliver_chunk(frame, now, out),
            Kind::Credit => self.deliver_credit(&frame, out),
            Kind::Response
            | Kind::Error
            | Kind::Handshake
            | Kind::Ping
            | Kind::Pong
            | Kind::Control
            | Kind::Publish
            | Kind::Extension => {
                let label = frame.id();
                let (answer, trace) = self.read_answer(frame);
                self.local_labels.release(label);
                let call = LocalCallId(label);
                out.push(Output::Deliver(Delivery::Answer { call, answer, trace }));
            }
        }
    }

    fn deliver_request(&mut self, frame: Frame, now: Instant, out: &mut Outbox) {
        let label = frame.id();
        let local = self.links.local();
        let waiting = self.links.get(local).and_then(|link| link.outbound.peek(label));
        let Some((deadline, back)) = waiting.map(|call| (call.deadline, call.back)) else { return };
        let intact = frame.verify().is_ok() || planted!("damaged_is_delivered");
        let call = CallId(label);
        let payload = match frame.compression().filter(|_| intact) {
            None => frame.into_payload(),
            Some(compression) => match self.inflate_request(&frame, compression, back) {
                Ok(payload) => payload,
                Err(error) => return self.fail(call, &error, now, out),
            },
        };
        if planted!("delivered_twice")
            && let Some(again) = IncomingCall::new(call, deadline, payload.clone())
        {
            out.push(Output::Deliver(Delivery::Request(again)));
        }
        match IncomingCall::new(call, deadline, payload).filter(|_| intact) {
            Some(request) => out.push(Output::Deliver(Delivery::Request(request))),
            None => {
                // Damaged on the way. This call was not handed to a handler, but with its label
                // damaged the answer may reach another one, of which nothing is known.
                let (code, executed) = (ErrorCode::BadChecksum, Executed::Unknown);
                self.reply(call, Reply::Failed { code, executed, message: "" }, now, out);
            }
        }
    }

    fn unreadable(&self, text: &str) -> (Answer, Vec<TraceHop>) {
        (Answer::Failed(Box::new(self.error(ErrorCode::BadResponse, text))), Vec::new())
    }

    fn read_answer(&mut self, frame: Frame) -> (Answer, Vec<TraceHop>) {
        if frame.verify().is_err() && !planted!("damaged_is_believed") {
            return self.unreadable("the answer was damaged on the way");
        }
        if frame.kind() == Kind::Error {
            return match ErrorEnvelope::decode(frame.payload()) {
                Ok((error, hops)) => (Answer::Failed(Box::new(error)), TraceHop::list(hops)),
                Err(_) => self.unreadable("the error answer could not be read"),
            };
        }
        let payload = frame.payload();
        let Ok((envelope, hops, body)) = ResponseEnvelope::decode(payload) else {
            return self.unreadable("the answer could not be read");
        };
        let (trace, length) = (TraceHop::list(hops), body.len());
        let body = match self.plain_body(frame, length, self.inflate_max()) {
            Ok(body) => body,
            Err(error) => return (Answer::Failed(Box::new(self.uninflated(error))), trace),
        };
        match envelope.status {
            Status::Result | Status::TracedResult => (Answer::Result(body), trace),
            Status::ApplicationError | Status::TracedApplicationError => {
                (Answer::ApplicationError(body), trace)
            }
        }
    }
}

fn options(call: &Call<'_>) -> u8 {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    flag(call.idempotent, OPTION_IDEMPOTENT)
        | flag(call.trace, OPTION_TRACE)
        | flag(call.stream, OPTION_STREAM)
        | call.priority.options()
}

const fn ending(reply: &Reply<'_>) -> Ending {
    match reply {
        Reply::Result(_) | Reply::ApplicationError(_) => Ending::Answered,
        Reply::Failed { code, .. } => Ending::of(*code),
    }
}

fn check_names(call: &Call<'_>) -> Result<(), NameInvalid> {
    if !call.node.is_empty() && !is_target(call.node) {
        return Err(NameInvalid::Node);
    }
    if !is_service(call.service) {
        return Err(NameInvalid::Service);
    }
    if !is_method(call.method) {
        return Err(NameInvalid::Method);
    }
    Ok(())
}
