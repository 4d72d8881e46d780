//! The first inputs of the target `node`: worlds in which one thing happens, as
//! [`relay_sim::schedule_from_bytes`] reads them.

use super::Seeds;
use relay_sim::schedule_from_bytes;

/// A name, what happens, the names of the steps, and what must come of them.
type World = (&'static str, Vec<Vec<u8>>, &'static [&'static str], &'static str);

pub(super) fn worlds() -> Seeds {
    let worlds = [faults(), hostile_homes(), hostile_callers(), strangers()].concat();
    let seeds = worlds.into_iter().map(|(name, steps, _, _)| (name.to_owned(), world(&steps)));
    let tiny = [TINY_BOUNDS.to_vec(), call(CALLER, &[]), call(OTHER_CALLER, &[])];
    seeds.chain([("tiny_bounds".to_owned(), tiny.concat())]).collect()
}

#[test]
fn the_first_worlds_are_what_they_are_called() {
    for (name, steps, names, mark) in
        [faults(), hostile_homes(), hostile_callers(), strangers()].concat()
    {
        let schedule = schedule_from_bytes(&world(&steps));
        let found: Vec<&str> = schedule.steps.iter().map(|timed| timed.step.name()).collect();
        assert_eq!(found, names, "{name}");
        let report = schedule.run();
        assert!(report.verdicts.is_empty(), "{name}: {:#?}", report.verdicts);
        assert!(mark.is_empty() || report.marks.contains_key(mark), "{name}: {:#?}", report.marks);
        assert!(name != "called_and_answered" || report.calls.succeeded == 1, "{:?}", report.calls);
    }
}

fn world(steps: &[Vec<u8>]) -> Vec<u8> {
    [HEAD.to_vec(), steps.concat()].concat()
}

fn faults() -> Vec<World> {
    let slow = || call(CALLER, &[OWN_0, 0, 4, 4, 250, 100]);
    let fault = |what: u8, rest: &[u8]| [&[SOON, FAULT, 1, what, 100][..], rest].concat();
    vec![
        ("called_and_answered", vec![call(CALLER, &[])], &["call"], ""),
        ("called_by_a_home", vec![call(HOME, &[OWN_1, 2, 90, 200, 250])], &["call"], ""),
        ("expired", vec![call(CALLER, &[OWN_0, 0, 4, 4, 20, 250])], &["call"], RAN_OUT),
        (
            "cancelled",
            vec![call(CALLER, &[OWN_0, 0, 4, 4, 250, 250, 1, 20])],
            &["call"],
            "a cancel stopped a handler",
        ),
        ("reset", vec![slow(), fault(0, &[])], &["call", "reset"], LINK_BROKE),
        ("half_open", vec![slow(), fault(1, &[])], &["call", "half-open"], RAN_OUT),
        ("crash", vec![slow(), fault(2, &[])], &["call", "crash"], LINK_BROKE),
        (
            "crash_of_the_main",
            vec![slow(), vec![SOON, FAULT, 0, 2, 100]],
            &["call", "crash"],
            "a connection was refused",
        ),
        ("pause", vec![fault(3, &[]), slow()], &["pause", "call"], ""),
        ("clog", vec![fault(4, &[0]), slow()], &["clog", "call"], ""),
        ("slow_reader", vec![fault(5, &[1]), slow()], &["slow reader", "call"], ""),
        (
            "corrupt",
            vec![vec![SOON, CORRUPT, 1, 1, 0, 200], call(CALLER, &[OWN_0])],
            &["corrupt", "call"],
            "a bit was changed",
        ),
        (
            "clock_jump",
            vec![vec![SOON, CLOCK_JUMP, 1, 100], fault(0, &[])],
            &["clock jump", "reset"],
            "a link was closed by its peer",
        ),
        (
            "withdrawn_and_back",
            vec![vec![SOON, WITHDRAW, 0], call(CALLER, &[]), vec![LATER, REGISTER, 0]],
            &["withdraw", "call", "register"],
            "",
        ),
    ]
}

fn hostile_homes() -> Vec<World> {
    // Without a time to live: as long as the link.
    let takes_all = || whole(CONTROL, 0, 0, &[0, OWN_1, 0, 0, 0]);
    let lies = || whole(RESPONSE, GENERATION_1, 0, &[0, 0]);
    let refuses = || whole(ERROR, GENERATION_1, 0, &[30, 0, 0, 0, 0, 1, 1]);
    vec![
        (
            "takes_the_service_of_another",
            vec![inject(HOME, &[takes_all()]), call(CALLER, &[OWN_1, 0, 4, 4, 250])],
            &["hostile", "call"],
            "a lease expired",
        ),
        (
            "answers_at_once_and_again",
            vec![call(CALLER, &[OWN_0, 0, 4, 4, 250, 50]), inject(HOME, &[lies(), lies()])],
            &["call", "hostile"],
            STRAY,
        ),
        (
            "answers_what_nobody_asked",
            vec![inject(HOME, &[whole(RESPONSE, 0x3f, 0, &[0, 0])])],
            &["hostile"],
            STRAY,
        ),
        (
            "denies_that_it_runs",
            vec![call(CALLER, &[OWN_0, 0, 4, 4, 250, 50]), inject(HOME, &[refuses()])],
            &["call", "hostile"],
            STRAY,
        ),
        (
            "says_goodbye_and_goes_on",
            vec![inject(HOME, &[whole(CONTROL, 0, 0, &[11, 0, 0, 100, 1, 0, 200]), takes_all()])],
            &["hostile"],
            "",
        ),
        (
            "withdraws_and_refreshes",
            vec![
                inject(HOME, &[whole(CONTROL, 0, 0, &[3, OWN_0]), whole(CONTROL, 0, 0, &[4, 0])]),
                call(CALLER, &[OWN_0, 0, 4, 4, 50]),
            ],
            &["hostile", "call"],
            "",
        ),
        (
            "speaks_as_a_main",
            vec![inject(
                HOME,
                &[whole(CONTROL, 0, 0, &[1, OWN_0]), whole(CONTROL, 0, 0, &[2, OWN_0, 0, 210, 1])],
            )],
            &["hostile"],
            BROKEN,
        ),
    ]
}

fn hostile_callers() -> Vec<World> {
    let request = |label| whole(REQUEST, label, 10, &asked(OWN_0));
    let raw = [&[RAW, 5][..], b"noise"].concat();
    let long = b"\x00\x09service-0\x03run\xc0\xcf\x24\x00\x0a\x00\x00x";
    let made_up = [&[WHOLE, REQUEST, GENERATION_1, 0xca, long.len() as u8][..], long].concat();
    vec![
        ("asks_and_leaves", vec![inject(CALLER, &[request(GENERATION_1)])], &["hostile"], STRAY),
        (
            "asks_twice_with_one_label",
            vec![inject(CALLER, &[request(GENERATION_1), request(GENERATION_1)])],
            &["hostile"],
            STRAY,
        ),
        (
            "asks_and_gives_up",
            vec![inject(CALLER, &[request(GENERATION_1), whole(CANCEL, GENERATION_1, 0, &[])])],
            &["hostile"],
            "",
        ),
        (
            "floods",
            vec![inject(CALLER, &[[&[FLOOD][..], &asked(OWN_0), &[GENERATION_1, 31]].concat()])],
            &["hostile"],
            STRAY,
        ),
        (
            "registers_without_leave",
            vec![inject(CALLER, &[whole(CONTROL, 0, 0, &[0, OWN_0, 0, 0, 0])])],
            &["hostile"],
            BROKEN,
        ),
        (
            "speaks_of_what_is_not_built",
            vec![
                inject(CALLER, &[whole(STREAM, GENERATION_1, 0, &[0, 0, 1])]),
                inject(OTHER_CALLER, &[whole(PUBLISH, GENERATION_1, 3, &[])]),
                inject(HOME, &[whole(PING, 0, 0, &[]), whole(EXTENSION, 7, 0, &[])]),
            ],
            &["hostile", "hostile", "hostile"],
            BROKEN,
        ),
        (
            // Ten minutes, and nobody will answer.
            "asks_for_too_long",
            vec![inject(CALLER, &[made_up])],
            &["hostile"],
            "",
        ),
        ("noise", vec![inject(CALLER, &[raw]), call(CALLER, &[])], &["hostile", "call"], BROKEN),
        (
            "damaged",
            vec![inject(CALLER, &[changed(DAMAGED, &asked(OWN_0), &[20, 0xff])])],
            &["hostile"],
            BROKEN,
        ),
        (
            "cut",
            vec![inject(CALLER, &[changed(CUT, &asked(OWN_0), &[20])]), call(CALLER, &[])],
            &["hostile", "call"],
            BROKEN,
        ),
    ]
}

fn strangers() -> Vec<World> {
    let stranger = |rest: &[u8]| [&[SOON, STRANGER, 0][..], rest].concat();
    let introduction = whole(HANDSHAKE, 0, 0, &[99, 0, 1, 0]);
    let impatient = [&[1][..], &introduction, &whole(REQUEST, GENERATION_1, 10, &asked(OWN_0))];
    vec![
        ("stranger_replays", vec![stranger(&[0, RAW, 0])], &["stranger"], ANSWERED),
        (
            "stranger_takes_a_name",
            vec![stranger(&[&[0][..], &introduction].concat()), call(CALLER, &[])],
            &["stranger", "call"],
            ANSWERED,
        ),
        (
            "stranger_does_not_wait",
            vec![stranger(&impatient.concat())],
            &["stranger"],
            "a handshake failed",
        ),
        (
            "stranger_makes_noise",
            vec![stranger(&[0, RAW, 3, 0xff, 0xff, 0xff])],
            &["stranger"],
            "a handshake failed",
        ),
    ]
}

/// A call. What is left out is zero, as at the end of an input, but for a time to wait.
fn call(from: u8, rest: &[u8]) -> Vec<u8> {
    let usual = [SHARED, 0, 4, 4, 100, 1, 0];
    let longer = usual.iter().copied().skip(rest.len());
    [SOON, CALL, from].into_iter().chain(rest.iter().copied()).chain(longer).collect()
}

/// Frames that a host sends beside its node.
fn inject(host: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    [&[SOON, INJECT, host, frames.len() as u8 - 1][..], &frames.concat()].concat()
}

/// A whole frame with nothing behind what it says.
fn whole(kind: u8, label: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    [&[WHOLE, kind, label, ttl][..], payload, &[0]].concat()
}

fn changed(how: u8, payload: &[u8], rest: &[u8]) -> Vec<u8> {
    [&[how, REQUEST, GENERATION_1, 10][..], payload, &[0], rest].concat()
}

/// A request for two seconds.
fn asked(service: u8) -> Vec<u8> {
    let (headers, options, mains, node, method) = (0, 0, [0; 3], 0, 0);
    [&[headers, options][..], &mains, &[node, service, method, 7, 208, 10, 0]].concat()
}

/// One Main, two Homes, two callers, one service of both Homes; nothing else is unusual.
const HEAD: [u8; 13] = [1, 0, 1, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0];
const TINY_BOUNDS: [u8; 13] = [2, 1, 2, 2, 2, 1, 2, 2, 1, 0b1111, 0xd5, 1, 1];

const CALL: u8 = 0;
const INJECT: u8 = 1;
const FAULT: u8 = 2;
const STRANGER: u8 = 3;
const CORRUPT: u8 = 4;
const CLOCK_JUMP: u8 = 5;
const WITHDRAW: u8 = 6;
const REGISTER: u8 = 7;

/// Pauses before a step.
const SOON: u8 = 100;
const LATER: u8 = 210;

/// Hosts that call or inject; a fault counts from the Main on.
const HOME: u8 = 0;
const CALLER: u8 = 2;
const OTHER_CALLER: u8 = 3;

const SHARED: u8 = 0;
const OWN_0: u8 = 1;
const OWN_1: u8 = 2;

const RAW: u8 = 0;
const WHOLE: u8 = 1;
const DAMAGED: u8 = 2;
const CUT: u8 = 3;
const FLOOD: u8 = 4;

const HANDSHAKE: u8 = 0;
const PING: u8 = 1;
const CONTROL: u8 = 3;
const REQUEST: u8 = 4;
const RESPONSE: u8 = 5;
const ERROR: u8 = 6;
const STREAM: u8 = 7;
const CANCEL: u8 = 9;
const PUBLISH: u8 = 10;
const EXTENSION: u8 = 11;
/// The label of the first call of a link.
const GENERATION_1: u8 = 0x20;

const ANSWERED: &str = "a stranger was answered";
const BROKEN: &str = "a link ended for a broken protocol";
const LINK_BROKE: &str = "a link broke under a call";
const STRAY: &str = "an answer to nothing";
const RAN_OUT: &str = "a call ran out of time";
