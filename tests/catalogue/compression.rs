//! Compressed bodies: nobody sends what was not offered, nobody inflates more than he wants to, and
//! who passes a body on does not look into it.

use crate::attacker::{Link, Said, frame_with_flags, label};
use crate::false_main::{caller_of_a_false_main, end_of_its_link};
use crate::messages::{Request, chunk, credit, result};
use crate::wire::Kind;
use crate::world::World;
use bytes::Bytes;
use relay_core::compress::{deflate, inflate};
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{
    Answer, CallError, CallRequest, CloseReason, Compression, ErrorCode, Executed, NodeConfig, Role,
};

rows! {
    f23_compression_without_the_capability,
    f24_bodies_that_grow_without_measure,
    f25_windows_of_the_senders_choice,
    f26_compression_before_authentication,
    f27_malformed_compressed_bodies,
    f28_nothing_is_compressed_unasked_or_together,
}

/// A frame whose body says that it is compressed so, whatever it is.
fn packed(kind: FrameKind, id: u64, payload: &[u8], number: u16) -> Vec<u8> {
    let ttl = if kind == FrameKind::Request { 9 } else { 0 };
    let flags = ttl << 12 | (kind as u16) << 8 | 1 << 7 | number << 4 | 1;
    frame_with_flags(flags, id, payload)
}

fn call(service: &str, body: &[u8]) -> Vec<u8> {
    Request { ttl: 9, ..Request::to(service, "echo", body) }.encode()
}

async fn f23_compression_without_the_capability(kind: Kind) {
    for (offered, refused) in [(0, 1..8), (1, 2..8), (3, 3..8)] {
        let takes = |config: &mut NodeConfig| config.compressions = Some(offered);
        let mut world = World::start_as(kind, takes).await;
        for number in refused {
            for role in [Role::Home, Role::Caller] {
                let mut link = world.open(role).await;
                link.send(&packed(FrameKind::Request, 1 << 32, &call("echo", b"[]"), number)).await;
                let what = format!("compression {number} of {offered:#b} from a {role:?}");
                world.must_close(link, ErrorCode::BadFlags, &what).await;
            }
        }
        // What has no body has none that is compressed.
        for other in [0, 1, 2, 3, 6, 8, 9, 10, 11] {
            let mut link = world.open(Role::Home).await;
            link.send(&frame_with_flags(other << 8 | 1 << 7 | 1 << 4 | 1, 0, b"")).await;
            world.must_close(link, ErrorCode::BadFlags, &format!("kind {other}")).await;
        }
        assert_eq!(world.ran(), 0, "a handler ran");
        world.still_serves().await;
    }
    // To be able to read them is no leave to send them: a node that dialled closes as well.
    let (node, mut link) = caller_of_a_false_main(kind).await;
    let mut events = node.events();
    link.send(&packed(FrameKind::Response, 1 << 32, &result(b"{}"), 3)).await;
    let (reason, _) = end_of_its_link(&mut events).await;
    assert_eq!(reason, CloseReason::Fault(ErrorCode::BadFlags));
}

/// A body that claims to be `length` bytes, and is `blocks` blocks of 32 KiB.
fn zstd_bomb(length: u32, blocks: usize) -> Vec<u8> {
    let mut body = length.to_le_bytes().to_vec();
    body.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 5 << 3]);
    for nth in 1..=blocks {
        let header = (32 << 10) << 3 | 1 << 1 | u32::from(nth == blocks);
        body.extend(&header.to_le_bytes()[..3]);
        body.push(b'x');
    }
    body
}

/// A body that claims to be `length` bytes, and is one byte that repeats itself.
fn lz4_bomb(length: u32, bytes: usize) -> Vec<u8> {
    let mut body = length.to_le_bytes().to_vec();
    body.extend([0x1f, b'x', 1, 0]);
    body.extend(vec![255; bytes / 255]);
    body.extend([0, 0x50]);
    body.extend(b"xxxxx");
    body
}

fn bombs() -> Vec<(u16, ErrorCode, Vec<u8>)> {
    let (large, bad) = (ErrorCode::TooLarge, ErrorCode::BadRequest);
    let mib = 1 << 20;
    vec![
        (1, large, lz4_bomb(1 << 30, 255 << 10)),
        (2, large, zstd_bomb(1 << 30, 256)),
        (2, large, zstd_bomb(u32::MAX, 256)),
        (1, large, lz4_bomb(20 * mib, 20 << 20)),
        (2, large, zstd_bomb(17 * mib, 17 * 32)),
        // These claim less than they are, or more.
        (1, bad, lz4_bomb(mib, 20 << 20)),
        (2, bad, zstd_bomb(mib, 17 * 32)),
        (1, bad, lz4_bomb(16 * mib, 100)),
        (2, bad, zstd_bomb(16 * mib, 1)),
    ]
}

