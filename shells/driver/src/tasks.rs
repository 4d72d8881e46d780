//! The two tasks that every node has beside those of its links: one for its timer, one for its
//! dials. Both end when the engine is gone.

use crate::endpoint::Endpoint;
use crate::engine::{Engine, TimerChange};
use crate::runtime::{Runtime, within};
use crate::service::BoxFuture;
use crate::transport::{Transport, drive};
use futures_util::FutureExt;
use relay_core::{Open, Side};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

/// Wakes the engine whenever something is due.
pub(crate) async fn run_timer(engine: Weak<Engine>, runtime: Arc<dyn Runtime>) {
    let mut sleep: BoxFuture<()> = Box::pin(std::future::ready(()));
    poll_fn(|cx| {
        loop {
            let Some(engine) = engine.upgrade() else { return Poll::Ready(()) };
            // Looked at once in a while all the same, to notice that the engine is gone.
            let pause = match engine.poll_timer(cx) {
                TimerChange::Idle => TIMER_LOOK,
                TimerChange::Sleep(pause) => pause.min(TIMER_LOOK),
            };
            sleep = runtime.sleep(pause);
            if sleep.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// Makes every connection that the node asks for.
pub(crate) async fn run_dials(engine: Weak<Engine>, runtime: Arc<dyn Runtime>) {
    loop {
        let open = poll_fn(|cx| match engine.upgrade() {
            Some(engine) => engine.poll_dial(cx).map(Some),
            None => Poll::Ready(None),
        });
        let (Some(open), Some(engine)) = (open.await, engine.upgrade()) else { return };
        runtime.spawn(Box::pin(connect(engine, Arc::clone(&runtime), open)));
    }
}

async fn connect(engine: Arc<Engine>, runtime: Arc<dyn Runtime>, open: Open) {
    tracing::debug!(address = open.address, "connecting");
    let connecting = establish(&*runtime, &open.address);
    let attempt = within(&*runtime, CONNECT_TIMEOUT, connecting).await;
    let timeout = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
    match attempt.unwrap_or_else(|| Err(timeout())) {
        Ok(transport) => {
            tracing::info!(address = open.address, "connected");
            let Ok(link) = engine.open_link(Side::Dialled(open.dial)) else { return };
            let why = drive(Arc::clone(&engine), link, transport, runtime).await;
            engine.link_ended(open.dial, &why);
        }
        Err(error) => {
            tracing::info!(address = open.address, %error, "could not connect");
            engine.dial_failed(open.dial, &error.to_string());
        }
    }
}

async fn establish(runtime: &dyn Runtime, address: &str) -> io::Result<Box<dyn Transport>> {
    let endpoint = Endpoint::parse(address).map_err(io::Error::other)?;
    runtime.connect(endpoint).await
}

const TIMER_LOOK: Duration = Duration::from_secs(60);
/// A shell that bounds its dials itself does so before this, because it knows better what is slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(11);
