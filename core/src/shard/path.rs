//! Calls that cross several Mains: the first one writes the whole path into the request, and all
//! others follow it.

use super::Shard;
use super::forward::Plan;
use crate::error::{CallError, ErrorCode};
use crate::federation::is_simple;
use crate::frame::{Frame, Kind};
use crate::message::{OPTION_PATH, OPTION_READS, RequestEnvelope, Texts, encode};
use crate::name::NodeId;
use crate::outbox::LinkId;
use alloc::vec::Vec;

impl Shard {
    /// The link to the Main behind this one on a path; nothing when the path ends here.
    #[cold]
    pub(super) fn next_main(&self, path: Texts<'_>) -> Result<Option<LinkId>, CallError> {
        let mains: Vec<&str> = path.iter().flatten().collect();
        let place = mains.iter().position(|main| *main == self.identity.node().as_str());
        if !is_simple(&mains) {
            return Err(self.error(ErrorCode::Loop, "the path names a Main twice"));
        }
        let Some(place) = place else {
            return Err(self.error(ErrorCode::BadRequest, "the path does not lead through here"));
        };
        let Some(next) = mains.get(place + 1) else { return Ok(None) };
        let link = self.routes.peer(next);
        link.map(Some).ok_or_else(|| {
            let text = alloc::format!("not linked to '{next}', the next Main on the path");
            self.error(ErrorCode::Unavailable, text)
        })
    }

    /// The same for a request that came over `from`. Whoever wrote the path sent the request first,
    /// so one that comes by its sender again is a lap that no honest Main writes.
    #[cold]
    pub(super) fn next_main_from(
        &self,
        from: LinkId,
        path: Texts<'_>,
    ) -> Result<Option<LinkId>, CallError> {
        let next = self.next_main(path)?;
        let place = |node: &NodeId| path.iter().flatten().position(|main| main == node.as_str());
        let sender = self.links.peer(from).and_then(|peer| place(&peer.node));
        if sender > place(self.identity.node()) {
            return Err(self.error(ErrorCode::Loop, "the path leads back to where it comes from"));
        }
        Ok(next)
    }

    /// Writes the path into a request that crosses several Mains, once: they all follow it.
    #[inline]
    pub(super) fn pave(&mut self, frame: &mut Frame, plan: &Plan) -> Result<(), CallError> {
        let is_paved = plan.options & OPTION_PATH != 0;
        let path = plan.target.path.as_deref().filter(|path| path.len() > 1);
        let same_path = path.is_none() && (!is_paved || plan.target.path.is_none());
        if same_path && !plan.reads_cleared {
            return Ok(());
        }
        let path = if same_path { None } else { Some(path.unwrap_or_default()) };
        self.rewrite(frame, path, plan.reads)
    }

    /// Writes an envelope anew, with another path where there is one.
    #[cold]
    fn rewrite(
        &mut self,
        frame: &mut Frame,
        path: Option<&[NodeId]>,
        reads: u8,
    ) -> Result<(), CallError> {
        let damaged = |shard: &Self| {
            shard.error(ErrorCode::BadChecksum, "the request was damaged on the way")
        };
        if frame.verify().is_err() {
            return Err(damaged(self));
        }
        let Ok((mut envelope, body)) = RequestEnvelope::decode(frame.payload()) else {
            return Err(damaged(self));
        };
        let mut packed = Vec::new();
        if let Some(path) = path {
            envelope.path = Texts::pack(path, &mut packed);
            envelope.options &= !OPTION_PATH;
            if !path.is_empty() {
                envelope.options |= OPTION_PATH;
            }
        }
        envelope.reads &= reads;
        if envelope.reads == 0 {
            envelope.options &= !OPTION_READS;
        }
        let write = |out: &mut bytes::BytesMut| encode(&envelope, out);
        let (id, ttl, compression) = (frame.id(), frame.ttl(), frame.compression());
        *frame = self.writer.write_packed(Kind::Request, id, ttl, write, body, compression);
        Ok(())
    }
}
