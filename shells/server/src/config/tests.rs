use super::*;
use crate::cli::{Parsed, parse};
use relay_tokio::{Balance, Compression, ServiceRules};
use std::path::Path;

#[test]
fn each_layer_overrides_the_one_below() {
    let file =
        File::new("layers", "[http]\nport = 1001\nhost = \"127.0.0.2\"\n[node]\nid = \"f\"\n");
    let environment = [("RELAY_HTTP__PORT", "1002"), ("RELAY_NODE__CLUSTER", "e")];
    let only_file = load(&["--config", file.path()], &[]).expect("file");
    assert_eq!(only_file.http.address.to_string(), "127.0.0.2:1001");
    let with_environment = load(&["--config", file.path()], &environment).expect("environment");
    assert_eq!(with_environment.http.address.to_string(), "127.0.0.2:1002");
    let all = load(&["--config", file.path(), "--port", "1003"], &environment).expect("flags");
    assert_eq!(all.http.address.to_string(), "127.0.0.2:1003");
    assert_eq!(all.node.id.as_deref(), Some("f"));
    assert_eq!(all.node.cluster, "e");

    let listing = all.listing();
    for line in [
        String::from("port = 1003  # flag --port"),
        format!("host = \"127.0.0.2\"  # file {}", file.path()),
        String::from("cluster = \"e\"  # environment RELAY_NODE__CLUSTER"),
        String::from("ttl = \"10m\"  # default"),
    ] {
        assert!(listing.lines().any(|got| got == line), "{line}\n{listing}");
    }
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = load(&[], &[]).expect("defaults");
    assert_eq!(config.http.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.read_timeout, Duration::from_secs(15));
    assert_eq!(config.http.write_timeout, Duration::from_secs(15));
    assert_eq!(config.registry.discovery_interval, Duration::from_secs(30));
    assert!(config.registry.enable && config.http.enable_cors);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.node.shutdown_grace, Duration::from_secs(10));
    assert!(config.node_type().expect("nothing contradicts").is_none());
}

#[test]
fn the_listing_is_a_file_that_says_the_same() {
    let flags = ["--server", "--service", "a=http://127.0.0.1:1/", "--header", "X-A: \"b\" \\ c"];
    let listing = load(&flags, &[("RELAY_LIMITS__TTL", "7")]).expect("flags").listing();
    let file = File::new("listing", &listing);
    let again = load(&["--config", file.path()], &[]).expect(&listing);
    assert_eq!(again.services.iter().map(ServiceSpec::name).collect::<Vec<_>>(), ["a"]);
    assert_eq!(again.http.headers.get("X-A").map(String::as_str), Some("\"b\" \\ c"));
    assert_eq!((again.limits.ttl, again.node.is_server), (7, true));
}

