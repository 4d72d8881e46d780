//! Streams of calls: a handler sends chunks as fast as it may, the caller takes them at once or
//! slowly. What arrives is judged here (S22).

use super::World;
use crate::dice::Dice;
use crate::golden;
use crate::queue::Event;
use bytes::Bytes;
use relay_core::message::chunk_cost;
use relay_core::{CallEnd, CallId, LocalCallId, StreamError};
use std::time::Duration;

/// A handler that has something to send before its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) uid: u32,
    pub(super) sent: u16,
    /// Its result is ready.
    pub(super) done: bool,
}

/// How a caller takes a stream.
#[derive(Clone, Copy, Debug)]
struct Taste {
    window: u32,
    pause: Duration,
}

impl World {
    /// The caller lets the first chunks come.
    pub(super) fn start_stream(&mut self, at: usize, call: LocalCallId, uid: u32) {
        let own = self.records(at).then_some(golden::STREAM_WINDOW);
        let window = own.unwrap_or_else(|| self.taste(uid).window);
        self.grant(at, call, uid, window);
    }

    /// A chunk reached the application of a host.
    pub(super) fn take_chunk(
        &mut self,
        at: usize,
        call: CallEnd,
        chunk: (u32, bool),
        body: &Bytes,
    ) {
        let (number, is_last) = chunk;
        let waiting = match call {
            CallEnd::Caller(call) => self.hosts[at].waiting_for(call).map(|uid| (call, uid)),
            // In this world no caller sends a stream.
            CallEnd::Handler(_) if self.hostility => return,
            CallEnd::Handler(_) => None,
        };
        let Some((call, uid)) = waiting else {
            return self.checker.blame("S22", None, "a chunk for no call");
        };
        self.note(u64::from(uid) << 16 | u64::from(number));
        self.checker.chunk_came(uid, number, is_last, body);
        self.tally.mark("a chunk of a stream came");
        let (cost, pause) = (chunk_cost(body.len()), self.taste(uid).pause);
        if pause == Duration::ZERO {
            self.taken(at, call, uid, cost);
        } else {
            let later = Event::Consume { uid, bytes: cost };
            self.queue.push(self.now.after(pause), later);
        }
    }

    /// A slow caller has taken what came.
    pub(super) fn consume(&mut self, uid: u32, bytes: u32) {
        let record = &self.checker.calls[uid as usize];
        let (at, life) = (usize::from(record.step.from), record.life);
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            return host.deferred.push(Event::Consume { uid, bytes });
        }
        let mut waiting = host.waiting.iter().flatten();
        if let Some((call, _)) = waiting.find(|(_, waiting)| *waiting == uid).copied() {
            self.taken(at, call, uid, bytes);
            self.apply(at);
        }
    }

    /// The application has taken a chunk and lets as much come again.
    fn taken(&mut self, at: usize, call: LocalCallId, uid: u32, bytes: u32) {
        if self.records(at) {
            self.record_read(at, call, uid);
        } else {
            self.grant(at, call, uid, bytes);
        }
    }

    pub(super) fn grant(&mut self, at: usize, call: LocalCallId, uid: u32, bytes: u32) {
        let local = self.local(at);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        match node.grant(call, bytes, local, &mut host.out) {
            Ok(()) => self.checker.calls[uid as usize].granted += u64::from(bytes),
            // Its answer is on its way to the application.
            Err(StreamError::CallEnded) => {}
            Err(error) => self.checker.blame("S22", Some(uid), &format!("not granted: {error}")),
        }
    }

    /// A handler sends what it may. Tells whether everything was sent, and its result is due.
    pub(super) fn send_chunks(&mut self, at: usize, call: CallId) -> bool {
        let local = self.local(at);
        let Some(&Sending { uid, mut sent, .. }) = self.hosts[at].sending.get(&call) else {
            return false;
        };
        let chunks = self.checker.calls[uid as usize].step.chunks;
        while sent < chunks {
            let body = self.checker.chunk(uid, u32::from(sent));
            let is_last = sent + 1 == chunks;
            self.record_send(at, call, &body, is_last);
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return false };
            match node.send(call, &body, is_last, local, &mut host.out) {
                Ok(()) => sent += 1,
                Err(StreamError::NoCredit { .. }) => {
                    self.tally.mark("a handler waited for its caller");
                    return false;
                }
                Err(StreamError::LinkFull) => {
                    let (life, slot) = (host.life, call.slot() as u32);
                    let again = Event::Send { host: at as u16, life, slot, uid };
                    self.queue.push(self.now.after(SEND_AGAIN), again);
                    return false;
                }
                Err(StreamError::CallEnded) => return false,
                Err(error) => {
                    self.checker.blame("S22", Some(uid), &format!("not sent: {error}"));
                    return false;
                }
            }
            if let Some(sending) = self.hosts[at].sending.get_mut(&call) {
                sending.sent = sent;
            }
        }
        self.hosts[at].sending.get(&call).is_some_and(|sending| sending.done)
    }

    /// The other end of a call takes more.
    pub(super) fn credited(&mut self, at: usize, call: CallEnd) {
        if let CallEnd::Handler(call) = call
            && self.send_chunks(at, call)
        {
            self.reply(at, call);
        }
    }

    /// A link was full when a handler wanted to send.
    pub(super) fn send_again(&mut self, at: usize, life: u32, slot: usize, uid: u32) {
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            let slot = slot as u32;
            return host.deferred.push(Event::Send { host: at as u16, life, slot, uid });
        }
        let running = host.running.get(slot).copied().flatten();
        let Some((call, _)) = running.filter(|(_, running)| *running == uid) else { return };
        if self.send_chunks(at, call) {
            self.reply(at, call);
        }
        self.apply(at);
    }

    fn taste(&self, uid: u32) -> Taste {
        let dice = &mut Dice::new(self.plan.seed, &[TASTE, u64::from(uid)]);
        Taste {
            window: dice.pick(&[WINDOW_LEAST, 16 << 10, 256 << 10]),
            pause: Duration::from_millis(dice.pick(&[0, 0, 1, 50])),
        }
    }
}

const TASTE: u64 = 9;
/// As much as the longest chunk costs.
const WINDOW_LEAST: u32 = chunk_cost(crate::checker::CHUNK_BYTES_MAX as usize);
const SEND_AGAIN: Duration = Duration::from_millis(5);
