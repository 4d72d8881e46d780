//! `relay call`: one call through a Main, its result on the standard output.

mod output;
pub(super) mod params;

use super::{block_on, timeout_of};
use crate::cli::{CallArgs, Failure};
use crate::config;
use crate::json_rpc::NodeAddress;
use output::{print_application_error, print_result};
use relay_tokio::{
    Answer, CallError, CallRequest, Endpoint, Event, NameInvalid, Node, NodeConfig, Role,
    is_method, is_service,
};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Makes the call.
///
/// # Errors
/// [`Failure`] when the command line is wrong, no Main is reached or the relay could not do the
/// call. An error of the service itself is printed as it came.
pub fn execute(args: &CallArgs) -> Result<ExitCode, Failure> {
    let timeout = timeout_of(&args.timeout)?;
    let endpoint = Endpoint::parse(&args.connect).map_err(|error| {
        Failure::usage(format!("--connect: {error}"))
            .with_hint("write it as in ws://127.0.0.1:8080")
    })?;
    let mut request = request_of(&args.target, args.node.as_deref())?;
    request.idempotent = args.idempotent;
    request.body = params::read(&args.params)?.into();
    let mut settings = NodeConfig::new(Role::Caller);
    settings.cluster.clone_from(&args.cluster);
    settings.token = args.token_file.as_deref().map(config::read_token).transpose()?;
    settings.upstreams = vec![endpoint.clone()];
    let how = How { timeout, stream: args.stream, is_raw: args.raw };
    let answer = block_on_answer(settings, request, &endpoint, how)?;
    match answer {
        Answer::Result(result) => print_result(&result, args.raw),
        Answer::ApplicationError(error) => Ok(print_application_error(&error)),
    }
}

fn block_on_answer(
    settings: NodeConfig,
    request: CallRequest,
    main: &Endpoint,
    how: How,
) -> Result<Answer, Failure> {
    let mut answer = None;
    block_on(async {
        answer = Some(call(settings, request, main, how).await?);
        Ok(ExitCode::SUCCESS)
    })?;
    answer.ok_or_else(|| Failure::work("the call ended without an answer"))
}

async fn call(
    settings: NodeConfig,
    mut request: CallRequest,
    main: &Endpoint,
    how: How,
) -> Result<Answer, Failure> {
    let timeout = how.timeout;
    let until = Instant::now() + timeout;
    let shown = config::duration_text(timeout);
    let node = start(settings)?;
    reach(&node, main, timeout).await?;
    request.deadline = until.duration_since(Instant::now()).max(Duration::from_millis(1));
    let late = |_| {
        Failure::work(format!(
            "DEADLINE: no answer came within {shown} (executed: unknown, retry: unsafe)"
        ))
    };
    // The node answers by the deadline itself; the slack only covers a node that does not.
    let answered = ask(&node, request, how);
    let answer = timeout_at(until + DEADLINE_SLACK, answered).await.map_err(late)??;
    node.shutdown(GOODBYE_MAX).await;
    Ok(answer)
}

/// Calls, and prints what comes before the answer where that is asked for.
async fn ask(node: &Node, request: CallRequest, how: How) -> Result<Answer, Failure> {
    let failed = |error: CallError| Failure::work(error.to_string());
    if !how.stream {
        return node.call(request).await.map_err(failed);
    }
    let (stream, answer) = node.call_streaming(&request).map_err(failed)?;
    while let Some(chunk) = stream.next().await {
        print_result(&chunk, how.is_raw)?;
    }
    answer.await.map_err(failed)
}

/// How a call is made and shown.
#[derive(Clone, Copy)]
struct How {
    timeout: Duration,
    stream: bool,
    is_raw: bool,
}

/// Starts a node that only calls.
///
/// # Errors
/// [`Failure`] when its settings cannot be used.
pub(super) fn start(settings: NodeConfig) -> Result<Node, Failure> {
    Node::start(settings)
        .map_err(|error| Failure::work(format!("cannot start the caller: {error}")))
}

/// Waits until the node is linked to `main`, which it was told to dial.
///
/// # Errors
/// [`Failure`] with the reason when that takes longer than `timeout`.
pub(super) async fn reach(node: &Node, main: &Endpoint, timeout: Duration) -> Result<(), Failure> {
    let mut trouble = None;
    if tokio::time::timeout(timeout, connect(node, &mut trouble)).await.is_ok() {
        return Ok(());
    }
    let trouble = match trouble {
        Some(trouble) => Some(trouble),
        None => refusal(main).await,
    };
    let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
    let shown = config::duration_text(timeout);
    Err(Failure::work(format!("no Main answered at {main} within {shown}{why}")).with_hint(
        "check that it runs, that host and port are right, and that --cluster and --token-file \
         are those of the Main",
    ))
}

