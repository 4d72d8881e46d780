//! One linear pass over JSON text, the only JSON parser on the path of a call.
//!
//! Decides what is JSON (RFC 8259) and where each value lies; knows nothing of requests. It never
//! recurses, so nesting costs one bit and not one stack frame, and it is stricter than most
//! parsers where leniency lets two readers disagree: surrogates in `\u` escapes must pair up.
//! The text must be UTF-8; that is the caller's check, made once for the whole body.

use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting that any scan can be asked to allow.
pub(crate) const SCAN_DEPTH_MAX: u32 = 128;

/// Why the text is not JSON, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed {
    /// Offset in bytes.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: &'static str,
}

/// What a value is, known from its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// One value that was scanned whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where its bytes lie, without the white space around it.
    pub(crate) span: Range<usize>,
}

/// A cursor over JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    depth_max: u32,
}

impl<'a> Scanner<'a> {
    /// Starts before the first byte; containers may nest `depth_max` deep.
    pub(crate) fn new(text: &'a [u8], depth_max: u32) -> Self {
        Self { text, at: 0, depth: 0, depth_max: depth_max.min(SCAN_DEPTH_MAX) }
    }

    /// What the next value is, without moving past it.
    pub(crate) fn peek_kind(&mut self) -> Result<Kind, Malformed> {
        self.skip_space();
        match self.text.get(self.at) {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) | None => Err(self.malformed("a value is expected")),
        }
    }

    /// Moves past one value, whatever it is.
    pub(crate) fn value(&mut self) -> Result<Value, Malformed> {
        let kind = self.peek_kind()?;
        let start = self.at;
        let depth = self.depth;
        // One bit for each container open inside this value, the innermost lowest: set = object.
        let mut open = 0_u128;
        loop {
            match self.peek_kind()? {
                container @ (Kind::Object | Kind::Array) => {
                    let is_object = container == Kind::Object;
                    self.descend()?;
                    open = open << 1 | u128::from(is_object);
                    self.skip_space();
                    if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Kind::String => {
                    self.string()?;
                }
                Kind::Number => self.number()?,
                Kind::Bool | Kind::Null => self.word()?,
            }
            loop {
                if self.depth == depth {
                    return Ok(Value { kind, span: start..self.at });
                }
                self.skip_space();
                let is_object = open & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => self.ascend(),
                    Some(b']') if !is_object => self.ascend(),
                    Some(_) | None => return Err(self.malformed("',' or an end is expected")),
                }
                open >>= 1;
            }
        }
    }

    /// Walks one object, handing over the raw text between the quotes of each key and the value.
    pub(crate) fn members(
        &mut self,
        mut each: impl FnMut(&'a [u8], Value),
    ) -> Result<Range<usize>, Malformed> {
        let start = self.enter(b'{')?;
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                let key = self.key()?;
                let value = self.value()?;
                each(&self.text[key], value);
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    Some(_) | None => return Err(self.malformed("',' or '}' is expected")),
                }
            }
        }
        self.ascend();
        Ok(start..self.at)
    }

    /// Walks one array; `each` must move past exactly one value.
    pub(crate) fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter(b'[')?;
        self.skip_space();
        if self.peek() != Some(b']') {
            loop {
                each(self)?;
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    Some(_) | None => return Err(self.malformed("',' or ']' is expected")),
                }
            }
        }
        self.ascend();
        Ok(())
    }

    /// Refuses anything but white space after the last value.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.malformed("trailing bytes")) }
    }

    fn enter(&mut self, bracket: u8) -> Result<usize, Malformed> {
        self.skip_space();
        if self.peek() != Some(bracket) {
            return Err(self.malformed("an object or an array is expected"));
        }
        let start = self.at;
        self.descend()?;
        Ok(start)
    }

    fn descend(&mut self) -> Result<(), Malformed> {
        if self.depth >= self.depth_max {
            return Err(self.malformed("nested too deeply"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    const fn ascend(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Moves past `"key" :` and says where the text between the quotes lies.
    fn key(&mut self) -> Result<Range<usize>, Malformed> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a member name is expected"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.malformed("':' is expected"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Moves past a string, from its opening quote on.
    fn string(&mut self) -> Result<Range<usize>, Malformed> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.malformed("a control character in a string")),
                None => return Err(self.malformed("a string without an end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xD800..=0xDBFF => {
                    if self.text.get(self.at) != Some(&b'\\')
                        || self.text.get(self.at + 1) != Some(&b'u')
                        || !(0xDC00..=0xDFFF).contains(&self.code_unit()?)
                    {
                        return Err(self.malformed("a lone surrogate"));
                    }
                    Ok(())
                }
                0xDC00..=0xDFFF => Err(self.malformed("a lone surrogate")),
                _ => Ok(()),
            },
            Some(_) | None => Err(self.malformed("an unknown escape")),
        }
    }

    /// Moves past `\uXXXX`.
    fn code_unit(&mut self) -> Result<u32, Malformed> {
        let mut unit = 0;
        for offset in 2..6 {
            let digit =
                self.text.get(self.at + offset).and_then(|&byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.malformed("four hex digits are expected"));
            };
            unit = unit << 4 | digit;
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.malformed("a number with a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.malformed("a digit is expected"));
        }
        self.at += count;
        Ok(())
    }

    fn word(&mut self) -> Result<(), Malformed> {
        for word in [&b"true"[..], b"false", b"null"] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.malformed("a value is expected"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }
}

/// Checks that `bytes` are exactly one JSON value and says what it is.
pub(crate) fn one_value(bytes: &[u8], depth_max: u32) -> Result<Kind, Malformed> {
    check_utf8(bytes)?;
    let mut scanner = Scanner::new(bytes, depth_max);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value.kind)
}

/// Refuses text that is not UTF-8.
pub(crate) fn check_utf8(bytes: &[u8]) -> Result<(), Malformed> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Malformed { at: error.valid_up_to(), what: "not UTF-8" }),
    }
}

