//! When which fault comes, whom it hits and how long it lasts.

use super::{Draw, whole_micros};
use crate::dice::Dice;
use crate::plan::{Plan, Topology};
use crate::said::TOPICS;
use crate::span::Span;
use crate::step::{
    ClockJump, Clog, Corrupt, HostStep, Inject, Lasting, Pair, Service, Sever, SlowReader, Step,
};
use relay_core::frame::{FrameWriter, Kind};
use relay_core::message::{ControlMessage, PublicationEnvelope, RequestEnvelope, Texts};
use std::time::Duration;

/// When the next fault of a kind comes.
#[derive(Debug)]
pub(super) struct FaultClock {
    kind: &'static str,
    mean: Duration,
    /// In microseconds.
    pub(super) next: u64,
}

impl FaultClock {
    /// One for each kind of fault that the plan has.
    pub(super) fn all(plan: &Plan, dice: &mut Dice) -> Vec<Self> {
        let rates = plan.faults.resolved().rates();
        let topology = plan.topology;
        let others = f64::from(topology.homes) + f64::from(topology.callers);
        let pairs = pairs_of(topology).len() as f64;
        let clock = |(kind, rate): (&'static str, f64)| {
            let hosts = match kind {
                "crash" | "pause" | "clog" | "clock_jump" => {
                    others + f64::from(topology.mains) / 10.0
                }
                // They befall many hosts at once, a Main, or one host that is known to be bad.
                "swizzle" | "partition" | "hostile" => 1.0,
                "stranger" | "leave" => f64::from(topology.mains),
                "sever" | "peer_reset" | "peer_half_open" => pairs,
                _ => others,
            };
            let a_minute = rate * hosts;
            let mean = (a_minute > 0.0).then(|| Duration::from_nanos((60e9 / a_minute) as u64))?;
            let next = dice.about(mean).as_micros() as u64;
            Some(Self { kind, mean, next })
        };
        rates.into_iter().filter_map(clock).collect()
    }
}

impl Draw {
    /// Draws the fault that this clock has come to, and winds the clock.
    pub(super) fn draw_fault(&mut self, clock: usize) {
        let FaultClock { kind, mean, next: at } = self.faults[clock];
        self.faults[clock].next = at + (self.dice.about(mean).as_micros() as u64).max(1);
        let lasts = self.draw_outage();
        let with_mains = matches!(kind, "crash" | "pause" | "clog" | "clock_jump");
        let host = self.draw_victim(with_mains);
        let dice = &mut self.dice;
        let step = match kind {
            "crash" => Step::Crash(Lasting { host, lasts }),
            "pause" => Step::Pause(Lasting { host, lasts }),
            "reset" => Step::Reset(HostStep { host }),
            "half_open" => Step::HalfOpen(HostStep { host }),
            "clog" => {
                let (sending, receiving) = dice.pick(&WAYS);
                Step::Clog(Clog { host, sending, receiving, lasts })
            }
            "slow_reader" => {
                let bytes_per_second = dice.spread(100, 20_000) as u32;
                Step::SlowReader(SlowReader { host, bytes_per_second, lasts })
            }
            "corrupt" => {
                let (sending, bit) = (dice.happens(500_000), dice.next() as u32);
                Step::Corrupt(Corrupt { host, sending, bit })
            }
            "clock_jump" => {
                let seconds = dice.between(0, 240) as i32 - 120;
                Step::ClockJump(ClockJump { host, seconds })
            }
            "withdraw" => return self.draw_withdrawal(at, lasts),
            "swizzle" => return self.draw_swizzle(at),
            "partition" => return self.draw_partition(at, lasts),
            "stranger" => Step::Stranger(self.draw_stranger()),
            "leave" => {
                let host = dice.below(u64::from(self.plan.topology.mains)) as u16;
                Step::Leave(Lasting { host, lasts })
            }
            "sever" | "peer_reset" | "peer_half_open" => self.draw_rift(kind, lasts),
            _ => Step::Inject(self.draw_hostility()),
        };
        self.prepare(at, step);
    }

