//! The first inputs of the targets that need knowledge of the protocol, written from the golden
//! vectors and from the meaning of the steps. The fuzzers add what they find beside them.
//!
//! After a change of the inputs' meaning:
//! `UPDATE_SEEDS=1 cargo test --manifest-path fuzz/Cargo.toml seeds`.

use std::{env, fs, path::Path};

use crate::handshake::honest_messages;

mod inflate;
mod node;
mod shards;

#[test]
fn the_first_inputs_are_kept() {
    for (target, seeds) in [
        ("frame_decode", frames()),
        ("handshake", handshakes()),
        ("envelope", payloads()),
        ("inflate", inflate::bodies()),
        ("node", node::worlds()),
        ("shards", shards::shards()),
    ] {
        assert!((10..=80).contains(&seeds.len()), "{target}: {} first inputs", seeds.len());
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
        ["control", "request", "response", "error", "publish"]
            .iter()
            .any(|kind| name.starts_with(kind))
    });
    for (_, bytes) in &mut seeds {
        *bytes = bytes[14..bytes.len() - 4].to_vec();
    }
    let longer = [
        // Lengths and numbers may be written longer than they need to be.
        ("long_number", &[0, 1, b'a', 1, b'b', 0x80, 0x00, 0, 1, 0, 0, b'7'][..]),
        ("no_service", &[0, 0, 1, b'b', 1, 0, 1, 0, 0]),
        ("reserved_option", &[0, 1, b'a', 1, b'b', 1, 0x20, 1, 0, 0]),
        ("high_and_low", &[0, 1, b'a', 1, b'b', 1, 0x0c, 1, 0, 0]),
        ("empty_path", &[0, 1, b'a', 1, b'b', 1, 0x10, 1, 0, 0, 0]),
        ("two_mains", &[5, b'a', b'@', b'b', b'@', b'c', 1, b'a', 1, b'b', 1, 0, 1, 0, 0]),
        ("empty_hops", &[2, 0, 0, b'1']),
        ("half_a_hop", &[2, 0, 3, 1, b'a', 1, b'1']),
        ("half_a_record", &[8, 5, 2, 1, b'a', 1, b'b']),
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
    seeds.push(("later".to_owned(), vec![9, 0, 4, 3, 2, 0xd0, 0x0f]));
    seeds
}
