//! Golden traces: the life of one node as a list of inputs with their times, and a digest of all
//! that came out of it, which every shell that replays the inputs must reproduce.
//!
//! A trace is recorded in a world ([`record`]) and replayed by the bare loop ([`play`]) or, in the
//! crate `relay-replay`, by the driver on a runtime. What is compared is a [`Log`].

mod bare;
mod log;
mod recorder;
mod trace;
mod writer;

pub use bare::{BROKEN, play};
pub use log::{Asked, Heard, Log, Outcome};
pub use recorder::{plan, record};
pub use trace::{Input, Profile, Step, Trace};
pub use writer::Room;

pub(crate) use bare::{STREAM_WINDOW, detail};
pub(crate) use recorder::{Life, Recorder};

/// FNV-1a: short, and the same whatever the compiler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.add(&word.to_be_bytes());
    }

    /// Adds a text so that two texts are not the same as one of them and the start of the other.
    pub(crate) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        self.add(text.as_bytes());
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}
