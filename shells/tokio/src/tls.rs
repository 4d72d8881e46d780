//! TLS 1.3 and 1.2 for TCP and WebSocket, and the certificates that QUIC uses too.
//!
//! A node that dials checks the certificate of the other one against the roots of the system, or
//! against CAs of its own ([`ClientTls`]). A node that listens shows a [`Certificate`], which can
//! be read again from its files at any time: connections that exist go on, new ones see the new
//! one.
//!
//! Sessions are never resumed and no tickets are given out. Each dial checks the certificate anew,
//! and there is no early data (0-RTT): whoever records it can send it once more, and a call would
//! run twice.

mod certificate;
mod client;
mod server;
mod trouble;

pub use certificate::{Certificate, TlsError};
pub use client::ClientTls;
pub(crate) use server::HANDSHAKE_TIMEOUT;
pub use server::{Acceptor, Refused, ServerTls};
pub(crate) use trouble::{
    alert_number, of_alert, of_certificate, of_dial, of_link, of_server_alert,
};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};

/// The protocol name (ALPN) of relay links over TLS and QUIC.
pub const ALPN_RELAY: &[u8] = b"relay/1";
/// The protocol name of the HTTP port.
pub const ALPN_HTTP: &[u8] = b"http/1.1";

/// One for the process; named at each use, so that no other crate's default matters.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
