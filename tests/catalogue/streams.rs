//! Streams: nobody gets more than he asked for, in the order in which it was sent, of calls that
//! wait for it.

use crate::attacker::{Link, Said, label};
use crate::messages::{Request, chunk, credit, result};
use crate::wire::Kind;
use crate::world::{World, until};
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{ErrorCode, Executed, Role};

rows! {
    r25_a_stream_beyond_its_credit,
    r26_chunks_out_of_their_turn,
    r27_streams_that_nobody_asked_for,
    r28_streams_of_calls_that_have_ended,
    r29_credit_without_measure,
}

/// A call between two raw peers, with the labels it has at each of them.
struct Pair {
    caller: Link,
    home: Link,
    calls: u32,
}

impl Pair {
    async fn new(world: &World) -> Self {
        let home = world.open_home("bad").await;
        Self { caller: world.open(Role::Caller).await, home, calls: 0 }
    }

    /// Calls with these options. Returns the labels at the caller and at the Home.
    async fn call(&mut self, options: u8) -> (u64, u64) {
        self.calls += 1;
        let at_caller = label(0, self.calls);
        let request = Request { options, ..Request::to("bad", "ask", b"1") };
        self.caller.call(at_caller, &request).await;
        (at_caller, self.home.expect(FrameKind::Request).await.id())
    }

    /// The call must end for the fault of one of them: the other is told, and nothing is promised.
    async fn must_end(&mut self, (at_caller, at_home): (u64, u64), code: ErrorCode, what: &str) {
        let (id, said) = self.caller.answer().await;
        let Said::Failed(error) = said else { panic!("{what}: {said:?}") };
        let told = (id, error.code, error.executed);
        assert_eq!(told, (at_caller, code, Executed::Unknown), "{what}: {error}");
        assert_eq!(self.home.expect(FrameKind::Cancel).await.id(), at_home, "{what}");
        self.home.is_alive().await;
        self.caller.is_alive().await;
    }

    async fn grant(&mut self, label: u64, bytes: u64) {
        self.caller.send_frame(FrameKind::Credit, label, &credit(TO_CALLER, bytes)).await;
    }

    async fn send(&mut self, label: u64, number: u64, is_last: bool, body: &[u8]) {
        let payload = chunk(TO_CALLER, number, is_last, body);
        self.home.send_frame(FrameKind::Stream, label, &payload).await;
    }

    fn end(self) {
        drop((self.caller, self.home));
    }
}

