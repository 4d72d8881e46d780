//! What relay-core writes for each vector, and what it must read there.

use bytes::BytesMut;
use relay_core::frame::{FrameWriter, Kind};
use relay_core::handshake::{Acceptor, Dialler, Grant};
use relay_core::message::{
    ChunkEnvelope, ControlMessage, Credit, ErrorEnvelope, Hop, OPTION_HIGH, OPTION_IDEMPOTENT,
    OPTION_LOW, OPTION_PATH, OPTION_READS, OPTION_STREAM, OPTION_TRACE, PublicationEnvelope,
    Record, RequestEnvelope, ResponseEnvelope, Status, Texts, Towards,
};
use relay_core::{Compression, Config, ErrorCode, Executed, Identity, NodeId, Retry, Role};
use serde::Serialize;

/// Every vector with the bytes that the encoders give.
pub(crate) fn written() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name, kind, id, ttl, payload: Vec<u8>| {
        all.push((name, frame(kind, id, ttl, &payload)));
    };
    for (name, payload) in handshake() {
        add(name, Kind::Handshake, 0, 0, payload);
    }
    for (name, message) in control(&Packed::new()) {
        add(name, Kind::Control, 0, 0, envelope(&message, b""));
    }
    for (name, label, ttl, request, body) in requests(&Packed::new()) {
        add(name, Kind::Request, label, ttl, envelope(&request, body));
    }
    for (name, response, hops, body) in responses() {
        let hops = if response.status.is_traced() { hop_list(hops) } else { Vec::new() };
        add(name, Kind::Response, LABEL, 0, envelope(&response, &[&hops, body].concat()));
    }
    for (name, error, hops) in errors() {
        let hops = if hops.is_empty() { Vec::new() } else { hop_list(hops) };
        add(name, Kind::Error, LABEL, 0, envelope(&error, &hops));
    }
    for (name, chunk, body) in CHUNKS {
        add(name, Kind::Stream, LABEL, 0, envelope(chunk, body));
    }
    add(CREDIT.0, Kind::Credit, LABEL, 0, envelope(&CREDIT.1, b""));
    for (name, publication, body) in publications(&Packed::new()) {
        add(name, Kind::Publish, 0, 10, envelope(&publication, body));
    }
    for (name, kind, id, ttl, payload) in OPAQUE {
        add(name, *kind, *id, *ttl, payload.to_vec());
    }
    for (name, kind, ttl, payload, compression, _) in compressed() {
        let mut writer = FrameWriter::default();
        let write = |_: &mut BytesMut| {};
        let frame = writer.write_packed(kind, LABEL, ttl, write, &payload, Some(compression));
        all.push((name, frame.freeze().to_vec()));
    }
    all
}

