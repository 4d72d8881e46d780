//! How a command says that it failed: one `error:` line, at most one `hint:` line, an exit code.

use std::fmt::Write as _;
use std::process::ExitCode;

/// Why a command ends without having done its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    exit_code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The command line or the configuration is wrong (exit code 2); nothing was started.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: 2, message: message.into(), hint: None }
    }

    /// The work itself failed (exit code 1).
    #[must_use]
    pub fn work(message: impl Into<String>) -> Self {
        Self { exit_code: 1, message: message.into(), hint: None }
    }

    /// The same failure, saying what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// The lines for a person, without control characters.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = format!("error: {}\n", one_line(&self.message));
        if let Some(hint) = &self.hint {
            lines.push_str("hint: ");
            lines.push_str(&one_line(hint));
            lines.push('\n');
        }
        lines
    }

    /// Writes [`Self::lines`] to the standard error output and returns the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        use std::io::Write as _;
        // With nobody reading, the exit code is all that is left to say.
        let _ = std::io::stderr().write_all(self.lines().as_bytes());
        ExitCode::from(self.exit_code)
    }

    /// A failure out of the text of clap, which holds usage lines and tips of its own.
    pub(crate) fn from_clap(text: &str) -> Self {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let message = paragraphs.first().map_or("", |first| first.trim_start_matches("error: "));
        let tip = paragraphs.iter().find_map(|part| part.trim().strip_prefix("tip: "));
        let failure = Self::usage(message);
        match tip {
            Some(tip) => failure.with_hint(tip),
            None => {
                let usage = paragraphs.iter().find_map(|part| part.strip_prefix("Usage: "));
                let command = command_of(usage.unwrap_or_default());
                failure.with_hint(format!("{command} --help lists what can be given"))
            }
        }
    }
}

/// `relay`, or `relay` with the subcommand that a usage line starts with.
fn command_of(usage: &str) -> String {
    let words = usage.split(' ').skip(1);
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    match words.take(1).find(is_name) {
        Some(subcommand) => format!("relay {subcommand}"),
        None => String::from("relay"),
    }
}

/// `text` on one line: control characters are shown as `\u{..}`, so that a name from outside
/// cannot drive the terminal.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if character.is_control() => {
                let _ = write!(line, "{}", character.escape_unicode());
            }
            _ => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_no_control_characters() {
        let failure = Failure::usage("bad\nname \u{1b}[31m").with_hint("a\rb");
        assert_eq!(failure.lines(), "error: bad name \\u{1b}[31m\nhint: a b\n");
    }

    #[test]
    fn the_text_of_clap_becomes_one_line() {
        let text = "error: unexpected argument '--x' found\n\n  tip: a similar argument exists: \
                    '--y'\n\nUsage: relay\n";
        let failure = Failure::from_clap(text);
        assert_eq!(failure.message(), "unexpected argument '--x' found");
        assert_eq!(failure.hint(), Some("a similar argument exists: '--y'"));
        let text = "error: no value\n\nUsage: relay call [OPTIONS] <A>\n";
        assert_eq!(
            Failure::from_clap(text).hint(),
            Some("relay call --help lists what can be given")
        );
        let text = "error: no value\n\nUsage: relay [OPTIONS] [PROGRAM]\n relay <COMMAND>\n";
        assert_eq!(Failure::from_clap(text).hint(), Some("relay --help lists what can be given"));
        let text = "error: the following required arguments were not provided:\n  <A>\n  <B>\n\nU";
        let wanted = "the following required arguments were not provided: <A> <B>";
        assert_eq!(Failure::from_clap(text).message(), wanted);
    }
}
