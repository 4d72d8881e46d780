//! Splits a command into words the way a POSIX shell does, without a shell: no variables, no
//! globs, no pipes, so that nothing in the text can run anything but the named program.

use std::fmt;

/// Splits `text` at blanks. `'…'` takes everything as it is, `"…"` too except `\"` and `\\`, and
/// outside of quotes a backslash takes the next character as it is.
pub(super) fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\0' => return Err(WordsError::Nul),
            '\'' => quoted(&mut rest, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut rest, '"', word.get_or_insert_default())?,
            '\\' => {
                let next = rest.next().ok_or(WordsError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Why a command could not be split into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordsError {
    /// A quote that is opened but not closed.
    Quote(char),
    /// A backslash at the very end.
    Backslash,
    /// A NUL character, which no command line can hold.
    Nul,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quote(quote) => write!(f, "the quote {quote} is opened but not closed"),
            Self::Backslash => f.write_str("a backslash at the end; write \\\\ to mean one"),
            Self::Nul => f.write_str("a NUL character cannot be part of a command"),
        }
    }
}

impl std::error::Error for WordsError {}

fn quoted(
    rest: &mut std::str::Chars<'_>,
    quote: char,
    word: &mut String,
) -> Result<(), WordsError> {
    while let Some(c) = rest.next() {
        match c {
            '\0' => return Err(WordsError::Nul),
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match rest.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(WordsError::Quote(quote)),
            },
            c => word.push(c),
        }
    }
    Err(WordsError::Quote(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, words) in [
            ("python3 child.py", &["python3", "child.py"][..]),
            ("  a \t b\n", &["a", "b"]),
            ("sh -c 'echo \"$HOME\" \\n'", &["sh", "-c", "echo \"$HOME\" \\n"]),
            (r#"a "b \"c\" \\ \d" e"#, &["a", r#"b "c" \ \d"#, "e"]),
            (r"my\ prog a\'b", &["my prog", "a'b"]),
            ("a'b'\"c\"d ''", &["abcd", ""]),
            ("", &[]),
            ("$(rm) `x` | y > z *", &["$(rm)", "`x`", "|", "y", ">", "z", "*"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn open_ends_are_refused() {
        assert_eq!(split("a 'b"), Err(WordsError::Quote('\'')));
        assert_eq!(split("a \"b\\"), Err(WordsError::Quote('"')));
        assert_eq!(split("a\\"), Err(WordsError::Backslash));
        assert_eq!(split("a\0"), Err(WordsError::Nul));
        assert_eq!(split("'a\0'"), Err(WordsError::Nul));
    }
}