/// Resolves once the link is open. What went wrong last is left in `trouble`.
async fn connect(node: &Node, trouble: &mut Option<String>) {
    let mut events = node.events();
    let mut connected = pin!(node.connected());
    loop {
        let event = tokio::select! {
            () = &mut connected => return,
            event = events.next() => event,
        };
        match event {
            Some(Event::LinkDown { reason, detail, .. }) if detail.is_empty() => {
                *trouble = Some(reason.to_string());
            }
            Some(Event::LinkDown { detail, .. }) => {
                *trouble = Some(detail);
            }
            Some(_) => {}
            None => return connected.await,
        }
    }
}

/// Why nothing can be connected to at `main`: no event of the node tells. `None` when something
/// accepts, or does not answer in time.
async fn refusal(main: &Endpoint) -> Option<String> {
    let probe = tokio::net::TcpStream::connect(main.authority());
    match tokio::time::timeout(PROBE_MAX, probe).await {
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(_)) | Err(_) => None,
    }
}

/// Reads `service.method` or `node.service.method`, and the node of `--node`.
///
/// # Errors
/// [`Failure`] when the text names no method, or two nodes are named.
pub(super) fn request_of(target: &str, node: Option<&str>) -> Result<CallRequest, Failure> {
    let refused = |why: NameInvalid| {
        Failure::usage(format!("{target:?} names no method: {why}"))
            .with_hint("write SERVICE.METHOD or NODE.SERVICE.METHOD, as in counter.increment")
    };
    if is_service(target) {
        return Err(Failure::usage(format!("{target:?} names a service but no method"))
            .with_hint(format!("write {target}.METHOD; relay services lists the methods")));
    }
    let mut parts = target.rsplitn(3, '.');
    let method = parts.next().filter(|method| is_method(method));
    let method = method.ok_or_else(|| refused(NameInvalid::Method))?;
    let service = parts.next().filter(|service| is_service(service));
    let service = service.ok_or_else(|| refused(NameInvalid::Service))?;
    let in_target = parts.next().map(node_of).transpose()?;
    let in_flag = node.map(node_of).transpose()?;
    if let (Some(one), Some(other)) = (&in_target, &in_flag)
        && one != other
    {
        return Err(Failure::usage(format!(
            "{target:?} names the node {one}, --node names {other}"
        ))
        .with_hint("name the node once"));
    }
    let mut request = CallRequest::new(service, method, Vec::new());
    request.node = in_target.or(in_flag);
    Ok(request)
}

fn node_of(text: &str) -> Result<String, Failure> {
    let address: NodeAddress =
        text.parse().map_err(|error| Failure::usage(format!("{text:?} names no node: {error}")))?;
    Ok(address.id.to_string())
}

/// How much later than the deadline the process gives up by itself.
const DEADLINE_SLACK: Duration = Duration::from_millis(250);
/// How long finding out why nothing was reached may take.
const PROBE_MAX: Duration = Duration::from_millis(250);
/// How long closing the link may take once the answer is there.
const GOODBYE_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let main = Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        assert_eq!(refusal(&main).await, None);
        drop(listener);
        assert!(refusal(&main).await.is_some_and(|why| why.contains("refused")));
    }

    #[test]
    fn a_service_alone_lacks_its_method() {
        let failure = request_of("counter", None).expect_err("no method");
        assert_eq!(failure.message(), "\"counter\" names a service but no method");
    }

    #[test]
    fn targets_name_node_service_and_method() {
        for (target, flag, node) in [
            ("counter.get_count", None, None),
            ("alice.home.counter.get_count", None, Some("alice.home")),
            ("counter.get_count", Some("alice.home@relay-a.com"), Some("alice.home")),
            ("alice.home.counter.get_count", Some("alice.home"), Some("alice.home")),
        ] {
            let request = request_of(target, flag).expect(target);
            assert_eq!(
                (request.service.as_str(), request.method.as_str()),
                ("counter", "get_count")
            );
            assert_eq!(request.node.as_deref(), node);
        }
        for (target, flag) in [
            ("counter", None),
            ("", None),
            (".x", None),
            ("a.", None),
            ("a b.c", None),
            ("A B.counter.get", None),
            ("alice.counter.get", Some("bob")),
            ("counter.get", Some("a@")),
        ] {
            let failure = request_of(target, flag).expect_err(target);
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
