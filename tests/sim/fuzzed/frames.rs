//! What a hostile host sends: mostly frames that fit together so well that they get far.

use super::Input;
use relay_core::frame::{FrameWriter, Kind};
use relay_core::handshake::Dialler;
use relay_core::message::{
    ChunkEnvelope, ControlMessage, Credit, ErrorEnvelope, OPTION_HIGH, OPTION_IDEMPOTENT,
    OPTION_PATH, OPTION_READS, OPTION_STREAM, OPTION_TRACE, PublicationEnvelope, Record,
    RequestEnvelope, ResponseEnvelope, Status, Texts, Towards,
};
use relay_core::{Config, ErrorCode, Executed, Identity, NodeId, Retry, Role};
use serde::Serialize;

/// One to four frames, or what looks like them.
pub(super) fn read(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..input.number(1, 4) {
        match input.pick(&FORMS) {
            // With nothing else, it stands for the first message of an honest host.
            Form::Raw => bytes.extend_from_slice(input.piece()),
            Form::Whole => bytes.extend(read_frame(input)),
            Form::Damaged => {
                let mut frame = read_frame(input);
                let at = usize::from(input.byte()) % frame.len();
                frame[at] ^= input.byte();
                bytes.extend(frame);
            }
            Form::Cut => {
                let mut frame = read_frame(input);
                frame.truncate(usize::from(input.byte()));
                bytes.extend(frame);
            }
            Form::Flood => {
                let (payload, first) = (request(input), input.byte());
                let labels = (0..=input.byte() % FLOOD_MAX).map(|n| first.wrapping_add(n));
                bytes.extend(labels.flat_map(|n| written(Kind::Request, label(n), 10, &payload)));
            }
        }
    }
    bytes
}

/// A frame whose checksum fits. Its payload says something, and what follows in the input.
fn read_frame(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.pick(&KINDS);
    let (number, ttl) = (input.byte(), input.byte());
    let mut payload = match kind {
        // An unusual time to live asks for a payload that is nothing but what follows.
        _ if ttl >= MADE_UP => Vec::new(),
        Kind::Handshake => introduction(input),
        Kind::Control => control(input),
        Kind::Request => request(input),
        Kind::Response => response(input),
        Kind::Error => error(input),
        Kind::Stream => chunk(input),
        Kind::Credit => credit(input),
        Kind::Publish => publication(input),
        Kind::Ping | Kind::Pong | Kind::Cancel | Kind::Extension => Vec::new(),
    };
    payload.extend_from_slice(input.piece());
    written(kind, label(number), ttl, &payload)
}

/// The first message of somebody with a key, who may take the name of another.
fn introduction(input: &mut Input<'_>) -> Vec<u8> {
    let (key, role) = (input.byte(), input.pick(&[Role::Home, Role::Caller, Role::Main]));
    let node = NodeId::new(input.pick(&NODES)).ok();
    let Ok(identity) = Identity::new(&[key; 32], node) else { return Vec::new() };
    let unix_seconds = UNIX_SECONDS + u64::from(input.byte()) * 2;
    Dialler::new(&Config::new(role), &identity, [key; 32], unix_seconds).1
}

fn request(input: &mut Input<'_>) -> Vec<u8> {
    let mut space = Vec::new();
    let headers = match input.byte() % 4 {
        0..=1 => Texts::default(),
        2 => Texts::pack(["traceparent", "00-1-2-01"], &mut space),
        _ => Texts(input.piece()),
    };
    let (mut way, options) = (Vec::new(), input.pick(&OPTIONS));
    let mains = [input.pick(&NODES), input.pick(&NODES), input.pick(&NODES)];
    let path = match options & OPTION_PATH {
        0 => Texts::default(),
        _ => Texts::pack(&mains[..1 + usize::from(input.byte() % 3)], &mut way),
    };
    encoded(&RequestEnvelope {
        node: input.pick(&NODES),
        service: input.pick(&SERVICES),
        method: input.pick(&["run", "run", "walk", ""]),
        deadline_ms: u32::from(input.short()),
        options,
        ttl: input.byte(),
        content: input.byte(),
        headers,
        path,
        reads: if options & OPTION_READS == 0 { 0 } else { input.byte() },
    })
}

