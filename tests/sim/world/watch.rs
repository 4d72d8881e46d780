//! What a bystander sees of frames and counts while the world runs, and what must hold of it.

use super::{Phase, World};
use crate::checker::SentOn;
use crate::network::WireState;
use crate::queue::Event;
use relay_core::compress::inflate;
use relay_core::frame::{CHECKSUM_BYTES, HEADER_BYTES, Kind};
use relay_core::message::RequestEnvelope;
use relay_core::{Compression, Holdings, LinkId, NodeId, Role};
use std::borrow::Cow;
use std::time::Duration;

impl World {
    /// A Main hands a frame to a connection: a request may only go where its service is offered
    /// (S9).
    pub(super) fn watch_frame(&mut self, at: usize, link: LinkId, wire: usize, frame: &[u8]) {
        let host = &self.hosts[at];
        if host.role != Role::Main || frame.get(4).is_none_or(|flags| flags & 15 != REQUEST) {
            return;
        }
        let payload = &frame[HEADER_BYTES..frame.len() - CHECKSUM_BYTES];
        let Ok((envelope, body)) = RequestEnvelope::decode(payload) else { return };
        let now = self.local(at);
        let Some(node) = &host.node else { return };
        let wanted = |node: &str| envelope.node.is_empty() || envelope.node == node;
        let uid = self.checker.call_of(&plain(frame, body));
        let ends = self.wires[wire].ends.map(|end| end.host);
        let server = if ends[0] == at { ends[1] } else { ends[0] };
        let to_main = self.hosts.get(server).is_some_and(|server| server.role == Role::Main);
        let stands = if to_main {
            node.control().federation().iter().any(|(service, home, _, over, learned)| {
                let lives = learned.expires_at() > now;
                service == envelope.service && over == link && lives && wanted(home.as_str())
            })
        } else {
            node.control().registry().offers(envelope.service).any(|(node, offer)| {
                let lives = offer.expires_at.is_none_or(|at| at > now);
                offer.link == link && lives && wanted(node.as_str())
            })
        };
        let (service, paved) = (envelope.service.to_owned(), !envelope.path.is_empty());
        // Who follows a path looks at nothing else.
        let looked_up = !(to_main && paved);
        if looked_up && !stands {
            self.suspects.push((service.clone(), server, uid));
        }
        let own = self.hosts[at].name.as_str();
        let follows = paved && envelope.path.iter().flatten().any(|main| main == own);
        if !follows {
            self.watch_breaker(at, &service, link, uid);
        }
        if let (Some(uid), true) = (uid, to_main) {
            self.watch_crossing(uid, at as u16, server as u16);
        }
        let hostile = self.hosts.get(server).is_some_and(|server| server.hostile);
        let sent_on = SentOn { main: at as u16, life: self.hosts[at].life, at: self.now };
        if let Some(uid) = uid {
            self.count_taken(uid, at as u16, server as u16);
            let record = &mut self.checker.calls[uid as usize];
            record.server = Some(server as u16);
            record.sent_on.push(sent_on);
            record.hostile |= hostile;
        }
    }

    /// A call goes from one Main to another: it crosses no more than it may (S7), and none of them
    /// twice (S8).
    fn watch_crossing(&mut self, uid: u32, from: u16, to: u16) {
        let most = self.limits.mains_max();
        let caller = self.checker.calls[uid as usize].step.from;
        let callers_now = self.main_now(usize::from(caller));
        let record = &mut self.checker.calls[uid as usize];
        if record.hostile {
            return;
        }
        // The first Main sends it again where it failed before; the attempt before may still be on
        // its way, when the link over which it went was given up. And what nobody took compressed,
        // its caller sends again plain, to the Main where he is by then.
        let ways = &mut record.ways;
        let is_first = ways.first().is_none_or(|way| way.first() == Some(&from));
        let is_moved = callers_now == Some(usize::from(from));
        if is_first || is_moved && ways.iter().all(|way| way.last() != Some(&from)) {
            ways.push(vec![from]);
        }
        let goes_on = |way: &&mut Vec<u16>| way.last() == Some(&from);
        let once = |way: &&mut Vec<u16>| goes_on(way) && !way.contains(&to);
        let is_once = ways.iter_mut().rev().any(|way| once(&way));
        let on = if is_once { ways.iter_mut().rev().find(once) } else { ways.last_mut() };
        let way = on.map(|way| (way.push(to), way.clone()).1).unwrap_or_default();
        self.tally.mark("a call crossed two Mains");
        if way.len() > most + 1 {
            self.checker.blame("S7", Some(uid), &format!("it crossed the Mains {way:?}"));
        }
        if !is_once {
            self.checker.blame("S8", Some(uid), &format!("it went the way {way:?}"));
        }
    }

