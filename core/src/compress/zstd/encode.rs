//! Writes a frame: blocks of literals and of sequences, the latter by the usual tables.

use super::bits::Writer;
use super::block::{LITERAL_LENGTHS, MATCH_LENGTHS, RULES, distance};
use super::fse::{Encoder, Table};
use super::matches::{Finder, Match};
use super::{InflateError, MAGIC, ZSTD_WINDOW_BYTES_MAX, literals};
use alloc::vec::Vec;

/// Appends one frame.
pub(in super::super) fn deflate(body: &[u8], mut out: Vec<u8>) -> Result<Vec<u8>, InflateError> {
    out.extend_from_slice(&MAGIC);
    // No optional field but the window, which is a power of two.
    out.extend_from_slice(&[0, (ZSTD_WINDOW_BYTES_MAX.ilog2() as u8 - 10) << 3]);
    let mut finder = Finder::new();
    let encoders = Encoders::new()?;
    let mut recent = [1, 4, 8];
    let mut at = 0;
    while at < body.len() {
        let end = body.len().min(at + BLOCK_BYTES);
        let (plain, is_last) = (&body[at..end], end == body.len());
        if plain.iter().all(|byte| *byte == plain[0]) {
            header(&mut out, plain.len(), 1, is_last);
            out.push(plain[0]);
        } else {
            let matches = finder.find(body, at, end);
            let before = recent;
            let packed = encoders.block(plain, &matches, &mut recent)?;
            if packed.len() < plain.len() {
                header(&mut out, packed.len(), 2, is_last);
                out.extend_from_slice(&packed);
            } else {
                // Its sequences are not told, so its distances are not known either.
                recent = before;
                header(&mut out, plain.len(), 0, is_last);
                out.extend_from_slice(plain);
            }
        }
        at = end;
    }
    // A body may be kept for as long as its call lasts.
    out.shrink_to_fit();
    Ok(out)
}

fn header(out: &mut Vec<u8>, size: usize, kind: u32, is_last: bool) {
    let header = (size as u32) << 3 | kind << 1 | u32::from(is_last);
    out.extend_from_slice(&header.to_le_bytes()[..3]);
}

/// Literal lengths, offsets and match lengths, as in [`RULES`].
struct Encoders([Encoder; 3]);

/// One of the three numbers of a sequence: its code, and the bits that are added to it.
#[derive(Clone, Copy, Default)]
struct Coded {
    code: u8,
    extra: u32,
    bits: u32,
}

impl Encoders {
    fn new() -> Result<Self, InflateError> {
        let [literals, offsets, matches] =
            RULES.map(|rules| Table::of(rules.usual, rules.usual_log).map(Encoder::new));
        Ok(Self([literals?, offsets?, matches?]))
    }

    fn block(
        &self,
        plain: &[u8],
        matches: &[Match],
        recent: &mut [usize; 3],
    ) -> Result<Vec<u8>, InflateError> {
        let mut plain_literals = Vec::with_capacity(plain.len());
        let mut coded = Vec::with_capacity(matches.len());
        let mut at = 0;
        for found in matches {
            plain_literals.extend_from_slice(&plain[at..at + found.literals]);
            at += found.literals + found.length;
            let offset = offset(recent, found)?;
            let power = offset.ilog2();
            coded.push([
                code(&LITERAL_LENGTHS, found.literals),
                Coded { code: power as u8, extra: offset - (1 << power), bits: power },
                code(&MATCH_LENGTHS, found.length),
            ]);
        }
        plain_literals.extend_from_slice(&plain[at..]);
        let mut out = Vec::with_capacity(plain.len());
        literals::write(&plain_literals, &mut out)?;
        let count = coded.len();
        match count {
            ..128 => out.push(count as u8),
            _ => out.extend_from_slice(&(count as u16 | 0x8000).to_be_bytes()),
        }
        if count > 0 {
            // All three tables are the usual ones.
            out.push(0);
            self.sequences(&coded, &mut out)?;
        }
        Ok(out)
    }

    /// The last sequence comes first, because it is read last.
    fn sequences(&self, coded: &[[Coded; 3]], out: &mut Vec<u8>) -> Result<(), InflateError> {
        let [literals, offsets, matches] = &self.0;
        let mut bits = Writer::new(out);
        let mut states: Option<[usize; 3]> = None;
        for sequence in coded.iter().rev() {
            let [before, offset, length] = sequence;
            states = Some(match states {
                None => [
                    literals.last(before.code)?,
                    offsets.last(offset.code)?,
                    matches.last(length.code)?,
                ],
                Some(next) => {
                    let offset = offsets.lead(offset.code, next[1], &mut bits)?;
                    let length = matches.lead(length.code, next[2], &mut bits)?;
                    [literals.lead(before.code, next[0], &mut bits)?, offset, length]
                }
            });
            for part in [before, length, offset] {
                bits.put(part.extra, part.bits);
            }
        }
        let [before, offset, length] = states.unwrap_or_default();
        matches.put(length, &mut bits);
        offsets.put(offset, &mut bits);
        literals.put(before, &mut bits);
        bits.end();
        Ok(())
    }
}

/// How the distance of a match is told: by its place among the last three, or by itself.
fn offset(recent: &mut [usize; 3], found: &Match) -> Result<u32, InflateError> {
    let after = found.literals > 0;
    let known = if after { &recent[..] } else { &recent[1..] };
    let place = known.iter().position(|known| *known == found.distance);
    let value = place.map_or(found.distance + 3, |place| place + 1);
    distance(recent, value as u64, after)?;
    Ok(value as u32)
}

fn code(codes: &[(u32, u8)], length: usize) -> Coded {
    let length = length as u32;
    let code = codes.partition_point(|(base, _)| *base <= length).saturating_sub(1);
    let (base, bits) = codes[code];
    Coded { code: code as u8, extra: length - base, bits: u32::from(bits) }
}

/// A block is at most a window, and so short that its sequences are fewer than 32,512.
const BLOCK_BYTES: usize = ZSTD_WINDOW_BYTES_MAX as usize;
