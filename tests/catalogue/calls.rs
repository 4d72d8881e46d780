//! Labels and roles: an answer reaches only the call it belongs to, over the link it was asked on.

use crate::attacker::{Said, frame, label, within};
use crate::false_main::{caller_of_a_false_main, end_of_its_link};
use crate::messages::{Request, Writer, hops, result, texts, traced_result, unavailable};
use crate::wire::Kind;
use crate::world::{World, until};
use bytes::Bytes;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{Answer, CallRequest, CloseReason, ErrorCode, Event, Executed, Role};

rows! {
    f16_a_label_in_use,
    f18_answers_to_nothing,
    f19_an_answer_over_another_link,
    f20_frames_of_another_role,
    r23_a_home_speaks_for_itself_only,
}

async fn f16_a_label_in_use(kind: Kind) {
    let world = World::start(kind).await;
    let mut link = world.open(Role::Caller).await;
    link.call(label(0, 1), &Request::to("echo", "wait", b"\"first\"")).await;
    until("the first call runs", || world.ran() == 1).await;
    // The same label, and the same slot under another generation.
    for again in [label(0, 1), label(0, 2), label(0, 0)] {
        link.call(again, &Request::to("echo", "echo", b"\"second\"")).await;
        let (id, said) = link.answer().await;
        let Said::Failed(error) = said else { panic!("{said:?}") };
        let told = (id, error.code, error.executed);
        assert_eq!(told, (again, ErrorCode::IdReused, Executed::No));
    }
    let beyond = label(world_streams(), 1);
    link.call(beyond, &Request::to("echo", "echo", b"1")).await;
    let (id, said) = link.answer().await;
    assert!(matches!(said, Said::Failed(error) if error.code == ErrorCode::Overloaded));
    assert_eq!((id, world.ran()), (beyond, 1));
    world.gate.add_permits(1);
    assert_eq!(link.answer().await, (label(0, 1), Said::Result(b"\"first\"".to_vec())));
    // Answered labels are free again.
    link.call(label(0, 2), &Request::to("echo", "echo", b"\"third\"")).await;
    assert_eq!(link.answer().await, (label(0, 2), Said::Result(b"\"third\"".to_vec())));
    drop(link);
    world.still_serves().await;
}

/// The streams a Main grants a caller by default: labels count from zero.
const fn world_streams() -> u32 {
    4_096
}

async fn f18_answers_to_nothing(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut link = world.open_home("bad").await;
    let call = CallRequest::new("bad", "ask", "1");
    let caller = world.caller.node().clone();
    let asked = tokio::spawn(async move { caller.call(call).await });
    let id = link.expect(FrameKind::Request).await.id();
    // Never sent, sent to nobody yet, of another generation; then answered already.
    let strays = [0, label(0, 0), label(1, 1), label(0, 2), u64::MAX];
    for stray in strays {
        assert_ne!(stray, id);
        link.send_frame(FrameKind::Response, stray, &result(b"\"stray\"")).await;
        link.send_frame(FrameKind::Error, stray, &unavailable("honest.home")).await;
    }
    link.send_frame(FrameKind::Response, id, &result(b"\"right\"")).await;
    link.send_frame(FrameKind::Response, id, &result(b"\"twice\"")).await;
    let answer = within("the answer", asked).await.expect("no panic");
    assert_eq!(answer, Ok(Answer::Result(Bytes::from_static(b"\"right\""))));
    let so_far = 2 * strays.len() as u64 + 1;
    until("all are counted", || world.main.stats().answers_stray == so_far).await;
    link.is_alive().await;
    let stray = frame(FrameKind::Response, label(5, 5), &result(b"1"));
    // Two hundred more than a minute allows, in case a slow machine started a new minute.
    link.send(&stray.repeat(200)).await;
    world.must_close(link, ErrorCode::BadState, "more than 100 in a minute").await;
    world.still_serves().await;
}

