//! Tasks on a current-thread runtime of tokio.

use crate::player::replay;
use crate::runtime::Executor;
use relay_driver::BoxFuture;
use relay_sim::golden::{Outcome, Trace};

/// The runtime of tokio that runs the caller.
pub(crate) struct Tokio;

impl Executor for Tokio {
    fn spawn(future: BoxFuture<()>) {
        drop(tokio::spawn(future));
    }
}

/// Replays a trace on tokio.
///
/// # Errors
/// As [`replay`].
pub fn play_on_tokio(trace: &Trace) -> Result<Outcome, String> {
    block_on(replay::<Tokio>(trace))?
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(future))
}
