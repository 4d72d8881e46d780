//! The bare loop: replays a trace with nothing but the core.

use super::Fnv;
use super::log::{Asked, Heard, Log, Outcome};
use super::trace::{Input, Profile, Step, Trace};
use super::writer::{Room, Writer};
use bytes::{Bytes, BytesMut};
use relay_core::message::chunk_cost;
use relay_core::{
    Answer, Call, CallEnd, CallId, CloseReason, Config, Delivery, DialId, Identity, Instant,
    LinkId, LocalCallId, Node, NodeId, Outbox, Output, Reply, Side, StreamError,
};
use std::collections::{BTreeMap, VecDeque};

/// Replays a trace with nothing but the core.
///
/// # Errors
/// Where the trace is none: an input does not fit, or the outputs are not those that were recorded.
pub fn play(trace: &Trace) -> Result<Outcome, String> {
    let mut player = Player::new(&trace.profile)?;
    for (at, step) in trace.steps.iter().enumerate() {
        player.advance(Instant::from_nanos(step.at));
        player.step(step).map_err(|error| format!("seed {}, step {at}: {error}", trace.seed))?;
    }
    player.advance(Instant::from_nanos(trace.lasts));
    if player.outputs.value() != trace.outputs {
        return Err(format!("seed {}: the core says something else than recorded", trace.seed));
    }
    let now = player.now.since(Instant::ZERO);
    Ok(player.log.finish(now, player.node.stats()))
}

/// A node and what is around it.
struct Player {
    node: Node,
    out: Outbox,
    now: Instant,
    log: Log,
    outputs: Fnv,
    /// The number of each open link.
    numbers: BTreeMap<LinkId, u32>,
    connections: Vec<Option<Connection>>,
    dials: VecDeque<(String, DialId)>,
    calls: Vec<Option<(LocalCallId, Reader)>>,
    requests: Vec<Option<CallId>>,
}

struct Connection {
    link: LinkId,
    /// What came and is not a whole frame yet.
    tail: BytesMut,
    frames: VecDeque<Bytes>,
    room: Room,
    writer: Writer,
    closing: Option<CloseReason>,
}

/// A stream that a caller reads: what it grants for what it has read is as the driver has it.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The caller asked for a stream, and is then not told the way.
    streams: bool,
    chunks: VecDeque<Bytes>,
    read: u32,
    is_last: bool,
}

impl Reader {
    pub(crate) fn put(&mut self, body: Bytes, is_last: bool) {
        self.is_last |= is_last;
        if !(is_last && body.is_empty()) {
            self.chunks.push_back(body);
        }
    }

    /// The next chunk, if one has come, with what to grant for it.
    pub(crate) fn take(&mut self) -> Option<(Bytes, Option<u32>)> {
        let chunk = self.chunks.pop_front()?;
        self.read += chunk_cost(chunk.len());
        let enough = self.read >= STREAM_WINDOW / 4 && !self.is_last;
        Some((chunk, enough.then(|| std::mem::take(&mut self.read))))
    }
}

impl Player {
    fn new(profile: &Profile) -> Result<Self, String> {
        let name = NodeId::new(&profile.name).map_err(|error| error.to_string())?;
        let identity = Identity::new(&profile.key, Some(name));
        let mut config = Config::new(profile.role);
        config.limits = profile.limits();
        config.compression = profile.compression();
        config.compressions = profile.compressions;
        let identity = identity.map_err(|error| error.to_string())?;
        let mut player = Self {
            node: Node::new(config, identity, profile.random),
            out: Outbox::default(),
            now: Instant::ZERO,
            log: Log::default(),
            outputs: Fnv::default(),
            numbers: BTreeMap::new(),
            connections: Vec::new(),
            dials: VecDeque::new(),
            calls: Vec::new(),
            requests: Vec::new(),
        };
        if !profile.upstreams.is_empty() {
            let _ = player.node.dial_any(&profile.upstreams, player.now, &mut player.out);
        }
        player.end_step();
        Ok(player)
    }

