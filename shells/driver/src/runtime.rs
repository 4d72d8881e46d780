//! What a node needs of the world around it, and nothing more: a shell is one implementation of
//! [`Runtime`] and a [`Transport`] for each kind of connection.

use crate::endpoint::Endpoint;
use crate::service::BoxFuture;
use crate::transport::Transport;
use futures_util::future::{Either, select};
use std::io;
use std::time::Duration;

/// Clocks, chance, tasks and connections.
pub trait Runtime: Send + Sync + 'static {
    /// The runtime that the code which calls this runs on.
    ///
    /// # Panics
    /// Where the runtime has to be running and is not.
    fn current() -> Self
    where
        Self: Sized;

    /// Time since any one moment in the past; it never goes backwards.
    fn now(&self) -> Duration;

    /// Time since 1970, as the wall clock has it.
    fn unix_time(&self) -> Duration;

    /// 32 bytes that nobody can guess, or nothing where the system has none.
    fn random(&self) -> Option<[u8; 32]>;

    /// Runs a future to its end, at some time after this call.
    fn spawn(&self, future: BoxFuture<()>);

    /// Ready when so much time has passed, or somewhat later.
    fn sleep(&self, pause: Duration) -> BoxFuture<()>;

    /// Connects to a Main. The future may be dropped before it is ready.
    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>>;
}

/// The outcome of `future`, or nothing if it takes longer than `patience`.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let future = std::pin::pin!(future);
    match select(future, runtime.sleep(patience)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}
