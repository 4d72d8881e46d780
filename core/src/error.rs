//! The one vocabulary of failure: on the wire, in JSON-RPC, in HTTP, in logs and in the docs.

use alloc::string::String;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal, $json:literal,
        $http:literal, $executed:ident, $retry:ident;)+) => {
        /// Why a call or a link failed. The number is its code on the wire.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[doc = $doc])+ $name = $code,)+ }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code of this number on the wire, if there is one.
            #[must_use]
            pub const fn from_wire(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }

            /// The name used in JSON, logs, metrics and docs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The `code` member of a JSON-RPC 2.0 error object.
            #[must_use]
            pub const fn json_rpc(self) -> i32 {
                match self { $(Self::$name => $json,)+ }
            }

            /// The HTTP status that fits when the whole HTTP request failed this way.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)+ }
            }

            /// Whether the call ran, as far as the code alone tells.
            #[must_use]
            pub const fn executed(self) -> Executed {
                match self { $(Self::$name => Executed::$executed,)+ }
            }

            /// Whether trying again helps, as far as the code alone tells.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)+ }
            }

            /// What the code means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

error_codes! {
    /// The text is not valid JSON.
    Parse = 100, "PARSE", -32700, 400, No, Never;
    /// The message is well formed but not a valid request.
    BadRequest = 101, "BAD_REQUEST", -32600, 400, No, Never;
    /// The service is there but has no such method.
    NoSuchMethod = 102, "NO_SUCH_METHOD", -32601, 404, No, Never;
    /// The parameters do not fit the method.
    BadParams = 103, "BAD_PARAMS", -32602, 400, No, Never;
    /// A message is larger than the limit agreed for the link.
    TooLarge = 110, "TOO_LARGE", -32008, 413, No, Never;
    /// The checksum does not fit the frame.
    BadChecksum = 111, "BAD_CHECKSUM", -32600, 400, Unknown, Unsafe;
    /// The link ended or stalled inside a frame.
    Truncated = 112, "TRUNCATED", -32600, 400, No, Safe;
    /// A frame that is not allowed in this state or from this role.
    BadState = 113, "BAD_STATE", -32600, 400, No, Never;
    /// A frame header with flags that were not negotiated.
    BadFlags = 114, "BAD_FLAGS", -32600, 400, No, Never;
    /// The message id is still in use by an earlier call on the same link.
    IdReused = 115, "ID_REUSED", -32600, 400, No, Never;
    /// No message id is left on this link; reconnect.
    IdExhausted = 116, "ID_EXHAUSTED", -32005, 503, No, Safe;
    /// No protocol version is spoken by both sides.
    Version = 120, "VERSION", -32600, 426, No, Never;
    /// A capability that the other side requires is missing.
    Capabilities = 121, "CAPABILITIES", -32600, 426, No, Never;
    /// Who is calling could not be established.
    Unauthenticated = 200, "UNAUTHENTICATED", -32001, 401, No, Never;
    /// The caller is known but may not do this.
    Forbidden = 201, "FORBIDDEN", -32002, 403, No, Never;
    /// The name belongs to another key.
    NameConflict = 210, "NAME_CONFLICT", -32016, 409, No, Never;
    /// The name breaks the naming rules.
    NameInvalid = 211, "NAME_INVALID", -32602, 400, No, Never;
    /// No node offers this service.
    NoSuchService = 300, "NO_SUCH_SERVICE", -32003, 404, No, Safe;
    /// The service is known but cannot be reached now.
    Unavailable = 301, "UNAVAILABLE", -32004, 503, No, Safe;
    /// The message crossed as many relays as it may.
    HopLimit = 310, "HOP_LIMIT", -32009, 508, No, Never;
    /// The message came back to a relay it had already crossed.
    Loop = 311, "LOOP", -32010, 508, No, Never;
    /// A bound of this relay is reached; it protects the calls it has already accepted.
    Overloaded = 400, "OVERLOADED", -32005, 503, No, Safe;
    /// The caller sends more than it may.
    RateLimited = 401, "RATE_LIMITED", -32011, 429, No, Safe;
    /// The instance failed often and is given time to recover.
    CircuitOpen = 402, "CIRCUIT_OPEN", -32012, 503, No, Safe;
    /// The peer does not read what it is sent.
    SlowConsumer = 403, "SLOW_CONSUMER", -32007, 503, Unknown, Unsafe;
    /// The deadline passed before an answer came.
    Deadline = 500, "DEADLINE", -32006, 504, Unknown, Unsafe;
    /// The link to the next node broke while the call waited there.
    LinkLost = 501, "LINK_LOST", -32007, 502, Unknown, Unsafe;
    /// The caller cancelled the call.
    Cancelled = 502, "CANCELLED", -32013, 499, Unknown, Unsafe;
    /// The node is shutting down and takes no new calls.
    Draining = 503, "DRAINING", -32014, 503, No, Safe;
    /// The service answered with something that is not an answer.
    BadResponse = 510, "BAD_RESPONSE", -32017, 502, Unknown, Unsafe;
    /// A defect of the relay or of the service behind it.
    Internal = 599, "INTERNAL", -32603, 500, Unknown, Unsafe;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the handler of a call ran. `No` is a promise: it never ran and never will.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Executed {
    /// Provably never handed to a handler.
    No = 0,
    /// The handler ran.
    Yes = 1,
    /// It may have run.
    Unknown = 2,
}

impl Executed {
    /// The word used in JSON, logs and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether trying the call again can help, and whether it is safe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Retry {
    /// The call did not run: trying again cannot run it twice.
    Safe,
    /// The call may have run: try again only if running it twice does no harm.
    Unsafe,
    /// Safe, but not before this many milliseconds.
    AfterMs(u32),
    /// The same call will fail the same way.
    Never,
}

impl Retry {
    /// The word used in JSON, logs and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unsafe => "unsafe",
            Self::AfterMs(_) => "after_ms",
            Self::Never => "never",
        }
    }

    /// How long to wait before the next attempt, where the answer names a time.
    #[must_use]
    pub const fn wait(self) -> Option<Duration> {
        match self {
            Self::AfterMs(millis) => Some(Duration::from_millis(millis as u64)),
            Self::Safe | Self::Unsafe | Self::Never => None,
        }
    }
}

