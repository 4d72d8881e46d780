//! Keeps one child running: starts it, carries lines, notices its end, starts it again after a
//! pause that grows while it keeps dying.

use super::lines::{LOG_LINES_PER_SECOND, LOGGED_BYTES_MAX, Lines, Piece, loggable};
use super::{Calls, HostError, Line, MESSAGE_BYTES_MAX};
use crate::log::LineBudget;
use bytes::Bytes;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};

/// The command of a child, and the service it answers for.
pub(super) struct Command {
    name: String,
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// `None` when `words` is empty.
    pub(super) fn new(name: &str, words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next()?;
        Some(Self { name: name.to_owned(), program, arguments: words.collect() })
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.program);
        // Ctrl-C signals the group of the terminal: the child must live to finish its calls.
        #[cfg(unix)]
        command.process_group(0);
        let child = command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (service, program) = (&self.name, &self.program);
        tracing::info!(%service, %program, pid = child.id(), "child started");
        Ok(child)
    }
}

/// Starts the child, and the task that keeps it running until `dropped` closes.
pub(super) fn start(
    command: Command,
    calls: Arc<Calls>,
    dropped: watch::Receiver<()>,
) -> Result<(), HostError> {
    let child = command.spawn().map_err(|error| HostError::Spawn {
        program: super::super::shortened(&command.program),
        error,
    })?;
    let lines = calls.open();
    tokio::spawn(supervise(command, calls, dropped, child, lines));
    Ok(())
}

async fn supervise(
    command: Command,
    calls: Arc<Calls>,
    mut dropped: watch::Receiver<()>,
    child: Child,
    lines: mpsc::Receiver<Line>,
) {
    let mut running = Some((child, lines));
    let mut backoff = Backoff::new();
    loop {
        if let Some((child, lines)) = running.take() {
            let began = Instant::now();
            let end = run(&command, &calls, &mut dropped, child, lines).await;
            calls.fail_all();
            if end == End::Dropped {
                return;
            }
            backoff.lived(began.elapsed());
        }
        let pause = backoff.pause();
        let after_ms = pause.as_millis();
        tracing::warn!(service = %command.name, after_ms, "child is started again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = dropped.changed() => return,
        }
        match command.spawn() {
            Ok(child) => running = Some((child, calls.open())),
            Err(error) => {
                let (service, program) = (&command.name, &command.program);
                tracing::error!(%service, %program, %error, "child cannot be started");
            }
        }
    }
}

/// Runs one child to its end.
async fn run(
    command: &Command,
    calls: &Calls,
    dropped: &mut watch::Receiver<()>,
    mut child: Child,
    lines: mpsc::Receiver<Line>,
) -> End {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    if let Some(stderr) = stderr {
        tokio::spawn(log_errors(command.name.clone(), stderr));
    }
    let mut reading = pin!(read(&command.name, calls, stdout));
    let end = tokio::select! {
        () = &mut reading => End::OutputClosed,
        () = write(calls, lines, stdin) => End::InputClosed,
        _ = child.wait() => End::Exited,
        _ = dropped.changed() => End::Dropped,
    };
    calls.close();
    // What the child wrote before its end is still in the pipe. A grandchild may hold the pipe
    // open for ever, so this does not wait for its end only.
    if matches!(end, End::InputClosed | End::Exited) {
        let _drained = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
    }
    if end != End::Exited {
        // Fails only when it has exited by now, which is as well.
        let _exited = child.start_kill();
    }
    match child.wait().await {
        Ok(status) => {
            tracing::warn!(service = %command.name, %status, cause = end.text(), "child ended");
        }
        Err(error) => {
            tracing::error!(service = %command.name, %error, "child cannot be waited for");
        }
    }
    end
}

/// Why a child is at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Exited,
    OutputClosed,
    InputClosed,
    Dropped,
}

impl End {
    const fn text(self) -> &'static str {
        match self {
            Self::Exited => "it exited",
            Self::OutputClosed => "it closed its standard output",
            Self::InputClosed => "it closed its standard input",
            Self::Dropped => "its service was withdrawn",
        }
    }
}

async fn read(name: &str, calls: &Calls, stdout: Option<ChildStdout>) {
    let Some(stdout) = stdout else { return };
    let mut lines =
        Lines::new(BufReader::with_capacity(READ_BUFFER_BYTES, stdout), MESSAGE_BYTES_MAX);
    let mut budget = LineBudget::new(LOG_LINES_PER_SECOND);
    while let Ok(Some(piece)) = lines.next().await {
        let (taken, beginning) = match piece {
            Piece::Whole(line) if line.trim_ascii().is_empty() => continue,
            Piece::Whole(line) => {
                let line = Bytes::from(line);
                (calls.handle_line(line.clone()), line)
            }
            Piece::Cut(line) => (calls.handle_long_line(&line), Bytes::from(line)),
        };
        if let Err(reason) = taken
            && let Some(left_out) = budget.take()
        {
            let line = loggable(&beginning);
            tracing::warn!(service = name, reason, line, left_out, "line of the child ignored");
        }
    }
}

/// Ends when the child no longer takes input.
async fn write(calls: &Calls, mut lines: mpsc::Receiver<Line>, stdin: Option<ChildStdin>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(line) = lines.recv().await {
        if calls.begin_write(&line) && stdin.write_all(&line.text).await.is_err() {
            return;
        }
    }
}

async fn log_errors(name: String, stderr: impl AsyncRead + Unpin) {
    // One byte more than is shown, so that a longer line is marked as cut.
    let mut lines = Lines::new(BufReader::new(stderr), LOGGED_BYTES_MAX + 1);
    let mut budget = LineBudget::new(LOG_LINES_PER_SECOND);
    while let Ok(Some(Piece::Whole(line) | Piece::Cut(line))) = lines.next().await {
        if let Some(left_out) = budget.take() {
            tracing::info!(service = %name, line = loggable(&line), left_out, "child says");
        }
    }
}

/// Pauses of a random length up to a bound that doubles with each death, from 100 ms to 30 s.
struct Backoff {
    bound: Duration,
}

impl Backoff {
    const fn new() -> Self {
        Self { bound: PAUSE_FIRST }
    }

    /// Forgets earlier deaths when the child lived long enough.
    fn lived(&mut self, life: Duration) {
        if life >= LIFE_GOOD {
            self.bound = PAUSE_FIRST;
        }
    }

    fn pause(&mut self) -> Duration {
        // Without randomness the whole pause is the safe choice.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let pause = self.bound.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.bound = (self.bound * 2).min(PAUSE_MAX);
        pause
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const LIFE_GOOD: Duration = Duration::from_secs(10);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const READ_BUFFER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::new();
        let mut bound = PAUSE_FIRST;
        for _ in 0..20 {
            assert!(backoff.pause() <= bound);
            bound = (bound * 2).min(PAUSE_MAX);
        }
        assert_eq!(backoff.bound, PAUSE_MAX);
        backoff.lived(LIFE_GOOD - Duration::from_millis(1));
        assert_eq!(backoff.bound, PAUSE_MAX);
        backoff.lived(LIFE_GOOD);
        assert_eq!(backoff.bound, PAUSE_FIRST);
    }
}
