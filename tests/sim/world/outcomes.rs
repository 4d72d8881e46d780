//! What became of each call, for those who know from elsewhere what should have.

use super::World;
use crate::checker::{Record, State};
use crate::span::Span;
use crate::step::CallStep;
use relay_core::{ErrorCode, Executed, Instant};

/// What became of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallOutcome {
    /// When it was made.
    pub at: Span,
    /// The call.
    pub step: CallStep,
    /// How often its handler was started.
    pub executions: u8,
    /// The host to which a Main sent it last.
    pub server: Option<u16>,
    /// What its caller was told; nothing if it still waits.
    pub end: Option<CallEnd>,
}

/// How a call ended for its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallEnd {
    /// With the answer of its handler.
    Result,
    /// With an error.
    Error {
        /// What went wrong.
        code: ErrorCode,
        /// Whether the caller was told that the handler ran.
        executed: Executed,
    },
    /// The caller gave it up.
    Cancelled,
    /// The caller died.
    Orphaned,
}

impl World {
    /// Every call that a step made, in the order of time. A call of a host that is down or asleep
    /// is not made.
    pub fn outcomes(&self) -> impl Iterator<Item = CallOutcome> {
        self.checker.calls.iter().filter(|call| !call.probe).map(outcome)
    }
}

fn outcome(call: &Record) -> CallOutcome {
    let end = match (call.state, call.failure) {
        (State::Open, _) => None,
        (State::Answered(executed), Some(code)) => Some(CallEnd::Error { code, executed }),
        (State::Answered(_), None) => Some(CallEnd::Result),
        (State::Cancelled(_), _) => Some(CallEnd::Cancelled),
        (State::Orphaned, _) => Some(CallEnd::Orphaned),
    };
    let Record { step, executions, server, .. } = *call;
    CallOutcome { at: Span(call.made_at.since(Instant::ZERO)), step, executions, server, end }
}
