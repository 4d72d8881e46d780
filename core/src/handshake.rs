//! How two nodes meet: Request → Challenge → Proof → Response.
//!
//! A pure function of its inputs. The dialler signs a transcript of both hellos, so a version or a
//! capability that was stripped on the way is detected; the acceptor signs the whole exchange with
//! its answer. Both signatures are domain-separated by role, so neither can be reflected or used
//! elsewhere. The acceptor does one verification per link, after every cheap check.

use crate::config::{Config, Role};
use crate::error::ErrorCode;
use crate::message::{cut, take};
use crate::name::{NodeId, is_derived_form, is_node_id, key_mark, node_id_of_key};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod accept;
mod dial;

pub use accept::{Acceptor, Grant};
pub use dial::Dialler;

/// Protocol versions this crate speaks, lowest and highest.
pub const VERSIONS: (u8, u8) = (1, 1);
/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest cluster name in bytes.
pub const CLUSTER_BYTES_MAX: usize = 64;

/// The key and the name of a node.
pub struct Identity {
    signing: SigningKey,
    node: NodeId,
    mark: [u8; 8],
}

impl Identity {
    /// An identity whose id is `node`, or derived from the key when there is none.
    ///
    /// # Errors
    /// [`HandshakeError::NodeKeyMismatch`] when `node` has the form of a derived id but is not the
    /// one of this key.
    pub fn new(secret_key: &[u8; 32], node: Option<NodeId>) -> Result<Self, HandshakeError> {
        let signing = SigningKey::from_bytes(secret_key);
        let derived = node_id_of_key(signing.verifying_key().as_bytes());
        let node = node.unwrap_or_else(|| derived.clone());
        if is_derived_form(node.as_str()) && node != derived {
            return Err(HandshakeError::NodeKeyMismatch);
        }
        let mark = key_mark(signing.verifying_key().as_bytes());
        Ok(Self { signing, node, mark })
    }

    /// The id of the node.
    #[must_use]
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// First bytes of the hash of the public key.
    #[must_use]
    pub const fn mark(&self) -> [u8; 8] {
        self.mark
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node)
    }
}

/// What a node can do, told in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    /// One bit for each optional ability, [`CAN_QUERY`] and so on; unknown bits are signed, then
    /// ignored.
    pub features: u64,
    /// Calls in flight it accepts on the link.
    pub streams_max: u32,
    /// Largest frame it accepts, in bytes after the length field.
    pub frame_bytes_max: u32,
    /// One bit for each compression that frames to it may have: 1 LZ4, 2 Zstd.
    pub compressions: u8,
}

/// Executes queries (the documents' `query execution`): answers requests.
pub const CAN_QUERY: u64 = 1 << 0;
/// Takes part in replication; such messages travel as extension frames.
pub const CAN_REPLICATE: u64 = 1 << 1;
/// Takes part in consensus; such messages travel as extension frames.
pub const CAN_CONSENSUS: u64 = 1 << 2;
/// Transfers data; such messages travel as extension frames.
pub const CAN_TRANSFER: u64 = 1 << 3;

impl Capabilities {
    /// What `config` allows a peer of `role`.
    #[must_use]
    pub const fn new(config: &Config, peer: Role) -> Self {
        let limits = &config.limits;
        let (frame_bytes_max, streams_max) = match peer {
            Role::Caller => (limits.caller_frame_bytes_max, limits.calls_per_caller_max),
            Role::Main | Role::Home => (limits.frame_bytes_max, limits.calls_per_link_max),
        };
        let features = match config.role {
            Role::Caller => 0,
            Role::Main | Role::Home => CAN_QUERY,
        };
        Self { features, streams_max, frame_bytes_max, compressions: config.compressions }
    }
}

/// The other end of an authenticated link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its id.
    pub node: NodeId,
    /// Its public key.
    pub key: [u8; 32],
    /// First bytes of the hash of its key, by which Mains tell each other whose a name is.
    pub mark: [u8; 8],
    /// What it is.
    pub role: Role,
    /// The version both speak.
    pub version: u8,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Names the link in logs of both sides.
    pub session: [u8; 16],
    /// Rises with every link that the acceptor grants to a node.
    pub epoch: u64,
}

