//! What must hold whatever happens, judged by what a call carries, not by its ids.
//!
//! The oracles are numbered as in the reliability notes: S for safety, L for liveness.

use crate::dice::Dice;
use crate::span::Span;
use crate::step::{CallStep, Service};
use relay_core::message::chunk_cost;
use relay_core::{Answer, CallError, ErrorCode, Executed, Instant};
use serde::Serialize;
use std::time::Duration;

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// The oracle.
    pub oracle: &'static str,
    /// The call it is about, by the number that its body carries.
    pub uid: Option<u32>,
    /// Virtual time of the discovery.
    pub at: Span,
    /// What happened.
    pub what: String,
}

/// Knows every call from the outside.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) calls: Vec<Record>,
    pub(crate) verdicts: Vec<Verdict>,
    seed: u64,
    now: Instant,
}

/// One call, as a bystander sees it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) step: CallStep,
    pub(crate) life: u32,
    pub(crate) made_at: Instant,
    pub(crate) executions: u8,
    pub(crate) state: State,
    /// Why it failed, if that is what its caller was told.
    pub(crate) failure: Option<ErrorCode>,
    /// The host to which a Main sent the call last.
    pub(crate) server: Option<u16>,
    /// The Mains that each attempt crossed, the first one first.
    pub(crate) ways: Vec<Vec<u16>>,
    /// Every time a Main sent it on.
    pub(crate) sent_on: Vec<SentOn>,
    /// Made or served by a host that breaks the protocol: what it is told is its own affair.
    pub(crate) hostile: bool,
    /// Chunks of its stream that reached the caller, what they cost, and what was granted for them.
    pub(crate) chunks: u16,
    pub(crate) spent: u64,
    pub(crate) granted: u64,
    /// Asked for when all was well again, so it must succeed.
    pub(crate) probe: bool,
}

/// A Main sent a call on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentOn {
    pub(crate) main: u16,
    /// Which life of it.
    pub(crate) life: u32,
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    Answered(Executed),
    /// The caller gave up then.
    Cancelled(Instant),
    /// The caller died.
    Orphaned,
}

