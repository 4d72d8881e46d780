//! `subscribe`, `unsubscribe` and `message`, as a client writes them, and what it is told.

use super::control::Session;
use super::federation_message::Invalid;
use super::text::finish;
use super::topics::{Asked, Settled};
use super::typed;
use crate::json_rpc::{ID_BYTES_MAX, write_string};
use bytes::Bytes;
use relay_tokio::{CallError, ErrorCode, Publish, Published};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a client says of a topic, or of a pattern of topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Subscribe,
    Unsubscribe,
    Message,
}

#[derive(Deserialize)]
struct TopicMessage<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    /// There and `null` is not the same as not there.
    #[serde(borrow, default, deserialize_with = "whatever_is_there")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

fn whatever_is_there<'de, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(reader).map(Some)
}

/// Does what a message says. Gives what the client is told at once, if anything.
pub(super) fn handle(
    session: &mut Session,
    kind: Kind,
    text: &[u8],
) -> Result<Option<String>, Invalid> {
    let read: Result<TopicMessage<'_>, _> = serde_json::from_slice(text);
    let message =
        read.map_err(|error| Invalid::of(format!("the message cannot be read: {error}")))?;
    let id = message.id.map(id_of).transpose()?;
    let done = done(session, kind, &message, id.as_ref());
    let topic = message.topic.as_deref().filter(|topic| topic.len() <= TOPIC_BYTES_MAX);
    Ok(done.unwrap_or_else(|error| Some(typed::error(&error, topic, id.as_deref()))))
}

fn done(
    session: &mut Session,
    kind: Kind,
    message: &TopicMessage<'_>,
    id: Option<&Bytes>,
) -> Result<Option<String>, CallError> {
    session.check_token()?;
    let bad = |detail: &str| session.runner().error(ErrorCode::BadRequest, detail);
    let topic = message.topic.as_deref().ok_or_else(|| bad("it needs a 'topic'"))?;
    match kind {
        Kind::Subscribe => {
            let asked = Asked { pattern: topic.to_owned(), id: id.cloned() };
            session.topics().subscribe(asked)?;
            Ok(None)
        }
        Kind::Unsubscribe => {
            session.topics().unsubscribe(topic)?;
            Ok(Some(told("unsubscribed", topic, "", id.map(|id| &id[..]))))
        }
        Kind::Message => {
            let data = message.data.ok_or_else(|| bad("it needs the 'data' to publish"))?;
            let headers: Vec<(&str, &str)> =
                message.headers.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            let body = data.get().as_bytes();
            let published = session.topics().publish(Publish { topic, body, headers: &headers })?;
            Ok(id.map(|id| {
                let Published { links, mains, .. } = published;
                let handed = format!(",\"links\":{links},\"mains\":{mains}");
                told("published", topic, &handed, Some(id))
            }))
        }
    }
}

/// What the client is told of a pattern that it asked for.
pub(super) fn settled(settled: &Settled) -> String {
    let id = settled.asked.id.as_deref();
    match &settled.outcome {
        Ok(()) => told("subscribed", &settled.asked.pattern, "", id),
        Err(error) => typed::error(error, Some(&settled.asked.pattern), id),
    }
}

fn told(kind: &str, topic: &str, members: &str, id: Option<&[u8]>) -> String {
    let mut out = format!("{{\"type\":\"{kind}\",\"topic\":").into_bytes();
    write_string(&mut out, topic);
    out.extend_from_slice(members.as_bytes());
    typed::end(&mut out, id);
    finish(out)
}

/// An id as it stands in the message. It is kept, and must not keep its message.
fn id_of(id: &RawValue) -> Result<Bytes, Invalid> {
    let text = id.get();
    let is_id = text.starts_with(|first: char| first.is_ascii_digit() || "\"-".contains(first));
    if text.len() > ID_BYTES_MAX || !is_id {
        return Err(Invalid::of("'id' is a string or a number, of at most 64 bytes"));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

/// Longer ones are none, and are not repeated.
const TOPIC_BYTES_MAX: usize = 256;
