//! Texts and headers: what is no name goes no further.

use crate::attacker::{Said, label};
use crate::false_main::{caller_that_dials, end_of_its_link};
use crate::messages::{Hello, Request, Writer, register, texts};
use crate::wire::Kind;
use crate::world::World;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{CallRequest, ErrorCode, Event, Executed, Limits, Role};

rows! {
    f21_text_that_is_no_name,
    f22_headers,
}

/// Invalid UTF-8, overlong forms, halves of surrogate pairs, control characters, other alphabets.
const BAD: [&[u8]; 12] = [
    b"\xff\xfe",
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf5\x80\x80\x80",
    b"\xed\xa0\x80",
    b"a\0b",
    b"a\rb",
    b"a\nb",
    b"a/b",
    "a\u{202e}b".as_bytes(),
    "аdmin".as_bytes(),
];

async fn f21_text_that_is_no_name(kind: Kind) {
    // What a Home writes is to get through again and again, not its breaker to open.
    let patient = |limits: &mut Limits| limits.breaker_failures = 1 << 20;
    let mut world = World::start_with(kind, patient).await;
    texts_of_calls(&world).await;
    texts_of_targets(&world).await;
    texts_of_registrations(&mut world).await;
    texts_of_handshakes(&mut world).await;
    assert_eq!((world.ran(), world.main.stats().calls_forwarded), (0, 0));
    texts_of_refusals(kind).await;
    texts_of_answers(&mut world).await;
    world.still_serves().await;
}

async fn texts_of_calls(world: &World) {
    let mut link = world.open(Role::Caller).await;
    let good = Request::to("echo", "echo", b"1");
    let mut index = 0;
    for bad in BAD {
        let headers = |key: &[u8], value: &[u8]| texts([key, value]);
        // Header texts may hold any characters but control characters.
        let in_headers = !bad.is_ascii() && std::str::from_utf8(bad).is_ok() || bad == b"a/b";
        let mut requests = vec![
            Request { node: bad.to_vec(), ..good.clone() },
            Request { service: bad.to_vec(), ..good.clone() },
            Request { method: bad.to_vec(), ..good.clone() },
        ];
        if !in_headers {
            requests.push(Request { headers: headers(bad, b"v"), ..good.clone() });
            requests.push(Request { headers: headers(b"k", bad), ..good.clone() });
        }
        for request in requests {
            let id = label(index, 1);
            index += 1;
            link.call(id, &request).await;
            let (at, said) = link.answer().await;
            let Said::Failed(error) = said else { panic!("{bad:?}: {said:?}") };
            assert_eq!((at, error.executed), (id, Executed::No), "{bad:?}: {error}");
            let refused = [ErrorCode::BadRequest, ErrorCode::NameInvalid].contains(&error.code);
            assert!(refused && error.node == "main", "{bad:?}: {error}");
        }
    }
    link.is_alive().await;
}

/// A call names a node, or a node at a Main, and nothing that is nearly one of them.
async fn texts_of_targets(world: &World) {
    let mut link = world.open(Role::Caller).await;
    let good = Request::to("echo", "absent", b"1");
    let long = "x".repeat(129);
    let targets = [
        ("@", ErrorCode::NameInvalid),
        ("@main", ErrorCode::NameInvalid),
        ("honest.home@", ErrorCode::NameInvalid),
        ("honest.home@@main", ErrorCode::NameInvalid),
        ("honest.home@main@main", ErrorCode::NameInvalid),
        ("Honest.home@main", ErrorCode::NameInvalid),
        ("honest.home@Main", ErrorCode::NameInvalid),
        ("honest.home@ma in", ErrorCode::NameInvalid),
        ("*@main", ErrorCode::NameInvalid),
        (&format!("{long}@main"), ErrorCode::NameInvalid),
        (&format!("honest.home@{long}"), ErrorCode::NameInvalid),
        // Legal, but nobody is called so there.
        ("honest.home@elsewhere", ErrorCode::NoSuchService),
        ("nobody@main", ErrorCode::NoSuchService),
        ("main@main", ErrorCode::NoSuchService),
    ];
    for (index, (target, expected)) in (0..).zip(targets) {
        let id = label(index, 1);
        link.call(id, &Request { node: target.into(), ..good.clone() }).await;
        let (at, said) = link.answer().await;
        let Said::Failed(error) = said else { panic!("{target:?}: {said:?}") };
        assert_eq!((at, error.code, error.executed), (id, expected, Executed::No), "{target:?}");
    }
    link.is_alive().await;
}

async fn texts_of_registrations(world: &mut World) {
    let longest = [b'x'; 65];
    for bad in BAD.into_iter().chain([&b""[..], b"*", b"a.b", &longest]) {
        for payload in [register(bad, b""), register(b"good", &texts([bad]))] {
            let mut link = world.open(Role::Home).await;
            link.send_frame(FrameKind::Control, 0, &payload).await;
            let code = link.goodbye().await.expect("a goodbye");
            assert!([101, 211].contains(&code), "{bad:?}: {code}");
        }
    }
    let names = world.main.registry().services.into_iter().map(|found| found.name);
    assert_eq!(names.collect::<Vec<_>>(), ["echo"]);
}

