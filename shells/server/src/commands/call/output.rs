//! How answers are printed: byte for byte for programs, indented on a terminal.

use crate::cli::Failure;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::process::ExitCode;

/// Prints the result of a call.
pub(super) fn print_result(result: &[u8], is_raw: bool) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    let text = if is_raw || !out.is_terminal() { result.to_vec() } else { pretty(result) };
    let written =
        out.write_all(&text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::work(format!("cannot write to the standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Prints the error that the service itself answered with.
pub(super) fn print_application_error(error: &[u8]) -> ExitCode {
    let mut out = std::io::stderr().lock();
    let text = if out.is_terminal() { pretty(error) } else { error.to_vec() };
    // With nobody reading, the exit code is all that is left to say.
    let _ = out.write_all(&text).and_then(|()| out.write_all(b"\n"));
    ExitCode::from(1)
}

/// JSON for a person: indented, numbers and order untouched, nothing that drives the terminal.
fn pretty(json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
    let mut out = String::with_capacity(text.len() * 2);
    if is_json {
        indent(&text, &mut out);
    } else {
        text.chars().for_each(|character| push_safe(&mut out, character));
    }
    out.into_bytes()
}

fn indent(json: &str, out: &mut String) {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if is_string {
            push_safe(out, character);
            is_string = is_escaped || character != '"';
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        match character {
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                out.push(character);
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                is_string = character == '"';
                out.push(character);
            }
        }
    }
}

/// Deep nesting stops being indented: 100 levels are far more than anyone can read, and a hostile
/// answer may not cost the square of its size.
fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(100)));
}

/// Appends a character so that it cannot drive the terminal.
pub(in crate::commands) fn push_safe(out: &mut String, character: char) {
    if character.is_control() && character != '\n' {
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    } else {
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        String::from_utf8(pretty(json.as_bytes())).expect("UTF-8")
    }

    #[test]
    fn json_is_indented_and_otherwise_untouched() {
        assert_eq!(
            text(r#"{"b":[1.0e2, {}],"a":"x,{\"y\\"}"#),
            "{\n  \"b\": [\n    1.0e2,\n    {}\n  ],\n  \"a\": \"x,{\\\"y\\\\\"\n}"
        );
        assert_eq!(text("[ ]"), "[]");
        assert_eq!(text("12345678901234567890123"), "12345678901234567890123");
    }

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(text("\"a\u{9b}31m\""), "\"a\\u009b31m\"");
        assert_eq!(text("\u{1b}[2J no json"), "\\u001b[2J no json");
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(text(&deep).len() < 120 * 2 * 210);
    }
}
