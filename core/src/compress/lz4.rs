//! One LZ4 block. What it inflates to is counted before anything is allocated.

use super::InflateError;
use alloc::vec::Vec;

/// Appends the block. Nothing comes of it when it would be no shorter than `body`.
pub(super) fn deflate(body: &[u8], mut out: Vec<u8>) -> Option<Vec<u8>> {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(body.len()), 0);
    let length = lz4_flex::block::compress_into(body, &mut out[start..]).ok()?;
    out.truncate(start + length);
    // A body may be kept for as long as its call lasts.
    out.shrink_to_fit();
    Some(out)
}

pub(super) fn inflate(block: &[u8], length: usize, head: &[u8]) -> Result<Vec<u8>, InflateError> {
    if count(block, length) != Some(length) {
        return Err(InflateError::Malformed);
    }
    let mut out = Vec::with_capacity(head.len() + length);
    out.extend_from_slice(head);
    out.resize(head.len() + length, 0);
    match lz4_flex::block::decompress_into(block, &mut out[head.len()..]) {
        Ok(written) if written == length => Ok(out),
        Ok(_) | Err(_) => Err(InflateError::Malformed),
    }
}

/// The bytes that a block inflates to, by its tokens alone; nothing when they are more than
/// `limit` or the block ends inside one.
fn count(block: &[u8], limit: usize) -> Option<usize> {
    let (mut at, mut sum) = (0, 0_usize);
    loop {
        let token = *block.get(at)?;
        at += 1;
        let literals = run(block, &mut at, token >> 4, limit)?;
        at = at.checked_add(literals).filter(|at| *at <= block.len())?;
        sum = sum.checked_add(literals).filter(|sum| *sum <= limit)?;
        if at == block.len() {
            return Some(sum);
        }
        // Where the match comes from is for the decoder to check.
        at += 2;
        let matched = run(block, &mut at, token & 15, limit)?.checked_add(MATCH_LEAST)?;
        sum = sum.checked_add(matched).filter(|sum| *sum <= limit)?;
    }
}

/// A length: four bits of the token, and while it may go on a byte more.
fn run(block: &[u8], at: &mut usize, nibble: u8, limit: usize) -> Option<usize> {
    let mut length = usize::from(nibble);
    if nibble < 15 {
        return Some(length);
    }
    loop {
        let byte = *block.get(*at)?;
        *at += 1;
        length += usize::from(byte);
        if byte < u8::MAX {
            return Some(length);
        }
        if length > limit {
            return None;
        }
    }
}

const MATCH_LEAST: usize = 4;