async fn f24_bodies_that_grow_without_measure(kind: Kind) {
    let world = World::start(kind).await;
    let mut link = world.open(Role::Caller).await;
    for ((number, code, body), nth) in bombs().into_iter().zip(1..) {
        link.send(&packed(FrameKind::Request, label(0, nth), &call("echo", &body), number)).await;
        let (id, said) = link.answer().await;
        let Said::Failed(error) = said else { panic!("bomb {nth}: {said:?}") };
        // The Main has passed it on; whoever would have inflated it says no.
        let told = (id, error.code, error.executed, &error.node[..]);
        assert_eq!(told, (label(0, nth), code, Executed::No, "honest.home"), "bomb {nth}");
        let limit = (code == ErrorCode::TooLarge).then_some(16 << 20);
        assert_eq!(error.limit, limit, "bomb {nth}: {error}");
    }
    drop(link);
    assert_eq!(world.ran(), 0, "a handler ran");
    let mut home = world.open_home("bad").await;
    for (number, code, body) in bombs() {
        let error = answered(&world, &mut home, &result(&body), number).await;
        let bad = code == ErrorCode::BadRequest;
        let code = if bad { ErrorCode::BadResponse } else { code };
        assert_eq!((error.code, error.executed), (code, Executed::Yes), "{error}");
    }
    streams(&world, &mut home).await;
    drop(home);
    world.still_serves().await;
}

/// The honest caller calls, and the Home answers with this.
async fn answered(world: &World, home: &mut Link, payload: &[u8], number: u16) -> CallError {
    let call = world.caller.node().call(CallRequest::new("bad", "ask", "1"));
    let answer = async {
        let id = home.expect(FrameKind::Request).await.id();
        home.send(&packed(FrameKind::Response, id, payload, number)).await;
    };
    let (answer, ()) = tokio::join!(call, answer);
    answer.expect_err("not a result")
}

/// What was granted is counted in plain bytes, by every node on the way.
async fn streams(world: &World, home: &mut Link) {
    let mut caller = world.open_taking(Role::Caller, 3).await;
    let body = deflate(&[b'x'; 60_000], Compression::Zstd).expect("shrinks");
    for (granted, nth) in [(60_000 + 32, 1), (60_000 + 31, 2)] {
        let request = Request { options: 1 << 5, reads: 3, ..Request::to("bad", "ask", b"1") };
        caller.call(label(0, nth), &request).await;
        let id = home.expect(FrameKind::Request).await.id();
        caller.send_frame(FrameKind::Credit, label(0, nth), &credit(0, granted)).await;
        home.expect(FrameKind::Credit).await;
        home.send(&packed(FrameKind::Stream, id, &chunk(0, 0, false, &body), 2)).await;
        if nth == 1 {
            let came = caller.expect(FrameKind::Stream).await;
            assert_eq!(came.compression(), Some(Compression::Zstd), "passed on as it is");
            caller.send_frame(FrameKind::Cancel, label(0, nth), b"").await;
        } else {
            let (_, said) = caller.answer().await;
            let Said::Failed(error) = said else { panic!("{said:?}") };
            assert_eq!(error.code, ErrorCode::BadResponse, "{error}");
        }
        home.expect(FrameKind::Cancel).await;
    }
}

async fn f25_windows_of_the_senders_choice(kind: Kind) {
    let world = World::start(kind).await;
    let mut link = world.open(Role::Caller).await;
    // 32 KiB and a little, then the largest there is; and one that is as large as the content.
    for (window, nth) in [(5 << 3 | 1, 1), (6 << 3, 2), (0xff, 3)] {
        let mut body = zstd_bomb(64 << 10, 2);
        body[9] = window;
        link.send(&packed(FrameKind::Request, label(0, nth), &call("echo", &body), 2)).await;
        must_be_refused(&mut link, label(0, nth), "window").await;
    }
    let mut body = zstd_bomb(64 << 10, 2);
    body.splice(8..10, [0b1010_0000, 0, 0, 1, 0]);
    link.send(&packed(FrameKind::Request, label(0, 4), &call("echo", &body), 2)).await;
    must_be_refused(&mut link, label(0, 4), "window").await;
    // A dictionary of the sender's choice.
    let mut body = zstd_bomb(64 << 10, 2);
    body.splice(8..10, [1, 5 << 3, 7]);
    link.send(&packed(FrameKind::Request, label(0, 5), &call("echo", &body), 2)).await;
    must_be_refused(&mut link, label(0, 5), "malformed").await;
    drop(link);
    assert_eq!(world.ran(), 0, "a handler ran");
    world.still_serves().await;
}