    /// What is known of a service of other Mains changed in this same turn, after the call had gone
    /// there: then all was well.
    pub(super) fn exonerate_all(&mut self, at: usize, service: &str) {
        let hosts = &self.hosts;
        let is_main = |at: usize| hosts.get(at).is_some_and(|host| host.role == Role::Main);
        let to_peer = |server: usize| server != at && is_main(server);
        self.suspects.retain(|(suspect, server, _)| suspect != service || !to_peer(*server));
    }

    /// A Main begins no more handshakes in a second than it may (S16).
    pub(super) fn watch_pace(&mut self, at: usize, frame: &[u8]) {
        let kind = frame.get(4).map(|flags| flags & 15);
        if kind != Some(Kind::Handshake as u8) || frame.get(HEADER_BYTES) != Some(&CHALLENGE) {
            return;
        }
        // By its own clock, on which a second is a little longer or shorter.
        let (now, most) = (self.local(at), self.limits.handshakes_per_second.max(2) as usize);
        let host = &mut self.hosts[at];
        host.challenges.push_back(now);
        while host.challenges.front().is_some_and(|then| now.since(*then) >= SECOND) {
            host.challenges.pop_front();
        }
        let begun = host.challenges.len();
        if begun > most {
            let text = format!("{} began {begun} handshakes in a second, not {most}", host.name);
            self.checker.blame("S16", None, &text);
        }
    }

    /// An offer ended in this same turn, after the call had gone there: then all was well.
    pub(super) fn exonerate(&mut self, service: &str, node: &NodeId) {
        let hosts = &self.hosts;
        let is_it = |at: usize| hosts.get(at).is_some_and(|host| host.name == *node);
        self.suspects.retain(|(suspect, server, _)| suspect != service || !is_it(*server));
    }

    /// At the end of a turn, what is still suspected is guilty.
    pub(super) fn judge_suspects(&mut self) {
        for (service, _, uid) in std::mem::take(&mut self.suspects) {
            let text = format!("a call went to a node that does not offer {service}");
            self.checker.blame("S9", uid, &text);
        }
    }

    /// Whoever has not authenticated gets hardly more than he sends (S16).
    pub(super) fn watch_stranger(&mut self, at: usize) {
        let wire = &self.wires[at];
        let [sent, got] = [wire.lanes[0].ledger.sent, wire.lanes[1].ledger.delivered];
        if wire.ends[0].link.is_none() && sent > 0 {
            self.tally.mark("a stranger was answered");
        }
        let wire = &self.wires[at];
        if !wire.authenticated && sent > got + UNEARNED_MAX {
            let text = format!("{sent} bytes went to a peer without a name that had sent {got}");
            self.checker.blame("S16", None, &text);
        }
    }

    /// Compares the counts of a node with what they count (S12), now and a second later again.
    pub(super) fn audit_later(&mut self, at: usize) {
        self.audit(at);
        let again = self.now.after(AUDIT_EVERY);
        if self.hosts[at].node.is_some() {
            self.queue.push(again, Event::Audit { host: at as u16 });
        }
    }

    pub(super) fn audit(&mut self, at: usize) {
        let host = &self.hosts[at];
        let Some(node) = &host.node else { return };
        let usage = match node.audit() {
            Ok(usage) => usage,
            Err(text) => {
                let text = format!("{}: {text}", host.name);
                return self.checker.blame("S12", None, &text);
            }
        };
        let most = u64::from(self.limits.write_bytes_max) * 4 + 2 * self.tally.largest_frame;
        if u64::from(usage.write_bytes) > most + GOODBYE_BYTES {
            let text = format!("{} holds {} bytes for one link", host.name, usage.write_bytes);
            self.checker.blame("S12", None, &text);
        }
        self.judge_words(at);
        self.judge_retries(at);
        self.judge_shares(at);
        let host = &self.hosts[at];
        let joints = host.links.iter().flatten().count();
        if usage.links as usize != joints {
            let text = format!("{} has {} links over {joints} wires", host.name, usage.links);
            self.checker.blame("S12", None, &text);
        }
    }

