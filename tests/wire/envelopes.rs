//! A second reader of payloads, written from docs/protocol.md and nothing else, against the one of
//! the core: both refuse the same bytes, and read the same in all others.

use proptest::collection::vec;
use proptest::prelude::*;
use relay_core::message::{
    ChunkEnvelope, ControlMessage, Credit, ErrorEnvelope, HopList, PublicationEnvelope, Record,
    RequestEnvelope, ResponseEnvelope, Texts, records,
};
use relay_core::{ErrorCode, Executed, Retry};

use crate::vectors::Vectors;

/// What was read, field by field; nothing where it was refused.
type Read = Option<Vec<String>>;

/// The rest of a payload, read by the rules of section 3.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn raw(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.raw(1)?[0])
    }

    /// Groups of seven bits, the lowest first, no more than fit a number of so many bits.
    fn varint(&mut self, bits: u32) -> Option<u64> {
        let mut sum: u128 = 0;
        for group in 0..bits.div_ceil(7) {
            let byte = self.byte()?;
            sum += u128::from(byte % 128) << (group * 7);
            if byte < 128 {
                return u64::try_from(sum).ok().filter(|_| sum >> bits == 0);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.varint(32)?;
        self.raw(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Packed texts, none of which breaks its rule.
    fn texts(&mut self, rule: impl Fn(&str) -> bool) -> Option<Vec<&'a str>> {
        let mut packed = Rest(self.bytes()?);
        let mut all = Vec::new();
        while !packed.0.is_empty() {
            all.push(packed.text().filter(|text| rule(text))?);
        }
        Some(all)
    }

    /// Pairs with rising keys in at most `bytes_max` bytes.
    fn pairs(&mut self, bytes_max: usize) -> Option<Vec<&'a str>> {
        let before = Rest(self.0).bytes()?.len();
        let printable = |text: &str| text.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
        let all = self.texts(printable)?;
        let keys: Vec<&str> = all.iter().step_by(2).copied().collect();
        let rising = keys.windows(2).all(|two| two[0].as_bytes() < two[1].as_bytes());
        let named = keys.iter().all(|key| !key.is_empty());
        let fits = before <= bytes_max && all.len() <= 64 && all.len() % 2 == 0;
        (rising && named && fits).then_some(all)
    }

    /// Names of Mains, at least one.
    fn path(&mut self) -> Option<Vec<&'a str>> {
        self.texts(is_id).filter(|path| (1..=13).contains(&path.len()))
    }

    fn hops(&mut self) -> Option<String> {
        let packed = self.bytes().filter(|packed| packed.len() <= 2_304)?;
        let (mut rest, mut all) = (Rest(packed), Vec::new());
        while !rest.0.is_empty() {
            let node = rest.text().filter(|node| is_id(node))?;
            all.push((node, rest.varint(64)?, rest.byte()?));
        }
        Some(format!("{all:?}"))
    }

    fn record(&mut self) -> Option<String> {
        let kind = self.varint(32)?;
        let origin = self.text().filter(|origin| is_id(origin))?;
        let word = match kind {
            0 | 1 => Some((self.varint(64)?, self.varint(64)?)),
            2 => None,
            _ => return None,
        };
        let service = self.text()?;
        let pattern = service.strip_prefix('#');
        if !pattern.map_or_else(|| is_name(service), is_pattern) {
            return None;
        }
        let node = self.text().filter(|node| is_id(node))?;
        if pattern.is_some() && node != origin {
            return None;
        }
        let mut read = format!("{kind} {origin} {word:?} {service} {node}");
        if kind == 0 {
            let (key, methods) = (self.raw(8)?, self.texts(is_name)?);
            let (labels, ttl_ms) = (self.pairs(1_024)?, self.varint(32)?);
            if pattern.is_some() && !(methods.is_empty() && labels.is_empty()) {
                return None;
            }
            read += &format!(" {key:?} {methods:?} {labels:?} {ttl_ms} {:?}", self.path()?);
        }
        Some(read)
    }
}

fn is_id(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    (1..=128).contains(&text.len()) && text.chars().all(legal)
}

fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&text.len()) && text.chars().all(legal)
}

fn is_topic(text: &str) -> bool {
    text.len() <= 256 && text.split('.').count() <= 8 && text.split('.').all(is_name)
}

fn is_pattern(text: &str) -> bool {
    let levels: Vec<&str> = text.split('.').collect();
    let is_last = |at: usize| at + 1 == levels.len();
    let legal = |(at, level): (usize, &&str)| match *level {
        "*" => true,
        "**" => is_last(at),
        other => is_name(other),
    };
    text.len() <= 256 && levels.len() <= 8 && levels.iter().enumerate().all(legal)
}

fn is_sentence(text: &str) -> bool {
    text.len() <= 1_024 && !text.contains(char::is_control)
}

