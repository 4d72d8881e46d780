//! The task of one client: reads, writes, drives its calls, and ends it in good order.

use super::calls::Job;
use super::client::{Client, Close};
use super::clock::{Clock, Due, PingBudget};
use super::control::Session;
use super::incoming::Incoming;
use super::text;
use super::topic_messages::settled;
use super::typed;
use super::{Clients, Phase};
use crate::calls::Answered;
use crate::json_rpc::{CallOptions, Front, Parsed};
use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, StreamExt};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A client and its socket.
pub(super) struct Connection<S> {
    socket: WebSocketStream<TokioAdapter<S>>,
    session: Session,
    calls: FuturesUnordered<Running>,
    clock: Clock,
    pings: PingBudget,
    wants_ping: bool,
    phase: Phase,
    next_phase: Pin<Box<dyn Future<Output = Phase> + Send>>,
    /// When a client that does not take its last words has had its time.
    closing: Option<Pin<Box<Sleep>>>,
}

/// How a connection ended.
enum End {
    /// The client is gone.
    Lost,
    /// It is to be told why.
    Close(Close),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    pub(super) async fn open(
        clients: &Arc<Clients>,
        is_authenticated: bool,
        socket: S,
        read: Bytes,
    ) -> Self {
        let settings = &clients.settings;
        let config = Some(config(settings.message_bytes_max));
        let (socket, role) = (TokioAdapter::new(socket), Role::Server);
        let socket = if read.is_empty() {
            WebSocketStream::from_raw_socket(socket, role, config).await
        } else {
            WebSocketStream::from_partially_read(socket, read.to_vec(), role, config).await
        };
        let token_timeout = (!is_authenticated).then_some(settings.token_timeout);
        Self {
            socket,
            session: Session::new(clients, is_authenticated),
            calls: FuturesUnordered::new(),
            clock: Clock::new(settings.idle_timeout, token_timeout),
            pings: PingBudget::new(),
            wants_ping: false,
            phase: Phase::Open,
            next_phase: next_phase(clients, Phase::Open),
            closing: None,
        }
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        let Self { mut socket, session, calls, .. } = self;
        // In this order: a call that is tried again elsewhere must not come back to here.
        session.withdraw_all();
        session.client().lost();
        drop(calls);
        drop(session);
        let goodbye = async {
            if let End::Close(close) = end {
                tracing::debug!(code = close.code, reason = close.reason, "closing a JSON client");
                say_goodbye(&mut socket, close).await;
            }
            // Nobody is left to be told that this failed.
            drop(socket.into_inner().into_inner().shutdown().await);
        };
        let _in_time = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {}
            while let Poll::Ready(all) = self.session.topics().poll_settled(cx) {
                all.iter().for_each(|one| self.session.client().push(settled(one)));
            }
            if let Poll::Ready(end) = self.poll_write(cx) {
                return Poll::Ready(end);
            }
            match self.socket.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.clock.heard();
                    if !self.session.client().is_closing() {
                        self.handle(message);
                        continue;
                    }
                    // What it still sends is of no use, and of no weight against the time it has.
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Some(Err(error))) => match close_for(&error) {
                    Some(close) => {
                        self.session.client().close(close);
                        continue;
                    }
                    None => return Poll::Ready(End::Lost),
                },
                // It stays so after an error, whose reason is still to be written.
                Poll::Ready(None) if !self.session.client().is_closing() => {
                    return Poll::Ready(End::Lost);
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.session.client().is_closing() {
                return self.poll_closing(cx);
            }
            if self.poll_timers(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when a client that is to be closed has not taken what is queued for it.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let after = || Box::pin(tokio::time::sleep(GOODBYE_TIMEOUT));
        let timer = self.closing.get_or_insert_with(after);
        let is_over = timer.as_mut().poll(cx).is_ready() || Instant::now() >= timer.deadline();
        if is_over { Poll::Ready(End::Lost) } else { Poll::Pending }
    }

    /// Ready when something changed.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let client = self.session.client();
        if let Poll::Ready(phase) = self.next_phase.as_mut().poll(cx) {
            self.phase = phase;
            self.session.withdraw_all();
            self.next_phase = next_phase(self.session.clients(), phase);
            return Poll::Ready(());
        }
        let may_go = match self.phase {
            Phase::Open => false,
            Phase::Leaving => client.is_idle(),
            Phase::Over => true,
        };
        if may_go && !client.is_closing() {
            client.close(Close { code: 1001, reason: "DRAINING: the node is shutting down" });
            return Poll::Ready(());
        }
        match self.clock.poll(cx) {
            Poll::Ready(Due::Ping) => self.wants_ping = true,
            Poll::Ready(Due::Silent) => client.close(SILENT),
            Poll::Ready(Due::NoToken) => client.close(NO_TOKEN),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Writes what there is. Ready when the connection is over.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut socket = Pin::new(&mut self.socket);
        let mut publications = 0;
        loop {
            match socket.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending => return Poll::Pending,
            }
            let message = if std::mem::take(&mut self.wants_ping) {
                Message::Ping(Bytes::new())
            } else {
                match self.session.client().poll_text(cx) {
                    Poll::Ready(Ok(text)) => Message::Text(text.into()),
                    Poll::Ready(Err(close)) => return Poll::Ready(End::Close(close)),
                    // Whoever publishes without end must not keep the client from being heard.
                    Poll::Pending if publications == PUBLICATIONS_AT_ONCE => {
                        cx.waker().wake_by_ref();
                        break;
                    }
                    Poll::Pending => match self.session.topics().poll_message(cx) {
                        Poll::Ready(text) => {
                            publications += 1;
                            Message::Text(text.into())
                        }
                        Poll::Pending => break,
                    },
                }
            };
            if socket.as_mut().start_send(message).is_err() {
                return Poll::Ready(End::Lost);
            }
        }
        match socket.poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(End::Lost),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.handle_text(text.into()),
            Message::Binary(_) => self.session.client().close(BINARY),
            Message::Ping(_) if !self.pings.take() => self.session.client().close(PINGS),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
        if self.session.is_authenticated() {
            self.clock.shown();
        }
    }

