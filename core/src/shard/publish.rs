//! Publications: from whoever says something on a topic to all who asked for it.
//!
//! They are not calls: nobody answers, nothing is kept, and where there is no room they are left
//! out. Whoever is at the end sees by their numbers what is missing. The first Main sends one copy
//! to each Main that has subscribers, on a path as calls have; each Main hands what ends there to
//! its own subscribers and to nobody else, so that nothing comes twice or goes round.

use super::Shard;
use super::links::Phase;
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::{CallError, ErrorCode};
use crate::frame::{Frame, Kind, payload_of, ttl_of, verify};
use crate::mail::{MailBody, MailTo};
use crate::message::{ControlMessage, PublicationEnvelope, Texts, encode};
use crate::name::{NameInvalid, NodeId};
use crate::outbox::{Delivery, LinkId, Outbox, Output, Publication};
use crate::time::Instant;
use crate::topic::is_topic;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Something to say on a topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publish<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The content.
    pub body: &'a [u8],
    /// Pairs of key and value that reach the subscribers; in any order, no key twice.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Whom a publication was handed to. That they received it nobody says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Published {
    /// Links of subscribers at this node; the local application is one.
    pub links: u32,
    /// Subscriptions of the local application. The core knows only whether there are any: it says
    /// 0, and whoever drives it may say more.
    pub subscriptions: u32,
    /// Mains: those with subscribers, or the one of this node.
    pub mains: u32,
}

