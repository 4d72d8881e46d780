//! The dialling end: asks, proves who it is, and checks who answered.

use super::accept::accept_signature;
use super::{
    Capabilities, Challenge, Grant, HandshakeError, Identity, Message, PROOF_DOMAIN, Peer, Request,
    Response, Transcript, VERSIONS, checked_capabilities, checked_cluster, checked_key,
    checked_node, decode, encode, sign, verify,
};
use crate::config::{Config, Role};
use crate::error::ErrorCode;
use crate::name::key_mark;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;

/// State of the dialling end.
pub struct Dialler {
    transcript: Transcript,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "it is boxed as a whole, and lives for two messages")]
enum State {
    Challenge,
    Response { key: VerifyingKey, peer: Peer },
    Done,
}

impl Dialler {
    /// Starts a handshake; `nonce` must be fresh random bytes. Returns the request to send.
    #[must_use]
    pub fn new(
        config: &Config,
        identity: &Identity,
        nonce: [u8; 32],
        unix_seconds: u64,
    ) -> (Self, Vec<u8>) {
        let request = encode(&Message::Request(Request {
            versions: VERSIONS,
            role: config.role,
            node: identity.node().as_str(),
            key: identity.key(),
            cluster: &config.cluster,
            capabilities: Capabilities::new(config, Role::Main),
            nonce,
            unix_seconds,
            token: config.token.as_deref(),
        }));
        let mut transcript = Transcript::default();
        transcript.add(&request);
        (Self { transcript, state: State::Challenge }, request)
    }

    /// Checks the challenge and returns the proof to send.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the link.
    pub fn handle_challenge(
        &mut self,
        payload: &[u8],
        config: &Config,
        identity: &Identity,
    ) -> Result<Vec<u8>, HandshakeError> {
        if !matches!(self.state, State::Challenge) {
            return Err(HandshakeError::OutOfTurn);
        }
        let challenge = match decode(payload)? {
            Message::Challenge(challenge) => challenge,
            Message::Response(Response::Rejected { code, message }) => {
                return Err(rejected(code, message));
            }
            Message::Response(Response::Later { wait_ms }) => {
                return Err(HandshakeError::Later { wait_ms });
            }
            Message::Request(_) | Message::Proof(_) | Message::Response(_) => {
                return Err(HandshakeError::OutOfTurn);
            }
        };
        let (key, peer) = check_challenge(&challenge, config, identity)?;
        self.transcript.add(payload);
        let signature = sign(identity, &self.transcript.signed(PROOF_DOMAIN));
        let proof = encode(&Message::Proof(signature));
        self.transcript.add(&proof);
        self.state = State::Response { key, peer };
        Ok(proof)
    }

    /// Checks the acceptance and returns who accepted.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the link.
    pub fn handle_response(&mut self, payload: &[u8]) -> Result<Peer, HandshakeError> {
        let State::Response { key, mut peer } = core::mem::replace(&mut self.state, State::Done)
        else {
            return Err(HandshakeError::OutOfTurn);
        };
        match decode(payload)? {
            Message::Response(Response::Accepted { session, epoch, signature }) => {
                let grant = Grant { session, epoch };
                accept_signature(&self.transcript, &grant, |text| verify(&key, text, signature))?;
                peer.session = session;
                peer.epoch = epoch;
                Ok(peer)
            }
            Message::Response(Response::Rejected { code, message }) => Err(rejected(code, message)),
            Message::Response(Response::Later { wait_ms }) => {
                Err(HandshakeError::Later { wait_ms })
            }
            Message::Request(_) | Message::Challenge(_) | Message::Proof(_) => {
                Err(HandshakeError::OutOfTurn)
            }
        }
    }

    /// Whether the challenge has been answered.
    pub(crate) const fn awaits_response(&self) -> bool {
        matches!(self.state, State::Response { .. })
    }
}

fn check_challenge(
    challenge: &Challenge<'_>,
    config: &Config,
    identity: &Identity,
) -> Result<(VerifyingKey, Peer), HandshakeError> {
    let (min, max) = VERSIONS;
    if !(min..=max).contains(&challenge.version) {
        return Err(HandshakeError::Version { theirs: (challenge.version, challenge.version) });
    }
    if challenge.role != Role::Main {
        return Err(HandshakeError::Role { theirs: challenge.role });
    }
    checked_cluster(challenge.cluster, &config.cluster)?;
    checked_capabilities(&challenge.capabilities)?;
    if challenge.key == identity.key() {
        return Err(HandshakeError::OwnKey);
    }
    let key = checked_key(&challenge.key)?;
    let peer = Peer {
        node: checked_node(challenge.node, &challenge.key)?,
        key: challenge.key,
        mark: key_mark(&challenge.key),
        role: challenge.role,
        version: challenge.version,
        capabilities: challenge.capabilities,
        session: [0; 16],
        epoch: 0,
    };
    Ok((key, peer))
}

fn rejected(code: u16, message: &str) -> HandshakeError {
    let code = ErrorCode::from_wire(code).unwrap_or(ErrorCode::Internal);
    HandshakeError::Rejected { code, message: crate::message::for_people(message) }
}

impl core::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.state {
            State::Challenge => "Dialler(awaits the challenge)",
            State::Response { .. } => "Dialler(awaits the response)",
            State::Done => "Dialler(done)",
        })
    }
}
