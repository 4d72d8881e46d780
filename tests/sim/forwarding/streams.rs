//! A stream through the same Main: chunks from the Home, credit from the caller.

use super::Forwarding;
use bytes::BytesMut;
use relay_core::Output;
use relay_core::frame::{Frame, FrameWriter, Kind};
use relay_core::message::{
    ChunkEnvelope, Credit, OPTION_STREAM, RequestEnvelope, Texts, Towards, chunk_cost,
};
use serde::Serialize;

/// One call with streams, between the same caller and the same Home.
pub struct Streaming {
    forwarding: Forwarding,
    /// The label of the call at the caller and at the Home.
    labels: [u64; 2],
    number: u32,
    body: Vec<u8>,
}

impl Streaming {
    /// A call whose handler sends chunks of `body_bytes`.
    ///
    /// # Panics
    /// When the call does not reach the Home.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
    pub fn new(body_bytes: usize) -> Self {
        let mut forwarding = Forwarding::new(64, 1);
        // The slot that the calls before it have used, in its next generation.
        let at_caller = (forwarding.round + 1) << 32;
        let request = RequestEnvelope {
            node: "",
            service: "service-0-0",
            method: "run",
            deadline_ms: 60_000,
            options: OPTION_STREAM,
            ttl: 10,
            content: 0,
            headers: Texts::default(),
            path: Texts::default(),
            reads: 0,
        };
        load(&mut forwarding.space, Kind::Request, at_caller, &request, b"");
        forwarding.forward_requests();
        let frame = forwarding.out.drain().find_map(|output| match output {
            Output::Transmit { frame, .. } => Some(frame),
            _ => None,
        });
        let mut bytes = BytesMut::from(&frame.expect("passed on")[..]);
        let at_home =
            Frame::take(&mut bytes, u32::MAX >> 1, u8::MAX).expect("legal").expect("whole").id();
        let labels = [at_caller, at_home];
        Self { forwarding, labels, number: 0, body: vec![b'x'; body_bytes] }
    }

    /// Puts leave for one chunk where a driver reads it.
    pub fn load_credit(&mut self) {
        let credit = Credit { to: Towards::Caller, bytes: chunk_cost(self.body.len()) };
        load(&mut self.forwarding.space, Kind::Credit, self.labels[0], &credit, b"");
    }

    /// Passes on what was loaded of the caller. This is what is counted.
    pub fn forward_credit(&mut self) {
        self.forwarding.forward_requests();
    }

    /// Puts the next chunk where a driver reads it.
    pub fn load_chunk(&mut self) {
        let chunk = ChunkEnvelope { to: Towards::Caller, number: self.number, is_last: false };
        self.number += 1;
        load(&mut self.forwarding.space, Kind::Stream, self.labels[1], &chunk, &self.body);
    }

    /// Passes on what was loaded of the Home. This is what is counted.
    pub fn forward_chunk(&mut self) {
        self.forwarding.forward_answers();
    }

    /// Takes away what was passed on and tells how many bytes it was.
    pub fn unload(&mut self) -> usize {
        self.forwarding.unload()
    }
}

fn load<T: Serialize>(space: &mut BytesMut, kind: Kind, id: u64, envelope: &T, body: &[u8]) {
    let envelope = postcard::to_allocvec(envelope).unwrap_or_default();
    let write = |out: &mut BytesMut| out.extend_from_slice(&envelope);
    let frame = FrameWriter::default().write(kind, id, 10, write, body).freeze();
    space.reserve(frame.len());
    space.extend_from_slice(&frame);
}