/// Name, kind, TTL, payload as it travels, how its body is compressed, and the plain body.
pub(crate) type Compressed = (&'static str, Kind, u8, Vec<u8>, Compression, Vec<u8>);

pub(crate) fn compressed() -> [Compressed; 2] {
    let packed = Packed::new();
    let short = requests(&packed)[0].3;
    let request = RequestEnvelope { options: OPTION_READS, reads: 3, ..short };
    let response = ResponseEnvelope { status: Status::Result, content: 0 };
    let ones = format!("[{}1]", "1,".repeat(30));
    let post = |n: u32| format!(r#"{{"id":{n},"title":"Post number {}","author":"alice"}}"#, n * n);
    let posts = format!("[{}]", (1..13).map(post).collect::<Vec<_>>().join(","));
    let (request, response) = (envelope(&request, LZ4_BODY), envelope(&response, ZSTD_BODY));
    let (lz4, zstd) = (Compression::Lz4, Compression::Zstd);
    [
        ("request/compressed", Kind::Request, 10, request, lz4, ones.into_bytes()),
        ("response/compressed", Kind::Response, 0, response, zstd, posts.into_bytes()),
    ]
}

const LZ4_BODY: &[u8] = &[
    0x3f, 0x00, 0x00, 0x00, 0x3f, 0x5b, 0x31, 0x2c, 0x02, 0x00, 0x24, 0x50, 0x2c, 0x31, 0x2c, 0x31,
    0x5d,
];
const ZSTD_BODY: &[u8] = &[
    0x68, 0x02, 0x00, 0x00, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x68, 0x01, 0x95, 0x03, 0x00, 0x92, 0x85,
    0x13, 0x18, 0x80, 0xab, 0x0e, 0x5a, 0xd8, 0x19, 0x52, 0xea, 0xe0, 0x71, 0x20, 0x19, 0x21, 0x61,
    0xcb, 0x68, 0x94, 0xc6, 0xbe, 0x40, 0x4e, 0xc8, 0xaa, 0x04, 0xc3, 0xee, 0xd9, 0xcf, 0xfe, 0xaf,
    0xf5, 0xf5, 0xc3, 0xb8, 0x0f, 0xc6, 0x05, 0x5e, 0x7b, 0x8e, 0xb9, 0xf7, 0x8d, 0x6d, 0x99, 0x8a,
    0x3c, 0x0d, 0x9a, 0x10, 0x96, 0x6e, 0x18, 0xa4, 0x3e, 0x84, 0x95, 0x9f, 0x9a, 0x59, 0x28, 0xcf,
    0x92, 0xaa, 0xc3, 0x04, 0x96, 0x9e, 0x49, 0xa5, 0xd5, 0xea, 0xd2, 0x07, 0x35, 0x24, 0x04, 0x17,
    0xa8, 0x10, 0x78, 0xae, 0xfd, 0x7f, 0x03, 0xb0, 0x33, 0x07, 0x10, 0x14, 0xe1, 0x57, 0x84, 0x64,
    0xf8, 0x85, 0x08, 0xe0, 0xb8, 0xa8, 0x04, 0x09, 0x25, 0x36, 0x04, 0x46, 0xd5, 0x54, 0x40, 0x52,
];

pub(crate) fn frame(kind: Kind, id: u64, ttl: u8, payload: &[u8]) -> Vec<u8> {
    FrameWriter::default().write(kind, id, ttl, |_: &mut BytesMut| {}, payload).freeze().to_vec()
}

/// The handshake of the Home "alice" with the Main "main". The refusal is written by a node, not
/// by a function that could be called here: see nodes.rs.
pub(crate) fn handshake() -> Vec<(&'static str, Vec<u8>)> {
    let (config, identity) = home(None);
    let (mut dialler, request) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let (main_config, main_identity) = main_node();
    let mut acceptor = Acceptor::new(ACCEPT_NONCE);
    let challenge = acceptor
        .handle_request(&request, &main_config, &main_identity, UNIX_SECONDS)
        .expect("the request is legal");
    let proof = dialler.handle_challenge(&challenge, &config, &identity).expect("legal");
    let (_, accepted) = acceptor.handle_proof(&proof, &main_identity, GRANT).expect("legal");
    let with_token = Dialler::new(&home(Some("s3cret")).0, &identity, DIAL_NONCE, UNIX_SECONDS).1;
    vec![
        ("handshake/request", request),
        ("handshake/request_with_token", with_token),
        ("handshake/challenge", challenge),
        ("handshake/proof", proof),
        ("handshake/accepted", accepted),
        ("handshake/rejected", crate::nodes::refusal()),
        ("handshake/later", crate::nodes::pacing()),
    ]
}

pub(crate) fn home(token: Option<&str>) -> (Config, Identity) {
    let mut config = config(Role::Home);
    config.token = token.map(str::to_owned);
    (config, identity(2, "alice"))
}

pub(crate) fn main_node() -> (Config, Identity) {
    (config(Role::Main), identity(1, "main"))
}

/// Another Main, which links to "main".
pub(crate) fn other_main() -> (Config, Identity) {
    (config(Role::Main), identity(3, "north"))
}

/// The lists of texts that messages borrow.
pub(crate) struct Packed {
    methods: Vec<u8>,
    labels: Vec<u8>,
    headers: Vec<u8>,
    shard: Vec<u8>,
    paths: [Vec<u8>; 3],
    pages: [Vec<u8>; 2],
}

impl Packed {
    pub(crate) fn new() -> Self {
        let pack = |texts: &[&str]| {
            let mut space = Vec::new();
            Texts::pack(texts, &mut space);
            space
        };
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut packed = Self {
            methods: pack(&["get_posts", "add"]),
            labels: pack(&["zone", "eu"]),
            headers: pack(&["traceparent", trace, "x-shard", "7"]),
            shard: pack(&["x-shard", "7"]),
            paths: [pack(&["main"]), pack(&["main", "north"]), pack(&["north", "south"])],
            pages: [Vec::new(), Vec::new()],
        };
        let page = |records: Vec<Record<'_>>| {
            records.iter().flat_map(|record| envelope(record, b"")).collect()
        };
        packed.pages = [page(vec![packed.up()]), page(packed.changes())];
        packed
    }

    /// What the Main "main" says of the Home "alice", which registered "blog".
    fn up(&self) -> Record<'_> {
        Record::Up {
            origin: "main",
            epoch: EPOCH,
            seq: 1,
            service: "blog",
            node: "alice",
            key: MARK,
            methods: Texts(&self.methods),
            labels: Texts(&self.labels),
            ttl_ms: 600_000,
            path: Texts(&self.paths[0]),
        }
    }

    pub(crate) fn changes(&self) -> Vec<Record<'_>> {
        let passed_on = Record::Up {
            origin: "north",
            epoch: 5,
            seq: 2,
            service: "shop",
            node: "bob",
            key: [0, 1, 2, 3, 4, 5, 6, 7],
            methods: Texts::default(),
            labels: Texts::default(),
            ttl_ms: 30_000,
            path: Texts(&self.paths[1]),
        };
        let (service, node) = ("blog", "alice");
        let down = Record::Down { origin: "main", epoch: EPOCH, seq: 2, service, node };
        let lost = Record::Lost { origin: "north", service: "news", node: "carol" };
        let interest = Record::Up {
            origin: "north",
            epoch: 5,
            seq: 3,
            service: "#messages.*",
            node: "north",
            key: [0; 8],
            methods: Texts::default(),
            labels: Texts::default(),
            ttl_ms: 30_000,
            path: Texts(&self.paths[1]),
        };
        vec![passed_on, down, lost, interest]
    }
}