    /// Notes what all nodes hold, as long as calls are made and things go wrong.
    pub(super) fn sample(&mut self) {
        let nodes = self.hosts.iter().filter_map(|host| host.node.as_ref());
        let held = nodes.fold(Holdings::default(), |sum, node| sum.with(node.holdings()));
        self.tally.sampled(held, self.now);
        if self.phase == Phase::Storm {
            self.queue.push(self.tally.next_sample(self.now), Event::Sample);
        }
    }

    /// Calls are sent elsewhere within the budget only (T21): a share of all calls, and a few more.
    fn judge_retries(&mut self, at: usize) {
        let host = &self.hosts[at];
        let Some(node) = &host.node else { return };
        let stats = node.stats();
        let percent = u64::from(self.limits.retry_percent);
        if stats.calls_retried > 10 + stats.calls_forwarded * percent / 100 {
            let text = format!("{} sent calls elsewhere too often: {stats:?}", host.name);
            self.checker.blame("S12", None, &text);
        }
    }

    /// A node's own counters tell what a bystander has counted (S20).
    pub(super) fn balance_life(&mut self, at: usize) {
        let host = &self.hosts[at];
        let Some(node) = &host.node else { return };
        let (stats, seen) = (node.stats(), host.seen);
        if (stats.frames_out, stats.bytes_out) != (seen.frames_out, seen.bytes_out) {
            let text = format!("{} counts {stats:?}, seen were {seen:?}", host.name);
            self.checker.blame("S20", None, &text);
        }
        if stats.bytes_in > seen.bytes_fed {
            let text =
                format!("{} counts {} bytes in, fed {}", host.name, stats.bytes_in, seen.bytes_fed);
            self.checker.blame("S20", None, &text);
        }
    }

    /// Adds up what went over every wire.
    pub(super) fn count_traffic(&mut self) {
        for wire in &self.wires {
            let ends = wire.ends.map(|end| end.host);
            for (side, lane) in wire.lanes.iter().enumerate() {
                let traffic = self.tally.links.entry((ends[1 - side], ends[side])).or_default();
                traffic.frames += lane.ledger.frames;
                traffic.bytes += lane.ledger.sent;
            }
        }
    }

    /// Every byte and every call of the whole run is accounted for (S20).
    pub(super) fn balance(&mut self) {
        for host in 0..self.hosts.len() {
            self.balance_life(host);
        }
        for wire in 0..self.wires.len() {
            let wire = &self.wires[wire];
            let rest = wire.state != WireState::Open
                && wire.lanes.iter().any(|lane| lane.in_flight > 0 || !lane.pieces.is_empty());
            if rest || !wire.lanes.iter().all(crate::network::Lane::balances) {
                let text = format!(
                    "bytes are lost on a wire: {:?}",
                    wire.lanes.each_ref().map(|l| l.ledger)
                );
                self.checker.blame("S20", None, &text);
            }
        }
        let calls = self.tally.calls;
        let probes = self.checker.calls.iter().filter(|call| call.probe).count() as u64;
        let ended = calls.succeeded + calls.failed + calls.cancelled + calls.orphaned + probes;
        if ended != calls.made {
            self.checker.blame("S20", None, &format!("calls do not add up: {calls:?}"));
        }
    }
}

/// A body as its caller wrote it.
fn plain<'a>(frame: &[u8], body: &'a [u8]) -> Cow<'a, [u8]> {
    let number = frame[5] >> 4 & 7;
    let compression = Compression::ALL.into_iter().find(|one| *one as u8 == number);
    let inflated = compression.and_then(|one| inflate(body, one, 1 << 20, b"").ok());
    inflated.map_or(Cow::Borrowed(body), Cow::Owned)
}

const REQUEST: u8 = Kind::Request as u8;
/// The second message of a handshake.
const CHALLENGE: u8 = 1;
const SECOND: Duration = Duration::from_secs(1);
/// What a Main may send to a stranger beyond what it got from him.
const UNEARNED_MAX: u64 = 1_024;
/// A link that is closed for its backlog still says so.
const GOODBYE_BYTES: u64 = 1_024;
const AUDIT_EVERY: Duration = Duration::from_secs(1);