    /// Something that comes between two Mains.
    fn draw_rift(&mut self, kind: &str, lasts: Span) -> Step {
        let pairs = pairs_of(self.plan.topology);
        let (host, peer) = self.dice.pick(&pairs);
        match kind {
            "sever" => Step::Sever(Sever { host, peer, both: self.dice.happens(500_000), lasts }),
            "peer_reset" => Step::PeerReset(Pair { host, peer }),
            _ => Step::PeerHalfOpen(Pair { host, peer }),
        }
    }

    fn draw_outage(&mut self) -> Span {
        let mean = self.plan.faults.resolved().outage.0;
        whole_micros(self.dice.about(mean).min(mean * OUTAGE_MAX))
    }

    fn draw_victim(&mut self, with_mains: bool) -> u16 {
        let topology = self.plan.topology;
        let others = u64::from(topology.homes) + u64::from(topology.callers);
        let mains = if with_mains { u64::from(topology.mains) } else { 0 };
        // A Main weighs a tenth of the others.
        let drawn = self.dice.below(10 * others + mains);
        if drawn < 10 * others {
            topology.mains + (drawn / 10) as u16
        } else {
            (drawn - 10 * others) as u16
        }
    }

    fn draw_withdrawal(&mut self, at: u64, lasts: Span) {
        let topology = self.plan.topology;
        let home = self.dice.below(u64::from(topology.homes)) as u16;
        let host = topology.home(home);
        self.prepare(at, Step::Withdraw(HostStep { host }));
        self.prepare(at + lasts.as_micros(), Step::Register(HostStep { host }));
    }

    /// Clogs a random set of hosts one after the other, and frees them in another order.
    fn draw_swizzle(&mut self, at: u64) {
        let mut starts = at;
        for host in self.draw_set() {
            let lasts = self.draw_outage();
            let (sending, receiving) = (true, true);
            self.prepare(starts, Step::Clog(Clog { host, sending, receiving, lasts }));
            starts += self.dice.below(1_000_000);
        }
    }

    fn draw_partition(&mut self, at: u64, lasts: Span) {
        let (sending, receiving) = self.dice.pick(&WAYS);
        for host in self.draw_set() {
            self.prepare(at, Step::Clog(Clog { host, sending, receiving, lasts }));
        }
    }

    /// Some of the Homes and callers, in random order: few, half, or all but few.
    fn draw_set(&mut self) -> Vec<u16> {
        let topology = self.plan.topology;
        let share = self.dice.pick(&[100_000, 500_000, 900_000]);
        let first = topology.mains;
        let hosts = first..first + topology.homes + topology.callers;
        let mut set: Vec<u16> = hosts.filter(|_| self.dice.happens(share)).collect();
        for at in (1..set.len()).rev() {
            set.swap(at, self.dice.below(at as u64 + 1) as usize);
        }
        set
    }

    /// Bytes of somebody who has no key. None at all stand for a replay of an honest handshake.
    fn draw_stranger(&mut self) -> Inject {
        let host = self.dice.below(u64::from(self.plan.topology.mains)) as u16;
        let bytes = match self.dice.below(5) {
            0 => Vec::new(),
            1 => {
                let length = self.dice.spread(1, 4_000) as usize;
                self.random_bytes(length)
            }
            2 => self.draw_frame(Kind::Handshake, 2_000),
            3 => {
                let kind = self.dice.pick(&Kind::ALL);
                self.draw_frame(kind, 2_000)
            }
            // A frame whose length is right and which never comes whole.
            _ => {
                let mut frame = self.draw_frame(Kind::Handshake, 4_000);
                let length = self.dice.below(frame.len() as u64) as usize;
                frame.truncate(length.max(1));
                frame
            }
        };
        Inject { host, bytes }
    }

