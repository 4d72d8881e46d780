//! What a trace is made of, and its form as bytes.

use crate::plan::Bounds;
use crate::span::Span;
use relay_core::{Compression, Limits, Role};
use serde::{Deserialize, Serialize};

/// The life of one node, from its start until it or its world ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The seed of its world.
    pub seed: u64,
    /// Who it is.
    pub profile: Profile,
    /// What came to it, in order.
    pub steps: Vec<Step>,
    /// When its life or its world ended, in nanoseconds since it started.
    pub lasts: u64,
    /// A digest of every output of the core in its order, as the world saw it: a trace that lacks
    /// an input does not reproduce it.
    pub outputs: u64,
}

/// All that a node is made from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// What it is.
    pub role: Role,
    /// Its id.
    pub name: String,
    /// Its secret key.
    pub key: [u8; 32],
    /// The seed of its generator.
    pub random: [u8; 32],
    /// Its bounds, those that differ from the defaults.
    pub bounds: Bounds,
    /// The longest deadline that it accepts.
    pub deadline_max: Span,
    /// Links that a message may cross.
    pub hops_max: u8,
    /// The number of what it compresses with; zero for nothing.
    pub compression: u8,
    /// A bit for each compression that it takes.
    pub compressions: u8,
    /// Shortest body that it compresses.
    pub deflate_bytes_min: u32,
    /// The Mains that it dials from the start, to keep a link to one of them.
    pub upstreams: Vec<String>,
}

/// One input and what was around it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// When, in nanoseconds since the node started.
    pub at: u64,
    /// Connections that from this step on take no more than so many bytes, until there is
    /// [`Input::Room`]: of what this very step gives them to write, this much.
    pub stalls: Vec<(u32, u32)>,
    /// What came.
    pub input: Input,
}

/// What comes to a node from outside. Connections, calls made here and requests served here are
/// numbered from zero in their order: connections by their [`Input::Accepted`] and
/// [`Input::Connected`], also those for which the node had no room.
///
/// Timers are no inputs: what is due by the time of an input is due before it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The application wants a link to this Main.
    Dial {
        /// Its address.
        address: String,
    },
    /// The application offers a service.
    Register {
        /// Its name.
        service: String,
    },
    /// The application takes a service back.
    Withdraw {
        /// Its name.
        service: String,
    },
    /// Somebody connected.
    Accepted {
        /// Seconds since 1970, as the wall clock has it.
        unix: u64,
    },
    /// A connection that the node asked for is there.
    Connected {
        /// The address that was dialled.
        address: String,
        /// Seconds since 1970, as the wall clock has it.
        unix: u64,
    },
    /// A connection that the node asked for could not be made.
    DialFailed {
        /// The address that was dialled.
        address: String,
    },
    /// Bytes came over a connection.
    Received {
        /// Which connection.
        link: u32,
        /// The bytes, cut anywhere.
        bytes: Vec<u8>,
    },
    /// A connection that was full takes bytes again.
    Room {
        /// Which connection.
        link: u32,
        /// How many.
        bytes: u32,
        /// It takes all that come from now on.
        is_open: bool,
    },
    /// A connection ended.
    Closed {
        /// Which connection.
        link: u32,
        /// It broke; otherwise the other end closed it.
        is_broken: bool,
    },
    /// The application calls.
    Call {
        /// The node that must answer, or nothing.
        node: Option<String>,
        /// The service.
        service: String,
        /// The parameters.
        body: Vec<u8>,
        /// How long it waits.
        deadline: Span,
        /// Whether the call may run twice.
        idempotent: bool,
        /// Whether it asks for the way it took.
        trace: bool,
        /// Whether it takes a stream.
        stream: bool,
    },
    /// The application looks whether the next chunk of a stream has come.
    Read {
        /// Which call.
        call: u32,
    },
    /// The application gives up a call.
    Cancel {
        /// Which call.
        call: u32,
    },
    /// A handler tries to send a chunk.
    Send {
        /// Of which request.
        request: u32,
        /// The chunk.
        body: Vec<u8>,
        /// It is the last one.
        is_last: bool,
    },
    /// A handler has its result.
    Reply {
        /// Of which request.
        request: u32,
        /// The result.
        body: Vec<u8>,
    },
    /// A Main asks everyone to leave.
    Leave,
    /// The node takes no more calls and closes all links.
    End,
}

impl Trace {
    /// Writes traces as bytes.
    ///
    /// # Errors
    /// Those of the encoder; there is no reason for any.
    pub fn encode(traces: &[Self]) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(traces)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Where the bytes are not traces of this version.
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

impl Profile {
    /// The bounds of the node.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = self.bounds.limits();
        limits.deadline_max = self.deadline_max.0;
        limits.hops_max = self.hops_max;
        limits.deflate_bytes_min = self.deflate_bytes_min;
        limits
    }

    /// What the node compresses with.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| *compression as u8 == self.compression)
    }
}
