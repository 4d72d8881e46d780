//! What a method name means: which node, which service, which method, and with what options.

use super::scan::{Kind, Scanner, Value, unescape};
use super::{DEPTH_MAX, Front, string};
use crate::config;
use crate::json_rpc::{NodeAddress, NodeAddressInvalid};
use bytes::Bytes;
use relay_tokio::{CallError, ErrorCode, NameInvalid, Priority, is_method, is_service};
use std::time::Duration;

/// Longest time a caller may ask for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// One call to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// What to run.
    pub target: Target,
    /// The params as the caller wrote them; empty when there are none.
    pub params: Bytes,
    /// How to run it.
    pub options: CallOptions,
    /// The member `relay` of the request, as the caller wrote it; empty when there is none. What
    /// it may say is the gateway's business.
    pub extension: Bytes,
}

/// What a call runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A method of a service.
    Service {
        /// The node that must run it, as `id` or `id@main`; none leaves the choice to the relay.
        node: Option<String>,
        /// The service.
        service: String,
        /// Its method.
        method: String,
    },
    /// `rpc.discover`: the list of everything that can be called.
    Discover,
    /// Another name under `rpc.`, which the specification reserves: about the connection of the
    /// caller, and about calls on it.
    Control(String),
}

/// What a caller may ask for beside the call itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CallOptions {
    /// How long to wait for the answer; none means the node's default.
    pub timeout: Option<Duration>,
    /// Running the call twice does no harm.
    pub is_idempotent: bool,
    /// The answer is to carry the path it took.
    pub is_traced: bool,
    /// How much the call matters where there is no room for all.
    pub priority: Priority,
}

impl CallOptions {
    /// Reads a time to wait in milliseconds; at most [`TIMEOUT_MAX`].
    #[must_use]
    pub fn timeout_of_ms(text: &str) -> Option<Duration> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let timeout = Duration::from_millis(text.parse().ok().filter(|_| is_number)?);
        (timeout > Duration::ZERO && timeout <= TIMEOUT_MAX).then_some(timeout)
    }

    /// Reads a time to wait with its unit, as in `5s` or `250ms`; at most [`TIMEOUT_MAX`].
    #[must_use]
    pub fn timeout_of(text: &str) -> Option<Duration> {
        config::duration(text).filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
    }

    /// Reads a priority.
    #[must_use]
    pub fn priority_of(text: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| priority.name() == text)
    }
}

impl Call {
    pub(super) fn of(name: &str, params: Bytes, front: &Front<'_>) -> Result<Self, CallError> {
        let options = front.options;
        let of_service = |node: Option<&str>, service: &str, method: &str, params| {
            let target = Target::Service {
                node: node.map(str::to_owned),
                service: service.to_owned(),
                method: method.to_owned(),
            };
            Ok(Self { target, params, options, extension: Bytes::new() })
        };
        if name == "rpc.discover" {
            let target = Target::Discover;
            return Ok(Self { target, params, options, extension: Bytes::new() });
        }
        if name.starts_with("rpc.") && front.is_connected {
            let target = Target::Control(name.to_owned());
            return Ok(Self { target, params, options, extension: Bytes::new() });
        }
        if name.starts_with("rpc.") {
            return Err(front.no_method("only rpc.discover is offered of the names under 'rpc.'"));
        }
        if let Some(service) = front.service {
            return if is_method(name) {
                of_service(None, service, name, params)
            } else {
                Err(front.no_method(&NameInvalid::Method.to_string()))
            };
        }
        if name == "remote_call" {
            return remote_call(params, front);
        }
        let mut parts = name.rsplitn(3, '.');
        let method = parts.next().unwrap_or_default();
        if !is_method(method) {
            return Err(front.bad_name(NameInvalid::Method));
        }
        let Some(service) = parts.next() else {
            return Err(front.no_method("a method is named service.method or node.service.method"));
        };
        if !is_service(service) {
            return Err(front.bad_name(NameInvalid::Service));
        }
        let node = parts.next().map(|node| front.node_of(node)).transpose()?;
        of_service(node.as_deref(), service, method, params)
    }
}

impl Front<'_> {
    fn no_method(&self, detail: &str) -> CallError {
        self.error(ErrorCode::NoSuchMethod, detail)
    }

    fn bad_name(&self, name: NameInvalid) -> CallError {
        self.error(ErrorCode::NameInvalid, name.to_string())
    }

    fn node_of(&self, text: &str) -> Result<String, CallError> {
        let address: Result<NodeAddress, NodeAddressInvalid> = text.parse();
        let invalid =
            |error: NodeAddressInvalid| self.error(ErrorCode::NameInvalid, error.to_string());
        address.map(|address| address.target()).map_err(invalid)
    }

    fn bad_params(&self, detail: &str) -> CallError {
        self.error(ErrorCode::BadParams, detail)
    }
}

