//! Names of nodes, services and methods. One canonical form; anything else is refused, never
//! normalised.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// Longest node id in bytes.
pub const NODE_ID_BYTES_MAX: usize = 128;
/// Longest service name in bytes.
pub const SERVICE_BYTES_MAX: usize = 64;
/// Longest method name in bytes.
pub const METHOD_BYTES_MAX: usize = 64;

/// The id of a node: `[a-z0-9._-]{1,128}`, chosen by the operator or derived from its key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Checks `text` against the rules for node ids.
    ///
    /// # Errors
    /// [`NameInvalid`] when it is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Self, NameInvalid> {
        if is_node_id(text) { Ok(Self(Arc::from(text))) } else { Err(NameInvalid::Node) }
    }

    /// Stands for a name that cannot be.
    pub(crate) fn unknown() -> Self {
        Self(Arc::from("-"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Which kind of name broke its rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameInvalid {
    /// A node id: `[a-z0-9._-]{1,128}`.
    Node,
    /// A service name: `[A-Za-z0-9_-]{1,64}`.
    Service,
    /// A method name: `[A-Za-z0-9_-]{1,64}`.
    Method,
    /// A topic: up to eight service names with dots between them.
    Topic,
    /// A pattern of topics: a level may be `*`, the last one `**`.
    Pattern,
}

impl fmt::Display for NameInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "a node id is 1 to 128 of a-z 0-9 . _ -",
            Self::Service => "a service name is 1 to 64 of A-Z a-z 0-9 _ -",
            Self::Method => "a method name is 1 to 64 of A-Z a-z 0-9 _ -",
            Self::Topic => "a topic is 1 to 8 levels of A-Z a-z 0-9 _ - with dots between them",
            Self::Pattern => "a pattern is a topic in which levels may be * and the last one **",
        })
    }
}

impl core::error::Error for NameInvalid {}

/// Whether `text` is a legal node id.
#[must_use]
pub fn is_node_id(text: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=NODE_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether `text` is a legal service name.
#[must_use]
pub fn is_service(text: &str) -> bool {
    is_word(text, SERVICE_BYTES_MAX)
}

/// Whether `text` is a legal method name.
#[must_use]
pub fn is_method(text: &str) -> bool {
    is_word(text, METHOD_BYTES_MAX)
}

/// The node id that belongs to a key when the operator chose none: 16 hex digits of its hash.
pub(crate) fn node_id_of_key(key: &[u8; 32]) -> NodeId {
    let mut text = String::with_capacity(16);
    for byte in key_mark(key) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    NodeId(Arc::from(text))
}

/// The first bytes of the hash of a key, by which Mains tell each other whose a name is.
pub(crate) fn key_mark(key: &[u8; 32]) -> [u8; 8] {
    use sha2::Digest;
    let mut mark = [0; 8];
    mark.copy_from_slice(&sha2::Sha256::digest(key)[..8]);
    mark
}

/// Whether `id` has the form reserved for ids derived from a key.
pub(crate) fn is_derived_form(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    let legal = |byte: u8| WORD[usize::from(byte)];
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(legal)
}

/// Bytes legal in service and method names; a table, because every forwarded call checks both.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_have_one_form() {
        for good in ["a", "alice.home", "my_custom_node", "b25fe6e29e112e38", "x-1"] {
            assert!(is_node_id(good), "{good}");
        }
        for bad in ["", "Alice", "a b", "a/b", "ä", "a\0", &"a".repeat(129)] {
            assert!(!is_node_id(bad), "{bad:?}");
        }
        assert!(is_service("Blog_1-x") && is_service(&"a".repeat(64)));
        for bad in ["", "a.b", "*", "a%2e", &"a".repeat(65), "naïve", "a\n"] {
            assert!(!is_service(bad) && !is_method(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_key_has_one_id() {
        let id = node_id_of_key(&[7; 32]).to_string();
        assert!(is_derived_form(&id) && is_node_id(&id));
        assert_ne!(id, node_id_of_key(&[8; 32]).to_string());
    }
}
