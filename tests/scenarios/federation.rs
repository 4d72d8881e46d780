//! Where calls go in a small federation, and who keeps a name in it.

use crate::net::Net;
use relay_core::{
    Answer, Balance, Call, CloseReason, ErrorCode, Event, Identity, NodeId, Priority, Role,
    ServiceRules,
};
use sha2::{Digest, Sha256};
use std::time::Duration;

const NEWS: Call<'static> = Call {
    node: "",
    service: "news",
    method: "",
    body: b"",
    deadline: Duration::from_secs(2),
    idempotent: false,
    priority: Priority::Normal,
    trace: false,
    stream: false,
    headers: &[],
};

fn code(answer: &Answer) -> Option<ErrorCode> {
    match answer {
        Answer::Failed(error) => Some(error.code),
        Answer::Result(_) | Answer::ApplicationError(_) => None,
    }
}

/// A Main with a Home in its own zone and one in another, and how many of twenty calls each got.
fn by_zone(prefer_zone: bool) -> (u32, u32) {
    let nodes = [(Role::Main, "main", 1), (Role::Home, "near", 2), (Role::Home, "far", 3)];
    let mut net = Net::new(&nodes, |at, config| {
        config.zone = String::from(["eu", "eu", "us"][at]);
        let rules = config.rules("news");
        let rules = ServiceRules { prefer_zone, balance: Balance::RoundRobin, ..rules };
        config.balancing.services.insert("news".into(), rules);
    });
    for home in [1, 2] {
        net.dial(home, 0);
        net.register(home, "news");
    }
    for _ in 0..20 {
        let call = net.call(0, NEWS);
        let (answer, _) = net.answer(0, call).expect("at once");
        assert_eq!(code(&answer), None);
    }
    (net.asked[1], net.asked[2])
}

#[test]
fn calls_stay_in_the_zone_where_that_is_preferred() {
    assert_eq!(by_zone(true), (20, 0));
    assert_eq!(by_zone(false), (10, 10));
}

/// Three Mains, each linked to both others, where calls may cross all of them.
#[test]
fn of_two_ways_the_one_over_fewer_mains_is_taken() {
    let main = |name, key| (Role::Main, name, key);
    let nodes = [main("a", 1), main("b", 2), main("c", 3), (Role::Home, "home", 4)];
    let mut net = Net::new(&nodes, |_, config| {
        (config.limits.hops_max, config.balancing.balance) = (5, Balance::RoundRobin);
    });
    for (from, to) in [(3, 2), (0, 1), (1, 2), (0, 2)] {
        net.dial(from, to);
    }
    net.register(3, "news");
    net.pass(Duration::from_secs(1));
    let ways = net.nodes[0].control().federation().iter();
    let lengths: Vec<usize> = ways.map(|(_, _, _, _, learned)| learned.path.len()).collect();
    assert_eq!(lengths.iter().max(), Some(&2), "the longer way is known too: {lengths:?}");
    for _ in 0..20 {
        let call = net.call(0, Call { trace: true, ..NEWS });
        let (answer, way) = net.answer(0, call).expect("at once");
        assert_eq!((code(&answer), way.join(" ")), (None, String::from("home c a")));
    }
}

/// A Main that draws calls to itself and answers none keeps them as long as it takes to count five.
#[test]
fn r12_a_main_that_never_answers_gets_five_calls() {
    let main = |name, key| (Role::Main, name, key);
    let mut net = Net::new(&[main("a", 1), main("hole", 2), main("other", 3)], |_, config| {
        config.balancing.balance = Balance::RoundRobin;
    });
    net.silent = vec![1];
    for peer in [1, 2] {
        net.dial(0, peer);
        net.register(peer, "news");
    }
    net.pass(Duration::from_secs(1));
    let mut told = Vec::new();
    for _ in 0..30 {
        let call = net.call(0, NEWS);
        let (answer, _) = net.answer(0, call).unwrap_or_else(|| {
            net.pass(NEWS.deadline);
            net.answer(0, call).expect("by the deadline")
        });
        told.push(code(&answer));
    }
    let late = told.iter().filter(|code| **code == Some(ErrorCode::Deadline)).count();
    assert_eq!((late, net.asked[1], net.asked[2]), (5, 5, 25), "{told:?}");
    assert!(told[10..].iter().all(Option::is_none), "the other way is open: {told:?}");
}

