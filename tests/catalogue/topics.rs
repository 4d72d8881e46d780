//! Topics: who may say what in whose name, who is told what, and what it may cost others.

use crate::attacker::frame;
use crate::machine::{Machine, Stage, acts, closed};
use crate::messages::{Reader, author, publication, subscribe};
use crate::wire::Kind;
use crate::world::World;
use bytes::BytesMut;
use relay_core::frame::{Frame, Kind as FrameKind};
use relay_core::message::PublicationEnvelope;
use relay_core::{CloseReason, Delivery, Gap, Instant, Output, Publish};
use relay_tokio::{ErrorCode, Role};

rows! {
    p02_a_pattern_is_no_topic_and_nobody_speaks_for_another,
    p03_more_patterns_than_a_link_may_have,
    p10_nothing_comes_behind_the_end_of_a_subscription,
}

async fn p02_a_pattern_is_no_topic_and_nobody_speaks_for_another(kind: Kind) {
    let mut world = World::start(kind).await;
    for topic in ["a.*", "**", "", "a..b", "a b", &["a"; 9].join(".")] {
        let (signing, hello) = world.stranger(Role::Caller);
        let mut link = world.connect().await;
        link.shake(&hello, &signing).await.expect("accepted");
        let opening = hello.encode();
        link.send_frame(FrameKind::Publish, 0, &publication(topic, author(&opening), 1, b"1"))
            .await;
        world.must_close(link, ErrorCode::NameInvalid, topic).await;
    }
    for role in [Role::Home, Role::Caller] {
        for is_name in [true, false] {
            let (signing, hello) = world.stranger(role);
            let mut link = world.connect().await;
            link.shake(&hello, &signing).await.expect("accepted");
            let opening = hello.encode();
            let (name, mark) = author(&opening);
            let other = if is_name { ("someone-else", mark) } else { (name, [0; 8]) };
            link.send_frame(FrameKind::Publish, 0, &publication("a", other, 1, b"1")).await;
            world.must_close(link, ErrorCode::Forbidden, "in the name of another").await;
        }
        let mut link = world.open(role).await;
        link.send_frame(FrameKind::Control, 0, &subscribe(12, "a.**.b")).await;
        world.must_close(link, ErrorCode::NameInvalid, "not a pattern").await;
    }
    world.still_serves().await;
}

async fn p03_more_patterns_than_a_link_may_have(kind: Kind) {
    let world = World::start_with(kind, |limits| limits.subscriptions_per_link_max = 3).await;
    let mut link = world.open(Role::Caller).await;
    let patterns = ["a", "b.*", "**"];
    for pattern in patterns.into_iter().chain(["**"]) {
        link.send_frame(FrameKind::Control, 0, &subscribe(12, pattern)).await;
        let answer = link.expect(FrameKind::Control).await;
        let mut answer = Reader(answer.payload());
        assert_eq!((answer.varint(), answer.text()), (14, pattern), "subscribed, also again");
    }
    link.send_frame(FrameKind::Control, 0, &subscribe(12, "d")).await;
    let answer = link.expect(FrameKind::Control).await;
    let mut answer = Reader(answer.payload());
    let refused = (16, "d", ErrorCode::Overloaded as u64);
    assert_eq!((answer.varint(), answer.text(), answer.varint()), refused);
    link.is_alive().await;
    assert_eq!(world.main.subscriptions().len(), 3);
    drop(link);
    crate::world::until("what a link asked for ends with it", || {
        world.main.subscriptions().is_empty()
    })
    .await;
    world.still_serves().await;
}

async fn p10_nothing_comes_behind_the_end_of_a_subscription(kind: Kind) {
    let world = World::start(kind).await;
    let mut link = world.open(Role::Caller).await;
    for round in 0..50_u64 {
        link.send_frame(FrameKind::Control, 0, &subscribe(12, "news.*")).await;
        link.expect(FrameKind::Control).await;
        link.send_frame(FrameKind::Control, 0, &subscribe(13, "news.*")).await;
        // Some of these come before the end and some behind it, as it happens.
        for number in 0..20 {
            world.main.publish("news.x", b"1").expect("published");
            if number % 5 == round % 5 {
                tokio::task::yield_now().await;
            }
        }
        loop {
            let frame = link.frame().await.expect("still there");
            match frame.kind() {
                FrameKind::Publish => {}
                FrameKind::Control => break assert_eq!(frame.payload()[0], 15, "unsubscribed"),
                other => panic!("{other:?}"),
            }
        }
        link.is_alive().await;
    }
}

