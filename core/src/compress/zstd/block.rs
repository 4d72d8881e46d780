//! Blocks: literals, and sequences that put them between repetitions of what was before.

use super::InflateError;
use super::bits::Backward;
use super::{fse, huffman};
use alloc::vec::Vec;

/// What is carried from one block of a frame to the next.
pub(super) struct Decoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where the output of this frame starts and has to end.
    start: usize,
    end: usize,
    block_max: usize,
    literals: Vec<u8>,
    codes: Option<huffman::Table>,
    /// Lengths of literals, offsets, lengths of matches: their order in a block.
    tables: [Option<fse::Table>; 3],
    /// The offsets that were used last.
    recent: [usize; 3],
}

impl<'a> Decoder<'a> {
    /// Appends `length` bytes to `out`, which has room for them.
    pub(super) const fn new(out: &'a mut Vec<u8>, length: usize, block_max: usize) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            end: start + length,
            block_max,
            literals: Vec::new(),
            codes: None,
            tables: [None, None, None],
            recent: [1, 4, 8],
        }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), InflateError> {
        append(self.out, bytes, self.end)
    }

    pub(super) fn repeated(&mut self, byte: u8, count: usize) -> Result<(), InflateError> {
        if count > self.end - self.out.len() {
            return Err(InflateError::Malformed);
        }
        self.out.resize(self.out.len() + count, byte);
        Ok(())
    }

    pub(super) fn compressed(&mut self, block: &[u8]) -> Result<(), InflateError> {
        let end = self.end.min(self.out.len() + self.block_max);
        let rest = self.read_literals(block)?;
        let (count, rest) = sequence_count(rest)?;
        let mut used = 0;
        if count > 0 {
            let stream = self.read_tables(rest)?;
            used = self.run(stream, count, end)?;
        } else if !rest.is_empty() {
            return Err(InflateError::Malformed);
        }
        append(self.out, &self.literals[used..], end)
    }

    /// Reads the literals of a block and returns what follows them.
    fn read_literals<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], InflateError> {
        let first = *block.first().ok_or(InflateError::Malformed)?;
        let (kind, format) = (first & 3, first >> 2 & 3);
        let is_plain = kind < 2;
        // Bytes of the header, and bits of each length in it.
        let (header_bytes, length_bits) = match (is_plain, format) {
            (true, 0 | 2) => (1, 5),
            (true, 1) => (2, 12),
            (true, _) => (3, 20),
            (false, 0 | 1) => (3, 10),
            (false, 2) => (4, 14),
            (false, _) => (5, 18),
        };
        let (header, rest) = block.split_at_checked(header_bytes).ok_or(InflateError::Malformed)?;
        let number = header.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let number = number >> if header_bytes == 1 { 3 } else { 4 };
        let count = (number & ((1 << length_bits) - 1)) as usize;
        if count > self.block_max {
            return Err(InflateError::Malformed);
        }
        self.literals.clear();
        self.literals.reserve_exact(count);
        let bytes = match kind {
            0 => count,
            1 => 1,
            _ => (number >> length_bits) as usize,
        };
        let (content, rest) = rest.split_at_checked(bytes).ok_or(InflateError::Malformed)?;
        match kind {
            0 => self.literals.extend_from_slice(content),
            1 => self.literals.resize(count, content[0]),
            _ => self.decode_literals(content, count, kind == 3, format > 0)?,
        }
        Ok(rest)
    }

    fn decode_literals(
        &mut self,
        content: &[u8],
        count: usize,
        same_codes: bool,
        is_split: bool,
    ) -> Result<(), InflateError> {
        let mut streams = content;
        if !same_codes {
            let (codes, used) = huffman::Table::read(content)?;
            self.codes = Some(codes);
            streams = &content[used..];
        }
        let codes = self.codes.as_ref().ok_or(InflateError::Malformed)?;
        if !is_split {
            return codes.decode(streams, count, &mut self.literals);
        }
        let (lengths, mut streams) =
            streams.split_first_chunk::<6>().ok_or(InflateError::Malformed)?;
        let share = count.div_ceil(4);
        let last = count.checked_sub(share * 3).ok_or(InflateError::Malformed)?;
        for length in lengths.as_chunks::<2>().0 {
            let length = usize::from(u16::from_le_bytes(*length));
            let (stream, rest) = streams.split_at_checked(length).ok_or(InflateError::Malformed)?;
            codes.decode(stream, share, &mut self.literals)?;
            streams = rest;
        }
        codes.decode(streams, last, &mut self.literals)
    }

    /// Reads the tables of a block and returns the bits behind them.
    fn read_tables<'b>(&mut self, input: &'b [u8]) -> Result<&'b [u8], InflateError> {
        let (modes, mut rest) = input.split_first().ok_or(InflateError::Malformed)?;
        if modes & 3 != 0 {
            return Err(InflateError::Malformed);
        }
        for ((table, rules), shift) in self.tables.iter_mut().zip(&RULES).zip([6, 4, 2]) {
            match modes >> shift & 3 {
                0 => *table = Some(fse::Table::of(rules.usual, rules.usual_log)?),
                1 => {
                    let (symbol, after) = rest.split_first().ok_or(InflateError::Malformed)?;
                    if *symbol > rules.symbol_max {
                        return Err(InflateError::Malformed);
                    }
                    (*table, rest) = (Some(fse::Table::only(*symbol)), after);
                }
                2 => {
                    let (read, used) = fse::Table::read(rest, rules.log_max, rules.symbol_max)?;
                    (*table, rest) = (Some(read), &rest[used..]);
                }
                _ if table.is_some() => {}
                _ => return Err(InflateError::Malformed),
            }
        }
        Ok(rest)
    }

    /// Carries out `count` sequences. Returns how many literals they used.
    fn run(&mut self, stream: &[u8], count: usize, end: usize) -> Result<usize, InflateError> {
        let [Some(literals), Some(offsets), Some(matches)] = &self.tables else {
            return Err(InflateError::Malformed);
        };
        let mut bits = Backward::new(stream)?;
        let mut literal = literals.start(&mut bits)?;
        let mut offset = offsets.start(&mut bits)?;
        let mut matched = matches.start(&mut bits)?;
        let mut used = 0;
        for left in (0..count).rev() {
            let power = u32::from(offsets.symbol(offset));
            let value = (1_u64 << power) + u64::from(bits.take(power)?);
            let length = length(&MATCH_LENGTHS, matches.symbol(matched), &mut bits)?;
            let before = self::length(&LITERAL_LENGTHS, literals.symbol(literal), &mut bits)?;
            let copied = self.literals.get(used..used + before).ok_or(InflateError::Malformed)?;
            append(self.out, copied, end)?;
            used += before;
            let distance = distance(&mut self.recent, value, before > 0)?;
            repeat(self.out, distance, length, (self.start, end))?;
            if left > 0 {
                literal = literals.next(literal, &mut bits)?;
                matched = matches.next(matched, &mut bits)?;
                offset = offsets.next(offset, &mut bits)?;
            }
        }
        bits.end()?;
        Ok(used)
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8], end: usize) -> Result<(), InflateError> {
    if bytes.len() > end - out.len() {
        return Err(InflateError::Malformed);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends `length` bytes of what was `distance` bytes before, which may still grow meanwhile.
fn repeat(
    out: &mut Vec<u8>,
    distance: usize,
    length: usize,
    (start, end): (usize, usize),
) -> Result<(), InflateError> {
    if distance > out.len() - start || length > end - out.len() {
        return Err(InflateError::Malformed);
    }
    let from = out.len() - distance;
    let mut left = length;
    while left > 0 {
        // All that is there since repeats itself, so it may be copied as a whole.
        let part = left.min(out.len() - from);
        out.extend_from_within(from..from + part);
        left -= part;
    }
    Ok(())
}

/// The distance that a value stands for: one of the last three, or one that is told. `after` tells
/// whether there were literals before it.
pub(super) fn distance(
    recent: &mut [usize; 3],
    value: u64,
    after: bool,
) -> Result<usize, InflateError> {
    let place = value as usize - usize::from(after);
    if value > 3 {
        let told = usize::try_from(value - 3).map_err(|_| InflateError::Malformed)?;
        *recent = [told, recent[0], recent[1]];
    } else if place == 3 {
        *recent = [recent[0].saturating_sub(1), recent[0], recent[1]];
    } else {
        recent[..=place].rotate_right(1);
    }
    if recent[0] == 0 { Err(InflateError::Malformed) } else { Ok(recent[0]) }
}

fn length(codes: &[(u32, u8)], symbol: u8, bits: &mut Backward<'_>) -> Result<usize, InflateError> {
    let (base, extra) = *codes.get(usize::from(symbol)).ok_or(InflateError::Malformed)?;
    Ok((base + bits.take(u32::from(extra))?) as usize)
}

fn sequence_count(input: &[u8]) -> Result<(usize, &[u8]), InflateError> {
    match *input {
        [first @ ..128, ref rest @ ..] => Ok((usize::from(first), rest)),
        [255, low, high, ref rest @ ..] => {
            Ok((usize::from(u16::from_le_bytes([low, high])) + 0x7f00, rest))
        }
        [first @ 128..=254, low, ref rest @ ..] => {
            Ok((usize::from(u16::from_be_bytes([first - 128, low])), rest))
        }
        _ => Err(InflateError::Malformed),
    }
}

/// What is special about one of the three tables.
pub(super) struct Rules {
    pub(super) usual: &'static [i16],
    pub(super) usual_log: u32,
    log_max: u32,
    symbol_max: u8,
}

pub(super) const RULES: [Rules; 3] = [
    Rules { usual: &USUAL_LITERALS, usual_log: 6, log_max: 9, symbol_max: 35 },
    Rules { usual: &USUAL_OFFSETS, usual_log: 5, log_max: 8, symbol_max: 31 },
    Rules { usual: &USUAL_MATCHES, usual_log: 6, log_max: 9, symbol_max: 52 },
];

const USUAL_LITERALS: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
];

const USUAL_OFFSETS: [i16; 29] =
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

const USUAL_MATCHES: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];

/// The least length of each code, and the bits that are added to it.
pub(super) const LITERAL_LENGTHS: [(u32, u8); 36] = codes(
    0,
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10,
        11, 12, 13, 14, 15, 16,
    ],
);

pub(super) const MATCH_LENGTHS: [(u32, u8); 53] = codes(
    3,
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ],
);

/// Each code goes on where the one before it ends.
const fn codes<const N: usize>(first: u32, bits: [u8; N]) -> [(u32, u8); N] {
    let mut codes = [(0, 0); N];
    let (mut base, mut code) = (first, 0);
    while code < N {
        codes[code] = (base, bits[code]);
        base += 1 << bits[code];
        code += 1;
    }
    codes
}
