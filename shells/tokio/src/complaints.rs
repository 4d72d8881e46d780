//! What strangers may make this process write into its log.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Lets so many lines through in a window, and counts the others.
#[derive(Debug)]
pub(crate) struct Complaints {
    state: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    used: u32,
    left_out: u64,
}

impl Complaints {
    pub(crate) const fn new() -> Self {
        Self { state: Mutex::new(Window { began: None, used: 0, left_out: 0 }) }
    }

    /// Whether one more line may be written, with the number left out since the last one.
    pub(crate) fn take(&self) -> Option<u64> {
        let mut window = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window.began.is_none_or(|began| began.elapsed() >= WINDOW);
        if is_over {
            window.began = Some(Instant::now());
            window.used = 0;
        }
        if window.used == LINES_PER_WINDOW {
            window.left_out += 1;
            return None;
        }
        window.used += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// One line about a connection that never became a link. Anyone can cause these.
pub(crate) fn complain(peer: Option<std::net::SocketAddr>, why: &str) {
    let Some(left_out) = COMPLAINTS.take() else { return };
    let peer = peer.map_or_else(|| String::from("unknown"), |peer| peer.to_string());
    if left_out > 0 {
        tracing::warn!(%peer, left_out, "a connection was refused: {why}");
    } else {
        tracing::warn!(%peer, "a connection was refused: {why}");
    }
}

static COMPLAINTS: Complaints = Complaints::new();
const WINDOW: Duration = Duration::from_secs(10);
/// Enough to see what is wrong; a scan of the port causes more.
const LINES_PER_WINDOW: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_budget_are_counted() {
        let complaints = Complaints::new();
        let written = (0..500).filter_map(|_| complaints.take()).count();
        let left_out = complaints.state.lock().expect("no panic").left_out;
        assert_eq!(written as u64 + left_out, 500);
        assert!(written < 100, "{written}");
    }
}
