//! The handshake, wrong at each step: versions, capabilities, turns, and a man in the middle.

use crate::attacker::{frame, label};
use crate::messages::{Hello, Request, proof, register, result};
use crate::wire::Kind;
use crate::world::World;
use relay_core::frame::Kind as FrameKind;
use relay_core::handshake::{Dialler, Identity};
use relay_core::{Config, NodeId};
use relay_tokio::{CloseReason, ErrorCode, Role};

rows! {
    h03_version_ranges,
    h04_a_downgrade_on_the_way,
    h05_too_many_capabilities,
    h06_a_handshake_message_twice,
    h07_frames_before_authentication,
    h08_a_recorded_handshake,
    h09_a_mirror,
    h18_two_links_of_one_node,
}

async fn h03_version_ranges(kind: Kind) {
    let mut world = World::start(kind).await;
    let unknown = [(0, 0), (2, 2), (2, 200), (255, 255), (1, 0), (2, 1), (255, 0), (255, 1)];
    for versions in unknown {
        let (signing, hello) = world.stranger(Role::Home);
        let rejection = world.refused(&Hello { versions, ..hello }, &signing).await;
        assert_eq!(rejection.code, ErrorCode::Version as u64, "{versions:?}: {rejection:?}");
        assert!(rejection.message.contains("1 to 1"), "{versions:?}: {rejection:?}");
    }
    for versions in [(1, 1), (0, 1), (1, 255), (0, 255)] {
        let mut link = world.connect().await;
        let (signing, hello) = world.stranger(Role::Home);
        link.shake(&Hello { versions, ..hello }, &signing).await.expect("version 1 is in it");
        link.is_alive().await;
    }
    world.still_serves().await;
}

/// Somebody on the way changes what an honest node asks, or what it is answered, bit by bit. Either
/// the change is refused for itself, or the proof does not fit it.
async fn h04_a_downgrade_on_the_way(kind: Kind) {
    let world = World::start(kind).await;
    let config = Config::new(Role::Home);
    let identity =
        Identity::new(&[0x44; 32], Some(NodeId::new("victim").expect("legal"))).expect("a key");
    let key = ed25519_dalek::SigningKey::from_bytes(&[0x44; 32]);
    let now = Hello::honest(&key, Role::Home, "victim").unix_seconds;
    let (_, request) = Dialler::new(&config, &identity, [0x5a; 32], now);
    assert_eq!(request, same_by_hand(&key, now), "the dialler says what the format says");
    let mut reached_the_proof = 0;
    for bit in 0..request.len() * 8 {
        // Each bit of the numbers, and of the long random fields one bit of each byte.
        if (16..request.len() - 48).contains(&(bit / 8)) && bit % 8 != bit / 8 % 8 {
            continue;
        }
        let mut changed = request.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (mut dialler, _) = Dialler::new(&config, &identity, [0x5a; 32], now);
        let mut link = world.connect().await;
        let Ok(challenge) = link.ask(&changed).await else { continue };
        let proof = dialler.handle_challenge(&challenge, &config, &identity).expect("honest");
        let rejection = link.prove(&proof).await.expect_err("a changed request was accepted");
        assert_eq!(rejection.code, ErrorCode::Unauthenticated as u64, "bit {bit}");
        assert_eq!(rejection.message, "the signature does not fit", "bit {bit}");
        reached_the_proof += 1;
    }
    assert!(reached_the_proof >= 60, "only {reached_the_proof} changes got to the proof");
    // The same the other way: the dialler sees another challenge than was sent.
    let mut refused = 0;
    for byte in 0..150 {
        let mut link = world.connect().await;
        let (mut dialler, _) = Dialler::new(&config, &identity, [0x5a; 32], now);
        let mut challenge = link.ask(&request).await.expect("an honest request");
        let Some(place) = challenge.get_mut(byte) else { break };
        *place ^= 1;
        let Ok(proof) = dialler.handle_challenge(&challenge, &config, &identity) else { continue };
        let rejection = link.prove(&proof).await.expect_err("a changed challenge was accepted");
        assert_eq!(rejection.message, "the signature does not fit", "byte {byte}");
        refused += 1;
    }
    assert!(refused >= 32, "only {refused} changes got to the proof");
    // Unchanged, it is accepted.
    let mut link = world.connect().await;
    let (mut dialler, _) = Dialler::new(&config, &identity, [0x5a; 32], now);
    let challenge = link.ask(&request).await.expect("an honest request");
    let proof = dialler.handle_challenge(&challenge, &config, &identity).expect("honest");
    link.prove(&proof).await.expect("an honest proof");
    drop(link);
    world.still_serves().await;
}