/// Why a call failed, as the caller is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallError {
    /// What went wrong.
    pub code: ErrorCode,
    /// Whether the handler ran.
    pub executed: Executed,
    /// Whether to try again.
    pub retry: Retry,
    /// The node that decided.
    pub node: String,
    /// One sentence for a person; empty where [`ErrorCode::meaning`] says it all.
    pub message: String,
    /// The limit that was hit, where the code is about a limit.
    pub limit: Option<u64>,
}

impl CallError {
    /// An error whose outcome follows from `code` alone.
    #[must_use]
    pub fn new(code: ErrorCode, node: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            executed: code.executed(),
            retry: code.retry(),
            node: node.into(),
            message: message.into(),
            limit: None,
        }
    }

    /// The same error with another outcome, for a place that knows more than the code tells.
    #[must_use]
    pub const fn with_executed(mut self, executed: Executed) -> Self {
        self.executed = executed;
        self.retry = match (executed, self.retry) {
            (Executed::Yes | Executed::Unknown, Retry::Safe | Retry::AfterMs(_)) => Retry::Unsafe,
            (Executed::No, Retry::Unsafe) => Retry::Safe,
            (_, retry) => retry,
        };
        self
    }

    /// The same error, naming the limit that was hit.
    #[must_use]
    pub const fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.message.is_empty() { self.code.meaning() } else { &self.message };
        write!(f, "{}: {text} (executed: {}, retry: ", self.code, self.executed.name())?;
        match self.retry {
            Retry::AfterMs(millis) => write!(f, "after {millis} ms")?,
            Retry::Safe | Retry::Unsafe | Retry::Never => f.write_str(self.retry.name())?,
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit: {limit}")?;
        }
        write!(f, ", node: {})", self.node)
    }
}

impl core::error::Error for CallError {}
