//! One direction of the stream of a call, as each node on the way counts it.

use crate::message::STREAM_BYTES_MAX;

/// What may still be sent in one direction, and what was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flow {
    /// Bytes that were granted and not used.
    pub(crate) allowed: u32,
    /// The number of the next chunk; [`ENDED`] after the last one.
    next: u32,
}

/// How a peer broke the rules of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FlowError {
    /// The chunk is not the one that was due.
    Number,
    /// It costs more than was granted.
    Exceeded,
    /// The last one was sent before.
    Ended,
    /// More is granted at once than anybody may grant.
    Excessive,
}

impl FlowError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Number => "a chunk of the stream is missing or came twice",
            Self::Exceeded => "more of the stream was sent than was granted",
            Self::Ended => "a chunk came after the last one",
            Self::Excessive => "more of the stream was granted than may be outstanding",
        }
    }
}

impl Flow {
    /// The number of the next chunk, if there may be one.
    pub(crate) const fn next(&self) -> Option<u32> {
        if self.next == ENDED { None } else { Some(self.next) }
    }

    /// Whether the last chunk was sent.
    pub(crate) const fn is_ended(&self) -> bool {
        self.next == ENDED
    }

    /// Whether a chunk was sent.
    pub(crate) const fn is_begun(&self) -> bool {
        self.next > 0
    }

    /// Allows `bytes` more.
    #[inline]
    pub(crate) const fn grant(&mut self, bytes: u32) -> Result<(), FlowError> {
        let allowed = self.allowed.saturating_add(bytes);
        if allowed > STREAM_BYTES_MAX {
            return Err(FlowError::Excessive);
        }
        self.allowed = allowed;
        Ok(())
    }

    /// Counts a chunk that costs `cost`.
    #[inline]
    pub(crate) const fn take(
        &mut self,
        number: u32,
        cost: u32,
        is_last: bool,
    ) -> Result<(), FlowError> {
        if self.next == ENDED {
            return Err(FlowError::Ended);
        }
        if number != self.next {
            return Err(FlowError::Number);
        }
        if cost > self.allowed {
            return Err(FlowError::Exceeded);
        }
        self.allowed = self.allowed.saturating_sub(cost);
        self.next = if is_last { ENDED } else { number + 1 };
        Ok(())
    }
}

/// No chunk has this number, so a stream has at most 2^32 - 1 of them.
const ENDED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_in_order_and_within_what_was_granted() {
        let mut flow = Flow::default();
        assert_eq!(flow.take(0, 1, false), Err(FlowError::Exceeded));
        assert_eq!(flow.grant(100), Ok(()));
        assert_eq!(flow.take(1, 1, false), Err(FlowError::Number));
        assert_eq!(flow.take(0, 60, false), Ok(()));
        assert_eq!(flow.take(0, 10, false), Err(FlowError::Number));
        assert_eq!(flow.take(1, 41, false), Err(FlowError::Exceeded));
        assert_eq!(flow.take(1, 40, true), Ok(()));
        assert_eq!((flow.take(2, 0, false), flow.next()), (Err(FlowError::Ended), None));
    }

    #[test]
    fn nobody_grants_more_than_may_be_outstanding() {
        let mut flow = Flow::default();
        assert_eq!(flow.grant(STREAM_BYTES_MAX), Ok(()));
        assert_eq!(flow.grant(1), Err(FlowError::Excessive));
        assert_eq!(flow.take(0, STREAM_BYTES_MAX, false), Ok(()));
        assert_eq!(flow.grant(u32::MAX), Err(FlowError::Excessive));
        assert_eq!((flow.grant(1), flow.allowed), (Ok(()), 1));
    }
}
