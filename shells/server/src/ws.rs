//! `/ws`: programs in any language, over a WebSocket with JSON-RPC 2.0 in text messages, both ways.
//!
//! A client calls every service that `POST /rpc` can call, and offers services of its own, which
//! live in this node and are withdrawn when its connection ends. What each message says is in
//! `docs/websocket.md`.
//!
//! - One task for each connection reads, writes and drives the calls that the client makes. Calls
//!   to the services of the client run where the node runs them, and reach the connection through
//!   its [`Client`]: a bounded queue and a table of what is in flight.
//! - A request counts as run from the moment it is handed to the socket. Before, it provably never
//!   ran, and whoever waits for it is told so.
//! - Publications are written when nothing else is to be written, and give way when the client does
//!   not read them: an answer is never lost or late for their sake.
//! - What does not fit ends the smallest thing that can be ended: a stream, a call, and only
//!   then, for clients that do not read or break the protocol, the connection.

mod call;
mod calls;
mod client;
mod clock;
mod connection;
mod control;
mod extension;
mod federation_message;
mod incoming;
mod offers;
mod text;
mod topic_messages;
mod topics;
mod typed;

use crate::calls::Runner;
use bytes::Bytes;
use connection::Connection;
use offers::Offers;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Bounds of each JSON client, beside those that it shares with other HTTP clients.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Most calls that a client waits for at once.
    pub calls_max: usize,
    /// Most calls that its services are asked to answer at once.
    pub served_max: usize,
    /// Most services that it offers.
    pub services_max: usize,
    /// Most bytes that wait to be read by it; one more message is still taken.
    pub queue_bytes_max: usize,
    /// What it may send of a stream before anything of it was passed on.
    pub window_bytes: u32,
    /// Most patterns of topics that it subscribes to.
    pub patterns_max: usize,
    /// What it may publish in a second: bytes, counted once and again for whoever they are handed
    /// to.
    pub publish_bytes_per_second: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            calls_max: 256,
            served_max: 1024,
            services_max: 64,
            queue_bytes_max: 16 << 20,
            window_bytes: 256 << 10,
            patterns_max: 256,
            publish_bytes_per_second: 256 << 20,
        }
    }
}

/// What the gateway says about its JSON clients.
pub(crate) struct ClientSettings {
    pub(crate) limits: ClientLimits,
    /// Largest message that a client may send.
    pub(crate) message_bytes_max: usize,
    /// Most clients at once.
    pub(crate) clients_max: usize,
    /// Longest silence; after half of it the client is pinged.
    pub(crate) idle_timeout: Duration,
    /// Longest time for a client to show the token.
    pub(crate) token_timeout: Duration,
    /// What a client must show, if anything.
    pub(crate) token: Option<String>,
}

/// All JSON clients of a gateway.
pub(crate) struct Clients {
    runner: Arc<Runner>,
    settings: ClientSettings,
    offers: Offers,
    open: watch::Sender<usize>,
    phase: watch::Sender<Phase>,
}

/// Whether clients may stay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Phase {
    /// They may.
    Open,
    /// They are let go as soon as nothing of theirs is in flight.
    Leaving,
    /// They are let go.
    Over,
}

/// A place among the clients, from before the upgrade until the connection ended.
pub(crate) struct Seat {
    clients: Arc<Clients>,
    is_authenticated: bool,
}

impl Clients {
    pub(crate) fn new(runner: Arc<Runner>, settings: ClientSettings) -> Self {
        Self {
            offers: Offers::new(runner.node.clone()),
            runner,
            settings,
            open: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::Open),
        }
    }

    /// Keeps a place for one more client, if there is one. `token` is what its request showed.
    pub(crate) fn admit(self: &Arc<Self>, token: Option<&[u8]>) -> Result<Seat, Unwelcome> {
        let is_authenticated = match token {
            Some(token) if !self.is_token(token) => return Err(Unwelcome::WrongToken),
            Some(_) => true,
            None => self.settings.token.is_none(),
        };
        let mut is_full = false;
        self.open.send_modify(|open| {
            is_full = *open >= self.settings.clients_max;
            *open += usize::from(!is_full);
        });
        if is_full {
            return Err(Unwelcome::Full);
        }
        Ok(Seat { clients: Arc::clone(self), is_authenticated })
    }

    /// How many clients are connected.
    pub(crate) fn count(&self) -> usize {
        *self.open.borrow()
    }

    /// Withdraws the services of all clients and lets each go once nothing of its is in flight.
    pub(crate) fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Says goodbye to all clients, whatever they wait for.
    pub(crate) fn close(&self) {
        self.phase.send_replace(Phase::Over);
    }

    /// Waits until no client is connected any more.
    pub(crate) async fn ended(&self) {
        // The sender is part of this, so there is nothing to fail.
        drop(self.open.subscribe().wait_for(|open| *open == 0).await);
    }

    /// In constant time for each length of what was shown.
    fn is_token(&self, shown: &[u8]) -> bool {
        let token = self.settings.token.as_deref();
        token.is_none_or(|token| bool::from(token.as_bytes().ct_eq(shown)))
    }
}

/// Why a client is not let in.
pub(crate) enum Unwelcome {
    /// The token it showed is not the one of this node.
    WrongToken,
    /// There are as many clients as there may be.
    Full,
}

impl Seat {
    /// Serves a client whose upgrade was answered, to its end. `read` are bytes that came behind
    /// the request.
    pub(crate) async fn serve<S>(self, socket: S, read: Bytes)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Connection::open(&self.clients, self.is_authenticated, socket, read).await.run().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.open.send_modify(|open| *open -= 1);
    }
}
