//! The payloads of checked frames: what is read can be written, and is then read the same.

use relay_core::message::{
    ControlMessage, ErrorEnvelope, HEADER_BYTES_MAX, HEADERS_MAX, OPTION_IDEMPOTENT,
    RequestEnvelope, ResponseEnvelope, Texts,
};
use relay_core::{CloseReason, ErrorCode, is_method, is_node_id, is_service};
use serde::Serialize;

/// A payload, given to every decoder.
pub fn envelope(data: &[u8]) {
    request(data);
    response(data);
    error(data);
    control(data);
    texts(data);
}

fn request(data: &[u8]) {
    let Ok((envelope, body)) = RequestEnvelope::decode(data) else { return };
    assert!(envelope.node.is_empty() || is_node_id(envelope.node));
    assert!(is_service(envelope.service) && is_method(envelope.method));
    assert!(envelope.options & !OPTION_IDEMPOTENT == 0);
    assert!(envelope.headers.0.len() <= HEADER_BYTES_MAX);
    let headers: Vec<&str> = envelope.headers.iter().map(|text| text.expect("checked")).collect();
    assert!(headers.len().is_multiple_of(2) && headers.len() / 2 <= HEADERS_MAX);
    let keys: Vec<&str> = headers.chunks(2).map(|pair| pair[0]).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "sorted, and none twice: {keys:?}");
    let again = rewritten(&envelope, data, body);
    assert_eq!(RequestEnvelope::decode(&again), Ok((envelope, body)));
}

fn response(data: &[u8]) {
    let Ok((envelope, body)) = ResponseEnvelope::decode(data) else { return };
    let again = rewritten(&envelope, data, body);
    assert_eq!(ResponseEnvelope::decode(&again), Ok((envelope, body)));
}

fn error(data: &[u8]) {
    let Ok(error) = ErrorEnvelope::decode(data) else { return };
    assert!(is_node_id(&error.node) && !error.to_string().is_empty());
    let envelope = ErrorEnvelope {
        code: error.code as u16,
        executed: error.executed,
        retry: error.retry,
        limit: error.limit,
        node: &error.node,
        message: &error.message,
    };
    // A code that is not known here was read as another one, which may be longer.
    let again = postcard::to_allocvec(&envelope).expect("writing does not fail");
    assert_eq!(ErrorEnvelope::decode(&again).as_ref(), Ok(&error));
}

fn control(data: &[u8]) {
    let Ok(message) = ControlMessage::decode(data) else { return };
    if let ControlMessage::Register { service, methods, .. } = message {
        assert!(is_service(service));
        assert!(methods.iter().all(|method| method.is_ok_and(is_method)));
    }
    if let ControlMessage::Goodbye { code, .. } = message {
        let reason = CloseReason::from_wire(code);
        let is_known = reason != CloseReason::Fault(ErrorCode::Internal);
        assert!(!is_known || reason.to_wire() == code);
    }
    let again = rewritten(&message, data, b"");
    assert_eq!(ControlMessage::decode(&again), Ok(message));
}

fn texts(data: &[u8]) {
    let Ok(list) = Texts(data).iter().collect::<Result<Vec<&str>, _>>() else { return };
    let mut space = Vec::new();
    let packed = Texts::pack(&list, &mut space);
    assert!(packed.0.len() <= data.len(), "the shortest form is written");
    assert!(packed.iter().map(|text| text.expect("just packed")).eq(list));
}

/// The shortest way to write what was read, which may have been written longer.
fn rewritten<T: Serialize>(value: &T, data: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = postcard::to_allocvec(value).expect("writing does not fail");
    bytes.extend_from_slice(body);
    assert!(bytes.len() < data.len() || bytes == data, "read {data:02x?}, wrote {bytes:02x?}");
    bytes
}
