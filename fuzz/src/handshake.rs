//! The messages of the handshake, in any order, whole, changed or made up. Whoever is accepted at
//! the end took part in the one honest exchange.

use std::sync::OnceLock;

use relay_core::handshake::{Acceptor, Dialler, Grant};
use relay_core::{Config, Identity, NodeId, Peer, Role};

use crate::input::Input;

/// A list of messages, each for one of the four steps.
pub fn handshake(data: &[u8]) {
    let (honest, mut input) = (Honest::get(), Input::new(data));
    let mut both = Both::new(honest);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            return;
        }
        let choice = input.byte();
        let step = usize::from(choice) % 4;
        let message = match choice / 4 % 3 {
            0 => both.sent[step].clone(),
            1 => changed(&both.sent[step], &mut input),
            _ => {
                let count = usize::from(input.short());
                input.bytes(count).to_vec()
            }
        };
        both.give(step, &message);
    }
}

/// The messages of the honest exchange, for the first inputs.
#[cfg(test)]
pub(crate) fn honest_messages() -> &'static [Vec<u8>; 4] {
    &Honest::get().messages
}

/// The one exchange that both ends may accept. All inputs share keys and nonces with it.
struct Honest {
    home: (Config, Identity),
    main: (Config, Identity),
    messages: [Vec<u8>; 4],
    home_as_peer: Peer,
    main_as_peer: Peer,
}

impl Honest {
    fn get() -> &'static Self {
        static HONEST: OnceLock<Honest> = OnceLock::new();
        HONEST.get_or_init(Self::exchange)
    }

    fn exchange() -> Self {
        let (home, main) = (party(Role::Home, 2, "alice"), party(Role::Main, 1, "main"));
        let (mut dialler, request) = Dialler::new(&home.0, &home.1, DIAL_NONCE, UNIX_SECONDS);
        let mut acceptor = Acceptor::new(ACCEPT_NONCE);
        let challenge = acceptor
            .handle_request(&request, &main.0, &main.1, UNIX_SECONDS)
            .expect("the request is honest");
        let proof = dialler
            .handle_challenge(&challenge, &home.0, &home.1)
            .expect("the challenge is honest");
        let (home_as_peer, response) =
            acceptor.handle_proof(&proof, &main.1, GRANT).expect("the proof is honest");
        let main_as_peer = dialler.handle_response(&response).expect("the response is honest");
        let messages = [request, challenge, proof, response];
        Self { home, main, messages, home_as_peer, main_as_peer }
    }
}

/// Both ends of one link, and what each has sent so far.
struct Both {
    honest: &'static Honest,
    dialler: Dialler,
    acceptor: Acceptor,
    /// The newest message of each step; the honest one before there is any.
    sent: [Vec<u8>; 4],
    /// What the acceptor took for the request, the dialler for the challenge.
    taken: [Option<Vec<u8>>; 2],
    accepted: [bool; 2],
}

impl Both {
    fn new(honest: &'static Honest) -> Self {
        let (config, identity) = &honest.home;
        let (dialler, request) = Dialler::new(config, identity, DIAL_NONCE, UNIX_SECONDS);
        assert_eq!(request, honest.messages[0], "the same inputs give the same bytes");
        let acceptor = Acceptor::new(ACCEPT_NONCE);
        let sent = honest.messages.clone();
        Self { honest, dialler, acceptor, sent, taken: [None, None], accepted: [false; 2] }
    }

    /// Gives a message to the end that waits for it in an honest exchange.
    fn give(&mut self, step: usize, message: &[u8]) {
        match step {
            0 => {
                let (config, identity) = &self.honest.main;
                let acceptor = &mut self.acceptor;
                let reply = acceptor.handle_request(message, config, identity, UNIX_SECONDS);
                if let Ok(challenge) = reply {
                    assert!(self.taken[0].is_none(), "a second request was taken");
                    self.taken[0] = Some(message.to_vec());
                    self.sent[1] = challenge;
                }
            }
            1 => {
                let (config, identity) = &self.honest.home;
                if let Ok(proof) = self.dialler.handle_challenge(message, config, identity) {
                    assert!(self.taken[1].is_none(), "a second challenge was taken");
                    self.taken[1] = Some(message.to_vec());
                    self.sent[2] = proof;
                }
            }
            2 => {
                let reply = self.acceptor.handle_proof(message, &self.honest.main.1, GRANT);
                if let Ok((peer, response)) = reply {
                    self.check_proof(message, &peer);
                    self.sent[3] = response;
                }
            }
            _ => {
                if let Ok(peer) = self.dialler.handle_response(message) {
                    self.check_response(message, &peer);
                }
            }
        }
    }

    /// The acceptor let somebody in.
    fn check_proof(&mut self, proof: &[u8], peer: &Peer) {
        assert!(!std::mem::replace(&mut self.accepted[0], true), "accepted twice");
        let [request, challenge, honest_proof, _] = &self.honest.messages;
        assert_eq!(self.taken[0].as_ref(), Some(request), "a changed request was let in");
        assert_eq!(&self.sent[1], challenge);
        assert_eq!(signature(proof), signature(honest_proof), "a changed signature was let in");
        assert_eq!(peer, &self.honest.home_as_peer);
    }

    /// The dialler believes whom it reached.
    fn check_response(&mut self, response: &[u8], peer: &Peer) {
        assert!(!std::mem::replace(&mut self.accepted[1], true), "accepted twice");
        let [_, challenge, _, honest_response] = &self.honest.messages;
        assert_eq!(self.taken[1].as_ref(), Some(challenge), "a changed challenge was believed");
        let (found, honest) = (signature(response), signature(honest_response));
        assert_eq!(found, honest, "a changed signature was believed");
        assert_eq!(peer, &self.honest.main_as_peer);
    }
}

/// A message with some bytes changed, cut or appended.
fn changed(message: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..=input.below(4) {
        let at = usize::from(input.short()) % (message.len() + 1);
        match input.byte() {
            0 => message.truncate(at),
            1 => message.insert(at, input.byte()),
            mask => {
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= mask;
                }
            }
        }
    }
    message
}

/// The signature is at the end of a proof and of an acceptance.
fn signature(message: &[u8]) -> &[u8] {
    &message[message.len().saturating_sub(64)..]
}

fn party(role: Role, key: u8, node: &str) -> (Config, Identity) {
    let mut config = Config::new(role);
    config.token = Some("token".to_owned());
    let node = NodeId::new(node).expect("a legal name");
    (config, Identity::new(&[key; 32], Some(node)).expect("not the form of a derived id"))
}

const STEPS_MAX: usize = 8;
const UNIX_SECONDS: u64 = 1_700_000_000;
const DIAL_NONCE: [u8; 32] = [0xd1; 32];
const ACCEPT_NONCE: [u8; 32] = [0xac; 32];
const GRANT: Grant = Grant { session: [0x5e; 16], epoch: 7 };
