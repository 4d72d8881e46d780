//! `relay call`: one call through a Main, its result on the standard output. `relay trace`: the way
//! of the call instead.

mod output;
pub(super) mod params;
mod way;

use super::{block_on, timeout_of};
use crate::cli::{CallArgs, Failure, RequestArgs, TraceArgs, print};
use crate::config;
use crate::json_rpc::{CallOptions, NodeAddress};
pub(super) use output::push_safe;
use output::{print_application_error, print_result};
use relay_tokio::tls::ClientTls;
use relay_tokio::{
    Answer, CallError, CallRequest, Endpoint, Event, NameInvalid, Node, NodeConfig, Role, Runtime,
    StartError, Tokio, TraceHop, is_method, is_service,
};
use std::io::IsTerminal;
use std::path::Path;
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
    let how = How { trace: args.trace, stream: args.stream, is_raw: args.raw };
    let done = run(&args.request, how)?;
    let code = match done.answer {
        Ok(Answer::Result(result)) => print_result(&result, args.raw)?,
        Ok(Answer::ApplicationError(error)) => print_application_error(&error),
        Err(ref error) => failed(error).report(),
    };
    if args.trace {
        let has_colour = std::io::stderr().is_terminal() && has_colour();
        let text = way::tree(&args.request.caller.target, &done.hops, done.took, has_colour);
        // With nobody reading, the exit code is all that is left to say.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }
    Ok(code)
}

/// Makes the call and prints its way.
///
/// # Errors
/// [`Failure`] as [`execute`] has.
pub fn execute_trace(args: &TraceArgs) -> Result<ExitCode, Failure> {
    let done = run(&args.request, How { trace: true, stream: false, is_raw: false })?;
    let text = if args.json {
        way::json(&done.node, &done.answer, &done.hops, done.took)
    } else {
        let has_colour = std::io::stdout().is_terminal() && has_colour();
        way::tree(&args.request.caller.target, &done.hops, done.took, has_colour)
    };
    print(&text)?;
    match done.answer {
        Ok(Answer::Result(_)) => Ok(ExitCode::SUCCESS),
        Ok(Answer::ApplicationError(error)) => Ok(print_application_error(&error)),
        Err(error) => Err(failed(&error)),
    }
}

/// What became of a call.
struct Done {
    /// The id of the caller, which is the last one of the hops.
    node: String,
    answer: Result<Answer, CallError>,
    hops: Vec<TraceHop>,
    took: Duration,
}

fn failed(error: &CallError) -> Failure {
    Failure::work(error.to_string())
}

fn has_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none()
}

fn run(args: &RequestArgs, how: How) -> Result<Done, Failure> {
    let timeout = timeout_of(&args.timeout)?;
    let mains = args.connect.iter().filter(|text| !text.is_empty()).map(|text| endpoint_of(text));
    let mains: Vec<Endpoint> = mains.collect::<Result<_, _>>()?;
    let mut request = request_of(&args.caller.target, args.node.as_deref())?;
    request.idempotent = args.caller.idempotent;
    request.priority = CallOptions::priority_of(&args.priority).ok_or_else(|| {
        Failure::usage(format!("--priority {:?} is not allowed", args.priority))
            .with_hint("write low, normal or high")
    })?;
    request.headers = args.header.iter().map(|text| header_of(text)).collect::<Result<_, _>>()?;
    request.trace = how.trace;
    request.body = params::read(&args.caller.params)?.into();
    let mut settings = settings_of(&args.caller.cluster, args.caller.token_file.as_deref())?;
    settings.upstreams.clone_from(&mains);
    let tls = super::tls::of_args(&args.caller.tls)?;
    let mut done = None;
    block_on(async {
        let node = start(settings, tls)?;
        done = Some(call(&node, request, &mains, timeout, how).await?);
        Ok(ExitCode::SUCCESS)
    })?;
    done.ok_or_else(|| Failure::work("the call ended without an answer"))
}

pub(super) fn endpoint_of(text: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse(text).map_err(|error| {
        Failure::usage(format!("--connect: {error}"))
            .with_hint("write it as in ws://127.0.0.1:8080")
    })
}

