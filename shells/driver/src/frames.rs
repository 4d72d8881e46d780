//! What transports over a plain byte stream have in common, whatever trait their streams have.

use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Poll, ready};

/// Writes frames off the front of `queue`, many at a time, with `write`, which tells how many bytes
/// it took. Ready when the queue is empty.
///
/// # Errors
/// Those of `write`, and [`io::ErrorKind::WriteZero`] where it takes nothing.
pub fn poll_write_frames(
    queue: &mut VecDeque<Bytes>,
    mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        let mut written = ready!(write(&slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        while let Some(frame) = queue.front_mut().filter(|_| written > 0) {
            let part = frame.len().min(written);
            frame.advance(part);
            written -= part;
            queue.pop_front_if(|frame| frame.is_empty());
        }
    }
    Poll::Ready(Ok(()))
}

/// Lends `read` a buffer that all links of a thread share, so that an idle link holds none.
pub fn with_read_space<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READ_SPACE.with_borrow_mut(|space| read(&mut space[..]))
}

thread_local! {
    static READ_SPACE: RefCell<Box<[u8; READ_BYTES]>> = RefCell::new(Box::new([0; READ_BYTES]));
}

const READ_BYTES: usize = 64 << 10;
const SLICES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_at_a_time_every_byte_is_written_once() {
        let frames: Vec<Bytes> =
            (0..200_u8).map(|n| vec![n; usize::from(n % 7) + 1].into()).collect();
        let expected = frames.concat();
        for step in [1, 2, 5, 64, 10_000] {
            let (mut queue, mut got) = (VecDeque::from(frames.clone()), Vec::new());
            let mut turns = 0;
            loop {
                let done = poll_write_frames(&mut queue, |slices| {
                    turns += 1;
                    if turns % 3 == 0 {
                        return Poll::Pending;
                    }
                    let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                    let taken = offered.len().min(step);
                    got.extend_from_slice(&offered[..taken]);
                    Poll::Ready(Ok(taken))
                });
                if let Poll::Ready(done) = done {
                    done.expect("no error came");
                    break;
                }
            }
            assert_eq!(got, expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn who_takes_nothing_is_an_error_and_no_loop() {
        let mut queue = VecDeque::from([Bytes::from_static(b"frame")]);
        let done = poll_write_frames(&mut queue, |_| Poll::Ready(Ok(0)));
        let Poll::Ready(Err(error)) = done else { panic!("{done:?}") };
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
