//! Envelopes: what is written is read, what breaks the rules is refused.

use super::*;
use alloc::string::{String, ToString};

fn bytes<T: Serialize>(value: &T) -> BytesMut {
    let mut out = BytesMut::new();
    encode(value, &mut out);
    out
}

fn request() -> RequestEnvelope<'static> {
    RequestEnvelope {
        node: "",
        service: "blog",
        method: "get_posts",
        deadline_ms: 60_000,
        options: 0,
        ttl: 10,
        content: 0,
        headers: Texts::default(),
        path: Texts::default(),
        reads: 0,
    }
}

fn decode_error(envelope: RequestEnvelope<'_>) -> MessageError {
    RequestEnvelope::decode(&bytes(&envelope)).expect_err("must be refused")
}

#[test]
fn a_request_is_read_as_written_and_the_body_follows() {
    let mut wire = bytes(&request());
    wire.extend_from_slice(br#"{"a":1e400}"#);
    let (envelope, body) = RequestEnvelope::decode(&wire).expect("legal");
    assert_eq!((envelope, body), (request(), &br#"{"a":1e400}"#[..]));
}

#[test]
fn f21_text_that_is_not_a_name_is_refused() {
    for bad in ["", "a\0b", "a\r\nb", "*", "a.b", "\u{202e}x", &"x".repeat(65)] {
        let code = decode_error(RequestEnvelope { service: bad, ..request() }).code();
        assert_eq!(code, ErrorCode::NameInvalid, "{bad:?}");
        let code = decode_error(RequestEnvelope { method: bad, ..request() }).code();
        assert_eq!(code, ErrorCode::NameInvalid, "{bad:?}");
    }
    // "blog" with its second byte made invalid, an overlong '/', and half of a surrogate pair.
    for text in [&b"\xff\xff\xff\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80"] {
        let mut wire = BytesMut::from(&[0, text.len() as u8][..]);
        wire.extend_from_slice(text);
        wire.extend_from_slice(&[1, b'm', 0, 0, 10, 0, 0]);
        assert_eq!(RequestEnvelope::decode(&wire).err(), Some(MessageError::Malformed));
    }
}

#[test]
fn every_prefix_of_an_envelope_is_refused() {
    let wire = bytes(&request());
    for end in 0..wire.len() {
        assert!(RequestEnvelope::decode(&wire[..end]).is_err(), "{end}");
    }
}

#[test]
fn f22_headers_are_few_short_sorted_and_unlike() {
    let headers = |pairs: &[(&str, &str)]| {
        let mut space = Vec::new();
        let texts = pairs.iter().flat_map(|(key, value)| [*key, *value]);
        let headers = Texts::pack(texts, &mut space);
        RequestEnvelope::decode(&bytes(&RequestEnvelope { headers, ..request() })).map(|_| ())
    };
    assert_eq!(headers(&[("a", "1"), ("b", "2")]), Ok(()));
    assert_eq!(headers(&[("a", "1"), ("a", "2")]), Err(MessageError::Headers));
    assert_eq!(headers(&[("b", "1"), ("a", "2")]), Err(MessageError::Headers));
    assert_eq!(headers(&[("a", "1\r\nb: 2")]), Err(MessageError::Headers));
    assert_eq!(headers(&[("", "1")]), Err(MessageError::Headers));
    assert_eq!(headers(&[("a", &"x".repeat(HEADER_BYTES_MAX))]), Err(MessageError::Headers));
    let many: Vec<String> = (100..133).map(|n| n.to_string()).collect();
    let pairs = |n: usize| many[..n].iter().map(|key| (key.as_str(), "")).collect::<Vec<_>>();
    assert_eq!(headers(&pairs(HEADERS_MAX)), Ok(()));
    assert_eq!(headers(&pairs(HEADERS_MAX + 1)), Err(MessageError::Headers));
    let odd = RequestEnvelope { headers: Texts(&[1, b'a']), ..request() };
    assert_eq!(decode_error(odd), MessageError::Headers);
}

#[test]
fn reserved_options_are_refused() {
    let options = 1 << 7;
    let read = decode_error(RequestEnvelope { options, ..request() });
    assert_eq!(read, MessageError::Options(options));
}

#[test]
fn an_error_keeps_its_outcome() {
    let mut error = CallError::new(ErrorCode::Overloaded, "main", "too many").with_limit(7);
    error.retry = Retry::AfterMs(250);
    let mut out = BytesMut::new();
    encode_error(&error, &mut out);
    assert_eq!(ErrorEnvelope::decode(&out), Ok((error, HopList::default())));
}

#[test]
fn an_error_text_is_cut_between_characters() {
    let error = CallError::new(ErrorCode::Internal, "main", "ä".repeat(ERROR_MESSAGE_BYTES_MAX));
    let mut out = BytesMut::new();
    encode_error(&error, &mut out);
    let read = ErrorEnvelope::decode(&out).expect("legal");
    assert_eq!(read.0.message.len(), ERROR_MESSAGE_BYTES_MAX);
}

#[test]
fn control_messages_are_read_as_written() {
    let mut space = Vec::new();
    let methods = Texts::pack(["get", "add"], &mut space);
    for message in [
        ControlMessage::Register { service: "blog", methods, ttl_ms: 1 },
        ControlMessage::Registered { service: "blog" },
        ControlMessage::Refused { service: "blog", code: 210, message: "taken" },
        ControlMessage::Withdraw { service: "blog" },
        ControlMessage::Refresh,
        ControlMessage::Goodbye { code: 1, message: "", reconnect_in_ms: 5 },
    ] {
        let wire = bytes(&message);
        assert_eq!(ControlMessage::decode(&wire), Ok(message));
        for end in 0..wire.len() {
            assert!(ControlMessage::decode(&wire[..end]).is_err());
        }
    }
    let bad = bytes(&ControlMessage::Withdraw { service: "a.b" });
    assert!(ControlMessage::decode(&bad).is_err());
    let methods = Texts(&[200, 1, b'x']);
    let bad = bytes(&ControlMessage::Register { service: "blog", methods, ttl_ms: 1 });
    assert!(ControlMessage::decode(&bad).is_err());
}

#[test]
fn messages_of_mains_are_read_as_written() {
    let (mut space, mut way) = (Vec::new(), Vec::new());
    let labels = Texts::pack(["zone", "eu"], &mut space);
    let path = Texts::pack(["main", "north"], &mut way);
    let up = Record::Up {
        origin: "north",
        epoch: u64::MAX,
        seq: 1,
        service: "blog",
        node: "alice",
        key: [9; 8],
        methods: Texts::default(),
        labels,
        ttl_ms: u32::MAX,
        path,
    };
    let (origin, service, node) = ("north", "blog", "alice");
    let all = [
        up,
        Record::Down { origin, epoch: 1, seq: 2, service, node },
        Record::Lost { origin, service, node },
    ];
    let page: Vec<u8> = all.iter().flat_map(|record| bytes(record).to_vec()).collect();
    assert_eq!(records(&page).collect::<Vec<_>>(), all);
    for message in [
        ControlMessage::Labels { labels },
        ControlMessage::Hello { epoch_seen: u64::MAX },
        ControlMessage::Announce { page: &page },
        ControlMessage::Announce { page: &[] },
        ControlMessage::Digest { count: u32::MAX, sum: 7 },
        ControlMessage::Resync,
        ControlMessage::Leaving,
    ] {
        let wire = bytes(&message);
        assert_eq!(ControlMessage::decode(&wire), Ok(message));
        for end in 0..wire.len() {
            assert!(ControlMessage::decode(&wire[..end]).is_err(), "{message:?}, {end} bytes");
        }
    }
}

#[test]
fn r10_one_bad_record_spoils_the_page() {
    let good = Record::Lost { origin: "north", service: "blog", node: "alice" };
    let spoilt = |record: Record<'_>| {
        let page = [&bytes(&good)[..], &bytes(&record)].concat();
        let wire = bytes(&ControlMessage::Announce { page: &page });
        ControlMessage::decode(&wire).expect_err("must be refused").code()
    };
    let up = |path, labels| Record::Up {
        origin: "north",
        epoch: 1,
        seq: 1,
        service: "blog",
        node: "alice",
        key: [0; 8],
        methods: Texts::default(),
        labels,
        ttl_ms: 1,
        path,
    };
    let mut space = Vec::new();
    let none = Texts::default();
    assert_eq!(spoilt(up(none, none)), ErrorCode::BadRequest);
    let long = Texts::pack(["x"; PATH_MAX + 1], &mut space);
    assert_eq!(spoilt(up(long, none)), ErrorCode::NameInvalid);
    let mut space = Vec::new();
    let path = Texts::pack(["north"], &mut space);
    assert_eq!(spoilt(up(path, Texts(&[1, b'k']))), ErrorCode::BadRequest);
    let mut space = Vec::new();
    let long = "v".repeat(1 << 10);
    let labels = Texts::pack(["k", &long], &mut space);
    assert_eq!(spoilt(up(path, labels)), ErrorCode::BadRequest);
    for (origin, service, node) in [("N", "blog", "a"), ("n", "a.b", "a"), ("n", "blog", "")] {
        let code = spoilt(Record::Lost { origin, service, node });
        assert_eq!(code, ErrorCode::NameInvalid, "{origin} {service} {node}");
    }
}

#[test]
fn f21_a_target_is_a_node_or_a_node_at_a_main() {
    for good in ["a", "a.b-c_d", "a@b", "a.b@c-d"] {
        assert!(is_target(good), "{good}");
        let wire = bytes(&RequestEnvelope { node: good, ..request() });
        assert_eq!(RequestEnvelope::decode(&wire).map(|read| read.0.node), Ok(good));
    }
    for bad in ["@", "a@", "@a", "a@b@c", "a@@b", "A@b", "a@B", "a @b", "a@*"] {
        let code = decode_error(RequestEnvelope { node: bad, ..request() }).code();
        assert_eq!(code, ErrorCode::NameInvalid, "{bad}");
    }
}

#[test]
fn high_and_low_exclude_each_other_and_a_path_is_announced() {
    let options = OPTION_HIGH | OPTION_LOW;
    assert_eq!(
        decode_error(RequestEnvelope { options, ..request() }),
        MessageError::Options(options)
    );
    for (options, priority) in
        [(OPTION_LOW, Priority::Low), (0, Priority::Normal), (OPTION_HIGH, Priority::High)]
    {
        let wire = bytes(&RequestEnvelope { options, ..request() });
        let (read, _) = RequestEnvelope::decode(&wire).expect("legal");
        assert_eq!((read.priority(), priority.options()), (priority, options));
    }
    // The option says that there is a path, and there is none; then an empty one.
    let mut wire = bytes(&RequestEnvelope { options: OPTION_PATH, ..request() });
    assert_eq!(RequestEnvelope::decode(&wire).err(), Some(MessageError::Malformed));
    wire.extend_from_slice(&[0]);
    assert_eq!(RequestEnvelope::decode(&wire).err(), Some(MessageError::Malformed));
    for (length, legal) in [(PATH_MAX, true), (PATH_MAX + 1, false)] {
        let mut space = Vec::new();
        let path = Texts::pack(core::iter::repeat_n("main", length), &mut space);
        let wire = bytes(&RequestEnvelope { options: OPTION_PATH, path, ..request() });
        assert_eq!(RequestEnvelope::decode(&wire).is_ok(), legal, "{length}");
    }
}

#[test]
fn what_the_caller_reads_is_announced() {
    // The option says so, and nothing follows; then nothing that is read.
    let mut wire = bytes(&RequestEnvelope { options: OPTION_READS, ..request() });
    assert_eq!(RequestEnvelope::decode(&wire).err(), Some(MessageError::Malformed));
    wire.extend_from_slice(&[0]);
    assert_eq!(RequestEnvelope::decode(&wire).err(), Some(MessageError::Malformed));
    let mut space = Vec::new();
    let path = Texts::pack(["a", "b"], &mut space);
    let options = OPTION_READS | OPTION_PATH;
    // A bit that has no meaning yet is for those who know it.
    for reads in [1, 2, 3, 0x83] {
        let envelope = RequestEnvelope { options, path, reads, ..request() };
        let mut wire = bytes(&envelope);
        wire.extend_from_slice(b"[]");
        assert_eq!(RequestEnvelope::decode(&wire), Ok((envelope, &b"[]"[..])));
    }
}

#[test]
fn hops_are_bounded_where_they_are_read_and_where_they_are_written() {
    let name = "n".repeat(128);
    let hop = Hop { node: &name, micros: u64::MAX, attempts: 3 };
    let mut packed = Vec::new();
    for count in 1..40 {
        let list = HopList::checked(&packed).expect("legal");
        packed = list.with(&hop);
        let expected = usize::min(count, HOPS_BYTES_MAX / 141);
        assert_eq!(HopList::checked(&packed).expect("legal").iter().count(), expected);
    }
    packed.extend_from_slice(&bytes(&hop));
    assert_eq!(HopList::checked(&packed), Err(MessageError::Malformed));
    assert_eq!(HopList::checked(&[1, b'!', 0, 0]), Err(MessageError::Malformed));
    assert_eq!(HopList::checked(&[1, b'a', 0]), Err(MessageError::Malformed));
}
