//! Tasks on the executor of smol.

use crate::player::replay;
use crate::runtime::Executor;
use relay_driver::BoxFuture;
use relay_sim::golden::{Outcome, Trace};
use smol::LocalExecutor;

/// The executor of this thread.
pub(crate) struct Smol;

thread_local! {
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
}

impl Executor for Smol {
    fn spawn(future: BoxFuture<()>) {
        EXECUTOR.with(|executor| executor.spawn(future).detach());
    }
}

/// Replays a trace on the executor of smol.
///
/// # Errors
/// As [`replay`].
pub fn play_on_smol(trace: &Trace) -> Result<Outcome, String> {
    EXECUTOR.with(|executor| smol::block_on(executor.run(replay::<Smol>(trace))))
}
