//! The JSON form of messages between relays, for scripts and for reading along: one object with a
//! `type`, two nodes, and what they say to each other. Older programs write less of it; what they
//! leave out is filled in here, so that there is one meaning behind all spellings.

use crate::json_rpc::{NodeAddress, write_string};
use relay_tokio::ErrorCode;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A message with a `type`. Names are read as `source_node`, as `SourceNode`, and as older
/// programs say it.
#[derive(Deserialize)]
pub(super) struct FederationMessage<'a> {
    #[serde(rename = "type", alias = "Type")]
    pub(super) kind: Kind,
    #[serde(alias = "SourceNode", alias = "from")]
    source_node: Option<Node>,
    #[serde(alias = "DestinationNode", alias = "to")]
    destination_node: Option<Node>,
    #[serde(alias = "ServerName", alias = "service_name")]
    pub(super) server_name: Option<String>,
    #[serde(alias = "Method")]
    method: Option<String>,
    #[serde(borrow, alias = "Params", alias = "args")]
    params: Option<&'a RawValue>,
    #[serde(borrow, alias = "Result")]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, alias = "Error")]
    pub(super) error: Option<&'a RawValue>,
    #[serde(default, alias = "Methods")]
    pub(super) methods: Vec<String>,
    #[serde(borrow, alias = "Priority")]
    priority: Option<&'a RawValue>,
    #[serde(borrow, alias = "Timeout")]
    timeout: Option<&'a RawValue>,
    #[serde(alias = "TTL")]
    ttl: Option<u8>,
    #[serde(borrow, alias = "CorrelationID", alias = "id")]
    pub(super) correlation_id: Option<&'a RawValue>,
}

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A service of the sender.
    Registration,
    /// A sign of life.
    Heartbeat,
    /// A heartbeat of an older program.
    Ping,
    /// A call.
    Request,
    /// The answer to one.
    Response,
}

/// A node in a message: in parts, or as `id@main`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Node {
    Text(String),
    Parts {
        #[serde(alias = "ID")]
        id: String,
        #[serde(default, alias = "MainRelay")]
        main_relay: String,
    },
}

/// What is wrong with a message.
pub(super) struct Invalid {
    pub(super) code: ErrorCode,
    pub(super) detail: String,
}

impl FederationMessage<'_> {
    /// Checks what every message must hold.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        for node in [&self.source_node, &self.destination_node].into_iter().flatten() {
            node.address()?;
        }
        if self.ttl == Some(0) {
            let detail =
                "the message has crossed as many relays as it may: its ttl is 0".to_owned();
            return Err(Invalid { code: ErrorCode::HopLimit, detail });
        }
        if self.kind == Kind::Request && self.correlation_id.is_none() {
            return Err(Invalid::of("a request needs a 'correlation_id' for its response"));
        }
        Ok(())
    }

    /// The same call as JSON-RPC.
    pub(super) fn to_json_rpc(&self) -> Result<Vec<u8>, Invalid> {
        let no_service = || Invalid::of("a request needs a 'server_name'");
        let service = self.server_name.as_deref().ok_or_else(no_service)?;
        let no_method = || Invalid::of("a request needs a 'method'");
        let method = self.method.as_deref().ok_or_else(no_method)?;
        let mut out = b"{\"jsonrpc\":\"2.0\",\"method\":\"remote_call\",\"params\":{".to_vec();
        out.extend_from_slice(b"\"service_name\":");
        write_string(&mut out, service);
        out.extend_from_slice(b",\"method\":");
        write_string(&mut out, method);
        let node = self.destination_node.as_ref().map(Node::address).transpose()?.flatten();
        if let Some(node) = node {
            out.extend_from_slice(b",\"node_id\":");
            write_string(&mut out, &node.to_string());
        }
        for (name, value) in
            [("args", self.params), ("timeout", self.timeout), ("priority", self.priority)]
        {
            // Go writes what was not given as null.
            if let Some(value) = value.filter(|value| value.get() != "null") {
                out.extend_from_slice(format!(",\"{name}\":{}", value.get()).as_bytes());
            }
        }
        out.extend_from_slice(b"},\"id\":");
        out.extend_from_slice(self.correlation_id.map_or("null", RawValue::get).as_bytes());
        out.push(b'}');
        Ok(out)
    }

    /// What goes back to the sender: `member` is its last part, such as `"result":1`, or nothing.
    pub(super) fn reply(&self, kind: &str, node: &str, role: &str, member: &[u8]) -> Vec<u8> {
        let mut out = b"{\"type\":".to_vec();
        write_string(&mut out, kind);
        if self.kind == Kind::Ping {
            // Whoever writes the old form reads the old form.
            for (name, node) in [("from", &self.destination_node), ("to", &self.source_node)] {
                if let Some(node) = node {
                    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                    write_string(&mut out, &node.text());
                }
            }
            out.push(b'}');
            return out;
        }
        out.extend_from_slice(b",\"source_node\":{\"type\":");
        write_string(&mut out, role);
        out.extend_from_slice(b",\"id\":");
        write_string(&mut out, node);
        out.extend_from_slice(b",\"main_relay\":\"\"}");
        if let Some(Ok(Some(source))) = self.source_node.as_ref().map(Node::address) {
            out.extend_from_slice(b",\"destination_node\":{\"type\":");
            write_string(&mut out, &source.kind.to_string());
            out.extend_from_slice(b",\"id\":");
            write_string(&mut out, source.id.as_str());
            out.extend_from_slice(b",\"main_relay\":");
            write_string(&mut out, source.main_relay.as_deref().unwrap_or_default());
            out.push(b'}');
        }
        for (name, text) in [("server_name", &self.server_name), ("method", &self.method)] {
            if let Some(text) = text {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                write_string(&mut out, text);
            }
        }
        let ttl = self.ttl.unwrap_or(TTL_USUAL);
        out.extend_from_slice(format!(",\"ttl\":{ttl},\"routing_path\":[").as_bytes());
        write_string(&mut out, node);
        out.push(b']');
        if let Some(id) = self.correlation_id {
            out.extend_from_slice(b",\"correlation_id\":");
            out.extend_from_slice(id.get().as_bytes());
        }
        if !member.is_empty() {
            out.push(b',');
            out.extend_from_slice(member);
        }
        out.push(b'}');
        out
    }
}

impl Node {
    /// None when it names nobody.
    fn address(&self) -> Result<Option<NodeAddress>, Invalid> {
        let parsed = match self {
            Self::Text(text) if text.is_empty() => return Ok(None),
            Self::Text(text) => text.parse(),
            Self::Parts { id, .. } if id.is_empty() => return Ok(None),
            Self::Parts { id, main_relay } => {
                NodeAddress::new(id, Some(main_relay.as_str()).filter(|main| !main.is_empty()))
            }
        };
        let invalid = |error| Invalid { code: ErrorCode::NameInvalid, detail: format!("{error}") };
        parsed.map(Some).map_err(invalid)
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts { id, .. } => id.clone(),
        }
    }
}

impl Invalid {
    pub(super) fn of(detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::BadRequest, detail: detail.into() }
    }
}

const TTL_USUAL: u8 = 10;
