//! Ctrl-C: the first ends the hunt, and what is finished is told; the next ends the process.

use crate::cli::Failure;
use crate::commands::run::StopSignals;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user has had enough. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    is_asked: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Stop {
    /// From here on a signal no longer ends the process by itself.
    ///
    /// # Errors
    /// [`Failure`] when signals cannot be listened for.
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::work(format!("cannot listen for signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let mut signals = {
            let _inside = runtime.enter();
            StopSignals::install()?
        };
        let stop = Self::default();
        let Self { is_asked, is_over } = stop.clone();
        let listen = move || {
            runtime.block_on(async {
                signals.next().await;
                if !is_over.load(Ordering::Relaxed) {
                    is_asked.store(true, Ordering::Relaxed);
                    signals.next().await;
                }
            });
            exit(INTERRUPTED.into());
        };
        std::thread::Builder::new().spawn(listen).map_err(failed)?;
        Ok(stop)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Nobody asks [`Self::is_asked`] from now on: the next signal ends the process.
    pub(super) fn hunt_is_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The exit code of a process that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;
