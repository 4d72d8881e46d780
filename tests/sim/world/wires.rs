//! How bytes get from one host to another, late, in pieces, or not at all.

use super::host::{Host, Joint};
use super::{CONNECTION, Ghost, World};
use crate::dice::Dice;
use crate::golden::{self, Input};
use crate::network::{End, Piece, Wire, WireState};
use crate::queue::Event;
use bytes::{Bytes, BytesMut};
use relay_core::{DialId, Instant, LinkId, Role, Side};
use std::time::Duration;

impl World {
    /// A host dials a Main.
    pub(super) fn connect(&mut self, at: usize, dial: DialId, address: &str) {
        let Some(main) = self.main_at(address).filter(|main| *main != at) else { return };
        let life = self.hosts[at].life;
        let refused = Event::Refused { host: at as u16, life, dial };
        let severed = self.severed_until(at, main).max(self.severed_until(main, at)) > self.now;
        if severed || self.is_cut(at) || self.is_cut(main) || self.is_asleep(main) {
            self.tally.mark("a connection attempt got no answer");
            return self.queue.push(self.now.after(CONNECT_TIMEOUT), refused);
        }
        if self.hosts[main].node.is_none() {
            self.tally.mark("a connection was refused");
            return self.queue.push(self.now.after(REFUSED_AFTER), refused);
        }
        let Some(dialled) = self.open(at, Side::Dialled(dial)) else { return };
        let accepted = self.open(main, Side::Accepted);
        let ends = [
            End { host: at, life, link: Some(dialled) },
            End { host: main, life: self.hosts[main].life, link: accepted },
        ];
        let wire = self.add_wire(ends);
        if accepted.is_none() {
            self.tally.mark("a Main had no room for a link");
            self.break_wire(wire);
        }
        self.apply(main);
    }

    /// Gives a node a connection; no link comes of it where the node has no room.
    pub(super) fn open(&mut self, at: usize, side: Side) -> Option<LinkId> {
        self.record_open(at, side);
        let local = self.local(at);
        let host = &mut self.hosts[at];
        let opened = host.node.as_mut()?.open_link(side, local, &mut host.out).ok();
        self.recorded(at, |life| life.opened(opened));
        opened
    }

    pub(super) fn add_wire(&mut self, ends: [End; 2]) -> usize {
        let wire = self.wires.len();
        // The chance of a connection depends on who makes it and how often it was tried, so that
        // it stays the same when other things are left out.
        let count = self.tally.links.entry((ends[0].host, ends[1].host)).or_default();
        count.connections += 1;
        let purpose = [CONNECTION, ends[0].host as u64, count.connections];
        self.wires.push(Wire::new(ends, Dice::new(self.plan.seed, &purpose)));
        for (side, end) in ends.iter().enumerate() {
            if let (Some(link), Some(host)) = (end.link, self.hosts.get_mut(end.host)) {
                host.join(Joint { link, wire: wire as u32, side: side as u8 });
            }
        }
        wire
    }

    /// A node hands a frame to a connection.
    pub(super) fn transmit(&mut self, at: usize, link: LinkId, frame: Bytes) {
        let length = frame.len();
        self.tally.frames += 1;
        self.tally.largest_frame = self.tally.largest_frame.max(length as u64);
        // The checksum at its end stands for all that is in the frame.
        let checksum = frame.last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
        self.note(u64::from(checksum) << 32 | length as u64);
        let seen = &mut self.hosts[at].seen;
        (seen.frames_out, seen.bytes_out) = (seen.frames_out + 1, seen.bytes_out + length as u64);
        let Some(joint) = self.hosts[at].joint(link) else {
            return self.flushed(at, link, length);
        };
        let (wire, to) = (joint.wire as usize, 1 - usize::from(joint.side));
        self.watch_frame(at, link, wire, &frame);
        self.watch_pace(at, &frame);
        if self.overheard.is_empty() && joint.side == 0 {
            self.overheard = frame.clone();
        }
        let wire = &mut self.wires[wire];
        let lane = &mut wire.lanes[to];
        (lane.ledger.frames, lane.ledger.sent) =
            (lane.ledger.frames + 1, lane.ledger.sent + length as u64);
        if wire.state != WireState::Open {
            lane.ledger.dropped += length as u64;
            return self.flushed(at, link, length);
        }
        let room =
            lane.backlog.is_empty() && lane.in_flight + length <= self.plan.network.window as usize;
        if room || lane.in_flight == 0 {
            self.launch(joint.wire as usize, to, frame);
            self.flushed(at, link, length);
        } else {
            lane.backlog.push_back(frame);
            self.congested(joint.wire as usize);
            self.recorded(at, |life| life.stall(link));
        }
        self.watch_stranger(joint.wire as usize);
    }

