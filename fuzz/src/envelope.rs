//! The payloads of checked frames: what is read can be written, and is then read the same.

use relay_core::message::{
    CHUNK_BYTES_MAX, ChunkEnvelope, ControlMessage, Credit, ErrorEnvelope, HEADER_BYTES_MAX,
    HEADERS_MAX, HOPS_BYTES_MAX, HopList, OPTION_HIGH, OPTION_IDEMPOTENT, OPTION_LOW, OPTION_PATH,
    OPTION_READS, OPTION_STREAM, OPTION_TRACE, PATH_MAX, PublicationEnvelope, Record,
    RequestEnvelope, ResponseEnvelope, Texts, is_target, records,
};
use relay_core::topic::{is_pattern, is_topic, matches};
use relay_core::{CloseReason, ErrorCode, is_method, is_node_id, is_service};
use serde::Serialize;

/// A payload, given to every decoder.
pub fn envelope(data: &[u8]) {
    request(data);
    response(data);
    error(data);
    chunk(data);
    credit(data);
    control(data);
    publication(data);
    texts(data);
}

fn request(data: &[u8]) {
    let Ok((envelope, body)) = RequestEnvelope::decode(data) else { return };
    assert!(envelope.node.is_empty() || is_target(envelope.node));
    assert!(envelope.node.is_empty() || envelope.node.split('@').all(is_node_id));
    assert!(is_service(envelope.service) && is_method(envelope.method));
    let (high, low) = (OPTION_HIGH, OPTION_LOW);
    let known = OPTION_IDEMPOTENT | OPTION_TRACE | high | low;
    let known = known | OPTION_PATH | OPTION_STREAM | OPTION_READS;
    assert!(envelope.options & !known == 0 && envelope.options & (high | low) != high | low);
    pairs(envelope.headers, HEADER_BYTES_MAX);
    assert_eq!(envelope.options & OPTION_PATH != 0, !envelope.path.is_empty());
    path(envelope.path);
    assert_eq!(envelope.options & OPTION_READS != 0, envelope.reads != 0);
    let again = rewritten(&envelope, data, body);
    assert_eq!(RequestEnvelope::decode(&again), Ok((envelope, body)));
}

fn publication(data: &[u8]) {
    let Ok((envelope, body)) = PublicationEnvelope::decode(data) else { return };
    assert!(is_topic(envelope.topic) && is_pattern(envelope.topic));
    assert!(matches(envelope.topic, envelope.topic) && matches("**", envelope.topic));
    assert!(is_node_id(envelope.publisher) && envelope.seq > 0);
    pairs(envelope.headers, HEADER_BYTES_MAX);
    path(envelope.path);
    let again = rewritten(&envelope, data, body);
    assert_eq!(PublicationEnvelope::decode(&again), Ok((envelope, body)));
}

/// Pairs of key and value, as headers and labels are.
fn pairs(texts: Texts<'_>, bytes_max: usize) {
    assert!(texts.0.len() <= bytes_max);
    let texts: Vec<&str> = texts.iter().map(|text| text.expect("checked")).collect();
    assert!(texts.len().is_multiple_of(2) && texts.len() / 2 <= HEADERS_MAX);
    let keys: Vec<&str> = texts.chunks(2).map(|pair| pair[0]).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "sorted, and none twice: {keys:?}");
}

fn path(path: Texts<'_>) {
    let mains: Vec<&str> = path.iter().map(|text| text.expect("checked")).collect();
    assert!(mains.len() <= PATH_MAX && mains.into_iter().all(is_node_id));
}

fn response(data: &[u8]) {
    let Ok((envelope, hops, body)) = ResponseEnvelope::decode(data) else { return };
    assert!(envelope.status.is_traced() || hops.is_empty());
    let behind = if envelope.status.is_traced() { hop_list(hops) } else { Vec::new() };
    let again = rewritten(&envelope, data, &[&behind, body].concat());
    let (read, hops_again, body_again) = ResponseEnvelope::decode(&again).expect("just written");
    assert_eq!((read, body_again), (envelope, body));
    assert!(hops.iter().eq(hops_again.iter()), "{hops:?}");
}

