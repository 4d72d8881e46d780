//! The attacker as a Main among Mains: what it announces, and what it asks of others.

use crate::attacker::{Link, Said, label, within};
use crate::messages::{
    Hello, Request, Up, Writer, announce, down, register, registered, result, texts,
};
use crate::wire::Kind;
use crate::world::{World, until};
use relay_core::frame::{FrameWriter, Kind as FrameKind};
use relay_tokio::{CallRequest, ErrorCode, Event, Executed, Role};
use sha2::{Digest, Sha256};
use std::time::Duration;

rows! {
    r01_hops_that_a_peer_counts,
    r02_a_path_that_is_a_loop,
    r03_a_path_that_leads_through_its_reader,
    r04_an_old_record_after_the_end,
    r05_leases_of_no_time_and_of_all_time,
    r06_more_names_than_a_peer_may_announce,
    r08_a_name_that_is_held_at_another_main,
    r15_digests_that_lie,
    r18_words_over_the_link_before,
    r24_names_that_are_paths_or_commands,
    r30_paths_that_no_main_has,
}

/// A Main that has just linked, and its name. It said nothing of itself, so it is told nothing.
async fn open_main(world: &World) -> (Link, String) {
    let mut link = world.connect().await;
    let (signing, hello) = world.stranger(Role::Main);
    link.shake(&hello, &signing).await.expect("accepted");
    assert_eq!(link.expect(FrameKind::Control).await.payload()[0], HELLO);
    (link, String::from_utf8(hello.node).expect("a name"))
}

/// Whether an honest call of `service` gets to the attacker, which answers it then.
async fn is_called(world: &World, link: &mut Link, service: &str) -> bool {
    let caller = world.caller.node().clone();
    let call = CallRequest::new(service, "ask", "1");
    let mut asked = tokio::spawn(async move { caller.call(call).await });
    loop {
        let frame = tokio::select! {
            frame = link.frame() => frame.expect("the link lives"),
            answer = &mut asked => {
                let error = answer.expect("no panic").expect_err("nobody answered");
                assert_eq!(error.code, ErrorCode::NoSuchService, "{service}: {error}");
                return false;
            }
        };
        if frame.kind() == FrameKind::Request {
            link.send_frame(FrameKind::Response, frame.id(), &result(b"2")).await;
            assert!(within("the answer", asked).await.expect("no panic").is_ok());
            return true;
        }
    }
}