fn read_request(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let node = rest.text()?;
    let parts: Vec<&str> = node.split('@').collect();
    if !node.is_empty() && (parts.len() > 2 || !parts.iter().all(|part| is_id(part))) {
        return None;
    }
    let service = rest.text().filter(|service| is_name(service))?;
    let method = rest.text().filter(|method| is_name(method))?;
    let deadline = rest.varint(32)?;
    let options = rest.byte().filter(|options| *options < 128 && options & 12 != 12)?;
    let (ttl, content, headers) = (rest.byte()?, rest.byte()?, rest.pairs(8_192)?);
    let path = if options & 16 != 0 { rest.path()? } else { Vec::new() };
    let reads = if options & 64 != 0 { rest.byte().filter(|reads| *reads > 0)? } else { 0 };
    let numbers = format!("{deadline} {options} {ttl} {content} {reads}");
    let lists = format!("{headers:?} {path:?}");
    Some(vec![format!("{node} {service} {method}"), numbers, lists, format!("{:?}", rest.0)])
}

fn read_response(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let status = rest.varint(32).filter(|status| *status < 4)?;
    let content = rest.byte()?;
    let hops = if status >= 2 { rest.hops()? } else { String::from("[]") };
    Some(vec![format!("{status} {content}"), hops, format!("{:?}", rest.0)])
}

fn read_error(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let code = rest.varint(16)?;
    let executed = rest.varint(32).filter(|executed| *executed < 3)?;
    let retry = match rest.varint(32)? {
        2 => format!("after {}", rest.varint(32)?),
        other @ (0 | 1 | 3) => other.to_string(),
        _ => return None,
    };
    let limit = match rest.byte()? {
        0 => None,
        1 => Some(rest.varint(64)?),
        _ => return None,
    };
    let node = rest.text().filter(|node| is_id(node))?;
    let message = rest.text().filter(|message| is_sentence(message))?;
    let hops = if rest.0.is_empty() { String::from("[]") } else { rest.hops()? };
    // An unknown code reads as INTERNAL.
    let known = ErrorCode::ALL.iter().find(|known| u64::from(**known as u16) == code);
    let code = known.map_or(599, |known| *known as u16);
    let outcome = format!("{code} {executed} {retry} {limit:?}");
    rest.0.is_empty().then(|| vec![outcome, node.into(), message.into(), hops])
}

fn read_chunk(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let to = rest.varint(32).filter(|to| *to < 2)?;
    let (number, is_last) = (rest.varint(32)?, rest.byte().filter(|last| *last < 2)? == 1);
    let fits = rest.0.len() <= 65_536;
    fits.then(|| vec![format!("{to} {number} {is_last}"), format!("{:?}", rest.0)])
}

fn read_credit(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let to = rest.varint(32).filter(|to| *to < 2)?;
    let bytes = rest.varint(32).filter(|bytes| *bytes > 0)?;
    rest.0.is_empty().then(|| vec![format!("{to} {bytes}")])
}

fn read_publication(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let topic = rest.text().filter(|topic| is_topic(topic))?;
    let publisher = rest.text().filter(|publisher| is_id(publisher))?;
    let key = rest.raw(8)?;
    let (life, seq) = (rest.varint(64)?, rest.varint(64).filter(|seq| *seq > 0)?);
    let (content, headers) = (rest.byte()?, rest.pairs(8_192)?);
    let path = rest.texts(is_id).filter(|path| path.len() <= 13)?;
    let head = format!("{topic} {publisher} {key:?} {life} {seq} {content}");
    Some(vec![head, format!("{headers:?} {path:?}"), format!("{:?}", rest.0)])
}

fn core_publication(payload: &[u8]) -> Read {
    let (read, body) = PublicationEnvelope::decode(payload).ok()?;
    let PublicationEnvelope { topic, publisher, key, life, seq, content, headers, path } = read;
    let head = format!("{topic} {publisher} {key:?} {life} {seq} {content}");
    Some(vec![head, format!("{:?} {:?}", list(headers), list(path)), format!("{body:?}")])
}

fn read_control(payload: &[u8]) -> Read {
    let mut rest = Rest(payload);
    let number = rest.varint(32)?;
    let mut read = vec![number.to_string()];
    match number {
        0..=3 => read.push(rest.text().filter(|service| is_name(service))?.into()),
        4 | 10 | 11 => {}
        5 => read.push(rest.varint(16)?.to_string()),
        6 => read.push(format!("{:?}", rest.pairs(1_024)?)),
        7 => read.push(rest.varint(64)?.to_string()),
        8 => {
            let mut page = Rest(rest.bytes()?);
            while !page.0.is_empty() {
                read.push(page.record()?);
            }
        }
        9 => read.push(format!("{} {}", rest.varint(32)?, rest.varint(64)?)),
        12..=16 => read.push(rest.text().filter(|pattern| is_pattern(pattern))?.into()),
        17 | 18 => read.push(rest.varint(32)?.to_string()),
        _ => return None,
    }
    if number == 0 {
        read.push(format!("{:?} {}", rest.texts(is_name)?, rest.varint(32)?));
    }
    if [2, 16, 18].contains(&number) {
        read.push(rest.varint(16)?.to_string());
    }
    if [2, 5, 16].contains(&number) {
        read.push(rest.text().filter(|message| is_sentence(message))?.into());
    }
    if number == 5 {
        read.push(rest.varint(32)?.to_string());
    }
    rest.0.is_empty().then_some(read)
}