fn same_by_hand(key: &ed25519_dalek::SigningKey, unix_seconds: u64) -> Vec<u8> {
    let honest = Hello::honest(key, Role::Home, "victim");
    let features = vec![1];
    Hello { features, streams_max: 16_384, compressions: 3, unix_seconds, ..honest }.encode()
}

async fn h05_too_many_capabilities(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    // 64 bits take at most ten bytes, of which the last is one.
    let all = [&[0xff; 9][..], &[0x01]].concat();
    let too_high = [&[0xff; 9][..], &[0x02]].concat();
    let too_long = [&[0xff; 10][..], &[0x01]].concat();
    for features in [too_high, too_long, vec![0xff; 1_000], vec![0xff; 12_500]] {
        let length = features.len();
        let rejection = world.refused(&Hello { features, ..hello.clone() }, &signing).await;
        assert_eq!(rejection.code, ErrorCode::BadRequest as u64, "{length}: {rejection:?}");
    }
    // A list of 100 000 does not even fit a frame of the handshake.
    let mut link = world.connect().await;
    let features = vec![0x81; 100_000];
    let request = Hello { features, ..hello.clone() }.encode();
    link.send(&frame(FrameKind::Handshake, 0, &request)[..64]).await;
    world.must_close(link, ErrorCode::TooLarge, "a list of 100 000").await;
    let mut link = world.connect().await;
    let known_and_unknown = Hello { features: all, ..hello };
    link.shake(&known_and_unknown, &signing).await.expect("unknown bits are ignored");
    link.is_alive().await;
    drop(link);
    world.still_serves().await;
}

async fn h06_a_handshake_message_twice(kind: Kind) {
    let mut world = World::start(kind).await;
    // The request twice.
    let mut link = world.connect().await;
    let (signing, hello) = world.stranger(Role::Home);
    let request = hello.encode();
    link.ask(&request).await.expect("a challenge");
    let rejection = link.ask(&request).await.expect_err("the second");
    assert_eq!(rejection.code, ErrorCode::BadState as u64);
    world.must_close(link, ErrorCode::BadState, "the request twice").await;
    // The proof first.
    let mut link = world.connect().await;
    let rejection = link.prove(&proof(&signing, &request, b"")).await.expect_err("too early");
    assert_eq!(rejection.code, ErrorCode::BadState as u64);
    world.must_close(link, ErrorCode::BadState, "the proof first").await;
    // The Main's own messages, in each of the two turns.
    for own in [vec![1; 200], vec![3, 0]] {
        let mut link = world.connect().await;
        let rejection = link.ask(&own).await.expect_err("not from a dialler");
        assert!([101, 113].contains(&rejection.code), "{rejection:?}");
        drop(link);
        world.down().await;
    }
    // Anything of the handshake once it is done.
    for message in [request, proof(&signing, b"", b""), vec![], vec![9]] {
        let (signing, hello) = world.stranger(Role::Caller);
        let mut link = world.connect().await;
        let request = hello.encode();
        let challenge = link.ask(&request).await.expect("a challenge");
        link.prove(&proof(&signing, &request, &challenge)).await.expect("accepted");
        link.send_frame(FrameKind::Handshake, 0, &message).await;
        world.must_close(link, ErrorCode::BadState, "after the handshake").await;
    }
    world.still_serves().await;
}

