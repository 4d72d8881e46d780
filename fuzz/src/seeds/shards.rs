//! The first inputs of the target `shards`: one node and what happens around it, step by step.

use super::Seeds;

const ACCEPT: u8 = 0;
const MEET: u8 = 1;
const DIAL: u8 = 2;
const CONNECT: u8 = 3;
const DIAL_FAILS: u8 = 4;
const UNDIAL: u8 = 5;
const FRAME: u8 = 6;
const ANSWER: u8 = 7;
const BYTES: u8 = 8;
const LOSE: u8 = 9;
const FLUSH: u8 = 10;
const WAIT: u8 = 11;
const UNTIL_DUE: u8 = 12;
const APPLICATION: u8 = 13;
const DRAIN: u8 = 17;
const CLOSE_ALL: u8 = 18;
const LEAVE: u8 = 19;
const DIAL_MORE: u8 = 20;

/// A Home of this number joins the first shard.
const HOME: [u8; 3] = [MEET, 0, 0x00];
const CALLER: [u8; 3] = [MEET, 0, 0x11];
/// Link 0 registers the service "a" without a list of methods.
const REGISTER: [u8; 8] = [FRAME, 0, 3, 0, 0, 0, 0xff, 0xff];
/// Link 1 calls the service "a" under label 1.0.
const REQUEST: [u8; 11] = [FRAME, 1, 4, 0x10, 10, 0, 0, 10, 0x10, 0, 2];
/// The application calls the service "a" and waits for a second.
const CALL: [u8; 6] = [APPLICATION, 0, 0, 1, 0x03, 0xe8];
const OFFER: [u8; 3] = [APPLICATION, 6, 0];
const REPLY: [u8; 4] = [APPLICATION, 3, 0, 1];
const END: [u8; 1] = [0];

