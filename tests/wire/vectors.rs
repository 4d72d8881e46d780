//! Reads vectors.txt, and compares it with what the encoders write.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ours;

/// Every vector by its name.
pub(crate) struct Vectors(BTreeMap<String, Vector>);

/// One whole frame, field by field.
#[derive(Default)]
pub(crate) struct Vector {
    pub(crate) bytes: Vec<u8>,
    /// Where each field ends, its line in the file and its comment.
    fields: Vec<(usize, usize, String)>,
}

impl Vectors {
    /// Reads the file. A line that is neither a comment, a name nor a field is a mistake in it.
    pub(crate) fn load() -> Self {
        let mut vectors: BTreeMap<String, Vector> = BTreeMap::new();
        let mut name = None;
        for (at, line) in include_str!("vectors.txt").lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(new) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let before = vectors.insert(new.to_owned(), Vector::default());
                assert!(before.is_none(), "vectors.txt:{}: [{new}] stands twice", at + 1);
                name = Some(new.to_owned());
                continue;
            }
            let vector = name.as_ref().and_then(|name| vectors.get_mut(name));
            let vector = vector.unwrap_or_else(|| panic!("vectors.txt:{}: no [name]", at + 1));
            let (hex, comment) = line.split_once('#').unwrap_or((line, ""));
            for byte in hex.split_whitespace() {
                let byte = u8::from_str_radix(byte, 16);
                vector.bytes.push(byte.unwrap_or_else(|e| panic!("vectors.txt:{}: {e}", at + 1)));
            }
            vector.fields.push((vector.bytes.len(), at + 1, comment.trim().to_owned()));
        }
        Self(vectors)
    }

    pub(crate) fn get(&self, name: &str) -> &[u8] {
        match self.0.get(name) {
            Some(vector) => &vector.bytes,
            None => panic!("vectors.txt has no [{name}]: write it from docs/protocol.md"),
        }
    }

    /// The envelope and body of a vector.
    pub(crate) fn payload(&self, name: &str) -> &[u8] {
        let bytes = self.get(name);
        &bytes[14..bytes.len() - 4]
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Says which field of which line differs, or nothing.
    pub(crate) fn difference(&self, name: &str, found: &[u8]) -> Option<String> {
        let expected = self.get(name);
        if expected == found {
            return None;
        }
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        let mut text = format!("[{name}] differs from byte {same} on");
        let field = self.0[name].fields.iter().find(|(end, _, _)| *end > same);
        if let Some((end, line, comment)) = field {
            let _ = write!(text, ", vectors.txt:{line} ({comment}), before byte {end}");
        }
        let _ = write!(text, "\n  file: {}\n  code: {}", hex(expected), hex(found));
        Some(text)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn the_encoders_write_exactly_these_bytes() {
    let vectors = Vectors::load();
    let written = ours::written();
    let differences: Vec<_> =
        written.iter().filter_map(|(name, bytes)| vectors.difference(name, bytes)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let unused: Vec<_> =
        vectors.names().filter(|name| !written.iter().any(|(own, _)| own == name)).collect();
    assert!(unused.is_empty(), "no encoder is compared with {unused:?}");
}

#[test]
fn a_wrong_byte_is_named_with_its_line() {
    let vectors = Vectors::load();
    for at in 0..vectors.get("ping").len() {
        let mut wrong = vectors.get("ping").to_vec();
        wrong[at] ^= 1;
        let text = vectors.difference("ping", &wrong).expect("a difference");
        assert!(text.contains(&format!("from byte {at} on, vectors.txt:")), "{text}");
    }
}
