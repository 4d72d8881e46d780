//! One task for each connection: it reads all that has come, then writes all that waits, once.

use crate::Failure;
use crate::line::Line;
use bytes::BytesMut;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// What a connection is used for.
pub(crate) trait Handler {
    /// Takes whole messages off the front of `input`. A part of one stays.
    fn take(&mut self, input: &mut BytesMut) -> Result<(), Failure>;

    /// Moves what is to be sent behind `output`, and wakes `cx` when there is more.
    fn poll_output(&mut self, output: &mut BytesMut, cx: &mut Context<'_>);
}

/// Drives a connection until it ends. `input` is what was read of it already.
pub(crate) async fn run<L: Line, H: Handler>(
    line: &mut L,
    handler: &mut H,
    mut input: BytesMut,
) -> Result<(), Failure> {
    let mut output = BytesMut::new();
    handler.take(&mut input)?;
    poll_fn(|cx| {
        let mut reads = 0;
        loop {
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            match line.poll_receive(&mut input, cx)? {
                Poll::Ready(true) => handler.take(&mut input)?,
                Poll::Ready(false) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        handler.poll_output(&mut output, cx);
        if output.len() > OUTPUT_BYTES_MAX {
            return Poll::Ready(Err("the peer does not read what it is sent".into()));
        }
        let sent = line.poll_send(&mut output, cx)?;
        debug_assert!(sent.is_pending() || output.is_empty(), "ready means sent");
        Poll::Pending
    })
    .await
}

/// Adds `from` to `to` and empties it. A buffer changes hands where it can, nothing is copied.
pub(crate) fn append(to: &mut BytesMut, from: &mut BytesMut) {
    if to.is_empty() {
        std::mem::swap(to, from);
    } else {
        to.extend_from_slice(from);
    }
    from.clear();
}

/// Reads before other tasks get their turn.
const READS_PER_TURN: usize = 32;
/// More than any closed loop has in flight.
const OUTPUT_BYTES_MAX: usize = 128 << 20;

#[test]
fn what_is_appended_is_moved() {
    let (mut to, mut from) = (BytesMut::new(), BytesMut::from("ab"));
    append(&mut to, &mut from);
    from.extend_from_slice(b"c");
    append(&mut to, &mut from);
    assert_eq!((&to[..], &from[..]), (&b"abc"[..], &b""[..]));
}
