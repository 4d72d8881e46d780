//! The certificates of a running node: read at the start, and again when they change.

use crate::cli::Failure;
use crate::commands::tls;
use crate::config::Config;
use relay_tokio::Tokio;
use relay_tokio::tls::{Certificate, ServerTls};
use std::time::Duration;

/// What a node shows and believes.
pub(super) struct Certificates {
    /// What the node runs on, with whom it believes when it dials.
    pub(super) runtime: Tokio,
    /// How it listens with TLS, if it has a certificate.
    pub(super) server: Option<ServerTls>,
}

impl Certificates {
    /// Reads all files. Must be called on the runtime.
    ///
    /// # Errors
    /// [`Failure`] names the file that cannot be used.
    pub(super) fn load(config: &Config) -> Result<Self, Failure> {
        use relay_tokio::Runtime as _;
        let settings = &config.tls;
        let certificate = match &settings.certificate {
            Some((chain, key)) => Some(tls::certificate(chain, key)?),
            None => None,
        };
        let client = tls::client(settings.ca.as_deref(), certificate.as_ref())?;
        let server = certificate.map(ServerTls::new);
        let server = match (server, &settings.client_ca) {
            (Some(server), Some(path)) => Some(
                server
                    .with_client_ca_file(path)
                    .map_err(|error| tls::refused("--tls-client-ca", &error))?,
            ),
            (server, _) => server,
        };
        let runtime = Tokio::current().with_options(config.socket.clone()).with_tls(client);
        Ok(Self { runtime, server })
    }
}

/// Reads the files of the certificate again whenever they may have changed: every `interval`, which
/// sees files that were replaced by links too, and at SIGHUP. Links go on with what they have seen.
pub(super) async fn watch(certificate: Certificate, interval: Duration) {
    let mut hangups = Hangups::install();
    let mut complained = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = hangups.next() => tracing::info!("SIGHUP: reading the certificate again"),
        }
        match certificate.reload() {
            Ok(true) => {
                complained.clear();
                tracing::info!("the certificate was read again; new connections see the new one");
            }
            Ok(false) => complained.clear(),
            Err(error) => {
                let why = error.to_string();
                // The key of a new certificate may come a moment later than the certificate.
                if why != complained {
                    tracing::warn!(%why, "the certificate stays the old one");
                    complained = why;
                }
            }
        }
    }
}

/// SIGHUP, where there is one.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn install() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self { signal: signal(SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    fn install() -> Self {
        Self {}
    }

    /// Resolves when the next one comes.
    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
