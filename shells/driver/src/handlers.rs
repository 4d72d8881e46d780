//! Services of the local application: finding them, running them, stopping them.

use crate::engine::Engine;
use crate::service::{BoxFuture, Service, ServiceError, ServiceRequest, ServiceResult};
use crate::stream::CallStream;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use relay_core::{CallId, ErrorCode, IncomingCall, Instant, Reply};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The services of a node, and the calls that run.
#[derive(Default)]
pub(crate) struct Handlers {
    services: BTreeMap<String, Arc<dyn Service>>,
    /// By slot of the call.
    running: Vec<Option<(CallId, AbortHandle)>>,
}

/// A call to be run outside the lock.
pub(crate) struct Job {
    call: CallId,
    service: Option<Arc<dyn Service>>,
    request: ServiceRequest,
    name: String,
    streams: bool,
}

impl Handlers {
    pub(crate) fn insert(&mut self, name: &str, service: Arc<dyn Service>) {
        self.services.insert(name.into(), service);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.services.remove(name);
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.services.len()
    }

    pub(crate) fn job(&self, call: IncomingCall, now: Instant) -> Job {
        let service = self.services.get(call.service()).cloned();
        let request = ServiceRequest {
            method: call.method().into(),
            body: call.body(),
            deadline: call.deadline.since(now),
            idempotent: call.idempotent,
            stream: None,
            headers: call.headers().map(|(key, value)| (key.into(), value.into())).collect(),
        };
        let name = if service.is_none() { call.service().into() } else { String::new() };
        Job { call: call.call, service, request, name, streams: call.streams }
    }

    pub(crate) fn keep(&mut self, call: CallId, abort: AbortHandle) {
        let slot = call.slot();
        if slot >= self.running.len() {
            self.running.resize_with(slot + 1, || None);
        }
        self.running[slot] = Some((call, abort));
    }

    pub(crate) fn forget(&mut self, call: CallId) {
        if let Some(entry) = self.running.get_mut(call.slot()) {
            entry.take_if(|(running, _)| *running == call);
        }
    }

    pub(crate) fn abort(&mut self, call: CallId) {
        let entry = self.running.get_mut(call.slot());
        let found = entry.and_then(|entry| entry.take_if(|(running, _)| *running == call));
        if let Some((_, abort)) = found {
            abort.abort();
        }
    }
}

/// Runs calls. Those that finish at once are answered together; the others get a task each.
pub(crate) fn run(engine: &Arc<Engine>, jobs: Vec<Job>) {
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        let call = job.call;
        let mut future = start(engine, job);
        match future.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => replies.push((call, result)),
            Poll::Pending => spawn(engine, call, future),
        }
    }
    if !replies.is_empty() {
        engine.reply(&replies);
    }
}

/// The result of a service as the core wants it.
pub(crate) fn reply(result: &ServiceResult) -> Reply<'_> {
    match result {
        Ok(body) => Reply::Result(body),
        Err(ServiceError::Application(body)) => Reply::ApplicationError(body),
        Err(ServiceError::Failed { code, executed, message }) => {
            Reply::Failed { code: *code, executed: *executed, message }
        }
    }
}

fn start(engine: &Arc<Engine>, job: Job) -> BoxFuture<ServiceResult> {
    let Job { call, service, mut request, name, streams } = job;
    request.stream = streams.then(|| CallStream::new(Arc::clone(engine), call.into()));
    let Some(service) = service else {
        let text = format!("Service not found: '{name}'");
        let refused = ServiceError::refused(ErrorCode::NoSuchService, text);
        return Box::pin(std::future::ready(Err(refused)));
    };
    // A panic in a handler ends its own call and nothing else.
    match catch_unwind(AssertUnwindSafe(|| service.call(request))) {
        Ok(future) => Box::pin(
            AssertUnwindSafe(future)
                .catch_unwind()
                .map(|ended| ended.unwrap_or_else(|_| Err(panicked()))),
        ),
        Err(_) => Box::pin(std::future::ready(Err(panicked()))),
    }
}

fn spawn(engine: &Arc<Engine>, call: CallId, future: BoxFuture<ServiceResult>) {
    let (abort, registration) = AbortHandle::new_pair();
    engine.keep_abort(call, abort);
    let owner = Arc::clone(engine);
    engine.spawn(Box::pin(async move {
        if let Ok(result) = Abortable::new(future, registration).await {
            owner.reply(&[(call, result)]);
        }
    }));
}

fn panicked() -> ServiceError {
    ServiceError::failed(ErrorCode::Internal, "the handler panicked")
}