pub(crate) fn control(packed: &Packed) -> Vec<(&'static str, ControlMessage<'_>)> {
    let (service, ttl_ms) = ("blog", 600_000);
    let none = Texts::default();
    let methods = Texts(&packed.methods);
    let message = "the node shuts down";
    let code = ErrorCode::NameConflict as u16;
    let goodbye = ControlMessage::Goodbye { code: 1, message, reconnect_in_ms: 5_000 };
    let [page, changes] = &packed.pages;
    let pattern = "messages.*";
    let refused = ControlMessage::NotSubscribed {
        pattern: "**",
        code: ErrorCode::Overloaded as u16,
        message: "too many",
    };
    let limited = ControlMessage::NotPublished { count: 2, code: ErrorCode::RateLimited as u16 };
    vec![
        ("control/register", ControlMessage::Register { service, methods, ttl_ms }),
        (
            "control/register_any_method",
            ControlMessage::Register { service, methods: none, ttl_ms },
        ),
        ("control/registered", ControlMessage::Registered { service }),
        ("control/refused", ControlMessage::Refused { service, code, message: "taken" }),
        ("control/withdraw", ControlMessage::Withdraw { service }),
        ("control/refresh", ControlMessage::Refresh),
        ("control/goodbye", goodbye),
        ("control/labels", ControlMessage::Labels { labels: Texts(&packed.labels) }),
        ("control/hello", ControlMessage::Hello { epoch_seen: EPOCH - 1 }),
        ("control/announce", ControlMessage::Announce { page }),
        ("control/announce_changes", ControlMessage::Announce { page: changes }),
        ("control/digest", ControlMessage::Digest { count: 1, sum: SUM }),
        ("control/resync", ControlMessage::Resync),
        ("control/leaving", ControlMessage::Leaving),
        ("control/subscribe", ControlMessage::Subscribe { pattern }),
        ("control/unsubscribe", ControlMessage::Unsubscribe { pattern }),
        ("control/subscribed", ControlMessage::Subscribed { pattern }),
        ("control/unsubscribed", ControlMessage::Unsubscribed { pattern }),
        ("control/not_subscribed", refused),
        ("control/missed", ControlMessage::Missed { count: 300 }),
        ("control/not_published", limited),
    ]
}

