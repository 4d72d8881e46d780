//! `relay pub`: one publication.

use super::{GOODBYE_MAX, Link, failed};
use crate::cli::{Failure, PubArgs, print};
use crate::commands::block_on;
use crate::commands::call::header_of;
use crate::json_rpc::{SCAN_DEPTH_MAX, one_value};
use futures_util::FutureExt;
use relay_tokio::{CallRequest, ErrorCode, Event, NameInvalid, Node, Publish, Published, is_topic};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

/// Publishes, and prints to whom it was handed.
///
/// # Errors
/// [`Failure`] when the command line is wrong, no Main is reached or it did not take the
/// publication.
pub fn execute(args: &PubArgs) -> Result<ExitCode, Failure> {
    if !is_topic(&args.topic) {
        let text = format!("{:?} is no topic: {}", args.topic, NameInvalid::Topic);
        return Err(Failure::usage(text).with_hint("write it as in messages.user.42"));
    }
    let headers: Vec<(String, String)> =
        args.header.iter().map(|text| header_of(text)).collect::<Result<_, _>>()?;
    let link = Link::of(&args.link)?;
    let body = body_of(args.json.as_deref())?;
    let mut said = String::new();
    block_on(async {
        said = publish(&link, &args.topic, &headers, &body).await?;
        Ok(ExitCode::SUCCESS)
    })?;
    print(&said)
}

async fn publish(
    link: &Link,
    topic: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<String, Failure> {
    let node = link.start()?;
    let main = link.reach(&node).await?;
    let mut events = node.events();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let publish = Publish { topic, body, headers: &headers };
    let Published { mains, .. } = node.publish_with(publish).map_err(|error| failed(&error))?;
    let taken = taken(&node, link.timeout).await;
    node.shutdown(GOODBYE_MAX).await;
    taken.map_err(|code| {
        let text = format!("{code}: {main} did not say that it has taken it: {}", code.meaning());
        Failure::work(text).with_hint("a slow link needs more time: --timeout")
    })?;
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::NotPublished { code, .. } = event {
            let text = format!("{code}: {main} did not pass it on: {}", code.meaning());
            return Err(Failure::work(text));
        }
    }
    Ok(format!("{topic}: {} bytes handed to {mains} Main, {main}\n", body.len()))
}

/// Waits until the Main has read all that was handed over, and has said what it has to say of it:
/// it reads in order, so that is so once it answers a call that was made afterwards, if only to say
/// that nobody serves it.
async fn taken(node: &Node, timeout: Duration) -> Result<(), ErrorCode> {
    let mut request = CallRequest::new(NOBODY, NOBODY, Vec::new());
    request.deadline = timeout;
    match node.call(request).await.map_err(|error| error.code) {
        Err(
            code @ (ErrorCode::Deadline
            | ErrorCode::LinkLost
            | ErrorCode::Unavailable
            | ErrorCode::Overloaded),
        ) => Err(code),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A service that nobody offers.
const NOBODY: &str = "relay-pub-nobody";

/// The JSON to publish, byte for byte but for the white space around it.
fn body_of(argument: Option<&str>) -> Result<Vec<u8>, Failure> {
    match argument {
        Some(text) if text != "-" => checked(text.as_bytes()),
        Some(_) | None => read_from(std::io::stdin().lock()),
    }
}

fn read_from(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    input
        .take(BODY_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::work(format!("cannot read the standard input: {error}")))?;
    checked(&bytes)
}

fn checked(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    if bytes.len() as u64 > BODY_BYTES_MAX {
        return Err(Failure::usage(format!("a publication has at most {BODY_BYTES_MAX} bytes")));
    }
    let bytes = bytes.trim_ascii();
    one_value(bytes, SCAN_DEPTH_MAX).map_err(|error| {
        Failure::usage(format!("this is not JSON: {}, at byte {}", error.what, error.at))
            .with_hint("write '{\"name\":\"value\"}', '[1,2]', 5 or '\"text\"'")
    })?;
    Ok(bytes.to_vec())
}

/// A message of a caller may not be larger.
const BODY_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_published_as_written() {
        for json in ["{\"a\" : 1.0e2, \"a\":[ ]}", "5", "\"text\"", "null", "-1"] {
            assert_eq!(body_of(Some(json)), Ok(json.as_bytes().to_vec()));
        }
        assert_eq!(read_from(&b" 1760000000\n"[..]), Ok(b"1760000000".to_vec()));
        for bad in ["", "hello", "{", "1 2", "\u{e4}"] {
            assert_eq!(body_of(Some(bad)).expect_err(bad).exit_code(), 2);
        }
        assert!(read_from(std::io::repeat(b' ')).is_err());
    }
}