impl Shard {
    /// Says something on a topic to all who subscribed to it, at most once to each of them. At a
    /// Home or a caller it goes to the Main, and from there back to this node as well, if it
    /// subscribed itself.
    ///
    /// # Errors
    /// A [`CallError`] when nothing was handed to anyone: a name is invalid, something is too
    /// large, there is no link to a Main or no room on it.
    pub fn publish(
        &mut self,
        publish: Publish<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Published, CallError> {
        if !is_topic(publish.topic) {
            return Err(self.error(ErrorCode::NameInvalid, format!("{}", NameInvalid::Topic)));
        }
        let mut packed = Vec::new();
        let mut pairs = Vec::from(publish.headers);
        pairs.sort_unstable();
        let texts = pairs.iter().flat_map(|(key, value)| [*key, *value]);
        let headers = Texts::pack(texts, &mut packed);
        if let Err(invalid) = headers.check_headers() {
            return Err(self.error(ErrorCode::BadRequest, format!("{invalid}")));
        }
        let limits = &self.config.limits;
        let limit = limits.frame_bytes_max.min(limits.publication_bytes_max);
        if publish.body.len() > limit as usize {
            return Err(self.error(ErrorCode::TooLarge, "").with_limit(u64::from(limit)));
        }
        let seq = self.numbers.following(publish.topic.as_bytes());
        let identity = Arc::clone(&self.identity);
        let envelope = PublicationEnvelope {
            topic: publish.topic,
            publisher: identity.node().as_str(),
            key: identity.mark(),
            life: self.life,
            seq,
            content: 0,
            headers,
            path: Texts::default(),
        };
        let write = |out: &mut bytes::BytesMut| encode(&envelope, out);
        let frame =
            self.writer.write(Kind::Publish, 0, self.config.limits.ttl, write, publish.body);
        if frame.length() > limit {
            return Err(self.error(ErrorCode::TooLarge, "").with_limit(u64::from(limit)));
        }
        let published = if self.is_main() {
            self.spread(&frame.freeze(), publish.topic, None, now, out)
        } else {
            self.publish_up(frame, now, out)?
        };
        self.numbers.set(publish.topic.as_bytes(), seq);
        self.stats.publications += 1;
        self.close_doomed(now, out);
        Ok(published)
    }

    /// Hands a publication of the local application to the Main.
    fn publish_up(
        &mut self,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Published, CallError> {
        let Some(upstream) = self.routes.upstream() else {
            return Err(self.error(ErrorCode::Unavailable, "not connected to a Main"));
        };
        if let Some(network) = self.links.network(upstream.link) {
            if frame.length() > network.frame_bytes_out {
                let limit = u64::from(network.frame_bytes_out);
                return Err(self.error(ErrorCode::TooLarge, "").with_limit(limit));
            }
            let held = network.account.as_ref().and_then(|account| account.held);
            if let Some((_, code)) = held.filter(|(until, _)| now < *until) {
                return Err(self.error(code, "the Main refuses what this node publishes"));
            }
        }
        let bytes = frame.freeze();
        if !self.hand_over(upstream.link, &mut Copies::of(&bytes), now, out) {
            return Err(self.error(ErrorCode::Overloaded, "the link to the Main is full"));
        }
        Ok(Published { mains: 1, ..Published::default() })
    }

    /// Takes a publication from a link.
    pub(super) fn handle_publication(
        &mut self,
        link: LinkId,
        mut frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(network) = self.links.network(link) else { return };
        let Phase::Open(peer) = &network.phase else { return };
        let peer = Arc::clone(peer);
        self.stats.publications += 1;
        // Whoever gets it from here gets these very bytes.
        let ttl = frame.ttl();
        frame.set_ttl(ttl.saturating_sub(1));
        let bytes = frame.freeze();
        let (envelope, _) = match PublicationEnvelope::decode(payload_of(&bytes)) {
            Ok(read) => read,
            Err(error) => return self.bad_publication(link, &bytes, error.code(), peer.role),
        };
        if !self.is_main() {
            self.hand_out(&bytes, envelope.topic, Some(link), now, out);
            return;
        }
        if peer.role == Role::Main {
            return self.pass_publication_on(link, &bytes, &envelope, ttl, now, out);
        }
        // It was written at the other end of this very link.
        let is_its_own = envelope.publisher == peer.node.as_str()
            && envelope.key == peer.mark
            && envelope.path.is_empty();
        let is_believed = is_its_own || planted!("any_publisher_believed");
        if !is_believed || verify(&bytes).is_err() {
            return self.bad_publication(link, &bytes, ErrorCode::Forbidden, peer.role);
        }
        self.admit_publication(link, &bytes, (envelope.topic, ttl), now, out);
    }

    /// Takes a publication of a Home or a caller that is what it should be.
    fn admit_publication(
        &mut self,
        link: LinkId,
        bytes: &Bytes,
        (topic, ttl): (&str, u8),
        now: Instant,
        out: &mut Outbox,
    ) {
        let limits = &self.config.limits;
        if bytes.len() > limits.publication_bytes_max as usize + crate::frame::LENGTH_BYTES {
            return self.refuse_publication(link, ErrorCode::TooLarge, now, out);
        }
        if !self.may_publish(link, now) {
            return self.refuse_publication(link, ErrorCode::RateLimited, now, out);
        }
        if ttl == 0 {
            return self.refuse_publication(link, ErrorCode::HopLimit, now, out);
        }
        let published = self.spread(bytes, topic, Some(link), now, out);
        let copies = u64::from(published.links) + u64::from(published.mains);
        self.charge_publication(link, bytes.len(), 1 + copies);
    }

    /// A publication that nobody could have meant. Damage that a Main passed on is not of its link.
    #[cold]
    fn bad_publication(&mut self, link: LinkId, bytes: &[u8], code: ErrorCode, sender: Role) {
        match (verify(bytes).is_ok(), sender) {
            (true, _) => self.doom(link, CloseReason::Fault(code)),
            (false, Role::Home | Role::Caller) => {
                self.doom(link, CloseReason::Fault(ErrorCode::BadChecksum));
            }
            (false, Role::Main) => self.stats.publications_ignored += 1,
        }
    }

    /// A publication from another Main: to the next one on its path, or to the subscribers here.
    fn pass_publication_on(
        &mut self,
        link: LinkId,
        bytes: &Bytes,
        envelope: &PublicationEnvelope<'_>,
        ttl: u8,
        now: Instant,
        out: &mut Outbox,
    ) {
        if !self.may_publish(link, now) {
            self.stats.publications_refused += 1;
            return;
        }
        let way = envelope.path;
        let next = if way.is_empty() { Ok(None) } else { self.next_main_from(link, way) };
        let copies = match next {
            Ok(None) if ttl > 0 => self.hand_out(bytes, envelope.topic, Some(link), now, out),
            Ok(Some(next)) if ttl > 0 => {
                u32::from(self.hand_over(next, &mut Copies::of(bytes), now, out))
            }
            Ok(_) | Err(_) => {
                self.stats.publications_refused += 1;
                0
            }
        };
        self.charge_publication(link, bytes.len(), 1 + u64::from(copies));
    }

    /// Sends a publication that comes from here to every Main that wants it, and hands it to the
    /// subscribers of this one.
    fn spread(
        &mut self,
        bytes: &Bytes,
        topic: &str,
        via: Option<LinkId>,
        now: Instant,
        out: &mut Outbox,
    ) -> Published {
        let mut copies = Copies::of(bytes);
        let interests = Arc::clone(&self.interests);
        let mut wanted = core::mem::take(&mut self.found_mains);
        interests.find(topic, &mut wanted);
        let mut mains = 0;
        for way in wanted.drain(..).filter_map(|number| interests.way(number)) {
            let is_far = way.path.len() > 1 && !planted!("publication_unpaved");
            // Everybody but those behind others gets the same bytes.
            let handed = if is_far {
                let copy = self.paved(bytes, &way.path);
                self.hand_over(way.link, &mut Copies::of(&copy), now, out)
            } else {
                self.hand_over(way.link, &mut copies, now, out)
            };
            mains += u32::from(handed);
        }
        self.found_mains = wanted;
        let links = self.hand_out(bytes, topic, via, now, out);
        Published { links, subscriptions: 0, mains }
    }

    /// A copy for a Main behind others, with the path to it.
    #[cold]
    fn paved(&mut self, bytes: &Bytes, path: &[NodeId]) -> Bytes {
        let Ok((mut envelope, body)) = PublicationEnvelope::decode(payload_of(bytes)) else {
            return Bytes::new();
        };
        let mut packed = Vec::new();
        envelope.path = Texts::pack(path, &mut packed);
        let write = |out: &mut bytes::BytesMut| encode(&envelope, out);
        let ttl = ttl_of(bytes);
        self.writer.write(Kind::Publish, 0, ttl, write, body).freeze()
    }

    /// Hands a publication to the subscribers of this node, on all of its shards. Returns how many
    /// links of this shard took it.
    fn hand_out(
        &mut self,
        bytes: &Bytes,
        topic: &str,
        via: Option<LinkId>,
        now: Instant,
        out: &mut Outbox,
    ) -> u32 {
        for shard in 0..self.shards {
            if shard != self.id {
                self.mail_publication(shard, None, bytes, out);
            }
        }
        self.hand_out_here(bytes, topic, via, now, out)
    }

    fn hand_out_here(
        &mut self,
        bytes: &Bytes,
        topic: &str,
        via: Option<LinkId>,
        now: Instant,
        out: &mut Outbox,
    ) -> u32 {
        let mut copies = Copies::of(bytes);
        let mut found = core::mem::take(&mut self.found_links);
        self.topics.find(topic, &mut found);
        let mut took = 0;
        for link in found.drain(..) {
            let handed = if link.is_local() {
                self.deliver_publication(bytes, via, out)
            } else {
                self.hand_over(link, &mut copies, now, out)
            };
            took += u32::from(handed);
        }
        self.found_links = found;
        self.close_doomed(now, out);
        took
    }

    /// Hands a publication to one link, if there is room.
    fn hand_over(
        &mut self,
        link: LinkId,
        copies: &mut Copies<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        if link.shard != self.id {
            return self.mail_publication(link.shard, Some(link), copies.bytes, out);
        }
        let limits = &self.config.limits;
        let Some(network) = self.links.network(link) else { return false };
        let length = copies.bytes.len();
        let fits = length <= network.frame_bytes_out as usize + crate::frame::LENGTH_BYTES;
        if !fits || !network.takes_publication(length, limits) {
            network.account().missed.add();
            self.stats.publications_missed += 1;
            return false;
        }
        let waits = network.write_bytes > SHARED_BYTES;
        let bytes = if waits { copies.waiting() } else { copies.bytes }.clone();
        self.tell_missed(link, now, out);
        self.stats.publications_passed_on += 1;
        self.transmit_bytes(link, bytes, out);
        true
    }

    /// Sends a publication to another shard: for one of its links, or for its subscribers.
    fn mail_publication(
        &mut self,
        shard: u16,
        link: Option<LinkId>,
        bytes: &Bytes,
        out: &mut Outbox,
    ) -> bool {
        let Some(on_the_way) = self.mailed.get_mut(usize::from(shard)) else { return false };
        if *on_the_way > self.config.limits.write_bytes_max {
            self.stats.publications_missed += 1;
            return false;
        }
        *on_the_way = on_the_way.saturating_add(bytes.len() as u32);
        let frame = bytes.clone();
        out.mail(MailTo::Shard(shard), MailBody::Publication { from: self.id, link, frame });
        true
    }

    /// Takes a publication from another shard.
    pub(super) fn take_publication(
        &mut self,
        (from, link): (u16, Option<LinkId>),
        bytes: &Bytes,
        now: Instant,
        out: &mut Outbox,
    ) {
        let taken = MailBody::Taken { from: self.id, bytes: bytes.len() as u32 };
        out.mail(MailTo::Shard(from), taken);
        if let Some(link) = link {
            self.hand_over(link, &mut Copies::of(bytes), now, out);
            return;
        }
        if let Ok((envelope, _)) = PublicationEnvelope::decode(payload_of(bytes)) {
            self.hand_out_here(bytes, envelope.topic, None, now, out);
        }
    }

    /// Another shard took publications of this one.
    pub(super) fn publications_taken(&mut self, by: u16, bytes: u32) {
        if let Some(on_the_way) = self.mailed.get_mut(usize::from(by)) {
            *on_the_way = on_the_way.saturating_sub(bytes);
        }
    }

    /// Hands a publication to the local application, unless it had it already. Its payload is
    /// consumed here, so a damaged one ends here.
    fn deliver_publication(
        &mut self,
        bytes: &Bytes,
        via: Option<LinkId>,
        out: &mut Outbox,
    ) -> bool {
        let is_intact = verify(bytes).is_ok() || planted!("damaged_is_published");
        let payload = bytes.slice_ref(payload_of(bytes));
        let envelope = PublicationEnvelope::decode(&payload).ok().filter(|_| is_intact);
        let heard =
            envelope.and_then(|(envelope, _)| Some((envelope.seq, self.heard.hear(&envelope)?)));
        let publication =
            heard.and_then(|(seq, gap)| Publication::new(payload.clone(), seq, gap, via));
        let Some(publication) = publication else {
            self.stats.publications_ignored += 1;
            return false;
        };
        self.stats.publications_passed_on += 1;
        out.push(Output::Deliver(Delivery::Publication(publication)));
        true
    }

    /// A link wants what a pattern stands for, or not any more.
    pub(super) fn set_subscription(&mut self, link: LinkId, pattern: &str, is_on: bool) {
        if is_on {
            self.topics.insert(pattern, link);
            return;
        }
        if planted!("unsubscribed_is_served") {
            return;
        }
        self.topics.remove(pattern, link);
        if link.is_local() {
            // Not to have heard anything on these topics is no gap from now on.
            let (topics, mut found) = (&self.topics, core::mem::take(&mut self.found_links));
            self.heard.forget(pattern, |topic| {
                found.clear();
                topics.find(topic, &mut found);
                found.contains(&link)
            });
            found.clear();
            self.found_links = found;
        }
    }

    pub(super) fn write_control(
        &mut self,
        link: LinkId,
        message: &ControlMessage<'_>,
        out: &mut Outbox,
    ) {
        let frame = self.writer.write(Kind::Control, 0, 0, |out| encode(message, out), &[]);
        self.transmit(link, frame, out);
    }
}

/// The bytes of a publication for those who get it: as they came, and for links on which it has
/// to wait, once a link needs them, in memory of their own.
struct Copies<'a> {
    bytes: &'a Bytes,
    detached: Option<Bytes>,
}

impl<'a> Copies<'a> {
    const fn of(bytes: &'a Bytes) -> Self {
        Self { bytes, detached: None }
    }

    fn waiting(&mut self) -> &Bytes {
        if self.bytes.len() >= SMALL_BYTES {
            return self.bytes;
        }
        self.detached.get_or_insert_with(|| Bytes::copy_from_slice(self.bytes))
    }
}

/// Where a publication has to wait behind others, one that is shorter gets memory of its own: it
/// would keep alive all that was read together with it, which may be a thousand times as much.
const SMALL_BYTES: usize = 4 << 10;
/// Bytes of a queue that may keep alive what was read together with them.
const SHARED_BYTES: u32 = 4 << 10;
