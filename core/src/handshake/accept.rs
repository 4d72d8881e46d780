//! The accepting end: answers a request with a challenge, a proof with a grant.

use super::{
    ACCEPT_DOMAIN, Capabilities, Challenge, HandshakeError, Identity, Message, PROOF_DOMAIN, Peer,
    Request, Response, TOKEN_BYTES_MAX, Transcript, VERSIONS, checked_capabilities,
    checked_cluster, checked_key, checked_node, decode, encode, sign, verify,
};
use crate::config::Config;
use crate::name::key_mark;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

/// State of the accepting end.
pub struct Acceptor {
    nonce: [u8; 32],
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "it is boxed as a whole, and lives for two messages")]
enum State {
    Request,
    Proof { transcript: Transcript, key: VerifyingKey, peer: Peer },
    Done,
}

/// What the acceptor gives to a link it accepts.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Names the link in logs of both sides.
    pub session: [u8; 16],
    /// Must rise with every link.
    pub epoch: u64,
}

impl Acceptor {
    /// Waits for a request; `nonce` must be fresh random bytes.
    #[must_use]
    pub const fn new(nonce: [u8; 32]) -> Self {
        Self { nonce, state: State::Request }
    }

    pub(crate) const fn awaits_request(&self) -> bool {
        matches!(self.state, State::Request)
    }

    /// Checks the request and returns the challenge to send. No signature is verified yet.
    ///
    /// # Errors
    /// [`HandshakeError`]: send a rejection and close.
    pub fn handle_request(
        &mut self,
        payload: &[u8],
        config: &Config,
        identity: &Identity,
        unix_seconds: u64,
    ) -> Result<Vec<u8>, HandshakeError> {
        if !matches!(self.state, State::Request) {
            return Err(HandshakeError::OutOfTurn);
        }
        let Message::Request(request) = decode(payload)? else {
            return Err(HandshakeError::OutOfTurn);
        };
        let version = checked_version(request.versions)?;
        let (key, mut peer) = check_request(&request, config, identity, unix_seconds)?;
        peer.version = version;
        let challenge = encode(&Message::Challenge(Challenge {
            version,
            role: config.role,
            node: identity.node().as_str(),
            key: identity.key(),
            cluster: &config.cluster,
            capabilities: Capabilities::new(config, request.role),
            nonce: self.nonce,
        }));
        let mut transcript = Transcript::default();
        transcript.add(payload);
        transcript.add(&challenge);
        self.state = State::Proof { transcript, key, peer };
        Ok(challenge)
    }

    /// Verifies the proof and returns the authenticated peer with the acceptance to send.
    ///
    /// # Errors
    /// [`HandshakeError`]: send a rejection and close.
    pub fn handle_proof(
        &mut self,
        payload: &[u8],
        identity: &Identity,
        grant: Grant,
    ) -> Result<(Peer, Vec<u8>), HandshakeError> {
        let State::Proof { mut transcript, key, mut peer } =
            core::mem::replace(&mut self.state, State::Done)
        else {
            return Err(HandshakeError::OutOfTurn);
        };
        let Message::Proof(signature) = decode(payload)? else {
            return Err(HandshakeError::OutOfTurn);
        };
        verify(&key, &transcript.signed(PROOF_DOMAIN), signature)?;
        transcript.add(payload);
        peer.session = grant.session;
        peer.epoch = grant.epoch;
        let signature = accept_signature(&transcript, &grant, |text| sign(identity, text));
        let Grant { session, epoch } = grant;
        let accepted = Response::Accepted { session, epoch, signature };
        Ok((peer, encode(&Message::Response(accepted))))
    }
}

/// Hashes the grant into the transcript and hands the text to be signed to `with`.
pub(super) fn accept_signature<T>(
    transcript: &Transcript,
    grant: &Grant,
    with: impl FnOnce(&[u8]) -> T,
) -> T {
    let mut transcript = transcript.clone();
    transcript.add(&grant.session);
    transcript.add(&grant.epoch.to_be_bytes());
    with(&transcript.signed(ACCEPT_DOMAIN))
}

fn check_request(
    request: &Request<'_>,
    config: &Config,
    identity: &Identity,
    unix_seconds: u64,
) -> Result<(VerifyingKey, Peer), HandshakeError> {
    if !config.is_main() {
        return Err(HandshakeError::Role { theirs: request.role });
    }
    checked_cluster(request.cluster, &config.cluster)?;
    checked_capabilities(&request.capabilities)?;
    let seconds = request.unix_seconds.abs_diff(unix_seconds);
    if seconds > config.limits.clock_skew_max.as_secs() {
        return Err(HandshakeError::ClockSkew { seconds });
    }
    check_token(request.token, config.token.as_deref())?;
    if request.key == identity.key() {
        return Err(HandshakeError::OwnKey);
    }
    let key = checked_key(&request.key)?;
    let peer = Peer {
        node: checked_node(request.node, &request.key)?,
        key: request.key,
        mark: key_mark(&request.key),
        role: request.role,
        version: 0,
        capabilities: request.capabilities,
        session: [0; 16],
        epoch: 0,
    };
    Ok((key, peer))
}

fn checked_version((min, max): (u8, u8)) -> Result<u8, HandshakeError> {
    let (ours_min, ours_max) = VERSIONS;
    let version = max.min(ours_max);
    if min > max || version < min || version < ours_min {
        return Err(HandshakeError::Version { theirs: (min, max) });
    }
    Ok(version)
}

/// Compares digests of fixed length, so that the time taken tells nothing about the token.
fn check_token(shown: Option<&str>, asked: Option<&str>) -> Result<(), HandshakeError> {
    let Some(asked) = asked else { return Ok(()) };
    let shown = shown.ok_or(HandshakeError::Token)?;
    if shown.len() > TOKEN_BYTES_MAX {
        return Err(HandshakeError::Token);
    }
    let (shown, asked) = (Sha256::digest(shown.as_bytes()), Sha256::digest(asked.as_bytes()));
    let difference = shown.iter().zip(asked).fold(0, |all, (a, b)| all | (a ^ b));
    if core::hint::black_box(difference) == 0 { Ok(()) } else { Err(HandshakeError::Token) }
}

impl core::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.state {
            State::Request => "Acceptor(awaits the request)",
            State::Proof { .. } => "Acceptor(awaits the proof)",
            State::Done => "Acceptor(done)",
        })
    }
}
