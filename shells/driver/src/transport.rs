//! One task for each link: it reads what has come, writes what is queued, and sleeps.

use crate::endpoint::TransportKind;
use crate::engine::Engine;
use crate::links::WriteOrder;
use crate::runtime::{Runtime, within};
use bytes::Bytes;
use relay_core::{CloseReason, LinkId};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes in and out of one connection, which is established and ordered. What it cuts them into
/// means nothing.
pub trait Transport: Unpin + Send + 'static {
    /// Hands the next bytes to `take`; false at the end of the connection.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>>;

    /// Writes frames off the front of `queue`; ready when it is empty and everything is flushed.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>>;

    /// Ends the connection in good order.
    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What it is, for those who look at the links of a node.
    fn kind(&self) -> Option<TransportKind> {
        None
    }
}

impl Transport for Box<dyn Transport> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        (**self).poll_receive(cx, take)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        (**self).poll_send(cx, queue)
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_close(reason, cx)
    }

    fn kind(&self) -> Option<TransportKind> {
        (**self).kind()
    }
}

/// Drives a link until its connection ends. Gives the reason, which is empty for a good end.
pub(crate) async fn drive<T: Transport>(
    engine: Arc<Engine>,
    link: LinkId,
    transport: T,
    runtime: Arc<dyn Runtime>,
) -> String {
    engine.carried_by(link, transport.kind());
    let mut running = Running {
        engine,
        link,
        transport,
        queue: VecDeque::new(),
        unflushed: 0,
        backlog: 0,
        closing: None,
    };
    let ended = poll_fn(|cx| running.poll(cx)).await;
    let is_failure = ended.is_err();
    let detail = match ended {
        Ok(Some(reason)) => {
            // A peer that does not read must not keep the connection for ever.
            let Running { engine, transport, queue, .. } = &mut running;
            let close = poll_fn(|cx| {
                while transport.poll_send(cx, queue)?.is_ready() {
                    let order = engine.poll_writes(link, queue, WRITE_BYTES, cx);
                    if !matches!(order, Poll::Ready(WriteOrder::Write)) {
                        return transport.poll_close(reason, cx);
                    }
                }
                Poll::Pending
            });
            let _ = within(&*runtime, CLOSE_TIMEOUT, close).await;
            String::new()
        }
        Ok(None) => String::from("the connection was closed"),
        Err(error) => error.to_string(),
    };
    running.engine.closed(running.link, &detail);
    if is_failure { detail } else { String::new() }
}

struct Running<T> {
    engine: Arc<Engine>,
    link: LinkId,
    transport: T,
    queue: VecDeque<Bytes>,
    /// Bytes taken from the engine and not yet reported as written.
    unflushed: usize,
    /// Bytes that waited in the engine when it was last asked.
    backlog: usize,
    closing: Option<CloseReason>,
}

impl<T: Transport> Running<T> {
    /// Ready when the connection has ended, or when the node wants it to end.
    ///
    /// One turn: write, read all that has come, write what that caused (answers to this very
    /// link among it).
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<CloseReason>>> {
        self.poll_write(cx)?;
        // A peer that does not read its answers is not read from either; the connection wakes
        // this task when it takes bytes again.
        let stalled = self.unflushed > 0 && self.unflushed + self.backlog > READ_STOP_BYTES;
        if self.closing.is_none() && !stalled {
            if !self.poll_read(cx)? {
                return Poll::Ready(Ok(None));
            }
            self.poll_write(cx)?;
        }
        match self.closing {
            Some(reason) => Poll::Ready(Ok(Some(reason))),
            None => Poll::Pending,
        }
    }

    /// Reads until nothing is there, or until others must get their turn. False at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..READS_PER_TURN {
            let (engine, link) = (&self.engine, self.link);
            let mut take = |bytes: &[u8]| engine.received(link, bytes);
            match self.transport.poll_receive(cx, &mut take)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Ok(false),
                Poll::Pending => return Ok(true),
            }
        }
        cx.waker().wake_by_ref();
        Ok(true)
    }

    /// Writes until nothing is queued, the connection takes no more, or the node closed the link.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.unflushed > 0 {
                match self.transport.poll_send(cx, &mut self.queue)? {
                    Poll::Ready(()) => {
                        self.backlog = self.engine.flushed(self.link, self.unflushed);
                        self.unflushed = 0;
                    }
                    Poll::Pending => {
                        // What is not taken must not hide that the node has closed the link.
                        self.closing = self.engine.closing(self.link, cx);
                        return Ok(());
                    }
                }
            }
            match self.engine.poll_writes(self.link, &mut self.queue, WRITE_BYTES, cx) {
                Poll::Ready(WriteOrder::Write) => {
                    self.unflushed = self.queue.iter().map(Bytes::len).sum();
                }
                Poll::Ready(WriteOrder::Close(reason)) => {
                    self.closing = Some(reason);
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
    }
}

/// Bytes handed to the connection at a time.
const WRITE_BYTES: usize = 256 << 10;
/// Unwritten bytes beyond which a link is not read from.
const READ_STOP_BYTES: usize = 1 << 20;
/// Reads before other tasks get their turn.
const READS_PER_TURN: usize = 32;
/// Time for the last bytes of a link that is being closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
