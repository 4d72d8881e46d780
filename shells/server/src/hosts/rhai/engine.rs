//! The Rhai engine as programs get it: what they may use, how much of it, and the functions that
//! reach the node. Decides nothing about single calls; a call is bounded by its [`Present`].

use super::super::Caller;
use super::json::{from_json, to_json};
use super::{shortened, thrown};
use bytes::Bytes;
use relay_tokio::{
    Answer, CallError, CallRequest, NameInvalid, Published, is_method, is_node_id, is_service,
};
use rhai::module_resolvers::DummyModuleResolver;
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Map, Position};
use std::any::TypeId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// An engine for the declarations of a program: `service(…)` works, calls do not.
pub(super) fn declaring(
    declare: impl Fn(&str, Map) -> Result<(), String> + Send + Sync + 'static,
    node: Option<Arc<dyn Caller>>,
) -> Engine {
    let mut engine = bounded("program".to_owned());
    engine.register_fn("service", move |name: &str, object: Map| {
        declare(name, object).map_err(thrown)
    });
    engine.register_fn("node_id", move || -> String {
        node.as_ref().map(|node| node.node_id()).unwrap_or_default()
    });
    let only_inside = || thrown("this function works only inside a method of a service");
    register_message(&mut engine, move |_| Err(only_inside()));
    engine.register_fn("sleep_ms", move |_: i64| -> Result<(), Box<EvalAltResult>> {
        Err(only_inside())
    });
    engine.register_fn("publish", move |_: &str, _: Dynamic| -> Answered { Err(only_inside()) });
    engine
}

/// An engine for the calls of one service.
pub(super) fn running(present: &Arc<Present>) -> Engine {
    let mut engine = bounded(present.service.clone());
    let of = Arc::clone(present);
    engine.on_progress(move |operations| {
        (operations % OPERATIONS_PER_CHECK == 0 && of.is_over()).then_some(Dynamic::UNIT)
    });
    let of = Arc::clone(present);
    engine.register_fn("node_id", move || of.node.node_id());
    let of = Arc::clone(present);
    engine.register_fn("sleep_ms", move |millis: i64| of.sleep(millis));
    let of = Arc::clone(present);
    register_message(&mut engine, move |arguments| of.message(arguments));
    let of = Arc::clone(present);
    engine.register_fn("publish", move |topic: &str, value: Dynamic| of.publish(topic, &value));
    engine
}

/// The service whose call runs at present on the thread of the engine, and the bounds of that call.
pub(super) struct Present {
    pub(super) service: String,
    pub(super) node: Arc<dyn Caller>,
    pub(super) runtime: Handle,
    call: Mutex<Option<Bounds>>,
}

/// What ends a call before it is done.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    pub(super) abandoned: Arc<Abandoned>,
}

/// Set when nobody waits for the answer any more.
#[derive(Default)]
pub(super) struct Abandoned {
    is_set: AtomicBool,
    changed: Notify,
}

impl Abandoned {
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }
}

impl Present {
    pub(super) fn new(service: &str, node: Arc<dyn Caller>, runtime: Handle) -> Self {
        Self { service: service.to_owned(), node, runtime, call: Mutex::new(None) }
    }

    /// The next call begins.
    pub(super) fn begin(&self, bounds: Bounds) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(bounds);
    }

    fn bounds(&self) -> Option<Bounds> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_over(&self) -> bool {
        self.bounds()
            .is_none_or(|bounds| bounds.abandoned.is_set() || Instant::now() >= bounds.deadline)
    }

    fn sleep(&self, millis: i64) -> Result<(), Box<EvalAltResult>> {
        let millis = u64::try_from(millis).ok().filter(|millis| *millis <= SLEEP_MILLIS_MAX);
        let millis = millis.ok_or_else(|| {
            thrown(format!("sleep_ms takes 0 to {SLEEP_MILLIS_MAX} milliseconds"))
        })?;
        self.wait(async move { tokio::time::sleep(Duration::from_millis(millis)).await })
    }

    fn message(&self, arguments: &[Dynamic]) -> Result<Dynamic, Box<EvalAltResult>> {
        let [target, method, arguments @ ..] = arguments else {
            return Err(thrown("message takes a service, a method and its arguments"));
        };
        let (target, method) = (text_of(target)?, text_of(method)?);
        let request = self.request(&target, &method, arguments)?;
        let node = Arc::clone(&self.node);
        // Inside of the runtime: the call may need its clock as soon as it is made.
        let answer = self.wait(async move { node.call(request).await })?;
        let called = format!("{target}.{method}");
        match answer {
            Ok(Answer::Result(result)) => from_json(&result)
                .map_err(|error| thrown(format!("the result of {called} cannot be read: {error}"))),
            Ok(Answer::ApplicationError(object)) => {
                let value = from_json(&object);
                Err(thrown(value.unwrap_or_else(|_| format!("{called} failed").into())))
            }
            Err(error) => Err(thrown(failed_call(&called, &error))),
        }
    }

    fn publish(&self, topic: &str, value: &Dynamic) -> Answered {
        let (node, topic, body) = (Arc::clone(&self.node), topic.to_owned(), to_json(value)?);
        let what = format!("publish on {}", shortened(&topic));
        let published = self.wait(async move { node.publish(&topic, &body) })?;
        let Published { links, mains, .. } =
            published.map_err(|error| thrown(failed_call(&what, &error)))?;
        let handed = [("links", links), ("mains", mains)];
        let handed = handed.map(|(key, count)| (key.into(), i64::from(count).into()));
        Ok(Map::from_iter(handed).into())
    }

    fn request(
        &self,
        target: &str,
        method: &str,
        arguments: &[Dynamic],
    ) -> Result<CallRequest, Box<EvalAltResult>> {
        let (node, service) = match target.rsplit_once('.') {
            Some((node, service)) => (Some(node), service),
            None => (None, target),
        };
        let invalid = |text: &str, rule| thrown(format!("'{}': {rule}", shortened(text)));
        if let Some(node) = node.filter(|node| !is_node_id(node)) {
            return Err(invalid(node, NameInvalid::Node));
        }
        if !is_service(service) {
            return Err(invalid(service, NameInvalid::Service));
        }
        if !is_method(method) {
            return Err(invalid(method, NameInvalid::Method));
        }
        if service == self.service && node.is_none_or(|node| node == self.node.node_id()) {
            return Err(thrown(format!(
                "{service} would wait for itself; write this.{method}(…) instead of message"
            )));
        }
        let body =
            if arguments.is_empty() { Bytes::new() } else { to_json(&arguments.to_vec().into())? };
        let mut request = CallRequest::new(service, method, body);
        request.node = node.map(str::to_owned);
        request.deadline = self.bounds().map_or(Duration::ZERO, |bounds| {
            bounds.deadline.saturating_duration_since(Instant::now())
        });
        Ok(request)
    }

    /// Waits on this thread, which is none of the runtime's, while the runtime does the work.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Box<EvalAltResult>> {
        let over = || EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE);
        let bounds = self.bounds().ok_or_else(over)?;
        let (sender, done) = oneshot::channel();
        self.runtime.spawn(async move {
            tokio::select! {
                // The thread waits for as long as the sender lives.
                value = work => drop(sender.send(value)),
                () = bounds.abandoned.changed.notified() => {}
                () = tokio::time::sleep_until(bounds.deadline.into()) => {}
            }
        });
        Ok(done.blocking_recv().map_err(|_| over())?)
    }
}

