//! The first inputs of the targets that need knowledge of the protocol, written from the golden
//! vectors and from the meaning of the steps. The fuzzers add what they find beside them.
//!
//! After a change of the inputs' meaning:
//! `UPDATE_SEEDS=1 cargo test --manifest-path fuzz/Cargo.toml seeds`.

use std::{env, fs, path::Path};

use crate::handshake::honest_messages;

mod node;

#[test]
fn the_first_inputs_are_kept() {
    for (target, seeds) in [
        ("frame_decode", frames()),
        ("handshake", handshakes()),
        ("envelope", payloads()),
        ("node", node::worlds()),
        ("shards", shards()),
    ] {
        assert!((10..=40).contains(&seeds.len()), "{target}: {} first inputs", seeds.len());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        for (name, bytes) in seeds {
            let path = folder.join(&name);
            if env::var_os("UPDATE_SEEDS").is_some() {
                fs::create_dir_all(&folder).expect("corpus can be written");
                fs::write(&path, &bytes).expect("corpus can be written");
            }
            let is_kept = fs::read(&path).is_ok_and(|kept| kept == bytes);
            assert!(
                is_kept,
                "{} is not what it should be: UPDATE_SEEDS=1 cargo test --manifest-path \
                 fuzz/Cargo.toml seeds",
                path.display()
            );
        }
    }
}

type Seeds = Vec<(String, Vec<u8>)>;

/// The golden vectors, which tests/wire keeps.
fn vectors() -> Seeds {
    let mut vectors: Seeds = Vec::new();
    for line in include_str!("../../tests/wire/vectors.txt").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            vectors.push((name.replace('/', "_"), Vec::new()));
        } else if let Some((_, bytes)) = vectors.last_mut() {
            let hex = line.split('#').next().unwrap_or_default().split_whitespace();
            bytes.extend(hex.map(|byte| u8::from_str_radix(byte, 16).expect("hex")));
        }
    }
    vectors
}

fn frames() -> Seeds {
    let mut seeds: Seeds = vectors();
    for (name, _) in &mut seeds {
        name.insert_str(0, "vector_");
    }
    let all = seeds.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    seeds.push(("vector_all".to_owned(), all));
    seeds
}

fn payloads() -> Seeds {
    let mut seeds: Seeds = vectors();
    seeds.retain(|(name, _)| {
        ["control", "request", "response", "error"].iter().any(|kind| name.starts_with(kind))
    });
    for (_, bytes) in &mut seeds {
        *bytes = bytes[14..bytes.len() - 4].to_vec();
    }
    let longer = [
        // Lengths and numbers may be written longer than they need to be.
        ("long_number", &[0, 1, b'a', 1, b'b', 0x80, 0x00, 0, 1, 0, 0, b'7'][..]),
        ("no_service", &[0, 0, 1, b'b', 1, 0, 1, 0, 0]),
        ("reserved_option", &[0, 1, b'a', 1, b'b', 1, 2, 1, 0, 0]),
        ("odd_headers", &[0, 1, b'a', 1, b'b', 1, 0, 1, 0, 2, 1, b'k']),
        ("unsorted", &[0, 1, b'a', 1, b'b', 1, 0, 1, 0, 6, 1, b'k', 0, 1, b'c', 0]),
        ("empty", &[]),
    ];
    seeds.extend(longer.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}

/// A step is its number, plus 4 for "changed" or 8 for "made up".
fn handshakes() -> Seeds {
    let mut seeds: Seeds = vec![
        ("honest".to_owned(), vec![0, 1, 2, 3]),
        ("twice".to_owned(), vec![0, 0, 1, 1, 2, 2, 3, 3]),
        ("backwards".to_owned(), vec![3, 2, 1, 0]),
        ("proof_first".to_owned(), vec![2, 0, 1, 2, 3]),
        ("no_challenge".to_owned(), vec![0, 3, 1, 2, 3]),
    ];
    for step in 0..4_u8 {
        let before: Vec<u8> = (0..step).collect();
        let after: Vec<u8> = (step + 1..4).collect();
        let changed = [before.clone(), vec![step + 4, 0, 0, 40, 1 << 3], after.clone()].concat();
        seeds.push((format!("changed_{step}"), changed));
        let cut = [before.clone(), vec![step + 4, 0, 0, 60, 0], after.clone()].concat();
        seeds.push((format!("cut_{step}"), cut));
        let message = &honest_messages()[usize::from(step)];
        let length = (message.len() as u16).to_be_bytes();
        let made_up = [&before[..], &[step + 8], &length, message, &after].concat();
        seeds.push((format!("made_up_{step}"), made_up));
    }
    // The number of a message, written longer than it need be.
    let proof = &honest_messages()[2];
    let length = (proof.len() as u16 + 1).to_be_bytes();
    let long = [&[0, 1, 10][..], &length, &[0x82, 0x00], &proof[1..], &[3]].concat();
    seeds.push(("long_number".to_owned(), long));
    let refusal = [&[9, 0, 7, 3, 1, 100, 3][..], b"why"].concat();
    seeds.push(("refused".to_owned(), refusal));
    seeds
}

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

fn shards() -> Seeds {
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
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}