/// A Main with one subscriber that takes what it is sent only when the test says so.
fn subscribed(change: impl FnOnce(&mut relay_core::Limits)) -> Machine {
    let mut machine = Machine::accepting_with(Role::Caller, Stage::Open, change);
    let outputs = machine.receive(&frame(FrameKind::Control, 0, &subscribe(12, "**")));
    assert!(acts(&outputs) && closed(&outputs).is_none());
    machine
}

fn publish(machine: &mut Machine, body: &[u8]) -> Vec<Frame> {
    let publish = Publish { topic: "news", body, ..Publish::default() };
    let (published, outputs) =
        machine.act(|node, _, out| node.publish(publish, Instant::ZERO, out));
    published.expect("accepted");
    frames(&outputs)
}

fn frames(outputs: &[Output]) -> Vec<Frame> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Transmit { frame, .. } => Some(BytesMut::from(&frame[..])),
        _ => None,
    });
    let whole =
        |mut bytes| Frame::take(&mut bytes, u32::MAX >> 1, 0).expect("legal").expect("whole");
    sent.map(whole).collect()
}

#[test]
fn p04_a_slow_subscriber_holds_a_mebibyte_and_is_told_what_it_missed() {
    let mut machine = subscribed(|_| {});
    let (body, mut queued, mut last_seq) = (vec![b'x'; 64 << 10], 0, 0);
    for _ in 0..100 {
        for frame in publish(&mut machine, &body) {
            queued += frame.len();
            last_seq = PublicationEnvelope::decode(frame.payload()).expect("a publication").0.seq;
        }
    }
    assert!(((1 << 20) - (65 << 10)..=1 << 20).contains(&queued), "{queued}");
    let missed = 100 - last_seq;
    assert_eq!(machine.node().stats().publications_missed, missed);
    machine.act(|node, link, _| node.handle_flushed(link, queued as u32));
    let sent = publish(&mut machine, b"1");
    let kinds: Vec<FrameKind> = sent.iter().map(Frame::kind).collect();
    assert_eq!(kinds, [FrameKind::Control, FrameKind::Publish], "told before the next one");
    let mut told = Reader(sent[0].payload());
    assert_eq!((told.varint(), told.varint()), (17, missed));
    let next = PublicationEnvelope::decode(sent[1].payload()).expect("a publication").0;
    assert_eq!(next.seq, 101, "and the number says it as well");
    assert_eq!(publish(&mut machine, b"1").len(), 1, "told once");
}

#[test]
fn p04_what_was_missed_is_told_though_nothing_follows() {
    let mut machine = subscribed(|limits| limits.publication_bytes_max = 4 << 10);
    publish(&mut machine, &[b'x'; 3 << 10]);
    assert!(publish(&mut machine, &[b'x'; 3 << 10]).is_empty(), "no room");
    machine.act(|node, link, _| node.handle_flushed(link, 9 << 10));
    let due = machine.node().poll_timeout().expect("keepalive");
    assert!(due <= Instant::ZERO.after(std::time::Duration::from_secs(10)));
    let (_, outputs) = machine.act(|node, _, out| node.handle_timeout(due, out));
    let missed = [17, 1];
    assert!(frames(&outputs).iter().any(|frame| frame.payload() == missed), "{outputs:?}");
}

