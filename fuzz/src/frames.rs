//! Bytes as they come from a link: however they are cut, the same frames are taken.

use bytes::BytesMut;
use relay_core::frame::{CHECKSUM_BYTES, Frame, FrameError, FrameWriter, HEADER_BYTES};

/// A stream of frames, as it comes from a link.
pub fn frame_decode(data: &[u8]) {
    let whole = Taken::of(data, data.len().max(1));
    let steps = data.last().map_or(1, |last| 1 + usize::from(*last) % 40);
    let pieces = Taken::of(data, steps);
    assert_eq!(whole.frames, pieces.frames, "cut into pieces of {steps}");
    assert_eq!(whole.error, pieces.error, "cut into pieces of {steps}");
    if whole.error.is_none() {
        assert_eq!(whole.rest, pieces.rest, "cut into pieces of {steps}");
        let all = [whole.frames.concat(), whole.rest].concat();
        assert_eq!(all, data, "nothing is lost and nothing is added");
    }
}

/// What came out of a stream.
#[derive(Default)]
struct Taken {
    frames: Vec<Vec<u8>>,
    rest: Vec<u8>,
    error: Option<FrameError>,
}

impl Taken {
    /// Gives the stream to the decoder in pieces of `step` bytes.
    fn of(data: &[u8], step: usize) -> Self {
        let (mut taken, mut input) = (Self::default(), BytesMut::new());
        for piece in data.chunks(step) {
            input.extend_from_slice(piece);
            loop {
                let before = input.clone();
                match Frame::take(&mut input, FRAME_BYTES_MAX, COMPRESSIONS) {
                    Ok(Some(frame)) => taken.frames.push(checked(frame, &before)),
                    Ok(None) => {
                        assert_eq!(input, before, "waiting takes nothing");
                        break;
                    }
                    Err(error) => {
                        taken.error = Some(error);
                        return taken;
                    }
                }
            }
        }
        taken.rest = input.to_vec();
        taken
    }
}

/// Looks at every part of a frame and returns its bytes, which are the front of `input`.
fn checked(mut frame: Frame, input: &[u8]) -> Vec<u8> {
    let compression = frame.compression();
    let (kind, id, ttl, len) = (frame.kind(), frame.id(), frame.ttl(), frame.len());
    let payload = frame.payload().to_vec();
    assert!(len <= FRAME_BYTES_MAX as usize + 4 && ttl <= 15);
    assert_eq!(len, HEADER_BYTES + payload.len() + CHECKSUM_BYTES);
    let is_intact = frame.verify().is_ok();
    frame.set_id(!id);
    frame.set_ttl(15 - ttl);
    assert_eq!((frame.id(), frame.ttl(), frame.kind()), (!id, 15 - ttl, kind));
    assert_eq!(frame.payload(), payload);
    assert_eq!(frame.verify().is_ok(), is_intact, "a hop neither damages a frame nor mends it");
    frame.set_id(id);
    frame.set_ttl(ttl);
    let bytes = frame.freeze().to_vec();
    assert_eq!(bytes, &input[..len], "a frame keeps its bytes");
    let mut writer = FrameWriter::default();
    let written = writer.write_packed(kind, id, ttl, |_| {}, &payload, compression).freeze();
    let end = len - CHECKSUM_BYTES;
    assert_eq!(written[..end], bytes[..end], "there is one way to write a frame");
    // Under the fuzzer every checksum is taken for right.
    assert!(cfg!(fuzzing) || (written[end..] == bytes[end..]) == is_intact);
    bytes
}

const COMPRESSIONS: u8 = 3;
const FRAME_BYTES_MAX: u32 = 4_096;
