//! What is deflated inflates to the same, and what is wrong to nothing.
#![cfg(all(feature = "lz4", feature = "zstd"))]

use super::*;
use crate::rng::Generator;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use std::println;

const LIMIT: u32 = 1 << 20;

/// What a service answers: names that repeat, numbers that do not.
fn json(bytes: usize) -> Vec<u8> {
    let mut generator = Generator::new([7; 32]);
    let mut text = String::from("[");
    while text.len() < bytes {
        let (id, likes) = (generator.below(1 << 20), generator.below(1_000));
        text += &format!(
            "{{\"id\":{id},\"title\":\"Post number {id}\",\"author\":{{\"name\":\"user-{}\"}},\
             \"tags\":[\"rust\",\"relay\"],\"likes\":{likes},\"published\":{}}},",
            id % 97,
            likes % 2 == 0
        );
    }
    text.into_bytes()
}

fn noise(bytes: usize, alphabet: u32, seed: u8) -> Vec<u8> {
    let mut generator = Generator::new([seed; 32]);
    (0..bytes).map(|_| generator.below(alphabet) as u8).collect()
}

fn bodies() -> Vec<Vec<u8>> {
    let mut bodies = vec![vec![0; 5_000], vec![b'x'; 200_000], json(1_100), json(40_000)];
    bodies.extend([json(300_000), b"ab".repeat(50_000), b"0123456789".repeat(7_000)]);
    bodies.extend([32 << 10, (32 << 10) + 1, 64 << 10].map(|bytes| json(bytes)[..bytes].to_vec()));
    for alphabet in [2, 3, 17, 100, 200, 255, 256] {
        for bytes in [60, 700, 1_025, 5_000, 70_000] {
            let mut body = noise(bytes, alphabet, alphabet as u8);
            bodies.push(body.clone());
            body.extend_from_within(..bytes / 2);
            bodies.push(body);
        }
    }
    bodies
}

#[test]
fn what_is_deflated_inflates_to_the_same() {
    for body in bodies() {
        for compression in Compression::ALL {
            let Some(packed) = deflate(&body, compression) else { continue };
            assert!(packed.len() < body.len() && plain_length(&packed) == Some(body.len() as u32));
            let plain = inflate(&packed, compression, LIMIT, b"head").expect("as it was written");
            assert!(plain[..4] == *b"head" && plain[4..] == body, "{compression:?}");
        }
    }
    for compression in Compression::ALL {
        assert!(deflate(&noise(5_000, 256, 1), compression).is_none(), "noise goes plain");
        assert!(deflate(b"", compression).is_none() && deflate(b"[1]", compression).is_none());
        let packed = deflate(&json(20_000), compression).expect("JSON shrinks");
        println!("{compression:?}: 20000 B of JSON are {} B", packed.len());
        assert!(packed.len() < 10_000);
    }
}

#[test]
fn every_prefix_and_every_other_byte_is_refused_or_another_text() {
    for compression in Compression::ALL {
        let body = json(3_000);
        let packed = deflate(&body, compression).expect("shrinks");
        for end in 0..packed.len() {
            assert!(inflate(&packed[..end], compression, LIMIT, b"").is_err(), "{end}");
        }
        let longer = [&packed[..], &[0]].concat();
        assert!(inflate(&longer, compression, LIMIT, b"").is_err(), "a byte too many");
        let mut refused = 0;
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 1 << (at % 8);
            match inflate(&bad, compression, LIMIT, b"") {
                Ok(plain) => assert_eq!(plain.len(), body.len(), "{at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 20, "{compression:?}: {refused}");
    }
}

#[test]
fn an_output_starts_empty_for_its_matches() {
    // A match of what is before the output: the head is not to be had either.
    let mut body = Vec::from(60_u32.to_le_bytes());
    body.extend([0x1f, b'x', 9, 0, 35, 0x50, 1, 2, 3, 4, 5]);
    let head = [7; 64];
    assert_eq!(inflate(&body, Compression::Lz4, LIMIT, &head), Err(InflateError::Malformed));
    // The same for Zstd: one literal, then a match at a distance of 4, told as 7.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 5 << 3];
    let block = [1 << 3, b'x', 1, 0b0101_0100, 1, 2, 30, 0b111];
    let header = ((block.len() as u32) << 3 | 2 << 1 | 1).to_le_bytes();
    let body = [&60_u32.to_le_bytes()[..], &frame, &header[..3], &block].concat();
    assert_eq!(inflate(&body, Compression::Zstd, LIMIT, &head), Err(InflateError::Malformed));
}

#[test]
fn blocks_that_cost_more_than_they_bring_are_refused() {
    let frame = |small: usize| {
        let length = (32 << 10) + 3 * small;
        let mut body = Vec::from((length as u32).to_le_bytes());
        body.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 5 << 3]);
        for _ in 0..small {
            // Three literals as they are, and no sequence.
            let content = [3 << 3, b'a', b'b', b'c', 0];
            body.extend_from_slice(&((content.len() as u32) << 3 | 2 << 1).to_le_bytes()[..3]);
            body.extend(content);
        }
        body.extend_from_slice(&((32_u32 << 10) << 3 | 1 << 1 | 1).to_le_bytes()[..3]);
        body.push(b'x');
        inflate(&body, Compression::Zstd, LIMIT, b"").map(|plain| plain.len() == length)
    };
    assert_eq!(frame(60), Ok(true));
    assert_eq!(frame(200), Err(InflateError::Malformed));
}