/// Why a handshake failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The bytes are not a handshake message.
    Malformed,
    /// A handshake message out of its turn.
    OutOfTurn,
    /// No version in common.
    Version {
        /// What the other side speaks, lowest and highest.
        theirs: (u8, u8),
    },
    /// Another federation.
    Cluster {
        /// The other side's.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The clocks differ by too much for the time stamp to protect against replay.
    ClockSkew {
        /// By how much.
        seconds: u64,
    },
    /// The node id breaks the naming rules.
    NodeInvalid,
    /// The node id has the form of a key's hash but is not the hash of this key.
    NodeKeyMismatch,
    /// Not a key: not a point, not canonical, or of small order.
    KeyInvalid,
    /// The other side shows our own key.
    OwnKey,
    /// The signature does not fit.
    SignatureInvalid,
    /// The token is missing or wrong.
    Token,
    /// Only a Main accepts links, and no Main dials a Home.
    Role {
        /// The other side's role.
        theirs: Role,
    },
    /// A bound of the other side is too small to be of use.
    Capabilities,
    /// Too many nodes link at once; this one is to come again.
    Later {
        /// In so many milliseconds.
        wait_ms: u32,
    },
    /// The node is about to leave and takes no new links.
    Draining,
    /// The other side refused.
    Rejected {
        /// Its reason as a code.
        code: ErrorCode,
        /// Its reason for a person.
        message: String,
    },
}

impl HandshakeError {
    /// The code the other side is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed => ErrorCode::BadRequest,
            Self::OutOfTurn | Self::Role { .. } => ErrorCode::BadState,
            Self::Version { .. } => ErrorCode::Version,
            Self::Capabilities => ErrorCode::Capabilities,
            Self::NodeInvalid => ErrorCode::NameInvalid,
            Self::Later { .. } => ErrorCode::RateLimited,
            Self::Draining => ErrorCode::Draining,
            Self::Cluster { .. } => ErrorCode::Forbidden,
            Self::ClockSkew { .. }
            | Self::NodeKeyMismatch
            | Self::KeyInvalid
            | Self::OwnKey
            | Self::SignatureInvalid
            | Self::Token => ErrorCode::Unauthenticated,
            Self::Rejected { code, .. } => *code,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a handshake message"),
            Self::OutOfTurn => f.write_str("a handshake message out of its turn"),
            Self::Version { theirs: (min, max) } => {
                let (ours_min, ours_max) = VERSIONS;
                write!(
                    f,
                    "versions {min} to {max} are not spoken here, {ours_min} to {ours_max} are"
                )
            }
            Self::Cluster { theirs, ours } => write!(f, "cluster '{theirs}' is not '{ours}'"),
            Self::ClockSkew { seconds } => write!(f, "clock skew {seconds} s"),
            Self::NodeInvalid => crate::NameInvalid::Node.fmt(f),
            Self::NodeKeyMismatch => {
                f.write_str("the node id has the form of a key's hash but is not this key's")
            }
            Self::KeyInvalid => f.write_str("not an acceptable Ed25519 key"),
            Self::OwnKey => f.write_str("the other side shows our own key"),
            Self::SignatureInvalid => f.write_str("the signature does not fit"),
            Self::Token => f.write_str("the token is missing or wrong"),
            Self::Role { theirs } => write!(f, "a {} has no place at this end", theirs.name()),
            Self::Later { wait_ms } => {
                write!(f, "too many nodes link at once; come again in {wait_ms} ms")
            }
            Self::Draining => f.write_str("this node is about to leave"),
            Self::Capabilities => f.write_str("frames or streams are limited to too little"),
            Self::Rejected { code, message } => write!(f, "refused ({code}): {message}"),
        }
    }
}

impl core::error::Error for HandshakeError {}

