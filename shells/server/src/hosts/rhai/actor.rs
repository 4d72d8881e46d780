//! One service of a program on one thread: takes calls out of a bounded mailbox, one at a time, in
//! the order they came. Decides what a call may cost others: nothing but its turn.

use super::super::Caller;
use super::engine::{Abandoned, Bounds, Present, running};
use super::failure::service_error;
use super::json::{from_json, to_json};
use super::{Declared, Method};
use bytes::Bytes;
use relay_tokio::{
    BoxFuture, ErrorCode, Executed, Service, ServiceError, ServiceRequest, ServiceResult,
};
use rhai::{AST, Array, CallFnOptions, Dynamic, Engine, Map, Scope};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Starts the thread of a service.
pub(super) fn start(
    name: &str,
    declared: Declared,
    node: Arc<dyn Caller>,
) -> std::io::Result<ProgramService> {
    let runtime = Handle::try_current().map_err(std::io::Error::other)?;
    let present = Arc::new(Present::new(name, node, runtime));
    let (mailbox, jobs) = mpsc::channel(CALLS_MAX);
    let methods = declared.methods;
    let mut actor = Actor {
        engine: running(&present),
        present,
        functions: declared.functions,
        state: declared.state,
    };
    std::thread::Builder::new()
        .name(format!("rhai-{name}"))
        .stack_size(STACK_BYTES)
        .spawn(move || actor.run(jobs))?;
    let room = Arc::new(Semaphore::new(MAILBOX_BYTES_MAX));
    Ok(ProgramService { methods, mailbox, room })
}

/// A service of a program. Its thread ends when this is dropped and the last call is answered.
pub(super) struct ProgramService {
    methods: BTreeMap<String, Method>,
    mailbox: mpsc::Sender<Job>,
    /// Bytes of parameters that may wait in the mailbox, all together.
    room: Arc<Semaphore>,
}

impl Service for ProgramService {
    fn methods(&self) -> Vec<String> {
        self.methods.keys().cloned().collect()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        let waiting = self.submit(request);
        Box::pin(async move {
            let (answer, _abandon) = waiting?;
            answer.await.unwrap_or_else(|_| {
                let message = "the thread of the service ended";
                Err(ServiceError::failed(ErrorCode::Internal, message))
            })
        })
    }
}

impl ProgramService {
    fn submit(
        &self,
        request: ServiceRequest,
    ) -> Result<(oneshot::Receiver<ServiceResult>, AbandonOnDrop), ServiceError> {
        let method = self.methods.get(&request.method);
        let method = method.ok_or_else(|| ServiceError::no_such_method(&request.method))?.clone();
        let overloaded = || {
            let message = format!("{CALLS_MAX} calls, or as many as fit, wait for this service");
            ServiceError::refused(ErrorCode::Overloaded, message)
        };
        let bytes = u32::try_from(request.body.len()).unwrap_or(u32::MAX);
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| overloaded())?;
        let abandoned = Arc::new(Abandoned::default());
        // A deadline too far away to be written down is none.
        let now = Instant::now();
        let deadline = now.checked_add(request.deadline).unwrap_or(now + DEADLINE_MAX);
        let bounds = Bounds { deadline, abandoned: Arc::clone(&abandoned) };
        let (reply, answer) = oneshot::channel();
        let name = request.method;
        let job = Job { name, method, body: request.body, bounds, reply, _room: room };
        match self.mailbox.try_send(job) {
            Ok(()) => Ok((answer, AbandonOnDrop(abandoned))),
            Err(mpsc::error::TrySendError::Full(_)) => Err(overloaded()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                let message = "the thread of the service ended";
                Err(ServiceError::refused(ErrorCode::Unavailable, message))
            }
        }
    }
}

struct Job {
    name: String,
    method: Method,
    body: Bytes,
    bounds: Bounds,
    reply: oneshot::Sender<ServiceResult>,
    _room: OwnedSemaphorePermit,
}

struct AbandonOnDrop(Arc<Abandoned>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

struct Actor {
    engine: Engine,
    present: Arc<Present>,
    functions: AST,
    state: Dynamic,
}

impl Actor {
    fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if job.bounds.abandoned.is_set() {
                continue;
            }
            let result = catch_unwind(AssertUnwindSafe(|| self.answer(&job)));
            let result = result.unwrap_or_else(|_| {
                let (service, method) = (&self.present.service, &job.name);
                tracing::error!(%service, %method, "call panicked");
                Err(ServiceError::failed(ErrorCode::Internal, "the engine of the program failed"))
            });
            // The caller may be gone by now.
            let _gone = job.reply.send(result);
        }
    }

    fn answer(&mut self, job: &Job) -> ServiceResult {
        if Instant::now() >= job.bounds.deadline {
            return Err(ServiceError::Failed {
                code: ErrorCode::Deadline,
                executed: Executed::No,
                message: "the deadline passed before the turn of the call came".to_owned(),
            });
        }
        let arguments = arguments(job)?;
        self.present.begin(job.bounds.clone());
        let options = CallFnOptions::new().eval_ast(false).bind_this_ptr(&mut self.state);
        let function = &job.method.function;
        let result = self
            .engine
            .call_fn_with_options::<Dynamic>(
                options,
                &mut Scope::new(),
                &self.functions,
                function,
                arguments,
            )
            .and_then(|value| to_json(&value));
        result.map_err(|error| service_error(&error))
    }
}

/// The constants of the function, what the caller gave, and `()` for what it left out.
fn arguments(job: &Job) -> Result<Vec<Dynamic>, ServiceError> {
    let bad = |message: String| ServiceError::refused(ErrorCode::BadParams, message);
    let params = if job.body.is_empty() {
        Dynamic::from(Array::new())
    } else {
        from_json(&job.body).map_err(|error| bad(format!("the parameters: {error}")))?
    };
    let given = if params.is::<Map>() {
        let is_empty = params.read_lock::<Map>().is_some_and(|map| map.is_empty());
        if is_empty { Array::new() } else { vec![params] }
    } else {
        params
            .into_array()
            .map_err(|_| bad("the parameters must be a JSON array or object".to_owned()))?
    };
    let arity = job.method.arity(given.len()).ok_or_else(|| {
        let most = job.method.arities.last().copied().unwrap_or(0);
        bad(format!("{} takes at most {most} parameters, not {}", job.name, given.len()))
    })?;
    let missing = arity - given.len();
    let left_out = std::iter::repeat_n(Dynamic::UNIT, missing);
    Ok(job.method.constants.iter().cloned().chain(given).chain(left_out).collect())
}

const CALLS_MAX: usize = 1024;
const MAILBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Only touched as deep as a program nests its calls.
const STACK_BYTES: usize = 16 * 1024 * 1024;