/// What a failed call throws. Its own `executed` stays apart from the outcome of the call that runs
/// now, which did run.
fn failed_call(called: &str, error: &CallError) -> Map {
    let mut cause = Map::new();
    cause.insert("code".into(), error.code.name().into());
    cause.insert("executed".into(), error.executed.name().into());
    cause.insert("retry".into(), error.retry.name().into());
    cause.insert("node".into(), error.node.clone().into());
    let mut data = Map::new();
    data.insert("cause".into(), cause.into());
    let mut thrown = Map::new();
    thrown.insert("code".into(), super::failure::CODE_DEFAULT.into());
    let text = if error.message.is_empty() { error.code.meaning() } else { &error.message };
    thrown.insert("message".into(), format!("{called} failed: {}: {text}", error.code).into());
    thrown.insert("data".into(), data.into());
    thrown
}

fn bounded(name: String) -> Engine {
    let mut engine = Engine::new();
    engine
        .set_module_resolver(DummyModuleResolver::new())
        .disable_symbol("eval")
        .set_max_operations(OPERATIONS_MAX)
        .set_max_call_levels(CALL_LEVELS_MAX)
        .set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_modules(0)
        .set_max_string_size(STRING_BYTES_MAX)
        .set_max_array_size(ITEMS_MAX)
        .set_max_map_size(ITEMS_MAX);
    let log = move |text: &str| {
        let text = shortened(text);
        tracing::info!(service = %name, text, "program says");
    };
    let (print, debug) = (log.clone(), log.clone());
    engine.on_print(print);
    engine.on_debug(move |text, _, _| debug(text));
    engine.register_fn("log", move |value: Dynamic| log(&value.to_string()));
    engine.register_fn("now_ms", || {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    });
    // The one of the standard library would hold the thread for as long as it likes.
    let use_ours = || thrown("write sleep_ms(milliseconds) instead of sleep");
    engine
        .register_fn("sleep", move |_: i64| -> Result<(), Box<EvalAltResult>> { Err(use_ours()) });
    engine
        .register_fn("sleep", move |_: f64| -> Result<(), Box<EvalAltResult>> { Err(use_ours()) });
    engine
}

/// Rhai has no variadic functions: one for each number of arguments.
fn register_message(
    engine: &mut Engine,
    call: impl Fn(&[Dynamic]) -> Answered + Clone + Send + Sync + 'static,
) {
    for count in 2..=2 + MESSAGE_ARGUMENTS_MAX {
        let call = call.clone();
        let types = vec![TypeId::of::<Dynamic>(); count];
        engine.register_raw_fn("message", types, move |_, arguments| {
            let arguments: Vec<Dynamic> =
                arguments.iter_mut().map(|argument| argument.flatten_clone()).collect();
            call(&arguments)
        });
    }
}

fn text_of(value: &Dynamic) -> Result<ImmutableString, Box<EvalAltResult>> {
    value
        .clone()
        .into_immutable_string()
        .map_err(|kind| thrown(format!("message needs names as text, not {kind}")))
}

type Answered = Result<Dynamic, Box<EvalAltResult>>;

pub(super) const STRING_BYTES_MAX: usize = 1024 * 1024;
pub(super) const ITEMS_MAX: usize = 100_000;
const OPERATIONS_MAX: u64 = 10_000_000;
const OPERATIONS_PER_CHECK: u64 = 256;
const CALL_LEVELS_MAX: usize = 32;
const EXPRESSION_DEPTH_MAX: usize = 64;
const VARIABLES_MAX: usize = 1000;
const FUNCTIONS_MAX: usize = 1000;
const MESSAGE_ARGUMENTS_MAX: usize = 8;
const SLEEP_MILLIS_MAX: u64 = 60_000;
