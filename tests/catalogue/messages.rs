//! Messages written and read by hand from the description of the format, so that no test believes
//! the encoder that it tests.

use ed25519_dalek::{Signer, SigningKey};
use relay_tokio::Role;
use sha2::{Digest, Sha256};

/// Writes the values of a message one after the other.
#[derive(Clone, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Seven bits in a byte, lowest first; the highest bit says that more follow.
    pub(crate) fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// A text or a byte string: its length, then its bytes.
    pub(crate) fn text(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        self.varint(text.len() as u64).raw(text)
    }
}

/// Reads what [`Writer`] writes; anything missing ends the test.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn raw(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    pub(crate) fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.raw(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("a number without end");
    }

    pub(crate) fn text(&mut self) -> &'a str {
        let length = self.varint() as usize;
        std::str::from_utf8(self.raw(length)).expect("texts of a node are UTF-8")
    }
}

/// The request that opens a handshake, each field as the bytes that go over the wire.
#[derive(Clone)]
pub(crate) struct Hello {
    pub(crate) versions: (u8, u8),
    pub(crate) role: u8,
    pub(crate) node: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) cluster: Vec<u8>,
    /// Features as a number of any length, for numbers that are none.
    pub(crate) features: Vec<u8>,
    pub(crate) streams_max: u64,
    pub(crate) frame_bytes_max: u64,
    pub(crate) compressions: u8,
    pub(crate) nonce: [u8; 32],
    pub(crate) unix_seconds: u64,
    pub(crate) token: Option<Vec<u8>>,
}

impl Hello {
    /// What an honest node of these properties says.
    pub(crate) fn honest(signing: &SigningKey, role: Role, node: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            versions: (1, 1),
            role: role_number(role),
            node: node.into(),
            key: signing.verifying_key().to_bytes().to_vec(),
            cluster: b"default".to_vec(),
            features: vec![0],
            streams_max: 64,
            frame_bytes_max: 16 << 20,
            compressions: 0,
            nonce: [0x5a; 32],
            unix_seconds: since.expect("after 1970").as_secs(),
            token: None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (min, max) = self.versions;
        let message = Writer::default()
            .raw(&[REQUEST, min, max, self.role])
            .text(&self.node)
            .raw(&self.key)
            .text(&self.cluster)
            .raw(&self.features)
            .varint(self.streams_max)
            .varint(self.frame_bytes_max)
            .raw(&[self.compressions])
            .raw(&self.nonce)
            .varint(self.unix_seconds);
        match &self.token {
            None => message.raw(&[0]),
            Some(token) => message.raw(&[1]).text(token),
        }
        .0
    }
}

/// What the proof signs: the domain, then a hash over both messages with their lengths.
pub(crate) fn proof_text(request: &[u8], challenge: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for message in [request, challenge] {
        hash.update((message.len() as u64).to_be_bytes());
        hash.update(message);
    }
    [b"relay/1 handshake proof\0", &hash.finalize()[..]].concat()
}

/// The proof of whoever holds `signing`.
pub(crate) fn proof(signing: &SigningKey, request: &[u8], challenge: &[u8]) -> Vec<u8> {
    proof_of(&signing.sign(&proof_text(request, challenge)).to_bytes())
}

/// The proof with this signature.
pub(crate) fn proof_of(signature: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[PROOF]).raw(signature).0
}

/// A call; every field can be wrong.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) node: Vec<u8>,
    pub(crate) service: Vec<u8>,
    pub(crate) method: Vec<u8>,
    pub(crate) deadline_ms: u64,
    pub(crate) options: u8,
    pub(crate) ttl: u8,
    pub(crate) headers: Vec<u8>,
    /// Packed names; with a path the option says so.
    pub(crate) path: Vec<u8>,
    /// Compressions of the answer; with any the option says so.
    pub(crate) reads: u8,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn to(service: &str, method: &str, body: &[u8]) -> Self {
        Self {
            node: Vec::new(),
            service: service.into(),
            method: method.into(),
            deadline_ms: 60_000,
            options: 0,
            ttl: 10,
            headers: Vec::new(),
            path: Vec::new(),
            reads: 0,
            body: body.to_vec(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let envelope = Writer::default().text(&self.node).text(&self.service).text(&self.method);
        let has_path = !self.path.is_empty();
        let options = self.options | if has_path { OPTION_PATH } else { 0 };
        let options = options | if self.reads > 0 { OPTION_READS } else { 0 };
        let numbers = envelope.varint(self.deadline_ms).raw(&[options, self.ttl, 0]);
        let lists = numbers.text(&self.headers);
        let lists = if has_path { lists.text(&self.path) } else { lists };
        if self.reads > 0 { lists.raw(&[self.reads]) } else { lists }.raw(&self.body).0
    }
}

/// Packs texts as headers and method lists do.
pub(crate) fn texts<T: AsRef<[u8]>>(all: impl IntoIterator<Item = T>) -> Vec<u8> {
    all.into_iter().fold(Writer::default(), |packed, one| packed.text(one)).0
}

pub(crate) fn register(service: &[u8], methods: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[0]).text(service).text(methods).varint(600_000).0
}

