//! The way of a traced call: each node on it adds one entry to the answer, the last one first.

use super::{MessageError, take};
use crate::name::is_node_id;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What one node says of a traced call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hop<'a> {
    /// The node.
    pub node: &'a str,
    /// From when it passed the call on until it had the answer, in microseconds; at the end of the
    /// way that is the time of the handler.
    pub micros: u64,
    /// Instances it tried.
    pub attempts: u8,
}

/// Hops packed one behind the other, in the order in which they were added: the node that served
/// the call first, the caller's own last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HopList<'a>(&'a [u8]);

impl<'a> HopList<'a> {
    /// Checks every hop.
    pub(crate) fn checked(packed: &'a [u8]) -> Result<Self, MessageError> {
        let list = Self(packed);
        let mut rest = packed;
        while !rest.is_empty() {
            let (hop, after): (Hop<'_>, _) = take(rest)?;
            if !is_node_id(hop.node) {
                return Err(MessageError::Malformed);
            }
            rest = after;
        }
        if packed.len() > HOPS_BYTES_MAX { Err(MessageError::Malformed) } else { Ok(list) }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The hops as they are on the wire.
    pub(crate) const fn packed(self) -> &'a [u8] {
        self.0
    }

    /// Every hop.
    pub fn iter(self) -> impl Iterator<Item = Hop<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (hop, after) = take(rest).ok()?;
            rest = after;
            Some(hop)
        })
    }

    /// As much as a node says of itself: the first hop, as that of `node`, packed into `space`.
    pub(crate) fn of<'b>(self, node: &str, space: &'b mut Vec<u8>) -> HopList<'b> {
        let own = self.iter().next().map(|hop| Hop { node, ..hop });
        *space = own.and_then(|hop| postcard::to_allocvec(&hop).ok()).unwrap_or_default();
        HopList(space)
    }

    /// The list with one more hop, as it is where there is no room for it.
    pub(crate) fn with(self, hop: &Hop<'_>) -> Vec<u8> {
        let mut packed = Vec::from(self.0);
        let added = postcard::to_allocvec(hop).unwrap_or_default();
        if packed.len() + added.len() <= HOPS_BYTES_MAX {
            packed.extend_from_slice(&added);
        }
        packed
    }
}

/// Most bytes of all hops: as many as the longest path with the longest names has.
pub const HOPS_BYTES_MAX: usize = 16 * 144;