#[test]
fn p06_who_publishes_too_much_is_told_and_stays() {
    let mut machine = Machine::accepting_with(Role::Home, Stage::Open, |limits| {
        limits.publish_cost_per_second = 10_000;
    });
    let mut sent = Vec::new();
    for seq in 1..=100 {
        let bytes = publication("news", author(&machine.opening), seq, &[b'x'; 1_000]);
        let outputs = machine.receive(&frame(FrameKind::Publish, 0, &bytes));
        assert_eq!(closed(&outputs), None);
        sent.extend(frames(&outputs));
    }
    let stats = machine.node().stats();
    // Each costs a thousand bytes, those around them, and 512.
    assert_eq!((stats.publications, stats.publications_refused), (100, 93));
    // The first refusal is told at once, the others together a second later.
    let told: Vec<&[u8]> = sent.iter().map(Frame::payload).collect();
    let limited = ErrorCode::RateLimited as u16;
    let code = [limited as u8 | 0x80, (limited >> 7) as u8];
    assert_eq!(told, [[&[18, 1][..], &code].concat()]);
    let later = Instant::ZERO.after(std::time::Duration::from_secs(11));
    let (_, outputs) = machine.act(|node, _, out| node.handle_timeout(later, out));
    let others = [&[18, 92][..], &code].concat();
    assert!(frames(&outputs).iter().any(|frame| frame.payload() == others), "{outputs:?}");
}

#[test]
fn p07_each_copy_costs_its_publisher() {
    let cost = |subscribers: bool| {
        let mut machine = Machine::accepting_with(Role::Home, Stage::Open, |limits| {
            limits.publish_cost_per_second = 100_000;
        });
        if subscribers {
            machine.receive(&frame(FrameKind::Control, 0, &subscribe(12, "news")));
            machine.act(|node, _, out| node.subscribe("*", Instant::ZERO, out)).0.expect("legal");
        }
        for seq in 1..=200 {
            let bytes = publication("news", author(&machine.opening), seq, &[b'x'; 1_000]);
            machine.receive(&frame(FrameKind::Publish, 0, &bytes));
        }
        200 - machine.node().stats().publications_refused
    };
    let (alone, heard) = (cost(false), cost(true));
    assert!((60..=66).contains(&alone), "{alone}");
    assert!((20..=22).contains(&heard), "a third of them, with two copies of each: {heard}");
}

#[test]
fn p09_what_comes_twice_or_late_is_not_delivered_and_gaps_are_told() {
    let mut machine = Machine::dialling(Role::Home, Stage::Open);
    machine.act(|node, _, out| node.subscribe("news", Instant::ZERO, out)).0.expect("legal");
    let mut hear = |seq| {
        let bytes =
            frame(FrameKind::Publish, 0, &publication("news", ("someone", [0; 8]), seq, b"1"));
        let outputs = machine.receive(&bytes);
        assert_eq!(closed(&outputs), None);
        outputs.into_iter().find_map(|output| match output {
            Output::Deliver(Delivery::Publication(heard)) => Some((heard.seq, heard.gap)),
            _ => None,
        })
    };
    let told = [5, 6, 6, 4, 10, 9, 11].map(&mut hear);
    let expected = [
        Some((5, Gap::None)),
        Some((6, Gap::None)),
        None,
        None,
        Some((10, Gap::Of(3))),
        None,
        Some((11, Gap::None)),
    ];
    assert_eq!(told, expected);
}

/// What was given up and asked for again is answered twice; only the last answer counts.
#[test]
fn a_late_answer_is_not_about_the_subscription_that_there_is_now() {
    let answers = |answers: &[(u8, bool)]| {
        let mut machine = Machine::dialling(Role::Home, Stage::Open);
        machine.act(|node, _, out| {
            node.subscribe("news", Instant::ZERO, out).expect("legal");
            node.unsubscribe("news", Instant::ZERO, out);
            node.subscribe("news", Instant::ZERO, out).expect("legal");
        });
        for (number, is_told) in answers {
            let mut payload = subscribe(*number, "news");
            if *number == 16 {
                payload.extend([1, 0]);
            }
            let outputs = machine.receive(&frame(FrameKind::Control, 0, &payload));
            let told = outputs.iter().any(|output| matches!(output, Output::Event(_)));
            assert_eq!((told, closed(&outputs)), (*is_told, None), "{number}");
        }
        machine.node().control().subscriptions().count()
    };
    assert_eq!(answers(&[(14, false), (15, false), (14, true), (14, false)]), 1);
    assert_eq!(answers(&[(16, false), (15, false), (14, true)]), 1);
    assert_eq!(answers(&[(14, false), (15, false), (16, true)]), 0, "refused in the end");
}