/// Subscribes to a pattern, or with the number 13 gives it up.
pub(crate) fn subscribe(number: u8, pattern: &str) -> Vec<u8> {
    Writer::default().raw(&[number]).text(pattern).0
}

/// Who publishes: a name and the mark of a key.
pub(crate) type Author<'a> = (&'a str, [u8; 8]);

/// Whoever dials a Main publishes in its own name and by its own key, both of which it has just
/// told.
pub(crate) fn author(opening: &[u8]) -> Author<'_> {
    let (name, rest) = opening[5..].split_at(usize::from(opening[4]));
    (std::str::from_utf8(name).expect("a node id"), mark(&rest[..32]))
}

/// First bytes of the hash of a key.
pub(crate) fn mark(key: &[u8]) -> [u8; 8] {
    *Sha256::digest(key).first_chunk().expect("it has 32 bytes")
}

pub(crate) fn publication(topic: &str, author: Author<'_>, seq: u64, body: &[u8]) -> Vec<u8> {
    let head = Writer::default().text(topic).text(author.0).raw(&author.1).varint(7).varint(seq);
    head.raw(&[0, 0, 0]).raw(body).0
}

pub(crate) fn registered(service: &str) -> Vec<u8> {
    Writer::default().raw(&[1]).text(service).0
}

/// What a Main announces of a service; every field can be wrong.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) origin: String,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) service: String,
    pub(crate) node: String,
    /// Of the key of the node.
    pub(crate) mark: [u8; 8],
    pub(crate) methods: Vec<u8>,
    pub(crate) labels: Vec<u8>,
    pub(crate) ttl_ms: u64,
    pub(crate) path: Vec<u8>,
}

impl Up {
    /// A service of a Home that is attached to the Main `origin`, which announces it itself.
    pub(crate) fn of(origin: &str, service: &str) -> Self {
        Self {
            origin: origin.into(),
            epoch: 1,
            seq: 1,
            service: service.into(),
            node: "home".into(),
            mark: [7; 8],
            methods: Vec::new(),
            labels: Vec::new(),
            ttl_ms: 600_000,
            path: texts([origin]),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let word = Writer::default().raw(&[0]).text(&self.origin).varint(self.epoch);
        let names = word.varint(self.seq).text(&self.service).text(&self.node);
        let lists = names.raw(&self.mark).text(&self.methods).text(&self.labels);
        lists.varint(self.ttl_ms).text(&self.path).0
    }
}

/// The record that an offer is over.
pub(crate) fn down(origin: &str, epoch: u64, seq: u64, service: &str, node: &str) -> Vec<u8> {
    let word = Writer::default().raw(&[1]).text(origin).varint(epoch).varint(seq);
    word.text(service).text(node).0
}

/// A page of records.
pub(crate) fn announce(page: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[8]).text(page).0
}

/// The result `body` of a handler.
pub(crate) fn result(body: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[0, 0]).raw(body).0
}

/// The same, and the way of the call as its nodes tell it.
pub(crate) fn traced_result(nodes: &[&str], body: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[2, 0]).text(hops(nodes)).raw(body).0
}

/// What nodes say of a traced call: each passed it on for 5 microseconds, to one instance.
pub(crate) fn hops(nodes: &[&str]) -> Vec<u8> {
    nodes.iter().fold(Writer::default(), |packed, node| packed.text(node).raw(&[5, 1])).0
}

/// A chunk of a stream towards the caller (0) or the handler (1).
pub(crate) fn chunk(to: u8, number: u64, is_last: bool, body: &[u8]) -> Vec<u8> {
    Writer::default().raw(&[to]).varint(number).raw(&[u8::from(is_last)]).raw(body).0
}

/// Leave to send more towards the caller (0) or the handler (1).
pub(crate) fn credit(to: u8, bytes: u64) -> Vec<u8> {
    Writer::default().raw(&[to]).varint(bytes).0
}

/// An error answer: UNAVAILABLE, not executed, safe to try again, no limit.
pub(crate) fn unavailable(node: &str) -> Vec<u8> {
    Writer::default().varint(301).raw(&[0, 0, 0]).text(node).text("").0
}

pub(crate) const fn role_number(role: Role) -> u8 {
    match role {
        Role::Main => 0,
        Role::Home => 1,
        Role::Caller => 2,
    }
}

pub(crate) const REQUEST: u8 = 0;
pub(crate) const CHALLENGE: u8 = 1;
pub(crate) const PROOF: u8 = 2;
pub(crate) const RESPONSE: u8 = 3;
const OPTION_PATH: u8 = 1 << 4;
const OPTION_READS: u8 = 1 << 6;
