//! What is due when. Equal times keep the order in which they were asked for.

use relay_core::{DialId, Instant, LinkId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    serial: u64,
}

/// Something to look at. Most say where to look only, and may find that there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// Bytes may arrive at an end of a wire.
    Lane { wire: u32, side: u8 },
    /// A node may have something due.
    Timer { host: u16, life: u32 },
    /// A handler is done.
    Handler { host: u16, life: u32, slot: u32, uid: u32 },
    /// A caller gives up.
    GiveUp { uid: u32 },
    /// A host that is down comes up.
    Boot { host: u16, life: u32 },
    /// A connection attempt to a host that does not answer is given up.
    Refused { host: u16, life: u32, dial: DialId },
    /// A host that slept wakes up.
    Wake { host: u16 },
    /// A connection has ended.
    Closed { host: u16, life: u32, link: LinkId },
    /// Input that comes too late for its link.
    Ghost { at: u32 },
    /// The next step from outside.
    Step,
    /// What all nodes hold is noted.
    Sample,
    /// Counts are compared.
    Audit { host: u16 },
    /// The time of a host that leaves is over.
    Ends { host: u16, life: u32, drained: bool },
    /// Whether all registries agree by now.
    Converge,
    /// The next call that must succeed.
    Probe,
    /// The world goes on to its next phase.
    Phase,
    /// A handler tries again to send its stream.
    Send { host: u16, life: u32, slot: u32, uid: u32 },
    /// A slow caller has taken a chunk.
    Consume { uid: u32, bytes: u32 },
}

impl Queue {
    pub(crate) fn push(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.heap.push(Reverse((at, self.serial, event)));
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