    fn flushed(&mut self, at: usize, link: LinkId, bytes: usize) {
        if self.recorded(at, |life| life.accept(link, bytes)).is_some() {
            return;
        }
        if let Some(node) = &mut self.hosts[at].node {
            node.handle_flushed(link, bytes as u32);
        }
    }

    /// Cuts bytes into pieces and sends them on their way.
    pub(super) fn launch(&mut self, at: usize, to: usize, mut bytes: Bytes) {
        let network = &self.plan.network;
        let (chunk_max, least) = (u64::from(network.chunk_max), network.delay_min.0);
        let hosts = self.wires[at].ends.map(|end| end.host);
        let mean = self.mean_delay(hosts);
        let Wire { lanes, dice, .. } = &mut self.wires[at];
        let lane = &mut lanes[to];
        lane.in_flight += bytes.len();
        let mut due = self.now.after(least + dice.about(mean).min(mean * DELAY_MAX));
        let mut gaps = GAPS_MAX;
        while !bytes.is_empty() {
            lane.last_at = lane.last_at.max(due);
            let size = dice.between(1, chunk_max).min(bytes.len() as u64) as usize;
            lane.pieces.push_back((lane.last_at, Piece::Bytes(bytes.split_to(size))));
            if gaps > 0 && dice.happens(300_000) {
                due = due.after(dice.about(mean / 4).min(mean));
                gaps -= 1;
            }
        }
        self.arrange(at, to);
    }

    /// Mean delay between two hosts: far ones take longer.
    pub(super) fn mean_delay(&self, hosts: [usize; 2]) -> Duration {
        let far = hosts.iter().any(|host| self.is_far(*host));
        if far { FAR_DELAY } else { self.plan.network.delay_mean.0 }
    }

    fn is_far(&self, host: usize) -> bool {
        let share = (self.plan.network.far * 1e6) as u32;
        let is_main = host < usize::from(self.plan.topology.mains);
        share > 0 && !is_main && Dice::new(self.plan.seed, &[FAR, host as u64]).happens(share)
    }

    /// Makes sure that the front of a lane is looked at when it is due.
    fn arrange(&mut self, at: usize, side: usize) {
        let lane = &mut self.wires[at].lanes[side];
        if lane.woken_at.is_none()
            && let Some((due, _)) = lane.pieces.front()
        {
            let due = (*due).max(self.now);
            lane.woken_at = Some(due);
            self.queue.push(due, Event::Lane { wire: at as u32, side: side as u8 });
        }
    }

    /// Lets arrive what is due on a lane, unless something holds it up.
    pub(super) fn wake_lane(&mut self, at: usize, side: usize) {
        self.wires[at].lanes[side].woken_at = None;
        let [end, from] = [self.wires[at].ends[side], self.wires[at].ends[1 - side]];
        let held = self.held_until(from.host, end.host);
        if held > self.now {
            let lane = &mut self.wires[at].lanes[side];
            if !lane.pieces.is_empty() && held < Instant::from_nanos(u64::MAX) {
                lane.woken_at = Some(held);
                self.queue.push(held, Event::Lane { wire: at as u32, side: side as u8 });
            }
            return;
        }
        self.arrive(at, side);
        self.refill(at, side);
        self.arrange(at, side);
    }

