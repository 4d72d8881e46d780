//! Watches the raw head of a request for framing that two servers could read differently.
//!
//! hyper resolves `Transfer-Encoding` together with `Content-Length`, and repeated equal lengths,
//! by rules; a proxy in front may follow other rules. Such a head is refused, and it has to be
//! seen before hyper drops the header that lost. A head that arrived in one read behind another
//! request is not seen here; what it could smuggle is stopped by closing the connection after
//! any request with `Transfer-Encoding`.

/// Follows the lines of one head, however it is cut into reads.
#[derive(Default)]
pub(super) struct HeadWatch {
    /// The first bytes of the current line, in lower case.
    prefix: [u8; PREFIX_BYTES],
    line_bytes: usize,
    lines: usize,
    lengths: usize,
    encodings: usize,
    is_over: bool,
}

impl HeadWatch {
    /// Takes the next bytes that were read.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.is_over && !bytes.is_empty() {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (line, rest) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => (bytes, &[][..]),
            };
            self.extend_line(line);
            if end.is_some() {
                self.end_line();
            }
            bytes = rest;
        }
    }

    /// Whether the head so far frames its body in more than one way.
    pub(super) const fn is_ambiguous(&self) -> bool {
        self.lengths + self.encodings > 1
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let taken = self.line_bytes.min(PREFIX_BYTES);
        for (slot, byte) in self.prefix[taken..].iter_mut().zip(bytes) {
            *slot = byte.to_ascii_lowercase();
        }
        self.line_bytes += bytes.len();
    }

    fn end_line(&mut self) {
        let prefix = &self.prefix[..self.line_bytes.min(PREFIX_BYTES)];
        match prefix {
            b"" | b"\r" => self.is_over = self.lines > 0,
            _ => {
                self.lines += 1;
                self.lengths += usize::from(prefix.starts_with(b"content-length:"));
                self.encodings += usize::from(prefix.starts_with(b"transfer-encoding:"));
            }
        }
        self.line_bytes = 0;
    }
}

const PREFIX_BYTES: usize = b"transfer-encoding:".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w11_two_framings_are_seen_however_the_head_is_cut() {
        let heads = [
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\ntransfer-encoding: chunked\ncontent-length: 4\n\n", true),
            ("\r\nPOST / HTTP/1.1\r\nCONTENT-LENGTH: 4\r\ncontent-length:4\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            (
                "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n\r\nTransfer-Encoding: x\r\n\r\n",
                false,
            ),
            (
                "GET / HTTP/1.1\r\nX-Content-Length: 1\r\nContent-Lengths: 1\r\n\
                 TE: trailers\r\n\r\n",
                false,
            ),
        ];
        for (head, expected) in heads {
            for step in [1, 2, 7, head.len()] {
                let mut watch = HeadWatch::default();
                head.as_bytes().chunks(step).for_each(|chunk| watch.feed(chunk));
                assert_eq!(watch.is_ambiguous(), expected, "{head:?} in steps of {step}");
            }
        }
    }
}