async fn h07_frames_before_authentication(kind: Kind) {
    let mut world = World::start(kind).await;
    let call = Request::to("echo", "echo", b"1").encode();
    let all = FrameKind::ALL.into_iter().filter(|kind| *kind != FrameKind::Handshake);
    for frame_kind in all {
        let payload = match frame_kind {
            FrameKind::Request => call.clone(),
            FrameKind::Control => register(b"echo", b""),
            _ => b"x".to_vec(),
        };
        for asked in [false, true] {
            let mut link = world.connect().await;
            let (signing, hello) = world.stranger(Role::Home);
            let mut bytes = frame(frame_kind, label(0, 1), &payload);
            if asked {
                let request = hello.encode();
                let challenge = link.ask(&request).await.expect("a challenge");
                // A proof right behind it must not make it good.
                let proof = proof(&signing, &request, &challenge);
                bytes.extend(frame(FrameKind::Handshake, 0, &proof));
            }
            link.send(&bytes).await;
            let rejection = link.rejection().await;
            assert_eq!(rejection.code, ErrorCode::BadState as u64, "{frame_kind:?}");
            world.must_close(link, ErrorCode::BadState, &format!("{frame_kind:?}")).await;
        }
    }
    assert_eq!((world.ran(), world.main.stats().calls_forwarded), (0, 0));
    // A link that ends without a word is no fault.
    drop(world.connect().await);
    assert_eq!(world.down().await.reason, CloseReason::PeerClosed);
    world.still_serves().await;
}

/// Everything a node once said, said again by somebody who has no key.
async fn h08_a_recorded_handshake(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    let request = hello.encode();
    let mut link = world.connect().await;
    let challenge = link.ask(&request).await.expect("a challenge");
    let recorded = proof(&signing, &request, &challenge);
    link.prove(&recorded).await.expect("accepted");
    for _ in 0..20 {
        let mut replay = world.connect().await;
        let other = replay.ask(&request).await.expect("a challenge");
        assert_ne!(other, challenge, "the same nonce twice");
        let rejection = replay.prove(&recorded).await.expect_err("a replay was accepted");
        assert_eq!(rejection.message, "the signature does not fit");
        world.must_close(replay, ErrorCode::Unauthenticated, "a replay").await;
    }
    link.is_alive().await;
    drop(link);
    world.still_serves().await;
}

/// The Main's own words back to it: its key as a peer's, and its challenge as a request.
async fn h09_a_mirror(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    let mut link = world.connect().await;
    let challenge = link.ask(&hello.encode()).await.expect("a challenge");
    // Variant, version, role, then the id and the key.
    let key_at = 4 + usize::from(challenge[3]);
    let key = challenge[key_at..key_at + 32].to_vec();
    let rejection = world_refuses(&mut world, Hello { key, ..hello }, &signing).await;
    assert_eq!(rejection, "the other side shows our own key");
    let mut link_back = world.connect().await;
    let rejection = link_back.ask(&challenge).await.expect_err("no request");
    assert_eq!(rejection.code, ErrorCode::BadState as u64);
    world.must_close(link_back, ErrorCode::BadState, "a challenge for a request").await;
    drop(link);
    world.still_serves().await;
}

async fn world_refuses(
    world: &mut World,
    hello: Hello,
    signing: &ed25519_dalek::SigningKey,
) -> String {
    let rejection = world.refused(&hello, signing).await;
    assert_eq!(rejection.code, ErrorCode::Unauthenticated as u64);
    rejection.message
}

/// The newest link is the node; the one before is told so.
async fn h18_two_links_of_one_node(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    let mut older = world.connect().await;
    older.shake(&hello, &signing).await.expect("accepted");
    older.send_frame(FrameKind::Control, 0, &register(b"moves", b"")).await;
    older.expect(FrameKind::Control).await;
    let mut newer = world.connect().await;
    newer.shake(&hello, &signing).await.expect("accepted");
    assert_eq!(older.goodbye().await, Some(u64::from(CloseReason::Superseded.to_wire())));
    assert_eq!(world.down().await.reason, CloseReason::Superseded);
    newer.send_frame(FrameKind::Control, 0, &register(b"moves", b"")).await;
    newer.expect(FrameKind::Control).await;
    let caller = world.caller.node().clone();
    let call = relay_tokio::CallRequest::new("moves", "ask", "1");
    let asked = tokio::spawn(async move { caller.call(call).await });
    let id = newer.expect(FrameKind::Request).await.id();
    newer.send_frame(FrameKind::Response, id, &result(b"2")).await;
    let answer = asked.await.expect("no panic");
    assert_eq!(answer, Ok(relay_tokio::Answer::Result("2".into())));
    drop((older, newer));
    world.still_serves().await;
}
