//! Counters of one shard, for metrics and for the simulator's conservation checks.

/// What a shard has done since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Frames taken off links.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Frames handed to links.
    pub frames_out: u64,
    /// Bytes of those frames.
    pub bytes_out: u64,
    /// Calls passed on to a link, to another shard or to the local application.
    pub calls_forwarded: u64,
    /// Calls answered by a handler (results and application errors).
    pub calls_answered: u64,
    /// Calls answered with an error of a relay, this one or one behind it.
    pub calls_failed: u64,
    /// Calls that ended because the caller cancelled or vanished.
    pub calls_cancelled: u64,
    /// Calls sent to another instance after the first one did not run them.
    pub calls_retried: u64,
    /// Calls sent again, and plain, because nobody behind this node took them compressed.
    pub calls_sent_plain: u64,
    /// Bodies compressed here.
    pub bodies_deflated: u64,
    /// Bodies inflated here.
    pub bodies_inflated: u64,
    /// Answers that came after their call had ended.
    pub answers_late: u64,
    /// Answers to nothing that was asked.
    pub answers_stray: u64,
    /// Parts of streams passed on.
    pub chunks_forwarded: u64,
    /// Parts of streams that came after their call had ended.
    pub chunks_late: u64,
    /// Publications of the local application, and such that came over a link.
    pub publications: u64,
    /// Copies of them handed to a link or to the local application.
    pub publications_passed_on: u64,
    /// Copies that were not, for want of room.
    pub publications_missed: u64,
    /// Publications of links that publish more than they may, or that nobody could take.
    pub publications_refused: u64,
    /// Publications that came to the local application again, or damaged, and were not delivered.
    pub publications_ignored: u64,
    /// Extension frames ignored.
    pub extensions_ignored: u64,
    /// Links authenticated.
    pub links_opened: u64,
    /// Links ended, authenticated or not.
    pub links_closed: u64,
    /// Connections refused because a bound of links was reached.
    pub links_refused: u64,
}

impl Stats {
    /// The sum of both, for a node of several shards.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            frames_in: self.frames_in + other.frames_in,
            bytes_in: self.bytes_in + other.bytes_in,
            frames_out: self.frames_out + other.frames_out,
            bytes_out: self.bytes_out + other.bytes_out,
            calls_forwarded: self.calls_forwarded + other.calls_forwarded,
            calls_answered: self.calls_answered + other.calls_answered,
            calls_failed: self.calls_failed + other.calls_failed,
            calls_cancelled: self.calls_cancelled + other.calls_cancelled,
            calls_retried: self.calls_retried + other.calls_retried,
            calls_sent_plain: self.calls_sent_plain + other.calls_sent_plain,
            bodies_deflated: self.bodies_deflated + other.bodies_deflated,
            bodies_inflated: self.bodies_inflated + other.bodies_inflated,
            answers_late: self.answers_late + other.answers_late,
            answers_stray: self.answers_stray + other.answers_stray,
            chunks_forwarded: self.chunks_forwarded + other.chunks_forwarded,
            chunks_late: self.chunks_late + other.chunks_late,
            publications: self.publications + other.publications,
            publications_passed_on: self.publications_passed_on + other.publications_passed_on,
            publications_missed: self.publications_missed + other.publications_missed,
            publications_refused: self.publications_refused + other.publications_refused,
            publications_ignored: self.publications_ignored + other.publications_ignored,
            extensions_ignored: self.extensions_ignored + other.extensions_ignored,
            links_opened: self.links_opened + other.links_opened,
            links_closed: self.links_closed + other.links_closed,
            links_refused: self.links_refused + other.links_refused,
        }
    }
}