/// The same in the words of the core.
fn core_request(payload: &[u8]) -> Read {
    let (read, body) = RequestEnvelope::decode(payload).ok()?;
    let RequestEnvelope {
        node, service, method, deadline_ms, options, ttl, content, reads, ..
    } = read;
    let numbers = format!("{deadline_ms} {options} {ttl} {content} {reads}");
    let lists = format!("{:?} {:?}", list(read.headers), list(read.path));
    Some(vec![format!("{node} {service} {method}"), numbers, lists, format!("{body:?}")])
}

fn core_response(payload: &[u8]) -> Read {
    let (read, hops, body) = ResponseEnvelope::decode(payload).ok()?;
    let head = format!("{} {}", read.status as u8, read.content);
    Some(vec![head, core_hops(hops), format!("{body:?}")])
}

fn core_error(payload: &[u8]) -> Read {
    let (error, hops) = ErrorEnvelope::decode(payload).ok()?;
    let executed = match error.executed {
        Executed::No => 0,
        Executed::Yes => 1,
        Executed::Unknown => 2,
    };
    let retry = match error.retry {
        Retry::Safe => String::from("0"),
        Retry::Unsafe => String::from("1"),
        Retry::AfterMs(ms) => format!("after {ms}"),
        Retry::Never => String::from("3"),
    };
    let outcome = format!("{} {executed} {retry} {:?}", error.code as u16, error.limit);
    Some(vec![outcome, error.node, error.message, core_hops(hops)])
}

fn core_chunk(payload: &[u8]) -> Read {
    let (chunk, body) = ChunkEnvelope::decode(payload).ok()?;
    let head = format!("{} {} {}", chunk.to as u8, chunk.number, chunk.is_last);
    Some(vec![head, format!("{body:?}")])
}

fn core_credit(payload: &[u8]) -> Read {
    let credit = Credit::decode(payload).ok()?;
    Some(vec![format!("{} {}", credit.to as u8, credit.bytes)])
}

fn core_hops(hops: HopList<'_>) -> String {
    format!("{:?}", hops.iter().map(|hop| (hop.node, hop.micros, hop.attempts)).collect::<Vec<_>>())
}

fn list(texts: Texts<'_>) -> Vec<&str> {
    texts.iter().map(|text| text.expect("a list that was read is legal")).collect()
}

fn core_control(payload: &[u8]) -> Read {
    use ControlMessage as M;
    Some(match ControlMessage::decode(payload).ok()? {
        M::Register { service, methods, ttl_ms } => {
            vec!["0".into(), service.into(), format!("{:?} {ttl_ms}", list(methods))]
        }
        M::Registered { service } => vec!["1".into(), service.into()],
        M::Refused { service, code, message } => {
            vec!["2".into(), service.into(), code.to_string(), message.into()]
        }
        M::Withdraw { service } => vec!["3".into(), service.into()],
        M::Refresh => vec!["4".into()],
        M::Goodbye { code, message, reconnect_in_ms } => {
            vec!["5".into(), code.to_string(), message.into(), reconnect_in_ms.to_string()]
        }
        M::Labels { labels } => vec!["6".into(), format!("{:?}", list(labels))],
        M::Hello { epoch_seen } => vec!["7".into(), epoch_seen.to_string()],
        M::Announce { page } => {
            std::iter::once("8".into()).chain(records(page).map(core_record)).collect()
        }
        M::Digest { count, sum } => vec!["9".into(), format!("{count} {sum}")],
        M::Resync => vec!["10".into()],
        M::Leaving => vec!["11".into()],
        M::Subscribe { pattern } => vec!["12".into(), pattern.into()],
        M::Unsubscribe { pattern } => vec!["13".into(), pattern.into()],
        M::Subscribed { pattern } => vec!["14".into(), pattern.into()],
        M::Unsubscribed { pattern } => vec!["15".into(), pattern.into()],
        M::NotSubscribed { pattern, code, message } => {
            vec!["16".into(), pattern.into(), code.to_string(), message.into()]
        }
        M::Missed { count } => vec!["17".into(), count.to_string()],
        M::NotPublished { count, code } => vec!["18".into(), count.to_string(), code.to_string()],
    })
}