    /// Bytes of a Home that has a key and breaks the protocol.
    fn draw_hostility(&mut self) -> Inject {
        let topology = self.plan.topology;
        let host = topology.home(topology.homes - 1);
        // From dice of its own: everything else is as it was before there were topics.
        let topics = &mut Dice::new(self.plan.seed, &[FORGED, self.serial]);
        let has_topics = self.plan.traffic.publications_per_second > 0.0;
        let forged =
            (has_topics && topics.happens(FORGED_SHARE)).then(|| forgery(topology, topics));
        let bytes = match self.dice.below(5) {
            4 => self.draw_flood(),
            0 => {
                let length = self.dice.spread(1, 400) as usize;
                self.random_bytes(length)
            }
            1 => {
                let kinds = [Kind::Response, Kind::Error, Kind::Request, Kind::Cancel];
                let kind = self.dice.pick(&kinds);
                self.draw_frame(kind, 300)
            }
            2 => self.draw_registration(),
            _ => {
                let kind = self.dice.pick(&Kind::ALL);
                self.draw_frame(kind, 300)
            }
        };
        Inject { host, bytes: forged.unwrap_or(bytes) }
    }

    /// A claim to a service that belongs to others as well.
    fn draw_registration(&mut self) -> Vec<u8> {
        let topology = self.plan.topology;
        let service = Service::Own(self.dice.below(u64::from(topology.homes)) as u16).to_string();
        let methods = Texts::default();
        let message = ControlMessage::Register { service: &service, methods, ttl_ms: 60_000 };
        let payload = postcard::to_allocvec(&message).unwrap_or_default();
        FrameWriter::default().write(Kind::Control, 0, 0, |_| {}, &payload).freeze().to_vec()
    }

    /// More calls at once than anyone was granted, which nobody will answer.
    fn draw_flood(&mut self) -> Vec<u8> {
        let service = Service::Own(0).to_string();
        let envelope = RequestEnvelope {
            node: "",
            service: &service,
            method: "run",
            deadline_ms: 20_000,
            options: 0,
            ttl: 10,
            content: 0,
            headers: Texts::default(),
            path: Texts::default(),
            reads: 0,
        };
        let mut payload = postcard::to_allocvec(&envelope).unwrap_or_default();
        payload.push(b'x');
        let (mut writer, generation) = (FrameWriter::default(), self.dice.spread(1, 3));
        let frames = (0..FLOOD).map(|index| {
            let label = generation << 32 | index;
            writer.write(Kind::Request, label, 10, |_| {}, &payload).freeze()
        });
        frames.collect::<Vec<_>>().concat()
    }

    /// A whole frame with a label that may be in use and a payload without meaning.
    fn draw_frame(&mut self, kind: Kind, payload_max: u64) -> Vec<u8> {
        let length = self.dice.spread(0, payload_max) as usize;
        let payload = self.random_bytes(length);
        let label = self.dice.spread(0, 40) << 32 | self.dice.spread(0, 40);
        let ttl = self.dice.below(16) as u8;
        FrameWriter::default().write(kind, label, ttl, |_| {}, &payload).freeze().to_vec()
    }

    fn random_bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.dice.next() as u8).collect()
    }
}

/// A publication in the name of some host.
fn forgery(topology: Topology, dice: &mut Dice) -> Vec<u8> {
    let publisher = format!("home-{}", dice.below(u64::from(topology.homes)));
    let envelope = PublicationEnvelope {
        topic: dice.pick(&TOPICS),
        publisher: &publisher,
        key: dice.next().to_be_bytes(),
        life: dice.next(),
        seq: dice.spread(1, 100),
        content: 0,
        headers: Texts::default(),
        path: Texts::default(),
    };
    let payload = postcard::to_allocvec(&envelope).unwrap_or_default();
    FrameWriter::default().write(Kind::Publish, 0, 10, |_| {}, &payload).freeze().to_vec()
}

/// Mains that are linked to each other, either way round.
fn pairs_of(topology: Topology) -> Vec<(u16, u16)> {
    let all = (0..topology.mains).flat_map(|a| (0..topology.mains).map(move |b| (a, b)));
    all.filter(|(a, b)| topology.are_linked(*a, *b)).collect()
}

const FLOOD: u64 = 40;
const FORGED: u64 = 25;
/// How often a hostile host publishes, in parts of a million.
const FORGED_SHARE: u32 = 200_000;
/// Which ways a clog goes: sending, receiving.
const WAYS: [(bool, bool); 3] = [(true, true), (true, false), (false, true)];
/// No outage is longer than this many times the mean.
const OUTAGE_MAX: u32 = 8;
