//! The flags as a layer. Only what the operator gave is in it.

use super::{FLAGS, Layer};
use crate::cli::{Failure, RunArgs};
use figment::value::{Tag, Value};

pub(super) fn layer(args: &RunArgs) -> Result<Layer, Failure> {
    let mut layer = Layer::new(FLAGS);
    let program = args.program.as_ref().map(|path| path.to_string_lossy().into_owned());
    for (parts, value, written) in [
        (["node", "id"], &args.node_id, "--node-id"),
        (["node", "type"], &args.node_type, "--node-type"),
        (["node", "mode"], &args.mode, "--mode"),
        (["node", "zone"], &args.zone, "--zone"),
        (["node", "compression"], &args.compression, "--compression"),
        (["balancing", "balance"], &args.balance, "--balance"),
        (["node", "cluster"], &args.cluster, "--cluster"),
        (["node", "token_file"], &args.token_file, "--token-file"),
        (["node", "key_file"], &args.key_file, "--key-file"),
        (["node", "listen_tcp"], &args.listen_tcp, "--listen-tcp"),
        (["node", "listen_tls"], &args.listen_tls, "--listen-tls"),
        (["node", "listen_quic"], &args.listen_quic, "--listen-quic"),
        (["tls", "cert"], &args.tls_cert, "--tls-cert"),
        (["tls", "key"], &args.tls_key, "--tls-key"),
        (["tls", "ca"], &args.tls_ca, "--tls-ca"),
        (["tls", "client_ca"], &args.tls_client_ca, "--tls-client-ca"),
        (["registry", "ttl"], &args.registry_ttl, "--registry-ttl"),
        (["node", "shutdown_grace"], &args.shutdown_grace, "--shutdown-grace"),
        (["node", "program"], &program, "PROGRAM"),
        (["http", "host"], &args.host, "--host"),
        (["http", "port"], &args.port, "--port"),
        (["log", "level"], &args.log, "--log"),
        (["log", "format"], &args.log_format, "--log-format"),
    ] {
        if let Some(text) = value {
            layer.set(&parts, Value::from(text.clone()), written);
        }
    }
    for (parts, is_set, value, written) in [
        (["node", "server"], args.server, "true", "--server"),
        (["http", "insecure_public"], args.insecure_public, "true", "--insecure-public"),
        (["registry", "enable"], args.disable_registry, "false", "--disable-registry"),
    ] {
        if is_set {
            layer.set(&parts, Value::from(value), written);
        }
    }
    set_listen(&mut layer, args)?;
    if !args.connect.is_empty() {
        let mains = list(args.connect.iter().map(String::as_str));
        layer.set(&["node", "connect"], mains, "--connect");
    }
    set_peers(&mut layer, args);
    set_dns_servers(&mut layer, args);
    set_cors(&mut layer, args);
    set_services(&mut layer, args)?;
    set_headers(&mut layer, args)?;
    Ok(layer)
}

fn set_listen(layer: &mut Layer, args: &RunArgs) -> Result<(), Failure> {
    let Some(address) = &args.listen else { return Ok(()) };
    if args.host.is_some() || args.port.is_some() {
        return Err(Failure::usage("--listen and --host or --port name the same address twice")
            .with_hint("use --listen IP:PORT alone"));
    }
    let parts =
        address.rsplit_once(':').filter(|(host, port)| !host.is_empty() && !port.is_empty());
    let Some((host, port)) = parts else {
        return Err(Failure::usage(format!("--listen {address:?} is no address"))
            .with_hint("write IP:PORT, as in 127.0.0.1:8081"));
    };
    layer.set(&["http", "host"], Value::from(host), "--listen");
    layer.set(&["http", "port"], Value::from(port), "--listen");
    layer.set(&["http", "listen"], Value::from("true"), "--listen");
    Ok(())
}

fn set_peers(layer: &mut Layer, args: &RunArgs) {
    let peers: Vec<&String> = args.peers.iter().chain(&args.add_peer).collect();
    if !peers.is_empty() {
        let written = if args.peers.is_empty() { "--add-peer" } else { "--peers" };
        layer.set(&["node", "peers"], list(peers.into_iter().map(String::as_str)), written);
    }
}

fn set_dns_servers(layer: &mut Layer, args: &RunArgs) {
    if !args.dns_server.is_empty() {
        let servers = list(args.dns_server.iter().map(String::as_str));
        layer.set(&["registry", "dns_servers"], servers, "--dns-server");
    }
}

fn set_cors(layer: &mut Layer, args: &RunArgs) {
    match args.cors.as_deref() {
        None => {}
        Some("off") => layer.set(&["http", "enable_cors"], Value::from("false"), "--cors"),
        Some(origins) => {
            layer.set(&["http", "enable_cors"], Value::from("true"), "--cors");
            let origins = list(origins.split(',').map(str::trim));
            layer.set(&["http", "cors_origins"], origins, "--cors");
        }
    }
}

fn set_services(layer: &mut Layer, args: &RunArgs) -> Result<(), Failure> {
    for service in &args.service {
        let Some((name, specification)) = service.split_once('=') else {
            return Err(Failure::usage(format!("--service {service:?} is not NAME=SPEC"))
                .with_hint("write NAME=SPEC, as in blog=http://127.0.0.1:9000/rpc"));
        };
        let path = format!("services.{name}");
        if layer.names.contains_key(&path) {
            return Err(Failure::usage(format!("--service {name:?} is given twice"))
                .with_hint("give each service its own name"));
        }
        layer.set(&["services", name], Value::from(specification), "--service");
    }
    Ok(())
}

fn set_headers(layer: &mut Layer, args: &RunArgs) -> Result<(), Failure> {
    for header in &args.header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage(format!("--header {header:?} has no value"))
                .with_hint("write it as in --header 'X-Frame-Options: DENY'"));
        };
        layer.set(&["http", "headers", name.trim()], Value::from(value.trim()), "--header");
    }
    Ok(())
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(Tag::Default, texts.map(Value::from).collect())
}
