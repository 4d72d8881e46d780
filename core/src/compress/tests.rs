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
