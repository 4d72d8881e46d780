//! Everything that happens to a world from outside, one thing at a time. A list of steps replays a
//! world; leaving some out gives another, shorter one.

use crate::span::Span;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A step and when it happens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Virtual time since the start.
    pub at: Span,
    /// What happens then.
    #[serde(flatten)]
    pub step: Step,
}

/// One thing that happens. Hosts are numbered: Mains first, then Homes, then callers. A step that
/// makes no sense when its time comes (a crash of a host that is down) is passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A host calls a service.
    Call(CallStep),
    /// A Home offers a shared service again that it had withdrawn.
    Register(HostStep),
    /// A Home withdraws a shared service.
    Withdraw(HostStep),
    /// A host dies, and starts again after a time without its state.
    Crash(Lasting),
    /// A host is stopped for a time.
    Pause(Lasting),
    /// The connection of a host breaks, and both ends are told.
    Reset(HostStep),
    /// From now on bytes of the connection of a host vanish, and nobody is told.
    HalfOpen(HostStep),
    /// Bytes from or to a host wait for a time.
    Clog(Clog),
    /// A host reads slowly for a time.
    SlowReader(SlowReader),
    /// A bit of the next bytes from or to a host is changed.
    Corrupt(Corrupt),
    /// The wall clock of a host jumps by so many seconds.
    ClockJump(ClockJump),
    /// Somebody without a key connects to a Main, sends bytes, and leaves.
    Stranger(Inject),
    /// A host sends bytes on its connection that its node did not write.
    Inject(Inject),
    /// Nothing gets from one Main to another for a time.
    Sever(Sever),
    /// The connection between two Mains breaks, and both are told.
    PeerReset(Pair),
    /// From now on bytes between two Mains vanish, and neither is told.
    PeerHalfOpen(Pair),
    /// A host says something on a topic.
    Publish(PublishStep),
    /// A host subscribes again to what it had given up.
    Subscribe(HostStep),
    /// A host gives up the first of its subscriptions.
    Unsubscribe(HostStep),
    /// A Main asks everyone to use others, works on for a time, ends in good order, and is started
    /// again soon.
    Leave(Lasting),
}

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallStep {
    /// The host that calls.
    pub from: u16,
    /// What it calls.
    pub service: Service,
    /// The Home that must answer; any may when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u16>,
    /// How long it waits.
    pub deadline: Span,
    /// How long the handler takes.
    pub handler: Span,
    /// Bytes of the call's body.
    pub body: u32,
    /// Bytes of the answer.
    pub answer: u32,
    /// When the caller gives up, after the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_after: Option<Span>,
    /// Running it twice does no harm.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idempotent: bool,
    /// The answer tells the way it took.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trace: bool,
    /// Chunks that the handler sends before its answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub chunks: u16,
}

impl CallStep {
    /// What most calls have in common.
    #[must_use]
    pub const fn usual() -> Self {
        Self {
            from: 0,
            service: Service::Nowhere,
            node: None,
            deadline: Span::seconds(1),
            handler: Span::seconds(0),
            body: 0,
            answer: 0,
            cancel_after: None,
            idempotent: false,
            trace: false,
            chunks: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(number: &u16) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Two Mains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// One of them.
    pub host: u16,
    /// The other one.
    pub peer: u16,
}

/// Nothing gets from one Main to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sever {
    /// The one whose bytes wait.
    pub host: u16,
    /// The one they are for.
    pub peer: u16,
    /// In the other direction as well.
    pub both: bool,
    /// For how long.
    pub lasts: Span,
}

/// A service by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Service {
    /// Offered by every Home.
    Shared(u16),
    /// Offered by this Home only.
    Own(u16),
    /// Offered by nobody.
    Nowhere,
}

/// Something that befalls a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostStep {
    /// The host.
    pub host: u16,
}

/// One publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishStep {
    /// The host.
    pub host: u16,
    /// The topic, by its number.
    pub topic: u8,
    /// Bytes of the body beyond the mark by which it is known.
    pub body: u32,
}

/// Something that befalls a host for a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lasting {
    /// The host.
    pub host: u16,
    /// For how long.
    pub lasts: Span,
}

/// Bytes that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Clog {
    /// The host.
    pub host: u16,
    /// What it sends waits.
    pub sending: bool,
    /// What it is sent waits.
    pub receiving: bool,
    /// For how long.
    pub lasts: Span,
}

/// A host that does not keep up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SlowReader {
    /// The host.
    pub host: u16,
    /// Bytes it reads in a second.
    pub bytes_per_second: u32,
    /// For how long.
    pub lasts: Span,
}

/// One changed bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Corrupt {
    /// The host.
    pub host: u16,
    /// Whether bytes it sends are hit, or bytes it is sent.
    pub sending: bool,
    /// Which bit of the next piece, modulo its length.
    pub bit: u32,
}

/// A wall clock that jumps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockJump {
    /// The host.
    pub host: u16,
    /// By how many seconds it is wrong from now on.
    pub seconds: i32,
}

/// Bytes that no honest node wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inject {
    /// The host that sends them, or the Main they are sent to.
    pub host: u16,
    /// The bytes, in hexadecimal in a file.
    #[serde(with = "hex")]
    pub bytes: Vec<u8>,
}

impl Service {
    /// Whether this is its name.
    pub(crate) fn is_named(self, name: &str) -> bool {
        Self::parse(name) == Some(self)
    }

    fn parse(name: &str) -> Option<Self> {
        let number = |prefix| name.strip_prefix(prefix)?.parse::<u16>().ok();
        match name {
            "nowhere" => Some(Self::Nowhere),
            _ => number("shared-").map(Self::Shared).or_else(|| number("service-").map(Self::Own)),
        }
    }
}

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let wrong = || format!("'{name}' is no service; they are shared-N, service-N and nowhere");
        Self::parse(&name).ok_or_else(wrong)
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        service.to_string()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(number) => write!(f, "shared-{number}"),
            Self::Own(home) => write!(f, "service-{home}"),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Write;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(input)?;
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(D::Error::custom("bytes are written as pairs of hexadecimal digits"));
        }
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).unwrap_or_default();
            u8::from_str_radix(text, 16).unwrap_or_default()
        };
        Ok(digits.chunks(2).map(pair).collect())
    }
}
