//! Runs what [`json_rpc`](crate::json_rpc) understood, for every gateway alike: the answers, the
//! bounds of a batch and what is counted do not depend on the way a request came in.

use crate::json_rpc::{
    Call, DiscoverInfo, Entry, Target, Trace, write_answer, write_discover, write_error,
};
use crate::metrics::{CallMetrics, CallTimer, Outcome};
use bytes::Bytes;
use futures_util::future::join_all;
use relay_tokio::{Answer, CallError, CallRequest, ErrorCode, Executed, Node, TraceHop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The calls of a gateway.
pub(crate) struct Runner {
    pub(crate) node: Node,
    pub(crate) metrics: Arc<CallMetrics>,
    /// Largest sum of the results in the answer to one batch.
    pub(crate) batch_bytes_max: usize,
}

/// What became of an entry.
pub(crate) enum Answered {
    /// Nothing to tell the caller.
    Silent,
    /// The entry was no call.
    Invalid {
        /// None where it could not be read.
        id: Option<Bytes>,
        /// Why it is no call.
        error: CallError,
    },
    /// The call ran, or the relay says why not.
    Call {
        /// As the caller wrote it.
        id: Bytes,
        /// What came of it.
        done: Done,
    },
}

/// What became of a call.
pub(crate) struct Done {
    pub(crate) answer: Result<Answer, CallError>,
    pub(crate) way: Option<Way>,
    /// Calls to the node itself have none.
    pub(crate) timer: Option<CallTimer>,
}

/// The way of a call that was traced.
pub(crate) struct Way {
    hops: Vec<TraceHop>,
    total: Duration,
}

/// Pairs of key and value that go along with each call, up to the service.
pub(crate) type PassedOn = [(String, String)];

impl Done {
    /// What the gateway itself answered.
    pub(crate) const fn own(answer: Result<Answer, CallError>) -> Self {
        Self { answer, way: None, timer: None }
    }
}

impl Runner {
    /// The id of the node, named in errors.
    pub(crate) fn id(&self) -> &str {
        self.node.id().as_str()
    }

    /// An error of this node.
    pub(crate) fn error(&self, code: ErrorCode, detail: impl Into<String>) -> CallError {
        CallError::new(code, self.id(), detail)
    }

    /// Runs one entry.
    pub(crate) async fn run(&self, entry: Entry, passed_on: &PassedOn) -> Answered {
        match entry {
            Entry::Call { id, call } => {
                Answered::Call { id, done: self.run_call(call, passed_on).await }
            }
            Entry::Notification(call) => {
                let done = self.run_call(call, passed_on).await;
                self.end_silently(done);
                Answered::Silent
            }
            Entry::Ignored(error) => {
                self.metrics.count(Outcome::Failed(error.code));
                tracing::debug!(%error, "a notification could not run");
                Answered::Silent
            }
            Entry::Invalid { id, error } => Answered::Invalid { id, error },
        }
    }

    /// Ends a call that wants no answer.
    pub(crate) fn end_silently(&self, done: Done) {
        let Done { answer, timer, .. } = done;
        self.end(timer, Outcome::of(&answer));
        if let Err(error) = answer {
            tracing::debug!(%error, "a notification failed");
        }
    }

    /// Makes a call.
    async fn run_call(&self, call: Call, passed_on: &PassedOn) -> Done {
        self.make_call(call, passed_on, |request| self.node.call_traced(request)).await
    }

    /// Makes a call in the way of the gateway.
    pub(crate) async fn make_call<F>(
        &self,
        call: Call,
        passed_on: &PassedOn,
        make: impl FnOnce(CallRequest) -> F,
    ) -> Done
    where
        F: Future<Output = (Result<Answer, CallError>, Vec<TraceHop>)>,
    {
        let began = Instant::now();
        let is_traced = call.options.is_traced;
        let way = |hops| is_traced.then(|| Way { hops, total: began.elapsed() });
        match self.request(call, passed_on) {
            Ok(request) => {
                let mut timer = self.metrics.begin(&request.service);
                let (answer, hops) = make(request).await;
                timer.answered();
                Done { answer, way: way(hops), timer: Some(timer) }
            }
            Err(answer) => Done { answer, way: way(Vec::new()), timer: None },
        }
    }

    /// The call as the node takes it, or the answer of the node itself.
    fn request(
        &self,
        call: Call,
        passed_on: &PassedOn,
    ) -> Result<CallRequest, Result<Answer, CallError>> {
        let (node, service, method) = match call.target {
            Target::Service { node, service, method } => (node, service, method),
            Target::Discover => return Err(Ok(Answer::Result(self.discover()))),
            Target::Control(name) => {
                let detail = format!("'{name}' is none of the methods of a connection");
                return Err(Err(self.error(ErrorCode::NoSuchMethod, detail)));
            }
        };
        let mut request = CallRequest::new(service, method, call.params);
        request.node = node;
        request.idempotent = call.options.is_idempotent;
        request.priority = call.options.priority;
        request.trace = call.options.is_traced;
        request.headers = passed_on.to_vec();
        if let Some(timeout) = call.options.timeout {
            request.deadline = timeout;
        }
        Ok(request)
    }

    fn discover(&self) -> Bytes {
        let mut out = Vec::new();
        let info = DiscoverInfo { node: self.id(), version: env!("CARGO_PKG_VERSION") };
        write_discover(&mut out, &info, &self.node.registry());
        Bytes::from(out)
    }

    /// Runs the entries of a batch side by side; each fails alone. Answers keep the order of the
    /// requests; there is no text where nothing is to be answered.
    pub(crate) async fn batch(
        &self,
        entries: impl Iterator<Item = impl Future<Output = Answered>>,
    ) -> Option<Vec<u8>> {
        let room = AtomicUsize::new(self.batch_bytes_max);
        let room_left = &room;
        let bounded = entries.map(|entry| async move {
            let mut answered = entry.await;
            let bytes = answered.result_bytes();
            let take = |left: usize| left.checked_sub(bytes);
            if room_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                // Dropped at once, so that a batch never holds more than the bound.
                answered.refuse(self);
            }
            answered
        });
        let answered = join_all(bounded).await;
        let used = self.batch_bytes_max - room.into_inner();
        let mut out = Vec::with_capacity(used + 64 * answered.len());
        out.push(b'[');
        for entry in answered {
            let start = out.len();
            if self.write(entry, &mut out).is_some() && start > 1 {
                out.insert(start, b',');
            }
        }
        if out.len() == 1 {
            return None;
        }
        out.push(b']');
        Some(out)
    }

    /// Writes the response object, if there is one. Says what failed, if the relay failed it.
    pub(crate) fn write(&self, answered: Answered, out: &mut Vec<u8>) -> Option<Option<ErrorCode>> {
        match answered {
            Answered::Silent => None,
            Answered::Invalid { id, error } => {
                self.metrics.count(Outcome::Failed(error.code));
                write_error(out, id.as_deref(), &error);
                Some(Some(error.code))
            }
            Answered::Call { id, done: Done { answer, way, timer } } => {
                let node = self.id();
                let trace =
                    way.as_ref().map(|way| Trace { node, hops: &way.hops, total: way.total });
                let failure = write_answer(out, &id, &answer, trace.as_ref(), node);
                self.end(timer, failure.map_or_else(|| Outcome::of(&answer), Outcome::Failed));
                Some(failure)
            }
        }
    }

    fn end(&self, timer: Option<CallTimer>, outcome: Outcome) {
        match timer {
            Some(timer) => timer.end(outcome),
            None => self.metrics.count(outcome),
        }
    }
}

impl Answered {
    fn result_bytes(&self) -> usize {
        let Self::Call { done: Done { answer: Ok(answer), .. }, .. } = self else { return 0 };
        match answer {
            Answer::Result(bytes) | Answer::ApplicationError(bytes) => bytes.len(),
        }
    }

    fn refuse(&mut self, runner: &Runner) {
        if let Self::Call { done: Done { answer, .. }, .. } = self {
            let detail = "the answers of this batch are too large together: send fewer at once";
            let error = runner.error(ErrorCode::TooLarge, detail).with_executed(Executed::Yes);
            *answer = Err(error.with_limit(runner.batch_bytes_max as u64));
        }
    }
}