/// Who comes and goes here costs the Main little, and what it was not told it need not be told.
#[test]
fn a_main_is_asked_no_more_than_it_reads() {
    let mut machine = Machine::dialling(Role::Home, Stage::Open);
    let (_, outputs) = machine.act(|node, _, out| {
        for number in 0..5_000 {
            let pattern = format!("news.{number}");
            node.subscribe(&pattern, Instant::ZERO, out).expect("legal");
            node.unsubscribe(&pattern, Instant::ZERO, out);
        }
    });
    assert_eq!(frames(&outputs).len(), 50);
    let kept = machine.node().holdings();
    machine.act(|node, _, out| {
        for number in 5_000..50_000 {
            let pattern = format!("news.{number}");
            node.subscribe(&pattern, Instant::ZERO, out).expect("legal");
            node.unsubscribe(&pattern, Instant::ZERO, out);
        }
    });
    assert_eq!(machine.node().holdings(), kept, "nothing is remembered of what was not said");
}

/// Whoever is told that nothing of it is passed on holds back for a second, and says so.
#[test]
fn what_a_main_refuses_is_refused_at_once() {
    let mut machine = Machine::dialling(Role::Home, Stage::Open);
    let say = |machine: &mut Machine, millis| {
        let now = Instant::ZERO.after(std::time::Duration::from_millis(millis));
        let publish = Publish { topic: "news", body: b"1", ..Publish::default() };
        machine.act(|node, _, out| node.publish(publish, now, out)).0.map_err(|error| error.code)
    };
    assert!(say(&mut machine, 0).is_ok());
    let code = ErrorCode::RateLimited as u16;
    let told = [18, 1, code as u8 | 0x80, (code >> 7) as u8];
    machine.receive(&frame(FrameKind::Control, 0, &told));
    assert_eq!(say(&mut machine, 999), Err(ErrorCode::RateLimited));
    assert!(say(&mut machine, 1_000).is_ok());
}

/// A frame that waits for its link keeps nothing else alive.
#[test]
fn small_publications_that_wait_have_memory_of_their_own() {
    let mut machine = subscribed(|_| {});
    let mut sent = Vec::new();
    for _ in 0..200 {
        let publish = Publish { topic: "news", body: &[b'x'; 64], ..Publish::default() };
        let (_, outputs) = machine.act(|node, _, out| node.publish(publish, Instant::ZERO, out));
        sent.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Transmit { frame, .. } => Some(frame),
            _ => None,
        }));
    }
    assert_eq!(sent.len(), 200);
    let first = sent.iter().take_while(|frame| !frame.is_unique()).count();
    assert!((10..60).contains(&first), "{first} of them share what was written together");
    assert!(sent[first..].iter().all(bytes::Bytes::is_unique));
}

#[test]
fn a_damaged_publication_goes_no_further() {
    let opening = Machine::accepting(Role::Home, Stage::Open).opening;
    let bytes = publication("news", author(&opening), 1, b"12345678");
    let bytes = frame(FrameKind::Publish, 0, &bytes);
    for at in 14..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let mut machine = Machine::accepting(Role::Home, Stage::Open);
        machine.act(|node, _, out| node.subscribe("**", Instant::ZERO, out)).0.expect("legal");
        let outputs = machine.receive(&bytes);
        let delivered = outputs.iter().any(|output| matches!(output, Output::Deliver(_)));
        let damaged = Some(CloseReason::Fault(ErrorCode::BadChecksum));
        assert_eq!((delivered, closed(&outputs)), (false, damaged), "byte {at}");
        // A Main passed it on: it is not the fault of its link.
        let mut machine = Machine::dialling(Role::Home, Stage::Open);
        machine.act(|node, _, out| node.subscribe("**", Instant::ZERO, out)).0.expect("legal");
        let outputs = machine.receive(&bytes);
        let delivered = outputs.iter().any(|output| matches!(output, Output::Deliver(_)));
        assert_eq!((delivered, closed(&outputs)), (false, None), "byte {at}");
    }
}
