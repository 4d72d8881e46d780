//! The binary `relay` as a process of its own, whose lines are kept and which never outlives its
//! test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The binary with an environment that holds no settings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RELAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running `relay`, or anything else that says what it does in lines.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn relay(arguments: &[&str]) -> Self {
        Self::start(command(arguments))
    }

    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        let lines = Arc::new(Lines::default());
        let out = child.stdout.take().expect("piped");
        let errors = child.stderr.take().expect("piped");
        let readers = vec![lines.clone().read(out), lines.clone().read(errors)];
        Self { child, lines, readers }
    }

    /// Waits for a line that holds `wanted` and gives all lines up to it.
    pub(crate) fn lines_until(&self, wanted: &str) -> Vec<String> {
        self.lines.until(wanted)
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.state().lines.clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &process]).status().expect("kill");
        assert!(status.success());
    }

    /// Waits for the end. Gives the exit code, none after a signal, and every line.
    pub(crate) fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let until = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < until, "still running: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(2));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("reads to the end");
        }
        (status.code(), self.lines())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("process {} said: {:#?}", self.id(), self.lines());
        }
    }
}

#[derive(Default)]
struct Lines {
    state: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: usize,
}

impl Lines {
    fn read(self: Arc<Self>, from: impl Read + Send + 'static) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let line = line.expect("UTF-8");
                self.state().lines.push(line);
                self.changed.notify_all();
            }
            self.state().ended += 1;
            self.changed.notify_all();
        })
    }

    fn until(&self, wanted: &str) -> Vec<String> {
        let until = Instant::now() + LONG;
        let mut state = self.state();
        loop {
            if let Some(at) = state.lines.iter().position(|line| line.contains(wanted)) {
                return state.lines[..=at].to_vec();
            }
            assert!(state.ended < STREAMS, "ended without {wanted:?}: {:#?}", state.lines);
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {wanted:?}: {:#?}", state.lines);
            state = self.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
    }

    fn state(&self) -> MutexGuard<'_, Said> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const STREAMS: usize = 2;
/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(60);
