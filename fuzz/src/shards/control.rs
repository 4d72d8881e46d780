//! Control messages that say something: a Home's, and what Mains announce to each other.

use relay_core::message::{ControlMessage, Record, Texts};

use super::{SERVICES, TOPICS, encoded};
use crate::input::Input;

/// One message. Its bytes may still follow each other in any order.
pub(super) fn control(input: &mut Input<'_>) -> Vec<u8> {
    let (what, ms) = (input.byte(), u32::from(input.short()));
    let (service, code, message) = (SERVICES[usize::from(what >> 4 & 3)], 210, "taken");
    let mut space = Vec::new();
    let methods = ["get", "set", "add", "del"];
    let methods = Texts::pack(&methods[..usize::from(what >> 6)], &mut space);
    match what % 6 {
        0 => encoded(&ControlMessage::Register { service, methods, ttl_ms: ms }),
        1 => encoded(&ControlMessage::Registered { service }),
        2 => encoded(&ControlMessage::Refused { service, code, message }),
        3 => encoded(&ControlMessage::Withdraw { service }),
        4 => among_mains(ms, input),
        _ => encoded(&ControlMessage::Goodbye { code: ms as u16, message, reconnect_in_ms: ms }),
    }
}

/// What began as a Refresh alone, so that kept inputs keep most of their meaning.
fn among_mains(what: u32, input: &mut Input<'_>) -> Vec<u8> {
    let mut space = Vec::new();
    match what & 7 {
        1 => {
            let labels = Texts::pack([["zone", "eu"], ["zone", ""]][input.below(2)], &mut space);
            encoded(&ControlMessage::Labels { labels })
        }
        2 => encoded(&ControlMessage::Hello { epoch_seen: number(input) }),
        3 => {
            let count = 1 + input.below(4);
            let page: Vec<u8> = (0..count).flat_map(|_| record(input)).collect();
            encoded(&ControlMessage::Announce { page: &page })
        }
        4 => encoded(&ControlMessage::Digest { count: input.byte().into(), sum: number(input) }),
        5 => encoded(&ControlMessage::Resync),
        6 => encoded(&ControlMessage::Leaving),
        7 => of_topics(input),
        _ => encoded(&ControlMessage::Refresh),
    }
}

/// What is said of topics, by either side.
fn of_topics(input: &mut Input<'_>) -> Vec<u8> {
    let (what, pattern) = (input.below(7), TOPICS[input.below(TOPICS.len())]);
    encoded(&match what {
        0 => ControlMessage::Subscribe { pattern },
        1 => ControlMessage::Unsubscribe { pattern },
        2 => ControlMessage::Subscribed { pattern },
        3 => ControlMessage::Unsubscribed { pattern },
        4 => ControlMessage::NotSubscribed { pattern, code: 400, message: "too many" },
        5 => ControlMessage::Missed { count: 1 + u32::from(input.byte()) },
        _ => ControlMessage::NotPublished { count: 1, code: u16::from(input.byte()) },
    })
}

/// One record about few services of few nodes at few Mains, so that they meet.
fn record(input: &mut Input<'_>) -> Vec<u8> {
    let (who, what) = (input.byte(), input.byte());
    let origin = MAINS[usize::from(who & 3)];
    let node = MAINS[usize::from(who >> 2 & 3)];
    let service = SERVICES[usize::from(who >> 4 & 3)];
    let (epoch, seq) = (u64::from(what >> 6), u64::from(what >> 2 & 15));
    if what & 0x83 == 0x83 {
        return interest(origin, (epoch, seq), input);
    }
    let (mut methods, mut labels, mut path) = (Vec::new(), Vec::new(), Vec::new());
    let ways: [&[&str]; 4] =
        [&[origin], &[MAINS[usize::from(who >> 6)], origin], &[origin, "here", origin], &["here"]];
    encoded(&match what & 3 {
        0 => Record::Down { origin, epoch, seq, service, node },
        1 => Record::Lost { origin, service, node },
        _ => Record::Up {
            origin,
            epoch,
            seq,
            service,
            node,
            key: [input.byte(); 8],
            methods: Texts::pack(&["get", "set"][..input.below(3)], &mut methods),
            labels: Texts::pack(&["zone", "eu"][..input.below(2) * 2], &mut labels),
            ttl_ms: u32::from(input.short()) * 16,
            path: Texts::pack(ways[input.below(4)], &mut path),
        },
    })
}

/// A Main has subscribers, or what a Main would not say of them.
fn interest(origin: &str, (epoch, seq): (u64, u64), input: &mut Input<'_>) -> Vec<u8> {
    let (service, mut path) = (["#t.*", "#**", "#t.1", "#t..1"][input.below(4)], Vec::new());
    let node = if input.below(8) == 7 { "here" } else { origin };
    let (methods, labels) = (Texts::default(), Texts::default());
    let path = Texts::pack([origin], &mut path);
    encoded(&Record::Up {
        origin,
        epoch,
        seq,
        service,
        node,
        key: [0; 8],
        methods,
        labels,
        ttl_ms: 60_000,
        path,
    })
}

/// Numbers at both ends of the range.
fn number(input: &mut Input<'_>) -> u64 {
    let byte = u64::from(input.byte());
    if byte & 0x80 == 0 { byte } else { u64::MAX - byte % 4 }
}

const MAINS: [&str; 4] = ["peer-0", "peer-1", "peer-2", "here"];
