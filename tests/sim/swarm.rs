//! Swarm testing: each seed first draws which faults exist at all and how strong they are, so that
//! rare ones meet each other undisturbed by the usual ones (Groce et al., "Swarm Testing").

use crate::dice::Dice;
use crate::plan::{Bounds, Faults, Federation, Network, Plan, Topology, Traffic};
use crate::span::Span;

impl Plan {
    /// The world of this seed with three Mains that federate, six Homes and as many callers.
    #[must_use]
    pub fn federation(seed: u64) -> Self {
        let mut plan = Self::swarm(seed);
        let topology = &mut plan.topology;
        (topology.mains, topology.homes, topology.callers) = (3, 6, 6);
        plan
    }

    /// A small world of this seed, about a minute long.
    #[must_use]
    pub fn swarm(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, &[SWARM]);
        let topology = Topology {
            mains: dice.pick(&[1, 1, 2, 2, 3, 3, 4]),
            homes: dice.between(1, 5) as u16,
            callers: dice.between(1, 4) as u16,
            shared_services: dice.between(0, 2) as u16,
            federation: dice.pick(&[
                Federation::Mesh,
                Federation::Mesh,
                Federation::Chain,
                Federation::Web,
            ]),
            fallbacks: dice.pick(&[0, 0, 1, 3]),
        };
        let mut network = draw_network(dice);
        let mut traffic = draw_traffic(dice);
        // From dice of its own: everything else is as it was before there were streams.
        traffic.streamed = Dice::new(seed, &[STREAMED]).pick(&[0.0, 0.2, 0.5]);
        traffic.compressed = Dice::new(seed, &[COMPRESSED]).pick(&[0.0, 0.0, 0.5, 1.0]);
        let topics = &mut Dice::new(seed, &[PUBLISHED]);
        traffic.publications_per_second = topics.pick(&[0.0, 0.0, 0.3, 1.0]);
        if network.far > 0.0 || network.delay_mean >= Span::millis(30) {
            // Over a long way little fits into a small window, and what is asked for must fit: a
            // way that is full for good proves nothing about those who use it.
            network.window = if traffic.body_max > 4_000 { 1 << 20 } else { 256 << 10 };
        }
        if network.chunk_max < 100 {
            // Each piece is an event; what matters is that frames are cut everywhere.
            traffic.body_max = traffic.body_max.min(300);
        }
        let duration = Span::seconds(dice.between(15, 60));
        let (mut limits, mut faults) = (draw_limits(dice), draw_faults(dice));
        if limits.labels_per_slot != 0 {
            // Whose links are used up all the time must not have to queue for each new one: then
            // nobody has a link for long, and calls are not answered in time though all is well.
            limits.handshakes_per_second = 0;
        }
        if !matches!(topology.federation, Federation::Mesh) {
            // A Main whose clock was set back while it was down is not believed by those who knew
            // it and are not its neighbours, until a lease is over.
            faults.clock_jump = 0.0;
        }
        if network.far > 0.0 || network.delay_mean > Span::millis(30) {
            // An answer to a ping may well take longer than a tiny idle time allows.
            if limits.idle_timeout == Span::seconds(3) {
                limits.idle_timeout = Span::default();
            }
        }
        let mut plan = Self { seed, duration, topology, network, traffic, faults, limits };
        plan.draw_special(&mut Dice::new(seed, &[SPECIAL]));
        plan
    }

    /// A few worlds in which one thing alone happens, so that what is promised of it is not excused
    /// by others.
    fn draw_special(&mut self, dice: &mut Dice) {
        let faults = &self.faults;
        let calm = Faults {
            outage: faults.outage,
            drift_ppm: faults.drift_ppm,
            late_timers: faults.late_timers,
            ..Faults::default()
        };
        if dice.happens(SELDOM) {
            self.topology.fallbacks = dice.pick(&[0, 1, 3]);
            self.faults = Faults { leave: dice.pick(&[1.0, 2.0, 4.0]), ..calm };
        } else if dice.happens(SELDOM / 2) {
            // Too many calls for what there is, and most of them from one caller.
            self.duration = Span::seconds(15);
            self.topology.federation = Federation::Mesh;
            self.network = Network { delay_min: self.network.delay_min, ..Network::default() };
            self.traffic = Traffic {
                calls_per_second: dice.pick(&[2.0, 5.0]),
                greedy: dice.pick(&[10.0, 30.0]),
                skew: dice.pick(&[0, 2, 2]),
                deadline_min: Span::seconds(1),
                deadline_max: Span::seconds(10),
                body_max: 200,
                handler: Span::millis(dice.pick(&[100, 400])),
                idempotent: self.traffic.idempotent,
                ..Traffic::default()
            };
            self.limits = Bounds { calls_per_link_max: dice.pick(&[9, 16]), ..Bounds::default() };
            self.faults = calm;
        }
    }
}

