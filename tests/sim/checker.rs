//! What must hold whatever happens, judged by what a call carries, not by its ids.

use relay_core::{Answer, CallError, ErrorCode, Executed, Instant};
use std::collections::BTreeMap;
use std::time::Duration;

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The oracle, as numbered in the reliability notes.
    pub oracle: &'static str,
    /// The call, by the number that its body carries.
    pub uid: u64,
    /// What happened.
    pub what: String,
}

/// Knows every call from the outside.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    calls: BTreeMap<u64, Call>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) answered: u64,
    pub(crate) succeeded: u64,
}

#[derive(Debug)]
struct Call {
    caller: (usize, u32),
    service: String,
    deadline: Instant,
    answered: Option<Executed>,
    executions: u32,
    cancelled_at: Option<Instant>,
}

impl Checker {
    pub(crate) fn called(
        &mut self,
        uid: u64,
        caller: (usize, u32),
        service: String,
        deadline: Instant,
    ) {
        let call =
            Call { caller, service, deadline, answered: None, executions: 0, cancelled_at: None };
        self.calls.insert(uid, call);
    }

    /// A handler ran the call.
    pub(crate) fn executed(&mut self, uid: u64) {
        let Some(call) = self.calls.get_mut(&uid) else {
            return self.blame("S3", uid, "a call arrived that nobody made");
        };
        call.executions += 1;
        let (executions, told) = (call.executions, call.answered);
        if executions > 1 {
            self.blame("S4", uid, "it ran twice");
        }
        if told == Some(Executed::No) {
            self.blame("S5", uid, "it ran after its caller was told that it had not");
        }
    }

    /// An answer reached a host.
    pub(crate) fn answer(&mut self, uid: u64, at: (usize, u32), answer: &Answer, now: Instant) {
        let Some(call) = self.calls.get_mut(&uid) else {
            return self.blame("S3", uid, "an answer came to a call that nobody made");
        };
        let (caller, deadline) = (call.caller, call.deadline);
        let (executions, twice) = (call.executions, call.answered.is_some());
        let expected = digest(uid, &call.service);
        call.answered = Some(match answer {
            Answer::Result(_) | Answer::ApplicationError(_) => Executed::Yes,
            Answer::Failed(error) => error.executed,
        });
        self.answered += 1;
        if twice {
            self.blame("S1", uid, "it was answered twice");
        }
        if caller != at {
            self.blame("S3", uid, "the answer reached another caller");
        }
        if now > deadline.after(LATENESS_MAX) {
            self.blame("S2", uid, "the answer came after the deadline");
        }
        match answer {
            Answer::Result(body) => {
                self.succeeded += 1;
                if body[..] != expected[..] {
                    self.blame("S3", uid, "the answer belongs to another call");
                }
                if executions != 1 {
                    self.blame("S6", uid, "a result without a run");
                }
            }
            Answer::ApplicationError(_) => self.blame("S3", uid, "no handler answers so"),
            Answer::Failed(error) => self.judge_error(uid, error, executions),
        }
    }

    fn judge_error(&mut self, uid: u64, error: &CallError, executions: u32) {
        if error.executed == Executed::No && executions > 0 {
            self.blame("S5", uid, &format!("told '{error}', but it ran"));
        }
        if error.executed == Executed::Yes && executions == 0 {
            self.blame("S6", uid, &format!("told '{error}', but it never ran"));
        }
        if error.code == ErrorCode::Internal {
            self.blame("S13", uid, &format!("told '{error}'"));
        }
    }

    /// The host that made these calls is gone; nobody can be told any more.
    pub(crate) fn caller_gone(&mut self, caller: (usize, u32)) {
        for call in self.calls.values_mut().filter(|call| call.caller == caller) {
            call.answered.get_or_insert(Executed::Unknown);
        }
    }

    /// The caller gave the call up; no answer is due.
    pub(crate) fn cancelled(&mut self, uid: u64, now: Instant) {
        if let Some(call) = self.calls.get_mut(&uid) {
            call.answered.get_or_insert(Executed::Unknown);
            call.cancelled_at = Some(now);
        }
    }

    /// A handler was not stopped, in a world without faults.
    pub(crate) fn ran_to_its_end(&mut self, uid: u64, now: Instant) {
        let cancelled_at = self.calls.get(&uid).and_then(|call| call.cancelled_at);
        if cancelled_at.is_some_and(|at| now > at.after(CANCEL_TIME_MAX)) {
            self.blame("L10", uid, "its handler ran on after the caller had given up");
        }
    }

    /// At the end every call must have been answered.
    pub(crate) fn finish(&mut self) {
        let open = self.calls.iter().filter(|(_, call)| call.answered.is_none());
        let open: Vec<u64> = open.map(|(uid, _)| *uid).collect();
        for uid in open {
            self.blame("S1", uid, "it was never answered");
        }
    }

    pub(crate) fn blame(&mut self, oracle: &'static str, uid: u64, what: &str) {
        self.verdicts.push(Verdict { oracle, uid, what: what.into() });
    }
}

/// The answer that only this call to this service has.
pub(crate) fn digest(uid: u64, service: &str) -> Vec<u8> {
    format!("{service}:{}", uid.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()
}

/// A cancel has to reach its handler within this time, if the path lives.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(1);
/// Granularity of timers and one turn of the loop.
const LATENESS_MAX: Duration = Duration::from_millis(20);