/// `remote_call` with `{node_id?, server_name | service_name, method, args? | params?,
/// timeout_ms? | timeout? (seconds, or a text as in "5s"), priority?, idempotent?, trace?}`.
fn remote_call(params: Bytes, front: &Front<'_>) -> Result<Call, CallError> {
    let mut arguments = Arguments::default();
    let mut scanner = Scanner::new(&params, DEPTH_MAX);
    if params.first() != Some(&b'{')
        || scanner.members(|key, value| arguments.take(key, value)).is_err()
    {
        return Err(
            front.bad_params("remote_call takes an object with 'service_name' and 'method'")
        );
    }
    if let Some(fault) = arguments.fault {
        return Err(front.bad_params(fault));
    }
    let node = match &arguments.node {
        Some(node) => {
            let text = string(node, &params);
            let text = text.ok_or_else(|| front.bad_params("'node_id' must be a string"))?;
            Some(front.node_of(&text)?)
        }
        None => None,
    };
    let service = arguments.service.as_ref().and_then(|value| string(value, &params));
    let service = service.ok_or_else(|| front.bad_params("'service_name' must be a string"))?;
    let method = arguments.method.as_ref().and_then(|value| string(value, &params));
    let method = method.ok_or_else(|| front.bad_params("'method' must be a string"))?;
    if !is_service(&service) {
        return Err(front.bad_name(NameInvalid::Service));
    }
    if !is_method(&method) {
        return Err(front.bad_name(NameInvalid::Method));
    }
    let target =
        Target::Service { node, service: service.into_owned(), method: method.into_owned() };
    let options = arguments.options(&params, front)?;
    let params = match &arguments.args {
        Some(args) if matches!(args.kind, Kind::Object | Kind::Array) => {
            params.slice(args.span.clone())
        }
        Some(_) => return Err(front.bad_params("'args' must be an object or an array")),
        None => Bytes::new(),
    };
    Ok(Call { target, params, options, extension: Bytes::new() })
}

/// The members of the params of `remote_call`.
#[derive(Default)]
struct Arguments {
    node: Option<Value>,
    service: Option<Value>,
    method: Option<Value>,
    args: Option<Value>,
    timeout_ms: Option<Value>,
    timeout: Option<Value>,
    priority: Option<Value>,
    idempotent: Option<Value>,
    trace: Option<Value>,
    fault: Option<&'static str>,
}

impl Arguments {
    fn take(&mut self, key: &[u8], value: Value) {
        let slot = match unescape(key).as_deref() {
            Some("node_id") => &mut self.node,
            Some("server_name" | "service_name") => &mut self.service,
            Some("method") => &mut self.method,
            Some("args" | "params") => &mut self.args,
            Some("timeout_ms") => &mut self.timeout_ms,
            Some("timeout") => &mut self.timeout,
            Some("priority") => &mut self.priority,
            Some("idempotent") => &mut self.idempotent,
            Some("trace") => &mut self.trace,
            // A misspelt option must not be silently without effect.
            Some(_) | None => {
                self.fault = Some(
                    "remote_call knows node_id, service_name, method, args, timeout, timeout_ms, \
                     priority, idempotent and trace",
                );
                return;
            }
        };
        if slot.replace(value).is_some() {
            self.fault = Some("a member of remote_call is given twice, perhaps by its other name");
        }
    }

    fn options(&self, params: &[u8], front: &Front<'_>) -> Result<CallOptions, CallError> {
        let mut options = front.options;
        let raw = |value: &Value| std::str::from_utf8(&params[value.span.clone()]).unwrap_or("");
        if let Some(value) = &self.timeout_ms {
            let timeout = CallOptions::timeout_of_ms(raw(value));
            options.timeout = Some(timeout.ok_or_else(|| front.bad_params(TIMEOUT_MS_RULE))?);
        } else if let Some(value) = &self.timeout {
            let timeout = match string(value, params) {
                Some(text) => CallOptions::timeout_of(&text),
                None => seconds(value.kind, raw(value)),
            };
            options.timeout = Some(timeout.ok_or_else(|| front.bad_params(TIMEOUT_RULE))?);
        }
        if let Some(value) = &self.priority {
            let priority = string(value, params);
            let priority = priority.and_then(|text| CallOptions::priority_of(&text));
            options.priority = priority.ok_or_else(|| front.bad_params(PRIORITY_RULE))?;
        }
        for (value, option) in
            [(&self.idempotent, &mut options.is_idempotent), (&self.trace, &mut options.is_traced)]
        {
            match value.as_ref().map(raw) {
                Some("true") => *option = true,
                Some("false") => *option = false,
                Some(_) => {
                    return Err(front.bad_params("'idempotent' and 'trace' are true or false"));
                }
                None => {}
            }
        }
        Ok(options)
    }
}

fn seconds(kind: Kind, text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().filter(|_| kind == Kind::Number)?;
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    timeout.filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
}

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MS_RULE: &str = "'timeout_ms' is a whole number from 1 to 600000";
const TIMEOUT_RULE: &str =
    "'timeout' is a number of seconds, at least 0.001 and at most 600, or a text as in \"5s\"";
const PRIORITY_RULE: &str = "'priority' is \"low\", \"normal\" or \"high\"";