fn draw_network(dice: &mut Dice) -> Network {
    Network {
        delay_min: Span::millis(dice.pick(&[0, 1, 30])),
        delay_mean: Span::millis(dice.pick(&[0, 1, 30, 100])),
        far: dice.pick(&[0.0, 0.0, 0.3]),
        chunk_max: dice.pick(&[1, 7, 1_400, 64 << 10, 1 << 20]),
        window: dice.pick(&[4 << 10, 64 << 10, 256 << 10]),
    }
}

fn draw_traffic(dice: &mut Dice) -> Traffic {
    Traffic {
        calls_per_second: dice.spread(1, 6) as f64,
        home_calls_per_second: dice.pick(&[0.0, 0.0, 1.0]),
        skew: dice.below(3) as u32,
        greedy: 1.0,
        burst: dice.pick(&[1, 1, 1, 20]),
        overload: dice.pick(&[1.0, 1.0, 5.0]),
        overloaded: 0.2,
        deadline_min: Span::millis(dice.pick(&[1, 10, 1_000])),
        deadline_max: Span::seconds(dice.pick(&[2, 10, 60])),
        body_max: dice.pick(&[0, 200, 4_000, 100_000]),
        handler: Span::millis(dice.pick(&[0, 5, 100])),
        slow: dice.pick(&[0.0, 0.1]),
        cancelled: dice.pick(&[0.0, 0.05, 0.2]),
        unknown: dice.pick(&[0.0, 0.1]),
        by_node: dice.pick(&[0.0, 0.1, 0.5]),
        idempotent: dice.pick(&[0.0, 0.3]),
        traced: dice.pick(&[0.0, 0.2]),
        streamed: 0.0,
        compressed: 0.0,
        publications_per_second: 0.0,
    }
}

/// Small bounds are reached, large ones only guessed at.
fn draw_limits(dice: &mut Dice) -> Bounds {
    let mut maybe = |share: u32, values: &[u32]| {
        if dice.happens(share) { dice.pick(values) } else { 0 }
    };
    Bounds {
        calls_per_link_max: maybe(TINY, &[1, 4, 16]),
        calls_per_caller_max: maybe(TINY, &[1, 4, 16]),
        local_calls_max: maybe(TINY, &[1, 8, 32]),
        write_bytes_max: maybe(TINY, &[4 << 10, 64 << 10]),
        frame_bytes_max: maybe(TINY, &[4 << 10, 32 << 10]),
        registry_ttl: Span::seconds(u64::from(maybe(300_000, &[5, 20]))),
        idle_timeout: Span::seconds(u64::from(maybe(200_000, &[3, 30]))),
        reconnect_max: Span::seconds(u64::from(maybe(200_000, &[2, 10]))),
        labels_per_slot: maybe(50_000, &[3, 20, 100]),
        handshakes_per_second: maybe(TINY, &[2, 5, 20]),
        breaker_failures: maybe(300_000, &[1, 2, 3]),
        breaker_open: Span::seconds(u64::from(maybe(500_000, &[1, 5, 20]))),
        health_interval: Span::seconds(u64::from(maybe(200_000, &[1, 5]))),
        services_per_peer_max: maybe(50_000, &[1, 3]),
    }
}

fn draw_faults(dice: &mut Dice) -> Faults {
    // One world in eight is without faults: there even more must hold.
    if dice.happens(125_000) {
        return Faults::default();
    }
    let mut maybe = |share: u32, most: u64| {
        if dice.happens(share) { dice.spread(1, 10 * most) as f64 / 10.0 } else { 0.0 }
    };
    Faults {
        share: 0.0,
        crash: maybe(COMMON, 4),
        pause: maybe(COMMON, 4),
        reset: maybe(COMMON, 20),
        half_open: maybe(COMMON, 4),
        clog: maybe(COMMON, 10),
        swizzle: maybe(COMMON, 4),
        partition: maybe(COMMON, 4),
        slow_reader: maybe(COMMON, 4),
        corrupt: maybe(RARE, 400),
        clock_jump: maybe(RARE, 4),
        withdraw: maybe(COMMON, 4),
        stranger: maybe(RARE, 30),
        hostile: maybe(RARE, 60),
        sever: maybe(COMMON, 6),
        peer_reset: maybe(COMMON, 6),
        peer_half_open: maybe(RARE, 4),
        leave: maybe(COMMON, 4),
        outage: Span::seconds(dice.pick(&[1, 6, 20])),
        drift_ppm: dice.pick(&[0, 200]),
        late_timers: Span::millis(dice.pick(&[0, 0, 1, 10])),
    }
}

const SWARM: u64 = 3;
const STREAMED: u64 = 12;
const SPECIAL: u64 = 15;
const COMPRESSED: u64 = 17;
const PUBLISHED: u64 = 23;
/// How often a bound is tiny, in parts of a million.
const TINY: u32 = 120_000;
const COMMON: u32 = 350_000;
const RARE: u32 = 120_000;
const SELDOM: u32 = 60_000;
