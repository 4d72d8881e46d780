//! When a silent connection is looked after: it is pinged after half of the time that it may be
//! silent, and ended after all of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The clocks of one connection, on one timer.
pub(super) struct Clock {
    idle: Duration,
    heard_at: Instant,
    is_pinged: bool,
    token_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// A ping.
    Ping,
    /// The end: nothing was heard, not even a pong.
    Silent,
    /// The end: the token was not shown in time.
    NoToken,
}

impl Clock {
    /// `token` is how long the client may take to show its token, if it has to.
    pub(super) fn new(idle: Duration, token: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            idle,
            heard_at: now,
            is_pinged: false,
            token_until: token.map(|time| now + time),
            timer: Box::pin(tokio::time::sleep(idle / 2)),
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.heard_at = Instant::now();
        self.is_pinged = false;
    }

    /// The token was shown.
    pub(super) const fn shown(&mut self) {
        self.token_until = None;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        let (due, at) = self.next();
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        // A client that never stops sending uses up what a task may do at a time, and with it the
        // timer's right to be looked at.
        if Instant::now() < at {
            ready!(self.timer.as_mut().poll(cx));
        }
        self.is_pinged |= due == Due::Ping;
        Poll::Ready(due)
    }

    fn next(&self) -> (Due, Instant) {
        let silence = if self.is_pinged {
            (Due::Silent, self.heard_at + self.idle)
        } else {
            (Due::Ping, self.heard_at + self.idle / 2)
        };
        match self.token_until {
            Some(until) if until < silence.1 => (Due::NoToken, until),
            Some(_) | None => silence,
        }
    }
}

/// Counts pings of the client: as many as anyone needs, and no more.
pub(super) struct PingBudget {
    left: u32,
    at: Instant,
}

impl PingBudget {
    pub(super) fn new() -> Self {
        Self { left: PINGS_AT_ONCE, at: Instant::now() }
    }

    /// Whether one more is allowed.
    pub(super) fn take(&mut self) -> bool {
        let earned = self.at.elapsed().as_secs_f64() * PINGS_PER_SECOND;
        if earned >= 1.0 {
            self.left = self.left.saturating_add(earned as u32).min(PINGS_AT_ONCE);
            self.at = Instant::now();
        }
        self.left.checked_sub(1).inspect(|left| self.left = *left).is_some()
    }
}

const PINGS_AT_ONCE: u32 = 20;
const PINGS_PER_SECOND: f64 = 10.0;