pub(super) fn shards() -> Seeds {
    let answer = [ANSWER, 0, 2, 1];
    let forwarded = [&HOME[..], &REGISTER, &END, &CALLER, &REQUEST, b"[]"].concat();
    let with = |steps: &[&[u8]]| [&[0][..], &forwarded, &steps.concat()].concat();
    let local = [&OFFER[..], &CALL].concat();
    let cancel = [FRAME, 1, 9, 0x10, 0, 0];
    let seeds: [(&str, Vec<u8>); 20] = [
        ("forwarded_and_answered", with(&[&answer])),
        ("forwarded_and_lost", with(&[&[LOSE, 0]])),
        ("forwarded_and_cancelled", with(&[&cancel, &answer])),
        ("forwarded_and_expired", with(&[&[WAIT, 200, 1], &answer])),
        ("caller_lost", with(&[&[LOSE, 1], &answer])),
        ("same_label_twice", with(&[&REQUEST, b"[]", &answer])),
        ("superseded", with(&[&HOME, &answer])),
        ("two_shards", [&[4][..], &forwarded, &[MEET, 1, 0x01], &CALL, &answer].concat()),
        ("local_call", [&[0][..], &local, &REPLY].concat()),
        ("local_call_to_the_other_shard", [&[4][..], &local, &REPLY].concat()),
        ("local_call_expires", [&[0][..], &local, &[WAIT, 0, 200, UNTIL_DUE, UNTIL_DUE]].concat()),
        ("local_call_cancelled", [&[0][..], &local, &[APPLICATION, 5, 0], &REPLY].concat()),
        ("nobody_serves", [&[0][..], &CALL].concat()),
        (
            "home_dials",
            [&[1][..], &OFFER, &[DIAL, CONNECT, 0, 0, 1], &CALL, &answer, &[UNDIAL, 0]].concat(),
        ),
        ("home_dials_in_vain", vec![1, DIAL, DIAL_FAILS, 0, UNTIL_DUE, CONNECT, 0, 0x80, 0]),
        ("silence", vec![0, MEET, 0, 0, UNTIL_DUE, UNTIL_DUE, UNTIL_DUE, UNTIL_DUE]),
        ("no_handshake", vec![0, ACCEPT, 0, WAIT, 1, 10]),
        ("noise", vec![0, ACCEPT, 0, BYTES, 0, 6, 0, 0, 0, 10, 0, 0x81]),
        ("slow_consumer", with(&[&[FLUSH, 0, 1, 0], &REQUEST, b"[]", &REQUEST, b"[]"])),
        ("drain", with(&[&[DRAIN], &CALL, &answer, &[CLOSE_ALL]])),
    ];
    let names = seeds.into_iter().chain(among_mains());
    names.map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// The Mains "peer-0" and "peer-1" join the first shard.
const MAIN_0: [u8; 3] = [MEET, 0, 0x20];
const MAIN_1: [u8; 3] = [MEET, 0, 0x21];
/// Link 1 calls the service "a" by a path: bit 5 says that there is one.
const BY_PATH: u8 = 32;

/// A message of a Main over a link; see `among_mains` in the body.
fn said(link: u8, what: u8, rest: &[u8]) -> Vec<u8> {
    [&[FRAME, link, 3, 0, 0, 4, 0, what][..], rest, &END].concat()
}

fn hello(link: u8) -> Vec<u8> {
    said(link, 2, &[0])
}

/// One record: that "peer-1" offers "a" at the Main "peer-0", the life and the change of its word,
/// and which of the four paths it took.
fn up(link: u8, epoch: u8, seq: u8, way: u8) -> Vec<u8> {
    let word = epoch << 6 | seq << 2 | 2;
    said(link, 3, &[0, 0x04, word, 9, 1, 1, 0x7f, 0xff, way])
}

fn down(link: u8, epoch: u8, seq: u8) -> Vec<u8> {
    said(link, 3, &[0, 0x04, epoch << 6 | seq << 2])
}

fn lost(link: u8) -> Vec<u8> {
    said(link, 3, &[0, 0x04, 1])
}

fn digest(link: u8, count: u8) -> Vec<u8> {
    said(link, 4, &[count, 7])
}

fn by_path(target: u8) -> Vec<u8> {
    [FRAME, 1, 4, 0x10, 10, target, BY_PATH, 10, 0x10, 0, 0].to_vec()
}

fn among_mains() -> Vec<(&'static str, Vec<u8>)> {
    let steps = |steps: &[&[u8]]| [&[0][..], &steps.concat()].concat();
    let known = [&MAIN_0[..], &hello(0), &up(0, 1, 1, 0)].concat();
    let both = [&known[..], &MAIN_1, &hello(1)].concat();
    let answer = [ANSWER, 0, 2, 1];
    // Not executed, safe to try again, said by "peer-0".
    let refusal = [ANSWER, 0, 3, 0, 1];
    let traced_answer = [ANSWER, 0, 0x82, 0, 4, 1, b'a', 1, 1];
    let traced = [APPLICATION, 0, 32, 1, 0x03, 0xe8];
    let two_homes = [&HOME[..], &REGISTER, &END, &[MEET, 0, 0x01], &REGISTER_1, &END].concat();
    vec![
        ("announced_and_called", steps(&[&known, &CALL, &answer])),
        ("announced_and_passed_on", steps(&[&both, &up(0, 1, 2, 0), &UNTIL_DUE_TWICE])),
        ("announced_and_gone", steps(&[&both, &down(0, 1, 2), &up(0, 1, 1, 0), &CALL])),
        ("lost_behind_a_peer", steps(&[&known, &lost(0), &CALL])),
        ("an_earlier_life", steps(&[&known, &up(0, 2, 1, 0), &up(0, 1, 9, 0), &CALL])),
        ("a_path_through_here", steps(&[&known, &up(0, 1, 2, 2)])),
        ("a_path_of_another", steps(&[&both, &up(1, 1, 2, 0)])),
        ("digests_that_lie", steps(&[&known, &digest(0, 9), &digest(0, 8), &CALL])),
        ("asked_again", steps(&[&[&OFFER[..], &known].concat(), &said(0, 5, &[])])),
        (
            "a_digest_that_does_not_fit",
            steps(&[&known, &[WAIT, 31, 1], &digest(0, 1), &UNTIL_DUE_TWICE]),
        ),
        ("traced", steps(&[&known, &traced, &traced_answer])),
        ("by_a_path", steps(&[&both, &by_path(0x40), &answer])),
        ("by_a_path_that_ends_here", steps(&[&both, &OFFER, &by_path(0), &REPLY])),
        ("by_a_loop", steps(&[&both, &by_path(0xc0)])),
        ("a_caller_names_a_path", steps(&[&HOME, &CALLER, &by_path(0)])),
        ("sent_elsewhere", steps(&[&two_homes, &CALL, &refusal, &[ANSWER, 1, 3, 0, 1]])),
        ("about_to_leave", steps(&[&both, &[LEAVE], &MAIN_0, &CALL, &answer])),
        (
            "moves_to_another_main",
            [
                &[1][..],
                &[DIAL_MORE, CONNECT, 0, 0, 1],
                &said(0, 6, &[]),
                &[UNTIL_DUE, CONNECT, 0, 0, 2],
            ]
            .concat(),
        ),
    ]
}

/// Link 1 registers the service "a".
const REGISTER_1: [u8; 8] = [FRAME, 1, 3, 0, 0, 0, 0xff, 0xff];
const UNTIL_DUE_TWICE: [u8; 2] = [UNTIL_DUE, UNTIL_DUE];