async fn texts_of_handshakes(world: &mut World) {
    for bad in BAD {
        let (_, hello) = world.stranger(Role::Home);
        let mut requests = vec![
            Hello { node: bad.to_vec(), ..hello.clone() },
            Hello { cluster: bad.to_vec(), ..hello.clone() },
        ];
        if std::str::from_utf8(bad).is_err() {
            requests.push(Hello { token: Some(bad.to_vec()), ..hello });
        }
        for request in requests {
            let mut link = world.connect().await;
            let rejection = link.ask(&request.encode()).await.expect_err("must be refused");
            assert!([101, 211].contains(&rejection.code), "{bad:?}: {rejection:?}");
            assert!(link.frame().await.is_none());
        }
    }
}

/// What a hostile Main writes into the log of a dialler is bounded and clean.
async fn texts_of_refusals(kind: Kind) {
    let long = [b'x'; 10_000];
    for bad in BAD.into_iter().chain([&long[..]]) {
        let (node, mut link) = caller_that_dials(kind).await;
        let mut events = node.events();
        link.refuse(ErrorCode::Unauthenticated as u64, bad).await;
        let (_, detail) = end_of_its_link(&mut events).await;
        assert!(!detail.contains(char::is_control), "{bad:?}: {detail:?} got to the log");
        assert!(detail.len() <= 1_200, "{} bytes got to the log", detail.len());
    }
}

/// What a hostile Home writes for people is bounded and clean when it gets to them.
async fn texts_of_answers(world: &mut World) {
    let mut link = world.open_home("bad").await;
    let long = [b'x'; 1_025];
    let texts = BAD.into_iter().chain([&long[..]]);
    for bad in texts.filter(|bad| *bad != b"a/b") {
        for (node, message) in [(bad, &b"m"[..]), (b"x", bad)] {
            let caller = world.caller.node().clone();
            let call = CallRequest::new("bad", "ask", "1");
            let asked = tokio::spawn(async move { caller.call(call).await });
            let id = link.expect(FrameKind::Request).await.id();
            let error = Writer::default().varint(301).raw(&[0, 0, 0]).text(node).text(message).0;
            link.send_frame(FrameKind::Error, id, &error).await;
            let error = asked.await.unwrap().expect_err("an error");
            let text = format!("{}{}", error.node, error.message);
            assert!(!text.contains(char::is_control), "{bad:?}: {text:?} got to the caller");
            assert!(text.len() <= 1_024 + 128, "{} bytes got to the caller", text.len());
        }
    }
    let mut events = world.main.events();
    let goodbye = Writer::default().raw(&[5]).varint(0).text("a\nERROR forged line").varint(0).0;
    link.send_frame(FrameKind::Control, 0, &goodbye).await;
    drop(link);
    loop {
        match events.next().await {
            Some(Event::Goodbye { message, .. }) => {
                assert!(!message.contains(char::is_control), "{message:?} got to the log");
            }
            Some(Event::LinkDown { detail, node, .. }) if node.is_some() => {
                assert!(!detail.contains(char::is_control), "{detail:?} got to the log");
                break;
            }
            Some(_) => {}
            None => panic!("the Main is gone"),
        }
    }
}

async fn f22_headers(kind: Kind) {
    let world = World::start(kind).await;
    let mut link = world.open(Role::Caller).await;
    let numbered =
        |count: usize| texts((0..count).flat_map(|n| [format!("key-{n:06}"), String::from("v")]));
    let at_the_limit = texts(["k".to_owned(), "v".repeat((8 << 10) - 4)]);
    assert_eq!(at_the_limit.len(), 8 << 10);
    let good = [Vec::new(), numbered(1), numbered(32), at_the_limit.clone(), texts(["k", ""])];
    let bad = [
        ("the same key twice", texts(["k", "1", "k", "2"])),
        ("the same key apart", texts(["a", "1", "b", "2", "a", "3"])),
        ("not in order", texts(["b", "1", "a", "2"])),
        ("one too many", numbered(33)),
        ("far too many", numbered(50_000)),
        ("one byte too long", texts(["k".to_owned(), "v".repeat((8 << 10) - 3)])),
        ("a key without a value", texts(["a", "1", "b"])),
        ("a key without a name", texts(["", "1"])),
        ("a control character", texts(["k", "a\r\nb: c"])),
        ("a length that lies", [&texts(["k"])[..], &[0xff, 0xff, 0x03]].concat()),
    ];
    let mut index = 0;
    for headers in good {
        let id = label(index, 1);
        index += 1;
        link.call(id, &Request { headers, ..Request::to("echo", "echo", b"1") }).await;
        assert_eq!(link.answer().await, (id, Said::Result(b"1".to_vec())));
    }
    let ran = world.ran();
    for (what, headers) in bad {
        let id = label(index, 1);
        index += 1;
        link.call(id, &Request { headers, ..Request::to("echo", "echo", b"1") }).await;
        let (at, said) = link.answer().await;
        let Said::Failed(error) = said else { panic!("{what}: {said:?}") };
        let told = (at, error.code, error.executed);
        assert_eq!(told, (id, ErrorCode::BadRequest, Executed::No), "{what}: {error}");
    }
    assert_eq!(world.ran(), ran, "a handler ran");
    link.is_alive().await;
    drop(link);
    world.still_serves().await;
}
