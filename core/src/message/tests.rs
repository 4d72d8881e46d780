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
    assert_eq!(
        decode_error(RequestEnvelope { options: 32, ..request() }),
        MessageError::Options(32)
    );
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