/// The text that the scanned characters between two quotes stand for.
pub(crate) fn unescape(between_quotes: &[u8]) -> Option<Cow<'_, str>> {
    if !between_quotes.contains(&b'\\') {
        return std::str::from_utf8(between_quotes).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", between_quotes, b"\""].concat();
    serde_json::from_slice(&quoted).ok().map(Cow::Owned)
}

/// How many bytes at the front are ordinary characters of a string, eight at a time.
fn plain_bytes(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let mut count = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = word ^ (ONES * 0x22);
        let escape = word ^ (ONES * 0x5C);
        let special =
            control | (quote.wrapping_sub(ONES) & !quote) | (escape.wrapping_sub(ONES) & !escape);
        if special & HIGH != 0 {
            break;
        }
        count += 8;
    }
    let rest = &text[count..];
    count + rest.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &[u8]) -> bool {
        one_value(text, 32).is_ok()
    }

    #[test]
    fn accepts_what_rfc_8259_allows() {
        for text in [
            "0",
            "-0",
            "1e400",
            "1.5E-7",
            "1152921504606846976",
            " [ ] ",
            "{}",
            "[{}]",
            "\t\r\n null ",
            r#""\u00e9\ud83d\ude00\\\"\/""#,
            r#"{"a":1,"a":2}"#,
            r#"{"":[[],{"x":[1,2,{"y":null}]}]}"#,
            "\"\u{1F600} plain text longer than eight bytes\"",
            "true",
            "false",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn refuses_what_rfc_8259_refuses() {
        for text in [
            "",
            " ",
            "\u{feff}1",
            "NaN",
            "Infinity",
            "-",
            "+1",
            "01",
            "-01",
            ".5",
            "1.",
            "1e",
            "1e+",
            "tru",
            "nul",
            "'a'",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "[1",
            "]",
            "{]",
            "[}",
            "1 1",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "/*c*/1",
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\u0041""#,
            r#""\ud83d\\ude00""#,
            r#""\ud800\ud800""#,
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        assert!(!is_json(b"\"\xff\"") && !is_json(b"\"\xed\xa0\x80\""), "invalid UTF-8");
    }

    #[test]
    fn j02_depth_is_bounded_without_recursion() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(one_value(&nested(32), 32).is_ok());
        assert!(one_value(&nested(33), 32).is_err());
        assert!(one_value(&nested(128), 1000).is_ok(), "the hard bound is 128");
        assert!(one_value(&nested(129), 1000).is_err());
        assert_eq!(one_value(&b"[".repeat(100_000), 32).map_err(|e| e.at), Err(32));
        let objects = [&br#"{"a":"#.repeat(33)[..], b"1", &b"}".repeat(33)].concat();
        assert!(one_value(&objects, 32).is_err() && one_value(&objects, 33).is_ok());
    }

    /// Mutates real documents and compares the verdict with an independent parser.
    #[test]
    fn agrees_with_serde_json_on_mutated_text() {
        let seeds: [&[u8]; 4] = [
            br#"{"jsonrpc":"2.0","method":"a.b","params":[1,-0.5e3,"x\u00e9\n"],"id":"q"}"#,
            br#"[ {"a" : [true,false,null, {}]} , "0123456789abcdef" , 12.25 ]"#,
            "{\"k\":\"\u{1F600}\\ud83d\\ude00 text\",\"n\":[[[0]]]}".as_bytes(),
            br#"[[],[[]],{"":{}},"\\\"\/",1E9]"#,
        ];
        let alphabet = b"{}[]:,\"\\0123456789-+.eEtrufalsn dD\x00\x1f\n\xff";
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % bound
        };
        let mut accepted = 0;
        for round in 0..200_000 {
            let mut text = seeds[round % seeds.len()].to_vec();
            for _ in 0..=random(2) {
                let at = random(text.len());
                match random(3) {
                    0 => text[at] = alphabet[random(alphabet.len())],
                    1 => text.insert(at, alphabet[random(alphabet.len())]),
                    _ => drop(text.remove(at)),
                }
            }
            let ours = one_value(&text, 32).is_ok();
            let theirs = match serde_json::from_slice::<serde_json::Value>(&text) {
                Ok(_) => true,
                // Beyond f64 is still JSON, but that parser stops there and cannot be asked.
                Err(error) if error.to_string().starts_with("number out of range") => continue,
                Err(_) => false,
            };
            accepted += usize::from(ours);
            assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&text));
        }
        assert!(accepted > 1_000, "the mutations must leave some documents valid: {accepted}");
    }

    #[test]
    fn members_and_elements_hand_over_exact_bytes() {
        let text = br#" {"a" : [1, 2] , "b\u0063":"x y"} "#;
        let mut seen = Vec::new();
        let mut scanner = Scanner::new(text, 32);
        let span = scanner.members(|key, value| seen.push((key.to_vec(), value))).unwrap();
        scanner.end().unwrap();
        assert_eq!(&text[span], &text[1..text.len() - 1]);
        assert_eq!(&text[seen[0].1.span.clone()], b"[1, 2]");
        assert_eq!(unescape(&seen[1].0).unwrap(), "bc");
        let mut kinds = Vec::new();
        let mut scanner = Scanner::new(b"[1, {}, \"a\"]", 32);
        scanner.elements(|inner| inner.value().map(|value| kinds.push(value.kind))).unwrap();
        assert_eq!(kinds, [Kind::Number, Kind::Object, Kind::String]);
    }
}
