//! The calls that a client makes.

use super::call::OwnCall;
use super::client::{Client, Refused};
use super::extension::Extension;
use crate::calls::{Answered, Done, Runner};
use crate::json_rpc::Call;
use bytes::Bytes;
use relay_tokio::{Answer, CallError, CallRequest, ErrorCode, ServiceError, TraceHop};
use std::sync::Arc;
use std::time::Duration;

/// What is to become of one entry of a message.
pub(super) enum Job {
    /// It is known already.
    Ready(Answered),
    /// A call to make.
    Run(OwnRun),
}

/// A call that a client makes.
pub(super) struct OwnRun {
    runner: Arc<Runner>,
    own: OwnCall,
    id: Option<Bytes>,
    call: Call,
    headers: Vec<(String, String)>,
    streams: bool,
}

impl Job {
    /// Takes a call on, or says why not.
    pub(super) fn of(
        runner: &Arc<Runner>,
        client: &Arc<Client>,
        id: Option<Bytes>,
        mut call: Call,
    ) -> Self {
        let extension = match Extension::of(&call.extension, &mut call.options) {
            Ok(extension) => extension,
            Err(detail) => return Self::refused(runner, id, ErrorCode::BadParams, detail),
        };
        let Extension { headers, streams, credit } = extension;
        if streams && id.is_none() {
            let detail = "a notification has no id that chunks could name: give it one";
            return Self::refused(runner, id, ErrorCode::BadRequest, detail);
        }
        let own = match OwnCall::begin(client, id.clone(), credit) {
            Ok(own) => own,
            Err(refused) => return Self::not_begun(runner, id, &refused),
        };
        let runner = Arc::clone(runner);
        Self::Run(OwnRun { runner, own, id, call, headers, streams })
    }

    /// An entry that is answered with an error, or with nothing where nothing may be said.
    pub(super) fn refused(
        runner: &Runner,
        id: Option<Bytes>,
        code: ErrorCode,
        detail: impl Into<String>,
    ) -> Self {
        let error = runner.error(code, detail);
        match id {
            Some(id) => Self::Ready(Answered::Invalid { id: Some(id), error }),
            None => {
                runner.end_silently(Done::own(Err(error)));
                Self::Ready(Answered::Silent)
            }
        }
    }

    fn not_begun(runner: &Runner, id: Option<Bytes>, refused: &Refused) -> Self {
        let error = match refused {
            Refused::IdInUse => {
                let detail = "this id is already in use by another call of this connection";
                runner.error(ErrorCode::BadRequest, detail)
            }
            Refused::IdReserved => {
                let detail = "ids that begin with 'relay:' are for the calls that you are asked to \
                              answer";
                runner.error(ErrorCode::BadRequest, detail)
            }
            Refused::TooMany(limit) => {
                let detail = "this connection waits for too many calls already";
                runner.error(ErrorCode::Overloaded, detail).with_limit(*limit as u64)
            }
        };
        match id {
            Some(id) => Self::Ready(Answered::Call { id, done: Done::own(Err(error)) }),
            None => {
                runner.end_silently(Done::own(Err(error)));
                Self::Ready(Answered::Silent)
            }
        }
    }

    /// Runs it.
    pub(super) async fn run(self) -> Answered {
        match self {
            Self::Ready(answered) => answered,
            Self::Run(run) => run.run().await,
        }
    }
}

impl OwnRun {
    async fn run(self) -> Answered {
        let Self { runner, own, id, call, headers, streams } = self;
        let make = async |request: CallRequest| {
            let made = async {
                if streams {
                    stream(&runner, &own, &request).await
                } else {
                    runner.node.call_traced(request).await
                }
            };
            tokio::select! {
                biased;
                answered = made => answered,
                why = own.stopped() => (Err(stopped(&runner, why)), Vec::new()),
            }
        };
        let done = runner.make_call(call, &headers, make).await;
        match id {
            Some(id) => Answered::Call { id, done },
            None => {
                runner.end_silently(done);
                Answered::Silent
            }
        }
    }
}

async fn stream(
    runner: &Runner,
    own: &OwnCall,
    request: &CallRequest,
) -> (Result<Answer, CallError>, Vec<TraceHop>) {
    let (stream, answer) = match runner.node.call_streaming_traced(request) {
        Ok(made) => made,
        Err(error) => return (Err(error), Vec::new()),
    };
    let down = async {
        own.hand_down(&stream).await;
        answer.await
    };
    tokio::select! {
        biased;
        answered = down => answered,
        () = own.hand_up(&stream) => (Err(runner.error(ErrorCode::Internal, "")), Vec::new()),
        // The service may have answered long ago, but there are chunks in front of the answer.
        () = tokio::time::sleep(request.deadline + LAST_CHUNKS) => {
            let detail = "the chunks of the stream were not taken in time: grant credit for them";
            (Err(runner.error(ErrorCode::Deadline, detail)), Vec::new())
        }
    }
}

fn stopped(runner: &Runner, why: Option<ServiceError>) -> CallError {
    match why {
        Some(ServiceError::Failed { code, executed, message }) => {
            runner.error(code, message).with_executed(executed)
        }
        Some(ServiceError::Application(_)) | None => {
            runner.error(ErrorCode::Cancelled, "cancelled by rpc.cancel")
        }
    }
}

/// The node answers at the deadline; chunks that came before may still be on their way.
const LAST_CHUNKS: Duration = Duration::from_secs(1);
