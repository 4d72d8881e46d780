//! Writes literals: by a Huffman code of their own where that is shorter.

use super::InflateError;
use super::bits::Writer;
use super::fse::{self, Encoder};
use super::huffman::{LOG_MAX, WEIGHTS_LOG_MAX};
use alloc::vec::Vec;

/// Appends the literals of a block with their header.
pub(super) fn write(literals: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
    let count = literals.len();
    let start = out.len();
    if count >= CODED_LEAST && coded(literals, out)? && out.len() - start < count {
        return Ok(());
    }
    out.truncate(start);
    match count {
        ..32 => out.push((count as u8) << 3),
        32..4_096 => out.extend_from_slice(&((count as u16) << 4 | 1 << 2).to_le_bytes()),
        _ => out.extend_from_slice(&((count as u32) << 4 | 3 << 2).to_le_bytes()[..3]),
    }
    out.extend_from_slice(literals);
    Ok(())
}

/// Tells whether there is a code for them.
fn coded(literals: &[u8], out: &mut Vec<u8>) -> Result<bool, InflateError> {
    let mut counts = [0_u32; 256];
    literals.iter().for_each(|literal| counts[usize::from(*literal)] += 1);
    let Some(lengths) = lengths(counts) else { return Ok(false) };
    let count = literals.len();
    let (format, header_bytes, length_bits) = match count {
        ..1_024 => (0_u64, 3, 10),
        1_024..16_384 => (2, 4, 14),
        _ => (3, 5, 18),
    };
    let start = out.len();
    out.resize(start + header_bytes, 0);
    if !write_weights(&lengths, out)? {
        return Ok(false);
    }
    let codes = codes(&lengths);
    if format == 0 {
        encode(literals, &codes, out);
    } else {
        let jumps = out.len();
        out.resize(jumps + 6, 0);
        for (part, nth) in literals.chunks(count.div_ceil(4)).zip(0..4) {
            let before = out.len();
            encode(part, &codes, out);
            let length = (out.len() - before) as u16;
            if let Some(jump) = out[jumps..jumps + 6].as_chunks_mut().0.get_mut(nth) {
                *jump = length.to_le_bytes();
            }
        }
    }
    let packed = out.len() - start - header_bytes;
    let header = 2 | format << 2 | (count as u64) << 4 | (packed as u64) << (4 + length_bits);
    out[start..start + header_bytes].copy_from_slice(&header.to_le_bytes()[..header_bytes]);
    // A length that does not fit belongs to literals that did not shrink.
    Ok(packed < count)
}

fn encode(literals: &[u8], codes: &[(u16, u8); 256], out: &mut Vec<u8>) {
    let mut bits = Writer::new(out);
    for literal in literals.iter().rev() {
        let (code, length) = codes[usize::from(*literal)];
        bits.put(u32::from(code), u32::from(length));
    }
    bits.end();
}

/// The length of each code (Huffman, 1952); nothing where there are not two symbols.
fn lengths(mut counts: [u32; 256]) -> Option<[u8; 256]> {
    loop {
        let mut leaves: Vec<(u32, usize)> =
            counts.iter().copied().zip(0..).filter(|(count, _)| *count > 0).collect();
        if leaves.len() < 2 {
            return None;
        }
        leaves.sort_unstable();
        let depths = depths(&leaves);
        if depths.iter().all(|depth| *depth <= LOG_MAX) {
            let mut lengths = [0; 256];
            for ((_, symbol), depth) in leaves.iter().zip(depths) {
                lengths[*symbol] = depth;
            }
            return Some(lengths);
        }
        // Counts that are more alike make a tree that is less deep.
        counts.iter_mut().for_each(|count| *count = count.div_ceil(2));
    }
}

/// How deep each leaf is in the tree that joins the two rarest again and again.
fn depths(leaves: &[(u32, usize)]) -> Vec<u8> {
    let count = leaves.len();
    // The joints are made in the order of their sums, behind the leaves.
    let mut sums: Vec<u32> = leaves.iter().map(|(sum, _)| *sum).collect();
    let mut parents = Vec::from_iter(core::iter::repeat_n(0, 2 * count - 1));
    let (mut leaf, mut joint) = (0, count);
    for parent in count..2 * count - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            let rarest = if leaf < count && (joint == parent || sums[leaf] <= sums[joint]) {
                &mut leaf
            } else {
                &mut joint
            };
            sum += sums[*rarest];
            parents[*rarest] = parent;
            *rarest += 1;
        }
        sums.push(sum);
    }
    let mut depths = Vec::from_iter(core::iter::repeat_n(0_u8, 2 * count - 1));
    for node in (0..2 * count - 2).rev() {
        depths[node] = depths[parents[node]].saturating_add(1);
    }
    depths.truncate(count);
    depths
}

/// Weights as the reader counts them: zero for no code, one for the longest.
fn weights(lengths: &[u8; 256]) -> Vec<u8> {
    let log = lengths.iter().copied().max().unwrap_or(0);
    let used = lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1);
    let weight = |length: &u8| if *length == 0 { 0 } else { log + 1 - length };
    lengths[..used].iter().map(weight).collect()
}

/// Writes all weights but the last, which follows from the others. Tells whether it can.
fn write_weights(lengths: &[u8; 256], out: &mut Vec<u8>) -> Result<bool, InflateError> {
    let weights = weights(lengths);
    let Some((_, told)) = weights.split_last() else { return Ok(false) };
    let start = out.len();
    out.push(0);
    if pack_weights(told, out)? {
        let packed = out.len() - start - 1;
        if packed < 128 && (packed < told.len().div_ceil(2) || told.len() > 128) {
            out[start] = packed as u8;
            return Ok(true);
        }
    }
    out.truncate(start);
    if told.len() > 128 {
        return Ok(false);
    }
    out.push(127 + told.len() as u8);
    out.extend(told.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)));
    Ok(true)
}

/// Compresses weights by two encoders in turn; not where all of them are alike.
fn pack_weights(weights: &[u8], out: &mut Vec<u8>) -> Result<bool, InflateError> {
    let mut counts = [0_u32; LOG_MAX as usize + 1];
    weights.iter().for_each(|weight| counts[usize::from(*weight)] += 1);
    let Some(shares) = fse::shares(&counts, WEIGHTS_LOG_MAX) else { return Ok(false) };
    if weights.len() < 2 {
        return Ok(false);
    }
    fse::write(&shares, WEIGHTS_LOG_MAX, out);
    let encoder = Encoder::new(fse::Table::of(&shares, WEIGHTS_LOG_MAX)?);
    let mut bits = Writer::new(out);
    let mut states = [None, None];
    for (at, weight) in weights.iter().enumerate().rev() {
        let state: &mut Option<usize> = &mut states[at % 2];
        *state = Some(match *state {
            None => encoder.last(*weight)?,
            Some(next) => encoder.lead(*weight, next, &mut bits)?,
        });
    }
    for state in states.into_iter().rev().flatten() {
        encoder.put(state, &mut bits);
    }
    bits.end();
    Ok(true)
}

/// Codes in the order of the reader's table: the longest first, and each as it is in the alphabet.
fn codes(lengths: &[u8; 256]) -> [(u16, u8); 256] {
    let log = lengths.iter().copied().max().unwrap_or(0);
    let mut codes = [(0, 0); 256];
    let mut at = 0_u16;
    for length in (1..=log).rev() {
        for symbol in 0..256 {
            if lengths[symbol] == length {
                codes[symbol] = (at >> (log - length), length);
                at += 1 << (log - length);
            }
        }
    }
    codes
}

/// A code of its own costs some 40 bytes.
const CODED_LEAST: usize = 64;
