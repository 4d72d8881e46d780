//! A child process as a service: one JSON-RPC object per line on its standard input and output,
//! many calls at once, answers in any order. Decides what is known about a call when the child
//! dies: a line that was never written never ran; of all others nobody knows.
//!
//! The child should write `id` before `result`: when a line is over the limit or broken, the call
//! can then still be told.

mod lines;
mod supervisor;

use super::HostError;
use super::envelope::{
    MESSAGE_BYTES_MAX, Response, answer_too_large, bad_response, check_params, discovered,
    id_of_broken, request, response,
};
use bytes::Bytes;
use relay_tokio::{BoxFuture, ErrorCode, Service, ServiceError, ServiceRequest, ServiceResult};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// A service answered by a child process. Dropping it kills the child.
pub struct ExecService {
    calls: Arc<Calls>,
    methods: Vec<String>,
    /// Closed when this is dropped, which ends the supervisor and the child.
    _alive: watch::Sender<()>,
}

impl ExecService {
    /// Starts `words[0]` with the other words as arguments, and asks it for its methods. A child
    /// that does not answer `rpc.discover` within two seconds announces none: any may be tried.
    ///
    /// # Errors
    /// [`HostError::Spawn`] when the command cannot be started, [`HostError::NoCommand`] when
    /// there is none. A child that dies later is started again.
    pub async fn open(name: &str, words: Vec<String>) -> Result<Self, HostError> {
        let command = supervisor::Command::new(name, words).ok_or(HostError::NoCommand)?;
        let calls = Arc::new(Calls::default());
        let (alive, dropped) = watch::channel(());
        supervisor::start(command, Arc::clone(&calls), dropped)?;
        let nothing = Bytes::new();
        let asked = calls.call("rpc.discover", &nothing);
        let methods = match tokio::time::timeout(DISCOVER_TIMEOUT, asked).await {
            Ok(Ok(result)) => discovered(&result),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        Ok(Self { calls, methods, _alive: alive })
    }
}

impl Service for ExecService {
    fn methods(&self) -> Vec<String> {
        self.methods.clone()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        let calls = Arc::clone(&self.calls);
        Box::pin(async move { calls.call(&request.method, &request.body).await })
    }
}

/// The calls that wait for the child, and the way to it while it is up.
#[derive(Default)]
struct Calls {
    next_id: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    waiting: BTreeMap<u64, Waiting>,
    /// `None` while the child is down.
    lines: Option<mpsc::Sender<Line>>,
    /// Bytes of lines not yet taken by the child.
    queued_bytes: usize,
}

struct Waiting {
    answer: oneshot::Sender<ServiceResult>,
    is_written: bool,
}

/// A request on its way to the child.
struct Line {
    id: u64,
    text: Vec<u8>,
}

impl Calls {
    async fn call(&self, method: &str, params: &Bytes) -> ServiceResult {
        check_params(params)?;
        if params.len() + method.len() + LINE_ROOM_BYTES > MESSAGE_BYTES_MAX {
            let message = format!("a line to the child has at most {MESSAGE_BYTES_MAX} bytes");
            return Err(ServiceError::refused(ErrorCode::TooLarge, message));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut text = request(method, params, id);
        // Inside of strings JSON has no raw line ends, so these are blanks between values.
        for byte in &mut text {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        text.push(b'\n');
        let answer = self.submit(Line { id, text })?;
        let _forget = Forget { calls: self, id };
        answer.await.unwrap_or_else(|_| Err(link_lost()))
    }

    fn submit(&self, line: Line) -> Result<oneshot::Receiver<ServiceResult>, ServiceError> {
        let mut table = self.table();
        let overloaded = |message: String| ServiceError::refused(ErrorCode::Overloaded, message);
        if table.waiting.len() >= CALLS_MAX {
            return Err(overloaded(format!("{CALLS_MAX} calls wait for the child")));
        }
        if table.queued_bytes + line.text.len() > QUEUED_BYTES_MAX {
            return Err(overloaded("the child does not read its input fast enough".to_owned()));
        }
        let (id, bytes) = (line.id, line.text.len());
        let sent = table.lines.as_ref().ok_or_else(unavailable)?.try_send(line);
        match sent {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(overloaded("the child does not read its input fast enough".to_owned()));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(unavailable()),
        }
        let (answer, receiver) = oneshot::channel();
        table.queued_bytes += bytes;
        table.waiting.insert(id, Waiting { answer, is_written: false });
        Ok(receiver)
    }

    /// The child is up; its lines go to the receiver.
    fn open(&self) -> mpsc::Receiver<Line> {
        let (sender, receiver) = mpsc::channel(CALLS_MAX);
        let mut table = self.table();
        table.lines = Some(sender);
        table.queued_bytes = 0;
        receiver
    }

    /// The child takes no more calls; those it has may still be answered.
    fn close(&self) {
        self.table().lines = None;
    }

    /// The child is gone and so are its answers.
    fn fail_all(&self) {
        let waiting = std::mem::take(&mut self.table().waiting);
        for call in waiting.into_values() {
            let error = if call.is_written { link_lost() } else { unavailable() };
            // A caller that is gone has already forgotten its call.
            let _gone = call.answer.send(Err(error));
        }
    }

    /// Whether a line is still wanted; from here on it counts as written.
    fn begin_write(&self, line: &Line) -> bool {
        let mut table = self.table();
        table.queued_bytes = table.queued_bytes.saturating_sub(line.text.len());
        match table.waiting.get_mut(&line.id) {
            Some(call) => {
                call.is_written = true;
                true
            }
            None => false,
        }
    }

    /// Takes a line of the child. `Err` says why it is of no use.
    fn handle_line(&self, line: Bytes) -> Result<(), String> {
        let (id, result) = match response(&line) {
            Ok(Response { id: Some(id), result }) => (id, result),
            Ok(Response { id: None, .. }) => return Err("the answer has no id of ours".to_owned()),
            Err(reason) => match id_of_broken(&line) {
                Some(id) => (id, Err(bad_response(format!("the child's line is {reason}")))),
                None => return Err(reason),
            },
        };
        self.settle(id, result)
    }

    /// Takes the beginning of a line that is over the limit.
    fn handle_long_line(&self, beginning: &[u8]) -> Result<(), String> {
        match id_of_broken(beginning) {
            Some(id) => self.settle(id, Err(answer_too_large())),
            None => {
                Err(format!("a line larger than {MESSAGE_BYTES_MAX} bytes without an id in front"))
            }
        }
    }

    fn settle(&self, id: u64, result: ServiceResult) -> Result<(), String> {
        let mut table = self.table();
        // An id that was not written yet can only be a guess.
        if table.waiting.get(&id).is_none_or(|call| !call.is_written) {
            return Err("the answer is late or was never asked for".to_owned());
        }
        if let Some(call) = table.waiting.remove(&id) {
            let _gone = call.answer.send(result);
        }
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a call when its caller is gone, so that a late answer finds nobody.
struct Forget<'a> {
    calls: &'a Calls,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.table().waiting.remove(&self.id);
    }
}

fn unavailable() -> ServiceError {
    ServiceError::refused(ErrorCode::Unavailable, "the child process is down; it is started again")
}

fn link_lost() -> ServiceError {
    ServiceError::failed(ErrorCode::LinkLost, "the child process died before it answered")
}

const CALLS_MAX: usize = 1024;
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// More than the envelope around method and params takes.
const LINE_ROOM_BYTES: usize = 128;
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use relay_tokio::Executed;

    fn line(id: u64) -> Line {
        Line { id, text: request("m", b"", id) }
    }

    fn answer(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn outcome(receiver: &mut oneshot::Receiver<ServiceResult>) -> (ErrorCode, Executed) {
        match receiver.try_recv().unwrap().unwrap_err() {
            ServiceError::Failed { code, executed, .. } => (code, executed),
            ServiceError::Application(object) => panic!("{object:?}"),
        }
    }

    #[test]
    fn only_what_was_written_may_have_run() {
        let calls = Calls::default();
        assert!(calls.submit(line(0)).is_err(), "the child is down");
        let mut lines = calls.open();
        let (mut first, mut second) =
            (calls.submit(line(1)).unwrap(), calls.submit(line(2)).unwrap());
        assert!(calls.begin_write(&lines.try_recv().unwrap()));
        calls.close();
        calls.fail_all();
        assert_eq!(outcome(&mut first), (ErrorCode::LinkLost, Executed::Unknown));
        assert_eq!(outcome(&mut second), (ErrorCode::Unavailable, Executed::No));
    }

    #[test]
    fn a_forgotten_call_is_not_written_and_its_answer_is_dropped() {
        let calls = Calls::default();
        let mut lines = calls.open();
        let _kept = (calls.submit(line(1)).unwrap(), calls.submit(line(2)).unwrap());
        assert!(calls.begin_write(&lines.try_recv().unwrap()));
        drop((Forget { calls: &calls, id: 1 }, Forget { calls: &calls, id: 2 }));
        assert!(!calls.begin_write(&lines.try_recv().unwrap()));
        assert!(calls.handle_line(answer(r#"{"jsonrpc":"2.0","result":1,"id":1}"#)).is_err());
        assert!(calls.table().waiting.is_empty());
    }

    #[test]
    fn answers_to_nothing_and_noise_harm_nobody() {
        let calls = Calls::default();
        let mut lines = calls.open();
        let mut receiver = calls.submit(line(1)).unwrap();
        assert!(calls.handle_line(answer(r#"{"jsonrpc":"2.0","result":1,"id":1}"#)).is_err());
        assert!(calls.begin_write(&lines.try_recv().unwrap()));
        for noise in ["debug print", "{}", "", r#"{"jsonrpc":"2.0","method":"m","params":[]}"#] {
            assert!(calls.handle_line(answer(noise)).is_err(), "{noise}");
        }
        assert!(receiver.try_recv().is_err(), "still waiting");
        calls.handle_line(answer(r#"{"jsonrpc":"2.0","id":1,"result":1e400}"#)).unwrap();
        assert_eq!(receiver.try_recv().unwrap().unwrap(), "1e400");
    }

    #[test]
    fn a_broken_or_long_answer_is_told_to_its_caller() {
        let calls = Calls::default();
        let mut lines = calls.open();
        let (mut first, mut second) =
            (calls.submit(line(1)).unwrap(), calls.submit(line(2)).unwrap());
        while let Ok(line) = lines.try_recv() {
            assert!(calls.begin_write(&line));
        }
        calls.handle_line(answer(r#"{"jsonrpc":"2.0","id":1,"result":oops}"#)).unwrap();
        assert_eq!(outcome(&mut first), (ErrorCode::BadResponse, Executed::Unknown));
        calls.handle_long_line(br#"{"jsonrpc":"2.0","id":2,"result":"xxx"#).unwrap();
        assert_eq!(outcome(&mut second), (ErrorCode::TooLarge, Executed::Unknown));
    }

    #[test]
    fn waiting_calls_and_queued_bytes_are_bounded() {
        let calls = Calls::default();
        let _lines = calls.open();
        let kept: Vec<_> = (0..1024).map(|id| calls.submit(line(id)).unwrap()).collect();
        let Err(ServiceError::Failed { code, executed, .. }) = calls.submit(line(1024)) else {
            panic!("the 1025th call was taken")
        };
        assert_eq!((code, executed), (ErrorCode::Overloaded, Executed::No));
        assert_eq!(kept.len(), CALLS_MAX);

        let calls = Calls::default();
        let _lines = calls.open();
        let large = |id| Line { id, text: vec![b' '; QUEUED_BYTES_MAX / 4 + 1] };
        let kept: Vec<_> = (0..3).map(|id| calls.submit(large(id)).unwrap()).collect();
        assert!(calls.submit(large(3)).is_err());
        calls.submit(line(4)).unwrap();
        drop(kept);
    }
}
