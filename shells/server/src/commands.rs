//! The commands of the command line, each in a file of its own.

pub mod bench;
pub mod call;
mod client;
mod connector;
pub mod demo;
pub mod explain;
pub mod peers;
pub mod run;
pub mod services;
pub mod sim;
mod table;
mod tls;
pub mod topics;
pub mod topology;

use crate::cli::Failure;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `work` on a runtime with this one thread: links of one node share no locks that way.
fn block_on(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::work(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    // A blocking read of the standard input cannot be stopped, and must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// The time that the flag `--timeout` asks for.
fn timeout_of(text: &str) -> Result<Duration, Failure> {
    let allowed = Duration::from_millis(1)..=Duration::from_mins(10);
    crate::config::duration(text).filter(|time| allowed.contains(time)).ok_or_else(|| {
        Failure::usage(format!("--timeout {text:?} is not allowed: must be a time from 1ms to 10m"))
            .with_hint("write it with a unit, as in 5s or 250ms")
    })
}
