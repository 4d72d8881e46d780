//! The last checks before a request leaves.

use super::forward::Plan;
use super::{End, Shard};
use crate::error::{CallError, ErrorCode};
use crate::frame::Frame;
use crate::outbox::LinkId;
use crate::time::Instant;

impl Shard {
    /// Whether a request may leave: the link takes it, it fits, it may still travel.
    #[inline]
    pub(super) fn check_passage(
        &self,
        from: LinkId,
        over: LinkId,
        frame: &Frame,
        plan: &Plan,
        now: Instant,
    ) -> Result<(), CallError> {
        let limits = &self.config.limits;
        let Some(link) = self.links.get(over) else {
            return Err(self.error(ErrorCode::Unavailable, "the node has just gone"));
        };
        if !link.takes_calls(from, limits.write_bytes_max, plan.priority, now) {
            return Err(self.error(ErrorCode::Overloaded, "the link to the service is full"));
        }
        let forwarded = self.links.is_network(from) && plan.attempts == 1;
        let is_spent = forwarded && frame.ttl() == 0;
        if (plan.hops > limits.hops_max || is_spent) && !plan.target.link.is_local() {
            let limit = u64::from(limits.hops_max);
            return Err(self.error(ErrorCode::HopLimit, "").with_limit(limit));
        }
        if let Some(compression) = frame.compression()
            && !self.takes(link, compression)
        {
            let text = "the link to the service does not take this compression";
            return Err(self.error(ErrorCode::Capabilities, text));
        }
        let End::Network(network) = &link.end else { return Ok(()) };
        if frame.length() > network.frame_bytes_out {
            let text = "the message is larger than the link to the service takes";
            let limit = u64::from(network.frame_bytes_out);
            return Err(self.error(ErrorCode::TooLarge, text).with_limit(limit));
        }
        Ok(())
    }
}
