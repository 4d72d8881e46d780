//! The log: one line for each event on the standard error output, as text or as JSON. No line can
//! be forged by what it reports: control characters are escaped. A reader that stalls costs lines,
//! never calls: lines beyond a bounded queue are dropped and counted.

mod budget;
mod writer;

use crate::cli::Failure;
use crate::config::{LogFormat, LogSettings};
use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

pub(crate) use budget::LineBudget;
pub use writer::LogWriter;

/// Starts the log of this process. The writer must live as long as the process logs: dropping it
/// writes what is queued.
///
/// # Errors
/// [`Failure`] when the filter is not valid, or when a log was started before.
pub fn start(settings: &LogSettings) -> Result<LogWriter, Failure> {
    let writer = LogWriter::start(std::io::stderr())
        .map_err(|error| Failure::work(format!("cannot start the log: {error}")))?;
    let has_colour = settings.format == LogFormat::Text
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = filter(&settings.level)
        .map_err(|error| Failure::usage(format!("log.level is no filter: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer.sink())
        .with_ansi(has_colour)
        .log_internal_errors(false);
    let started = match settings.format {
        LogFormat::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            builder.fmt_fields(fields).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::work(format!("cannot start the log: {error}")))?;
    Ok(writer)
}

/// What is logged at `level`. The WebSocket library would log whole frames, and the first one of
/// a link carries the token: no setting turns that on.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    // Targets inside the library that the setting names would win over the library as a whole.
    let mut parts: Vec<&str> =
        level.split(',').filter(|part| !part.contains("tungstenite")).collect();
    parts.extend(["tungstenite=info", "async_tungstenite=info"]);
    EnvFilter::builder().parse(parts.join(","))
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaped(writer), "{value:?}")
}

/// Passes text on with its control characters escaped.
struct Escaped<W>(W);

impl<W: fmt::Write> fmt::Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // Line and paragraph separators and bidirectional marks reorder what a person reads.
            let is_hostile = character.is_control()
                || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if is_hostile {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn control_characters_are_escaped() {
        let mut text = String::new();
        write!(Escaped(&mut text), "a\n\u{1b}[31mb\u{9b}c\u{202e}ä").expect("written");
        assert_eq!(text, "a\\n\\u{1b}[31mb\\u{9b}c\\u{202e}ä");
    }

    #[test]
    fn a_name_from_outside_cannot_add_a_line() {
        let out = Shared::default();
        let writer = LogWriter::start(out.clone()).expect("a thread");
        let subscriber = tracing_subscriber::fmt()
            .with_writer(writer.sink())
            .with_ansi(false)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .finish();
        let evil = "x\n2026-01-01T00:00:00Z INFO forged\u{1b}[2J";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(name = %evil, "said {evil}");
        });
        drop(writer);
        let text = String::from_utf8(out.0.lock().expect("lock").clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("name=x\\n2026"), "{text}");
    }

    #[test]
    fn o19_no_level_logs_the_frames_of_a_link() {
        for level in ["trace", "info,tungstenite=trace", "tungstenite::protocol::frame=trace"] {
            let out = Shared::default();
            let writer = LogWriter::start(out.clone()).expect("a thread");
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(filter(level).expect("a filter"))
                .with_writer(writer.sink())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "tungstenite::protocol::frame", "the token");
                tracing::debug!(target: "async_tungstenite", "the token");
                tracing::warn!(target: "tungstenite::protocol", "a warning");
            });
            drop(writer);
            let text = String::from_utf8(out.0.lock().expect("lock").clone()).expect("UTF-8");
            assert!(text.contains("a warning") && !text.contains("the token"), "{level}: {text}");
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