async fn r25_a_stream_beyond_its_credit(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut pair = Pair::new(&world).await;
    let call = pair.call(STREAM).await;
    pair.send(call.1, 0, false, b"").await;
    pair.must_end(call, ErrorCode::BadResponse, "without any credit").await;

    let call = pair.call(STREAM).await;
    pair.grant(call.0, 40 + 31).await;
    let granted = pair.home.expect(FrameKind::Credit).await;
    assert_eq!((granted.id(), granted.payload()), (call.1, &credit(TO_CALLER, 71)[..]));
    pair.send(call.1, 0, false, b"12345678").await;
    let came = pair.caller.expect(FrameKind::Stream).await;
    assert_eq!((came.id(), came.payload()), (call.0, &chunk(TO_CALLER, 0, false, b"12345678")[..]));
    // An empty chunk costs 32 as well.
    pair.send(call.1, 1, false, b"").await;
    pair.must_end(call, ErrorCode::BadResponse, "one byte too many").await;

    // The caller streams no more than the handler granted either.
    let call = pair.call(STREAM).await;
    let payload = chunk(TO_HANDLER, 0, false, b"up");
    pair.caller.send_frame(FrameKind::Stream, call.0, &payload).await;
    pair.must_end(call, ErrorCode::BadRequest, "a caller without credit").await;
    let call = pair.call(STREAM).await;
    pair.home.send_frame(FrameKind::Credit, call.1, &credit(TO_HANDLER, 100)).await;
    pair.caller.expect(FrameKind::Credit).await;
    pair.caller.send_frame(FrameKind::Stream, call.0, &payload).await;
    assert_eq!(pair.home.expect(FrameKind::Stream).await.payload(), &payload[..]);
    // The end of a stream is free, and no result comes before it.
    pair.send(call.1, 0, true, b"").await;
    pair.caller.expect(FrameKind::Stream).await;
    pair.home.send_frame(FrameKind::Response, call.1, &result(b"1")).await;
    assert_eq!(pair.caller.answer().await, (call.0, Said::Result(b"1".to_vec())));
    let call = pair.call(STREAM).await;
    pair.home.send_frame(FrameKind::Response, call.1, &result(b"1")).await;
    let (id, said) = pair.caller.answer().await;
    let Said::Failed(error) = said else { panic!("{said:?}") };
    assert_eq!((id, error.code), (call.0, ErrorCode::BadResponse), "{error}");
    pair.end();
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

async fn r26_chunks_out_of_their_turn(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut pair = Pair::new(&world).await;
    for (numbers, what) in [
        (&[(1, false)][..], "the first one is missing"),
        (&[(0, false), (2, false)], "one is missing"),
        (&[(0, false), (0, false)], "one came twice"),
        (&[(0, true), (1, true)], "one behind the last"),
        (&[(u64::from(u32::MAX), false)], "the last number there is"),
    ] {
        let call = pair.call(STREAM).await;
        pair.grant(call.0, 1_000).await;
        pair.home.expect(FrameKind::Credit).await;
        for (number, is_last) in numbers {
            pair.send(call.1, *number, *is_last, b"x").await;
        }
        for _ in 1..numbers.len() {
            pair.caller.expect(FrameKind::Stream).await;
        }
        pair.must_end(call, ErrorCode::BadResponse, what).await;
    }
    pair.end();
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

async fn r27_streams_that_nobody_asked_for(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut pair = Pair::new(&world).await;
    let call = pair.call(0).await;
    pair.send(call.1, 0, true, b"x").await;
    let Pair { mut caller, home, .. } = pair;
    world.must_close(home, ErrorCode::BadState, "a Home streams without being asked").await;
    let (id, said) = caller.answer().await;
    assert!(matches!(said, Said::Failed(error) if error.code == ErrorCode::LinkLost));
    assert_eq!(id, call.0);
    drop(caller);
    world.down().await;

    let mut pair = Pair::new(&world).await;
    let call = pair.call(0).await;
    pair.grant(call.0, 1).await;
    let Pair { caller, home, .. } = pair;
    world.must_close(caller, ErrorCode::BadState, "credit for a call without streams").await;
    drop(home);
    world.down().await;

    // What only the other end of a call may send, and what is no chunk and no credit.
    for (role, frame_kind, payload, code) in [
        (Role::Caller, FrameKind::Stream, chunk(TO_CALLER, 0, false, b""), ErrorCode::BadState),
        (Role::Caller, FrameKind::Credit, credit(TO_HANDLER, 1), ErrorCode::BadState),
        (Role::Home, FrameKind::Stream, chunk(2, 0, false, b""), ErrorCode::BadRequest),
        (Role::Home, FrameKind::Stream, b"".to_vec(), ErrorCode::BadRequest),
        (Role::Home, FrameKind::Stream, vec![0, 0, 2], ErrorCode::BadRequest),
        (Role::Home, FrameKind::Stream, chunk(0, 0, true, &[0; 65_537]), ErrorCode::BadRequest),
        (Role::Home, FrameKind::Credit, credit(2, 1), ErrorCode::BadRequest),
        (Role::Home, FrameKind::Credit, credit(0, 0), ErrorCode::BadRequest),
        (Role::Home, FrameKind::Credit, vec![0, 1, 0], ErrorCode::BadRequest),
    ] {
        let mut link = world.open(role).await;
        link.send_frame(frame_kind, label(0, 1), &payload).await;
        let start = &payload[..payload.len().min(8)];
        let what = format!("{frame_kind:?} {start:?} of a {role:?}");
        world.must_close(link, code, &what).await;
    }
    world.still_serves().await;
}

async fn r28_streams_of_calls_that_have_ended(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut pair = Pair::new(&world).await;
    let call = pair.call(STREAM).await;
    pair.grant(call.0, 100).await;
    pair.home.expect(FrameKind::Credit).await;
    pair.caller.send_frame(FrameKind::Cancel, call.0, b"").await;
    pair.home.expect(FrameKind::Cancel).await;
    // It crossed the cancel, as far as anybody can tell: but no more than was granted.
    for number in 0..4 {
        pair.send(call.1, number, false, b"").await;
    }
    pair.grant(call.0, 100).await;
    until("all are counted", || {
        let stats = world.main.stats();
        (stats.chunks_late, stats.answers_stray) == (3, 1)
    })
    .await;
    pair.home.is_alive().await;
    pair.caller.is_alive().await;

    let call = pair.call(STREAM).await;
    pair.grant(call.0, 100).await;
    pair.home.expect(FrameKind::Credit).await;
    pair.send(call.1, 0, true, b"").await;
    pair.home.send_frame(FrameKind::Response, call.1, &result(b"1")).await;
    pair.caller.expect(FrameKind::Stream).await;
    pair.caller.answer().await;
    let Pair { caller, mut home, .. } = pair;
    for number in 0..200 {
        home.send_frame(FrameKind::Stream, call.1, &chunk(TO_CALLER, number, false, b"")).await;
    }
    world.must_close(home, ErrorCode::BadState, "more than 100 in a minute").await;
    drop(caller);
    world.down().await;
    world.still_serves().await;
}

async fn r29_credit_without_measure(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut pair = Pair::new(&world).await;
    for grants in [&[u64::from(u32::MAX)][..], &[16 << 20, 1], &[8 << 20, 8 << 20, 1]] {
        let call = pair.call(STREAM).await;
        for bytes in grants {
            pair.grant(call.0, *bytes).await;
        }
        for _ in 1..grants.len() {
            pair.home.expect(FrameKind::Credit).await;
        }
        pair.must_end(call, ErrorCode::BadRequest, "more than 16 MiB").await;
        // The call has ended; the rest is for nothing.
        for _ in 0..10 {
            pair.grant(call.0, u64::from(u32::MAX)).await;
        }
        pair.caller.is_alive().await;
    }
    let call = pair.call(STREAM).await;
    let too_much = credit(TO_HANDLER, u64::from(u32::MAX));
    pair.home.send_frame(FrameKind::Credit, call.1, &too_much).await;
    pair.must_end(call, ErrorCode::BadResponse, "a handler grants too much").await;
    pair.end();
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

const TO_CALLER: u8 = 0;
const TO_HANDLER: u8 = 1;
/// Bit 5 of the options.
const STREAM: u8 = 1 << 5;