/// Looks until an honest call of `service` gets to the attacker, or until none does any more.
async fn until_called(world: &World, link: &mut Link, service: &str, expected: bool) {
    within(&format!("{service} to be called: {expected}"), async {
        while is_called(world, link, service).await != expected {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Announces records and waits until they count, which a mark behind them tells: a table of routes
/// is replaced whole.
async fn say(world: &World, link: &mut Link, main: &str, records: &[Vec<u8>], mark: &str) {
    let page = [records.concat(), Up::of(main, mark).encode()].concat();
    link.send_frame(FrameKind::Control, 0, &announce(&page)).await;
    until_called(world, link, mark, true).await;
}

async fn r01_hops_that_a_peer_counts(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut link, _) = open_main(&world).await;
    // The TTL at the start and now; the difference is how often it was passed on.
    let (served, limit, grew) = (None, Some(ErrorCode::HopLimit), Some(ErrorCode::BadRequest));
    for (index, (start, ttl, expected)) in [
        (10, 10, served),
        (10, 9, served),
        (10, 8, limit),
        (10, 0, limit),
        (255, 15, limit),
        (255, 0, limit),
        (15, 15, served),
        (1, 1, served),
        (1, 0, limit),
        (0, 0, limit),
        (0, 1, grew),
        (9, 15, grew),
    ]
    .into_iter()
    .enumerate()
    {
        let request = Request { ttl: start, ..Request::to("echo", "echo", b"1") }.encode();
        let id = label(index as u32, 1);
        let frame = FrameWriter::default().write(FrameKind::Request, id, ttl, |_| {}, &request);
        let ran = world.ran();
        link.send(&frame.freeze()).await;
        let (at, said) = link.answer().await;
        assert_eq!(at, id);
        match said {
            Said::Failed(error) => {
                let told = (Some(error.code), error.executed);
                assert_eq!(told, (expected, Executed::No), "{start}, {ttl}: {error}");
                assert_eq!(world.ran(), ran, "{start}, {ttl}");
            }
            other => assert_eq!((Said::Result(b"1".to_vec()), served), (other, expected)),
        }
    }
    drop(link);
    world.down().await;
    world.still_serves().await;
}

/// However often a Main sends a call round: what comes from a Main crosses no other one but by a
/// path, and a path leads to no Main twice, nor back to the one that sent the call.
async fn r02_a_path_that_is_a_loop(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut link, name) = open_main(&world).await;
    let (mut other, beyond) = open_main(&world).await;
    say(&world, &mut link, &name, &[Up::of(&name, "mine").encode()], "mark").await;
    let (name, beyond) = (name.as_str(), beyond.as_str());
    let many: Vec<String> = (0..14).map(|n| format!("main-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&str, &[&str], ErrorCode); 10] = [
        ("its own service", &[], ErrorCode::NoSuchService),
        ("back over its link", &["main", name], ErrorCode::Loop),
        ("back by way of another", &["main", beyond, name], ErrorCode::Loop),
        ("a loop", &["main", name, "main"], ErrorCode::Loop),
        ("the same Main at once", &["main", "main"], ErrorCode::Loop),
        ("a loop of others", &["main", "x", "y", "x"], ErrorCode::Loop),
        ("past this Main", &["elsewhere"], ErrorCode::BadRequest),
        ("to a stranger", &["main", "elsewhere"], ErrorCode::Unavailable),
        ("too long", &many, ErrorCode::NameInvalid),
        ("no names", &["main", "*"], ErrorCode::NameInvalid),
    ];
    for (index, (what, path, code)) in cases.into_iter().enumerate() {
        let request = Request { path: texts(path), ..Request::to("mine", "ask", b"1") };
        link.call(label(index as u32, 1), &request).await;
        let (_, said) = link.answer().await;
        let Said::Failed(error) = said else { panic!("{what}: {said:?}") };
        assert_eq!((error.code, error.executed), (code, Executed::No), "{what}: {error}");
    }
    // By a path that ends here the call is served here.
    let request = Request { path: texts(["main"]), ..Request::to("echo", "echo", b"1") };
    link.call(label(10, 1), &request).await;
    assert_eq!(link.answer().await.1, Said::Result(b"1".to_vec()));
    // By a path that goes on it gets there, and it is the first call that did.
    let request = Request { path: texts(["main", beyond]), ..Request::to("any", "ask", b"1") };
    link.call(label(11, 1), &request).await;
    let id = other.expect(FrameKind::Request).await.id();
    assert_eq!(id, label(0, 1));
    other.send_frame(FrameKind::Response, id, &result(b"2")).await;
    assert_eq!(link.answer().await.1, Said::Result(b"2".to_vec()));
    link.is_alive().await;
    drop((link, other));
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

async fn r03_a_path_that_leads_through_its_reader(kind: Kind) {
    let mut world = World::start_with(kind, |limits| limits.hops_max = 5).await;
    let (mut link, name) = open_main(&world).await;
    let through = |service, path: &[&str]| Up { path: texts(path), ..Up::of("third", service) };
    let records = [
        through("round", &[&name, "main", "third"]).encode(),
        through("straight", &[&name, "second", "third"]).encode(),
        Up { path: texts([&name, "main"]), ..Up::of("main", "own") }.encode(),
    ];
    say(&world, &mut link, &name, &records, "mark").await;
    assert!(!is_called(&world, &mut link, "round").await, "it would come back here");
    assert!(!is_called(&world, &mut link, "own").await, "this Main knows what it offers");
    assert!(is_called(&world, &mut link, "straight").await);
    drop(link);
    world.down().await;
    world.still_serves().await;
}

async fn r04_an_old_record_after_the_end(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut link, name) = open_main(&world).await;
    let word = |epoch, seq| Up { epoch, seq, ..Up::of(&name, "news") }.encode();
    let ends = |epoch, seq| down(&name, epoch, seq, "news", "home");
    // What is said, and whether "news" can be called then.
    for (number, (record, expected)) in [
        (word(5, 1), true),
        (ends(5, 2), false),
        (word(5, 1), false),
        (word(5, 2), false),
        (word(4, 9), false),
        (word(5, 3), true),
        // A newer life ends all that was said in an earlier one.
        (word(6, 1), true),
        (ends(6, 1), false),
        (word(5, 7), false),
    ]
    .into_iter()
    .enumerate()
    {
        // The mark is of the same life, or it would count for nothing.
        let epoch = if number < 6 { 5 } else { 6 };
        let mark = format!("mark-{number}");
        let page = [record, Up { epoch, ..Up::of(&name, &mark) }.encode()].concat();
        link.send_frame(FrameKind::Control, 0, &announce(&page)).await;
        until_called(&world, &mut link, &mark, true).await;
        assert_eq!(is_called(&world, &mut link, "news").await, expected, "record {number}");
    }
    drop(link);
    world.down().await;
    world.still_serves().await;
}

async fn r05_leases_of_no_time_and_of_all_time(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut link, name) = open_main(&world).await;
    let lease = |service, ttl_ms| Up { ttl_ms, ..Up::of(&name, service) }.encode();
    let records = [lease("short", 0), lease("long", u64::from(u32::MAX))];
    say(&world, &mut link, &name, &records, "mark").await;
    until_called(&world, &mut link, "short", false).await;
    assert!(is_called(&world, &mut link, "long").await);
    // What does not fit 32 bits is no record.
    link.send_frame(FrameKind::Control, 0, &announce(&lease("longer", 1 << 32))).await;
    world.must_close(link, ErrorCode::BadRequest, "a lease of 33 bits").await;
    for (ttl_ms, seconds) in [(0, 5), (4_999, 5), (u64::from(u32::MAX), 600)] {
        let mut home = world.open(Role::Home).await;
        let register = Writer::default().raw(&[0]).text("lease").text("").varint(ttl_ms).0;
        home.send_frame(FrameKind::Control, 0, &register).await;
        home.expect(FrameKind::Control).await;
        let services = world.main.registry().services;
        let found = services.iter().find(|found| found.name == "lease").expect("registered");
        let left = found.expires_in.expect("a Home's lease ends");
        assert!(left <= Duration::from_secs(seconds), "{ttl_ms}: {left:?}");
        drop(home);
        world.down().await;
    }
    world.still_serves().await;
}

async fn r06_more_names_than_a_peer_may_announce(kind: Kind) {
    let mut world = World::start_with(kind, |limits| limits.services_per_peer_max = 10).await;
    let (mut link, name) = open_main(&world).await;
    let mut events = world.main.events();
    let page: Vec<u8> =
        (0..1_000).flat_map(|n| Up::of(&name, &format!("service-{n}")).encode()).collect();
    link.send_frame(FrameKind::Control, 0, &announce(&page)).await;
    until_called(&world, &mut link, "service-9", true).await;
    for (number, expected) in [(0, true), (10, false), (999, false)] {
        let service = format!("service-{number}");
        assert_eq!(is_called(&world, &mut link, &service).await, expected, "{service}");
    }
    let refused = within("a word in the log", async {
        loop {
            let event = events.next().await.expect("the Main is there");
            if let Event::AnnouncementRefused { service, .. } = event {
                break service.to_string();
            }
        }
    });
    assert_eq!(refused.await, "service-10");
    // Another peer has a quota of its own, and what ends makes room.
    let (mut other, its_name) = open_main(&world).await;
    say(&world, &mut other, &its_name, &[], "another").await;
    let page = [down(&name, 1, 2, "service-0", "home"), Up::of(&name, "late").encode()].concat();
    link.send_frame(FrameKind::Control, 0, &announce(&page)).await;
    until_called(&world, &mut link, "late", true).await;
    assert!(!is_called(&world, &mut link, "service-0").await);
    // A Home has 64 names, and no more of them can be called by way of another Main either.
    let mut home = world.open(Role::Home).await;
    for number in 0..65 {
        let service = format!("own-{number}");
        home.send_frame(FrameKind::Control, 0, &register(service.as_bytes(), b"")).await;
        let answer = home.expect(FrameKind::Control).await;
        let is_taken = answer.payload() == registered(&service);
        assert_eq!(is_taken, number < 64, "{service}: {:?}", answer.payload());
    }
    link.call(label(0, 1), &Request::to("own-64", "ask", b"1")).await;
    let (_, said) = link.answer().await;
    assert!(matches!(said, Said::Failed(error) if error.code == ErrorCode::NoSuchService));
    link.call(label(1, 1), &Request::to("own-63", "ask", b"1")).await;
    let id = home.expect(FrameKind::Request).await.id();
    home.send_frame(FrameKind::Response, id, &result(b"2")).await;
    assert_eq!(link.answer().await.1, Said::Result(b"2".to_vec()));
    drop((link, other, home));
    world.down().await;
    world.still_serves().await;
}

/// The name of a Home belongs to one key in the whole federation, as far as this Main sees it.
async fn r08_a_name_that_is_held_at_another_main(kind: Kind) {
    let mut world = World::start(kind).await;
    let (mut link, name) = open_main(&world).await;
    let held = Up { node: "held.home".into(), ..Up::of(&name, "news") };
    say(&world, &mut link, &name, &[held.encode()], "mark").await;
    let mut second = world.connect().await;
    let (signing, hello) = world.stranger(Role::Home);
    let hello = Hello { node: b"held.home".to_vec(), ..hello };
    second.shake(&hello, &signing).await.expect("authenticated, as whoever it is");
    world.must_close(second, ErrorCode::NameConflict, "a name held at another Main").await;
    assert!(is_called(&world, &mut link, "news").await, "who holds it does not notice");
    // The key that holds it may come here.
    let mut mark = [0; 8];
    mark.copy_from_slice(&Sha256::digest(signing.verifying_key().to_bytes())[..8]);
    let own = Up { mark, seq: 2, ..held };
    say(&world, &mut link, &name, &[own.encode()], "mark-2").await;
    let mut first = world.connect().await;
    first.shake(&hello, &signing).await.expect("authenticated");
    first.is_alive().await;
    drop((link, first));
    world.down().await;
    world.down().await;
    world.still_serves().await;
}

async fn r30_paths_that_no_main_has(kind: Kind) {
    let mut world = World::start(kind).await;
    let long = vec!["x"; 14];
    // `ME` stands for the attacker.
    let cases: [(&str, &str, &[&str], ErrorCode); 8] = [
        ("not from the peer", "other", &["other"], ErrorCode::BadRequest),
        ("from another to the peer", ME, &["other", ME], ErrorCode::BadRequest),
        ("not to the origin", "other", &[ME], ErrorCode::BadRequest),
        ("a loop", ME, &[ME, "other", ME], ErrorCode::BadRequest),
        ("further than a call may go", "other", &[ME, "other"], ErrorCode::BadRequest),
        ("no path", ME, &[], ErrorCode::BadRequest),
        ("longer than any", "x", &long, ErrorCode::NameInvalid),
        ("no name", "*", &[ME, "*"], ErrorCode::NameInvalid),
    ];
    for (what, origin, path, code) in cases {
        let (mut link, name) = open_main(&world).await;
        let real = |text: &str| if text == ME { name.clone() } else { text.to_owned() };
        let path = texts(path.iter().map(|text| real(text)));
        let record = Up { path, ..Up::of(&real(origin), "bad") }.encode();
        link.send_frame(FrameKind::Control, 0, &announce(&record)).await;
        world.must_close(link, code, what).await;
    }
    let (mut link, _) = open_main(&world).await;
    link.send_frame(FrameKind::Control, 0, &announce(b"\x03nothing")).await;
    world.must_close(link, ErrorCode::BadRequest, "no record").await;
    world.still_serves().await;
}

async fn r15_digests_that_lie(kind: Kind) {
    // A peer is asked at most once in half of this, which no machine is too slow for.
    let slow = |limits: &mut relay_tokio::Limits| limits.health_interval = Duration::from_hours(20);
    let mut world = World::start_with(kind, slow).await;
    let (mut link, name) = open_main(&world).await;
    say(&world, &mut link, &name, &[Up::of(&name, "news").encode()], "mark").await;
    for count in 0..200 {
        let digest = Writer::default().raw(&[9]).varint(count).varint(7).0;
        link.send_frame(FrameKind::Control, 0, &digest).await;
    }
    // What was announced is forgotten until it is announced again, which is asked for once.
    let page = Up::of(&name, "after").encode();
    link.send_frame(FrameKind::Control, 0, &announce(&page)).await;
    let caller = world.caller.node().clone();
    let mut asked = 0;
    let id = loop {
        let caller = caller.clone();
        let mut call =
            tokio::spawn(async move { caller.call(CallRequest::new("after", "ask", "1")).await });
        let request = loop {
            let frame = tokio::select! {
                frame = link.frame() => frame.expect("the link lives"),
                _ = &mut call => break None,
            };
            match frame.kind() {
                FrameKind::Request => break Some(frame.id()),
                FrameKind::Control => {
                    assert_eq!(frame.payload(), [RESYNC]);
                    asked += 1;
                }
                _ => {}
            }
        };
        if let Some(id) = request {
            break id;
        }
    };
    assert_eq!(asked, 1, "200 digests that lie");
    link.send_frame(FrameKind::Response, id, &result(b"2")).await;
    assert!(!is_called(&world, &mut link, "news").await, "forgotten with the rest");
    drop(link);
    world.down().await;
    world.still_serves().await;
}

/// What a Main says over a link that it has replaced itself counts for nothing.
async fn r18_words_over_the_link_before(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut older = world.connect().await;
    let (signing, hello) = world.stranger(Role::Main);
    let name = String::from_utf8(hello.node.clone()).expect("a name");
    older.shake(&hello, &signing).await.expect("accepted");
    say(&world, &mut older, &name, &[Up::of(&name, "old").encode()], "mark").await;
    let mut newer = world.connect().await;
    newer.shake(&hello, &signing).await.expect("accepted");
    let late = announce(&Up::of(&name, "late").encode());
    older.send_frame(FrameKind::Control, 0, &late).await;
    assert_eq!(older.goodbye().await, Some(SUPERSEDED));
    world.down().await;
    say(&world, &mut newer, &name, &[], "mark-2").await;
    for service in ["old", "late", "mark"] {
        assert!(!is_called(&world, &mut newer, service).await, "{service}");
    }
    drop((older, newer));
    world.down().await;
    world.still_serves().await;
}

async fn r24_names_that_are_paths_or_commands(kind: Kind) {
    let mut world = World::start(kind).await;
    for bad in ["../etc/passwd", "a/b", "$(id)", "a;b", "a\nb", "a b", "", "\u{202e}a", "a\"b"] {
        let (mut link, name) = open_main(&world).await;
        let good = Up::of(&name, "good");
        let records = [
            Up { service: bad.into(), ..good.clone() },
            Up { node: bad.into(), ..good.clone() },
            Up { methods: texts([bad]), ..good.clone() },
        ];
        for (at, record) in records.into_iter().enumerate() {
            let (mut link, _) = open_main(&world).await;
            link.send_frame(FrameKind::Control, 0, &announce(&record.encode())).await;
            world.must_close(link, ErrorCode::NameInvalid, &format!("{bad:?}, {at}")).await;
        }
        if bad.is_empty() || bad.contains('\n') {
            let labels = texts([bad, "value"]);
            let record = Up { labels, ..good.clone() }.encode();
            link.send_frame(FrameKind::Control, 0, &announce(&record)).await;
            world.must_close(link, ErrorCode::BadRequest, &format!("a label {bad:?}")).await;
        } else {
            drop(link);
            world.down().await;
        }
    }
    let mut link = world.open(Role::Home).await;
    link.send_frame(FrameKind::Control, 0, &register(b"../etc/passwd", b"")).await;
    world.must_close(link, ErrorCode::NameInvalid, "registered").await;
    until("nothing was taken", || world.main.registry().services.len() == 1).await;
    world.still_serves().await;
}

const ME: &str = "the peer";
const HELLO: u8 = 7;
const RESYNC: u8 = 10;
/// The reason of the goodbye to a link that a newer one replaces.
const SUPERSEDED: u64 = 5;
