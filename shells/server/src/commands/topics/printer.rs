//! Lines on the standard output, written by a thread of their own: a reader that is slow must not
//! keep the node from answering its Main.

use crate::cli::Failure;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use tokio::sync::{mpsc, oneshot};

/// Where lines go. Dropping it ends the thread, behind the last line.
pub(super) struct Printer(mpsc::Sender<String>);

/// How the thread ended.
pub(super) struct Printed(oneshot::Receiver<std::io::Result<()>>);

/// Starts the thread.
pub(super) fn start() -> Result<(Printer, Printed), Failure> {
    let (sender, mut lines) = mpsc::channel::<String>(LINES_MAX);
    let (done, ended) = oneshot::channel();
    let print = move || {
        let mut out = std::io::stdout().lock();
        let mut result = Ok(());
        while let Some(line) = lines.blocking_recv() {
            result = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            if result.is_err() {
                break;
            }
        }
        // Nobody asks any more where the process is about to end.
        let _unheard = done.send(result);
    };
    std::thread::Builder::new()
        .name("printer".to_owned())
        .spawn(print)
        .map_err(|error| Failure::work(format!("cannot start a thread: {error}")))?;
    Ok((Printer(sender), Printed(ended)))
}

impl Printer {
    /// Hands a line over, once there is room. False when nobody reads any more.
    pub(super) async fn print(&self, line: String) -> bool {
        self.0.send(line).await.is_ok()
    }
}

impl Printed {
    /// Waits for the last line. A reader that went away is no failure.
    pub(super) async fn end(self) -> Result<ExitCode, Failure> {
        match self.0.await {
            Ok(Err(error)) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::work(format!("cannot write to the standard output: {error}")))
            }
            Ok(_) | Err(_) => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Lines that wait for the reader. The rest waits in the subscription, which counts what gives way.
const LINES_MAX: usize = 16;
