//! `{"type": …}`: pub/sub, and what older clients and scripts write in text messages. Calls among
//! them become JSON-RPC here and go the same way.

use super::calls::Job;
use super::control::Session;
use super::federation_message::{FederationMessage, Invalid, Kind};
use super::offers::Offer;
use super::text::finish;
use super::topic_messages::{
    self,
    Kind::{Message, Subscribe, Unsubscribe},
};
use crate::calls::Runner;
use crate::json_rpc::SCAN_DEPTH_MAX;
use crate::json_rpc::{CallOptions, Front, Parsed, Scanner, is_error_object, write_string};
use bytes::Bytes;
use relay_tokio::{CallError, ErrorCode, ServiceError};
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;

/// What comes of a message.
pub(super) enum Reply {
    /// Nothing, where there is no text.
    Now(Option<String>),
    /// It follows when this is done.
    Later(Pin<Box<dyn Future<Output = ()> + Send>>),
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type", alias = "Type")]
    kind: String,
    token: Option<String>,
}

/// Does what a message with a `type` says.
pub(super) fn handle(session: &mut Session, text: &Bytes) -> Reply {
    match reply(session, text) {
        Ok(reply) => reply,
        Err(Invalid { code, detail }) => {
            Reply::Now(Some(error(&session.runner().error(code, detail), None, None)))
        }
    }
}

fn reply(session: &mut Session, text: &Bytes) -> Result<Reply, Invalid> {
    let read: Result<Typed, _> = serde_json::from_slice(text);
    let typed =
        read.map_err(|error| Invalid::of(format!("the message cannot be read: {error}")))?;
    match typed.kind.as_str() {
        "auth" => {
            let token = typed.token.ok_or_else(|| Invalid::of("'auth' takes a 'token'"))?;
            session.auth(&token).map_err(Invalid::from)?;
            let mut out = b"{\"type\":\"auth_success\",\"node_id\":".to_vec();
            write_string(&mut out, session.runner().id());
            out.push(b'}');
            return Ok(Reply::Now(Some(finish(out))));
        }
        "subscribe" => return topic_messages::handle(session, Subscribe, text).map(Reply::Now),
        "unsubscribe" => return topic_messages::handle(session, Unsubscribe, text).map(Reply::Now),
        "message" => return topic_messages::handle(session, Message, text).map(Reply::Now),
        "ping" | "heartbeat" | "registration" | "request" | "response" => {}
        _ => {
            let detail = "'type' is auth, subscribe, unsubscribe, message, ping, heartbeat, \
                          registration, request or response; other messages are JSON-RPC 2.0";
            return Err(Invalid::of(detail));
        }
    }
    let read: Result<FederationMessage<'_>, _> = serde_json::from_slice(text);
    let message =
        read.map_err(|error| Invalid::of(format!("the message cannot be read: {error}")))?;
    message.check()?;
    if message.kind != Kind::Ping {
        session.check_token().map_err(Invalid::from)?;
    }
    let runner = session.runner();
    let (node, role) = (runner.id(), runner.node.role().name());
    let whole = |kind, member: &[u8]| Some(finish(message.reply(kind, node, role, member)));
    match message.kind {
        Kind::Ping => Ok(Reply::Now(whole("pong", b""))),
        Kind::Heartbeat => Ok(Reply::Now(whole("heartbeat", b""))),
        Kind::Registration => {
            let service = message.server_name.clone();
            let service = service.ok_or_else(|| Invalid::of("it needs a 'server_name'"))?;
            let methods = message.methods.clone();
            session
                .register(Offer { service, methods, is_shared: false, credit: None })
                .map_err(Invalid::from)?;
            Ok(Reply::Now(whole("response", b"\"result\":true")))
        }
        Kind::Request => request(session, text, &message),
        Kind::Response => {
            answer(session, text, &message)?;
            Ok(Reply::Now(None))
        }
    }
}

fn request(
    session: &mut Session,
    text: &Bytes,
    message: &FederationMessage<'_>,
) -> Result<Reply, Invalid> {
    let call = Bytes::from(message.to_json_rpc()?);
    let runner = Arc::clone(session.runner());
    let options = CallOptions::default();
    let front = Front { node: runner.id(), service: None, options, is_connected: false };
    let Parsed::Single(entry) = Parsed::of(&call, &front) else {
        return Err(Invalid::of("a request is about one call"));
    };
    let job = session.job(entry);
    let client = Arc::clone(session.client());
    let text = text.clone();
    Ok(Reply::Later(Box::pin(async move {
        if let Some(response) = response(&runner, job, &text).await {
            client.push(response);
        }
    })))
}

/// Runs the call and writes its answer in the form of its request.
async fn response(runner: &Runner, job: Job, request: &[u8]) -> Option<String> {
    let answered = job.run().await;
    let mut out = Vec::new();
    runner.write(answered, &mut out)?;
    let mut member = Vec::new();
    let mut scanner = Scanner::new(&out, SCAN_DEPTH_MAX);
    let read = scanner.members(|key, value| {
        if matches!(key, b"result" | b"error") {
            member = [b"\"", key, b"\":", &out[value.span]].concat();
        }
    });
    // What is written here nests one deeper than what was read.
    if read.is_err() {
        return None;
    }
    let message: FederationMessage<'_> = serde_json::from_slice(request).ok()?;
    Some(finish(message.reply("response", runner.id(), runner.node.role().name(), &member)))
}

fn answer(session: &Session, text: &Bytes, message: &FederationMessage<'_>) -> Result<(), Invalid> {
    let slice = |raw: &serde_json::value::RawValue| text.slice_ref(raw.get().as_bytes());
    let id = message.correlation_id.map(slice);
    let id = id.ok_or_else(|| Invalid::of("a response needs the 'correlation_id'"))?;
    let result = match (message.result.map(slice), message.error.map(slice)) {
        (Some(result), None) => Ok(result),
        (None, Some(error)) if is_error_object(&error) => Err(ServiceError::Application(error)),
        _ => Err(ServiceError::failed(
            ErrorCode::BadResponse,
            "a response has a 'result', or an 'error' with an integer code and a message",
        )),
    };
    if !session.client().handle_answer(&id, result) {
        tracing::debug!("a response of a JSON client is late or was never asked for");
    }
    Ok(())
}

/// An error, with the topic and the id of the message that it is about, if that had them.
pub(super) fn error(error: &CallError, topic: Option<&str>, id: Option<&[u8]>) -> String {
    let mut out = b"{\"type\":\"error\",\"code\":".to_vec();
    write_string(&mut out, error.code.name());
    out.extend_from_slice(b",\"message\":");
    write_string(&mut out, &error.message);
    out.extend_from_slice(b",\"executed\":");
    write_string(&mut out, error.executed.name());
    out.extend_from_slice(b",\"retry\":");
    write_string(&mut out, error.retry.name());
    out.extend_from_slice(b",\"node\":");
    write_string(&mut out, &error.node);
    if let Some(topic) = topic {
        out.extend_from_slice(b",\"topic\":");
        write_string(&mut out, topic);
    }
    end(&mut out, id);
    finish(out)
}

/// Ends a message, behind the id that it answers.
pub(super) fn end(out: &mut Vec<u8>, id: Option<&[u8]>) {
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.push(b'}');
}

impl From<CallError> for Invalid {
    fn from(error: CallError) -> Self {
        Self { code: error.code, detail: error.message }
    }
}
