//! The handshake as a pure function: honest runs, every refusal, and nothing that works twice.

use super::*;
use crate::config::{Config, Role};
use alloc::string::ToString;
use alloc::vec;

const NOW: u64 = 1_800_000_000;
const GRANT: Grant = Grant { session: [0xab; 16], epoch: 7 };

/// Both ends of one handshake.
struct Pair {
    home: Config,
    main: Config,
    dialler: Dialler,
    acceptor: Acceptor,
    request: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        Self::of(Config::new(Role::Home), Config::new(Role::Main))
    }

    fn of(home: Config, main: Config) -> Self {
        let (dialler, request) = Dialler::new(&home, &identity(2), [0x22; 32], NOW);
        Self { home, main, dialler, acceptor: Acceptor::new([0x11; 32]), request }
    }

    fn challenge(&mut self) -> Result<Vec<u8>, HandshakeError> {
        self.acceptor.handle_request(&self.request, &self.main, &identity(1), NOW)
    }

    fn proof(&mut self, challenge: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        self.dialler.handle_challenge(challenge, &self.home, &identity(2))
    }

    /// The whole exchange, with what each end knows of the other afterwards.
    fn run(mut self) -> Result<(Peer, Peer), HandshakeError> {
        let challenge = self.challenge()?;
        let proof = self.proof(&challenge)?;
        let (home, response) = self.acceptor.handle_proof(&proof, &identity(1), GRANT)?;
        Ok((home, self.dialler.handle_response(&response)?))
    }
}

fn identity(secret: u8) -> Identity {
    Identity::new(&[secret; 32], None).expect("any 32 bytes are a key")
}

fn with_token(role: Role, token: Option<&str>) -> Config {
    Config { token: token.map(String::from), ..Config::new(role) }
}

/// Changes the request as only a node that lies about itself would.
fn refusal<'a>(change: impl FnOnce(&mut Request<'a>)) -> HandshakeError {
    let mut pair = Pair::new();
    // Leaked, so that a change may put in a text of any life.
    let payload: &'a [u8] = pair.request.clone().leak();
    let Ok(Message::Request(mut request)) = decode(payload) else { panic!("not a request") };
    change(&mut request);
    pair.request = encode(&Message::Request(request));
    pair.challenge().expect_err("must be refused")
}

#[test]
fn honest_nodes_know_each_other_afterwards() {
    let (home, main) = Pair::new().run().expect("both are honest");
    let (home_id, main_id) = (identity(2), identity(1));
    assert_eq!((&home.node, home.key, home.role), (home_id.node(), home_id.key(), Role::Home));
    assert_eq!((&main.node, main.key, main.role), (main_id.node(), main_id.key(), Role::Main));
    for peer in [&home, &main] {
        assert_eq!((peer.version, peer.session, peer.epoch), (1, GRANT.session, GRANT.epoch));
    }
    assert_eq!(main.capabilities, Capabilities::new(&Config::new(Role::Main), Role::Home));
    assert_eq!(home.capabilities, Capabilities::new(&Config::new(Role::Home), Role::Main));
}

#[test]
fn a_caller_is_granted_smaller_frames_than_a_home() {
    for (role, limit) in [(Role::Home, 16 << 20), (Role::Caller, 1 << 20)] {
        let pair = Pair::of(Config::new(role), Config::new(Role::Main));
        let (_, main) = pair.run().expect("both are honest");
        assert_eq!(main.capabilities.frame_bytes_max, limit);
    }
}

