//! JSON into Rhai values and back. Exact or refused: no integer is rounded, nothing that JSON lacks
//! is replaced by something like it.

use super::thrown;
use bytes::Bytes;
use rhai::{Array, Dynamic, EvalAltResult, FnPtr, ImmutableString, Map};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads one JSON text.
pub(super) fn from_json(text: &[u8]) -> Result<Dynamic, String> {
    if has_long_integer(text) {
        return Err(TOO_LONG.to_owned());
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Value.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Writes `value` as JSON. Functions inside of maps are left out, so that `this` can be returned.
pub(super) fn to_json(value: &Dynamic) -> Result<Bytes, Box<EvalAltResult>> {
    let mut text = Vec::new();
    write(value, 0, &mut text)?;
    Ok(Bytes::from(text))
}

fn write(value: &Dynamic, depth: usize, out: &mut Vec<u8>) -> Result<(), Box<EvalAltResult>> {
    if depth > DEPTH_MAX {
        return Err(thrown(format!("the value is nested deeper than {DEPTH_MAX} levels")));
    }
    if out.len() > JSON_BYTES_MAX {
        return Err(thrown(format!("the value is larger than {JSON_BYTES_MAX} bytes as JSON")));
    }
    if value.is_unit() {
        out.extend_from_slice(b"null");
    } else if let Ok(boolean) = value.as_bool() {
        out.extend_from_slice(if boolean { b"true" } else { b"false" });
    } else if let Ok(integer) = value.as_int() {
        out.extend_from_slice(integer.to_string().as_bytes());
    } else if let Ok(float) = value.as_float() {
        if !float.is_finite() {
            return Err(thrown(format!("the number {float} cannot be written as JSON")));
        }
        encode(&float, out)?;
    } else if let Ok(character) = value.as_char() {
        encode(&character, out)?;
    } else if let Some(text) = value.read_lock::<ImmutableString>() {
        encode(&text.as_str(), out)?;
    } else if let Some(array) = value.read_lock::<Array>() {
        write_all(array.iter().map(|item| (None, item)), *b"[]", depth, out)?;
    } else if let Some(map) = value.read_lock::<Map>() {
        let members = map.iter().filter(|(_, member)| !member.is::<FnPtr>());
        write_all(members.map(|(key, member)| (Some(key.as_str()), member)), *b"{}", depth, out)?;
    } else {
        let kind = value.type_name();
        return Err(thrown(format!("a value of type {kind} cannot be written as JSON")));
    }
    Ok(())
}

fn write_all<'a>(
    items: impl Iterator<Item = (Option<&'a str>, &'a Dynamic)>,
    [open, close]: [u8; 2],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Box<EvalAltResult>> {
    out.push(open);
    for (position, (key, item)) in items.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        if let Some(key) = key {
            encode(&key, out)?;
            out.push(b':');
        }
        write(item, depth + 1, out)?;
    }
    out.push(close);
    Ok(())
}

fn encode(value: &impl serde::Serialize, out: &mut Vec<u8>) -> Result<(), Box<EvalAltResult>> {
    serde_json::to_writer(out, value).map_err(|error| thrown(error.to_string()))
}

/// Whether an integer does not fit into 64 bits; `serde_json` would round it.
fn has_long_integer(text: &[u8]) -> bool {
    let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match first {
            b'"' => after_string(tail),
            b'-' | b'0'..=b'9' => {
                let end = rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
                let (number, after) = rest.split_at(end);
                if number.len() >= I64_DIGITS_MAX && is_long_integer(number) {
                    return true;
                }
                after
            }
            _ => tail,
        };
    }
    false
}

fn is_long_integer(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(number).is_ok_and(|number| number.parse::<i64>().is_err())
}

fn after_string(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
            [] => return text,
        };
    }
}

struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Dynamic;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Dynamic, E> {
        i64::try_from(value).map(Into::into).map_err(|_| E::custom(TOO_LONG))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Dynamic, E> {
        if value.len() > super::engine::STRING_BYTES_MAX {
            return Err(E::custom("a string is too long for a program"));
        }
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dynamic, A::Error> {
        let mut array = Array::new();
        while let Some(item) = items.next_element_seed(Self)? {
            if array.len() == super::engine::ITEMS_MAX {
                return Err(A::Error::custom("an array is too long for a program"));
            }
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Dynamic, A::Error> {
        let mut map = Map::new();
        while let Some(Key(key)) = members.next_key()? {
            let value = members.next_value_seed(Self)?;
            map.insert(key.into(), value);
            if map.len() > super::engine::ITEMS_MAX {
                return Err(A::Error::custom("an object has too many members for a program"));
            }
        }
        Ok(map.into())
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

const TOO_LONG: &str = "an integer does not fit into 64 bits; send it as a string";
const I64_DIGITS_MAX: usize = 19;
const DEPTH_MAX: usize = 100;
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back_exactly() {
        for text in [
            "null",
            "true",
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "0.1",
            "-0.0",
            "1e300",
            "5e-324",
            "\"\u{1F600}\\n\\u0000\"",
            "[]",
            "{}",
            "[1,[2.5,\"x\"],{\"a\":null}]",
            "1152921504606846976",
        ] {
            let there = from_json(text.as_bytes()).unwrap();
            let back = to_json(&there).unwrap();
            let (sent, got): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(text).unwrap(), serde_json::from_slice(&back).unwrap());
            assert_eq!(sent, got, "{text}");
            let again = from_json(&back).unwrap();
            assert_eq!(again.type_name(), there.type_name(), "{text} stays what it is");
        }
        let float = from_json(b"1.0").unwrap();
        assert_eq!(to_json(&float).unwrap(), "1.0");
    }

    #[test]
    fn nothing_is_rounded_in_silence() {
        for text in [
            "9223372036854775808",
            "18446744073709551616",
            "-9223372036854775809",
            "1e400",
            "[123456789012345678901234567890]",
            "{\"a\":123456789012345678901234567890}",
        ] {
            assert!(from_json(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            "1234567890123456789012.5",
            "12345678901234567890123e2",
            "\"123456789012345678901234567890\"",
            "1e-5",
            "[1e+5,\"\\\"1\"]",
        ] {
            assert!(from_json(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn hostile_values_are_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "1 2", "[1", "{\"a\" 1}", "nul", deep.as_str()] {
            assert!(from_json(text.as_bytes()).is_err(), "{text:.20}");
        }
        let mut value = Dynamic::UNIT;
        for _ in 0..=DEPTH_MAX {
            value = vec![value].into();
        }
        assert!(to_json(&value).is_err());
        assert!(to_json(&f64::NAN.into()).is_err());
        assert!(to_json(&FnPtr::new("f").unwrap().into()).is_err());
        let mut map = Map::new();
        map.insert("f".into(), FnPtr::new("f").unwrap().into());
        map.insert("a".into(), 1_i64.into());
        assert_eq!(to_json(&map.into()).unwrap(), r#"{"a":1}"#);
    }
}