/// A name that two keys took while their Mains did not see each other: one of them keeps it, the
/// same one at both, and nothing moves afterwards.
#[test]
fn r09_a_name_claimed_on_both_sides_of_a_partition() {
    for keys in [[10, 11], [11, 10]] {
        let mark = |key: u8| {
            let identity = Identity::new(&[key; 32], NodeId::new("twin").ok()).expect("legal");
            Sha256::digest(identity.key())[..8].to_vec()
        };
        let winner = usize::from(mark(keys[0]) > mark(keys[1]));
        let (home, loser) = (2 + winner, 3 - winner);
        let main = |name, key| (Role::Main, name, key);
        let twin = |key| (Role::Home, "twin", key);
        let nodes = [main("a", 1), main("b", 2), twin(keys[0]), twin(keys[1])];
        let mut net = Net::new(&nodes, |_, _| {});
        for (main, home) in [(0, 2), (1, 3)] {
            net.dial(home, main);
            net.register(home, "news");
        }
        net.dial(0, 1);
        net.pass(Duration::from_mins(20));
        let conflict = CloseReason::Fault(ErrorCode::NameConflict);
        let is_told = |(at, event): &&(usize, Event)| {
            *at == loser && matches!(event, Event::Goodbye { reason, .. } if *reason == conflict)
        };
        let told = net.events.iter().filter(is_told).count();
        assert!((2..200).contains(&told), "it tries again, but less and less often: {told} times");
        let links = net.events.iter().filter(|(at, event)| {
            *at == home && matches!(event, Event::LinkUp { .. } | Event::LinkDown { .. })
        });
        assert_eq!(links.count(), 1, "who keeps the name keeps its link");
        for main in [0, 1] {
            let ups = net
                .events
                .iter()
                .filter(|(at, event)| *at == main && matches!(event, Event::ServiceUp { .. }));
            assert_eq!(ups.count(), 1, "nothing comes and goes at {main}");
            let call = net.call(main, NEWS);
            let (answer, _) = net.answer(main, call).expect("at once");
            assert_eq!(code(&answer), None, "from {main}");
        }
        assert_eq!((net.asked[home], net.asked[loser]), (2, 0));
    }
}

/// How many calls of each priority a link takes, one after the other, before it refuses the first.
fn taken(net: &mut Net, body: &[u8]) -> [u32; 3] {
    [Priority::Low, Priority::Normal, Priority::High].map(|priority| {
        let mut taken = 0;
        loop {
            let call = net.call(0, Call { priority, body, ..NEWS });
            match net.answer(0, call) {
                None => taken += 1,
                Some((answer, _)) => {
                    assert_eq!(code(&answer), Some(ErrorCode::Overloaded));
                    return taken;
                }
            }
        }
    })
}

#[test]
fn a_link_that_fills_refuses_low_priority_first_and_high_last() {
    let nodes = [(Role::Main, "main", 1), (Role::Home, "home", 2)];
    // By calls in flight: of sixteen, half and all but one.
    let mut net = Net::new(&nodes, |_, config| config.limits.calls_per_link_max = 16);
    net.silent = vec![1];
    net.dial(1, 0);
    net.register(1, "news");
    assert_eq!(taken(&mut net, b""), [8, 7, 1]);
    // By bytes that wait: half of the bound, all of it, twice as much; four calls are the bound.
    let mut net = Net::new(&nodes, |_, config| config.limits.write_bytes_max = 4 << 10);
    net.dial(1, 0);
    net.register(1, "news");
    net.deaf = vec![1];
    assert_eq!(taken(&mut net, &[b'x'; 1_000]), [2, 2, 4]);
}
