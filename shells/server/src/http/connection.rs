//! One socket and all its clocks.
//!
//! Decides when a client is too slow: no head, no body, no next request, or a response that it
//! does not take. All four share one timer, which is moved only when it fires, so that a busy
//! connection costs the timer wheel nothing.

use super::GatewayConfig;
use super::head::HeadWatch;
use relay_tokio::tls::Refused;
use relay_tokio::{ByteStream, Stream};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What the socket of a connection and the request on it tell each other.
#[derive(Default)]
pub(super) struct Connection {
    phase: AtomicU8,
    is_ambiguous: AtomicBool,
    is_late: AtomicBool,
    lingers: AtomicBool,
}

/// What the connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The rest of a request head.
    Head = 0,
    /// The rest of a request body.
    Body = 1,
    /// The answer: the client is not the one to wait for.
    Answer = 2,
    /// The next request.
    Idle = 3,
}

impl Connection {
    /// A head was read. Says whether it can be trusted to end where it seems to.
    pub(super) fn head_ended(&self, has_body: bool) -> bool {
        self.set(if has_body { Phase::Body } else { Phase::Answer });
        !self.is_ambiguous.swap(false, Ordering::Relaxed)
    }

    /// The body was read or given up.
    pub(super) fn body_ended(&self) {
        self.set(Phase::Answer);
    }

    /// The response is made; the next request may come.
    pub(super) fn answered(&self) {
        self.set(Phase::Idle);
    }

    /// The connection ends with this response, though the client may still be sending: what it
    /// sends must be read away, or the reset of the connection could destroy the response.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// The connection carries no HTTP any more: nothing but stalled writes is timed. Its last bytes
    /// are for the client to read, whatever that still sends.
    pub(super) fn upgraded(&self) {
        self.set(Phase::Answer);
        self.linger();
    }

    /// Whether the last read failed because the client was too slow.
    pub(super) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed)
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Head,
            1 => Phase::Body,
            2 => Phase::Answer,
            _ => Phase::Idle,
        }
    }
}

/// A socket that fails when its client is too slow.
pub(super) struct TimedSocket {
    stream: Stream,
    connection: Arc<Connection>,
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    watch: HeadWatch,
    /// When the wait for the present phase began, and the phase.
    waiting: Option<(Phase, Instant)>,
    write_stalled_at: Option<Instant>,
    body_bytes: u64,
    shut_at: Option<Instant>,
    drained_bytes: usize,
    /// The first byte has come.
    has_spoken: bool,
}

struct Limits {
    head: Duration,
    body: Duration,
    idle: Duration,
    write: Duration,
}

impl TimedSocket {
    pub(super) fn new(stream: Stream, connection: Arc<Connection>, config: &GatewayConfig) -> Self {
        let limits = Limits {
            head: config.head_timeout,
            body: config.read_timeout,
            idle: config.idle_timeout,
            write: config.write_timeout,
        };
        let timer = Box::pin(tokio::time::sleep(limits.head));
        Self {
            stream,
            connection,
            limits,
            timer,
            watch: HeadWatch::default(),
            waiting: None,
            write_stalled_at: None,
            body_bytes: 0,
            shut_at: None,
            drained_bytes: 0,
            has_spoken: false,
        }
    }

    /// The bare socket, once HTTP is done with it.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn took(&mut self, bytes: &[u8]) {
        match self.connection.phase() {
            Phase::Idle => {
                self.connection.set(Phase::Head);
                self.watch = HeadWatch::default();
                self.waiting = None;
                self.watch_head(bytes);
            }
            Phase::Head => self.watch_head(bytes),
            Phase::Body => self.body_bytes += bytes.len() as u64,
            Phase::Answer => {}
        }
    }

    fn watch_head(&mut self, bytes: &[u8]) {
        let is_tls = !self.has_spoken && bytes.first() == Some(&TLS_HANDSHAKE);
        self.has_spoken = true;
        if is_tls {
            // The client is answered as whoever sends no HTTP; the line is for the operator.
            let peer = self.stream.tcp().and_then(|socket| socket.peer_addr().ok());
            let why = "TLS came to a port without TLS: dial ws:// or http:// there, or start the \
                       node with --tls-cert and --tls-key";
            Refused::Failed(why.into()).log(peer);
        }
        self.watch.feed(bytes);
        if self.watch.is_ambiguous() {
            self.connection.is_ambiguous.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing to read now: is the client late?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.connection.phase();
        if phase == Phase::Answer {
            self.waiting = None;
            return Poll::Pending;
        }
        let since = match self.waiting {
            Some((of, since)) if of == phase => since,
            Some(_) | None => {
                self.body_bytes = 0;
                let now = Instant::now();
                self.waiting = Some((phase, now));
                now
            }
        };
        let allowed = match phase {
            Phase::Head => self.limits.head,
            Phase::Idle | Phase::Answer => self.limits.idle,
            Phase::Body => {
                let earned = Duration::from_secs(self.body_bytes / BODY_BYTES_PER_SECOND_MIN);
                self.limits.body.min(BODY_GRACE + earned)
            }
        };
        ready!(self.poll_timer(cx, since + allowed));
        self.connection.is_late.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let since = *self.write_stalled_at.get_or_insert_with(Instant::now);
        ready!(self.poll_timer(cx, since + self.limits.write));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        self.write_stalled_at = None;
        // A response went out: waits that began before it are over.
        self.waiting = None;
        Poll::Ready(result)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Reads away what the client still sends, within bounds.
    fn poll_drain(&mut self, cx: &mut Context<'_>, since: Instant) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.drained_bytes < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.drained_bytes += buffer.filled().len();
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(self.poll_timer(cx, since + LINGER_MAX));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TimedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                self.took(&buffer.filled()[filled..]);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_late(cx),
        }
    }
}

impl AsyncWrite for TimedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(result) => self.wrote(result),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
            Poll::Ready(result) => self.wrote(result),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let since = match self.shut_at {
            Some(since) => since,
            None => {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                *self.shut_at.insert(Instant::now())
            }
        };
        if self.connection.lingers.load(Ordering::Relaxed) {
            return self.poll_drain(cx, since);
        }
        Poll::Ready(Ok(()))
    }
}

/// The first byte of TLS; no method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 22;
/// How long a body may be slower than [`BODY_BYTES_PER_SECOND_MIN`].
const BODY_GRACE: Duration = Duration::from_secs(5);
const BODY_BYTES_PER_SECOND_MIN: u64 = 1024;
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 << 20;
