//! The service of the scenarios: it does what the method says and counts what it did.

use bytes::Bytes;
use relay_driver::api::{
    CallStream, ErrorCode, Service, ServiceError, ServiceRequest, ServiceResult, StreamError,
    service_fn,
};
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// What a service did so far.
pub(crate) struct Desk {
    /// The node that offers it.
    node: String,
    /// Calls that were handed to the handler.
    began: AtomicU32,
    /// Those of them that are neither answered nor given up.
    running: AtomicU32,
    /// Chunks of streams that were taken off its hands.
    sent: AtomicU32,
    is_open: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Desk {
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            began: AtomicU32::new(0),
            running: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn service(desk: &Arc<Self>) -> Arc<dyn Service> {
        let desk = Arc::clone(desk);
        Arc::new(service_fn(METHODS, move |request| {
            // What is refused does not count as run.
            let runs = METHODS.contains(&request.method.as_str());
            desk.began.fetch_add(u32::from(runs), Ordering::SeqCst);
            desk.running.fetch_add(1, Ordering::SeqCst);
            let running = Running(Arc::clone(&desk));
            async move { running.0.answer(request).await }
        }))
    }

    pub(crate) fn began(&self) -> u32 {
        self.began.load(Ordering::SeqCst)
    }

    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Lets all calls of `wait` go on, from now on.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn answer(&self, request: ServiceRequest) -> ServiceResult {
        match request.method.as_str() {
            "echo" => Ok(request.body),
            // The same as a task of its own: this handler is not ready at once.
            "later" => {
                yield_once().await;
                Ok(request.body)
            }
            "grow" => Ok(vec![b'7'; number(&request.body)? as usize].into()),
            "fail" => Err(ServiceError::Application(request.body)),
            "who" => Ok(self.node.clone().into()),
            "tell" => {
                let idempotent = request.idempotent;
                let headers: Vec<String> =
                    request.headers.iter().map(|(key, value)| format!("{key}={value}")).collect();
                Ok(format!("{idempotent} {}", headers.join(" ")).into())
            }
            "hang" => pending().await,
            "wait" => {
                self.opened().await;
                Ok(request.body)
            }
            "panic" => explode(),
            "down" => self.stream_down(stream(request.stream)?, number(&request.body)?).await,
            "up" => sum_up(stream(request.stream)?).await,
            other => Err(ServiceError::no_such_method(other)),
        }
    }

    async fn opened(&self) {
        poll_fn(|cx| {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(cx.waker().clone());
            // Looked at after the waker was put down, or it could be opened in between.
            if self.is_open.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn stream_down(&self, stream: CallStream, count: u32) -> ServiceResult {
        for index in 0..count {
            stream.send(chunk(index)).await.map_err(refused)?;
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
        Ok(count.to_string().into())
    }
}

/// A chunk of [`CHUNK_BYTES`] that tells which one it is.
pub(crate) fn chunk(index: u32) -> Bytes {
    let mut bytes = vec![b'x'; CHUNK_BYTES];
    bytes[..4].copy_from_slice(&index.to_be_bytes());
    bytes.into()
}

/// Checks each chunk and answers with their number.
async fn sum_up(stream: CallStream) -> ServiceResult {
    let mut count = 0;
    while let Some(got) = stream.next().await {
        if got != chunk(count) {
            let text = format!("chunk {count} came as {:?}", got.get(..4));
            return Err(ServiceError::failed(ErrorCode::Internal, text));
        }
        count += 1;
    }
    Ok(count.to_string().into())
}

fn stream(stream: Option<CallStream>) -> Result<CallStream, ServiceError> {
    stream.ok_or_else(|| ServiceError::refused(ErrorCode::BadRequest, "the call has no stream"))
}

fn number(body: &[u8]) -> Result<u32, ServiceError> {
    let number = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| ServiceError::refused(ErrorCode::BadParams, "a number, please"))
}

fn refused(error: StreamError) -> ServiceError {
    ServiceError::failed(ErrorCode::Internal, error.to_string())
}

#[expect(clippy::panic, reason = "what is shown is that a panic ends no more than its call")]
fn explode() -> ServiceResult {
    panic!("on purpose")
}

async fn yield_once() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// A call that is neither answered nor given up.
struct Running(Arc<Desk>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) const CHUNK_BYTES: usize = 1_000;
const METHODS: &[&str] =
    &["echo", "later", "grow", "fail", "who", "tell", "hang", "wait", "panic", "down", "up"];
