//! Our coder of Zstd against the reference implementation, in both directions.

use relay_core::compress::{Compression, deflate, inflate};
use zstd_safe::{CCtx, CParameter};

const LIMIT: u32 = 4 << 20;

/// Bodies from noise to one repeated letter, with texts that repeat themselves at every distance.
fn bodies() -> Vec<Vec<u8>> {
    let mut lot = Lot(7);
    let mut bodies = Vec::new();
    for bytes in [40, 300, 1_100, 5_000, 33_000, 70_000, 200_000] {
        for alphabet in [1, 2, 5, 26, 90, 200, 256] {
            let mut body: Vec<u8> = (0..bytes).map(|_| lot.below(alphabet) as u8).collect();
            for _ in 0..bytes / 50 {
                let length = 3 + lot.below(60).min(bytes - 1);
                let (from, to) = (lot.below(bytes - length.min(bytes)), lot.below(bytes));
                let part = body[from..(from + length).min(bytes)].to_vec();
                let end = (to + part.len()).min(bytes);
                body[to..end].copy_from_slice(&part[..end - to]);
            }
            bodies.push(body);
        }
        let text: String = (0..bytes / 60)
            .map(|n| format!("{{\"id\":{n},\"name\":\"user-{}\",\"tags\":[\"relay\"]}},", n % 97))
            .collect();
        bodies.push(text.into_bytes());
    }
    bodies
}

/// Numbers that look random; the same ones each time.
struct Lot(u64);

impl Lot {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

#[test]
fn the_reference_reads_what_we_write() {
    let mut written = 0;
    for body in bodies() {
        let Some(packed) = deflate(&body, Compression::Zstd) else { continue };
        let mut plain = vec![0; body.len()];
        let read = zstd_safe::decompress(&mut plain[..], &packed[4..]);
        let read = read.map_err(zstd_safe::get_error_name).expect("the reference reads it");
        assert!(read == body.len() && plain == body, "{} bytes", body.len());
        written += 1;
    }
    assert!(written > 30, "{written}");
}

#[test]
fn we_read_what_the_reference_writes() {
    let mut read = 0;
    for body in bodies() {
        for level in [-5, 1, 3, 9, 19] {
            let mut coder = CCtx::create();
            let level = CParameter::CompressionLevel(level);
            for parameter in [level, CParameter::WindowLog(15)] {
                coder.set_parameter(parameter).map_err(zstd_safe::get_error_name).expect("allowed");
            }
            let mut frame = vec![0; zstd_safe::compress_bound(body.len())];
            let length = coder.compress2(&mut frame[..], &body);
            frame.truncate(length.map_err(zstd_safe::get_error_name).expect("written"));
            let packed = [&(body.len() as u32).to_le_bytes()[..], &frame].concat();
            if packed.len() >= body.len() {
                continue;
            }
            let plain = inflate(&packed, Compression::Zstd, LIMIT, b"").expect("we read it");
            assert!(plain == body, "{} bytes", body.len());
            read += 1;
        }
    }
    assert!(read > 150, "{read}");
}
