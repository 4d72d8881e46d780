//! Instances that fail: who is asked instead, how often, and who is left in peace.

use crate::attacker::{Link, within};
use crate::messages::{Writer, register, result, unavailable};
use crate::wire::Kind;
use crate::world::{World, until};
use bytes::Bytes;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{Answer, CallError, CallRequest, ErrorCode, Executed, Role};
use std::time::Duration;
use tokio::task::JoinHandle;

rows! {
    r19_not_all_instances_are_shut_out,
    r20_an_answer_after_the_deadline,
    r21_no_second_try_of_what_may_have_run,
    r22_a_second_try_gives_one_answer,
}

type Asked = JoinHandle<Result<Answer, CallError>>;

fn ask(world: &World, call: CallRequest) -> Asked {
    let caller = world.caller.node().clone();
    tokio::spawn(async move { caller.call(call).await })
}

async fn answered(asked: Asked) -> Result<Answer, CallError> {
    within("the answer", asked).await.expect("no panic")
}

/// The request that comes to one of two Homes: first to whom it came, then the other one.
async fn whoever_is_asked(mut a: Link, mut b: Link) -> (Link, u64, Link) {
    tokio::select! {
        frame = a.expect(FrameKind::Request) => (frame.id(), true),
        frame = b.expect(FrameKind::Request) => (frame.id(), false),
    }
    .pipe(|(id, is_a)| if is_a { (a, id, b) } else { (b, id, a) })
}

/// Applies a function behind a value, so that what the value borrowed is free by then.
trait Pipe: Sized {
    fn pipe<T>(self, with: impl FnOnce(Self) -> T) -> T {
        with(self)
    }
}

impl<V> Pipe for V {}

/// A failure of which nobody knows whether it ran.
fn unknown() -> Vec<u8> {
    Writer::default().varint(301).raw(&[2, 1, 0]).text("x").text("").0
}