/// The four messages on the wire.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Message<'a> {
    #[serde(borrow)]
    Request(Request<'a>),
    Challenge(Challenge<'a>),
    Proof(WireSignature),
    Response(Response<'a>),
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) versions: (u8, u8),
    pub(crate) role: Role,
    pub(crate) node: &'a str,
    pub(crate) key: [u8; 32],
    pub(crate) cluster: &'a str,
    pub(crate) capabilities: Capabilities,
    pub(crate) nonce: [u8; 32],
    pub(crate) unix_seconds: u64,
    pub(crate) token: Option<&'a str>,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
pub(crate) struct Challenge<'a> {
    pub(crate) version: u8,
    pub(crate) role: Role,
    pub(crate) node: &'a str,
    pub(crate) key: [u8; 32],
    pub(crate) cluster: &'a str,
    pub(crate) capabilities: Capabilities,
    pub(crate) nonce: [u8; 32],
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
pub(crate) struct WireSignature {
    r: [u8; 32],
    s: [u8; 32],
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
pub(crate) enum Response<'a> {
    Accepted { session: [u8; 16], epoch: u64, signature: WireSignature },
    Rejected { code: u16, message: &'a str },
    Later { wait_ms: u32 },
}

/// Writes the refusal that the acceptor sends before it closes.
pub(crate) fn rejection(error: &HandshakeError) -> Vec<u8> {
    use alloc::string::ToString;
    if let HandshakeError::Later { wait_ms } = error {
        return encode(&Message::Response(Response::Later { wait_ms: *wait_ms }));
    }
    let text = error.to_string();
    let message = cut(&text, REJECTION_BYTES_MAX);
    encode(&Message::Response(Response::Rejected { code: error.code() as u16, message }))
}

fn decode(payload: &[u8]) -> Result<Message<'_>, HandshakeError> {
    match take(payload) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(HandshakeError::Malformed),
    }
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    // Serialising into a growing vector fails for no message of this module.
    postcard::to_allocvec(message).unwrap_or_default()
}

/// Hashes the messages exactly as they went over the wire.
#[derive(Clone, Default)]
struct Transcript(Sha256);

impl Transcript {
    fn add(&mut self, message: &[u8]) {
        self.0.update((message.len() as u64).to_be_bytes());
        self.0.update(message);
    }

    /// What is signed: the domain, then the hash of everything so far.
    fn signed(&self, domain: &str) -> Vec<u8> {
        let mut text = Vec::from(domain.as_bytes());
        text.push(0);
        text.extend_from_slice(&self.0.clone().finalize());
        text
    }
}

fn sign(identity: &Identity, text: &[u8]) -> WireSignature {
    let signature = identity.signing.sign(text);
    WireSignature { r: *signature.r_bytes(), s: *signature.s_bytes() }
}

fn verify(key: &VerifyingKey, text: &[u8], wire: WireSignature) -> Result<(), HandshakeError> {
    let signature = Signature::from_components(wire.r, wire.s);
    key.verify_strict(text, &signature).map_err(|_| HandshakeError::SignatureInvalid)
}

/// Accepts only canonical encodings of points that are not of small order.
fn checked_key(bytes: &[u8; 32]) -> Result<VerifyingKey, HandshakeError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| HandshakeError::KeyInvalid)?;
    if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
        return Err(HandshakeError::KeyInvalid);
    }
    Ok(key)
}

fn checked_node(node: &str, key: &[u8; 32]) -> Result<NodeId, HandshakeError> {
    let id = NodeId::new(node).map_err(|_| HandshakeError::NodeInvalid)?;
    if is_derived_form(node) && id != node_id_of_key(key) {
        return Err(HandshakeError::NodeKeyMismatch);
    }
    Ok(id)
}

fn checked_cluster(theirs: &str, ours: &str) -> Result<(), HandshakeError> {
    if theirs.len() > CLUSTER_BYTES_MAX || !is_node_id(theirs) {
        return Err(HandshakeError::Malformed);
    }
    if theirs != ours {
        return Err(HandshakeError::Cluster { theirs: theirs.into(), ours: ours.into() });
    }
    Ok(())
}

const fn checked_capabilities(theirs: &Capabilities) -> Result<(), HandshakeError> {
    if theirs.frame_bytes_max < FRAME_BYTES_LEAST || theirs.streams_max == 0 {
        return Err(HandshakeError::Capabilities);
    }
    Ok(())
}

/// Domain of the dialler's signature.
const PROOF_DOMAIN: &str = "relay/1 handshake proof";
/// Domain of the acceptor's signature.
const ACCEPT_DOMAIN: &str = "relay/1 handshake accept";
/// Control messages and errors must always fit.
const FRAME_BYTES_LEAST: u32 = 4 << 10;
const REJECTION_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
