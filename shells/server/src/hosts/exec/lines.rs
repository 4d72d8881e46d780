//! Lines from a child, bounded whatever it writes, and how its noise reaches the log.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// One line, without its end.
pub(super) enum Piece {
    /// A whole line.
    Whole(Vec<u8>),
    /// The beginning of a line over the limit; the rest was thrown away.
    Cut(Vec<u8>),
}

/// Takes lines of at most `bytes_max` bytes off a stream. Not cancel safe: a reader belongs to one
/// loop.
pub(super) struct Lines<R> {
    stream: R,
    bytes_max: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(stream: R, bytes_max: usize) -> Self {
        Self { stream, bytes_max }
    }

    /// The next line; `None` at the end. A last line without an end does not count: nobody can
    /// know whether it is whole.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Piece>> {
        let mut line = Vec::new();
        let mut is_cut = false;
        loop {
            let available = self.stream.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(available.len());
            if !is_cut {
                let room = self.bytes_max - line.len();
                line.extend_from_slice(&available[..taken.min(room)]);
                if taken > room {
                    is_cut = true;
                    line.truncate(CUT_BYTES_KEPT);
                    line.shrink_to_fit();
                }
            }
            self.stream.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(if is_cut { Piece::Cut(line) } else { Piece::Whole(line) }));
            }
        }
    }
}

/// Text of a child as it may stand in a log: at most 256 bytes and no control characters.
pub(super) fn loggable(text: &[u8]) -> String {
    let is_long = text.len() > LOGGED_BYTES_MAX;
    let text = String::from_utf8_lossy(&text[..text.len().min(LOGGED_BYTES_MAX)]);
    let mut escaped = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() || is_direction(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    if is_long {
        escaped.push('…');
    }
    escaped
}

/// Characters that reorder what a terminal shows.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) const LOGGED_BYTES_MAX: usize = 256;
/// Enough to find the id of an answer that is over the limit.
const CUT_BYTES_KEPT: usize = 4096;
/// Lines of noise of a child that are logged in a second.
pub(super) const LOG_LINES_PER_SECOND: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn lines_are_whole_or_cut_at_every_buffer_size() {
        let long = "x".repeat(9000);
        let text = format!("a\n\n{long}\nb\r\n{}\ntail", "y".repeat(8000));
        for capacity in [1, 2, 7, 64, 8192, 100_000] {
            let stream = BufReader::with_capacity(capacity, text.as_bytes());
            let mut lines = Lines::new(stream, 8000);
            let mut seen = Vec::new();
            while let Some(piece) = lines.next().await.unwrap() {
                seen.push(match piece {
                    Piece::Whole(line) => (true, String::from_utf8(line).unwrap()),
                    Piece::Cut(line) => (false, String::from_utf8(line).unwrap()),
                });
            }
            let expected = [
                (true, "a".to_owned()),
                (true, String::new()),
                (false, "x".repeat(CUT_BYTES_KEPT)),
                (true, "b\r".to_owned()),
                (true, "y".repeat(8000)),
            ];
            assert_eq!(seen, expected, "{capacity}");
        }
    }

    #[test]
    fn the_log_is_safe_from_the_child() {
        assert_eq!(loggable(b"plain text\r\n"), "plain text");
        assert_eq!(loggable(b"\x1b[31mred\0"), "\\u{1b}[31mred\\u{0}");
        assert_eq!(loggable("\u{202e}abc".as_bytes()), "\\u{202e}abc");
        assert!(loggable(&[b'x'; 10_000]).len() <= LOGGED_BYTES_MAX + 3);
        assert!(loggable(&[0xff; 10]).contains('\u{fffd}'));
    }
}