/// Publications: name, envelope, body.
pub(crate) fn publications(
    packed: &Packed,
) -> [(&'static str, PublicationEnvelope<'_>, &'static [u8]); 2] {
    let short = PublicationEnvelope {
        topic: "messages.user.42",
        publisher: "alice",
        key: *b"its mark",
        life: 0x0123_4567_89ab_cdef,
        seq: 300,
        content: 0,
        headers: Texts::default(),
        path: Texts::default(),
    };
    let (headers, path) = (Texts(&packed.shard), Texts(&packed.paths[2]));
    let far = PublicationEnvelope { headers, path, ..short };
    let body = br#"{"text":"hi"}"#;
    [("publish/short", short, body), ("publish/path", far, body)]
}

/// Name, label, TTL of the frame, envelope, body.
pub(crate) type Request<'a> = (&'static str, u64, u8, RequestEnvelope<'a>, &'static [u8]);

pub(crate) fn requests(packed: &Packed) -> Vec<Request<'_>> {
    let short = RequestEnvelope {
        node: "",
        service: "blog",
        method: "get_posts",
        deadline_ms: 60_000,
        options: 0,
        ttl: 10,
        content: 0,
        headers: Texts::default(),
        path: Texts::default(),
        reads: 0,
    };
    let full = RequestEnvelope {
        node: "alice",
        deadline_ms: 2_500,
        options: OPTION_IDEMPOTENT,
        headers: Texts(&packed.headers),
        ..short
    };
    let traced =
        RequestEnvelope { node: "alice@main", options: OPTION_TRACE | OPTION_HIGH, ..short };
    let options = OPTION_LOW | OPTION_PATH;
    let path = RequestEnvelope { options, path: Texts(&packed.paths[2]), ..short };
    let stream = RequestEnvelope { options: OPTION_STREAM, ..short };
    vec![
        ("request/short", 1 << 32, 10, short, b"[]"),
        ("request/full", LABEL, 9, full, br#"{"limit":2}"#),
        ("request/traced", LABEL, 10, traced, b"[]"),
        ("request/path", LABEL, 8, path, b"[]"),
        ("request/stream", LABEL, 10, stream, b"[]"),
    ]
}