pub(super) fn header_of(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').filter(|(key, value)| {
        !key.is_empty() && !key.contains(char::is_control) && !value.contains(char::is_control)
    });
    let (key, value) = pair.ok_or_else(|| {
        Failure::usage(format!("--header {text:?} is not K=V"))
            .with_hint("write a key and its value, as in --header tenant=acme")
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

async fn call(
    node: &Node,
    mut request: CallRequest,
    mains: &[Endpoint],
    timeout: Duration,
    how: How,
) -> Result<Done, Failure> {
    let until = Instant::now() + timeout;
    let shown = config::duration_text(timeout);
    reach(node, mains, timeout).await?;
    let asked = Instant::now();
    request.deadline = until.duration_since(Instant::now()).max(Duration::from_millis(1));
    let late = |_| {
        Failure::work(format!(
            "DEADLINE: no answer came within {shown} (executed: unknown, retry: unsafe)"
        ))
    };
    // The node answers by the deadline itself; the slack only covers a node that does not.
    let answered = timeout_at(until + DEADLINE_SLACK, ask(node, request, how)).await;
    let (answer, hops) = answered.map_err(late)??;
    let took = asked.elapsed();
    node.shutdown(GOODBYE_MAX).await;
    Ok(Done { node: node.id().to_string(), answer, hops, took })
}

/// The settings of a node that only calls, without the Mains to dial.
///
/// # Errors
/// [`Failure`] when the token cannot be read.
pub(super) fn settings_of(cluster: &str, token_file: Option<&Path>) -> Result<NodeConfig, Failure> {
    let mut settings = NodeConfig::new(Role::Caller);
    cluster.clone_into(&mut settings.cluster);
    settings.token = token_file.map(config::read_token).transpose()?;
    Ok(settings)
}

/// Calls, and prints what comes before the answer where that is asked for.
async fn ask(
    node: &Node,
    request: CallRequest,
    how: How,
) -> Result<(Result<Answer, CallError>, Vec<TraceHop>), Failure> {
    if !how.stream {
        return Ok(node.call_traced(request).await);
    }
    let (stream, answer) = match node.call_streaming(&request) {
        Ok(both) => both,
        Err(error) => return Ok((Err(error), Vec::new())),
    };
    while let Some(chunk) = stream.next().await {
        print_result(&chunk, how.is_raw)?;
    }
    Ok((answer.await, Vec::new()))
}

/// How a call is made and shown.
#[derive(Clone, Copy)]
struct How {
    trace: bool,
    stream: bool,
    is_raw: bool,
}

/// Starts a node that only calls.
///
/// # Errors
/// [`Failure`] when its settings cannot be used.
pub(super) fn start(settings: NodeConfig, tls: ClientTls) -> Result<Node, Failure> {
    let runtime = Tokio::current().with_tls(tls);
    Node::start_on(settings, runtime).map_err(|error| start_failed(&error))
}

/// What to say of a caller that could not start.
pub(super) fn start_failed(error: &StartError) -> Failure {
    Failure::work(format!("cannot start the caller: {error}"))
}

/// Waits until the node is linked to one of `mains`, which it was told to dial.
///
/// # Errors
/// [`Failure`] with the reason when that takes longer than `timeout`.
pub(super) async fn reach(
    node: &Node,
    mains: &[Endpoint],
    timeout: Duration,
) -> Result<(), Failure> {
    let mut trouble = None;
    if tokio::time::timeout(timeout, connect(node, &mut trouble)).await.is_ok() {
        return Ok(());
    }
    let trouble = trouble.or_else(|| node.dial_trouble());
    let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
    let listed: Vec<String> = mains.iter().map(Endpoint::to_string).collect();
    let listed = listed.join(" or ");
    let shown = config::duration_text(timeout);
    Err(Failure::work(format!("no Main answered at {listed} within {shown}{why}")).with_hint(
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
    Ok(address.target())
}

/// How much later than the deadline the process gives up by itself.
const DEADLINE_SLACK: Duration = Duration::from_millis(250);
/// How long closing the link may take once the answer is there.
const GOODBYE_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let main = Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let mains = [main];
        drop(listener);
        let mut settings = NodeConfig::new(Role::Caller);
        settings.upstreams = mains.to_vec();
        let node = start(settings, ClientTls::default()).unwrap();
        let failure = reach(&node, &mains, Duration::from_millis(100)).await.unwrap_err();
        assert!(failure.message().contains("refused"), "{failure:?}");
    }

    #[test]
    fn a_service_alone_lacks_its_method() {
        let failure = request_of("counter", None).expect_err("no method");
        assert_eq!(failure.message(), "\"counter\" names a service but no method");
    }

    #[test]
    fn headers_are_pairs() {
        assert_eq!(header_of("a=b=c"), Ok(("a".into(), "b=c".into())));
        for bad in ["", "a", "=b", "a=b\r\nc"] {
            assert_eq!(header_of(bad).expect_err(bad).exit_code(), 2);
        }
    }

    #[test]
    fn targets_name_node_service_and_method() {
        for (target, flag, node) in [
            ("counter.get_count", None, None),
            ("alice.home.counter.get_count", None, Some("alice.home")),
            ("counter.get_count", Some("alice.home@relay-a.com"), Some("alice.home@relay-a.com")),
            ("alice.home@relay-a.counter.get_count", None, Some("alice.home@relay-a")),
            ("counter.get_count", Some("alice.home@127.0.0.1:8080"), Some("alice.home")),
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
