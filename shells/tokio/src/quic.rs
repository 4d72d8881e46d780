//! QUIC (RFC 9000): a link is the one stream of a connection, which encrypts by TLS 1.3.
//!
//! - **One stream for each link.** Frames of a link have an order, and credit and deadlines of the
//!   core keep one call from holding up the others; several streams would give that order up.
//! - **A connection outlives its addresses.** A laptop that changes its network, or whose NAT
//!   forgets it, goes on with the same link: the other end validates the new address and answers
//!   there.
//! - **No early data (0-RTT)**, neither sent nor taken: whoever records it can send it again, and a
//!   call would run twice.
//! - **Time.** The core's pings notice a dead peer; QUIC gives up a little later, so that the
//!   reason which is told is the core's.

mod dialler;
mod listener;
#[cfg(test)]
mod tests;
mod transport;

pub use dialler::Dialler;
pub use listener::Listener;
pub use transport::Quic;

use crate::tls::{alert_number, of_alert, of_server_alert};
use quinn::{ConnectionError, IdleTimeout, TransportConfig, VarInt};
use std::time::Duration;

/// What both ends of a connection ask for.
fn transport(streams: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(streams));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport.stream_receive_window(VarInt::from_u32(WINDOW));
    transport.receive_window(VarInt::from_u32(STRANGER_WINDOW));
    transport.send_window(WINDOW.into());
    transport.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))));
    transport
}

/// Why a connection ended, to the one who dialled `authority`.
fn why_dial_failed(error: &ConnectionError, authority: &str) -> String {
    let code = match error {
        ConnectionError::ConnectionClosed(closed) => Some(u64::from(closed.error_code)),
        ConnectionError::TransportError(error) => Some(u64::from(error.code)),
        _ => None,
    };
    match (error, code.and_then(alert_number)) {
        (_, Some(alert)) => of_alert(alert, authority),
        (ConnectionError::TimedOut, None) => why_silent(authority),
        (other, None) => plain(other),
    }
}

/// What to look at when nothing comes back: UDP has no refusal.
pub(crate) fn why_silent(authority: &str) -> String {
    format!(
        "nothing answers by QUIC at {authority}: does that node listen on quic://, and does UDP \
         get through?"
    )
}

/// Why a connection was not made, to the one who listens; nothing when the other end just left.
fn why_not_accepted(error: &ConnectionError) -> Option<String> {
    match error {
        ConnectionError::ConnectionClosed(closed) => {
            alert_number(closed.error_code.into()).map(of_server_alert)
        }
        ConnectionError::TransportError(error) => Some(error.to_string()),
        ConnectionError::TimedOut | ConnectionError::Reset | ConnectionError::LocallyClosed => None,
        other => Some(plain(other)),
    }
}

/// Why a connection ended, in words.
fn plain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => String::from("the peer is silent"),
        ConnectionError::Reset => String::from("the peer has forgotten the connection"),
        ConnectionError::ApplicationClosed(closed) => {
            let said = String::from_utf8_lossy(&closed.reason);
            let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
            if said.is_empty() { String::from("the connection was closed") } else { said }
        }
        ConnectionError::ConnectionClosed(closed) => match alert_number(closed.error_code.into()) {
            Some(alert) => of_alert(alert, "the peer"),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// Bytes of a link on their way: 100 Mbit/s over 100 ms.
const WINDOW: u32 = 1_250_000;
/// The same before the peer is known, which also bounds what a stranger can make this node hold.
const STRANGER_WINDOW: u32 = 32 << 10;
/// Later than the core, whose idle timeout is 15 s.
const IDLE_MS: u32 = 30_000;
/// A mapping of a NAT for UDP lives for 30 s or more (RFC 4787, section 4.3, asks for two minutes).
/// The core's own pings come more often than this.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