impl Checker {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { calls: Vec::new(), verdicts: Vec::new(), seed, now: Instant::ZERO }
    }

    pub(crate) const fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// A call is made. Returns its number.
    pub(crate) fn called(&mut self, step: CallStep, life: u32, hostile: bool, probe: bool) -> u32 {
        let uid = self.calls.len() as u32;
        self.calls.push(Record {
            step,
            life,
            made_at: self.now,
            executions: 0,
            state: State::Open,
            failure: None,
            server: None,
            ways: Vec::new(),
            sent_on: Vec::new(),
            hostile,
            chunks: 0,
            spent: 0,
            granted: 0,
            probe,
        });
        uid
    }

    /// A handler of a Home got the call. Returns its number if an honest host made it; where
    /// hostile ones are about, they may have made it up.
    pub(crate) fn executed(&mut self, body: &[u8], service: &str, hostility: bool) -> Option<u32> {
        let known = uid_of(body).filter(|uid| (*uid as usize) < self.calls.len());
        let intact = known.filter(|uid| body == self.body(*uid));
        let right = intact.filter(|uid| {
            let asked = self.calls[*uid as usize].step.service;
            asked.is_named(service)
        });
        let Some(uid) = right else {
            // Nobody can make up the mark of a call, so what bears it was made by its caller.
            let marked = self.call_of(body).is_some();
            if !hostility || marked {
                self.blame("S3", known, "the call that arrived is not a call that was made");
            }
            return None;
        };
        let record = &mut self.calls[uid as usize];
        record.executions = record.executions.saturating_add(1);
        let (executions, state) = (record.executions, record.state);
        if record.hostile {
            return Some(uid);
        }
        let allowed = if self.calls[uid as usize].step.idempotent { ATTEMPTS_MAX } else { 1 };
        if executions > allowed {
            self.blame("S4", Some(uid), "it ran twice");
        }
        if state == State::Answered(Executed::No) {
            self.blame("S5", Some(uid), "it ran after its caller was told that it had not");
        }
        Some(uid)
    }

    /// An answer reached the host that made the call.
    pub(crate) fn answered(&mut self, uid: u32, answer: &Answer, latest: Instant) {
        let record = &mut self.calls[uid as usize];
        let (executions, before, hostile) = (record.executions, record.state, record.hostile);
        record.state = State::Answered(match answer {
            Answer::Result(_) | Answer::ApplicationError(_) => Executed::Yes,
            Answer::Failed(error) => error.executed,
        });
        if let Answer::Failed(error) = answer {
            record.failure = Some(error.code);
        }
        if before != State::Open {
            self.blame("S1", Some(uid), &format!("an answer came to a call that was {before:?}"));
        }
        if self.now > latest {
            let late = Span(self.now.since(latest));
            self.blame("S2", Some(uid), &format!("the answer came {late} after the latest time"));
        }
        if hostile {
            return;
        }
        match answer {
            Answer::Result(body) if body[..] != self.answer(uid)[..] => {
                self.blame("S3", Some(uid), "the answer belongs to another call or was changed");
            }
            Answer::Result(_) if executions == 0 || executions > ATTEMPTS_MAX => {
                self.blame("S6", Some(uid), &format!("a result of {executions} runs"));
            }
            Answer::Result(_) if self.calls[uid as usize].is_short() => {
                self.blame("S22", Some(uid), "the result came before its stream was over");
            }
            Answer::Result(_) => {}
            Answer::ApplicationError(_) => self.blame("S3", Some(uid), "no handler answers so"),
            Answer::Failed(error) => self.judge_error(uid, error, executions),
        }
    }

    /// A chunk reached the caller of a call that waits (S22). What the node of the caller sees to
    /// holds whoever sent it.
    pub(crate) fn chunk_came(&mut self, uid: u32, number: u32, is_last: bool, body: &[u8]) {
        let record = &mut self.calls[uid as usize];
        let is_end = is_last && body.is_empty();
        record.spent += if is_end { 0 } else { u64::from(chunk_cost(body.len())) };
        let in_turn = number == u32::from(record.chunks);
        record.chunks = record.chunks.saturating_add(1);
        let (granted, hostile) = (record.spent <= record.granted, record.hostile);
        let known =
            record.chunks <= record.step.chunks && is_last == (record.chunks == record.step.chunks);
        if !in_turn {
            self.blame("S22", Some(uid), &format!("chunk {number} came out of its turn"));
        }
        if !granted {
            self.blame("S22", Some(uid), "more of its stream came than was granted");
        }
        if !(hostile || known && body == self.chunk(uid, number)) {
            self.blame("S22", Some(uid), &format!("chunk {number} is not what was sent"));
        }
    }

    fn judge_error(&mut self, uid: u32, error: &CallError, executions: u8) {
        if error.executed == Executed::No && executions > 0 {
            self.blame("S5", Some(uid), &format!("told '{error}', but it ran"));
        }
        if error.executed == Executed::Yes && executions == 0 {
            self.blame("S6", Some(uid), &format!("told '{error}', but it never ran"));
        }
        // Compressing is the node's own affair: that somebody does not take it is as well.
        let own = [ErrorCode::Internal, ErrorCode::Capabilities];
        if own.contains(&error.code) {
            self.blame("S13", Some(uid), &format!("told '{error}'"));
        }
    }

    /// A host breaks the protocol from now on: what it is told, and what it told others, counts no
    /// more.
    pub(crate) fn distrust(&mut self, host: u16) {
        for record in &mut self.calls {
            record.hostile |= record.step.from == host || record.server == Some(host);
        }
    }

    /// A host died; its calls have nobody to be told any more.
    pub(crate) fn orphan(&mut self, uid: u32) {
        let record = &mut self.calls[uid as usize];
        if record.state == State::Open {
            record.state = State::Orphaned;
        }
    }

    /// The caller gave the call up; no answer is due.
    pub(crate) fn cancelled(&mut self, uid: u32) {
        self.calls[uid as usize].state = State::Cancelled(self.now);
    }

    /// A handler was not stopped although it could have been: the path lived all the time.
    pub(crate) fn ran_to_its_end(&mut self, uid: u32, allowed: Duration) {
        if let State::Cancelled(at) = self.calls[uid as usize].state
            && self.now > at.after(allowed)
        {
            self.blame("L10", Some(uid), "its handler ran on after the caller had given up");
        }
    }

    /// At the end every call must have been answered.
    pub(crate) fn finish(&mut self) {
        let open = self.calls.iter().enumerate().filter(|(_, call)| call.state == State::Open);
        let open: Vec<u32> = open.map(|(uid, _)| uid as u32).collect();
        for uid in open {
            self.blame("S1", Some(uid), "it was never answered");
        }
    }

    pub(crate) fn blame(&mut self, oracle: &'static str, uid: Option<u32>, what: &str) {
        // One broken promise often breaks thousands of others; the first ones tell why.
        if self.verdicts.len() < VERDICTS_MAX {
            let at = Span(self.now.since(Instant::ZERO));
            self.verdicts.push(Verdict { oracle, uid, at, what: what.into() });
        }
    }

    /// The body that only this call has: its number, a mark that nobody can guess, padding.
    pub(crate) fn body(&self, uid: u32) -> Vec<u8> {
        let step = &self.calls[uid as usize].step;
        let mut body = Vec::with_capacity(12 + step.body as usize);
        body.extend_from_slice(&self.mark(uid));
        body.resize(12 + step.body as usize, uid as u8 ^ 0x5a);
        body
    }

    /// The number of a call and a mark that nobody can guess.
    fn mark(&self, uid: u32) -> [u8; 12] {
        let mut mark = [0; 12];
        mark[..4].copy_from_slice(&uid.to_be_bytes());
        let lot = Dice::new(self.seed, &[BODY, u64::from(uid)]).next();
        mark[4..].copy_from_slice(&lot.to_be_bytes());
        mark
    }

    /// The call that a body is of, unless it was damaged or made up.
    pub(crate) fn call_of(&self, body: &[u8]) -> Option<u32> {
        let uid = uid_of(body).filter(|uid| (*uid as usize) < self.calls.len())?;
        body.starts_with(&self.mark(uid)).then_some(uid)
    }

    /// The chunk of this number that only this call has.
    pub(crate) fn chunk(&self, uid: u32, number: u32) -> Vec<u8> {
        let dice = &mut Dice::new(self.seed, &[CHUNK, u64::from(uid), u64::from(number)]);
        let mut chunk = dice.next().to_be_bytes().to_vec();
        chunk.resize(dice.spread(0, CHUNK_BYTES_MAX) as usize, uid as u8 ^ number as u8);
        chunk
    }

    /// The answer that only this call to this service has.
    pub(crate) fn answer(&self, uid: u32) -> Vec<u8> {
        let step = &self.calls[uid as usize].step;
        let service = match step.service {
            Service::Shared(number) => u64::from(number),
            Service::Own(home) => 1 << 16 | u64::from(home),
            Service::Nowhere => 1 << 32,
        };
        let purpose = [ANSWER, u64::from(uid), u64::from(step.from), service];
        let mut answer = Vec::with_capacity(8 + step.answer as usize);
        answer.extend_from_slice(&Dice::new(self.seed, &purpose).next().to_be_bytes());
        answer.resize(8 + step.answer as usize, uid as u8 ^ 0xa5);
        answer
    }
}

impl Record {
    /// Whether chunks of its stream are missing.
    const fn is_short(&self) -> bool {
        self.chunks != self.step.chunks
    }
}

/// The number that the body of a call carries.
pub(crate) fn uid_of(body: &[u8]) -> Option<u32> {
    body.first_chunk::<4>().map(|uid| u32::from_be_bytes(*uid))
}

/// Instances that one Main sends a call to at most, where running twice does no harm. Behind
/// another Main it may be as many again.
const ATTEMPTS_MAX: u8 = 4;
const BODY: u64 = 10;
const ANSWER: u64 = 11;
const CHUNK: u64 = 14;
/// The longest chunk: it fits into the smallest frames there are.
pub(crate) const CHUNK_BYTES_MAX: u64 = 3_000;
const VERDICTS_MAX: usize = 50;