    fn handle_text(&mut self, text: Bytes) {
        match Incoming::of(&text) {
            Incoming::Requests => self.handle_requests(&text),
            Incoming::Answer { id, result } => {
                if !self.session.client().handle_answer(&id, result) {
                    tracing::debug!("an answer of a JSON client is late or was never asked for");
                }
            }
            Incoming::Typed => match typed::handle(&mut self.session, &text) {
                typed::Reply::Now(None) => {}
                typed::Reply::Now(Some(text)) => self.session.client().push(text),
                typed::Reply::Later(running) => self.calls.push(running),
            },
        }
    }

    fn handle_requests(&mut self, text: &Bytes) {
        let runner = Arc::clone(self.session.runner());
        let options = CallOptions::default();
        let front = Front { node: runner.id(), service: None, options, is_connected: true };
        let client = Arc::clone(self.session.client());
        match Parsed::of(text, &front) {
            Parsed::Single(entry) => match self.session.job(entry) {
                Job::Ready(answered) => write(&runner, &client, answered),
                job @ Job::Run(_) => self.calls.push(Box::pin(async move {
                    write(&runner, &client, job.run().await);
                })),
            },
            Parsed::Batch(entries) => {
                let jobs: Vec<Job> =
                    entries.into_iter().map(|entry| self.session.job(entry)).collect();
                self.calls.push(Box::pin(async move {
                    if let Some(out) = runner.batch(jobs.into_iter().map(Job::run)).await {
                        client.push(text::finish(out));
                    }
                }));
            }
        }
    }
}

fn write(runner: &crate::calls::Runner, client: &Client, answered: Answered) {
    let mut out = Vec::new();
    if runner.write(answered, &mut out).is_some() {
        client.push(text::finish(out));
    }
}

/// The phase after `phase`, once it begins.
fn next_phase(clients: &Clients, phase: Phase) -> Pin<Box<dyn Future<Output = Phase> + Send>> {
    let mut phases = clients.phase.subscribe();
    Box::pin(async move {
        match phases.wait_for(|now| *now > phase).await.map(|now| *now) {
            Ok(next) => next,
            // The clients are gone, and with them whoever could begin another phase.
            Err(_) => std::future::pending().await,
        }
    })
}

/// Tells the reason and waits for the client to take note. What it still sends is of no use.
async fn say_goodbye<S>(socket: &mut WebSocketStream<TokioAdapter<S>>, close: Close)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: CloseCode::from(close.code), reason: close.reason.into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// What a client is told of what it did to the protocol; nothing when it is gone.
fn close_for(error: &Error) -> Option<Close> {
    match error {
        Error::Utf8(_) => Some(NOT_UTF8),
        Error::Capacity(_) => Some(TOO_LARGE),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(PROTOCOL),
        _ => None,
    }
}

fn config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        // One message at a time is handed over, and how large it may be is decided elsewhere.
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

const PROTOCOL: Close = Close { code: 1002, reason: "the WebSocket protocol was broken" };
const BINARY: Close = Close {
    code: 1003,
    reason: "messages here are text: relays that speak the binary protocol dial /ws/p2p",
};
const NOT_UTF8: Close = Close { code: 1007, reason: "a text message was not UTF-8" };
const PINGS: Close = Close { code: 1008, reason: "RATE_LIMITED: more than 10 pings a second" };
const SILENT: Close =
    Close { code: 1008, reason: "nothing was heard for too long, not even a pong" };
const NO_TOKEN: Close =
    Close { code: 1008, reason: "UNAUTHENTICATED: the token was not shown in time" };
const TOO_LARGE: Close = Close { code: 1009, reason: "TOO_LARGE: the message is over the limit" };
/// Publications that are written before the client is listened to again.
const PUBLICATIONS_AT_ONCE: u32 = 64;
const READ_BYTES: usize = 8 << 10;
const WRITE_BYTES: usize = 16 << 10;
/// For the last words and the close of the client, which may first have to read what is written.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
