//! A publication through the same kind of Main: from a caller to many others.

use super::{caller, node};
use crate::machine::Machine;
use bytes::BytesMut;
use relay_core::frame::{FrameWriter, Kind};
use relay_core::message::{ControlMessage, PublicationEnvelope, Texts};
use relay_core::{Instant, LinkId, Outbox, Output, Role};

/// A Main with one publisher and its subscribers.
pub struct Publishing {
    machine: Machine,
    publisher: LinkId,
    out: Outbox,
    space: BytesMut,
    bytes: Vec<u8>,
    now: Instant,
}

impl Publishing {
    /// `subscribers` links want what is published, with bodies of `body_bytes`; other links have
    /// `others` patterns that stand for other topics.
    ///
    /// # Panics
    /// When the handshake does not end as it must.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
    pub fn new(subscribers: u32, others: u32, body_bytes: usize) -> Self {
        let mut main = [Machine::First(Box::new(node(Role::Main, "main", 1)))];
        let (mut now, mut out) = (Instant::ZERO, Outbox::with_capacity(64));
        let mut subscribe = |main: &mut [Machine], link, pattern: &str, now| {
            let message = ControlMessage::Subscribe { pattern };
            let payload = postcard::to_allocvec(&message).expect("any message can be written");
            let frame = FrameWriter::default().write(Kind::Control, 0, 0, |_| {}, &payload);
            let mut input = BytesMut::from(&frame.freeze()[..]);
            main[0].handle_received(link, &mut input, now, &mut out);
            out.drain().for_each(drop);
        };
        for number in 0..subscribers {
            let link = caller(&mut main, 0, &mut now);
            let pattern = ["news.today", "news.*", "news.**"][number as usize % 3];
            subscribe(&mut main, link, pattern, now);
        }
        let mut link = caller(&mut main, 0, &mut now);
        for number in 0..others {
            if number % PATTERNS_EACH == PATTERNS_EACH - 1 {
                link = caller(&mut main, 0, &mut now);
            }
            subscribe(&mut main, link, &format!("other.{number}.*"), now);
        }
        let publisher = super::link(&mut main, 0, node(Role::Caller, "mouth", 3), &mut now);
        let envelope = PublicationEnvelope {
            topic: "news.today",
            publisher: "mouth",
            key: super::identity("mouth", 3).mark(),
            life: 1,
            seq: 1,
            content: 0,
            headers: Texts::default(),
            path: Texts::default(),
        };
        let envelope = postcard::to_allocvec(&envelope).expect("any message can be written");
        let write = |out: &mut BytesMut| out.extend_from_slice(&envelope);
        let body = vec![b'x'; body_bytes];
        let bytes = FrameWriter::default().write(Kind::Publish, 0, 10, write, &body);
        let [machine] = main;
        let bytes = bytes.freeze().to_vec();
        Self { machine, publisher, out: Outbox::default(), space: BytesMut::new(), bytes, now }
    }

    /// Puts a publication where a driver reads it, a second after the last one.
    pub fn load(&mut self) {
        self.now = self.now.after(std::time::Duration::from_secs(1));
        self.space.reserve(self.bytes.len());
        self.space.extend_from_slice(&self.bytes);
    }

    /// Passes it on. This is what is counted and timed.
    #[inline(never)]
    pub fn pass_on(&mut self) {
        self.machine.handle_received(self.publisher, &mut self.space, self.now, &mut self.out);
    }

    /// Takes away what was passed on and tells how many copies it was.
    pub fn unload(&mut self) -> u32 {
        let mut copies = 0;
        for output in self.out.drain() {
            if let Output::Transmit { link, frame } = output {
                copies += u32::from(frame.len() == self.bytes.len());
                self.machine.handle_flushed(link, frame.len() as u32);
            }
        }
        copies
    }
}

/// Patterns of one link in the fixture.
const PATTERNS_EACH: u32 = 200;
