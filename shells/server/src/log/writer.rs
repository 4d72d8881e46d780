//! Writes log lines on a thread of its own behind a bounded queue, so that a pipe nobody reads
//! never stops a node.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// The thread that writes. Dropping it waits a moment until the queue is written.
pub struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Everything before it is written once this sender is dropped.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The error of the system when it has no thread left.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name(String::from("log"))
            .spawn(move || write_lines(out, &queue, &counter))?;
        Ok(Self { lines, dropped })
    }

    /// What the subscriber writes to.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink { lines: self.lines.clone(), dropped: Arc::clone(&self.dropped) }
    }

    /// Waits until all queued lines are written, at most a quarter of a second.
    pub fn flush(&self) {
        let (done, written) = sync_channel(0);
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            match written.recv_timeout(FLUSH_MAX) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Makes one line for each event.
pub struct Sink {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { sink: self, bytes: Vec::new() }
    }
}

/// One line, queued when it is complete.
pub struct Line<'a> {
    sink: &'a Sink,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.len() >= LINE_BYTES_MAX {
            bytes.extend_from_slice(b"..\n");
        }
        if !bytes.is_empty() && self.sink.lines.try_send(Message::Line(bytes)).is_err() {
            self.sink.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(mut out: impl Write, queue: &Receiver<Message>, dropped: &AtomicU64) {
    // The subscriber of a process is never dropped, so this ends with the process.
    for message in queue {
        match message {
            // There is nobody left to tell when the log itself cannot be written.
            Message::Line(bytes) => drop(out.write_all(&bytes)),
            Message::Flush(done) => {
                drop(out.flush());
                drop(done);
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            drop(writeln!(out, "{lost} log lines were dropped: the log is not read fast enough"));
        }
    }
}

/// Lines that wait for a slow reader.
const LINES_MAX: usize = 4_096;
/// Longest line.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Longest wait for the queue when the process ends.
const FLUSH_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Instant;

    #[test]
    fn a_stalled_reader_costs_lines_but_no_time() {
        let gate = Arc::new(Mutex::new(Vec::new()));
        let writer = LogWriter::start(Gated(Arc::clone(&gate))).expect("a thread");
        let sink = writer.sink();
        let held = gate.lock().expect("lock");
        let started = Instant::now();
        for _ in 0..3 * LINES_MAX {
            sink.make_writer().write_all(b"line\n").expect("queued");
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        drop(held);
        writer.flush();
        let wait_until = Instant::now() + Duration::from_secs(10);
        loop {
            let text = String::from_utf8(gate.lock().expect("lock").clone()).expect("UTF-8");
            if text.contains("log lines were dropped") {
                break;
            }
            assert!(Instant::now() < wait_until, "{}", text.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let writer = LogWriter::start(Gated(Arc::clone(&out))).expect("a thread");
        let text = vec![b'a'; 10 * LINE_BYTES_MAX];
        writer.sink().make_writer().write_all(&text).expect("queued");
        drop(writer);
        assert_eq!(out.lock().expect("lock").len(), LINE_BYTES_MAX + 3);
    }

    struct Gated(Arc<Mutex<Vec<u8>>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
