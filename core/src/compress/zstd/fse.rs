//! Finite state entropy: tables of a state machine whose states stand for symbols (RFC 8878, 4.1).

use super::InflateError;
use super::bits::{Backward, Forward, Writer};
use alloc::vec;
use alloc::vec::Vec;

/// A state: its symbol, and how the next one is found.
#[derive(Clone, Copy, Default)]
struct Cell {
    base: u16,
    symbol: u8,
    bits: u8,
}

pub(super) struct Table {
    cells: Vec<Cell>,
    log: u32,
}

/// Where a decoder is in its table.
#[derive(Clone, Copy)]
pub(super) struct State(u16);

impl Table {
    /// One symbol, whatever comes.
    pub(super) fn only(symbol: u8) -> Self {
        Self { cells: vec![Cell { base: 0, symbol, bits: 0 }], log: 0 }
    }

    /// Reads the description of a table and tells how long it is.
    pub(super) fn read(
        bytes: &[u8],
        log_max: u32,
        symbol_max: u8,
    ) -> Result<(Self, usize), InflateError> {
        let mut bits = Forward::new(bytes);
        let log = LOG_LEAST + bits.take(4)?;
        if log > log_max {
            return Err(InflateError::Malformed);
        }
        let mut shares: Vec<i16> = Vec::with_capacity(usize::from(symbol_max) + 1);
        let mut left = 1_u32 << log;
        while left > 0 {
            let share = share(&mut bits, left)?;
            left -= u32::from(share.unsigned_abs());
            push(&mut shares, share, symbol_max)?;
            let mut more = share == 0;
            while more {
                let zeros = bits.take(2)?;
                (0..zeros).try_for_each(|_| push(&mut shares, 0, symbol_max))?;
                more = zeros == 3;
            }
        }
        Ok((Self::of(&shares, log)?, bits.bytes_used()))
    }

    /// The table in which each symbol has so many of the `1 << log` states; -1 stands for less than
    /// one, which is given one that starts anew.
    pub(super) fn of(shares: &[i16], log: u32) -> Result<Self, InflateError> {
        let size = 1_usize << log;
        let mut cells = vec![Cell::default(); size];
        let mut top = size;
        for (symbol, _) in (0..).zip(shares).filter(|(_, share)| **share == -1) {
            top = top.checked_sub(1).ok_or(InflateError::Malformed)?;
            cells[top].symbol = symbol;
        }
        let (step, mask) = ((size >> 1) + (size >> 3) + 3, size - 1);
        let mut at = 0;
        for (symbol, share) in (0_u8..).zip(shares) {
            for _ in 0..*share {
                cells[at].symbol = symbol;
                at = (at + step) & mask;
                while at >= top && top > 0 {
                    at = (at + step) & mask;
                }
            }
        }
        if at != 0 {
            return Err(InflateError::Malformed);
        }
        let mut next: Vec<u16> = shares.iter().map(|share| share.unsigned_abs()).collect();
        for cell in &mut cells {
            let next = next.get_mut(usize::from(cell.symbol)).filter(|next| **next > 0);
            let next = next.ok_or(InflateError::Malformed)?;
            let bits = log - next.ilog2();
            cell.bits = bits as u8;
            cell.base = ((u32::from(*next) << bits) - size as u32) as u16;
            *next += 1;
        }
        Ok(Self { cells, log })
    }

    pub(super) fn start(&self, bits: &mut Backward<'_>) -> Result<State, InflateError> {
        Ok(State(bits.take(self.log)? as u16))
    }

    #[inline]
    pub(super) fn symbol(&self, state: State) -> u8 {
        self.cells[usize::from(state.0)].symbol
    }

    /// Whether the bits that lead to the next state are there.
    pub(super) fn has_next(&self, state: State, bits: &Backward<'_>) -> bool {
        bits.has(u32::from(self.cells[usize::from(state.0)].bits))
    }

    #[inline]
    pub(super) fn next(
        &self,
        state: State,
        bits: &mut Backward<'_>,
    ) -> Result<State, InflateError> {
        let cell = self.cells[usize::from(state.0)];
        Ok(State(cell.base + bits.take(u32::from(cell.bits))? as u16))
    }
}

/// The states of a table by their symbols, to find the way through them backwards.
pub(super) struct Encoder {
    table: Table,
    /// States, those of one symbol together, and where those of each symbol begin.
    order: Vec<u16>,
    starts: Vec<u16>,
}