/// Name, envelope, hops, body.
pub(crate) type Response = (&'static str, ResponseEnvelope, &'static [Hop<'static>], &'static [u8]);

pub(crate) fn responses() -> Vec<Response> {
    let of = |status| ResponseEnvelope { status, content: 0 };
    let error = br#"{"code":7,"message":"no such post"}"#;
    let (result, failed) = (of(Status::TracedResult), of(Status::TracedApplicationError));
    vec![
        ("response/result", of(Status::Result), &[], b"[1,2]"),
        ("response/application_error", of(Status::ApplicationError), &[], error),
        ("response/traced_result", result, HOPS, b"[1,2]"),
        ("response/traced_application_error", failed, HOPS, br#"{"code":7}"#),
    ]
}

/// Name, envelope, hops.
pub(crate) type Failure = (&'static str, ErrorEnvelope<'static>, &'static [Hop<'static>]);

pub(crate) fn errors() -> Vec<Failure> {
    let of = |code: ErrorCode, executed, retry, limit, message| ErrorEnvelope {
        code: code as u16,
        executed,
        retry,
        limit,
        node: "main",
        message,
    };
    let (no, yes, unknown) = (Executed::No, Executed::Yes, Executed::Unknown);
    let (none, lost) = ("Service not found: 'blog'", "the link to alice ended");
    let after = Retry::AfterMs(250);
    let size = Some(1 << 20);
    let traced = of(ErrorCode::Deadline, unknown, Retry::Unsafe, None, "too late");
    vec![
        ("error/safe", of(ErrorCode::NoSuchService, no, Retry::Safe, None, none), &[]),
        ("error/unsafe", of(ErrorCode::LinkLost, unknown, Retry::Unsafe, None, lost), &[]),
        ("error/after_ms", of(ErrorCode::RateLimited, no, after, None, ""), &[]),
        (
            "error/never_with_limit",
            of(ErrorCode::TooLarge, yes, Retry::Never, size, "too large"),
            &[],
        ),
        ("error/traced", traced, WAITED),
    ]
}

/// Hops as they stand in front of a body or behind an error.
pub(crate) fn hop_list(hops: &[Hop<'_>]) -> Vec<u8> {
    let packed: Vec<u8> = hops.iter().flat_map(|hop| envelope(hop, b"")).collect();
    envelope(&Texts(&packed), b"")
}

pub(crate) fn envelope<T: Serialize>(envelope: &T, body: &[u8]) -> Vec<u8> {
    let mut payload = postcard::to_allocvec(envelope).expect("no envelope refuses to be written");
    payload.extend_from_slice(body);
    payload
}

fn config(role: Role) -> Config {
    let mut config = Config::new(role);
    config.compressions = 0;
    config.limits.calls_per_link_max = 1_024;
    config.limits.frame_bytes_max = 16 << 20;
    config
}

fn identity(key: u8, node: &str) -> Identity {
    let node = NodeId::new(node).expect("a legal name");
    Identity::new(&[key; 32], Some(node)).expect("not the form of a derived id")
}

/// Name, envelope, body.
pub(crate) const CHUNKS: &[(&str, ChunkEnvelope, &[u8])] = &[
    ("stream/first", ChunkEnvelope { to: Towards::Caller, number: 0, is_last: false }, b"[1,"),
    ("stream/last", ChunkEnvelope { to: Towards::Handler, number: 300, is_last: true }, b""),
];
pub(crate) const CREDIT: (&str, Credit) =
    ("credit/window", Credit { to: Towards::Caller, bytes: 256 << 10 });

/// Frames whose payload is bytes to this layer: name, kind, id, TTL, payload.
pub(crate) const OPAQUE: &[(&str, Kind, u64, u8, &[u8])] = &[
    ("ping", Kind::Ping, 0, 0, &1_500_000_000_u64.to_be_bytes()),
    ("pong", Kind::Pong, 0, 0, &1_500_000_000_u64.to_be_bytes()),
    ("stream", Kind::Stream, LABEL, 0, b"part"),
    ("credit", Kind::Credit, LABEL, 0, &[0x80, 0x08]),
    ("cancel", Kind::Cancel, LABEL, 0, b""),
    ("extension", Kind::Extension, 0, 0, b"\x01ReplicationLog"),
];

/// Slot 5, first generation.
pub(crate) const LABEL: u64 = 1 << 32;
pub(crate) const UNIX_SECONDS: u64 = 1_700_000_000;
pub(crate) const GRANT: Grant = Grant { session: [0x5e; 16], epoch: 7 };
pub(crate) const DIAL_NONCE: [u8; 32] = [0xd1; 32];
pub(crate) const ACCEPT_NONCE: [u8; 32] = [0xac; 32];
const HOPS: &[Hop<'static>] = &[
    Hop { node: "alice", micros: 1_500, attempts: 1 },
    Hop { node: "main", micros: 40_000, attempts: 2 },
];
const WAITED: &[Hop<'static>] = &[Hop { node: "main", micros: 60_000_000, attempts: 1 }];
/// The life of "main" after its peer has told it of an earlier one.
pub(crate) const EPOCH: u64 = 1_800_000_000_000_001;
/// The first bytes of the SHA-256 of the key of "alice".
const MARK: [u8; 8] = [0x6a, 0x38, 0x03, 0xd5, 0xf0, 0x59, 0x90, 0x2a];
const SUM: u64 = 0x7da2_9f59_a2c2_cd99;
