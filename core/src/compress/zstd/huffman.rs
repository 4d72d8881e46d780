//! Huffman codes of literals (RFC 8878, 4.2).

use super::InflateError;
use super::bits::Backward;
use super::fse;
use alloc::vec;
use alloc::vec::Vec;

/// What the next bits stand for: a symbol, and how many of them it takes.
#[derive(Clone, Copy, Default)]
struct Cell {
    symbol: u8,
    bits: u8,
}

pub(super) struct Table {
    cells: Vec<Cell>,
    log: u32,
}

impl Table {
    /// Reads the description of a table and tells how long it is.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), InflateError> {
        let (header, rest) = bytes.split_first().ok_or(InflateError::Malformed)?;
        let (weights, used) = match usize::from(*header) {
            length @ ..DIRECT => {
                let packed = rest.get(..length).ok_or(InflateError::Malformed)?;
                (unpack(packed)?, length)
            }
            direct => {
                let count = direct - (DIRECT - 1);
                let packed = rest.get(..count.div_ceil(2)).ok_or(InflateError::Malformed)?;
                let pairs = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                (pairs.take(count).collect(), packed.len())
            }
        };
        Ok((Self::of(weights)?, 1 + used))
    }

    /// A symbol of weight `w` has `1 << (w - 1)` cells; the last weight is what is missing.
    fn of(mut weights: Vec<u8>) -> Result<Self, InflateError> {
        if weights.len() > SYMBOLS_MAX - 1 || weights.iter().any(|weight| *weight > LOG_MAX) {
            return Err(InflateError::Malformed);
        }
        let cells = |weight: u8| (1_u32 << weight) >> 1;
        let sum: u32 = weights.iter().map(|weight| cells(*weight)).sum();
        if sum == 0 {
            return Err(InflateError::Malformed);
        }
        let log = sum.ilog2() + 1;
        let missing = (1 << log) - sum;
        if log > u32::from(LOG_MAX) || !missing.is_power_of_two() {
            return Err(InflateError::Malformed);
        }
        weights.push(missing.ilog2() as u8 + 1);
        let mut table = Self { cells: vec![Cell::default(); 1 << log], log };
        let mut at = 0;
        for weight in 1..=LOG_MAX {
            let found = weights.iter().enumerate().filter(|(_, found)| **found == weight);
            for (symbol, _) in found {
                let (symbol, bits) = (symbol as u8, (log + 1 - u32::from(weight)) as u8);
                let end = at + cells(weight) as usize;
                table.cells[at..end].fill(Cell { symbol, bits });
                at = end;
            }
        }
        Ok(table)
    }

    /// Appends `count` literals, which must be all that is there.
    pub(super) fn decode(
        &self,
        stream: &[u8],
        count: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        let mut bits = Backward::new(stream)?;
        for _ in 0..count {
            let cell = self.cells[bits.look(self.log) as usize];
            bits.skip(u32::from(cell.bits))?;
            out.push(cell.symbol);
        }
        bits.end()
    }
}

/// Weights that are compressed themselves, by two decoders in turn.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, InflateError> {
    let (table, used) = fse::Table::read(packed, WEIGHTS_LOG_MAX, LOG_MAX)?;
    let mut bits = Backward::new(packed.get(used..).ok_or(InflateError::Malformed)?)?;
    let mut states = [table.start(&mut bits)?, table.start(&mut bits)?];
    let mut weights = Vec::with_capacity(SYMBOLS_MAX);
    for turn in (0..2).cycle() {
        if weights.len() >= SYMBOLS_MAX - 1 {
            return Err(InflateError::Malformed);
        }
        weights.push(table.symbol(states[turn]));
        if !table.has_next(states[turn], &bits) {
            weights.push(table.symbol(states[1 - turn]));
            break;
        }
        states[turn] = table.next(states[turn], &mut bits)?;
    }
    Ok(weights)
}

/// Headers from here on are followed by the weights themselves.
const DIRECT: usize = 128;
const SYMBOLS_MAX: usize = 256;
/// Longest code.
pub(super) const LOG_MAX: u8 = 11;
/// Of the table by which weights are compressed.
pub(super) const WEIGHTS_LOG_MAX: u32 = 6;
