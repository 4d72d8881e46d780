//! Breakers: when they open, whom they spare, how they close.

use super::*;
use crate::config::{Config, Role};
use crate::name::NodeId;
use crate::outbox::LinkId;
use crate::route::{RouteTable, TableBuilder};
use alloc::sync::Arc;
use alloc::vec;

/// A service of so many instances, and what is known of them.
struct Service {
    table: RouteTable,
    slots: Vec<Slot>,
    instances: Instances,
    now: Instant,
}

impl Service {
    fn of(slots: &[u32]) -> Self {
        let slots: Vec<Slot> = slots.iter().map(|index| slot(*index, 1)).collect();
        let node = NodeId::new("home").expect("a legal name");
        let all = slots.iter().map(|slot| Instance {
            node: node.clone(),
            link: LinkId { shard: 0, slot: slot.index, generation: 1 },
            slot: *slot,
            tier: 0,
            path: None,
            compressions: 0,
        });
        let mut builder = TableBuilder::new(1, slots.len() + 1);
        builder.service(Arc::from("a"), Config::new(Role::Main).rules("a"), all);
        let table = builder.build(None, Vec::new());
        Self { table, slots, instances: Instances::default(), now: Instant::from_nanos(1) }
    }

    /// A call to one instance that ends so after a millisecond.
    fn call(&mut self, instance: usize, ending: Ending) -> Option<BreakerState> {
        let sent = self.instances.sent(self.slots[instance]);
        let ended = self.end(instance, ending);
        ended.or(sent)
    }

    fn end(&mut self, instance: usize, ending: Ending) -> Option<BreakerState> {
        let (route, took) = (self.table.route("a"), Duration::from_millis(1));
        self.instances.ended(self.slots[instance], ending, took, route, self.now)
    }

    fn fail(&mut self, instance: usize, times: u32) -> Option<BreakerState> {
        (0..times).filter_map(|_| self.call(instance, Ending::Failed)).last()
    }

    fn allows(&self, instance: usize) -> bool {
        let state = self.instances.get(self.slots[instance]);
        state.is_none_or(|state| state.allows(self.now).is_ok())
    }

    fn out(&self) -> usize {
        (0..self.slots.len()).filter(|instance| !self.allows(*instance)).count()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
}

const fn slot(index: u32, generation: u32) -> Slot {
    Slot { index, generation }
}

/// How long a breaker stays open by default.
const OPEN: Duration = Duration::from_secs(30);

#[test]
fn five_failures_in_a_row_open_it_and_a_success_starts_anew() {
    let mut service = Service::of(&[0]);
    assert_eq!(service.fail(0, 4), None);
    assert_eq!(service.call(0, Ending::Answered), None);
    assert_eq!(service.fail(0, 4), None);
    assert!(service.allows(0));
    assert_eq!(service.call(0, Ending::Failed), Some(BreakerState::Open));
    assert!(!service.allows(0));
    let state = service.instances.get(service.slots[0]).expect("called");
    assert_eq!(state.allows(service.now), Err(service.now.after(OPEN)));
    assert_eq!((state.calls, state.failed, state.in_flight), (10, 9, 0));
}

#[test]
fn neutral_ends_neither_open_nor_forgive() {
    let mut service = Service::of(&[0]);
    service.fail(0, 4);
    assert_eq!((0..50).find_map(|_| service.call(0, Ending::Neutral)), None);
    assert_eq!(service.call(0, Ending::Failed), Some(BreakerState::Open));
}

#[test]
fn one_call_tries_it_again_and_an_answer_closes_it() {
    let mut service = Service::of(&[0]);
    service.fail(0, 5);
    service.wait(OPEN - Duration::from_nanos(1));
    assert!(!service.allows(0));
    service.wait(Duration::from_nanos(1));
    assert!(service.allows(0));
    assert_eq!(service.instances.sent(service.slots[0]), Some(BreakerState::HalfOpen));
    for seconds in [0, 1, 1_000] {
        service.wait(Duration::from_secs(seconds));
        assert!(!service.allows(0), "one call is enough to find out");
    }
    assert_eq!(service.end(0, Ending::Answered), Some(BreakerState::Closed));
    assert!(service.allows(0));
    assert_eq!(service.fail(0, 4), None, "the failures before are forgotten");
}

#[test]
fn a_try_that_fails_opens_it_again_and_one_that_was_given_up_is_made_again() {
    let mut service = Service::of(&[0]);
    service.fail(0, 5);
    service.wait(OPEN);
    assert_eq!(service.call(0, Ending::Failed), Some(BreakerState::Open), "the first failure");
    assert!(!service.allows(0));
    service.wait(OPEN);
    assert_eq!(service.call(0, Ending::Neutral), Some(BreakerState::Open));
    assert!(service.allows(0), "nothing was found out, so the next call may");
    assert_eq!(service.call(0, Ending::Answered), Some(BreakerState::Closed));
}

#[test]
fn r19_never_more_than_half_are_shut_out_and_a_single_one_may_be() {
    for (count, most) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (8, 4)] {
        let slots: Vec<u32> = (0..count).collect();
        let mut service = Service::of(&slots);
        for _ in 0..3 {
            for instance in 0..slots.len() {
                service.fail(instance, 9);
            }
        }
        assert_eq!(service.out(), most, "{count} instances");
        // Those that were shut out and fail again take nobody's place.
        service.wait(OPEN);
        for instance in 0..slots.len() {
            service.call(instance, Ending::Failed);
        }
        assert_eq!(service.out(), most, "{count} instances, tried again");
    }
}