    /// Until when nothing gets from one host to another.
    fn held_until(&self, from: usize, to: usize) -> Instant {
        let sending = self.hosts.get(from).map_or(Instant::ZERO, |h| h.condition.sending_until);
        let receiving = self.hosts.get(to).map_or(Instant::ZERO, |host| {
            host.condition.receiving_until.max(host.condition.asleep_until)
        });
        sending.max(receiving).max(self.severed_until(from, to))
    }

    fn arrive(&mut self, at: usize, side: usize) {
        let reader = self.hosts.get(self.wires[at].ends[side].host);
        let rate = reader.and_then(|host| host.condition.reading_rate(self.now));
        // A slow reader takes ten times a second what it reads in a tenth of it.
        let mut budget = rate.map_or(usize::MAX, |rate| (rate as usize / 10).max(1));
        let next_read = self.now.after(SLOW_STEP);
        let lane = &mut self.wires[at].lanes[side];
        let (mut got, mut ended) = (0, false);
        while let Some((due, piece)) = lane.pieces.front_mut().filter(|(due, _)| *due <= self.now) {
            if budget == 0 {
                *due = next_read;
                break;
            }
            match piece {
                Piece::End => ended = true,
                Piece::Bytes(bytes) => {
                    let part = bytes.split_to(bytes.len().min(budget));
                    (budget, got) = (budget - part.len(), got + part.len());
                    lane.tail.extend_from_slice(&part);
                    if !bytes.is_empty() {
                        continue;
                    }
                }
            }
            lane.pieces.pop_front();
        }
        lane.in_flight -= got;
        lane.ledger.delivered += got as u64;
        if got > 0 {
            self.feed(at, side, got);
        }
        if ended {
            self.end_arrives(at, side);
        }
    }

    /// Gives a node what has arrived.
    fn feed(&mut self, at: usize, side: usize, got: usize) {
        let [end, from] = [self.wires[at].ends[side], self.wires[at].ends[1 - side]];
        self.corrupt(at, side, from.host, got);
        let local = self.hosts.get(end.host).map(|host| host.clock.local(self.now));
        let lane = &mut self.wires[at].lanes[side];
        let (Some(local), Some(link)) = (local, end.link) else {
            return lane.tail.clear();
        };
        let host = &mut self.hosts[end.host];
        if host.life != end.life || host.joint(link).is_none() {
            return lane.tail.clear();
        }
        if self.records(end.host) {
            let tail = &self.wires[at].lanes[side].tail;
            let bytes = tail[tail.len() - got..].to_vec();
            self.input_on(end.host, link, |link| Input::Received { link, bytes });
        }
        let lane = &mut self.wires[at].lanes[side];
        let host = &mut self.hosts[end.host];
        let Some(node) = &mut host.node else { return };
        host.seen.bytes_fed += got as u64;
        node.handle_received(link, &mut lane.tail, local, &mut host.out);
        self.note(end.host as u64);
        self.apply(end.host);
    }

