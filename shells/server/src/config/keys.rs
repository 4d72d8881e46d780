//! Every setting once: its key, its flag, its default and what is allowed. Reading, the listing,
//! the messages and the check for unknown keys all come from this table.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its place in the file, as in `http.port`.
    pub path: &'static str,
    /// The flag that sets it, if there is one.
    pub flag: Option<&'static str>,
    /// Its value when nobody sets it.
    pub default: Option<&'static str>,
    /// What is allowed, to follow "must be".
    pub allowed: &'static str,
    /// One value, several, or a table.
    pub shape: Shape,
}

/// How many values a setting holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One value.
    One,
    /// A list of values.
    List,
    /// A table: names chosen by the operator, each with one value.
    Map,
    /// A table of tables: names chosen by the operator, each with the keys of [`RULES`].
    Rules,
}

const fn one(
    path: &'static str,
    flag: Option<&'static str>,
    default: Option<&'static str>,
    allowed: &'static str,
) -> Key {
    Key { path, flag, default, allowed, shape: Shape::One }
}

const fn shaped(
    path: &'static str,
    flag: Option<&'static str>,
    allowed: &'static str,
    shape: Shape,
) -> Key {
    Key { path, flag, default: None, allowed, shape }
}

pub(super) const BOOLEAN: &str = "true or false";
const BYTES: &str = "a size from 1KiB to 64MiB, as in 65536, 64KiB or 16MiB";
const ORIGIN: &str = "an origin, as in https://app.example.com";
pub(super) const ENDPOINT: &str = "the address of a Main, as in ws://relay.example.com:8080";
pub(super) const PEER: &str = "the address of a Main, as in ws://relay.example.com:8080, or a DNS \
    name of several, as in dns+srv://_relay._tcp.example.com or dns://relays.example.com:8080";
const DNS_SERVER: &str = "IP or IP:PORT of a DNS server, as in 10.0.0.2 or 127.0.0.1:5353";
const BALANCE: &str = "p2c, round-robin, least-connections or random";
const FILE: &str = "the path of a file";
const PEM: &str = "the path of a PEM file";
const SECONDS: &str = "a time from 1s to 2h in whole seconds, as in 15s";
const ID: &str = "1 to 128 of a-z 0-9 . _ -";
const PERIOD: &str = "a time from 1ms to 24h, as in 15s, 250ms or 10m";
const SOCKET: &str = "IP:PORT, as in 127.0.0.1:9090";