/// Hops as they stand in front of a body or behind an error, in the shortest form.
fn hop_list(hops: HopList<'_>) -> Vec<u8> {
    let write = |value| postcard::to_allocvec(&value).expect("writing does not fail");
    let packed: Vec<u8> = hops.iter().flat_map(write).collect();
    assert!(packed.len() <= HOPS_BYTES_MAX && hops.iter().all(|hop| is_node_id(hop.node)));
    postcard::to_allocvec(&Texts(&packed)).expect("writing does not fail")
}

fn chunk(data: &[u8]) {
    let Ok((envelope, body)) = ChunkEnvelope::decode(data) else { return };
    assert!(body.len() <= CHUNK_BYTES_MAX);
    let again = rewritten(&envelope, data, body);
    assert_eq!(ChunkEnvelope::decode(&again), Ok((envelope, body)));
}

fn credit(data: &[u8]) {
    let Ok(credit) = Credit::decode(data) else { return };
    assert!(credit.bytes > 0);
    let again = rewritten(&credit, data, b"");
    assert_eq!(Credit::decode(&again), Ok(credit));
}

fn error(data: &[u8]) {
    let Ok((error, hops)) = ErrorEnvelope::decode(data) else { return };
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
    let mut again = postcard::to_allocvec(&envelope).expect("writing does not fail");
    if !hops.is_empty() {
        again.extend(hop_list(hops));
    }
    let (error_again, hops_again) = ErrorEnvelope::decode(&again).expect("just written");
    assert_eq!(error_again, error);
    assert!(hops.iter().eq(hops_again.iter()), "{hops:?}");
}

fn control(data: &[u8]) {
    let Ok(message) = ControlMessage::decode(data) else { return };
    if let ControlMessage::Register { service, methods, .. } = message {
        assert!(is_service(service));
        assert!(methods.iter().all(|method| method.is_ok_and(is_method)));
    }
    if let ControlMessage::Labels { labels } = message {
        pairs(labels, LABEL_BYTES_MAX);
    }
    if let ControlMessage::Announce { page } = message {
        announcement(page);
    }
    if let ControlMessage::Goodbye { code, .. } = message {
        let reason = CloseReason::from_wire(code);
        let is_known = reason != CloseReason::Fault(ErrorCode::Internal);
        assert!(!is_known || reason.to_wire() == code);
    }
    let again = rewritten(&message, data, b"");
    assert_eq!(ControlMessage::decode(&again), Ok(message));
}

/// Every record of a page that was taken is legal, none is lost, and all can be written again.
fn announcement(page: &[u8]) {
    let mut written = Vec::new();
    for record in records(page) {
        let (Record::Up { origin, service, node, .. }
        | Record::Down { origin, service, node, .. }
        | Record::Lost { origin, service, node }) = record;
        assert!(is_node_id(origin) && is_offer(service) && is_node_id(node));
        if let Record::Up { methods, labels, path: way, .. } = record {
            assert!(methods.iter().all(|method| method.is_ok_and(is_method)));
            pairs(labels, LABEL_BYTES_MAX);
            assert!(!way.is_empty());
            path(way);
        }
        written.extend(postcard::to_allocvec(&record).expect("writing does not fail"));
    }
    assert!(written.len() < page.len() || written == page, "{page:02x?}, wrote {written:02x?}");
    assert!(records(&written).eq(records(page)));
}

/// Whether a record may have this name: that of a service, or a pattern that has subscribers.
fn is_offer(name: &str) -> bool {
    name.strip_prefix('#').map_or_else(|| is_service(name), is_pattern)
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

/// What docs/protocol.md allows the labels of a node.
const LABEL_BYTES_MAX: usize = 1 << 10;