    /// Lets come what is due until then, each at its time.
    fn advance(&mut self, to: Instant) {
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= to) {
            self.now = due.max(self.now);
            self.end_step();
        }
        self.now = to;
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        for (link, bytes) in &step.stalls {
            if let Some(Some(connection)) = self.connections.get_mut(*link as usize) {
                connection.room.stall(*bytes as usize);
            }
        }
        self.input(&step.input)?;
        self.end_step();
        Ok(())
    }

    /// Carries out all outputs, and does what became due meanwhile.
    fn end_step(&mut self) {
        loop {
            self.carry_out();
            if self.node.poll_timeout().is_none_or(|due| due > self.now) {
                break;
            }
            self.node.handle_timeout(self.now, &mut self.out);
        }
        self.log.end_step(self.now.since(Instant::ZERO));
    }

    fn input(&mut self, input: &Input) -> Result<(), String> {
        let (now, out) = (self.now, &mut self.out);
        match input {
            Input::Dial { address } => drop(self.node.dial(address, now, out)),
            Input::Register { service } => {
                let registered = self.node.register(service, &["run"], now, out);
                self.log.service(&registered.map(|()| true));
            }
            Input::Withdraw { service } => {
                let withdrawn = self.node.withdraw(service, now, out);
                self.log.service(&Ok(withdrawn));
            }
            Input::Accepted { unix } => self.open(Side::Accepted, *unix),
            Input::Connected { address, unix } => {
                let dial = self.take_dial(address)?;
                self.open(Side::Dialled(dial), *unix);
            }
            Input::DialFailed { address } => {
                let dial = self.take_dial(address)?;
                self.node.handle_dial_failed(dial, now, &mut self.out);
            }
            Input::Received { link, bytes } => self.received(*link, bytes),
            Input::Room { link, bytes, is_open } => {
                if let Some(Some(connection)) = self.connections.get_mut(*link as usize) {
                    connection.room.grow(*bytes as usize, *is_open);
                }
            }
            Input::Closed { link, is_broken } => {
                let connection = self.connections.get_mut(*link as usize).and_then(Option::take);
                if let Some(connection) = connection.filter(|c| c.closing.is_none()) {
                    self.numbers.remove(&connection.link);
                    let detail = detail(*is_broken);
                    self.node.handle_closed(connection.link, detail, now, &mut self.out);
                }
            }
            Input::Call { .. } => self.call(input),
            Input::Read { call } => self.read(*call),
            Input::Cancel { call } => {
                if let Some((call, _)) = self.calls.get_mut(*call as usize).and_then(Option::take) {
                    self.node.cancel(call, now, out);
                }
            }
            Input::Send { request, body, is_last } => {
                if let Some(Some(call)) = self.requests.get(*request as usize) {
                    let sent = self.node.send(*call, body, *is_last, now, out);
                    let waits = [Err(StreamError::LinkFull)].contains(&sent)
                        || matches!(sent, Err(StreamError::NoCredit { .. }));
                    self.log.sent(*request, (!waits).then_some(sent));
                }
            }
            Input::Reply { request, body } => {
                let request = self.requests.get_mut(*request as usize).and_then(Option::take);
                if let Some(call) = request {
                    self.node.reply(call, Reply::Result(body), now, out);
                }
            }
            Input::Leave => self.node.leave(now, out),
            Input::End => {
                self.node.drain(now, out);
                self.node.close_all(CloseReason::Shutdown, now, out);
            }
        }
        Ok(())
    }

    fn take_dial(&mut self, address: &str) -> Result<DialId, String> {
        let at = self.dials.iter().position(|(dialled, _)| dialled == address);
        let dial = at.and_then(|at| self.dials.remove(at));
        Ok(dial.ok_or_else(|| format!("nobody dials {address}"))?.1)
    }

    fn open(&mut self, side: Side, unix: u64) {
        self.node.set_wall_clock(unix, self.now);
        let link = self.node.open_link(side, self.now, &mut self.out).ok();
        if let Some(link) = link {
            self.numbers.insert(link, self.connections.len() as u32);
        }
        self.connections.push(link.map(|link| Connection {
            link,
            tail: BytesMut::new(),
            frames: VecDeque::new(),
            room: Room::default(),
            writer: Writer::default(),
            closing: None,
        }));
    }

    fn received(&mut self, link: u32, bytes: &[u8]) {
        let Some(Some(connection)) = self.connections.get_mut(link as usize) else { return };
        if connection.closing.is_none() {
            connection.tail.extend_from_slice(bytes);
            let (link, tail) = (connection.link, &mut connection.tail);
            self.node.handle_received(link, tail, self.now, &mut self.out);
        }
    }

    fn call(&mut self, input: &Input) {
        let Input::Call { node, service, body, deadline, idempotent, trace, stream } = input else {
            return;
        };
        let call = Call {
            node: node.as_deref().unwrap_or_default(),
            service,
            method: "run",
            body,
            deadline: deadline.0,
            idempotent: *idempotent,
            trace: *trace,
            stream: *stream,
            ..Call::default()
        };
        let called = self.node.call(call, self.now, &mut self.out);
        match &called {
            Ok(call) if *stream => self.grant(*call, STREAM_WINDOW),
            Ok(_) => {}
            Err(error) => self.log.caller(self.calls.len() as u32, &Heard::Failed(error, &[])),
        }
        let reader = Reader { streams: *stream, ..Reader::default() };
        self.calls.push(called.ok().map(|call| (call, reader)));
    }

    fn read(&mut self, number: u32) {
        let Some(Some((call, reader))) = self.calls.get_mut(number as usize) else { return };
        let call = *call;
        let Some((chunk, granted)) = reader.take() else {
            let heard = if reader.is_last { Heard::Chunk(None) } else { Heard::NoChunk };
            return self.log.caller(number, &heard);
        };
        self.log.caller(number, &Heard::Chunk(Some(&chunk)));
        if let Some(bytes) = granted {
            self.grant(call, bytes);
        }
    }

    fn grant(&mut self, call: LocalCallId, bytes: u32) {
        // Its answer may have come already.
        let _ = self.node.grant(call, bytes, self.now, &mut self.out);
    }

    fn carry_out(&mut self) {
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            note(&mut self.outputs, &output);
            match output {
                Output::Open(open) => {
                    self.log.dialled(&open.address);
                    self.dials.push_back((open.address, open.dial));
                }
                Output::Transmit { link, frame } => {
                    if let Some(connection) = self.connection(link) {
                        connection.writer.queue(frame.len());
                        connection.frames.push_back(frame);
                    }
                }
                Output::Close { link, reason } => {
                    if let Some(connection) = self.connection(link) {
                        connection.closing = Some(reason);
                    }
                }
                Output::Deliver(delivery) => self.deliver(delivery),
                Output::Event(event) => self.log.event(&event),
                _ => {}
            }
        }
        self.write();
    }

    fn connection(&mut self, link: LinkId) -> Option<&mut Connection> {
        let number = *self.numbers.get(&link)?;
        self.connections.get_mut(number as usize)?.as_mut()
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Request(call) => {
                let number = self.requests.len() as u32;
                self.requests.push(Some(call.call));
                let headers = call.headers().map(|(key, value)| (key.into(), value.into()));
                let asked = Asked {
                    method: call.method(),
                    body: &call.body(),
                    deadline: call.deadline.since(self.now),
                    idempotent: call.idempotent,
                    streams: call.streams,
                    headers: headers.collect(),
                };
                self.log.request(number, &asked);
            }
            Delivery::Cancelled { call } => {
                let at = self.requests.iter().position(|request| *request == Some(call));
                if let Some(at) = at {
                    self.requests[at] = None;
                    self.log.cancelled(at as u32);
                }
            }
            Delivery::Chunk { call: CallEnd::Caller(call), is_last, body, .. } => {
                let mut calls = self.calls.iter_mut().flatten();
                if let Some((_, reader)) = calls.find(|(known, _)| *known == call) {
                    reader.put(body, is_last);
                }
            }
            // Handlers of a trace read no streams, and are told when to send again.
            Delivery::Chunk { .. }
            | Delivery::Credit { .. }
            | Delivery::Publication(_)
            | Delivery::Missed { .. } => {}
            Delivery::Answer { call, answer, trace } => {
                let is_it = |known: &Option<(LocalCallId, Reader)>| {
                    known.as_ref().is_some_and(|(known, _)| *known == call)
                };
                let Some(at) = self.calls.iter().position(is_it) else { return };
                let streams = self.calls[at].take().is_some_and(|(_, reader)| reader.streams);
                let trace = if streams { Vec::new() } else { trace };
                let heard = match &answer {
                    Answer::Result(body) => Heard::Result(body, &trace),
                    Answer::ApplicationError(body) => Heard::ApplicationError(body, &trace),
                    Answer::Failed(error) => Heard::Failed(error, &trace),
                };
                self.log.caller(at as u32, &heard);
            }
        }
    }

    /// Writes what the connections take, and reports it.
    fn write(&mut self) {
        for (number, place) in self.connections.iter_mut().enumerate() {
            let Some(connection) = place else { continue };
            while let Some(frame) = connection.frames.front_mut() {
                let taken = connection.room.take(frame.len());
                if taken == 0 {
                    break;
                }
                self.log.wrote(number as u32, &frame.split_to(taken));
                connection.writer.accept(taken);
                connection.frames.pop_front_if(|frame| frame.is_empty());
            }
            let reported = connection.writer.report();
            if reported > 0 {
                self.node.handle_flushed(connection.link, reported as u32);
            }
            if let Some(reason) = connection.closing.filter(|_| connection.writer.is_idle()) {
                self.log.closed(number as u32, reason);
                self.numbers.remove(&connection.link);
                *place = None;
            }
        }
    }
}

/// What the node is told of the end of a connection.
pub(crate) const fn detail(is_broken: bool) -> &'static str {
    if is_broken { BROKEN } else { "the connection was closed" }
}

/// Puts an output of the core into a digest.
pub(crate) fn note(digest: &mut Fnv, output: &Output) {
    match output {
        Output::Transmit { link, frame } => {
            digest.text(&link.to_string());
            digest.word(frame.len() as u64);
            digest.add(frame);
        }
        other => digest.text(&format!("{other:?}")),
    }
}

/// What a caller lets come before it has read any of it, as the driver has it.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// What broke a connection, for the node.
pub const BROKEN: &str = "the connection broke";