macro_rules! keys {
    ($($(#[doc = $doc:literal])* $name:ident = $key:expr;)+) => {
        $($(#[doc = $doc])* pub(super) const $name: Key = $key;)+
        /// Every setting, in the order of the listing.
        pub const KEYS: &[Key] = &[$($name,)+];
    };
}

keys! {
    NODE_ID = one("node.id", Some("--node-id"), None, ID);
    NODE_TYPE = one("node.type", Some("--node-type"), None, "main or home");
    NODE_SERVER = one("node.server", Some("--server"), Some("false"), BOOLEAN);
    NODE_MODE = one("node.mode", Some("--mode"), Some("hub"), "hub or p2p");
    NODE_CONNECT = shaped("node.connect", Some("--connect"), ENDPOINT, Shape::List);
    NODE_PEERS = shaped("node.peers", Some("--peers"), PEER, Shape::List);
    NODE_CLUSTER =
        one("node.cluster", Some("--cluster"), Some("default"), ID);
    NODE_ZONE = one("node.zone", Some("--zone"), None, ID);
    NODE_COMPRESSION =
        one("node.compression", Some("--compression"), Some("off"), "off, lz4 or zstd");
    NODE_ADDRESS = one("node.address", None, None, "HOST:PORT, as in relay.example.com:8080");
    NODE_TOKEN_FILE = one("node.token_file", Some("--token-file"), None, FILE);
    NODE_KEY_FILE = one("node.key_file", Some("--key-file"), None, FILE);
    NODE_PROGRAM = one("node.program", Some("PROGRAM"), None, FILE);
    NODE_LISTEN_TCP = one("node.listen_tcp", Some("--listen-tcp"), None, SOCKET);
    NODE_LISTEN_TLS = one("node.listen_tls", Some("--listen-tls"), None, SOCKET);
    NODE_LISTEN_QUIC = one("node.listen_quic", Some("--listen-quic"), None, SOCKET);
    NODE_SHUTDOWN_GRACE = one(
        "node.shutdown_grace",
        Some("--shutdown-grace"),
        Some("10s"),
        "a time from 0s to 1h, as in 10s",
    );
    HTTP_HOST =
        one("http.host", Some("--host"), Some("127.0.0.1"), "an IP address or localhost");
    HTTP_PORT = one("http.port", Some("--port"), Some("8080"), "a port, 0 to 65535");
    HTTP_LISTEN = one("http.listen", Some("--listen"), Some("false"), BOOLEAN);
    HTTP_INSECURE_PUBLIC =
        one("http.insecure_public", Some("--insecure-public"), Some("false"), BOOLEAN);
    HTTP_ENABLE_CORS = one("http.enable_cors", Some("--cors"), Some("true"), BOOLEAN);
    HTTP_CORS_ORIGINS =
        shaped("http.cors_origins", Some("--cors"), "* or an origin, as in https://app.example.com", Shape::List);
    HTTP_READ_TIMEOUT = one("http.read_timeout", None, Some("15s"), PERIOD);
    HTTP_WRITE_TIMEOUT = one("http.write_timeout", None, Some("15s"), PERIOD);
    HTTP_HEAD_TIMEOUT = one("http.head_timeout", None, Some("5s"), PERIOD);
    HTTP_IDLE_TIMEOUT = one("http.idle_timeout", None, Some("60s"), PERIOD);
    HTTP_BODY_BYTES_MAX = one("http.body_bytes_max", None, Some("1MiB"), BYTES);
    HTTP_BATCH_BYTES_MAX = one("http.batch_bytes_max", None, Some("4MiB"), BYTES);
    HTTP_CONNECTIONS_MAX =
        one("http.connections_max", None, Some("10000"), "a whole number from 1 to 1000000");
    HTTP_LINK_ORIGINS = shaped("http.link_origins", None, ORIGIN, Shape::List);
    HTTP_HEADERS = shaped(
        "http.headers",
        Some("--header"),
        "a legal header name and a value of visible ASCII",
        Shape::Map,
    );
    TLS_CERT = one("tls.cert", Some("--tls-cert"), None, PEM);
    TLS_KEY = one("tls.key", Some("--tls-key"), None, PEM);
    TLS_CA = one("tls.ca", Some("--tls-ca"), None, PEM);
    TLS_CLIENT_CA = one("tls.client_ca", Some("--tls-client-ca"), None, PEM);
    TLS_WATCH_INTERVAL = one("tls.watch_interval", None, Some("30s"), PERIOD);
    SOCKET_CONNECT_TIMEOUT =
        one("socket.connect_timeout", None, Some("10s"), "a time from 1ms to 10s, as in 5s");
    SOCKET_NODELAY = one("socket.nodelay", None, Some("true"), BOOLEAN);
    SOCKET_KEEPALIVE_TIME = one(
        "socket.keepalive_time",
        None,
        Some("60s"),
        "a time from 1s to 2h in whole seconds, as in 60s, or 0s for never",
    );
    SOCKET_KEEPALIVE_INTERVAL = one("socket.keepalive_interval", None, Some("15s"), SECONDS);
    SOCKET_SEND_BUFFER = one("socket.send_buffer", None, None, BYTES);
    SOCKET_RECEIVE_BUFFER = one("socket.receive_buffer", None, None, BYTES);
    SOCKET_REUSE_ADDRESS = one("socket.reuse_address", None, Some("true"), BOOLEAN);
    SOCKET_REUSE_PORT = one("socket.reuse_port", None, Some("false"), BOOLEAN);
    SOCKET_BACKLOG =
        one("socket.backlog", None, Some("1024"), "a whole number from 1 to 65535");
    REGISTRY_ENABLE =
        one("registry.enable", Some("--disable-registry"), Some("true"), BOOLEAN);
    REGISTRY_DISCOVERY = one("registry.discovery_interval", None, Some("30s"), PERIOD);
    REGISTRY_DNS_SERVERS =
        shaped("registry.dns_servers", Some("--dns-server"), DNS_SERVER, Shape::List);
    REGISTRY_TTL = one(
        "registry.ttl",
        Some("--registry-ttl"),
        Some("10m"),
        "a time from 1s to 24h, as in 10m",
    );
    BALANCE_ALL =
        one("balancing.balance", Some("--balance"), Some("p2c"), BALANCE);
    BALANCE_SERVICES = shaped(
        "balancing.services",
        None,
        "a table for each service, as in [balancing.services.blog]",
        Shape::Rules,
    );
    SERVICES = shaped(
        "services",
        Some("--service"),
        "a name of 1 to 64 of A-Z a-z 0-9 _ - with http://HOST:PORT/PATH, exec:COMMAND or demo:NAME",
        Shape::Map,
    );
    LOG_LEVEL = one(
        "log.level",
        Some("--log"),
        Some("info"),
        "error, warn, info, debug, trace, off, or a filter as in info,relay_tokio=debug",
    );
    LOG_FORMAT = one("log.format", Some("--log-format"), Some("text"), "text or json");
}

/// What can be said of one service, as in `balancing.services.blog.balance`.
pub const RULES: &[Key] = &[RULE_BALANCE, RULE_PREFER_ZONE, RULE_FAILURES, RULE_OPEN];

pub(super) const RULE_BALANCE: Key = one("balance", None, None, BALANCE);
pub(super) const RULE_PREFER_ZONE: Key = one("prefer_zone", None, None, BOOLEAN);
pub(super) const RULE_FAILURES: Key =
    one("breaker_failures", None, None, "a whole number from 1 to 1048576");
pub(super) const RULE_OPEN: Key = one("breaker_open", None, None, PERIOD);
