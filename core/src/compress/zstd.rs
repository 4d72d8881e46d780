//! One Zstd frame (RFC 8878), decoded straight into its output.
//!
//! The output is its own window, and sequences are carried out as they are read, so a decoder holds
//! the literals of one block and its tables: less than 48 KiB. Every count in a frame is checked
//! against the plain length or the largest block before it is used. Dictionaries and windows over
//! [`ZSTD_WINDOW_BYTES_MAX`] are refused; the optional checksum of a frame is skipped, because the
//! frame that carries it has one.

use super::{InflateError, ZSTD_WINDOW_BYTES_MAX};
use alloc::vec::Vec;

mod bits;
mod block;
mod encode;
mod fse;
mod huffman;
mod literals;
mod matches;

pub(super) use encode::deflate;

/// Inflates one frame of `length` plain bytes behind a copy of `head`.
pub(super) fn inflate(frame: &[u8], length: usize, head: &[u8]) -> Result<Vec<u8>, InflateError> {
    let (window, blocks) = read_header(frame, length)?;
    let block_max = window.min(ZSTD_WINDOW_BYTES_MAX) as usize;
    if most(blocks, block_max, length)? < length {
        return Err(InflateError::Malformed);
    }
    let mut out = Vec::with_capacity(head.len() + length);
    out.extend_from_slice(head);
    let mut decoder = block::Decoder::new(&mut out, length, block_max);
    let mut rest = blocks;
    loop {
        let block = take_block(&mut rest, block_max)?;
        match block.kind {
            Kind::Raw => decoder.raw(block.content)?,
            Kind::Repeated => decoder.repeated(block.content[0], block.size)?,
            Kind::Compressed => decoder.compressed(block.content)?,
        }
        if block.is_last {
            break;
        }
    }
    if out.len() == head.len() + length { Ok(out) } else { Err(InflateError::Malformed) }
}

/// Reads what is before the blocks. Returns the window, and the blocks without the checksum that
/// may follow them.
fn read_header(frame: &[u8], length: usize) -> Result<(u32, &[u8]), InflateError> {
    let rest = frame.strip_prefix(&MAGIC).ok_or(InflateError::Malformed)?;
    let (descriptor, mut rest) = rest.split_first().ok_or(InflateError::Malformed)?;
    let is_single = descriptor & 1 << 5 != 0;
    let (reserved, dictionary) = (descriptor & 1 << 3, descriptor & 3);
    if reserved != 0 || dictionary != 0 {
        return Err(InflateError::Malformed);
    }
    let mut window = length as u64;
    if !is_single {
        let (byte, after) = rest.split_first().ok_or(InflateError::Malformed)?;
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 7);
        rest = after;
    }
    let size_bytes = match (descriptor >> 6, is_single) {
        (0, false) => 0,
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        (_, _) => 8,
    };
    let (size, rest) = rest.split_at_checked(size_bytes).ok_or(InflateError::Malformed)?;
    let number = size.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let claimed = if size_bytes == 2 { number + 256 } else { number };
    if window > u64::from(ZSTD_WINDOW_BYTES_MAX) {
        return Err(InflateError::Window { bytes: window });
    }
    if size_bytes > 0 && claimed != length as u64 {
        return Err(InflateError::Malformed);
    }
    let checksum_bytes = if descriptor & 1 << 2 == 0 { 0 } else { 4 };
    let end = rest.len().checked_sub(checksum_bytes).ok_or(InflateError::Malformed)?;
    Ok((window as u32, &rest[..end]))
}

/// The most that blocks can inflate to, by their headers alone. They must end where the frame does.
///
/// Each compressed block may bring tables of its own, which take longer to build than a few bytes
/// take to write: there may not be more of them than a fair encoder has any use for.
fn most(mut blocks: &[u8], block_max: usize, length: usize) -> Result<usize, InflateError> {
    let (mut sum, mut compressed) = (0_usize, 0_usize);
    loop {
        let block = take_block(&mut blocks, block_max)?;
        compressed += usize::from(matches!(block.kind, Kind::Compressed));
        if compressed > COMPRESSED_BLOCKS_FREE + length / COMPRESSED_BLOCK_BYTES_LEAST {
            return Err(InflateError::Malformed);
        }
        sum = sum.saturating_add(match block.kind {
            Kind::Raw | Kind::Repeated => block.size,
            Kind::Compressed => block_max,
        });
        if block.is_last {
            return if blocks.is_empty() { Ok(sum) } else { Err(InflateError::Malformed) };
        }
    }
}

struct Block<'a> {
    kind: Kind,
    is_last: bool,
    /// Of the plain bytes, where the header tells.
    size: usize,
    content: &'a [u8],
}

enum Kind {
    Raw,
    Repeated,
    Compressed,
}

fn take_block<'a>(input: &mut &'a [u8], block_max: usize) -> Result<Block<'a>, InflateError> {
    let (header, rest) = input.split_first_chunk::<3>().ok_or(InflateError::Malformed)?;
    let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let size = (header >> 3) as usize;
    let (kind, bytes) = match (header >> 1) & 3 {
        0 => (Kind::Raw, size),
        1 => (Kind::Repeated, 1),
        2 => (Kind::Compressed, size),
        _ => return Err(InflateError::Malformed),
    };
    if size > block_max {
        return Err(InflateError::Malformed);
    }
    let (content, rest) = rest.split_at_checked(bytes).ok_or(InflateError::Malformed)?;
    *input = rest;
    Ok(Block { kind, is_last: header & 1 != 0, size, content })
}

/// Compressed blocks that any frame may have, and for how many plain bytes there may be one more.
const COMPRESSED_BLOCKS_FREE: usize = 4;
const COMPRESSED_BLOCK_BYTES_LEAST: usize = 512;
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
