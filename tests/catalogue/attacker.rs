//! A peer that speaks bytes: honest where a test wants it to be, wrong at any step.

use crate::messages::{CHALLENGE, Hello, RESPONSE, Reader, Request, Writer, proof};
use crate::wire::Wire;
use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use relay_core::frame::{Frame, FrameWriter, Kind};
use relay_core::message::{ErrorEnvelope, ResponseEnvelope, Status};
use relay_tokio::CallError;
use std::time::Duration;

/// One connection of an attacker.
pub(crate) struct Link {
    wire: Wire,
    input: BytesMut,
    /// Whether the handshake is done, so that a goodbye is owed.
    pub(crate) is_open: bool,
}

/// Why a handshake was refused, as the attacker is told.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Rejection {
    pub(crate) code: u64,
    pub(crate) message: String,
}

/// How a call of the attacker ended.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Result(Vec<u8>),
    Application(Vec<u8>),
    Failed(CallError),
}

impl Link {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, input: BytesMut::new(), is_open: false }
    }

    /// Sends bytes as they are. Whether they arrive is the test's to find out.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        within("bytes to be taken", self.wire.send(bytes)).await
    }

    /// Sends bytes in pieces of `length`, each as a write of its own.
    pub(crate) async fn send_pieces(&mut self, bytes: &[u8], length: usize) {
        for piece in bytes.chunks(length) {
            self.send(piece).await;
        }
    }

    pub(crate) async fn send_frame(&mut self, kind: Kind, id: u64, payload: &[u8]) -> bool {
        self.send(&frame(kind, id, payload)).await
    }

    /// Asks under `label`, which must be one that the protocol allows.
    pub(crate) async fn call(&mut self, label: u64, request: &Request) {
        self.send_frame(Kind::Request, label, &request.encode()).await;
    }

    /// The next frame; nothing when the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        within("a frame or the end", async {
            loop {
                let taken = Frame::take(&mut self.input, u32::MAX >> 1, u8::MAX);
                if let Some(frame) = taken.expect("the Main sends legal frames") {
                    frame.verify().expect("the Main sends right checksums");
                    return Some(frame);
                }
                self.input.extend_from_slice(&self.wire.receive().await?);
            }
        })
        .await
    }

    /// The next frame of this kind; pings of the Main are passed over.
    pub(crate) async fn expect(&mut self, kind: Kind) -> Frame {
        loop {
            let Some(frame) = self.frame().await else { panic!("ended before a {kind:?}") };
            if frame.kind() == kind {
                return frame;
            }
            assert_eq!(frame.kind(), Kind::Ping, "instead of a {kind:?}");
        }
    }

    /// The next answer to a call, with its label.
    pub(crate) async fn answer(&mut self) -> (u64, Said) {
        self.answer_or_end().await.expect("ended before the answer")
    }

    /// The next answer to a call, with its label; nothing when the link ends before.
    pub(crate) async fn answer_or_end(&mut self) -> Option<(u64, Said)> {
        loop {
            let frame = self.frame().await?;
            match frame.kind() {
                Kind::Ping | Kind::Control => {}
                Kind::Response | Kind::Error => return Some((frame.id(), said(&frame))),
                other @ (Kind::Handshake
                | Kind::Pong
                | Kind::Request
                | Kind::Stream
                | Kind::Credit
                | Kind::Cancel
                | Kind::Publish
                | Kind::Extension) => panic!("a {other:?} instead of an answer"),
            }
        }
    }

    /// Sees that the link is alive: a ping is answered, and nothing else came before its pong.
    pub(crate) async fn is_alive(&mut self) {
        self.send_frame(Kind::Ping, 77, b"alive").await;
        assert_eq!(self.expect(Kind::Pong).await.payload(), b"alive");
    }

    /// Reads to the end and returns the code of the goodbye, if one came.
    pub(crate) async fn goodbye(&mut self) -> Option<u64> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            let mut payload = Reader(frame.payload());
            if frame.kind() == Kind::Control && payload.varint() == GOODBYE {
                code = Some(payload.varint());
            }
        }
        code
    }

    /// Refuses the dialler as a Main does, with this text.
    pub(crate) async fn refuse(&mut self, code: u64, message: &[u8]) {
        self.expect(Kind::Handshake).await;
        let refusal = Writer::default().raw(&[RESPONSE, 1]).varint(code).text(message).0;
        self.send_frame(Kind::Handshake, 0, &refusal).await;
    }

    /// Does the whole handshake as `hello` says, with proofs by `signing`.
    pub(crate) async fn shake(
        &mut self,
        hello: &Hello,
        signing: &SigningKey,
    ) -> Result<(), Rejection> {
        let request = hello.encode();
        let challenge = self.ask(&request).await?;
        self.prove(&proof(signing, &request, &challenge)).await
    }

    /// Sends a request and returns the challenge.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Rejection> {
        self.send_frame(Kind::Handshake, 0, request).await;
        self.step(CHALLENGE).await
    }

    /// Sends a proof; the link is open when it is accepted.
    pub(crate) async fn prove(&mut self, proof: &[u8]) -> Result<(), Rejection> {
        self.send_frame(Kind::Handshake, 0, proof).await;
        self.step(RESPONSE).await?;
        self.is_open = true;
        Ok(())
    }

    /// The refusal that must come now.
    pub(crate) async fn rejection(&mut self) -> Rejection {
        self.step(CHALLENGE).await.expect_err("must be refused")
    }

    async fn step(&mut self, expected: u8) -> Result<Vec<u8>, Rejection> {
        let frame = self.expect(Kind::Handshake).await;
        let mut payload = Reader(frame.payload());
        let message = payload.raw(1)[0];
        if message == RESPONSE && payload.varint() == 1 {
            let (code, message) = (payload.varint(), payload.text().to_owned());
            assert!(payload.0.is_empty(), "bytes behind the refusal");
            return Err(Rejection { code, message });
        }
        assert_eq!(message, expected, "another message of the handshake");
        Ok(frame.payload().to_vec())
    }
}

/// One frame as an honest node writes it.
pub(crate) fn frame(kind: Kind, id: u64, payload: &[u8]) -> Vec<u8> {
    FrameWriter::default().write(kind, id, 10, |_| {}, payload).freeze().to_vec()
}

/// A frame with this flag word and a right checksum.
pub(crate) fn frame_with_flags(flags: u16, id: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(Kind::Ping, id, payload);
    let end = bytes.len() - 4;
    for (at, byte) in flags.to_be_bytes().into_iter().enumerate() {
        // The flags are the low half of a word of the parity.
        bytes[end + 2 + at] ^= bytes[4 + at] ^ byte;
        bytes[4 + at] = byte;
    }
    bytes
}

/// The label of slot `index` in its `generation`.
pub(crate) const fn label(index: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | index as u64
}

/// Waits for `future`, and for ever only as long as no machine is that slow.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn said(frame: &Frame) -> Said {
    if frame.kind() == Kind::Error {
        return Said::Failed(ErrorEnvelope::decode(frame.payload()).expect("a legal error").0);
    }
    let (envelope, _, body) = ResponseEnvelope::decode(frame.payload()).expect("a legal answer");
    match envelope.status {
        Status::Result | Status::TracedResult => Said::Result(body.to_vec()),
        Status::ApplicationError | Status::TracedApplicationError => {
            Said::Application(body.to_vec())
        }
    }
}

const GOODBYE: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