#[test]
fn another_cluster_is_refused_by_name() {
    let other = |role| Config { cluster: String::from("a"), ..Config::new(role) };
    let error = Pair::of(other(Role::Home), Config::new(Role::Main)).run().expect_err("refused");
    assert_eq!(error.to_string(), "cluster 'a' is not 'default'");
    assert_eq!(error.code(), ErrorCode::Forbidden);
    assert!(Pair::of(other(Role::Home), other(Role::Main)).run().is_ok());
    for cluster in ["", "A", "a b", "\n", &"a".repeat(65)] {
        let error = refusal(|request| request.cluster = cluster);
        assert_eq!(error, HandshakeError::Malformed, "{cluster:?}");
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_in_both_directions() {
    for skew in [0, 1, 299, 300] {
        for theirs in [NOW - skew, NOW + skew] {
            let (_, request) =
                Dialler::new(&Config::new(Role::Home), &identity(2), [0; 32], theirs);
            let pair = Pair { request, ..Pair::new() };
            let Pair { mut acceptor, main, request, .. } = pair;
            assert!(acceptor.handle_request(&request, &main, &identity(1), NOW).is_ok(), "{skew}");
        }
    }
    for theirs in [NOW - 412, NOW + 412] {
        let error = refusal(|request| request.unix_seconds = theirs);
        assert_eq!(error.to_string(), "clock skew 412 s");
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
    }
    for theirs in [0, NOW - 301, NOW + 301, u64::MAX] {
        let seconds = theirs.abs_diff(NOW);
        let error = refusal(|request| request.unix_seconds = theirs);
        assert_eq!(error, HandshakeError::ClockSkew { seconds });
    }
}

#[test]
fn the_token_is_asked_for_where_there_is_one() {
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    let tokens = [None, Some(""), Some("right"), Some("wrong"), Some("righ"), Some("right ")];
    for shown in tokens.into_iter().chain([Some(&*long)]) {
        let run = |asked| {
            let pair = Pair::of(with_token(Role::Home, shown), with_token(Role::Main, asked));
            pair.run().map(|_| ())
        };
        let right = if shown == Some("right") { Ok(()) } else { Err(HandshakeError::Token) };
        assert_eq!(run(Some("right")), right, "{shown:?}");
        assert_eq!(run(None), Ok(()), "nobody asked for {shown:?}");
    }
    let same = Pair::of(with_token(Role::Home, Some(&long)), with_token(Role::Main, Some(&long)));
    assert_eq!(same.run().map(|_| ()), Err(HandshakeError::Token), "over 8 KiB");
    assert_eq!(HandshakeError::Token.code(), ErrorCode::Unauthenticated);
    assert!(!HandshakeError::Token.to_string().contains("right"), "a refusal tells no secret");
}

#[test]
fn h03_version_ranges() {
    for versions in [(0, 0), (2, 2), (2, 9), (255, 255), (1, 0), (2, 1), (255, 0)] {
        let error = refusal(|request| request.versions = versions);
        assert_eq!(error, HandshakeError::Version { theirs: versions });
        let (min, max) = versions;
        let text = alloc::format!("versions {min} to {max} are not spoken here, 1 to 1 are");
        assert_eq!((error.to_string(), error.code()), (text, ErrorCode::Version));
    }
    for versions in [(1, 1), (0, 1), (1, 2), (0, 255)] {
        let mut pair = Pair::new();
        let payload = pair.request.clone();
        let Ok(Message::Request(request)) = decode(&payload) else { panic!("not a request") };
        pair.request = encode(&Message::Request(Request { versions, ..request }));
        assert!(pair.challenge().is_ok(), "{versions:?} holds version 1");
    }
    // A Main that picks what was not offered.
    let mut pair = Pair::new();
    let challenge = pair.challenge().expect("an honest request");
    let Ok(Message::Challenge(challenge)) = decode(&challenge) else { panic!("no challenge") };
    for version in [0, 2, 255] {
        let picked = encode(&Message::Challenge(Challenge { version, ..challenge }));
        let expected = Err(HandshakeError::Version { theirs: (version, version) });
        assert_eq!(pair.proof(&picked), expected);
    }
}

#[test]
fn only_mains_accept_and_only_mains_are_dialled() {
    for role in [Role::Home, Role::Caller] {
        let error =
            Pair::of(Config::new(Role::Home), Config::new(role)).run().expect_err("refused");
        assert_eq!(error, HandshakeError::Role { theirs: Role::Home });
        let mut pair = Pair::new();
        let challenge = pair.challenge().expect("an honest request");
        let Ok(Message::Challenge(challenge)) = decode(&challenge) else { panic!("no challenge") };
        let posing = encode(&Message::Challenge(Challenge { role, ..challenge }));
        assert_eq!(pair.proof(&posing), Err(HandshakeError::Role { theirs: role }));
    }
}

#[test]
fn bounds_too_small_to_be_of_use_are_refused() {
    for (frame_bytes_max, streams_max) in [(0, 1), (1_023, 1), (1_024, 0), (u32::MAX, 0)] {
        let error = refusal(|request| {
            request.capabilities.frame_bytes_max = frame_bytes_max;
            request.capabilities.streams_max = streams_max;
        });
        assert_eq!(error, HandshakeError::Capabilities);
    }
}

#[test]
fn h09_our_own_key_is_no_peer() {
    let own = identity(1).key();
    assert_eq!(refusal(|request| request.key = own), HandshakeError::OwnKey);
    let mut pair = Pair::new();
    let challenge = pair.challenge().expect("an honest request");
    let Ok(Message::Challenge(challenge)) = decode(&challenge) else { panic!("no challenge") };
    let mirrored = encode(&Message::Challenge(Challenge { key: identity(2).key(), ..challenge }));
    assert_eq!(pair.proof(&mirrored), Err(HandshakeError::OwnKey));
}

#[test]
fn h14_a_derived_id_belongs_to_its_key() {
    let other = identity(3);
    let error = refusal(|request| request.node = other.node().as_str());
    assert_eq!(error, HandshakeError::NodeKeyMismatch);
    for bad in ["", "A", "a b", "a\n", &"a".repeat(129)] {
        assert_eq!(refusal(|request| request.node = bad), HandshakeError::NodeInvalid);
    }
    let foreign = Identity::new(&[2; 32], Some(other.node().clone()));
    assert_eq!(foreign.err(), Some(HandshakeError::NodeKeyMismatch));
    assert!(Identity::new(&[3; 32], Some(other.node().clone())).is_ok());
}

#[test]
fn messages_out_of_turn_are_refused() {
    let mut pair = Pair::new();
    let challenge = pair.challenge().expect("an honest request");
    let proof = pair.proof(&challenge).expect("an honest challenge");
    let messages =
        [&pair.request, &challenge, &proof, &rejection(&HandshakeError::Token)].map(Vec::clone);
    let (main, key) = (Config::new(Role::Main), identity(1));
    for (at, message) in messages.iter().enumerate() {
        let first = Acceptor::new([5; 32]).handle_request(message, &main, &key, NOW);
        assert_eq!(first.is_ok(), at == 0, "message {at} first");
        assert!(at == 0 || first == Err(HandshakeError::OutOfTurn), "message {at} first");
        let early = Acceptor::new([5; 32]).handle_proof(message, &key, GRANT).map(|_| ());
        assert_eq!(early, Err(HandshakeError::OutOfTurn), "message {at} before the request");
        if at != 2 {
            let mut waiting = Pair::new();
            waiting.challenge().expect("an honest request");
            let second = waiting.acceptor.handle_proof(message, &key, GRANT).map(|_| ());
            assert_eq!(second, Err(HandshakeError::OutOfTurn), "message {at} for the proof");
        }
    }
    let again = pair.challenge();
    assert_eq!(again, Err(HandshakeError::OutOfTurn), "the request twice");
    assert_eq!(pair.proof(&challenge), Err(HandshakeError::OutOfTurn), "the challenge twice");
    for message in [&pair.request, &proof] {
        assert_eq!(Pair::new().proof(message), Err(HandshakeError::OutOfTurn));
    }
    let (_, response) = pair.acceptor.handle_proof(&proof, &key, GRANT).expect("honest");
    assert!(pair.dialler.handle_response(&response).is_ok());
    assert_eq!(pair.dialler.handle_response(&response), Err(HandshakeError::OutOfTurn));
    let twice = pair.acceptor.handle_proof(&proof, &key, GRANT).map(|_| ());
    assert_eq!(twice, Err(HandshakeError::OutOfTurn));
    assert_eq!(Pair::new().proof(&response), Err(HandshakeError::OutOfTurn), "no challenge yet");
}

#[test]
fn the_reason_of_a_refusal_reaches_the_dialler() {
    let cluster = HandshakeError::Cluster { theirs: "a".repeat(64), ours: "b".repeat(64) };
    let skew = HandshakeError::ClockSkew { seconds: 412 };
    for error in [HandshakeError::Token, skew, cluster, HandshakeError::KeyInvalid] {
        let told = HandshakeError::Rejected { code: error.code(), message: error.to_string() };
        // Where the challenge is awaited, and where the acceptance is.
        let mut pair = Pair::new();
        assert_eq!(pair.proof(&rejection(&error)), Err(told.clone()));
        let mut pair = Pair::new();
        let challenge = pair.challenge().expect("an honest request");
        pair.proof(&challenge).expect("an honest challenge");
        assert_eq!(pair.dialler.handle_response(&rejection(&error)), Err(told.clone()));
        assert!(told.to_string().contains(&error.to_string()));
        assert_eq!(told.code(), error.code());
    }
    let long = HandshakeError::Rejected { code: ErrorCode::Forbidden, message: "ä".repeat(999) };
    assert!(rejection(&long).len() < 300, "a refusal is short");
}

#[test]
fn h08_a_recorded_proof_fails_on_a_new_connection() {
    let mut first = Pair::new();
    let challenge = first.challenge().expect("an honest request");
    let proof = first.proof(&challenge).expect("an honest challenge");
    let (_, response) = first.acceptor.handle_proof(&proof, &identity(1), GRANT).expect("honest");
    // The recorded request is asked again; the Main's nonce is another one.
    let mut second = Pair { acceptor: Acceptor::new([0x12; 32]), ..Pair::new() };
    let challenge = second.challenge().expect("the same request is legal");
    let replayed = second.acceptor.handle_proof(&proof, &identity(1), GRANT).map(|_| ());
    assert_eq!(replayed, Err(HandshakeError::SignatureInvalid));
    // Nor does the recorded acceptance open another link.
    second.proof(&challenge).expect("an honest challenge");
    assert_eq!(second.dialler.handle_response(&response), Err(HandshakeError::SignatureInvalid));
}

/// A false Main that dials the true one to pass it the challenge it wants signed, and a signature
/// that serves at another place than the one it was made for.
#[test]
fn h09_h10_a_reflected_signature_fits_nowhere() {
    let mut pair = Pair::new();
    let challenge = pair.challenge().expect("an honest request");
    let proof = pair.proof(&challenge).expect("an honest challenge");
    let Ok(Message::Proof(signature)) = decode(&proof) else { panic!("not a proof") };
    let Grant { session, epoch } = GRANT;
    let reflected = Response::Accepted { session, epoch, signature };
    let reflected = encode(&Message::Response(reflected));
    let answer = pair.dialler.handle_response(&reflected);
    assert_eq!(answer, Err(HandshakeError::SignatureInvalid));
    // The victim's proof for a false Main (key 4) does not convince the true one (key 1).
    let mut victim = Pair::new();
    let mut false_main = Acceptor::new([0x11; 32]);
    let own = false_main.handle_request(&victim.request, &victim.main, &identity(4), NOW);
    let for_false_main = victim.proof(&own.expect("an honest request")).expect("it is believed");
    victim.challenge().expect("the true Main is asked the same");
    let used = victim.acceptor.handle_proof(&for_false_main, &identity(1), GRANT).map(|_| ());
    assert_eq!(used, Err(HandshakeError::SignatureInvalid));
}

/// Every bit of every message, changed on the way.
#[test]
fn h04_no_changed_message_is_accepted() {
    let honest = Pair::new();
    for bit in 0..honest.request.len() * 8 {
        let mut pair = Pair::new();
        let honest = pair.request.clone();
        flip(&mut pair.request, bit);
        assert!(pair.run().is_err(), "bit {bit} of {honest:02x?}");
    }
    let length = Pair::new().challenge().expect("an honest request").len();
    for bit in 0..length * 8 {
        let mut pair = Pair::new();
        let mut challenge = pair.challenge().expect("an honest request");
        flip(&mut challenge, bit);
        let Ok(proof) = pair.proof(&challenge) else { continue };
        let accepted = pair.acceptor.handle_proof(&proof, &identity(1), GRANT).map(|_| ());
        assert_eq!(accepted, Err(HandshakeError::SignatureInvalid), "bit {bit} of the challenge");
    }
    let mut pair = Pair::new();
    let challenge = pair.challenge().expect("an honest request");
    let proof = pair.proof(&challenge).expect("an honest challenge");
    let (_, response) = pair.acceptor.handle_proof(&proof, &identity(1), GRANT).expect("honest");
    for bit in 0..response.len() * 8 {
        let mut again = Pair::new();
        again.proof(&challenge).expect("an honest challenge");
        let mut response = response.clone();
        flip(&mut response, bit);
        assert!(again.dialler.handle_response(&response).is_err(), "bit {bit} of the response");
    }
}

#[test]
fn every_cut_or_longer_message_is_malformed() {
    let mut pair = Pair::new();
    let request = pair.request.clone();
    let challenge = pair.challenge().expect("an honest request");
    for end in 0..request.len() {
        let mut acceptor = Acceptor::new([0x11; 32]);
        let cut = acceptor.handle_request(&request[..end], &pair.main, &identity(1), NOW);
        assert_eq!(cut, Err(HandshakeError::Malformed), "{end} bytes");
    }
    for end in 0..challenge.len() {
        assert_eq!(pair.proof(&challenge[..end]), Err(HandshakeError::Malformed), "{end} bytes");
    }
    let longer = [&request[..], &[0]].concat();
    let answer = Acceptor::new([1; 32]).handle_request(&longer, &pair.main, &identity(1), NOW);
    assert_eq!(answer, Err(HandshakeError::Malformed));
    let longer = [&challenge[..], &[0]].concat();
    assert_eq!(pair.proof(&longer), Err(HandshakeError::Malformed));
    for noise in [vec![], vec![4], vec![0xff; 99], vec![3, 2], vec![0; 500]] {
        assert!(pair.proof(&noise).is_err());
    }
}

#[test]
fn h12_only_canonical_keys_of_large_order_are_keys() {
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut identity_point = [0; 32];
    identity_point[0] = 1;
    let mut bad = vec![[0; 32], [0xff; 32], minus_one, identity_point];
    // y and y + p are the same; only the smaller one is canonical.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            bad.push(key);
        }
    }
    for key in bad {
        assert_eq!(refusal(|request| request.key = key), HandshakeError::KeyInvalid, "{key:02x?}");
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let text = alloc::format!("{:?}", identity(2));
    assert_eq!(text, alloc::format!("Identity({})", identity(2).node()));
    let pair = Pair::of(with_token(Role::Home, Some("hush")), Config::new(Role::Main));
    let text = alloc::format!("{:?} {:?}", pair.dialler, pair.acceptor);
    assert_eq!(text, "Dialler(awaits the challenge) Acceptor(awaits the request)");
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}
