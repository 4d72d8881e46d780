//! A second count of everything a shard counts, and of the ways back that its tables remember.

use super::timers::to_tick;
use super::{End, Link, Shard};
use crate::calls::{NOT_KEPT, OutCall};
use crate::flow::Flow;
use crate::holdings::Holdings;
use crate::message::{OPTION_STREAM, STREAM_BYTES_MAX, Towards};
use crate::outbox::LinkId;
use crate::time::Instant;
use alloc::format;
use alloc::string::String;

/// What a shard holds, counted anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Links over bytes.
    pub links: u32,
    /// Those of them that are not authenticated.
    pub handshaking: u32,
    /// Calls in flight.
    pub calls: u32,
    /// The most bytes that one link was handed and has not written.
    pub write_bytes: u32,
}

impl Shard {
    /// Counts everything anew and compares it with what the shard believes: no count is wrong, no
    /// bound is exceeded, every call in flight has one way there and one way back, and something
    /// will wake the shard before each deadline. It looks at every call: for simulators and tests.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn audit(&self) -> Result<Usage, String> {
        let mut usage = Usage::default();
        for (id, link) in self.links.iter() {
            usage.handshaking += u32::from(link.is_handshaking());
            if let End::Network(network) = &link.end {
                usage.links += 1;
                usage.write_bytes = usage.write_bytes.max(network.write_bytes);
            }
            usage.calls += self.audit_calls(id)?;
        }
        let kept = self.links.iter().flat_map(|(_, link)| link.outbound.iter());
        let kept = kept.filter(|(_, call)| call.kept != NOT_KEPT).count();
        if kept != self.kept.len() as usize {
            return Err(format!("{} frames are kept for {kept} calls", self.kept.len()));
        }
        let counted = (usage.links, usage.handshaking);
        if counted != (self.links.network, self.links.handshaking) {
            return Err(format!("links are {counted:?}, believed otherwise"));
        }
        let limits = &self.config.limits;
        if usage.links > limits.links_max || usage.handshaking > limits.handshakes_max {
            return Err(format!("{} links, {} in handshake", usage.links, usage.handshaking));
        }
        Ok(usage)
    }

    /// What the tables of the shard take.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut all = Holdings { links: u64::from(self.links.network), ..Holdings::default() };
        for (_, link) in self.links.iter() {
            all.calls += u64::from(link.outbound.live());
            all = all.with(link.outbound.holdings()).with(link.inbound.holdings());
            if let End::Network(network) = &link.end {
                all = all.bytes(u64::from(network.write_bytes));
            }
        }
        let kept = Holdings::default().entries::<Option<bytes::Bytes>>(self.kept.places());
        all.with(kept.bytes(self.kept.bytes()))
            .with(self.numbers.holdings())
            .with(self.heard.holdings())
            .entries::<LinkId>(self.topics.len())
            .entries::<Link>(self.links.places())
            .entries::<super::instances::State>(self.instances.len())
            .entries::<(Instant, u32)>(self.timers.len())
    }

    fn audit_calls(&self, id: LinkId) -> Result<u32, String> {
        let Some(link) = self.links.get(id) else { return Ok(0) };
        let (mut sent, mut came) = (0, 0);
        for (label, call) in link.outbound.iter() {
            sent += 1;
            let back =
                self.links.get(call.back).and_then(|back| back.inbound.peek(call.back_label));
            if !back.is_some_and(|onward| onward.link == id && onward.label == label) {
                return Err(format!("call {label:#x} over link {id} has no way back"));
            }
            let known = link.call_deadline.is_some_and(|earliest| earliest <= call.deadline);
            let awake = link.wake_at.is_some_and(|at| at <= to_tick(call.deadline));
            if !known || !awake {
                return Err(format!("nothing looks at the deadline of call {label:#x} on {id}"));
            }
            if !flows_fit(call) {
                return Err(format!("call {label:#x} on {id} has streams it must not have"));
            }
        }
        for (label, onward) in link.inbound.iter() {
            came += 1;
            let there = self.links.get(onward.link);
            let call = there.and_then(|link| link.outbound.peek(onward.label));
            if !call.is_some_and(|call| call.back == id && call.back_label == label) {
                return Err(format!("call {label:#x} of link {id} went nowhere"));
            }
        }
        let wrong = (sent, came) != (link.outbound.live(), link.inbound.live());
        if wrong || sent > link.outbound_max || came > link.inbound_max {
            return Err(format!("link {id} holds {sent} calls sent and {came} that came"));
        }
        if !link.outbound.shares_agree() {
            return Err(format!("link {id} does not know who has how many calls"));
        }
        Ok(came)
    }
}

/// Only calls with streams have any, nobody is allowed more than the bound, and a call of which a
/// part has passed is never sent elsewhere.
fn flows_fit(call: &OutCall) -> bool {
    if call.options & OPTION_STREAM == 0 {
        return call.flows == [Flow::default(); 2];
    }
    let bounded = call.flows.iter().all(|flow| flow.allowed <= STREAM_BYTES_MAX);
    let answered = call.flow(Towards::Caller).is_begun();
    let pinned = answered || *call.flow(Towards::Handler) != Flow::default();
    bounded && (!pinned || call.kept == NOT_KEPT)
}