async fn r19_not_all_instances_are_shut_out(kind: Kind) {
    let mut world = World::start(kind).await;
    // A single instance: its callers are told at once, and it is left in peace.
    let mut link = world.open_home("single").await;
    for _ in 0..5 {
        let asked = ask(&world, CallRequest::new("single", "ask", "1"));
        let id = link.expect(FrameKind::Request).await.id();
        link.send_frame(FrameKind::Error, id, &unknown()).await;
        let error = answered(asked).await.expect_err("it failed");
        assert_eq!(error.code, ErrorCode::Unavailable);
    }
    let asked = ask(&world, CallRequest::new("single", "ask", "1"));
    let error = answered(asked).await.expect_err("it gets no calls");
    assert_eq!((error.code, error.executed), (ErrorCode::CircuitOpen, Executed::No), "{error}");
    link.is_alive().await;
    drop(link);
    world.down().await;
    // Two that both fail: at most one of them is shut out, however often they do.
    let (mut a, mut b) = (world.open_home("pair").await, world.open_home("pair").await);
    for _ in 0..40 {
        let asked = ask(&world, CallRequest::new("pair", "ask", "1"));
        let id;
        (a, id, b) = whoever_is_asked(a, b).await;
        a.send_frame(FrameKind::Error, id, &unknown()).await;
        let error = answered(asked).await.expect_err("it failed");
        assert_eq!(error.code, ErrorCode::Unavailable, "somebody is asked");
    }
    drop((a, b));
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

async fn r20_an_answer_after_the_deadline(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut link = world.open_home("slow").await;
    let call = CallRequest::new("slow", "ask", "1");
    let asked = ask(&world, CallRequest { deadline: Duration::from_millis(50), ..call });
    let id = link.expect(FrameKind::Request).await.id();
    let error = answered(asked).await.expect_err("too late");
    assert_eq!((error.code, error.executed), (ErrorCode::Deadline, Executed::Unknown));
    assert_eq!(link.expect(FrameKind::Cancel).await.id(), id);
    link.send_frame(FrameKind::Response, id, &result(b"\"late\"")).await;
    until("it is counted", || world.main.stats().answers_late == 1).await;
    // The next call under that slot is another one, and gets its own answer.
    let asked = ask(&world, CallRequest::new("slow", "ask", "2"));
    let next = link.expect(FrameKind::Request).await.id();
    assert_ne!(next, id);
    link.send_frame(FrameKind::Response, id, &result(b"\"late again\"")).await;
    link.send_frame(FrameKind::Response, next, &result(b"\"right\"")).await;
    assert_eq!(answered(asked).await, Ok(Answer::Result(Bytes::from_static(b"\"right\""))));
    drop(link);
    world.down().await;
    world.still_serves().await;
}

async fn r21_no_second_try_of_what_may_have_run(kind: Kind) {
    let mut world = World::start(kind).await;
    let (a, b) = (world.open_home("pair").await, world.open_home("pair").await);
    // It says that it does not know; nobody else is asked, though there is somebody.
    let asked = ask(&world, CallRequest::new("pair", "ask", "1"));
    let (mut first, id, mut other) = whoever_is_asked(a, b).await;
    first.send_frame(FrameKind::Error, id, &unknown()).await;
    let error = answered(asked).await.expect_err("it failed");
    assert_eq!((error.code, error.executed), (ErrorCode::Unavailable, Executed::Unknown));
    other.is_alive().await;
    // It goes in the middle of the call.
    let asked = ask(&world, CallRequest::new("pair", "ask", "1"));
    let (first, _, mut other) = whoever_is_asked(first, other).await;
    drop(first);
    let error = answered(asked).await.expect_err("lost");
    assert_eq!((error.code, error.executed), (ErrorCode::LinkLost, Executed::Unknown));
    world.down().await;
    other.is_alive().await;
    assert_eq!(world.main.stats().calls_retried, 0);
    drop(other);
    world.down().await;
    world.still_serves().await;
}

async fn r22_a_second_try_gives_one_answer(kind: Kind) {
    let mut world = World::start(kind).await;
    let (a, b) = (world.open_home("pair").await, world.open_home("pair").await);
    let right = Ok(Answer::Result(Bytes::from_static(b"\"right\"")));
    // The first one says that it did not run it, and answers all the same.
    let asked = ask(&world, CallRequest::new("pair", "ask", "1"));
    let (mut first, id, mut other) = whoever_is_asked(a, b).await;
    first.send_frame(FrameKind::Error, id, &unavailable("x")).await;
    let again = other.expect(FrameKind::Request).await.id();
    first.send_frame(FrameKind::Response, id, &result(b"\"wrong\"")).await;
    until("it is counted", || world.main.stats().answers_stray == 1).await;
    other.send_frame(FrameKind::Response, again, &result(b"\"right\"")).await;
    assert_eq!(answered(asked).await, right);
    assert_eq!(world.main.stats().calls_retried, 1);
    // The first one goes in the middle of a call that does no harm twice.
    let call = CallRequest::new("pair", "ask", "1");
    let asked = ask(&world, CallRequest { idempotent: true, ..call });
    let (first, _, mut other) = whoever_is_asked(first, other).await;
    drop(first);
    world.down().await;
    let again = other.expect(FrameKind::Request).await.id();
    other.send_frame(FrameKind::Response, again, &result(b"\"right\"")).await;
    assert_eq!(answered(asked).await, right);
    assert_eq!(world.main.stats().calls_retried, 2);
    // A third instance is not asked: two attempts are all.
    let mut third = world.open(Role::Home).await;
    third.send_frame(FrameKind::Control, 0, &register(b"pair", b"")).await;
    third.expect(FrameKind::Control).await;
    let asked = ask(&world, CallRequest::new("pair", "ask", "1"));
    let (mut first, id, mut other) = whoever_is_asked(other, third).await;
    first.send_frame(FrameKind::Error, id, &unavailable("x")).await;
    let again = other.expect(FrameKind::Request).await.id();
    other.send_frame(FrameKind::Error, again, &unavailable("x")).await;
    assert_eq!(answered(asked).await.expect_err("both failed").code, ErrorCode::Unavailable);
    first.is_alive().await;
    drop((first, other));
    world.down().await;
    world.down().await;
    world.still_serves().await;
}