    /// Changes a bit of what has just arrived, if that is to be.
    fn corrupt(&mut self, at: usize, side: usize, from: usize, got: usize) {
        let to = self.wires[at].ends[side].host;
        let sent = self.hosts.get_mut(from).and_then(|host| host.condition.corrupt[1].take());
        let received = self.hosts.get_mut(to).and_then(|host| host.condition.corrupt[0].take());
        for bit in [sent, received].into_iter().flatten() {
            let tail = &mut self.wires[at].lanes[side].tail;
            let first = tail.len() - got;
            let bit = bit as usize % (8 * got);
            tail[first + bit / 8] ^= 1 << (bit % 8);
            self.tally.mark("a bit was changed");
            for host in [from, to] {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.condition.trouble(self.now, Duration::ZERO);
                }
            }
        }
    }

    /// Bytes wait because the way is full: what comes behind them is late without anyone's fault.
    fn congested(&mut self, at: usize) {
        for end in self.wires[at].ends {
            let Some(host) = self.hosts.get_mut(end.host) else { continue };
            let condition = &mut host.condition;
            condition.congested_at = condition.congested_at.max(self.now);
            if host.role != Role::Main {
                condition.troubled_at = condition.troubled_at.max(self.now);
            }
        }
    }

    /// Moves what waited for room onto the way, and tells its sender.
    fn refill(&mut self, at: usize, side: usize) {
        let moved = self.launch_waiting(at, side);
        let is_open = self.wires[at].lanes[side].backlog.is_empty();
        let sender = self.wires[at].ends[1 - side];
        let lives = |host: &Host| host.life == sender.life;
        if let (Some(link), true) = (sender.link, self.hosts.get(sender.host).is_some_and(lives)) {
            self.record_room(sender.host, link, moved, is_open);
        }
    }

    fn launch_waiting(&mut self, at: usize, side: usize) -> usize {
        let window = self.plan.network.window as usize;
        let mut moved = 0;
        loop {
            let lane = &mut self.wires[at].lanes[side];
            let Some(frame) = lane.backlog.front() else { return moved };
            let full = lane.in_flight > 0 && lane.in_flight + frame.len() > window;
            self.congested(at);
            if full {
                return moved;
            }
            let lane = &mut self.wires[at].lanes[side];
            let Some(frame) = lane.backlog.pop_front() else { return moved };
            let length = frame.len();
            moved += length;
            self.launch(at, side, frame);
            let sender = self.wires[at].ends[1 - side];
            let host = self.hosts.get(sender.host).filter(|host| host.life == sender.life);
            if let (Some(_), Some(link)) = (host, sender.link) {
                self.flushed(sender.host, link, length);
            }
        }
    }

    /// A node closes a connection: what it has written still arrives.
    pub(super) fn close(&mut self, at: usize, link: LinkId) {
        let Some(joint) = self.hosts[at].joint(link) else { return };
        self.hosts[at].links[link.slot()] = None;
        self.recorded(at, |life| life.ended(link));
        let (wire, side) = (joint.wire as usize, usize::from(joint.side));
        if self.wires[wire].state == WireState::Open {
            // A driver does not wait for a peer that has stopped reading.
            let lane = &mut self.wires[wire].lanes[1 - side];
            let unsent: usize = lane.backlog.drain(..).map(|frame| frame.len()).sum();
            lane.ledger.dropped += unsent as u64;
            let due = lane.last_at.max(self.now);
            lane.pieces.push_back((due, Piece::End));
            self.arrange(wire, 1 - side);
        }
        let late = self.wires[wire].lanes[side].drop_all();
        self.remember_ghosts(wire, side, late);
    }

    fn end_arrives(&mut self, at: usize, side: usize) {
        let end = self.wires[at].ends[side];
        let lost = self.wires[at].close();
        self.settle_wire(at, lost);
        self.end_link(end, false);
    }

    /// Ends a connection for both ends at once.
    pub(super) fn break_wire(&mut self, at: usize) {
        let ends = self.wires[at].ends;
        let lost = self.wires[at].close();
        self.settle_wire(at, lost);
        for end in ends {
            self.end_link(end, true);
        }
    }

    fn settle_wire(&mut self, at: usize, [to_first, to_second]: [Vec<Bytes>; 2]) {
        self.remember_ghosts(at, 0, to_first);
        self.remember_ghosts(at, 1, to_second);
    }

    /// Tells a node that the connection of its link ended, once it is awake.
    fn end_link(&mut self, end: End, is_broken: bool) {
        let (Some(link), Some(host)) = (end.link, self.hosts.get_mut(end.host)) else { return };
        let (at, life) = (end.host, end.life);
        if host.condition.asleep_until > self.now {
            host.deferred.push(Event::Closed { host: at as u16, life, link });
        } else {
            self.closed(at, life, link, is_broken);
        }
    }

    /// The connection of a link has ended.
    pub(super) fn closed(&mut self, at: usize, life: u32, link: LinkId, is_broken: bool) {
        let host = &mut self.hosts[at];
        if host.life != life || host.joint(link).is_none() {
            return;
        }
        host.links[link.slot()] = None;
        let local = host.clock.local(self.now);
        self.input_on(at, link, |link| Input::Closed { link, is_broken });
        self.recorded(at, |life| life.ended(link));
        let host = &mut self.hosts[at];
        if let Some(node) = &mut host.node {
            node.handle_closed(link, golden::detail(is_broken), local, &mut host.out);
            self.apply(at);
        }
    }

    /// Some of the bytes that were on their way come all the same, when their link is long gone.
    fn remember_ghosts(&mut self, at: usize, side: usize, lost: Vec<Bytes>) {
        let end = self.wires[at].ends[side];
        let (Some(link), Some(bytes)) = (end.link, lost.into_iter().next()) else { return };
        let dice = &mut self.wires[at].dice;
        let later = dice.pick(&[Duration::ZERO, Duration::from_secs(2), Duration::from_secs(20)]);
        let due = self.now.after(dice.up_to(later));
        let ghost = Ghost { host: end.host, life: end.life, link, bytes };
        self.queue.push(due, Event::Ghost { at: self.ghosts.len() as u32 });
        self.ghosts.push(ghost);
    }

    /// Input for a link that is gone: nothing may come of it (S14).
    pub(super) fn haunt(&mut self, at: usize) {
        let (host, life, link) = (self.ghosts[at].host, self.ghosts[at].life, self.ghosts[at].link);
        let local = self.local(host);
        let place = &mut self.hosts[host];
        let is_over = place.life != life || place.joint(link).is_some();
        // No shell hands on what comes over a connection that is gone.
        if is_over || self.records(host) {
            return;
        }
        let place = &mut self.hosts[host];
        if place.condition.asleep_until > self.now {
            return place.deferred.push(Event::Ghost { at: at as u32 });
        }
        // What is due anyway is not the ghost's doing.
        if let Some(node) = &mut place.node {
            node.handle_timeout(local, &mut place.out);
            self.apply(host);
        }
        let mut bytes = BytesMut::from(&std::mem::take(&mut self.ghosts[at].bytes)[..]);
        let place = &mut self.hosts[host];
        let Some(node) = &mut place.node else { return };
        let state = |node: &relay_core::Node| {
            let registered = node.control().registry().len();
            (node.stats(), node.calls_in_flight(), registered, node.poll_timeout())
        };
        let before = state(node);
        node.handle_received(link, &mut bytes, local, &mut place.out);
        node.handle_flushed(link, 1);
        node.handle_closed(link, "again", local, &mut place.out);
        if !place.out.is_empty() || state(node) != before {
            self.checker.blame("S14", None, "input for a link that was gone had an effect");
        }
        self.tally.mark("input came for a link that was gone");
    }

    fn is_cut(&self, at: usize) -> bool {
        let condition = &self.hosts[at].condition;
        condition.sending_until > self.now || condition.receiving_until > self.now
    }

    fn is_asleep(&self, at: usize) -> bool {
        self.hosts[at].condition.asleep_until > self.now
    }

    /// The newest connection of a host that is not closed; of a Main, its oldest.
    pub(super) fn wire_of(&self, at: usize) -> Option<usize> {
        let host = &self.hosts[at];
        let mut wires = host.links.iter().flatten().map(|joint| joint.wire as usize);
        if host.role == Role::Main { wires.min() } else { wires.find(|wire| self.is_live(*wire)) }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REFUSED_AFTER: Duration = Duration::from_millis(1);
const FAR_DELAY: Duration = Duration::from_millis(250);
const SLOW_STEP: Duration = Duration::from_millis(100);
/// No delay is longer than this many times its mean.
pub(super) const DELAY_MAX: u32 = 4;
/// A frame does not stall more often than this on its way.
const GAPS_MAX: u32 = 4;
const FAR: u64 = 8;