#[test]
fn an_instance_that_is_back_makes_room_for_another_one() {
    let mut service = Service::of(&[0, 1]);
    service.fail(0, 5);
    assert_eq!(service.fail(1, 20), None, "the other one is out");
    service.wait(OPEN);
    assert_eq!(service.call(0, Ending::Answered), Some(BreakerState::Closed));
    assert_eq!(service.fail(1, 1), Some(BreakerState::Open));
    assert!(service.allows(0) && !service.allows(1));
}

/// Behind one peer there is one way, however many nodes are there.
#[test]
fn instances_behind_one_peer_count_once() {
    let mut service = Service::of(&[0, 0, 0, 1]);
    assert_eq!(service.fail(0, 5), Some(BreakerState::Open));
    assert_eq!(service.fail(3, 20), None, "one of two ways is out already");
    let mut single = Service::of(&[0, 0, 0]);
    assert_eq!(single.fail(1, 5), Some(BreakerState::Open));
}

#[test]
fn a_slow_instance_scores_worse_until_that_is_long_past() {
    let (mut instances, slot, now) = (Instances::default(), slot(0, 1), Instant::from_nanos(1));
    instances.sent(slot);
    let fresh = instances.get(slot).expect("called").score(now);
    instances.ended(slot, Ending::Answered, Duration::from_millis(512), None, now);
    let state = *instances.get(slot).expect("called");
    assert_eq!(state.latency(), Some(Duration::from_millis(512)));
    let at = |seconds| state.score(now.after(Duration::from_secs(seconds)));
    assert_eq!([at(0), at(1), at(2), at(4), at(6)], [8_001, 8_001, 4_001, 2_001, 1_001]);
    assert_eq!((at(60), at(100_000)), (1, 1));
    assert!(at(0) > fresh);
    // Calls in flight multiply it.
    instances.sent(slot);
    assert_eq!(instances.get(slot).expect("called").score(now), 16_002);
}

#[test]
fn the_average_follows_by_an_eighth_and_a_quick_failure_is_not_quick() {
    let (mut instances, slot, now) = (Instances::default(), slot(0, 1), Instant::from_nanos(1));
    let mut end = |ending, ms| {
        instances.sent(slot);
        instances.ended(slot, ending, Duration::from_millis(ms), None, now);
        instances.get(slot).and_then(State::latency).expect("measured")
    };
    assert_eq!(end(Ending::Answered, 80), Duration::from_millis(80));
    assert_eq!(end(Ending::Answered, 160), Duration::from_millis(90));
    assert_eq!(end(Ending::Neutral, 9_000), Duration::from_millis(90), "nobody's doing");
    assert_eq!(end(Ending::Failed, 0), Duration::from_micros(91_250), "as if it took 100 ms");
}

#[test]
fn whoever_gets_a_slot_next_starts_with_a_clean_record() {
    let mut service = Service::of(&[0]);
    service.fail(0, 5);
    service.instances.sent(slot(0, 2));
    let state = *service.instances.get(slot(0, 2)).expect("called");
    assert_eq!((state.breaker(), state.calls, state.failed), (BreakerState::Closed, 1, 0));
    assert!(service.instances.get(slot(0, 1)).is_none());
    // The end of a call to the one before changes nothing.
    assert_eq!(service.end(0, Ending::Failed), None);
    assert_eq!(service.instances.get(slot(0, 2)).map(|state| state.in_flight), Some(1));
    assert!(service.instances.entry(Slot::NONE).is_none());
}

#[test]
fn an_instance_is_to_blame_for_its_own_failures_only() {
    use ErrorCode as E;
    let endings =
        |codes: &[E]| -> Vec<Ending> { codes.iter().map(|code| Ending::of(*code)).collect() };
    assert_eq!(
        endings(&[E::LinkLost, E::Deadline, E::BadResponse, E::Internal, E::Unavailable]),
        vec![Ending::Failed; 5]
    );
    assert_eq!(
        endings(&[E::Overloaded, E::Draining, E::NoSuchService, E::Cancelled, E::RateLimited]),
        vec![Ending::Neutral; 5]
    );
    assert_eq!(endings(&[E::NameInvalid, E::Forbidden, E::BadRequest]), vec![Ending::Answered; 3]);
}