impl Encoder {
    pub(super) fn new(table: Table) -> Self {
        let mut order: Vec<u16> = (0..table.cells.len() as u16).collect();
        order.sort_by_key(|state| table.cells[usize::from(*state)].symbol);
        let symbols = table.cells.iter().map(|cell| usize::from(cell.symbol) + 1).max();
        let mut starts = vec![0_u16; symbols.unwrap_or(0) + 1];
        table.cells.iter().for_each(|cell| starts[usize::from(cell.symbol) + 1] += 1);
        (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
        Self { table, order, starts }
    }

    /// The state of the last symbol: of all that it has the one that asks for most bits, so that a
    /// reader who finds none knows that it is the last.
    pub(super) fn last(&self, symbol: u8) -> Result<usize, InflateError> {
        let states = self.states(symbol).iter().map(|state| usize::from(*state));
        states.max_by_key(|state| self.table.cells[*state].bits).ok_or(InflateError::Malformed)
    }

    /// The state of a symbol from which `next` is reached, by the bits that are put.
    #[inline]
    pub(super) fn lead(
        &self,
        symbol: u8,
        next: usize,
        bits: &mut Writer<'_>,
    ) -> Result<usize, InflateError> {
        let leads = |state: &&u16| {
            let Cell { base, bits, .. } = self.table.cells[usize::from(**state)];
            (usize::from(base)..usize::from(base) + (1 << bits)).contains(&next)
        };
        let state = self.states(symbol).iter().find(leads).ok_or(InflateError::Malformed)?;
        let cell = self.table.cells[usize::from(*state)];
        bits.put((next - usize::from(cell.base)) as u32, u32::from(cell.bits));
        Ok(usize::from(*state))
    }

    /// Puts the state at which a reader begins.
    pub(super) fn put(&self, state: usize, bits: &mut Writer<'_>) {
        bits.put(state as u32, self.table.log);
    }

    fn states(&self, symbol: u8) -> &[u16] {
        let at = usize::from(symbol);
        let place = |at: usize| self.starts.get(at).map(|start| usize::from(*start));
        match (place(at), place(at + 1)) {
            (Some(start), Some(end)) => &self.order[start..end],
            _ => &[],
        }
    }
}

/// The share of each symbol in `1 << log` states; nothing where there are not two symbols, because
/// one alone needs no bits.
pub(super) fn shares(counts: &[u32], log: u32) -> Option<Vec<i16>> {
    let (size, sum) = (1 << log, counts.iter().sum::<u32>());
    if counts.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let share = |count: &u32| if *count == 0 { 0 } else { (count * size / sum).max(1) as i16 };
    let mut shares: Vec<i16> = counts.iter().map(share).collect();
    let missing = size as i16 - shares.iter().sum::<i16>();
    // Rounding is for the largest to bear, which has several times as many.
    if let Some(largest) = shares.iter_mut().max() {
        *largest += missing;
    }
    Some(shares)
}

/// Appends the description of a table.
pub(super) fn write(shares: &[i16], log: u32, out: &mut Vec<u8>) {
    let mut bits = Writer::new(out);
    bits.put(log - LOG_LEAST, 4);
    let mut left = 1_u32 << log;
    let mut rest = shares;
    while let (Some((share, after)), true) = (rest.split_first(), left > 0) {
        rest = after;
        let most = left + 1;
        let count = most.ilog2() + 1;
        let (short, half) = ((1 << count) - 1 - most, 1 << (count - 1));
        let value = (share + 1) as u32;
        match value {
            _ if value < short => bits.put(value, count - 1),
            _ if value < half => bits.put(value, count),
            _ => bits.put(value + short, count),
        }
        left -= u32::from(share.unsigned_abs());
        if *share == 0 {
            let mut zeros = rest.iter().take_while(|share| **share == 0).count();
            rest = &rest[zeros..];
            while zeros >= 3 {
                bits.put(3, 2);
                zeros -= 3;
            }
            bits.put(zeros as u32, 2);
        }
    }
    bits.fill();
}

fn push(shares: &mut Vec<i16>, share: i16, symbol_max: u8) -> Result<(), InflateError> {
    if shares.len() > usize::from(symbol_max) {
        return Err(InflateError::Malformed);
    }
    shares.push(share);
    Ok(())
}

/// The share of the next symbol when `left` states are left: a number from 0 to `left + 1`, less
/// one. The lower ones of them are a bit shorter, where that many numbers do not need all bits.
fn share(bits: &mut Forward<'_>, left: u32) -> Result<i16, InflateError> {
    let most = left + 1;
    let count = most.ilog2() + 1;
    let short = (1 << count) - 1 - most;
    let half = 1 << (count - 1);
    let value = bits.take(count)?;
    let low = value & (half - 1);
    let value = if low < short {
        bits.untake();
        low
    } else if value >= half {
        value - short
    } else {
        value
    };
    Ok(value as i16 - 1)
}

const LOG_LEAST: u32 = 5;