async fn must_be_refused(link: &mut Link, label: u64, word: &str) {
    let (id, said) = link.answer().await;
    let Said::Failed(error) = said else { panic!("{said:?}") };
    assert_eq!((id, error.code, error.executed), (label, ErrorCode::BadRequest, Executed::No));
    assert!(error.message.contains(word), "{error}");
}

async fn f26_compression_before_authentication(kind: Kind) {
    let mut world = World::start(kind).await;
    for number in 1..8 {
        for other in 0..12 {
            let mut link = world.connect().await;
            link.send(&frame_with_flags(other << 8 | 1 << 7 | number << 4 | 1, 0, b"x")).await;
            let what = format!("kind {other}, compression {number}, first");
            world.must_close(link, ErrorCode::BadState, &what).await;
        }
    }
    world.still_serves().await;
}

async fn f27_malformed_compressed_bodies(kind: Kind) {
    let world = World::start(kind).await;
    let plain = format!("{:?}", (0..700).collect::<Vec<u32>>());
    let mut link = world.open_taking(Role::Caller, 3).await;
    let mut nth = 0;
    let (mut right, mut wrong) = (0, 0);
    for compression in Compression::ALL {
        let body = deflate(plain.as_bytes(), compression).expect("shrinks");
        for at in (0..body.len()).step_by(7) {
            let mut bad = body.clone();
            bad[at] ^= 0x55;
            // The checksum is right, so this is how the caller wrote it.
            let expected = inflate(&bad, compression, 16 << 20, b"");
            nth += 1;
            let number = compression as u16;
            let request = call("echo", &bad);
            link.send(&packed(FrameKind::Request, label(0, nth), &request, number)).await;
            match (link.answer().await, expected) {
                ((_, Said::Result(result)), Ok(expected)) => {
                    assert_eq!(result, expected);
                    right += 1;
                }
                ((_, Said::Failed(error)), Err(_)) => {
                    let codes = [ErrorCode::BadRequest, ErrorCode::TooLarge];
                    assert!(codes.contains(&error.code), "{error}");
                    assert_eq!(error.executed, Executed::No, "{error}");
                    wrong += 1;
                }
                other => panic!("{compression:?}, byte {at}: {other:?}"),
            }
        }
    }
    assert!(right > 0 && wrong > 50, "{right} were other texts, {wrong} none");
    drop(link);
    // What comes from before the output is not what was in that memory before.
    let mut home = world.open_home("bad").await;
    let mut body = 200_u32.to_le_bytes().to_vec();
    body.extend([0x1f, b'x', 100, 0, 174, 0x50, b'x', b'x', b'x', b'x', b'x']);
    let error = answered(&world, &mut home, &result(&body), 1).await;
    assert_eq!((error.code, error.executed), (ErrorCode::BadResponse, Executed::Yes), "{error}");
    drop(home);
    world.still_serves().await;
}

async fn f28_nothing_is_compressed_unasked_or_together(kind: Kind) {
    let world = World::start(kind).await;
    let text = "a secret and some text ".repeat(500);
    // The honest nodes compress nothing: nobody told them to.
    let mut home = world.open_home_taking("other", 3).await;
    let honest = world.caller.node().clone();
    let asked = text.clone();
    let call =
        tokio::spawn(async move { honest.call(CallRequest::new("other", "ask", asked)).await });
    let request = home.expect(FrameKind::Request).await;
    assert!(request.compression().is_none() && request.payload().ends_with(text.as_bytes()));
    home.send_frame(FrameKind::Response, request.id(), &result(b"1")).await;
    assert_eq!(call.await.unwrap(), Ok(Answer::Result(Bytes::from_static(b"1"))));
    let mut link = world.open_taking(Role::Caller, 3).await;
    let request = Request { reads: 3, ..Request::to("echo", "echo", text.as_bytes()) };
    link.call(label(0, 1), &request).await;
    let answer = link.expect(FrameKind::Response).await;
    assert!(answer.compression().is_none() && answer.payload().ends_with(text.as_bytes()));
    drop((link, home));
    // Where they do, each body stands for itself: the same text is the same bytes again.
    for compression in Compression::ALL {
        let once = deflate(text.as_bytes(), compression);
        assert!(once.is_some() && once == deflate(text.as_bytes(), compression));
    }
    world.still_serves().await;
}
