//! How a listener goes on when it cannot accept: without spinning and without filling the log.

use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Waits longer after each failure to accept, so that a lack of descriptors is not a busy loop.
#[derive(Default)]
pub(crate) struct Backoff {
    pause: Option<Duration>,
    logged_at: Option<Instant>,
}

impl Backoff {
    /// A connection was accepted.
    pub(crate) const fn reset(&mut self) {
        self.pause = None;
    }

    /// Accepting failed. Says so in the log at most once a second.
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        if is_of_one_connection(error) {
            return;
        }
        let pause = self.lengthen();
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.logged_at = Some(Instant::now());
            tracing::warn!(%error, "cannot accept connections; raise the limit on open files");
        }
        tokio::time::sleep(pause).await;
    }

    fn lengthen(&mut self) -> Duration {
        let pause = self.pause.map_or(PAUSE_MIN, |pause| (pause * 2).min(PAUSE_MAX));
        self.pause = Some(pause);
        pause
    }
}

/// Whether only the connection that was about to be accepted is at fault.
fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const LOG_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o05_pauses_grow_until_a_connection_is_accepted() {
        let mut backoff = Backoff::default();
        for pause_ms in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
            assert_eq!(backoff.lengthen(), Duration::from_millis(pause_ms));
        }
        backoff.reset();
        assert_eq!(backoff.lengthen(), PAUSE_MIN);
    }

    #[tokio::test]
    async fn o05_only_a_lack_of_descriptors_pauses() {
        let mut backoff = Backoff::default();
        backoff.wait(&io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(backoff.pause, None);
        let began = Instant::now();
        backoff.wait(&io::Error::other("too many open files")).await;
        assert!(began.elapsed() >= PAUSE_MIN && backoff.pause == Some(PAUSE_MIN));
    }
}