#[test]
fn a_refusal_names_key_source_value_and_what_is_allowed() {
    let file = File::new("refusal", "[http]\nport = 99999\n");
    let failure = load(&["--config", file.path()], &[]).err().expect("too large");
    let wanted = format!(
        "http.port = \"99999\" (file {}) is not allowed: must be a port, 0 to 65535",
        file.path()
    );
    assert_eq!((failure.message(), failure.exit_code()), (wanted.as_str(), 2));

    for (flags, environment, parts) in [
        (&["--port", "-1"][..], &[][..], &["http.port", "flag --port", "\"-1\""][..]),
        (&["--registry-ttl", "0s"], &[], &["registry.ttl", "flag --registry-ttl", "1s to 24h"]),
        (&["--node-id", "A b"], &[], &["node.id", "flag --node-id", "a-z"]),
        (&["--node-type", "hub"], &[], &["node.type", "main or home"]),
        (&["--log", "loud"], &[], &["log.level", "flag --log", "trace"]),
        (&["--cors", "evil"], &[], &["http.cors_origins", "flag --cors", "https://"]),
        (&["--header", "X-A: ü"], &[], &["http.headers.X-A", "flag --header"]),
        (&["--service", "a.b=http://x"], &[], &["services.a.b", "flag --service"]),
        (&["--service", "a=ftp://x"], &[], &["services.a (flag --service)", "no kind of service"]),
        (&["--service", "a=http://x", "--service", "a=http://y"], &[], &["twice"]),
        (&["--peers", "dns+srv://a b"], &[], &["node.peers", "flag --peers", "dns+srv://"]),
        (&["--connect", "dns+srv://a"], &[], &["node.connect", "flag --connect", "ws://"]),
        (&["--dns-server", "dns.example.com"], &[], &["registry.dns_servers", "127.0.0.1:5353"]),
        (&["--connect", "ws://a b"], &[], &["node.connect", "flag --connect", "ws://"]),
        (&["--listen", "8080"], &[], &["--listen"]),
        (&[], &[("RELAY_LOG", "loud")], &["log.level", "environment RELAY_LOG"]),
        (&[], &[("RELAY_HTTP__READ_TIMEOUT", "15")], &["RELAY_HTTP__READ_TIMEOUT", "15s"]),
        (&[], &[("RELAY_LIMITS__FRAME_BYTES_MAX", "1")], &["limits.frame_bytes_max", "4096"]),
        (&[], &[("RELAY_LIMITS__IDLE_TIMEOUT", "1s")], &["limits.idle_timeout = 1000ms", "10001"]),
        (&[], &[("RELAY_NODE__SERVER", "yes")], &["node.server", "true or false"]),
        (&[], &[("RELAY_SERVICES__A__B", "x")], &["services.a"]),
    ] {
        let failure = load(flags, environment).err().expect(parts[0]);
        for part in parts {
            assert!(failure.message().contains(part), "{part}: {failure:?}");
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    for (text, hint) in [
        ("[http]\nprot = 1\n", "http.port"),
        ("[limits]\nttll = 1\n", "limits.ttl"),
        ("[registry]\ndiscovery = \"30s\"\n", "--print-config"),
        ("[htttp]\nport = 1\n", "mean http?"),
        ("\"http.port\" = 1\n", "[section]"),
        ("colour = 1\n", "--print-config"),
    ] {
        let file = File::new("unknown", text);
        let failure = load(&["--config", file.path()], &[]).err().expect(text);
        assert!(failure.message().contains("there is no setting"), "{text}: {failure:?}");
        assert!(failure.message().contains(file.path()), "{text}: {failure:?}");
        assert!(failure.hint().is_some_and(|got| got.contains(hint)), "{text}: {failure:?}");
    }
    let failure = load(&[], &[("RELAY_HTTP__PROT", "1")]).err().expect("unknown");
    assert!(failure.message().contains("environment RELAY_HTTP__PROT"), "{failure:?}");
    let failure = load(&[], &[("RELAY_HTTP_PORT", "1")]).err().expect("one underscore");
    assert!(failure.hint().is_some_and(|hint| hint.contains("RELAY_HTTP__PORT")), "{failure:?}");
}

#[test]
fn what_kubernetes_sets_is_left_alone() {
    let environment = [
        ("RELAY_MAIN_SERVICE_HOST", "10.0.0.1"),
        ("RELAY_MAIN_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("RELAY_HTTP_PORT", "tcp://10.0.0.1:8080"),
        ("RELAY_PORT", "tcp://10.0.0.1:8080"),
        ("RELAY_NODE__ID", ""),
    ];
    let config = load(&[], &environment).expect("not ours");
    assert_eq!((config.http.address.port(), config.node.id), (8080, None));
}

#[test]
fn e12_peers_are_addresses_and_names_from_every_layer() {
    let texts = |config: &Config| config.node.peers.iter().map(Peer::to_string).collect::<Vec<_>>();
    let file = File::new(
        "peers",
        "[node]\npeers = [\"dns+srv://_relay._tcp.f\"]\n[registry]\ndns_servers = [\"10.0.0.2\"]\n",
    );
    let from_file = load(&["--config", file.path()], &[]).expect("file");
    assert_eq!(texts(&from_file), ["dns+srv://_relay._tcp.f"]);
    assert_eq!(from_file.registry.dns_servers, ["10.0.0.2:53".parse().expect("an address")]);
    let environment =
        [("RELAY_NODE__PEERS", "dns://e:1,h:2"), ("RELAY_REGISTRY__DNS_SERVERS", "::1,[::1]:5353")];
    let config = load(&["--config", file.path()], &environment).expect("environment");
    assert_eq!(texts(&config), ["dns://e:1", "ws://h:2/ws/p2p"]);
    assert_eq!(config.registry.dns_servers.len(), 2);
    let flags = ["--peers", "dns://a:1,ws://b:2", "--add-peer", "dns+srv://c"];
    let flags = [&flags[..], &["--dns-server", "127.0.0.1:5353"]].concat();
    let config = load(&flags, &environment).expect("flags");
    assert_eq!(texts(&config), ["dns://a:1", "ws://b:2/ws/p2p", "dns+srv://c"]);
    let line = "dns_servers = [\"127.0.0.1:5353\"]  # flag --dns-server";
    assert!(config.listing().lines().any(|got| got == line), "{}", config.listing());
    let failure = load(&["--peers", "dns://a"], &[]).err().expect("no port");
    assert!(failure.hint().is_some_and(|hint| hint.contains("add the port")), "{failure:?}");
}

#[test]
fn tables_and_values_are_not_mixed_up() {
    for text in [
        "http = 1\n",
        "[http.port]\na = 1\n",
        "services = \"x\"\n",
        "[node]\nid = [1]\n",
        "[http]\nheaders = 3\n",
        "this is no toml",
        "[http]\nport = 1\nport = 2\n",
    ] {
        let file = File::new("shapes", text);
        let failure = load(&["--config", file.path()], &[]).err().expect(text);
        assert!(!failure.lines().trim_end().contains("error: error"), "{failure:?}");
        assert_eq!(failure.exit_code(), 2);
    }
    assert!(load(&["--config", "/nonexistent/relay.toml"], &[]).is_err());
}

#[test]
fn a_public_address_needs_consent() {
    for flags in [
        &["--host", "0.0.0.0"][..],
        &["--listen", "192.168.1.7:80"],
        &["--listen-tcp", "0.0.0.0:9000"],
        &["--host", "::"],
    ] {
        let failure = load(flags, &[]).err().expect("public");
        assert!(failure.message().contains("does not encrypt"), "{failure:?}");
        assert!(failure.hint().is_some_and(|hint| hint.contains("--insecure-public")));
        let mut consented = flags.to_vec();
        consented.push("--insecure-public");
        assert!(load(&consented, &[]).is_ok());
    }
    assert!(load(&["--host", "::1", "--listen-tcp", "127.0.0.1:9000"], &[]).is_ok());
}

#[test]
fn bodies_are_compressed_only_where_that_is_asked_for() {
    let all = load(&[], &[]).expect("defaults");
    assert_eq!(all.node.compression, None);
    for (text, expected) in
        [("off", None), ("lz4", Some(Compression::Lz4)), ("zstd", Some(Compression::Zstd))]
    {
        let flag = load(&["--compression", text], &[("RELAY_NODE__COMPRESSION", "zstd")]);
        assert_eq!(flag.expect("a flag").node.compression, expected);
        let environment = load(&[], &[("RELAY_NODE__COMPRESSION", text)]).expect("environment");
        assert_eq!(environment.node.compression, expected);
    }
    let failure = load(&["--compression", "gzip"], &[]).err().expect("no such way").lines();
    assert!(failure.contains("off, lz4 or zstd"), "{failure}");
}

#[test]
fn tls_and_a_token_make_a_public_address_safe() {
    let tls = ["--tls-cert", "a.crt", "--tls-key", "a.key"];
    let (web, links) = (["--host", "0.0.0.0"], ["--listen-quic", "0.0.0.0:443"]);
    for flags in [&web[..], &links[..]] {
        let flags = [flags, &tls].concat();
        let failure = load(&flags, &[]).err().expect("nobody is asked");
        assert!(failure.message().contains("asks nobody who they are"), "{failure:?}");
        for asking in [["--token-file", "t"], ["--tls-client-ca", "ca.crt"]] {
            assert!(load(&[&flags[..], &asking].concat(), &[]).is_ok());
        }
    }
    let plain = [&["--listen-tcp", "0.0.0.0:1", "--token-file", "t"][..], &tls].concat();
    let failure = load(&plain, &[]).err().expect("plain");
    assert!(failure.hint().is_some_and(|hint| hint.contains("--listen-tls")), "{failure:?}");
}

#[test]
fn n17_sockets_have_options() {
    let file = File::new(
        "sockets",
        "[socket]\nconnect_timeout = \"2s\"\nnodelay = false\nkeepalive_time = \"0s\"\n\
         keepalive_interval = \"7s\"\nsend_buffer = \"64KiB\"\nreceive_buffer = 65536\n\
         reuse_address = false\nreuse_port = true\nbacklog = 7\n",
    );
    let socket = load(&["--config", file.path()], &[]).expect("allowed").socket;
    let wanted = SocketOptions {
        connect_timeout: Duration::from_secs(2),
        nodelay: false,
        keepalive_time: None,
        keepalive_interval: Duration::from_secs(7),
        send_buffer: Some(65_536),
        receive_buffer: Some(65_536),
        reuse_address: false,
        reuse_port: true,
        backlog: 7,
    };
    assert_eq!(socket, wanted);
    assert_eq!(load(&[], &[]).expect("defaults").socket, SocketOptions::default());
    for (name, value) in
        [("CONNECT_TIMEOUT", "11s"), ("KEEPALIVE_TIME", "1500ms"), ("BACKLOG", "0")]
    {
        let name = format!("RELAY_SOCKET__{name}");
        assert!(load(&[], &[(name.as_str(), value)]).is_err(), "{name}");
    }
}

#[test]
fn e6_the_life_of_registrations_has_a_flag() {
    let ttl = |flags: &[&str]| load(flags, &[]).expect("flags").limits.registry_ttl;
    assert_eq!(ttl(&["--server"]), Duration::from_mins(10));
    assert_eq!(ttl(&["--server", "--registry-ttl", "90s"]), Duration::from_secs(90));
}

#[test]
fn a_home_may_know_several_mains() {
    let flags = ["--connect", "ws://a:1,ws://b:2", "--connect", "tcp://c:3", "--zone", "eu-1"];
    let config = load(&flags, &[]).expect("flags");
    let mains: Vec<String> = config.node.connect.iter().map(Endpoint::to_string).collect();
    assert_eq!(mains, ["ws://a:1/ws/p2p", "ws://b:2/ws/p2p", "tcp://c:3"]);
    assert_eq!(config.node.zone.as_deref(), Some("eu-1"));
    assert_eq!(config.node_type(), Ok(Some(NodeType::Home)));
    let listing = config.listing();
    let line = "connect = [\"ws://a:1\", \"ws://b:2\", \"tcp://c:3\"]  # flag --connect";
    assert!(listing.lines().any(|got| got == line), "{listing}");
    let one = load(&[], &[("RELAY_NODE__CONNECT", "ws://a:1")]).expect("environment");
    assert_eq!(one.node.connect.len(), 1);
}

#[test]
fn the_mode_p2p_lets_messages_go_as_far_as_the_ttl() {
    let config = load(&["--server", "--mode", "p2p"], &[("RELAY_LIMITS__TTL", "7")]).expect("p2p");
    assert_eq!((config.node.mode, config.limits.hops_max), (Mode::P2p, 7));
    let listing = config.listing();
    assert!(
        listing
            .lines()
            .any(|got| got == "hops_max = \"7\"  # flag --mode"
                || got == "hops_max = 7  # flag --mode"),
        "{listing}"
    );
    let file = File::new("mode", &listing);
    assert_eq!(load(&["--config", file.path()], &[]).expect(&listing).limits, config.limits);

    let file = File::new("mode", "[node]\nmode = \"p2p\"\n[limits]\nhops_max = 4\n");
    let failure = load(&["--config", file.path()], &[]).err().expect("both");
    for part in ["node.mode = \"p2p\"", "limits.ttl = 10", "limits.hops_max = 4", file.path()] {
        assert!(failure.message().contains(part), "{failure:?}");
    }
    let hub = load(&["--config", file.path(), "--mode", "hub"], &[]).expect("a hub may");
    assert_eq!(hub.limits.hops_max, 4);
}

#[test]
fn services_may_have_rules_of_their_own() {
    let file = File::new(
        "rules",
        "[balancing]\nbalance = \"least_connections\"\n[limits]\nbreaker_failures = 7\n\
         [balancing.services.blog]\nbalance = \"round-robin\"\nprefer_zone = false\n\
         breaker_open = \"5s\"\n[balancing.services.shop]\nbreaker_failures = 2\n\
         [services]\nblog = \"http://127.0.0.1:1/\"\n",
    );
    let config = load(&["--config", file.path()], &[]).expect("rules");
    let rules = |config: &Config, name: &str| config.balancing.services.get(name).copied();
    let blog = ServiceRules {
        balance: Balance::RoundRobin,
        prefer_zone: false,
        breaker_failures: 7,
        breaker_open: Duration::from_secs(5),
    };
    let shop = ServiceRules {
        balance: Balance::LeastConnections,
        prefer_zone: true,
        breaker_failures: 2,
        breaker_open: Duration::from_secs(30),
    };
    assert_eq!((rules(&config, "blog"), rules(&config, "shop")), (Some(blog), Some(shop)));
    assert_eq!(config.balancing.balance, Balance::LeastConnections);
    let listing = config.listing();
    let again = File::new("rules", &listing);
    let again = load(&["--config", again.path()], &[]).expect(&listing);
    assert_eq!(again.balancing, config.balancing);
    let flag = load(&["--config", file.path(), "--balance", "random"], &[]).expect("flag");
    assert_eq!(flag.balancing.balance, Balance::Random);
    assert_eq!(rules(&flag, "blog").map(|rules| rules.balance), Some(Balance::RoundRobin));

    for (text, part) in [
        ("[balancing]\nbalance = \"fair\"\n", "p2c, round-robin"),
        ("[balancing.services.blog]\nbalance = \"fair\"\n", "balancing.services.blog.balance"),
        ("[balancing.services.blog]\nbreaker_failures = 0\n", "from 1 to"),
        ("[balancing.services.blog]\nbreaker_open = 30\n", "15s"),
        ("[balancing.services.blog]\nweight = 3\n", "no setting balancing.services.blog.weight"),
        ("[balancing.services]\nblog = \"random\"\n", "has to be a table"),
        ("[balancing]\nservices = 3\n", "has to be a table"),
        ("[balancing.services.\"a.b\"]\nbalance = \"random\"\n", "names no service"),
        ("[limits]\nretry_percent = 101\n", "limits.retry_percent"),
        ("[limits]\npeer_idle_timeout = \"1s\"\n", "limits.peer_idle_timeout"),
    ] {
        let file = File::new("rules", text);
        let failure = load(&["--config", file.path()], &[]).err().expect(text);
        assert!(failure.message().contains(part), "{text}: {failure:?}");
    }
}

#[test]
fn a_home_has_no_peers_and_listens_only_when_told() {
    let home = ["--connect", "ws://127.0.0.1:8080"];
    let with = |more: &[&str]| load(&[&home[..], more].concat(), &[]).expect("loads").node_type();
    assert_eq!(with(&[]), Ok(Some(NodeType::Home)));
    assert_eq!(with(&["--listen", "127.0.0.1:0"]), Ok(Some(NodeType::Home)));
    let failure = with(&["--port", "8081"]).expect_err("does not listen");
    assert!(failure.hint().is_some_and(|hint| hint.contains("--listen 127.0.0.1:8081")));
    assert!(with(&["--peers", "ws://127.0.0.1:1"]).is_err());
}

fn load(flags: &[&str], environment: &[(&str, &str)]) -> Result<Config, Failure> {
    let arguments = std::iter::once("relay").chain(flags.iter().copied()).map(Into::into).collect();
    match parse(arguments)? {
        Parsed::Run(cli) => Config::load(&cli.run, &Environment::new(environment.iter().copied())),
        Parsed::Print(text) => panic!("{text}"),
    }
}

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("relay-config-{name}-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("ASCII")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.0));
    }
}