fn response(input: &mut Input<'_>) -> Vec<u8> {
    let all = [Status::Result, Status::ApplicationError, Status::TracedResult];
    let status = input.pick(&all);
    encoded(&ResponseEnvelope { status, content: input.byte() })
}

fn error(input: &mut Input<'_>) -> Vec<u8> {
    let code = input.pick(ErrorCode::ALL) as u16;
    encoded(&ErrorEnvelope {
        code: if input.bit() { input.short() } else { code },
        executed: input.pick(&[Executed::No, Executed::Yes, Executed::Unknown]),
        retry: match input.byte() % 4 {
            0 => Retry::Safe,
            1 => Retry::Unsafe,
            2 => Retry::AfterMs(u32::from(input.short())),
            _ => Retry::Never,
        },
        limit: input.bit().then_some(7),
        node: input.pick(&NODES),
        message: input.pick(&MESSAGES),
    })
}

fn publication(input: &mut Input<'_>) -> Vec<u8> {
    let (mut way, mains) = (Vec::new(), [input.pick(&NODES), input.pick(&NODES)]);
    let path = match input.byte() % 4 {
        0..=2 => Texts::default(),
        _ => Texts::pack(mains, &mut way),
    };
    encoded(&PublicationEnvelope {
        topic: input.pick(&PATTERNS),
        publisher: input.pick(&NODES),
        key: [input.byte(); 8],
        life: u64::from(input.byte()),
        seq: u64::from(input.byte()),
        content: input.byte(),
        headers: Texts::default(),
        path,
    })
}

fn chunk(input: &mut Input<'_>) -> Vec<u8> {
    let (to, number) = (input.pick(&TOWARDS), u32::from(input.byte() % 8));
    encoded(&ChunkEnvelope { to, number, is_last: input.bit() })
}

fn credit(input: &mut Input<'_>) -> Vec<u8> {
    let (to, bytes) = (input.pick(&TOWARDS), u32::from(input.short()));
    // A few bytes, or far too many.
    encoded(&Credit { to, bytes: if input.bit() { bytes } else { bytes << 16 } })
}

fn control(input: &mut Input<'_>) -> Vec<u8> {
    let (what, service) = (input.byte() % 18, input.pick(&SERVICES));
    let (mut space, mut page) = (Vec::new(), Vec::new());
    encoded(&match what {
        0 => ControlMessage::Register {
            service,
            methods: match input.byte() % 4 {
                0 => Texts::default(),
                1 => Texts::pack(["run"], &mut space),
                2 => Texts::pack(["run", "run", "walk"], &mut space),
                _ => Texts(input.piece()),
            },
            ttl_ms: u32::from(input.short()),
        },
        1 => ControlMessage::Registered { service },
        2 => {
            let (code, message) = (input.short(), input.pick(&MESSAGES));
            ControlMessage::Refused { service, code, message }
        }
        3 => ControlMessage::Withdraw { service },
        4 => ControlMessage::Refresh,
        5 => ControlMessage::Labels { labels: Texts::pack(["zone", service], &mut space) },
        6 => ControlMessage::Hello { epoch_seen: u64::from(input.short()) },
        7 => {
            for _ in 0..=input.byte() % 4 {
                page.extend(record(input));
            }
            ControlMessage::Announce { page: &page }
        }
        8 => {
            let (count, sum) = (u32::from(input.byte()), u64::from(input.short()));
            ControlMessage::Digest { count, sum }
        }
        9 => ControlMessage::Resync,
        10 => ControlMessage::Leaving,
        12 => ControlMessage::Subscribe { pattern: input.pick(&PATTERNS) },
        13 => ControlMessage::Unsubscribe { pattern: input.pick(&PATTERNS) },
        14 => ControlMessage::Subscribed { pattern: input.pick(&PATTERNS) },
        15 => {
            let (pattern, code) = (input.pick(&PATTERNS), input.short());
            ControlMessage::NotSubscribed { pattern, code, message: input.pick(&MESSAGES) }
        }
        16 => ControlMessage::Missed { count: u32::from(input.short()) },
        17 => {
            let (count, code) = (u32::from(input.byte()), input.short());
            ControlMessage::NotPublished { count, code }
        }
        _ => {
            let (code, message) = (input.short(), input.pick(&MESSAGES));
            ControlMessage::Goodbye { code, message, reconnect_in_ms: u32::from(input.short()) }
        }
    })
}