async fn r23_a_home_speaks_for_itself_only(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut link = world.open_home("bad").await;
    let homes = world.main.registry().services;
    let home = homes.into_iter().find(|offer| offer.name == "bad").expect("registered").node;
    for (written, code) in [
        (unavailable("other-main"), ErrorCode::Unavailable),
        (unavailable(""), ErrorCode::BadResponse),
        (b"garbage".to_vec(), ErrorCode::BadResponse),
    ] {
        let caller = world.caller.node().clone();
        let asked =
            tokio::spawn(async move { caller.call(CallRequest::new("bad", "ask", "1")).await });
        let id = link.expect(FrameKind::Request).await.id();
        link.send_frame(FrameKind::Error, id, &written).await;
        let error = within("the answer", asked).await.expect("no panic").expect_err("an error");
        assert_eq!(error.code, code);
        let by =
            if code == ErrorCode::Unavailable { home.as_str() } else { world.main.id().as_str() };
        assert_eq!(error.node, by, "the name under which it authenticated");
    }
    // Nor does it tell whom a call crossed before it came: one hop is its own, in its own name.
    let forged = ["honest.home", "main", "other-main"];
    let as_error = Writer::default().raw(&unavailable(&home)).text(hops(&forged)).0;
    for (answer, written) in [
        (FrameKind::Response, traced_result(&forged, b"2")),
        (FrameKind::Error, as_error),
        (FrameKind::Response, traced_result(&[], b"2")),
    ] {
        let caller = world.caller.node().clone();
        let call = CallRequest { trace: true, ..CallRequest::new("bad", "ask", "1") };
        let asked = tokio::spawn(async move { caller.call_traced(call).await });
        let id = link.expect(FrameKind::Request).await.id();
        link.send_frame(answer, id, &written).await;
        let (outcome, trace) = within("the answer", asked).await.expect("no panic");
        assert_eq!(outcome.is_ok(), answer == FrameKind::Response);
        let caller = world.caller.node().id().as_str();
        let way = [home.as_str(), "main", caller];
        let way = if written == traced_result(&[], b"2") { &way[1..] } else { &way[..] };
        let told: Vec<&str> = trace.iter().map(|hop| hop.node.as_str()).collect();
        assert_eq!(told, way);
    }
    drop(link);
    world.down().await;
    // Nor does it say which way a call takes, and neither does a caller: only a Main does.
    for role in [Role::Home, Role::Caller] {
        let mut link = world.open(role).await;
        for (index, path) in [&["main"][..], &["main", "other"], &["other"]].iter().enumerate() {
            let id = label(index as u32, 1);
            let request = Request { path: texts(*path), ..Request::to("echo", "echo", b"1") };
            link.call(id, &request).await;
            let (at, said) = link.answer().await;
            let Said::Failed(error) = said else { panic!("{role:?} {path:?}: {said:?}") };
            let told = (at, error.code, error.executed);
            assert_eq!(told, (id, ErrorCode::BadRequest, Executed::No), "{role:?} {path:?}");
        }
        link.is_alive().await;
        drop(link);
        world.down().await;
    }
    assert_eq!(world.ran(), 0);
    world.still_serves().await;
}

async fn f19_an_answer_over_another_link(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut right, mut wrong) = (world.open_home("right").await, world.open_home("wrong").await);
    let mut events = world.main.events();
    let mut asked = Vec::new();
    let mut ids = Vec::new();
    for number in 0..5 {
        let caller = world.caller.node().clone();
        let call = CallRequest::new("right", "ask", number.to_string());
        asked.push(tokio::spawn(async move { caller.call(call).await }));
        ids.push(right.expect(FrameKind::Request).await.id());
    }
    for id in &ids {
        wrong.send_frame(FrameKind::Response, *id, &result(b"\"forged\"")).await;
        wrong.send_frame(FrameKind::Error, *id, &unavailable("right")).await;
        wrong.send_frame(FrameKind::Cancel, *id, b"").await;
        for _ in 0..2 {
            let stray = loop {
                if let Some(Event::StrayAnswer { label, .. }) = events.next().await {
                    break label;
                }
            };
            assert_eq!(stray, *id, "the audit event names the label");
        }
    }
    wrong.is_alive().await;
    assert!(asked.iter().all(|call| !call.is_finished()), "a forged answer arrived");
    for (number, id) in ids.iter().enumerate() {
        right.send_frame(FrameKind::Response, *id, &result(number.to_string().as_bytes())).await;
    }
    for (number, call) in asked.into_iter().enumerate() {
        let answer = within("the answer", call).await.expect("no panic");
        assert_eq!(answer, Ok(Answer::Result(number.to_string().into())));
    }
    assert_eq!(world.main.stats().answers_stray, 10);
    drop((right, wrong));
    world.down().await;
    world.still_serves().await;
}

async fn f20_frames_of_another_role(kind: Kind) {
    let mut world = World::start(kind).await;
    for (frame_kind, payload) in
        [(FrameKind::Response, result(b"1")), (FrameKind::Error, unavailable("x"))]
    {
        let mut link = world.open(Role::Caller).await;
        link.send_frame(frame_kind, label(0, 1), &payload).await;
        world.must_close(link, ErrorCode::BadState, "an answer from a caller").await;
    }
    let request = Request::to("echo", "echo", b"1").encode();
    for (frame_kind, payload) in [(FrameKind::Request, &request[..]), (FrameKind::Cancel, b"")] {
        let (node, mut link) = caller_of_a_false_main(kind).await;
        let mut events = node.events();
        link.send_frame(frame_kind, label(0, 1), payload).await;
        assert_eq!(link.goodbye().await, Some(ErrorCode::BadState as u64), "{frame_kind:?}");
        let (reason, _) = end_of_its_link(&mut events).await;
        assert_eq!(reason, CloseReason::Fault(ErrorCode::BadState), "{frame_kind:?}");
        assert_eq!(node.calls_in_flight(), 0);
    }
    world.still_serves().await;
}