fn core_record(record: Record<'_>) -> String {
    match record {
        Record::Up { origin, epoch, seq, service, node, key, methods, labels, ttl_ms, path } => {
            let (methods, labels, path) = (list(methods), list(labels), list(path));
            let word = Some((epoch, seq));
            let head = format!("0 {origin} {word:?} {service} {node}");
            format!("{head} {key:?} {methods:?} {labels:?} {ttl_ms} {path:?}")
        }
        Record::Down { origin, epoch, seq, service, node } => {
            format!("1 {origin} {:?} {service} {node}", Some((epoch, seq)))
        }
        Record::Lost { origin, service, node } => {
            format!("2 {origin} {:?} {service} {node}", None::<(u64, u64)>)
        }
    }
}

type Reader = fn(&[u8]) -> Read;

/// Each kind of payload, as the document reads it and as the core does.
const READERS: [(&str, Reader, Reader); 7] = [
    ("publish/", read_publication, core_publication),
    ("control/", read_control, core_control),
    ("request/", read_request, core_request),
    ("response/", read_response, core_response),
    ("error/", read_error, core_error),
    ("stream/", read_chunk, core_chunk),
    ("credit/", read_credit, core_credit),
];

/// Both readers of every kind agree. Tells how many of them took the payload.
fn agree(payload: &[u8]) -> usize {
    let taken = READERS.iter().filter(|(kind, document, core)| {
        let expected = document(payload);
        assert_eq!(core(payload), expected, "{kind} {payload:02x?}");
        expected.is_some()
    });
    taken.count()
}

#[test]
fn over_every_vector_every_cut_and_every_byte_changed() {
    let vectors = Vectors::load();
    let mut read = 0;
    for (kind, document, _) in READERS {
        for name in vectors.names().filter(|name| name.starts_with(kind)) {
            let payload = vectors.payload(name);
            assert!(document(payload).is_some(), "{name} is not what the document says");
            for end in 0..payload.len() {
                agree(&payload[..end]);
            }
            for at in 0..payload.len() {
                let mut changed = payload.to_vec();
                for byte in 0..=u8::MAX {
                    changed[at] = byte;
                    read += agree(&changed);
                }
                changed.remove(at);
                agree(&changed);
            }
        }
    }
    assert!(read > 10_000, "most changes are in names and numbers, which stay legal: {read}");
}

#[test]
fn at_the_bounds_of_paths_hops_and_labels() {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let bytes = |bytes: Vec<u8>| {
        let length = [bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8];
        [&length[..], &bytes].concat()
    };
    for (mains, expected) in [(0, 0), (1, 1), (13, 1), (14, 0)] {
        let path = bytes(text("main").repeat(mains));
        let head = b"\0\x01a\x01b\x01\x10\x0a\0\0";
        let taken = [&head[..], &path].concat();
        assert_eq!(usize::from(core_request(&taken).is_some()), expected, "{mains} Mains");
        agree(&taken);
    }
    let hop = |length: usize| [text(&"n".repeat(length)), vec![1, 1]].concat();
    for (last, expected) in [(125, true), (126, false)] {
        let hops = bytes([hop(125).repeat(17), hop(last)].concat());
        let response = [&[2, 0][..], &hops].concat();
        assert_eq!(core_response(&response).is_some(), expected, "{} bytes", hops.len() - 2);
        agree(&response);
    }
    for (length, expected) in [(1_020, true), (1_021, false)] {
        let labels = bytes([text("k"), bytes(vec![b'v'; length])].concat());
        let message = [&[6][..], &labels].concat();
        assert_eq!(core_control(&message).is_some(), expected, "{length}");
        agree(&message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn over_random_payloads(payload in vec(prop_oneof![0_u8..16, any::<u8>()], 0..64)) {
        agree(&payload);
    }

    /// Pages in which most records are nearly right.
    #[test]
    fn over_plausible_pages(
        picks in vec((0_usize..4, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let vectors = Vectors::load();
        let payload = vectors.payload("control/announce_changes");
        // The page behind the number and its length; each record starts where the one before ends.
        let page = &payload[3..];
        let mut rest = Rest(page);
        let mut found = Vec::new();
        while !rest.0.is_empty() {
            let before = rest.0;
            rest.record().expect("a legal record");
            found.push(&before[..before.len() - rest.0.len()]);
        }
        let mut pages = Vec::new();
        for (record, at, byte, is_changed) in picks {
            let mut record = found[record].to_vec();
            if is_changed {
                let at = at.index(record.len());
                record[at] = byte;
            }
            pages.extend(record);
        }
        let length = [pages.len() as u8 & 0x7f | 0x80, (pages.len() >> 7) as u8];
        agree(&[&[8][..], &length, &pages].concat());
    }
}