/// What a Main says of an offer: true, false, or of itself.
fn record(input: &mut Input<'_>) -> Vec<u8> {
    let (origin, service) = (input.pick(&NODES), input.pick(&OFFERS));
    let (node, epoch) = (input.pick(&NODES), u64::from(input.byte()));
    let seq = u64::from(input.byte());
    let (mut way, mut methods) = (Vec::new(), Vec::new());
    let mains = [origin, input.pick(&NODES), origin];
    encoded(&match input.byte() % 4 {
        0 => Record::Down { origin, epoch, seq, service, node },
        1 => Record::Lost { origin, service, node },
        _ => Record::Up {
            origin,
            epoch,
            seq,
            service,
            node,
            key: [input.byte(); 8],
            methods: Texts::pack(["run"], &mut methods),
            labels: Texts::default(),
            ttl_ms: u32::from(input.short()),
            path: Texts::pack(&mains[..1 + usize::from(input.byte() % 3)], &mut way),
        },
    })
}

/// Few indices and few generations, so that labels meet those that are in use.
const fn label(byte: u8) -> u64 {
    (byte as u64 >> 5) << 32 | (byte as u64 & 31)
}

fn written(kind: Kind, id: u64, ttl: u8, payload: &[u8]) -> Vec<u8> {
    FrameWriter::default().write(kind, id, ttl, |_| {}, payload).freeze().to_vec()
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Form {
    Raw,
    Whole,
    Damaged,
    Cut,
    Flood,
}

const FORMS: [Form; 8] = [
    Form::Raw,
    Form::Whole,
    Form::Damaged,
    Form::Cut,
    Form::Flood,
    Form::Whole,
    Form::Whole,
    Form::Whole,
];

/// Every kind, and those more often that a node answers with more than a goodbye.
const KINDS: [Kind; 16] = [
    Kind::Handshake,
    Kind::Ping,
    Kind::Pong,
    Kind::Control,
    Kind::Request,
    Kind::Response,
    Kind::Error,
    Kind::Stream,
    Kind::Credit,
    Kind::Cancel,
    Kind::Publish,
    Kind::Extension,
    Kind::Control,
    Kind::Request,
    Kind::Response,
    Kind::Error,
];

/// With all of those that have a meaning, and one that has none.
const OPTIONS: [u8; 8] = [
    0,
    OPTION_IDEMPOTENT,
    OPTION_TRACE,
    OPTION_HIGH | OPTION_TRACE,
    OPTION_PATH,
    OPTION_READS,
    1 << 7,
    OPTION_STREAM,
];

const TOWARDS: [Towards; 2] = [Towards::Caller, Towards::Handler];

const NODES: [&str; 8] =
    ["", "home-0", "home-1", "main-1", "main-0", "caller-0", "nobody", "no one"];
const SERVICES: [&str; 8] =
    ["shared-0", "service-0", "service-1", "service-2", "shared-1", "nowhere", "other", ""];
/// The same, and what Mains have subscribers for.
const OFFERS: [&str; 10] = [
    "shared-0",
    "service-0",
    "service-1",
    "service-2",
    "shared-1",
    "nowhere",
    "other",
    "",
    "#t.*",
    "#a..b",
];
/// Topics, patterns, and what is neither.
const PATTERNS: [&str; 8] = ["t.0", "t.*", "**", "u.a.b", "t.1", "u.**", "", "t..0"];
const MESSAGES: [&str; 3] = ["", "because", "on two\nlines"];
const FLOOD_MAX: u8 = 48;
/// A TTL has four bits; from here on the byte says that the payload is made up.
const MADE_UP: u8 = 0xc0;
/// What the clocks of a world start with.
const UNIX_SECONDS: u64 = 1_800_000_000;
