//! The parameters of a call, from the command line or the standard input. JSON is sent byte for
//! byte as it was written.

use crate::cli::Failure;
use serde_json::value::RawValue;
use std::io::Read;

/// The JSON to send; nothing when no parameters are given.
pub(in crate::commands) fn read(arguments: &[String]) -> Result<Vec<u8>, Failure> {
    match arguments {
        [] => Ok(Vec::new()),
        [one] if one == "-" => read_from(std::io::stdin().lock()),
        [one] if !is_pair(one) => checked(one.as_bytes().to_vec()),
        pairs => object_of(pairs),
    }
}

fn read_from(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    input
        .take(PARAMS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::work(format!("cannot read the standard input: {error}")))?;
    checked(bytes)
}

/// JSON-RPC allows objects and arrays as parameters, nothing else.
fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.len() as u64 > PARAMS_BYTES_MAX {
        return Err(Failure::usage(format!("the parameters exceed {PARAMS_BYTES_MAX} bytes")));
    }
    let bytes = bytes.trim_ascii();
    let json: &RawValue = serde_json::from_slice(bytes).map_err(|error| {
        Failure::usage(format!("the parameters are not valid JSON: {error}"))
            .with_hint("write '{\"name\":\"value\"}', '[1,2]' or name=value")
    })?;
    if !json.get().starts_with(['{', '[']) {
        return Err(Failure::usage("parameters are a JSON object or array, not a single value")
            .with_hint(format!("write '[{}]'", json.get())));
    }
    Ok(bytes.to_vec())
}

fn object_of(pairs: &[String]) -> Result<Vec<u8>, Failure> {
    let mut names = std::collections::BTreeSet::new();
    let mut members = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=').filter(|_| is_pair(pair)) else {
            return Err(Failure::usage(format!("{pair:?} is no name=value"))
                .with_hint("give one JSON object or array, or only name=value pairs"));
        };
        if !names.insert(name) {
            return Err(Failure::usage(format!("the parameter {name:?} is given twice")));
        }
        // What is no JSON is a string: name=alice needs no second pair of quotes.
        let value = match serde_json::from_str::<&RawValue>(value) {
            Ok(json) => json.get().to_owned(),
            Err(_) => serde_json::Value::from(value).to_string(),
        };
        members.push(format!("{}:{value}", serde_json::Value::from(name)));
    }
    checked(format!("{{{}}}", members.join(",")).into_bytes())
}

fn is_pair(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    text.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(is_word))
}

/// Longest parameters: a caller's message may not be larger.
const PARAMS_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(arguments: &[&str]) -> Result<String, Failure> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        read(&arguments).map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn json_is_sent_as_written() {
        for json in ["{\"a\" : 1.0e2, \"b\":12345678901234567890123}", "[ 1,2 ]", "[]"] {
            assert_eq!(text(&[json]).as_deref(), Ok(json));
        }
        assert_eq!(text(&[]).as_deref(), Ok(""));
        assert_eq!(read_from(&b" [1]\n"[..]), Ok(b"[1]".to_vec()));
    }

    #[test]
    fn pairs_become_an_object() {
        assert_eq!(
            text(&["by=-5", "name=alice", "list=[1, 2]", "url=a=b", "empty=", "n=null"]).as_deref(),
            Ok(r#"{"by":-5,"name":"alice","list":[1, 2],"url":"a=b","empty":"","n":null}"#)
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for arguments in [
            &["5"][..],
            &["hello"],
            &["{"],
            &["{} {}"],
            &["a=1", "2"],
            &["a=1", "a=2"],
            &["=1", "b=2"],
        ] {
            let failure = text(arguments).expect_err(arguments[0]);
            assert_eq!(failure.exit_code(), 2);
        }
        assert!(read_from(std::io::repeat(b' ')).is_err());
    }
}
