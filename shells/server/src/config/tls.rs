//! The sections `tls` and `socket`, and which addresses may be open to other machines.

use super::keys::{self as k, Key};
use super::layers::Layers;
use super::{HttpSettings, NodeSettings, values};
use crate::cli::Failure;
use relay_tokio::SocketOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Certificates to show and to believe.
pub struct TlsSettings {
    /// Files of the chain and of its key; with them the HTTP port speaks TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// File of the CAs that are believed when dialling; those of the system when there is none.
    pub ca: Option<PathBuf>,
    /// File of the CAs whose certificates those who connect must show.
    pub client_ca: Option<PathBuf>,
    /// How often the files of the certificate are looked at.
    pub watch_interval: Duration,
}

/// Certificates, each of whose files goes with the others.
pub(super) fn read(layers: &Layers, node: &NodeSettings) -> Result<TlsSettings, Failure> {
    let file = |key: &Key| layers.optional(key, values::path);
    let certificate = match (file(&k::TLS_CERT)?, file(&k::TLS_KEY)?) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (Some(_), None) => return Err(lacks(layers, &k::TLS_CERT, &k::TLS_KEY)),
        (None, Some(_)) => return Err(lacks(layers, &k::TLS_KEY, &k::TLS_CERT)),
    };
    let needs_certificate = [
        (&k::NODE_LISTEN_TLS, node.listen_tls.is_some()),
        (&k::NODE_LISTEN_QUIC, node.listen_quic.is_some()),
        (&k::TLS_CLIENT_CA, file(&k::TLS_CLIENT_CA)?.is_some()),
    ];
    for (key, is_set) in needs_certificate {
        if is_set && certificate.is_none() {
            return Err(lacks(layers, key, &k::TLS_CERT));
        }
    }
    Ok(TlsSettings {
        certificate,
        ca: file(&k::TLS_CA)?,
        client_ca: file(&k::TLS_CLIENT_CA)?,
        watch_interval: layers.required(&k::TLS_WATCH_INTERVAL, values::period)?,
    })
}

/// Options of the sockets beneath links and requests.
pub(super) fn sockets(layers: &Layers) -> Result<SocketOptions, Failure> {
    let keepalive = layers.required(&k::SOCKET_KEEPALIVE_TIME, values::keepalive)?;
    Ok(SocketOptions {
        connect_timeout: layers.required(&k::SOCKET_CONNECT_TIMEOUT, values::connect_timeout)?,
        nodelay: layers.required(&k::SOCKET_NODELAY, values::boolean)?,
        keepalive_time: (!keepalive.is_zero()).then_some(keepalive),
        keepalive_interval: layers
            .required(&k::SOCKET_KEEPALIVE_INTERVAL, values::whole_seconds)?,
        send_buffer: layers.optional(&k::SOCKET_SEND_BUFFER, values::buffer_bytes)?,
        receive_buffer: layers.optional(&k::SOCKET_RECEIVE_BUFFER, values::buffer_bytes)?,
        reuse_address: layers.required(&k::SOCKET_REUSE_ADDRESS, values::boolean)?,
        reuse_port: layers.required(&k::SOCKET_REUSE_PORT, values::boolean)?,
        backlog: layers.required(&k::SOCKET_BACKLOG, values::backlog)?,
    })
}

fn lacks(layers: &Layers, key: &Key, missing: &Key) -> Failure {
    let (source, flag) = (layers.source_of(key), missing.flag.unwrap_or_default());
    let failure =
        Failure::usage(format!("{} is set ({source}), but {} is not", key.path, missing.path));
    failure.with_hint(format!(
        "add {flag} FILE: TLS needs a certificate and its key (docs/tls.md shows how to make them)"
    ))
}

/// Other machines may only reach what encrypts and asks for a token, unless the operator says so.
pub(super) fn check_exposure(
    layers: &Layers,
    node: &NodeSettings,
    http: &HttpSettings,
    tls: &TlsSettings,
) -> Result<(), Failure> {
    if layers.required(&k::HTTP_INSECURE_PUBLIC, values::boolean)? {
        return Ok(());
    }
    let listeners: [(&Key, Option<SocketAddr>, bool); 4] = [
        (&k::HTTP_HOST, Some(http.address), tls.certificate.is_some()),
        (&k::NODE_LISTEN_TCP, node.listen_tcp, false),
        (&k::NODE_LISTEN_TLS, node.listen_tls, true),
        (&k::NODE_LISTEN_QUIC, node.listen_quic, true),
    ];
    for (key, address, is_encrypted) in listeners {
        let Some(address) = address.filter(|address| !address.ip().is_loopback()) else { continue };
        let source = layers.source_of(key);
        let open = format!("{} = \"{address}\" ({source}) is open to other machines", key.path);
        if !is_encrypted {
            let remedy = if key.path == k::NODE_LISTEN_TCP.path {
                "use --listen-tls instead"
            } else {
                "add --tls-cert and --tls-key"
            };
            return Err(Failure::usage(format!(
                "{open}, and the relay does not encrypt there: whoever is on the way can read and \
                 change every call"
            ))
            .with_hint(format!(
                "{remedy} (docs/tls.md), listen on 127.0.0.1 behind a proxy with TLS, or add \
                 --insecure-public if the network is trusted"
            )));
        }
        if node.token_file.is_none() && tls.client_ca.is_none() {
            return Err(Failure::usage(format!(
                "{open}, and asks nobody who they are: anyone can offer services there"
            ))
            .with_hint(
                "add --token-file FILE, which all nodes share, or --insecure-public if that is \
                 meant",
            ));
        }
    }
    Ok(())
}
